//! Colour drift: CIEDE2000 between matched regions of the product, with what a plausible
//! change of light explains told apart from what only another surface explains.
//!
//! Light multiplies linear RGB. One gain per channel is fitted over the regions, held near
//! the gain that the backgrounds show (when both are the same plain sweep) or near none.
//! What remains after it is surface; what the gain itself moved counts for a part, because
//! a tinted product and a tinted light look alike when there is nothing neutral to see.

use packshot_imaging::colour::{Lab, ciede2000, srgb_to_linear};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_pipeline::finding::Axis;

use super::channel::{Channel, Metric, quantile};
use super::frame::{Frame, Ground};

/// Colours that the product's surface is divided into.
const CLUSTERS: usize = 7;
/// Smallest share of the product that counts as a part.
const PART_MIN: f32 = 0.012;
/// Fewest solid pixels that a part's colour is read from, and the share of the product above
/// which a part without them counts all the same.
const SOLID_MIN: usize = 24;
const THIN_MAX: f32 = 0.25;
/// Half the width of the gaps in a surface, in frame pixels, over which it is one all the same.
const MESH: u32 = 2;
/// Share of a light-like colour change that counts as drift.
const LIGHT_SHARE: f32 = 0.5;
/// Largest believable gain of one channel between two photos of a shop, as a logarithm.
const GAIN_MAX: f32 = 0.25;

/// What the two pictures' light does to colours.
struct Light {
    /// Gain per linear channel, candidate over reference.
    gain: [f32; 3],
    /// The gain that the backgrounds show, when they can be compared.
    background: Option<[f32; 3]>,
}

/// One connected or clustered piece of the product's surface.
struct Part {
    share: f32,
    rect: Rect,
    reference: [f32; 3],
    candidate: [f32; 3],
}

/// Measures the axis.
pub(super) fn measure(frame: &Frame, size: (u32, u32)) -> Channel {
    let parts = parts(frame);
    let background = background_gain(frame).filter(|_| frame.ground == Ground::Background);
    let light = Light { gain: fit_gain(&parts, background), background };
    if parts.is_empty() {
        return Channel::silent(Axis::Colour);
    }
    let expected = light.background.unwrap_or([1.0; 3]);
    let total: f32 = parts.iter().map(|p| p.share).sum();
    let mean = |f: &dyn Fn(&Part) -> f32| parts.iter().map(|p| p.share * f(p)).sum::<f32>() / total;
    let before = mean(&|p| difference(p.reference, p.candidate));
    let after = mean(&|p| difference(times(p.reference, light.gain), p.candidate));
    let by_light = mean(&|p| difference(times(p.reference, light.gain), times(p.reference, expected)));
    let whole = after.hypot(LIGHT_SHARE * by_light);
    let mut metrics = vec![Metric {
        name: "colour_whole",
        value: f64::from(whole),
        region: None,
        evidence: format!(
            "the product's colour differs by ΔE {before:.1} ({after:.1} when a change of light is allowed for): {}",
            moved(&parts, expected)
        ),
        cure: None,
    }];
    metrics.extend(worst_part(frame, &parts, &light, size));
    Channel {
        axis: Axis::Colour,
        metrics,
        violations: Vec::new(),
        confidence: f64::from(frame.visible_share.min(1.0)),
    }
}

/// The part that moved most against all the others: relative colour survives any light.
fn worst_part(frame: &Frame, parts: &[Part], light: &Light, size: (u32, u32)) -> Option<Metric> {
    let differences: Vec<f32> =
        parts.iter().map(|p| difference(times(p.reference, light.gain), p.candidate)).collect();
    let mut sorted = differences.clone();
    let middle = quantile(&mut sorted, 0.5).min(6.0);
    let (part, worst) = parts
        .iter()
        .zip(&differences)
        // a small part is a noisier part
        .map(|(p, d)| (p, (d - 0.5 * middle) * (p.share / (p.share + PART_MIN))))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let region = frame.region(part.rect, size);
    Some(Metric {
        name: "colour_part",
        value: f64::from(worst.max(0.0)),
        region,
        evidence: format!(
            "one part ({:.0} % of the product) has another colour than in the reference: {} instead of {}",
            100.0 * part.share,
            word(part.candidate),
            word(times(part.reference, light.gain)),
        ),
        cure: None,
    })
}

