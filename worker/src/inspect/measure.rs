//! Numbers about one photo and its cut-out: edge width, clipping, colour cast, contact with
//! the frame.

use image::{GrayImage, RgbImage};
use packshot_imaging::colour::lab;
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, CutoutSource, Photo, Rect};

/// What was measured; see [`packshot_pipeline::inspection::ReferenceReport`] for units.
pub(super) struct Measured {
    pub(super) bounds: Rect,
    pub(super) edge_width_px: f32,
    /// How many edges the width rests on.
    pub(super) edges: usize,
    pub(super) clipped_light: f32,
    pub(super) clipped_dark: f32,
    pub(super) cast: f32,
    /// Lightness of the background, `None` when it is not known.
    pub(super) background_l: Option<f32>,
    pub(super) contact: Contact,
}

/// Where the product meets the frame.
#[derive(Default)]
pub(super) struct Contact {
    /// Share of the frame's border that is product.
    pub(super) share: f32,
    /// Sides at which a broad, fully opaque stretch of product ends: cut off there.
    pub(super) cut: Vec<&'static str>,
}

pub(super) fn measure(photo: &Photo, cutout: &Cutout) -> Measured {
    let alpha = &cutout.alpha;
    let (w, h) = alpha.dimensions();
    let bounds = mask::bounds(alpha, 128).unwrap_or(Rect { x: 0, y: 0, w: w.max(1), h: h.max(1) });
    let (edge_width_px, edges) = edge_width(photo, cutout, bounds);
    let (clipped_light, clipped_dark) = clipping(&photo.rgb, alpha, bounds);
    let (cast, background_l) = background(photo, cutout);
    Measured {
        bounds,
        edge_width_px,
        edges,
        clipped_light,
        clipped_dark,
        cast,
        background_l,
        contact: contact(alpha, bounds),
    }
}

/// Rows and columns sampled when looking for edges.
const EDGE_LINES_MAX: u32 = 220;
/// Rise in levels that makes an edge worth measuring.
const EDGE_RISE_MIN: f32 = 24.0;
/// Longest half of an edge in pixels.
const EDGE_REACH: usize = 40;
/// Edges inside the product that are enough to ignore its outline.
const INNER_EDGES_ENOUGH: usize = 60;

struct Edge {
    rise: f32,
    width: f32,
}

/// The 10 to 90 % width of the product's sharp edges in pixels, and how many were seen.
/// A supplied cut-out's outline says nothing about the lens, so it counts only when the
/// product has too few edges inside.
fn edge_width(photo: &Photo, cutout: &Cutout, bounds: Rect) -> (f32, usize) {
    let luma = Luma { rgb: &photo.rgb, alpha: &cutout.alpha, use_alpha: false };
    let (mut inner, outline) = edges(&luma, bounds);
    if cutout.quality.source != CutoutSource::SuppliedAlpha {
        inner.extend(outline);
    } else if inner.len() < INNER_EDGES_ENOUGH {
        let outline = edges(&Luma { use_alpha: true, ..luma }, bounds).1;
        inner.extend(outline);
    }
    if inner.is_empty() {
        return (0.0, 0);
    }
    // The strongest edges, and of their widths a low quantile: depth of field and round
    // shapes make some edges soft in every sharp photo.
    inner.sort_by(|x, y| y.rise.total_cmp(&x.rise));
    inner.truncate((inner.len() / 3).max(40));
    let count = inner.len();
    let mut widths: Vec<f32> = inner.iter().map(|e| e.width).collect();
    let at = widths.len() / 4;
    let (_, &mut width, _) = widths.select_nth_unstable_by(at, f32::total_cmp);
    (width, count)
}

#[derive(Clone, Copy)]
struct Luma<'a> {
    rgb: &'a RgbImage,
    alpha: &'a GrayImage,
    use_alpha: bool,
}

impl Luma<'_> {
    fn at(&self, x: u32, y: u32) -> f32 {
        if self.use_alpha {
            return f32::from(self.alpha.get_pixel(x, y).0[0]);
        }
        let [r, g, b] = self.rgb.get_pixel(x, y).0;
        (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) as f32 / 256.0
    }
}

