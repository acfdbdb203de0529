//! Decides at about a quarter of a megapixel which pixels are product.
//!
//! Two segmenters look independently: the background's surface with its shadows
//! ([`super::background`]), and colours cut by contrast, started from what is walled off from
//! the frame ([`super::barrier`], [`super::grabcut`]). A last cut weighs both: on a smooth
//! sweep the surface knows best, on texture and clutter the colours do; what it lost of a product
//! in the background's own colours is given back ([`super::regain`]). How far the two agree is
//! reported.

use super::background::{Background, as_mask, beside, in_ring};
use super::barrier::barrier;
use super::grabcut::{CutSettings, Hint, grabcut};
use super::regain::regained;
use crate::colour::LabImage;
use crate::mask;

/// The decision on every pixel of the reduced photo.
#[derive(Clone, Debug)]
pub(crate) struct Coarse {
    /// True = product.
    pub product: Vec<bool>,
    /// True = shadow on the background.
    pub shadow: Vec<bool>,
    /// The background's surface.
    pub background: Background,
    /// Intersection over union of the two segmenters, 0 to 1.
    pub agreement: f32,
    /// Standard deviation of L around the surface away from product and shadow.
    pub clutter: f32,
}

/// What the two segmenters see, each by itself, and what is made of both.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The decision.
    pub decided: Coarse,
    /// The first segmenter's product.
    pub by_surface: Vec<bool>,
    /// The second segmenter's product.
    pub by_colour: Vec<bool>,
}

/// Segments a reduced photo; `None` when it is too small or nothing stands out.
pub(crate) fn segment(image: &LabImage) -> Option<Seen> {
    let background = Background::fit(image, |at| in_ring(image, at))?;
    let by_surface = solid(image, &background, &background.reached.iter().map(|r| !r).collect::<Vec<_>>());
    let by_colour = by_colour(image);
    let agreement = agreement_of(image, &by_surface, &by_colour);
    let product = decide(image, &background, &by_surface, &by_colour);
    let product = completed(image, &background, solid(image, &background, &product), &by_surface);
    if !product.iter().any(|&p| p) {
        return None;
    }
    let agreement = agreement * explained(image, &background, &product, &by_surface);
    Some(Seen { decided: around(image, background, product, agreement), by_surface, by_colour })
}

/// The cut with what it lost of the product, where its outline fits the photo's edges better so.
fn completed(image: &LabImage, background: &Background, cut: Vec<bool>, by_surface: &[bool]) -> Vec<bool> {
    let Some(more) = regained(image, background, &cut, by_surface) else { return cut };
    let more = solid(image, background, &more);
    if background.misfit(image, &more) < background.misfit(image, &cut) { more } else { cut }
}

/// The decision for `product` as it stands.
pub(crate) fn around(image: &LabImage, background: Background, product: Vec<bool>, agreement: f32) -> Coarse {
    let shadow = background.shadow.iter().zip(&product).map(|(&s, &p)| s && !p).collect();
    let clutter = clutter(image, &background, &product);
    Coarse { product, shadow, background, agreement, clutter }
}

/// Segments a reduced photo when it is known about where the product is: `outline` is the
/// signed distance to the expected outline in px, positive inside, and the cut decides only
/// within `band` px of it. `None` when nothing is expected or the photo is too small.
pub(crate) fn segment_near(image: &LabImage, outline: &[f32], band: f32) -> Option<Coarse> {
    let expected: Vec<bool> = outline.iter().map(|&d| d > 0.0).collect();
    let outside = |at: usize| outline[at] < -band;
    let background =
        Background::fit(image, outside).or_else(|| Background::fit(image, |at| outline[at] < 0.0))?;
    let (mut hints, mut prior) = (Vec::new(), Vec::new());
    for (at, &distance) in outline.iter().enumerate() {
        let plain = background.plainness(at);
        prior.push(
            plain * 0.5 * surface_evidence(image, &background, !background.reached[at], at)
                + 2.0 * distance / band,
        );
        hints.push(match distance / band {
            ..-1.0 => Hint::Background,
            1.0.. => Hint::Foreground,
            0.0.. => Hint::MaybeForeground,
            _ => Hint::MaybeBackground,
        });
    }
    let settings = CutSettings { rounds: 2, smoothness: 8.0, colour: 0.6, colour_max: 8.0 };
    let product = grabcut(image, &hints, &prior, settings);
    if !product.iter().any(|&p| p) {
        return None;
    }
    let agreement = iou(&product, &expected);
    Some(around(image, background, product, agreement))
}

