//! Shadows that a product's silhouette throws on the surface it stands or lies on.
//!
//! The silhouette is read as a stack of thin slices above the ground. A slice at height
//! h blocks the key light at a distance that grows with h and with a penumbra as wide as
//! h times the light's angular size, and it blocks the sky in a blur of about its own
//! height. The union of all slices is dark and tight at the contact and opens up with
//! distance, which is what makes a product stand instead of float.

use image::GrayImage;

use crate::blur::{Plane, gaussian};

/// The light of a scene. Angles in radians.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Light {
    /// Where the key light stands, seen from above: 0 = from the right, pi/2 = from
    /// behind the product, pi = from the left, -pi/2 = from the camera.
    pub azimuth: f32,
    /// Height of the key light above the ground, 0.2 to 1.5.
    pub altitude: f32,
    /// Angular radius of the key light: 0.02 hard, 0.15 a window, 0.35 a large softbox.
    pub radius: f32,
    /// Share of the light that is key; the rest comes evenly from all sides. 0 to 1.
    pub key: f32,
}

/// How a product rests on its surface.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rest {
    /// Upright, the camera `elevation` radians above the horizon; a slice of width w is
    /// `depth` times w deep.
    Standing {
        /// 0.03 to 1.2.
        elevation: f32,
        /// 0.02 (a card) to 1 (round).
        depth: f32,
        /// Share of the depth along which the lower outline is the line of contact: 0.5
        /// for what is seen from its front or side, 1 for what stands obliquely.
        contact: f32,
    },
    /// Seen straight from above, `thickness` pixels of the mask high.
    Lying {
        /// In pixels of the mask given.
        thickness: f32,
        /// Share of the thickness by which the rim hovers over the surface: 0 for cloth,
        /// 0.5 for a round body.
        overhang: f32,
    },
}

/// How much light still reaches each point of the ground.
#[derive(Clone, Debug)]
pub struct GroundShadow {
    /// Transmittance, 0 = no light, 1 = all.
    map: Plane,
    /// Ground coordinates (pixels of the mask) of the map's first texel.
    origin: (f32, f32),
    /// Pixels of the mask per texel.
    texel: f32,
    /// Row of the mask (from its top) on which ground coordinate z = 0 lies: the foremost
    /// point of contact; for a lying
    /// product ground coordinates are the mask's own.
    pub ground_row: f32,
}

impl GroundShadow {
    /// Transmittance at ground point (x, z), in pixels of the mask: x to the right from
    /// the mask's left edge, z towards the camera from [`Self::ground_row`].
    pub fn at(&self, x: f32, z: f32) -> f32 {
        let u = (x - self.origin.0) / self.texel - 0.5;
        let v = (z - self.origin.1) / self.texel - 0.5;
        let (w, h) = (self.map.width as usize, self.map.height as usize);
        if !(u > 0.0 && v > 0.0 && u < w as f32 - 1.0 && v < h as f32 - 1.0) {
            return 1.0;
        }
        let (i, j) = (u as usize, v as usize);
        let (fu, fv) = (u - i as f32, v - j as f32);
        let at = |i: usize, j: usize| self.map.data[j * w + i];
        let (i1, j1) = ((i + 1).min(w - 1), (j + 1).min(h - 1));
        let top = at(i, j) + (at(i1, j) - at(i, j)) * fu;
        let bottom = at(i, j1) + (at(i1, j1) - at(i, j1)) * fu;
        top + (bottom - top) * fv
    }
}

/// Texels along the longer side of the silhouette.
const TEXELS: f32 = 240.0;
/// Heights at which the stack is cut, as shares of the whole height: each band holds
/// slices that share one blur.
const BANDS: [f32; 8] = [0.0, 0.012, 0.035, 0.08, 0.16, 0.3, 0.55, 1.0];
/// How much sky a band takes from the ground right below it.
const SKY: [f32; 7] = [0.7, 0.5, 0.4, 0.34, 0.28, 0.22, 0.16];