/// Edges inside the product and at its outline, along sampled rows and columns.
fn edges(luma: &Luma<'_>, bounds: Rect) -> (Vec<Edge>, Vec<Edge>) {
    let (mut inner, mut outline) = (Vec::new(), Vec::new());
    let (w, h) = luma.alpha.dimensions();
    if luma.rgb.dimensions() != (w, h) || w < 5 || h < 5 {
        return (inner, outline);
    }
    let (x0, x1) = (bounds.x.saturating_sub(12), (bounds.x + bounds.w + 12).min(w));
    let (y0, y1) = (bounds.y.saturating_sub(12), (bounds.y + bounds.h + 12).min(h));
    let mut line = Vec::new();
    let mut cover = Vec::new();
    for across in [true, false] {
        let (from, to) = if across { (y0, y1) } else { (x0, x1) };
        let step = ((to - from) / EDGE_LINES_MAX).max(1);
        for fixed in (from.max(1)..to.min(if across { h - 1 } else { w - 1 })).step_by(step as usize) {
            let (start, end) = if across { (x0, x1) } else { (y0, y1) };
            let at = |i: u32| if across { (i, fixed) } else { (fixed, i) };
            line.clear();
            line.extend((start..end).map(|i| {
                let (x, y) = at(i);
                luma.at(x, y)
            }));
            cover.clear();
            cover.extend((start..end).map(|i| {
                let (x, y) = at(i);
                luma.alpha.get_pixel(x, y).0[0]
            }));
            let side = |i: usize| {
                let (x, y) = at(start + i as u32);
                if across {
                    luma.at(x, y + 1) - luma.at(x, y - 1)
                } else {
                    luma.at(x + 1, y) - luma.at(x - 1, y)
                }
            };
            collect(&line, &cover, side, &mut inner, &mut outline);
        }
    }
    (inner, outline)
}

/// Finds the edges of one line. `side` is the difference across the line at an index.
fn collect(
    line: &[f32],
    cover: &[u8],
    side: impl Fn(usize) -> f32,
    inner: &mut Vec<Edge>,
    outline: &mut Vec<Edge>,
) {
    let slope = |i: usize| line[i + 1] - line[i - 1];
    let mut i = 2;
    while i + 2 < line.len() {
        let s = slope(i);
        let peak = s.abs() >= slope(i - 1).abs() && s.abs() > slope(i + 1).abs();
        if s.abs() < 3.0 || !peak {
            i += 1;
            continue;
        }
        let (low, high) = extent(line, i, s.signum());
        i = (high + 1).max(i + 1);
        let rise = (line[high] - line[low]).abs();
        if rise < EDGE_RISE_MIN {
            continue;
        }
        // Edges that run almost along the line would look too wide.
        let middle = usize::midpoint(low, high).clamp(1, line.len() - 2);
        let straight = s.abs() / s.hypot(side(middle)).max(1e-3);
        if straight < 0.8 {
            continue;
        }
        let width = rise_width(line, low, high) * straight;
        let margin = 4;
        let covered = cover[low.saturating_sub(margin)..(high + margin + 1).min(cover.len())].iter();
        let (least, most) = covered.fold((255u8, 0u8), |(a, b), &v| (a.min(v), b.max(v)));
        if least >= 250 {
            inner.push(Edge { rise, width });
        } else if most >= 200 && least <= 60 {
            outline.push(Edge { rise, width });
        }
    }
}

/// How far the line keeps going in one direction around `i`.
fn extent(line: &[f32], i: usize, sign: f32) -> (usize, usize) {
    let mut low = i;
    while low > 0 && i - low < EDGE_REACH && (line[low] - line[low - 1]) * sign > 0.4 {
        low -= 1;
    }
    let mut high = i;
    while high + 1 < line.len() && high - i < EDGE_REACH && (line[high + 1] - line[high]) * sign > 0.4 {
        high += 1;
    }
    (low, high)
}