/// Sharpness of a line that a product's edge may have drawn, however faintly.
pub(super) const FAINT: f32 = 0.8;

/// How far an agreement on `product` can be believed, 0 to 1, for the sharp lines that are left
/// away from it.
pub(crate) fn explained(
    image: &LabImage,
    background: &Background,
    product: &[bool],
    by_surface: &[bool],
) -> f32 {
    (1.0 - 1.5 * unexplained(image, background, product, by_surface)).max(0.0)
}

/// Length of the sharp lines away from the product, relative to its outline: on a sweep there
/// should be none; glass, or what was lost in white on white, leaves some. Grain does not run
/// on: only what is at least a fortieth of the frame long counts. Nor does the edge of a hard
/// shadow, which has a shade on one side, where glass has background on both.
fn unexplained(image: &LabImage, background: &Background, product: &[bool], by_surface: &[bool]) -> f32 {
    let longer = image.width.max(image.height);
    let hard = |at: usize| by_surface[at] && !product[at] && background.usual_shadow(image, at);
    let hard = mask::open(&as_mask(&(0..image.l.len()).map(hard).collect::<Vec<_>>(), image), 2);
    let product = as_mask(product, image);
    let explained: Vec<bool> =
        product.as_raw().iter().zip(hard.as_raw()).map(|(p, h)| p.max(h) > &0).collect();
    let near = mask::dilate(&as_mask(&explained, image), 5);
    let far = mask::dilate(&product, longer / 4);
    let line = |at: usize| {
        let around = near.as_raw()[at] == 0 && far.as_raw()[at] > 0;
        around && background.sharp[at] > FAINT && !in_ring(image, at)
    };
    let lines = as_mask(&(0..image.l.len()).map(line).collect::<Vec<_>>(), image);
    let lengths = mask::label(&lines).components.into_iter().map(|line| line.rect.w.max(line.rect.h));
    let lost: u32 = lengths.filter(|length| length * 40 > longer).sum();
    let outline = mask::area(&mask::difference(&product, &mask::erode(&product, 1)));
    lost as f32 / (outline as f32).max(1.0)
}

/// Pixels on either side of an outline on which two segmenters may differ and still mean the
/// same one.
const SLACK: u32 = 3;

/// Share of what either calls product on which both agree, an outline's width aside: a thin
/// product is mostly outline.
pub(crate) fn agreement_of(image: &LabImage, a: &[bool], b: &[bool]) -> f32 {
    let (a, b) = (as_mask(a, image), as_mask(b, image));
    let beyond = |a, b| mask::area(&mask::difference(a, &mask::dilate(b, SLACK)));
    let any = mask::area(&a) + mask::area(&mask::difference(&b, &a));
    if any == 0 { 0.0 } else { 1.0 - (beyond(&a, &b) + beyond(&b, &a)) as f32 / any as f32 }
}

fn iou(a: &[bool], b: &[bool]) -> f32 {
    let shared = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let any = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    if any == 0 { 0.0 } else { shared as f32 / any as f32 }
}

/// Mean of [`Background::plainness`].
pub(crate) fn mean_plainness(background: &Background) -> f32 {
    let count = background.reach.len();
    (0..count).map(|at| background.plainness(at)).sum::<f32>() / count.max(1) as f32
}

