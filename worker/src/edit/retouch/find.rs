//! Finding dust and scratches by how they differ from the surface around them.
//!
//! A speck is a small, compact, nearly colourless spot alone on a uniform surface; a scratch
//! is a thin, straight, faint line with the same surface on both sides. Whatever comes in
//! groups of equals (stitches, rivets, dots, print) is a pattern and stays.

use image::{GrayImage, Luma, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::mask;

/// What to look for.
pub(super) struct Wanted {
    pub(super) dust: bool,
    pub(super) scratches: bool,
    /// Also where a seam could be meant.
    pub(super) scratches_on_product: bool,
    /// 0 to 1: how faint a defect may be.
    pub(super) sensitivity: f32,
}

/// What was found.
pub(super) struct Found {
    /// 255 on the defects, grown to cover their soft edges.
    pub(super) mask: GrayImage,
    pub(super) specks: usize,
    pub(super) scratches: usize,
}

/// Specks looked at, strongest first.
const CANDIDATES_MAX: usize = 3_000;
/// Specks of equal size and contrast from which they count as a pattern.
const PATTERN_MIN: usize = 5;
/// How far around a speck its likes are counted, in px per 1000 px of image.
const CROWD_REACH: f32 = 55.0;
/// Likes around a speck on the product from which it is not dust.
const CROWD_MAX: usize = 3;

/// Looks for defects in `image`, inside `area` when given. Where `alpha` is given, pixels under
/// 250 are not looked at.
pub(super) fn defects(
    image: &RgbImage,
    alpha: Option<&GrayImage>,
    product: Option<&GrayImage>,
    area: Option<&GrayImage>,
    wanted: &Wanted,
) -> Found {
    let (w, h) = image.dimensions();
    let mut found = Found { mask: GrayImage::new(w, h), specks: 0, scratches: 0 };
    let looked_at = |x: u32, y: u32| {
        alpha.is_none_or(|alpha| alpha.get_pixel(x, y).0[0] >= 250)
            && area.is_none_or(|area| area.get_pixel(x, y).0[0] >= mask::SET)
    };
    let on_product =
        |x: u32, y: u32| product.or(alpha).is_none_or(|product| product.get_pixel(x, y).0[0] >= 16);
    let luma = luma(image);
    let unit = (w.min(h) as f32 / 1000.0).max(1.0);
    if wanted.dust {
        let specks = specks(image, &luma, unit, wanted.sensitivity, &looked_at, &on_product);
        let specks = without_patterns(specks, &on_product);
        for speck in &specks {
            for (x, y) in &speck.pixels {
                found.mask.put_pixel(*x, *y, Luma([255]));
            }
        }
        found.specks = specks.len();
    }
    if wanted.scratches {
        let allowed = |x: u32, y: u32| looked_at(x, y) && (wanted.scratches_on_product || !on_product(x, y));
        found.scratches = scratches(&luma, unit, wanted.sensitivity, &allowed, &mut found.mask);
    }
    found.mask = mask::dilate(&found.mask, (1.2 * unit).round().max(1.0) as u32);
    found
}

fn luma(image: &RgbImage) -> Plane {
    let data = image
        .pixels()
        .map(|p| 0.299 * f32::from(p.0[0]) + 0.587 * f32::from(p.0[1]) + 0.114 * f32::from(p.0[2]))
        .collect();
    Plane { width: image.width(), height: image.height(), data }
}

struct Speck {
    x: u32,
    y: u32,
    radius: f32,
    contrast: f32,
    pixels: Vec<(u32, u32)>,
}

fn specks(
    image: &RgbImage,
    luma: &Plane,
    unit: f32,
    sensitivity: f32,
    looked_at: &impl Fn(u32, u32) -> bool,
    on_product: &impl Fn(u32, u32) -> bool,
) -> Vec<Speck> {
    let floor = 16.0 - 11.0 * sensitivity;
    let mut candidates: Vec<(f32, u32, u32, f32)> = Vec::new();
    let mut finer = gaussian(luma, 0.7 * unit);
    for sigma in [1.1, 1.8, 2.9].map(|sigma| sigma * unit) {
        let coarser = gaussian(luma, sigma * 2.5);
        let response = finer.zip(&coarser, |a, b| a - b);
        for (x, y, value) in peaks(&response, floor * 0.35) {
            if looked_at(x, y) {
                candidates.push((value, x, y, sigma));
            }
        }
        finer = gaussian(luma, sigma * 1.1);
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.2, a.1).cmp(&(b.2, b.1))));
    candidates.truncate(CANDIDATES_MAX);
    let all = candidates.clone();
    let mut specks: Vec<Speck> = Vec::new();
    for (_, x, y, sigma) in candidates {
        let near =
            |speck: &Speck| x.abs_diff(speck.x).max(y.abs_diff(speck.y)) as f32 <= speck.radius + sigma * 2.0;
        if specks.iter().any(near) {
            continue;
        }
        if let Some(speck) = examined(image, luma, (x, y), sigma, floor, sensitivity) {
            specks.push(speck);
        }
    }
    specks.retain(|speck| !on_product(speck.x, speck.y) || !crowded(speck, &all, unit));
    specks
}

