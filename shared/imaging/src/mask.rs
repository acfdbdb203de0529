//! Binary morphology, components and distances on coverage masks.
//!
//! A mask is a `GrayImage`, 0 = background, 255 = product. Functions that need a yes or a no
//! take a pixel as *set* from [`SET`] on; their results hold only 0 and 255. Every function
//! accepts every size, empty (0x0) images too.

use std::collections::VecDeque;

use image::{GrayImage, Luma};

use crate::blur::{Plane, gaussian};
use crate::photo::Rect;

/// Coverage from which a pixel counts as set.
pub const SET: u8 = 128;

/// One connected group of set pixels (8-connected).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Component {
    /// Its number in the label map of [`label`], from 1.
    pub label: u32,
    /// Smallest rectangle that holds it.
    pub rect: Rect,
    /// Its pixels.
    pub area: u64,
}

/// Which component each pixel belongs to.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Width in pixels.
    pub width: u32,
    /// Row-major; 0 = background, else [`Component::label`].
    pub map: Vec<u32>,
    /// All components, largest first.
    pub components: Vec<Component>,
}

impl Labels {
    /// The mask of those components for which `keep` says yes.
    pub fn select(&self, keep: impl Fn(&Component) -> bool) -> GrayImage {
        let mut kept = vec![0_u8; self.components.len() + 1];
        for component in &self.components {
            if keep(component) {
                kept[component.label as usize] = 255;
            }
        }
        let height = (self.map.len() as u32).checked_div(self.width).unwrap_or(0);
        let pixels = self.map.iter().map(|&label| kept[label as usize]).collect();
        GrayImage::from_raw(self.width, height, pixels).unwrap_or_default()
    }
}

/// 255 where `mask` is at least `level`, 0 elsewhere.
pub fn threshold(mask: &GrayImage, level: u8) -> GrayImage {
    map(mask, |v| if v >= level { 255 } else { 0 })
}

/// The complement: 255 − coverage.
pub fn invert(mask: &GrayImage) -> GrayImage {
    map(mask, |v| 255 - v)
}

/// Pixel-wise maximum of two masks; where sizes differ, `b` counts as 0 outside itself.
pub fn union(a: &GrayImage, b: &GrayImage) -> GrayImage {
    zip(a, b, u8::max)
}

/// Pixel-wise minimum of two masks; where sizes differ, `b` counts as 0 outside itself.
pub fn intersection(a: &GrayImage, b: &GrayImage) -> GrayImage {
    zip(a, b, u8::min)
}

/// `a` without what `b` covers: the smaller of `a` and the complement of `b`.
pub fn difference(a: &GrayImage, b: &GrayImage) -> GrayImage {
    zip(a, b, |a, b| a.min(255 - b))
}

/// Number of set pixels.
pub fn area(mask: &GrayImage) -> u64 {
    mask.as_raw().iter().filter(|&&v| v >= SET).count() as u64
}

/// Smallest rectangle holding every pixel of at least `level` (0 counts as 1); `None` when
/// there is none.
pub fn bounds(mask: &GrayImage, level: u8) -> Option<Rect> {
    let level = level.max(1);
    let width = mask.width() as usize;
    if width == 0 {
        return None;
    }
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for (y, row) in mask.as_raw().chunks_exact(width).enumerate() {
        let Some(first) = row.iter().position(|&v| v >= level) else { continue };
        let last = row.iter().rposition(|&v| v >= level).unwrap_or(first);
        left = left.min(first);
        right = right.max(last);
        top = top.min(y);
        bottom = y;
    }
    (top != usize::MAX).then(|| Rect {
        x: left as u32,
        y: top as u32,
        w: (right - left + 1) as u32,
        h: (bottom - top + 1) as u32,
    })
}