/// Second segmenter: colours inside against colours outside, at half size.
fn by_colour(image: &LabImage) -> Vec<bool> {
    let small = halved(image);
    let w = small.width as usize;
    let walls: Vec<f32> = {
        let (l, a, b) = (barrier(&small.l, w), barrier(&small.a, w), barrier(&small.b, w));
        l.iter().zip(&a).zip(&b).map(|((l, a), b)| l + a + b).collect()
    };
    let level = two_classes(&walls);
    let hints: Vec<Hint> =
        walls
            .iter()
            .enumerate()
            .map(|(at, &wall)| {
                if wall > level && !in_ring(&small, at) {
                    Hint::MaybeForeground
                } else {
                    Hint::MaybeBackground
                }
            })
            .collect();
    let prior: Vec<f32> = walls
        .iter()
        .enumerate()
        .map(|(at, &wall)| {
            let ring = if in_ring(&small, at) { -6.0 } else { 0.0 };
            ring + ((wall - level) / (0.4 * level + 2.0)).clamp(-2.0, 2.0)
        })
        .collect();
    let settings = CutSettings { rounds: 4, smoothness: 12.0, colour: 1.0, colour_max: 8.0 };
    let cut = grabcut(&small, &hints, &prior, settings);
    let full = image.width as usize;
    (0..image.l.len())
        .map(|at| cut[(at / full / 2).min(small.height as usize - 1) * w + (at % full / 2).min(w - 1)])
        .collect()
}

/// The image at half its size, each pixel the mean of four.
fn halved(image: &LabImage) -> LabImage {
    let (w, h) = (image.width as usize, image.height as usize);
    let (hw, hh) = ((w / 2).max(1), (h / 2).max(1));
    let shrink = |plane: &[f32]| {
        (0..hw * hh)
            .map(|at| {
                let (x, y) = (at % hw * 2, at / hw * 2);
                let (right, below) = ((x + 1).min(w - 1), (y + 1).min(h - 1));
                let sum =
                    plane[y * w + x] + plane[y * w + right] + plane[below * w + x] + plane[below * w + right];
                sum / 4.0
            })
            .collect()
    };
    let (l, a, b) = (shrink(&image.l), shrink(&image.a), shrink(&image.b));
    LabImage { width: hw as u32, height: hh as u32, l, a, b }
}

/// Threshold between two classes: Otsu, "A Threshold Selection Method from Gray-Level
/// Histograms", 1979.
fn two_classes(values: &[f32]) -> f32 {
    let high = values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max).max(1e-3);
    let mut histogram = [0.0_f64; 128];
    for &value in values {
        histogram[((value / high).clamp(0.0, 1.0) * 127.0) as usize] += 1.0;
    }
    let total: f64 = histogram.iter().sum();
    let mass: f64 = histogram.iter().enumerate().map(|(i, n)| i as f64 * n).sum();
    let (mut below, mut mass_below, mut best, mut level) = (0.0, 0.0, -1.0, 0);
    for (i, n) in histogram.iter().enumerate() {
        below += n;
        mass_below += i as f64 * n;
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let gap = mass_below / below - (mass - mass_below) / above;
            if below * above * gap * gap > best {
                best = below * above * gap * gap;
                level = i;
            }
        }
    }
    (level as f32 + 0.5) / 127.0 * high
}

/// The last cut, with both segmenters as its prior.
fn decide(image: &LabImage, background: &Background, by_surface: &[bool], by_colour: &[bool]) -> Vec<bool> {
    let mean = mean_plainness(background);
    let (mut hints, mut prior) = (Vec::new(), Vec::new());
    for at in 0..image.l.len() {
        let plain = background.plainness(at);
        let surface = surface_evidence(image, background, by_surface[at], at);
        let colour = if by_colour[at] { 2.0 } else { -2.0 };
        let ring = if in_ring(image, at) && !by_surface[at] { -6.0 } else { 0.0 };
        let evidence = plain * surface + (1.0 - plain) * (colour + 0.25 * surface) + ring;
        prior.push(evidence);
        hints.push(match evidence {
            ..-7.0 => Hint::Background,
            8.0.. => Hint::Foreground,
            0.0.. => Hint::MaybeForeground,
            _ => Hint::MaybeBackground,
        });
    }
    let settings = CutSettings {
        rounds: 2,
        smoothness: 3.0 + 7.0 * (1.0 - mean),
        colour: 0.4 + 0.4 * (1.0 - mean),
        colour_max: 8.0,
    };
    grabcut(image, &hints, &prior, settings)
}