/// Whether there is more of its kind around than dust would leave: glitter, a weave, stitches,
/// perforations, print. Weaker ones count too.
fn crowded(speck: &Speck, candidates: &[(f32, u32, u32, f32)], unit: f32) -> bool {
    let reach = (CROWD_REACH * unit).max(20.0 * speck.radius);
    let own = candidates
        .iter()
        .filter(|c| c.1.abs_diff(speck.x).max(c.2.abs_diff(speck.y)) as f32 <= speck.radius + 2.0)
        .fold(0.0_f32, |top, c| top.max(c.0));
    let around = candidates
        .iter()
        .filter(|(value, x, y, sigma)| {
            let far = (x.abs_diff(speck.x) as f32).hypot(y.abs_diff(speck.y) as f32);
            far > 2.0 * speck.radius + 2.0 * sigma && far < reach && *value > 0.4 * own
        })
        .count();
    around > CROWD_MAX
}

/// Local extremes of at least `floor`, with their absolute value.
fn peaks(response: &Plane, floor: f32) -> Vec<(u32, u32, f32)> {
    let (w, h) = (response.width as usize, response.height as usize);
    let mut found = Vec::new();
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let here = response.data[y * w + x].abs();
            if here < floor {
                continue;
            }
            let beaten = (0..9).filter(|k| *k != 4).any(|k| {
                let near = response.data[(y + k / 3 - 1) * w + x + k % 3 - 1].abs();
                near > here || near == here && k < 4
            });
            if !beaten {
                found.push((x as u32, y as u32, here));
            }
        }
    }
    found
}

/// Whether there is a speck at a peak, by the ring around it and by its own shape.
fn examined(
    image: &RgbImage,
    luma: &Plane,
    (x, y): (u32, u32),
    sigma: f32,
    floor: f32,
    sensitivity: f32,
) -> Option<Speck> {
    let reach = (sigma * 7.0).ceil() as i64;
    let (inner, outer) = (sigma * 3.6, sigma * 7.0);
    let (cx, cy) = (i64::from(x), i64::from(y));
    let mut ring = Vec::new();
    let mut colours = [[0.0_f32; 3]; 2];
    let mut counts = [0.0_f32; 2];
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (px, py) = (cx + dx, cy + dy);
            let distance = ((dx * dx + dy * dy) as f32).sqrt();
            let which = usize::from(distance > inner);
            if distance > outer || which == 0 && distance > sigma {
                continue;
            }
            let Some(pixel) = pixel_at(image, px, py) else { continue };
            for (sum, value) in colours[which].iter_mut().zip(pixel) {
                *sum += f32::from(value);
            }
            counts[which] += 1.0;
            if which == 1 {
                ring.push(luma.at(px, py));
            }
        }
    }
    if ring.len() < 12 || counts[0] < 1.0 {
        return None;
    }
    ring.sort_by(f32::total_cmp);
    let at = |share: f32| ring[((ring.len() - 1) as f32 * share) as usize];
    let (middle, spread) = (at(0.5), at(0.93) - at(0.07));
    let contrast = luma.at(cx, cy) - middle;
    let demanded = 1.9 - 0.9 * sensitivity;
    if contrast.abs() < floor || contrast.abs() < demanded * spread {
        return None;
    }
    if coloured(&colours, counts) {
        return None;
    }
    shaped(luma, (x, y), sigma, middle, contrast)
}