/// Intersection over union of the set pixels of two masks, 0 to 1; 1 when both are empty, 0
/// when their sizes differ.
pub fn iou(a: &GrayImage, b: &GrayImage) -> f32 {
    if a.dimensions() != b.dimensions() {
        return 0.0;
    }
    let (mut both, mut any) = (0_u64, 0_u64);
    for (&a, &b) in a.as_raw().iter().zip(b.as_raw()) {
        both += u64::from(a >= SET && b >= SET);
        any += u64::from(a >= SET || b >= SET);
    }
    if any == 0 { 1.0 } else { both as f32 / any as f32 }
}

/// Connected components (8-connected) with at least `area_min` set pixels, largest first.
pub fn components(mask: &GrayImage, area_min: u64) -> Vec<Component> {
    let mut found = label(mask).components;
    found.retain(|component| component.area >= area_min);
    found
}

/// Labels the connected components (8-connected) of the set pixels.
pub fn label(mask: &GrayImage) -> Labels {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let pixels = mask.as_raw();
    let mut map = vec![0_u32; pixels.len()];
    let mut components = Vec::new();
    let mut queue = VecDeque::new();
    for start in 0..pixels.len() {
        if pixels[start] < SET || map[start] != 0 {
            continue;
        }
        let name = components.len() as u32 + 1;
        map[start] = name;
        queue.push_back(start);
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
        let mut area = 0;
        while let Some(at) = queue.pop_front() {
            let (x, y) = (at % width, at / width);
            area += 1;
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = ny * width + nx;
                    if pixels[next] >= SET && map[next] == 0 {
                        map[next] = name;
                        queue.push_back(next);
                    }
                }
            }
        }
        let (w, h) = ((right - left + 1) as u32, (bottom - top + 1) as u32);
        components.push(Component { label: name, rect: Rect { x: left as u32, y: top as u32, w, h }, area });
    }
    components.sort_by_key(|component| std::cmp::Reverse(component.area));
    Labels { width: mask.width(), map, components }
}

/// The set pixels grown by a disc of `radius` px.
pub fn dilate(mask: &GrayImage, radius: u32) -> GrayImage {
    if radius == 0 {
        return threshold(mask, SET);
    }
    near(mask, true, radius)
}

/// The set pixels shrunk by a disc of `radius` px; the frame's edge does not eat into the mask.
pub fn erode(mask: &GrayImage, radius: u32) -> GrayImage {
    if radius == 0 {
        return threshold(mask, SET);
    }
    invert(&near(mask, false, radius))
}

/// Erosion then dilation: removes what is thinner than about `2 * radius` px.
pub fn open(mask: &GrayImage, radius: u32) -> GrayImage {
    dilate(&erode(mask, radius), radius)
}

/// Dilation then erosion: closes gaps narrower than about `2 * radius` px.
pub fn close(mask: &GrayImage, radius: u32) -> GrayImage {
    erode(&dilate(mask, radius), radius)
}

/// The mask with its edges softened by a Gaussian of `sigma` px.
pub fn feather(mask: &GrayImage, sigma: f32) -> GrayImage {
    if mask.as_raw().is_empty() || sigma.is_nan() || sigma <= 0.0 {
        return mask.clone();
    }
    gaussian(&Plane::from_gray(mask), sigma).to_gray()
}

/// For every set pixel the Euclidean distance in px to the nearest pixel that is not set, 0
/// elsewhere; the frame's outside does not count. All pixels set: the frame's diagonal.
pub fn distance_inside(mask: &GrayImage) -> Plane {
    distance(mask, false)
}

/// For every pixel that is not set the Euclidean distance in px to the nearest set pixel, 0
/// elsewhere. Nothing set: the frame's diagonal.
pub fn distance_outside(mask: &GrayImage) -> Plane {
    distance(mask, true)
}