/// What the surface says about a pixel, in nats for product; `out` when the surface segmenter
/// calls it product.
fn surface_evidence(image: &LabImage, background: &Background, out: bool, at: usize) -> f32 {
    let reach = background.reach[at];
    if out && background.doubtful[at] {
        // Next to the open background the contrast decides, deep inside it is product.
        (background.depth[at] / 3.0 - 1.0).clamp(-1.0, 1.5)
    } else if out && background.could_be_shadow(image, at) {
        // Steep or grained, so rather product; but a contact shadow can be steep.
        background.grain[at].min(3.0) - 0.5
    } else if out {
        (2.0 + 2.0 * reach).min(9.0)
    } else if background.shadow[at] {
        -2.0
    } else {
        -6.0 + 4.0 * reach.min(1.0)
    }
}

/// Drops specks, fills what is enclosed unless the background shows through.
fn solid(image: &LabImage, background: &Background, product: &[bool]) -> Vec<bool> {
    let (w, h) = (image.width as usize, image.height as usize);
    let mut out = without_specks(image, product);
    let area = out.iter().filter(|&&p| p).count();
    for hole in self::groups(&out, w, h, false) {
        let at_frame = hole.iter().any(|&at| {
            let (x, y) = (at % w, at / w);
            x == 0 || y == 0 || x + 1 == w || y + 1 == h
        });
        if at_frame || (hole.len() * 800 > area && shows_through(background, &hole)) {
            continue;
        }
        for at in hole {
            out[at] = true;
        }
    }
    out
}

/// Drops groups of pixels that are less than a hundredth of the largest.
pub(crate) fn without_specks(image: &LabImage, product: &[bool]) -> Vec<bool> {
    let mut out = product.to_vec();
    let groups = groups(&out, image.width as usize, image.height as usize, true);
    let largest = groups.iter().map(Vec::len).max().unwrap_or(0);
    for group in &groups {
        if group.len() * 100 < largest || group.len() < 12 {
            for &at in group {
                out[at] = false;
            }
        }
    }
    out
}

/// Whether an enclosed region is mostly open background or its shadow.
fn shows_through(background: &Background, hole: &[usize]) -> bool {
    hole.iter().filter(|&&at| background.reached[at]).count() * 2 > hole.len()
}

/// 4-connected groups of pixels that are `on`.
fn groups(mask: &[bool], w: usize, h: usize, on: bool) -> Vec<Vec<usize>> {
    let mut seen = vec![false; mask.len()];
    let mut found = Vec::new();
    for start in 0..mask.len() {
        if seen[start] || mask[start] != on {
            continue;
        }
        seen[start] = true;
        let mut group = vec![start];
        let mut done = 0;
        while done < group.len() {
            beside(group[done], w, h, |next| {
                if !seen[next] && mask[next] == on {
                    seen[next] = true;
                    group.push(next);
                }
            });
            done += 1;
        }
        found.push(group);
    }
    found
}

fn clutter(image: &LabImage, background: &Background, product: &[bool]) -> f32 {
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for (at, &product) in product.iter().enumerate() {
        if !product && !background.shadow[at] {
            let off = image.l[at] - background.colour(image, at)[0];
            sum += f64::from(off * off);
            count += 1;
        }
    }
    (sum / f64::from(count.max(1))).sqrt() as f32
}
