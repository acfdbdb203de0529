//! Colours across the product's outline, pixel by pixel of the candidate at its own size: what
//! the frame of the review is too coarse for. Jagged and fringed edges and ringing are read here.

use image::RgbImage;
use packshot_imaging::blur;
use packshot_imaging::register::Similarity;

use super::super::frame::Frame;
use super::Pair;

/// Pixels on either side of the edge.
pub(super) const HALF: usize = 10;
/// Pixels of one profile; the edge lies between `HALF - 1` and `HALF`.
pub(super) const LENGTH: usize = 2 * HALF;
/// Most profiles; more say nothing new.
const COUNT: usize = 420;
/// Least step of an edge, in levels.
const STEP_MIN: f32 = 14.0;

/// Red, green and blue, 0 to 255.
pub(super) type Colour = [f32; 3];

/// The colours along one outward normal, inside first.
pub(super) struct Profile {
    /// The edge in the candidate, and the outward normal there.
    pub(super) at: (f32, f32),
    pub(super) normal: (f32, f32),
    /// The candidate's colours, a pixel apart.
    pub(super) candidate: [Colour; LENGTH],
    /// The edge and the colours in the reference, as far apart on the product as the
    /// candidate's; `None` where the reference shows no edge.
    pub(super) reference: Option<Own>,
    /// The product without its background's light, likewise.
    pub(super) product: [Colour; LENGTH],
}

/// A profile of the reference.
pub(super) struct Own {
    pub(super) at: (f32, f32),
    pub(super) colours: [Colour; LENGTH],
}

/// Profiles all around the outline, spread evenly.
pub(super) fn along_outline(frame: &Frame, pair: &Pair) -> Vec<Profile> {
    let step = frame.placement.scale;
    let reach = HALF + 3 + (1.5 * step).clamp(1.0, 12.0) as usize;
    let into_reference = pair.similarity.inverse();
    let outline = outline(frame);
    let every = outline.len().div_ceil(COUNT).max(1);
    outline
        .into_iter()
        .step_by(every)
        .filter_map(|(point, normal)| {
            let ahead = frame.placement.apply(point.0 + normal.0, point.1 + normal.1);
            let middle = frame.placement.apply(point.0, point.1);
            let normal = unit((ahead.0 - middle.0, ahead.1 - middle.1));
            let (candidate, at) = profile(pair.candidate, middle, normal, 1.0, reach)?;
            let own_middle = into_reference.apply(middle.0, middle.1);
            let own_normal = turned(normal, &into_reference);
            let stride = into_reference.scale;
            let own = profile(pair.photo, own_middle, own_normal, stride, reach);
            let own_at = own.as_ref().map_or(own_middle, |(_, at)| *at);
            let product = straight(pair.foreground, own_at, own_normal, stride)?;
            let reference = own.map(|(colours, at)| Own { at, colours });
            Some(Profile { at, normal, candidate, reference, product })
        })
        .collect()
}

/// Points of the outline in frame pixels with their outward normals.
fn outline(frame: &Frame) -> Vec<((f32, f32), (f32, f32))> {
    let soft = blur::gaussian(&blur::Plane::from_gray(&frame.mask), 1.5);
    let (w, h) = (i64::from(frame.width), i64::from(frame.height));
    let mut found = Vec::new();
    for y in 2..h - 2 {
        for x in 2..w - 2 {
            let at = |dx: i64, dy: i64| soft.at(x + dx, y + dy);
            let here = at(0, 0);
            let beside = [at(1, 0), at(-1, 0), at(0, 1), at(0, -1)];
            if here < 127.5 || beside.iter().all(|v| *v >= 127.5) || !frame.visible[(y * w + x) as usize] {
                continue;
            }
            let slope = (0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1)));
            let steep = slope.0.hypot(slope.1);
            if steep < 4.0 {
                continue;
            }
            let normal = (-slope.0 / steep, -slope.1 / steep);
            let out = ((here - 127.5) / steep).min(2.0);
            found.push(((x as f32 + 0.5 + out * normal.0, y as f32 + 0.5 + out * normal.1), normal));
        }
    }
    found
}

fn unit((x, y): (f32, f32)) -> (f32, f32) {
    let length = x.hypot(y).max(1e-6);
    (x / length, y / length)
}