/// A speck only adds or takes light; a coloured dot is something of its own.
fn coloured(colours: &[[f32; 3]; 2], counts: [f32; 2]) -> bool {
    let difference: [f32; 3] = std::array::from_fn(|c| colours[0][c] / counts[0] - colours[1][c] / counts[1]);
    let mean = difference.iter().sum::<f32>() / 3.0;
    let off = difference.iter().map(|d| (d - mean).abs()).fold(0.0, f32::max);
    off > 6.0 + 0.6 * mean.abs()
}

/// The connected pixels that share at least 35 % of the contrast, if they are compact.
fn shaped(luma: &Plane, (x, y): (u32, u32), sigma: f32, middle: f32, contrast: f32) -> Option<Speck> {
    let reach = (sigma * 4.5).ceil() as i64;
    let (cx, cy) = (i64::from(x), i64::from(y));
    let side = (2 * reach + 1) as usize;
    let mut seen = vec![false; side * side];
    let mut stack = vec![(0_i64, 0_i64)];
    let mut pixels = Vec::new();
    let (mut left, mut right, mut top, mut bottom) = (0, 0, 0, 0);
    while let Some((dx, dy)) = stack.pop() {
        let (px, py) = (cx + dx, cy + dy);
        if px < 0 || py < 0 || px >= i64::from(luma.width) || py >= i64::from(luma.height) {
            continue;
        }
        if dx.abs() > reach || dy.abs() > reach {
            return None;
        }
        let index = (dy + reach) as usize * side + (dx + reach) as usize;
        if seen[index] || (luma.at(px, py) - middle) / contrast < 0.35 {
            continue;
        }
        seen[index] = true;
        pixels.push((px as u32, py as u32));
        (left, right, top, bottom) = (left.min(dx), right.max(dx), top.min(dy), bottom.max(dy));
        stack.extend([(dx - 1, dy), (dx + 1, dy), (dx, dy - 1), (dx, dy + 1)]);
    }
    let (w, h) = ((right - left + 1) as f32, (bottom - top + 1) as f32);
    let compact = pixels.len() as f32 >= 0.4 * w * h && w.max(h) <= 3.5 * w.min(h) + 1.0;
    compact.then_some(Speck { x, y, radius: w.max(h) / 2.0, contrast, pixels })
}

/// Drops specks that have many likes: on the product those are rivets, stitches and dots.
fn without_patterns(specks: Vec<Speck>, on_product: &impl Fn(u32, u32) -> bool) -> Vec<Speck> {
    let alike = |a: &Speck, b: &Speck| {
        let sizes = a.radius.max(b.radius) <= 1.35 * a.radius.min(b.radius) + 0.5;
        let contrasts = a.contrast * b.contrast > 0.0
            && a.contrast.abs().max(b.contrast.abs()) <= 1.3 * a.contrast.abs().min(b.contrast.abs());
        let reach = 14.0 * a.radius.max(b.radius);
        sizes && contrasts && (a.x.abs_diff(b.x).max(a.y.abs_diff(b.y)) as f32) <= reach
    };
    let keep: Vec<bool> = specks
        .iter()
        .map(|speck| {
            !on_product(speck.x, speck.y)
                || specks.iter().filter(|other| alike(speck, other)).count() < PATTERN_MIN
        })
        .collect();
    specks.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(speck, _)| speck).collect()
}

fn pixel_at(image: &RgbImage, x: i64, y: i64) -> Option<[u8; 3]> {
    let inside = x >= 0 && y >= 0;
    inside.then(|| image.get_pixel_checked(x as u32, y as u32).map(|p| p.0)).flatten()
}