fn word(linear: [f32; 3]) -> String {
    let Lab { l, a, b } = to_lab(linear);
    let name = packshot_imaging::colour::nearest_word(Lab { l, a, b });
    let [r, g, b] = packshot_imaging::colour::lab_to_srgb(Lab { l, a, b });
    format!("{name} (#{r:02x}{g:02x}{b:02x})")
}

/// Says in words where the part went that makes up most of the difference.
fn moved(parts: &[Part], expected: [f32; 3]) -> String {
    let weight = |p: &Part| p.share * difference(times(p.reference, expected), p.candidate);
    let Some(part) = parts.iter().max_by(|a, b| weight(a).total_cmp(&weight(b))) else {
        return String::new();
    };
    let (r, c) = (to_lab(times(part.reference, expected)), to_lab(part.candidate));
    let mut words = Vec::new();
    if (c.l - r.l).abs() > 1.5 {
        words.push(format!("{:.0} L {}", (c.l - r.l).abs(), if c.l > r.l { "lighter" } else { "darker" }));
    }
    let chroma = |x: Lab| x.a.hypot(x.b);
    if (chroma(c) - chroma(r)).abs() > 2.0 {
        words.push(if chroma(c) > chroma(r) { "more saturated".to_owned() } else { "greyer".to_owned() });
    }
    words.push(format!("{} instead of {}", word(part.candidate), word(times(part.reference, expected))));
    words.join(", ")
}

fn times(linear: [f32; 3], gain: [f32; 3]) -> [f32; 3] {
    [linear[0] * gain[0], linear[1] * gain[1], linear[2] * gain[2]]
}

fn difference(a: [f32; 3], b: [f32; 3]) -> f32 {
    ciede2000(to_lab(a), to_lab(b))
}