/// The shadow of `mask` (coverage; 128 and more counts as product).
/// An empty mask throws none.
pub fn ground_shadow(mask: &GrayImage, rest: Rest, light: Light) -> GroundShadow {
    let Some(stack) = Stack::new(mask) else {
        return GroundShadow { map: Plane::new(1, 1, 1.0), origin: (0.0, 0.0), texel: 1.0, ground_row: 0.0 };
    };
    match rest {
        Rest::Standing { elevation, depth, contact } => {
            let body = Body { depth: depth.clamp(0.02, 1.0), contact: contact.clamp(0.1, 1.0) };
            standing(&stack, elevation.clamp(0.03, 1.3), body, light)
        }
        Rest::Lying { thickness, overhang } => {
            lying(&stack, thickness.max(1.0), overhang.clamp(0.0, 0.9), light)
        }
    }
}

/// The silhouette at the resolution of the shadow map.
struct Stack {
    rows: Vec<Vec<(f32, f32)>>,
    small: Plane,
    texel: f32,
    bottom: f32,
    size: (f32, f32),
}

impl Stack {
    fn new(mask: &GrayImage) -> Option<Self> {
        let longest = mask.width().max(mask.height()) as f32;
        let texel = (longest / TEXELS).max(1.0);
        let (w, h) =
            ((mask.width() as f32 / texel).ceil() as u32, (mask.height() as f32 / texel).ceil() as u32);
        if w == 0 || h == 0 {
            return None;
        }
        let mut small = Plane::new(w, h, 0.0);
        for j in 0..h {
            for i in 0..w {
                small.data[(j * w + i) as usize] = mean(mask, i, j, texel);
            }
        }
        let rows: Vec<Vec<(f32, f32)>> = small.data.chunks_exact(w as usize).map(runs).collect();
        let bottom = rows.iter().rposition(|runs| !runs.is_empty())? as f32 + 1.0;
        Some(Self { rows, small, texel, bottom, size: (w as f32, h as f32) })
    }

    fn covered(&self, x: usize, row: i64) -> bool {
        self.small.at(x as i64, row) >= 0.5
    }

    /// Covered texels of a column from `row` on, in steps of `step` rows.
    fn stretch(&self, x: usize, row: i64, step: i64) -> f32 {
        let inside = |row: &i64| (0..i64::from(self.small.height)).contains(row);
        std::iter::successors(Some(row), |row| Some(row + step))
            .take_while(|row| inside(row) && self.covered(x, *row))
            .count() as f32
    }

    /// First and last covered column.
    fn extent(&self) -> (f32, f32) {
        let runs = || self.rows.iter().flatten();
        let left = runs().map(|run| run.0).fold(f32::INFINITY, f32::min);
        let right = runs().map(|run| run.1).fold(0.0, f32::max);
        (left.min(right), right)
    }
}

/// Mean coverage (0 to 1) of the mask's pixels under texel (i, j).
fn mean(mask: &GrayImage, i: u32, j: u32, texel: f32) -> f32 {
    let range = |n: u32, limit: u32| {
        let start = ((n as f32 * texel) as u32).min(limit.saturating_sub(1));
        let end = (((n + 1) as f32 * texel) as u32).clamp(start + 1, limit.max(start + 1));
        start..end.min(limit)
    };
    let (xs, ys) = (range(i, mask.width()), range(j, mask.height()));
    let count = (xs.len() * ys.len()).max(1) as f32;
    let sum: u32 = ys.flat_map(|y| xs.clone().map(move |x| u32::from(mask.get_pixel(x, y).0[0]))).sum();
    sum as f32 / count / 255.0
}