/// Pixels between 10 and 90 % of the way from `line[low]` to `line[high]`.
fn rise_width(line: &[f32], low: usize, high: usize) -> f32 {
    let (start, end) = (line[low], line[high]);
    let crossing = |part: f32| {
        let level = start + (end - start) * part;
        let up = end > start;
        (low..high).find(|&i| if up { line[i + 1] >= level } else { line[i + 1] <= level }).map_or(
            high as f32,
            |i| {
                let step = line[i + 1] - line[i];
                i as f32 + if step == 0.0 { 0.0 } else { (level - line[i]) / step }
            },
        )
    };
    (crossing(0.9) - crossing(0.1)).max(0.5)
}

/// Shares of the product's pixels without any tone left, light and dark. A pixel counts
/// only among equals, so that grain and highlights of a few pixels do not.
fn clipping(rgb: &RgbImage, alpha: &GrayImage, bounds: Rect) -> (f32, f32) {
    let step = (bounds.w.max(bounds.h) / 700).max(1) as usize;
    let (mut all, mut light, mut dark) = (0u32, 0u32, 0u32);
    for y in (bounds.y..bounds.y + bounds.h).step_by(step) {
        for x in (bounds.x..bounds.x + bounds.w).step_by(step) {
            if alpha.get_pixel_checked(x, y).is_none_or(|a| a.0[0] < 200) {
                continue;
            }
            let Some(p) = rgb.get_pixel_checked(x, y) else { continue };
            all += 1;
            light += u32::from(p.0.iter().all(|&v| v >= 254));
            dark += u32::from(p.0.iter().all(|&v| v <= 1));
        }
    }
    let all = all.max(1) as f32;
    (light as f32 / all, dark as f32 / all)
}

/// Chroma and lightness of the background's median, where there is a background.
fn background(photo: &Photo, cutout: &Cutout) -> (f32, Option<f32>) {
    if photo.alpha.is_some() || cutout.quality.source == CutoutSource::SuppliedAlpha {
        return (0.0, None);
    }
    let (w, h) = photo.rgb.dimensions();
    let step = (w.max(h) / 300).max(1) as usize;
    let mut channels: [Vec<u8>; 3] = Default::default();
    for y in (0..h).step_by(step) {
        for x in (0..w).step_by(step) {
            if cutout.alpha.get_pixel_checked(x, y).is_some_and(|a| a.0[0] == 0) {
                for (values, v) in channels.iter_mut().zip(photo.rgb.get_pixel(x, y).0) {
                    values.push(v);
                }
            }
        }
    }
    if channels[0].len() < 50 {
        return (0.0, None);
    }
    let median = channels.map(|mut values| {
        let at = values.len() / 2;
        *values.select_nth_unstable(at).1
    });
    let colour = lab(median);
    (colour.chroma(), Some(colour.l))
}

/// Where the product ends at the frame. A tightly trimmed cut-out touches the frame with
/// the soft rim of round outlines; one that was cut off ends there with full coverage over
/// a stretch that is as broad a few pixels further in.
fn contact(alpha: &GrayImage, bounds: Rect) -> Contact {
    let (w, h) = alpha.dimensions();
    if w == 0 || h == 0 {
        return Contact::default();
    }
    let depth = (bounds.w.max(bounds.h) / 60).clamp(2, 40);
    let mut found = Contact::default();
    let mut touching = 0;
    for (name, length, across) in
        [("top", w, bounds.w), ("bottom", w, bounds.w), ("left", h, bounds.h), ("right", h, bounds.h)]
    {
        let at = |i: u32, inward: u32| {
            let (x, y) = match name {
                "top" => (i, inward),
                "bottom" => (i, (h - 1).saturating_sub(inward)),
                "left" => (inward, i),
                _ => ((w - 1).saturating_sub(inward), i),
            };
            alpha.get_pixel_checked(x, y).map_or(0, |p| p.0[0])
        };
        let solid = (0..length).filter(|&i| at(i, 0) >= 240).count() as f32;
        let inside = (0..length).filter(|&i| at(i, depth) >= 240).count() as f32;
        touching += (0..length).filter(|&i| at(i, 0) >= 128).count();
        let broad = solid >= 0.04 * across as f32 && solid >= 6.0;
        if broad && solid >= 0.6 * inside {
            found.cut.push(name);
        }
    }
    found.share = touching as f32 / (2 * (w + h)).max(1) as f32;
    found
}