/// Background enclosed by set pixels: what cannot reach the frame's edge through unset pixels
/// (4-connected).
pub fn holes(mask: &GrayImage) -> GrayImage {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let pixels = mask.as_raw();
    let mut outside = vec![false; pixels.len()];
    let mut stack = Vec::new();
    for at in 0..pixels.len() {
        let (x, y) = (at % width, at / width);
        let rim = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
        if rim && pixels[at] < SET && !outside[at] {
            outside[at] = true;
            stack.push(at);
        }
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            let mut visit = |next: usize| {
                if pixels[next] < SET && !outside[next] {
                    outside[next] = true;
                    stack.push(next);
                }
            };
            if x > 0 {
                visit(at - 1);
            }
            if x + 1 < width {
                visit(at + 1);
            }
            if y > 0 {
                visit(at - width);
            }
            if y + 1 < height {
                visit(at + width);
            }
        }
    }
    from_fn(mask, |at| if pixels[at] < SET && !outside[at] { 255 } else { 0 })
}

/// The set pixels with every enclosed hole filled.
pub fn fill_holes(mask: &GrayImage) -> GrayImage {
    union(&threshold(mask, SET), &holes(mask))
}

fn map(mask: &GrayImage, change: impl Fn(u8) -> u8) -> GrayImage {
    let pixels = mask.as_raw().iter().map(|&v| change(v)).collect();
    GrayImage::from_raw(mask.width(), mask.height(), pixels).unwrap_or_default()
}

fn from_fn(like: &GrayImage, value: impl Fn(usize) -> u8) -> GrayImage {
    let pixels = (0..like.as_raw().len()).map(value).collect();
    GrayImage::from_raw(like.width(), like.height(), pixels).unwrap_or_default()
}

fn zip(a: &GrayImage, b: &GrayImage, join: impl Fn(u8, u8) -> u8) -> GrayImage {
    if a.dimensions() == b.dimensions() {
        return from_fn(a, |at| join(a.as_raw()[at], b.as_raw()[at]));
    }
    GrayImage::from_fn(a.width(), a.height(), |x, y| {
        let other = b.get_pixel_checked(x, y).map_or(0, |p| p.0[0]);
        Luma([join(a.get_pixel(x, y).0[0], other)])
    })
}

fn distance(mask: &GrayImage, to_set: bool) -> Plane {
    let diagonal = (mask.width() as f32).hypot(mask.height() as f32);
    let mut data = squared_distance(mask, to_set);
    for value in &mut data {
        *value = value.sqrt().min(diagonal);
    }
    Plane { width: mask.width(), height: mask.height(), data }
}

/// The pixels within `radius` px of a set (or unset) one. A pixel `g` px above or below one covers
/// the `sqrt(radius² - g²)` px on either side of it in its own row, and a row is the union of such
/// spans: the cost does not depend on the radius.
fn near(mask: &GrayImage, set: bool, radius: u32) -> GrayImage {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let radius = (radius as usize).min(width + height);
    let targets = mask.as_raw();
    let is_target = |at: usize| (targets[at] >= SET) == set;
    let half: Vec<usize> = (0..=radius).map(|g| (radius * radius - g * g).isqrt()).collect();
    // Distance to the nearest target above, then to the nearest in the column; `far` for none near.
    let far = radius + 1;
    let mut column = vec![far; width];
    let mut above = Vec::with_capacity(targets.len());
    for y in 0..height {
        for (x, gap) in column.iter_mut().enumerate() {
            *gap = if is_target(y * width + x) { 0 } else { far.min(*gap + 1) };
        }
        above.extend(column.iter().map(|&gap| gap as u32));
    }
    column.fill(far);
    let mut out = GrayImage::new(mask.width(), mask.height());
    let mut ends = vec![0_i32; width + 1];
    for y in (0..height).rev() {
        let row = y * width..(y + 1) * width;
        ends.fill(0);
        for ((x, below), above) in column.iter_mut().enumerate().zip(&above[row.clone()]) {
            *below = if *above == 0 { 0 } else { far.min(*below + 1) };
            if let Some(reach) = half.get((*below).min(*above as usize)) {
                ends[x.saturating_sub(*reach)] += 1;
                ends[(x + reach + 1).min(width)] -= 1;
            }
        }
        let mut open = 0;
        for (pixel, change) in out.as_flat_samples_mut().samples[row].iter_mut().zip(&ends) {
            open += change;
            *pixel = if open > 0 { 255 } else { 0 };
        }
    }
    out
}

