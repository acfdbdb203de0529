//! Pictures of a product as a shop would get them: harmless changes, and every fault of quality
//! at three severities, all made from the true cut-out.

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::cutout::recompose;
use packshot_imaging::photo::Cutout;
use packshot_tests::scenes::{background, shadow};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Changes that no shop objects to.
pub(crate) const HARMLESS: [&str; 15] = [
    "jpeg60", "jpeg75", "jpeg95", "noise2", "brighter", "darker", "smaller", "larger", "turned", "soft",
    "plain", "gradient", "linen", "wood", "combo",
];

/// Faults with the metric that must tell each, and what their severities are.
pub(crate) const FAULTS: [(&str, &str, [f32; 3]); 11] = [
    ("noise, levels", "quality_noise", [7.0, 11.0, 16.0]),
    ("bands, levels", "quality_banding", [4.0, 7.0, 12.0]),
    ("jagged, px", "quality_jagged", [1.0, 2.0, 4.0]),
    ("fringe, px", "quality_fringe", [1.5, 2.5, 4.0]),
    ("sharpened, times", "quality_ringing", [1.5, 3.0, 5.0]),
    ("pixels, px", "quality_pixels", [2.0, 3.0, 4.0]),
    ("shadows lost, %", "quality_shadows", [6.0, 15.0, 30.0]),
    ("highlights lost, %", "quality_highlights", [6.0, 15.0, 30.0]),
    ("cloned ground, %", "quality_repeated", [8.0, 12.0, 16.0]),
    ("cloned product, %", "quality_repeated", [8.0, 12.0, 16.0]),
    ("tiled ground, %", "quality_repeated", [16.0, 24.0, 36.0]),
];

/// The photo that is the reference: before a studio's light grey, with shadow, grain, JPEG.
pub(crate) fn reference(truth: &Cutout, seed: u64) -> RgbImage {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (w, h) = truth.alpha.dimensions();
    let ground =
        grained(&RgbImage::from_fn(w, h, |_, y| Rgb([236 - (y * 14 / h.max(1)) as u8; 3])), 0.8, &mut rng);
    jpeg(&placed(truth, &ground, &mut rng), 93)
}

/// One harmless change of the reference, or the product before another background.
pub(crate) fn harmless(kind: &str, truth: &Cutout, reference: &RgbImage, seed: u64) -> RgbImage {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
    let (w, h) = reference.dimensions();
    let resized = |factor: f32, filter| {
        let side = |v: u32| (v as f32 * factor) as u32;
        imageops::resize(reference, side(w), side(h), filter)
    };
    match kind {
        "jpeg60" => jpeg(reference, 60),
        "jpeg75" => jpeg(reference, 75),
        "jpeg95" => jpeg(reference, 95),
        "noise2" => grained(reference, 2.0, &mut rng),
        "brighter" => lit(reference, 1.1),
        "darker" => lit(reference, 0.9),
        "smaller" => resized(0.7, imageops::FilterType::Lanczos3),
        "larger" => resized(1.3, imageops::FilterType::CatmullRom),
        "soft" => imageops::blur(reference, 0.6),
        "turned" => jpeg(&turned(truth, 0.94, 2.0, &mut rng), 92),
        "combo" => {
            let kinds = ["plain", "gradient", "linen", "marble", "wood"];
            let ground = background(kinds[rng.random_range(0..kinds.len())], w, h, &mut rng);
            let (scale, angle) = (rng.random_range(0.72..1.0), rng.random_range(-1.5..1.5));
            let product = moved(truth, scale, angle);
            let quality = rng.random_range(85..92);
            jpeg(&lit(&placed(&product, &ground, &mut rng), rng.random_range(0.9..1.1)), quality)
        }
        kind => jpeg(&placed(truth, &background(kind, w, h, &mut rng), &mut rng), 90),
    }
}

/// One fault.
pub(crate) fn faulty(
    fault: &str,
    severity: f32,
    truth: &Cutout,
    reference: &RgbImage,
    seed: u64,
) -> RgbImage {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xfa17);
    let (w, h) = reference.dimensions();
    let picture = match fault.split([',', ' ']).next().unwrap_or_default() {
        "noise" => grained(reference, severity, &mut rng),
        "bands" => banded(truth, severity, &mut rng),
        "jagged" => {
            let ground = background("gradient", w, h, &mut rng);
            placed(&stepped(truth, severity as u32), &ground, &mut rng)
        }
        "fringe" => fringed(truth, reference, severity, &mut rng),
        "sharpened" => sharpened(reference, severity),
        "pixels" => {
            let small = |v: u32| (v as f32 / severity).round() as u32;
            let less = imageops::resize(reference, small(w), small(h), imageops::FilterType::Triangle);
            imageops::resize(&less, w, h, imageops::FilterType::Nearest)
        }
        "shadows" => cut_off(reference, truth, severity, false),
        "highlights" => cut_off(reference, truth, severity, true),
        "cloned" if fault.contains("product") => cloned(reference, &truth.alpha, severity, true, &mut rng),
        "cloned" => {
            let kind = ["linen", "marble", "wood"][rng.random_range(0..3)];
            let scene = placed(truth, &background(kind, w, h, &mut rng), &mut rng);
            cloned(&scene, &truth.alpha, severity, false, &mut rng)
        }
        _ => {
            let kind = ["linen", "marble", "wood"][rng.random_range(0..3)];
            let side = ((severity / 100.0 * w.max(h) as f32) as u32).max(8);
            let tile = background(kind, side, side, &mut rng);
            let ground = RgbImage::from_fn(w, h, |x, y| *tile.get_pixel(x % side, y % side));
            placed(truth, &ground, &mut rng)
        }
    };
    jpeg(&picture, 92)
}