/// Marks scratches in `marked` and counts them.
fn scratches(
    luma: &Plane,
    unit: f32,
    sensitivity: f32,
    allowed: &impl Fn(u32, u32) -> bool,
    marked: &mut GrayImage,
) -> usize {
    let (w, h) = (luma.width, luma.height);
    let floor = 9.0 - 6.0 * sensitivity;
    let sigma = 1.3 * unit;
    let smooth = gaussian(luma, sigma);
    let mut ridges = GrayImage::new(w, h);
    for y in 0..h {
        for x in 0..w {
            if allowed(x, y) && is_ridge(&smooth, i64::from(x), i64::from(y), sigma, floor) {
                ridges.put_pixel(x, y, Luma([255]));
            }
        }
    }
    // A weave or a page of text is all ridges; a scratch is alone.
    let crowd = gaussian(&Plane::from_gray(&ridges), 16.0 * unit);
    let level = crowd_level(&ridges);
    let labels = mask::label(&ridges);
    let length_min = 26.0 * unit;
    let mut found = 0;
    for component in &labels.components {
        if (component.area as f32) < length_min || found >= 200 {
            continue;
        }
        let rect = component.rect;
        let points: Vec<(f32, f32)> = (rect.y..rect.y + rect.h)
            .flat_map(|y| (rect.x..rect.x + rect.w).map(move |x| (x, y)))
            .filter(|(x, y)| labels.map[(y * w + x) as usize] == component.label)
            .map(|(x, y)| (x as f32, y as f32))
            .collect();
        let (long, thin) = extents(&points);
        let crowding =
            points.iter().map(|(x, y)| crowd.at(*x as i64, *y as i64)).sum::<f32>() / points.len() as f32;
        if long < length_min || thin > 0.06 * long + 2.0 * unit || crowding > level {
            continue;
        }
        found += 1;
        for (x, y) in points {
            marked.put_pixel(x as u32, y as u32, Luma([255]));
        }
    }
    if found > 0 {
        *marked = mask::dilate(marked, unit.round() as u32);
    }
    found
}

/// Crowding (in 0..=255 of `Plane::from_gray`) that a single line does not reach.
fn crowd_level(ridges: &GrayImage) -> f32 {
    let scale = Plane::from_gray(&GrayImage::from_pixel(1, 1, Luma([255]))).data[0];
    if ridges.is_empty() { 0.0 } else { 0.14 * scale }
}

/// A thin line: the same surface on both sides, another one between.
fn is_ridge(smooth: &Plane, x: i64, y: i64, sigma: f32, floor: f32) -> bool {
    let step = (2.6 * sigma).round().max(2.0) as i64;
    let here = smooth.at(x, y);
    [(1, 0), (0, 1), (1, 1), (1, -1)].into_iter().any(|(dx, dy)| {
        // Diagonal steps are longer.
        let step = if dx != 0 && dy != 0 { (step * 5 + 6) / 7 } else { step };
        let a = smooth.at(x + dx * step, y + dy * step);
        let b = smooth.at(x - dx * step, y - dy * step);
        let (rise_a, rise_b) = (here - a, here - b);
        let even = (a - b).abs() < 0.45 * rise_a.abs().min(rise_b.abs());
        // Along the line nothing changes.
        let along = [smooth.at(x - dy * step, y + dx * step), smooth.at(x + dy * step, y - dx * step)];
        let flat = along.iter().any(|v| (v - here).abs() < 0.6 * rise_a.abs());
        rise_a * rise_b > 0.0 && rise_a.abs().min(rise_b.abs()) >= floor && even && flat
    })
}

/// Lengths of a point set along and across its main axis, in px.
fn extents(points: &[(f32, f32)]) -> (f32, f32) {
    let count = points.len().max(1) as f32;
    let (mx, my) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - mx).powi(2);
        yy += (y - my).powi(2);
        xy += (x - mx) * (y - my);
    }
    let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
    let (dx, dy) = (angle.cos(), angle.sin());
    let span = |f: &dyn Fn(f32, f32) -> f32| {
        let (low, high) = points.iter().fold((f32::MAX, f32::MIN), |(low, high), (x, y)| {
            let v = f(*x, *y);
            (low.min(v), high.max(v))
        });
        (high - low + 1.0).max(0.0)
    };
    (span(&|x, y| x * dx + y * dy), span(&|x, y| y * dx - x * dy))
}