fn turned((x, y): (f32, f32), by: &Similarity) -> (f32, f32) {
    let (sin, cos) = by.angle.sin_cos();
    (cos * x - sin * y, sin * x + cos * y)
}

/// The profile about the strongest step within reach, nearer steps preferred, and the place of
/// the step.
fn profile(
    rgb: &RgbImage,
    middle: (f32, f32),
    normal: (f32, f32),
    stride: f32,
    reach: usize,
) -> Option<([Colour; LENGTH], (f32, f32))> {
    const WINDOW: usize = 4;
    let place = |i: f32| {
        let d = (i - reach as f32) * stride;
        (middle.0 + d * normal.0, middle.1 + d * normal.1)
    };
    let mut colours = Vec::with_capacity(2 * reach + 1);
    for i in 0..=2 * reach {
        let (x, y) = place(i as f32);
        colours.push(colour_at(rgb, x, y)?);
    }
    let mean = |from: usize| {
        let sum = colours[from..from + WINDOW]
            .iter()
            .fold([0f32; 3], |s, c| [s[0] + c[0], s[1] + c[1], s[2] + c[2]]);
        sum.map(|v| v / WINDOW as f32)
    };
    let free = (reach - HALF) as f32;
    let mut best: Option<(f32, f32, usize)> = None;
    for cut in HALF..=colours.len() - HALF {
        let (inside, outside) = (mean(cut - WINDOW), mean(cut));
        let step = apart(inside, outside);
        let off = (cut as f32 - 0.5 - reach as f32) / free;
        let score = step * (1.0 - 0.4 * off * off);
        if best.is_none_or(|(most, ..)| score > most) {
            best = Some((score, step, cut));
        }
    }
    let (_, _, cut) = best.filter(|(_, step, _)| *step >= STEP_MIN)?;
    let colours = <[Colour; LENGTH]>::try_from(&colours[cut - HALF..cut + HALF]).ok()?;
    Some((colours, place(cut as f32 - 0.5)))
}

/// The profile about a known edge.
fn straight(rgb: &RgbImage, at: (f32, f32), normal: (f32, f32), stride: f32) -> Option<[Colour; LENGTH]> {
    let mut colours = [[0f32; 3]; LENGTH];
    for (i, colour) in colours.iter_mut().enumerate() {
        let d = (i as f32 + 0.5 - HALF as f32) * stride;
        *colour = colour_at(rgb, at.0 + d * normal.0, at.1 + d * normal.1)?;
    }
    Some(colours)
}

/// The bilinear colour at a place, in pixels of the picture; `None` outside.
pub(super) fn colour_at(rgb: &RgbImage, x: f32, y: f32) -> Option<Colour> {
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    let (x, y) = (x - 0.5, y - 0.5);
    if !(x >= 0.0 && y >= 0.0) || w < 2 || h < 2 || x >= (w - 1) as f32 || y >= (h - 1) as f32 {
        return None;
    }
    let (x0, y0, u, v) = (x as usize, y as usize, x.fract(), y.fract());
    let (raw, above) = (rgb.as_raw(), 3 * (y0 * w + x0));
    let below = above + 3 * w;
    Some(std::array::from_fn(|c| {
        let level = |i: usize| f32::from(raw[i + c]);
        let upper = level(above) + u * (level(above + 3) - level(above));
        let lower = level(below) + u * (level(below + 3) - level(below));
        upper + v * (lower - upper)
    }))
}

/// The mean colour of a stretch of a profile.
pub(super) fn mean(colours: &[Colour]) -> Colour {
    let n = colours.len().max(1) as f32;
    colours.iter().fold([0f32; 3], |s, c| [s[0] + c[0] / n, s[1] + c[1] / n, s[2] + c[2] / n])
}

/// Difference of two colours in levels; what differs in hue alone counts half, because files
/// keep it at half the resolution.
pub(super) fn apart(a: Colour, b: Colour) -> f32 {
    length([a[0] - b[0], a[1] - b[1], a[2] - b[2]])
}

/// The same of a difference.
pub(super) fn length([r, g, b]: Colour) -> f32 {
    let y = light([r, g, b]);
    (y * y + 0.25 * ((r - y).powi(2) + (b - y).powi(2))).sqrt()
}

/// The lightness of a colour in levels.
pub(super) fn light([r, g, b]: Colour) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}