fn placed(product: &Cutout, ground: &RgbImage, rng: &mut SmallRng) -> RgbImage {
    let mut product = product.clone();
    product.shadow = Some(shadow(&product.alpha, rng));
    recompose(&product, ground, true)
}

fn jpeg(picture: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    if picture.write_with_encoder(encoder).is_err() {
        return picture.clone();
    }
    image::load_from_memory(bytes.get_ref()).map_or_else(|_| picture.clone(), |decoded| decoded.to_rgb8())
}

fn grained(picture: &RgbImage, sigma: f32, rng: &mut SmallRng) -> RgbImage {
    let mut out = picture.clone();
    for pixel in out.pixels_mut() {
        let grain = (0..6).map(|_| rng.random::<f32>()).sum::<f32>() - 3.0;
        // six even dice have a variance of a half
        pixel.0 = pixel.0.map(|v| (f32::from(v) + grain * sigma * 1.414 + 0.5).clamp(0.0, 255.0) as u8);
    }
    out
}

/// More or less light, in linear light.
fn lit(picture: &RgbImage, gain: f32) -> RgbImage {
    let mut out = picture.clone();
    for pixel in out.pixels_mut() {
        pixel.0 = pixel.0.map(|v| (f32::from(v) * gain.powf(1.0 / 2.2) + 0.5).clamp(0.0, 255.0) as u8);
    }
    out
}

/// The product smaller and turned about the middle.
fn moved(truth: &Cutout, scale: f32, degrees: f32) -> Cutout {
    let (w, h) = truth.alpha.dimensions();
    let (sin, cos) = degrees.to_radians().sin_cos();
    let back = |x: u32, y: u32| {
        let (x, y) = (x as f32 - w as f32 / 2.0, y as f32 - h as f32 / 2.0);
        ((cos * x + sin * y) / scale + w as f32 / 2.0, (cos * y - sin * x) / scale + h as f32 / 2.0)
    };
    let mut out = truth.clone();
    out.foreground = RgbImage::from_fn(w, h, |x, y| {
        let (u, v) = back(x, y);
        imageops::interpolate_bilinear(&truth.foreground, u, v).unwrap_or(Rgb([128; 3]))
    });
    out.alpha = GrayImage::from_fn(w, h, |x, y| {
        let (u, v) = back(x, y);
        imageops::interpolate_bilinear(&truth.alpha, u, v).unwrap_or(Luma([0]))
    });
    out
}

fn turned(truth: &Cutout, scale: f32, degrees: f32, rng: &mut SmallRng) -> RgbImage {
    let (w, h) = truth.alpha.dimensions();
    placed(&moved(truth, scale, degrees), &background("plain", w, h, rng), rng)
}

/// A studio's gradient of ninety levels in steps.
fn banded(truth: &Cutout, step: f32, rng: &mut SmallRng) -> RgbImage {
    let (w, h) = truth.alpha.dimensions();
    let ground = RgbImage::from_fn(w, h, |x, y| {
        let t = (y as f32 / h as f32 + 0.15 * (x as f32 / w as f32 - 0.5)).clamp(0.0, 1.0);
        Rgb([((235.0 - 90.0 * t) / step).round() * step; 3].map(|v| v.clamp(0.0, 255.0) as u8))
    });
    placed(truth, &ground, rng)
}

/// Coverage in squares of so many pixels, all or nothing.
fn stepped(truth: &Cutout, px: u32) -> Cutout {
    let mut out = truth.clone();
    let (w, h) = truth.alpha.dimensions();
    out.alpha = GrayImage::from_fn(w, h, |x, y| {
        let (u, v) = ((x / px * px + px / 2).min(w - 1), (y / px * px + px / 2).min(h - 1));
        Luma([if truth.alpha.get_pixel(u, v).0[0] > 127 { 255 } else { 0 }])
    });
    out
}