/// Squared Euclidean distance of every pixel to the nearest set (or unset) one: Felzenszwalb
/// and Huttenlocher, "Distance Transforms of Sampled Functions", 2012. Infinite when there is
/// no such pixel.
fn squared_distance(mask: &GrayImage, to_set: bool) -> Vec<f32> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let pixels = mask.as_raw();
    let mut out = vec![f32::INFINITY; pixels.len()];
    if out.is_empty() {
        return out;
    }
    // Down and up each column: distance to the nearest target in the same column.
    for y in 0..height {
        let row = y * width;
        for x in 0..width {
            let at = row + x;
            if (pixels[at] >= SET) == to_set {
                out[at] = 0.0;
            } else if y > 0 {
                out[at] = out[at - width] + 1.0;
            }
        }
    }
    for y in (0..height - 1).rev() {
        let row = y * width;
        for at in row..row + width {
            out[at] = out[at].min(out[at + width] + 1.0);
        }
    }
    let mut line = vec![0.0; width];
    let mut hull = Envelope { at: vec![0; width], from: vec![0.0; width + 1] };
    for row in out.chunks_exact_mut(width) {
        if row.iter().all(|&v| v == 0.0) {
            continue;
        }
        for (to, &from) in line.iter_mut().zip(row.iter()) {
            *to = from * from;
        }
        hull.lower(&line, row);
    }
    out
}

/// Scratch space for the lower envelope of parabolas.
struct Envelope {
    /// Position of each parabola.
    at: Vec<usize>,
    /// Where each parabola begins to be the lowest.
    from: Vec<f32>,
}