/// Start and end of each covered stretch of a row.
fn runs(row: &[f32]) -> Vec<(f32, f32)> {
    let mut found = Vec::new();
    let mut start = None;
    for (x, value) in row.iter().chain(std::iter::once(&0.0)).enumerate() {
        match (start, *value >= 0.5) {
            (None, true) => start = Some(x as f32),
            (Some(from), false) => {
                found.push((from, x as f32));
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    found
}

/// Where each column of the silhouette meets the ground.
///
/// The lower outline of a thing that stands *is* its line of contact, seen in
/// perspective: a column whose lower end is higher in the picture stands further back.
/// That holds as far as the product is deep; what ends higher still (a handle, a brim)
/// hangs in the air above the middle of the base.
struct Contact {
    /// Row, in texels, at which the column's ground lies.
    row: f32,
    /// Depth of its front, 0 = the foremost point, negative = further back.
    front: f32,
    /// Whether the column hangs: then `front` is the middle of its depth.
    hangs: bool,
}

/// What is assumed of a standing product; see [`Rest::Standing`].
#[derive(Clone, Copy)]
struct Body {
    depth: f32,
    contact: f32,
}

impl Body {
    /// Whether its slices are circles from above; others have a flat front.
    fn is_round(self) -> bool {
        self.depth > 0.8
    }
}

/// The lower outline of a standing product, column by column.
struct Lower {
    /// Rows by which a column's lower end lies above the lowest one, in texels; columns
    /// without product count from the very top.
    lifts: Vec<f32>,
}

impl Lower {
    fn of(stack: &Stack) -> Self {
        let mut lower = vec![0.0; stack.small.width as usize];
        for (y, runs) in stack.rows.iter().enumerate() {
            for (from, to) in runs {
                lower[*from as usize..*to as usize].fill(y as f32 + 1.0);
            }
        }
        Self { lifts: lower.into_iter().map(|end| stack.bottom - end).collect() }
    }

    /// Columns of the base of a round body, from its lowest point outwards: its front rises
    /// by at most radius times `sin`, and what rises further beside it (a handle, a spout)
    /// is not of the base.
    fn round_base(&self, sin: f32) -> std::ops::Range<usize> {
        let lowest = self.lifts.iter().position(|lift| *lift <= 0.0).unwrap_or(0);
        let around = |slack: f32| {
            let outside = |column: &usize| self.lifts[*column] > slack;
            let end = (lowest..self.lifts.len()).find(outside).unwrap_or(self.lifts.len());
            (0..lowest).rev().find(outside).map_or(0, |column| column + 1)..end
        };
        let mut base = around(2.0);
        for _ in 0..6 {
            base = around((0.55 * base.len() as f32 * sin).max(2.0));
        }
        base
    }
}

/// `deepest`: depth of the whole body, in texels.
fn contacts(stack: &Stack, sin: f32, deepest: f32, body: Body) -> Vec<Contact> {
    let lower = Lower::of(stack);
    let base = if body.is_round() { lower.round_base(sin) } else { 0..lower.lifts.len() };
    let (deepest, reach) = if body.is_round() {
        // A standing round body reaches no further back than it is wide at its foot.
        (base.len() as f32, f32::INFINITY)
    } else {
        (deepest, deepest * body.contact)
    };
    let contact = |(column, lift): (usize, &f32)| {
        let hangs = *lift > reach * sin || !base.contains(&column);
        let drop = if hangs { deepest * 0.5 * sin } else { *lift };
        Contact { row: stack.bottom - drop, front: -drop / sin, hangs }
    };
    lower.lifts.iter().enumerate().map(contact).collect()
}

fn standing(stack: &Stack, elevation: f32, body: Body, light: Light) -> GroundShadow {
    let (sin, cos) = (elevation.sin(), elevation.cos());
    let (left, right) = stack.extent();
    let width = right - left;
    let deepest = (width * body.depth).max(1.0);
    let columns = contacts(stack, sin, deepest, body);
    let height = (stack.bottom / cos).max(1.0);
    let margin = (height * throw(light) * 0.6 + height * 0.3).clamp(width * 0.25, width * 1.6 + height * 0.5);
    let mut canvas = Canvas::new(stack.size.0 + 2.0 * margin, deepest * 1.1 + 2.0 * margin);
    let (ox, oz) = (margin, margin + deepest * 1.1);
    let toward = (-light.azimuth.cos(), light.azimuth.sin());
    for band in 0..BANDS.len() - 1 {
        let (low, high) = (BANDS[band] * height, BANDS[band + 1] * height);
        let (mut key, mut sky) = (canvas.empty(), canvas.empty());
        let sky_sigma = ((low + high) * 0.34).max(0.008 * width / sin) + 0.35;
        let slices = ((high - low) / 1.5).ceil().clamp(1.0, 24.0) as u32;
        for slice in 0..slices {
            let h = low + (high - low) * (slice as f32 + if band == 0 { 0.0 } else { 0.5 }) / slices as f32;
            let shift = h * throw(light);
            // What is nearly on the ground is rounded below: its dark reaches out.
            let reach = if band == 0 { 0.8 * sky_sigma } else { 0.0 };
            for (x, back, front) in segments(stack, &columns, body, (deepest, sin), h * cos) {
                column(
                    &mut key,
                    x + ox + toward.0 * shift,
                    back + oz + toward.1 * shift,
                    front + oz + toward.1 * shift,
                );
                column(&mut sky, x + ox, back + oz, front + oz + reach);
            }
        }
        let key_sigma = ((low + high) * 0.5 * light.radius.tan()).max(0.0012 * width / sin) + 0.35;
        canvas.take(&key, key_sigma, &sky, sky_sigma, SKY[band]);
        if band == 0 {
            canvas.touch(&sky, 0.35 * sky_sigma, 0.62);
            canvas.touch(&sky, 1.3 * sky_sigma, 0.3);
        }
    }
    canvas.finish(stack.texel, (-ox * stack.texel, -oz * stack.texel), stack.bottom * stack.texel, light)
}

/// The slice `rise` texels of the picture above each column's ground: column, back and
/// front in depth.
///
/// However deep the body is assumed to be, it cannot be where the picture shows what is
/// behind it: a cap's brim is no deeper than it is seen to be, and the ground in a mug's
/// handle is free. This is the visual hull of one view: Laurentini, "The Visual Hull
/// Concept for Silhouette-Based Image Understanding", 1994.
fn segments(
    stack: &Stack,
    columns: &[Contact],
    body: Body,
    (deepest, sin): (f32, f32),
    rise: f32,
) -> Vec<(f32, f32, f32)> {
    let row = |x: usize| columns.get(x).map_or(-1.0, |contact| contact.row - rise - 0.5);
    let covered = |x: usize| row(x) >= 0.0 && stack.covered(x, row(x) as i64);
    let mut found = Vec::new();
    let mut start = 0;
    while start < columns.len() {
        if !covered(start) {
            start += 1;
            continue;
        }
        let end = (start..columns.len()).find(|x| !covered(*x)).unwrap_or(columns.len());
        let width = (end - start) as f32;
        for (x, contact) in columns.iter().enumerate().take(end).skip(start) {
            let u = ((x - start) as f32 + 0.5) / width * 2.0 - 1.0;
            let chord = if body.is_round() { (1.0 - u * u).sqrt() } else { (1.0 - u.powi(4)).sqrt().sqrt() };
            let deep = (width * body.depth).min(deepest) * chord;
            let ahead = if contact.hangs { deep * 0.5 } else { 0.0 };
            let seen = |step: i64| stack.stretch(x, row(x) as i64, step) / sin;
            let (behind, ahead) = ((deep - ahead).min(seen(-1)), ahead.min(seen(1)));
            found.push((x as f32, contact.front - behind.max(1.0), contact.front + ahead));
        }
        start = end;
    }
    found
}

fn lying(stack: &Stack, thickness: f32, overhang: f32, light: Light) -> GroundShadow {
    let thickness = thickness / stack.texel;
    let margin = thickness * (throw(light) + 2.5) + 6.0;
    let mut canvas = Canvas::new(stack.size.0 + 2.0 * margin, stack.size.1 + 2.0 * margin);
    let toward = (-light.azimuth.cos(), light.azimuth.sin());
    let (low, high) = (thickness * overhang, thickness);
    for (step, sky) in [0.5, 0.32, 0.24, 0.18].into_iter().enumerate() {
        let h = low + (high - low) * step as f32 / 3.0;
        let mut key = canvas.empty();
        let shift = h * throw(light);
        copy(&mut key, &stack.small, (margin + toward.0 * shift, margin + toward.1 * shift));
        let mut above = canvas.empty();
        copy(&mut above, &stack.small, (margin, margin));
        canvas.take(&key, h * light.radius.tan() + 0.4, &above, h * 0.6 + 0.5, sky);
        if step == 0 {
            canvas.touch(&above, 0.12 * thickness + 0.6, 0.4);
        }
    }
    let origin = -margin * stack.texel;
    canvas.finish(stack.texel, (origin, origin), 0.0, light)
}

/// How far the shadow of a point at height 1 is thrown.
fn throw(light: Light) -> f32 {
    (1.0 / light.altitude.clamp(0.2, 1.5).tan()).clamp(0.0, 5.0)
}

/// The map being built: what share of key and of sky each texel has lost.
struct Canvas {
    key: Plane,
    sky: Plane,
    /// Light kept in the crevice of the contact, whatever its source.
    crevice: Plane,
}

impl Canvas {
    fn new(width: f32, height: f32) -> Self {
        let side = |v: f32| v.ceil().clamp(4.0, 1400.0) as u32;
        let plane = Plane::new(side(width), side(height), 0.0);
        let crevice = Plane::new(plane.width, plane.height, 1.0);
        Self { key: plane.clone(), sky: plane, crevice }
    }

    fn empty(&self) -> Plane {
        Plane::new(self.key.width, self.key.height, 0.0)
    }

    /// Adds one band of slices, blurred.
    fn take(&mut self, key: &Plane, key_sigma: f32, sky: &Plane, sky_sigma: f32, weight: f32) {
        for (total, blocked) in self.key.data.iter_mut().zip(gaussian(key, key_sigma).data) {
            *total = total.max(blocked);
        }
        for (total, blocked) in self.sky.data.iter_mut().zip(gaussian(sky, sky_sigma).data) {
            *total = 1.0 - (1.0 - *total) * (1.0 - weight * blocked.clamp(0.0, 1.0));
        }
    }

    /// Darkens the line of contact by up to `depth`.
    fn touch(&mut self, contact: &Plane, sigma: f32, depth: f32) {
        for (left, covered) in self.crevice.data.iter_mut().zip(gaussian(contact, sigma).data) {
            *left *= 1.0 - depth * covered.clamp(0.0, 1.0);
        }
    }

    fn finish(self, texel: f32, origin: (f32, f32), ground_row: f32, light: Light) -> GroundShadow {
        let share = light.key.clamp(0.0, 1.0);
        let mut map = self.key;
        let (w, h) = (map.width as usize, map.height as usize);
        for (index, ((value, sky), crevice)) in
            map.data.iter_mut().zip(&self.sky.data).zip(&self.crevice.data).enumerate()
        {
            // Nothing may end in a visible edge at the border of the map.
            let (i, j) = (index % w, index / w);
            let border = i.min(w - 1 - i).min(j).min(h - 1 - j) as f32;
            let fade = (border / (0.12 * w.min(h) as f32).max(2.0)).min(1.0);
            let fade = fade * fade * (3.0 - 2.0 * fade);
            let left = (share * (1.0 - value.clamp(0.0, 1.0)) + (1.0 - share) * (1.0 - sky)) * crevice;
            *value = 1.0 - (1.0 - left) * fade;
        }
        GroundShadow { map, origin, texel, ground_row }
    }
}

/// Fills column `x` from `back` to `front`, in texels.
fn column(plane: &mut Plane, x: f32, back: f32, front: f32) {
    let (w, h) = (i64::from(plane.width), i64::from(plane.height));
    let x = x.round() as i64;
    if x < 0 || x >= w {
        return;
    }
    let from = (back.round() as i64).clamp(0, h);
    let to = (front.round() as i64).clamp(from, h);
    for j in from..to {
        plane.data[(j * w + x) as usize] = 1.0;
    }
}

/// Copies `small` into `plane` with its corner at `at`, rounded to whole texels.
fn copy(plane: &mut Plane, small: &Plane, at: (f32, f32)) {
    let (ox, oy) = (at.0.round() as i64, at.1.round() as i64);
    for j in 0..i64::from(small.height) {
        for i in 0..i64::from(small.width) {
            let (x, y) = (i + ox, j + oy);
            if x >= 0 && y >= 0 && x < i64::from(plane.width) && y < i64::from(plane.height) {
                plane.data[(y * i64::from(plane.width) + x) as usize] =
                    small.data[(j * i64::from(small.width) + i) as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::Luma;

    use super::*;

    const LIGHT: Light = Light { azimuth: std::f32::consts::PI, altitude: 0.8, radius: 0.15, key: 0.5 };

    fn block(w: u32, h: u32) -> GrayImage {
        GrayImage::from_pixel(w, h, Luma([255]))
    }

    #[test]
    fn light_from_the_left_throws_to_the_right() {
        let rest = Rest::Standing { elevation: 0.2, depth: 1.0, contact: 0.5 };
        let shadow = ground_shadow(&block(200, 300), rest, LIGHT);
        assert!(shadow.at(290.0, -100.0) < shadow.at(-90.0, -100.0) - 0.1);
    }

    #[test]
    fn darkest_at_the_contact_and_gone_far_away() {
        let rest = Rest::Standing { elevation: 0.2, depth: 1.0, contact: 0.5 };
        let shadow = ground_shadow(&block(200, 300), rest, LIGHT);
        assert!(shadow.at(100.0, -100.0) < 0.2);
        assert!(shadow.at(100.0, 10.0) < shadow.at(100.0, 100.0));
        assert_eq!(shadow.at(9000.0, 0.0), 1.0);
        assert_eq!(shadow.at(f32::NAN, 0.0), 1.0);
    }

    #[test]
    fn a_handle_throws_no_contact_shadow() {
        // A mug seen from 40 degrees: its base hangs 64 down in front, its handle ends above that.
        let mug = GrayImage::from_fn(320, 300, |x, y| {
            let (x, y) = (x as f32, y as f32);
            let u = (x - 220.0) / 100.0;
            let body = u.abs() < 1.0 && y < 235.0 + 64.0 * (1.0 - u * u).sqrt();
            let handle = ((x - 110.0).hypot(y - 140.0) - 70.0).abs() < 14.0;
            Luma([if body || handle { 255 } else { 0 }])
        });
        let rest = Rest::Standing { elevation: 0.7, depth: 1.0, contact: 0.5 };
        let shadow = ground_shadow(&mug, rest, LIGHT);
        let on_screen = |x: f32, y: f32| shadow.at(x, (y - shadow.ground_row) / 0.7_f32.sin());
        assert!(on_screen(110.0, 140.0) > 0.45, "inside the handle: {}", on_screen(110.0, 140.0));
        assert!(on_screen(220.0, 297.0) < 0.4, "under the base: {}", on_screen(220.0, 297.0));
    }

    #[test]
    fn the_ground_seen_behind_a_brim_is_free() {
        // A cap from the side: a dome, and a brim that reaches out to the right.
        let cap = GrayImage::from_fn(320, 160, |x, y| {
            let dome = (x as f32 - 100.0).hypot(y as f32 - 140.0) < 100.0 && y < 140;
            let brim = (90..310).contains(&x) && (126..144).contains(&y);
            Luma([if dome || brim { 255 } else { 0 }])
        });
        let rest = Rest::Standing { elevation: 0.3, depth: 1.0, contact: 0.5 };
        let shadow = ground_shadow(&cap, rest, Light { azimuth: 0.0, ..LIGHT });
        let behind = shadow.at(285.0, (112.0 - shadow.ground_row) / 0.3_f32.sin());
        assert!(behind > 0.5, "light behind the brim: {behind}");
    }

    #[test]
    fn a_lying_product_is_dark_at_its_rim() {
        let shadow = ground_shadow(&block(400, 300), Rest::Lying { thickness: 20.0, overhang: 0.1 }, LIGHT);
        assert!(shadow.at(404.0, 150.0) < 0.75);
        assert!(shadow.at(-4.0, 150.0) > shadow.at(404.0, 150.0));
    }

    #[test]
    fn odd_masks_do_not_panic() {
        for (w, h) in [(0, 0), (1, 1), (1, 500), (3000, 1)] {
            for value in [0, 255] {
                let mask = GrayImage::from_pixel(w, h, Luma([value]));
                let _ =
                    ground_shadow(&mask, Rest::Standing { elevation: 0.1, depth: 0.4, contact: 0.5 }, LIGHT)
                        .at(0.0, 0.0);
                let _ =
                    ground_shadow(&mask, Rest::Lying { thickness: 9.0, overhang: 0.0 }, LIGHT).at(0.0, 0.0);
            }
        }
    }
}