/// Cut out of the reference too widely, so that its background comes along; before a dark or
/// coloured ground.
fn fringed(truth: &Cutout, reference: &RgbImage, px: f32, rng: &mut SmallRng) -> RgbImage {
    let (w, h) = truth.alpha.dimensions();
    let inside =
        packshot_imaging::mask::distance_outside(&packshot_imaging::mask::threshold(&truth.alpha, 128));
    let mut wide = truth.clone();
    wide.foreground = reference.clone();
    wide.alpha = GrayImage::from_fn(w, h, |x, y| {
        let own = truth.alpha.get_pixel(x, y).0[0];
        let d = inside.data[(y * w + x) as usize];
        Luma([own.max(((px + 0.5 - d).clamp(0.0, 1.0) * 255.0) as u8)])
    });
    let tone: [u8; 3] = [[70, 96, 120], [120, 70, 60], [60, 90, 66], [84, 80, 76]][rng.random_range(0..4)];
    placed(&wide, &RgbImage::from_pixel(w, h, Rgb(tone)), rng)
}

/// Unsharp mask of 1.5 px.
fn sharpened(picture: &RgbImage, amount: f32) -> RgbImage {
    let (w, h) = picture.dimensions();
    let planes: [(Plane, Plane); 3] = std::array::from_fn(|c| {
        let data = picture.pixels().map(|p| f32::from(p.0[c])).collect();
        let plane = Plane { width: w, height: h, data };
        let soft = gaussian(&plane, 1.5);
        (plane, soft)
    });
    RgbImage::from_fn(w, h, |x, y| {
        let i = (y * w + x) as usize;
        Rgb(std::array::from_fn(|c| {
            let (own, soft) = (planes[c].0.data[i], planes[c].1.data[i]);
            (own + amount * (own - soft) + 0.5).clamp(0.0, 255.0) as u8
        }))
    })
}

/// A curve so steep at its end that this share of the product ends up black, or white.
fn cut_off(reference: &RgbImage, truth: &Cutout, percent: f32, white: bool) -> RgbImage {
    let mut levels: Vec<u8> = reference
        .pixels()
        .zip(truth.alpha.pixels())
        .filter(|(_, a)| a.0[0] == 255)
        .map(|(p, _)| {
            let (low, high) = (p.0.iter().min(), p.0.iter().max());
            if white { low.copied().unwrap_or(0) } else { high.copied().unwrap_or(0) }
        })
        .collect();
    levels.sort_unstable();
    let share = if white { 1.0 - percent / 100.0 } else { percent / 100.0 };
    let at = levels.get((levels.len() as f32 * share) as usize).copied().unwrap_or(0);
    let at = f32::from(at);
    let curve = |v: u8| {
        let v = f32::from(v);
        let lost = if white { 255.0 - at } else { at };
        let end = 1.5 * lost + 12.0;
        let rise = |d: f32| if d < end { (d - lost) * end / (end - lost) } else { d };
        let out = if white { 255.0 - rise(255.0 - v) } else { rise(v) };
        out.clamp(0.0, 255.0) as u8
    };
    let mut out = reference.clone();
    for pixel in out.pixels_mut() {
        pixel.0 = pixel.0.map(curve);
    }
    out
}

/// A feathered square copied to another place, both on the product or both beside it.
fn cloned(picture: &RgbImage, alpha: &GrayImage, percent: f32, inside: bool, rng: &mut SmallRng) -> RgbImage {
    let (w, h) = picture.dimensions();
    let side = ((percent / 100.0 * w.max(h) as f32) as u32).clamp(4, w.min(h) / 2);
    let share = |x: u32, y: u32| {
        let own = (0..81).filter(|i| {
            let (u, v) = (x + i % 9 * (side - 1) / 8, y + i / 9 * (side - 1) / 8);
            (alpha.get_pixel(u, v).0[0] > 127) == inside
        });
        own.count()
    };
    let mut place = |away: Option<(u32, u32)>| {
        (0..300)
            .map(|_| (rng.random_range(0..w - side), rng.random_range(0..h - side)))
            .filter(|(x, y)| away.is_none_or(|(u, v)| x.abs_diff(u).max(y.abs_diff(v)) > side + side / 4))
            .max_by_key(|(x, y)| share(*x, *y))
            .unwrap_or((0, 0))
    };
    let from = place(None);
    let to = place(Some(from));
    let mut out = picture.clone();
    for y in 0..side {
        for x in 0..side {
            let edge = x.min(y).min(side - 1 - x).min(side - 1 - y) as f32;
            let a = ((edge + 1.0) / (0.1 * side as f32).max(2.0)).min(1.0);
            let (new, old) =
                (picture.get_pixel(from.0 + x, from.1 + y).0, picture.get_pixel(to.0 + x, to.1 + y).0);
            let mixed =
                std::array::from_fn(|c| (f32::from(old[c]) * (1.0 - a) + f32::from(new[c]) * a + 0.5) as u8);
            out.put_pixel(to.0 + x, to.1 + y, Rgb(mixed));
        }
    }
    out
}