/// Linear RGB to Lab without rounding to levels.
fn to_lab(linear: [f32; 3]) -> Lab {
    let [r, g, b] = linear.map(|v| v.clamp(0.0, 1.0));
    let f = |t: f32| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = f((0.412_456 * r + 0.357_576 * g + 0.180_437 * b) / 0.950_47);
    let y = f(0.212_673 * r + 0.715_152 * g + 0.072_175 * b);
    let z = f((0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83);
    Lab { l: 116.0 * y - 16.0, a: 500.0 * (x - y), b: 200.0 * (y - z) }
}

/// Clusters of the reference's colours, split into connected pieces where they are large
/// enough; each with its median colour in both pictures.
fn parts(frame: &Frame) -> Vec<Part> {
    let lab = &frame.reference_lab;
    let inside: Vec<usize> = (0..frame.core.len()).filter(|&i| frame.core[i]).collect();
    if inside.len() < 60 {
        return Vec::new();
    }
    let points: Vec<[f32; 3]> = inside.iter().map(|&i| [lab.l[i], lab.a[i], lab.b[i]]).collect();
    let centres = cluster(&points);
    let nearest = |p: &[f32; 3]| {
        (0..centres.len())
            .min_by(|&a, &b| apart(p, &centres[a]).total_cmp(&apart(p, &centres[b])))
            .unwrap_or(0)
    };
    let labels: Vec<usize> = points.iter().map(nearest).collect();
    let mut found = Vec::new();
    for cluster in 0..centres.len() {
        let mut layer = image::GrayImage::new(frame.width, frame.height);
        let mut members = Vec::new();
        for (&i, &label) in inside.iter().zip(&labels) {
            if label == cluster {
                layer.as_mut()[i] = 255;
                members.push(i);
            }
        }
        let smallest = (PART_MIN * inside.len() as f32) as u64;
        let solid = Solid::of(&layer);
        found.extend(part(frame, &members, &solid, inside.len()));
        let opened = mask::open(&layer, 1);
        let labelled = mask::label(&opened);
        let large: Vec<_> = labelled.components.iter().filter(|c| c.area >= smallest.max(20)).collect();
        if large.len() > 1 && large.len() < 12 {
            for component in large {
                let only = labelled.select(|c| c.label == component.label);
                let pixels: Vec<usize> =
                    members.iter().copied().filter(|&i| only.as_raw()[i] > 127).collect();
                found.extend(part(frame, &pixels, &solid, inside.len()));
            }
        }
    }
    found
}

/// Where a surface shows its own colour: where surfaces meet, resampling and compression mix
/// theirs.
struct Solid {
    /// Well inside the surface.
    own: image::GrayImage,
    /// The same, its gaps aside, for a surface that is a mesh all over, woven or perforated.
    mesh: image::GrayImage,
}

impl Solid {
    fn of(layer: &image::GrayImage) -> Solid {
        Solid { own: mask::erode(layer, 2), mesh: mask::erode(&mask::close(layer, MESH), 2) }
    }

    /// Those of a part's pixels that its colour is read from.
    fn of_part(&self, pixels: &[usize]) -> Vec<usize> {
        let within = |solid: &image::GrayImage| -> Vec<usize> {
            pixels.iter().copied().filter(|&i| solid.as_raw()[i] > 127).collect()
        };
        let own = within(&self.own);
        if own.len() >= SOLID_MIN {
            return own;
        }
        // the seam between two surfaces has gaps as well, but hardly anything inside
        let mesh = within(&self.mesh);
        if 2 * mesh.len() > pixels.len() { mesh } else { own }
    }
}

/// A part from its pixels; its colours are those of its `solid` pixels. A part that has
/// hardly any is too thin for its colour to be known.
fn part(frame: &Frame, pixels: &[usize], solid: &Solid, total: usize) -> Option<Part> {
    let share = pixels.len() as f32 / total as f32;
    if share < PART_MIN || pixels.len() < 20 {
        return None;
    }
    let kept = solid.of_part(pixels);
    let pixels = if kept.len() >= SOLID_MIN {
        &kept[..]
    } else if share > THIN_MAX {
        pixels
    } else {
        return None;
    };
    let median = |image: &image::RgbImage| {
        let mut out = [0f32; 3];
        for (channel, value) in out.iter_mut().enumerate() {
            let mut levels: Vec<f32> =
                pixels.iter().map(|&i| srgb_to_linear(image.as_raw()[3 * i + channel])).collect();
            // a trimmed mean: robust, and finer than whole levels
            let (low, high) = (quantile(&mut levels, 0.25), quantile(&mut levels, 0.75));
            let (sum, n) = levels
                .iter()
                .filter(|v| (low..=high).contains(*v))
                .fold((0.0, 0.0), |s, v| (s.0 + v, s.1 + 1.0));
            *value = sum / f32::max(n, 1.0);
        }
        out
    };
    let width = frame.width as usize;
    let xs = pixels.iter().map(|i| i % width);
    let ys = pixels.iter().map(|i| i / width);
    let (x0, x1) = (xs.clone().min()?, xs.max()?);
    let (y0, y1) = (ys.clone().min()?, ys.max()?);
    Some(Part {
        share,
        rect: Rect { x: x0 as u32, y: y0 as u32, w: (x1 - x0 + 1) as u32, h: (y1 - y0 + 1) as u32 },
        reference: median(&frame.reference),
        candidate: median(&frame.candidate),
    })
}

fn apart(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    // lightness weighs less: shading is not another surface
    0.3 * (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

/// k-means with farthest-point starts; deterministic.
fn cluster(points: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let sample: Vec<[f32; 3]> = points.iter().copied().step_by((points.len() / 3000).max(1)).collect();
    let n = sample.len() as f32;
    let mean = sample.iter().fold([0.0; 3], |s, p| [s[0] + p[0] / n, s[1] + p[1] / n, s[2] + p[2] / n]);
    let mut centres = vec![mean];
    let mut away: Vec<f32> = sample.iter().map(|p| apart(p, &mean)).collect();
    while centres.len() < CLUSTERS {
        // the 99th percentile instead of the maximum: one odd pixel is no surface
        let mut sorted = away.clone();
        let far = quantile(&mut sorted, 0.99);
        let Some(next) = (0..sample.len()).find(|&i| away[i] >= far) else { break };
        if far < 9.0 {
            break;
        }
        let centre = sample[next];
        for (d, p) in away.iter_mut().zip(&sample) {
            *d = d.min(apart(p, &centre));
        }
        centres.push(centre);
    }
    for _ in 0..12 {
        let mut sums = vec![([0f32; 3], 0f32); centres.len()];
        for p in &sample {
            let near = (0..centres.len())
                .min_by(|&a, &b| apart(p, &centres[a]).total_cmp(&apart(p, &centres[b])))
                .unwrap_or(0);
            for (s, v) in sums[near].0.iter_mut().zip(p) {
                *s += v;
            }
            sums[near].1 += 1.0;
        }
        for (centre, (sum, n)) in centres.iter_mut().zip(&sums) {
            if *n > 0.0 {
                *centre = sum.map(|v| v / n);
            }
        }
    }
    centres
}

/// The gain per channel that explains most parts, weighted median of their log ratios,
/// held within what a change of light can be.
fn fit_gain(parts: &[Part], background: Option<[f32; 3]>) -> [f32; 3] {
    let centre = background.unwrap_or([1.0; 3]);
    let mut gain = [1.0; 3];
    for channel in 0..3 {
        let mut ratios: Vec<(f32, f32)> = parts
            .iter()
            .filter(|p| p.reference[channel] > 0.01)
            .map(|p| {
                let ratio = ((p.candidate[channel] + 0.004) / (p.reference[channel] + 0.004)).ln();
                // dark and clipped parts say little about light
                let level = p.reference[channel].min(1.0);
                (ratio, p.share * level.sqrt() * if p.candidate[channel] > 0.98 { 0.2 } else { 1.0 })
            })
            .collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f32 = ratios.iter().map(|r| r.1).sum();
        let mut seen = 0.0;
        let middle = ratios
            .iter()
            .find(|r| {
                seen += r.1;
                2.0 * seen >= total
            })
            .map_or(0.0, |r| r.0);
        let prior = centre[channel].ln();
        gain[channel] = middle.clamp(prior - GAIN_MAX, prior + GAIN_MAX).exp();
    }
    gain
}

/// The light's change as the backgrounds show it: only when both are plain and nearly the
/// same colour, so that it is one sweep under two lights and not two walls.
fn background_gain(frame: &Frame) -> Option<[f32; 3]> {
    let away = &frame.outside.data;
    let outside: Vec<usize> = (0..away.len()).filter(|&i| frame.visible[i] && away[i] > 7.0).collect();
    if outside.len() < 300 {
        return None;
    }
    let level = |image: &image::RgbImage, channel: usize, share: f32| {
        let mut values: Vec<f32> =
            outside.iter().map(|&i| srgb_to_linear(image.as_raw()[3 * i + channel])).collect();
        quantile(&mut values, share)
    };
    let mut gain = [1.0; 3];
    for (channel, gain) in gain.iter_mut().enumerate() {
        let spread = |image| level(image, channel, 0.85) - level(image, channel, 0.15);
        let (before, after) = (level(&frame.reference, channel, 0.5), level(&frame.candidate, channel, 0.5));
        *gain = (after.max(1e-3) / before.max(1e-3)).min(4.0);
        if spread(&frame.reference) > 0.08 || spread(&frame.candidate) > 0.08 || gain.ln().abs() > 0.2 {
            return None;
        }
    }
    Some(gain)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;

    /// The pixels of a drawn part, and those that its colour is read from.
    fn kept(on: impl Fn(u32, u32) -> bool) -> (usize, usize) {
        let layer = GrayImage::from_fn(60, 60, |x, y| Luma([if on(x, y) { 255 } else { 0 }]));
        let pixels: Vec<usize> = (0..3600).filter(|&i| layer.as_raw()[i] > 0).collect();
        (pixels.len(), Solid::of(&layer).of_part(&pixels).len())
    }

    #[test]
    fn a_mesh_has_a_colour_and_a_seam_has_none() {
        let within = |x: u32, y: u32| (10..50).contains(&x) && (10..50).contains(&y);
        let (all, plain) = kept(within);
        assert!(all == 1600 && plain == 36 * 36, "{plain}");
        let (all, mesh) = kept(|x, y| within(x, y) && (x % 3 > 0 || y % 3 > 0));
        assert!(2 * mesh > all, "{mesh} of {all}");
        let (_, seam) = kept(|x, y| within(x, y) && matches!(y, 20 | 21 | 25 | 26));
        assert_eq!(seam, 0);
    }
}