impl Envelope {
    /// Writes min over q of (x − q)² + line\[q\] into `out`.
    fn lower(&mut self, line: &[f32], out: &mut [f32]) {
        let mut count = 0;
        for (q, &value) in line.iter().enumerate() {
            if !value.is_finite() {
                continue;
            }
            // f64: squares of coordinates up to 30,000 do not fit into the 24 bits of an f32.
            let lift = f64::from(value) + (q * q) as f64;
            let mut begin = f32::NEG_INFINITY;
            while count > 0 {
                let p = self.at[count - 1];
                let rise = lift - f64::from(line[p]) - (p * p) as f64;
                begin = (rise / (2 * (q - p)) as f64) as f32;
                if begin > self.from[count - 1] {
                    break;
                }
                count -= 1;
                begin = f32::NEG_INFINITY;
            }
            self.at[count] = q;
            self.from[count] = begin;
            count += 1;
        }
        if count == 0 {
            out.fill(f32::INFINITY);
            return;
        }
        let mut k = 0;
        for (x, to) in out.iter_mut().enumerate() {
            while k + 1 < count && self.from[k + 1] < x as f32 {
                k += 1;
            }
            let q = self.at[k];
            *to = line[q] + (x.abs_diff(q) as f32).powi(2);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn parse(rows: &[&str]) -> GrayImage {
        let (w, h) = (rows[0].len() as u32, rows.len() as u32);
        GrayImage::from_fn(w, h, |x, y| {
            Luma([if rows[y as usize].as_bytes()[x as usize] == b'#' { 255 } else { 0 }])
        })
    }

    fn any_mask() -> impl Strategy<Value = GrayImage> {
        (1_u32..24, 1_u32..24).prop_flat_map(|(w, h)| {
            proptest::collection::vec(prop_oneof![Just(0_u8), Just(255_u8)], (w * h) as usize)
                .prop_map(move |pixels| GrayImage::from_raw(w, h, pixels).unwrap())
        })
    }

    #[test]
    fn holes_are_what_cannot_reach_the_frame() {
        let ring = parse(&[".....", ".###.", ".#.#.", ".###.", "....."]);
        assert_eq!(holes(&ring).get_pixel(2, 2).0[0], 255);
        assert_eq!(area(&holes(&ring)), 1);
        assert_eq!(area(&fill_holes(&ring)), 9);
    }

    #[test]
    fn components_are_sorted_and_bounded() {
        let mask = parse(&["##...", "##..#", "....#", "#...."]);
        let found = components(&mask, 2);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].area, found[0].rect), (4, Rect { x: 0, y: 0, w: 2, h: 2 }));
        assert_eq!(found[1].rect, Rect { x: 4, y: 1, w: 1, h: 2 });
        assert_eq!(area(&label(&mask).select(|c| c.area == 1)), 1);
    }

    #[test]
    fn bounds_and_iou() {
        let mask = parse(&["....", ".##.", "...."]);
        assert_eq!(bounds(&mask, 1), Some(Rect { x: 1, y: 1, w: 2, h: 1 }));
        assert_eq!(bounds(&GrayImage::new(3, 3), 0), None);
        assert!((iou(&mask, &parse(&["....", ".#..", "...."])) - 0.5).abs() < 1e-6);
        assert_eq!(iou(&GrayImage::new(2, 2), &GrayImage::new(3, 3)), 0.0);
    }

    #[test]
    fn empty_images_do_no_harm() {
        let empty = GrayImage::new(0, 0);
        assert_eq!(area(&close(&dilate(&erode(&empty, 3), 2), 1)), 0);
        assert!(bounds(&empty, 1).is_none() && components(&empty, 0).is_empty());
        assert!(distance_inside(&empty).data.is_empty() && distance_outside(&empty).data.is_empty());
        assert_eq!(fill_holes(&feather(&empty, 2.0)).dimensions(), (0, 0));
    }

    proptest! {
        #[test]
        fn distances_are_exact(mask in any_mask()) {
            let outside = distance_outside(&mask);
            let w = mask.width();
            for (x, y, _) in mask.enumerate_pixels() {
                let nearest = mask.enumerate_pixels().filter(|p| p.2.0[0] >= SET).map(|(px, py, _)| {
                    (f64::from(px) - f64::from(x)).hypot(f64::from(py) - f64::from(y))
                }).fold(f64::INFINITY, f64::min);
                let nearest = nearest.min(f64::from(w).hypot(f64::from(mask.height())));
                prop_assert!((f64::from(outside.data[(y * w + x) as usize]) - nearest).abs() < 1e-3);
            }
        }

        #[test]
        fn growing_and_shrinking_go_exactly_as_far_as_their_radius(mask in any_mask(), radius in 1_u32..9) {
            let limit = (radius * radius) as f32;
            let (to_set, to_unset) = (squared_distance(&mask, true), squared_distance(&mask, false));
            let large = from_fn(&mask, |at| if to_set[at] <= limit { 255 } else { 0 });
            let small = from_fn(&mask, |at| if to_unset[at] > limit { 255 } else { 0 });
            prop_assert_eq!(dilate(&mask, radius), large);
            prop_assert_eq!(erode(&mask, radius), small);
        }

        #[test]
        fn growing_and_shrinking_are_ordered(mask in any_mask(), radius in 0_u32..6) {
            let small = erode(&mask, radius);
            let large = dilate(&mask, radius);
            prop_assert_eq!(area(&difference(&small, &mask)), 0);
            prop_assert_eq!(area(&difference(&mask, &large)), 0);
            prop_assert_eq!(area(&difference(&mask, &close(&mask, radius))), 0);
            prop_assert_eq!(area(&difference(&open(&mask, radius), &mask)), 0);
        }
    }
}
