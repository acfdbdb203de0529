//! Material drift: texture and gloss at equal product scale.
//!
//! Band energies of lightness say how much fine, middle and coarse texture the surface has;
//! the slope of the candidate's shading against the reference's says how contrasty the finish
//! is. Blur is not material: the sharper picture is first blurred until the strongest edges
//! agree, and only what then still differs away from those edges counts.

use packshot_imaging::blur;
use packshot_pipeline::finding::Axis;

use super::channel::{Channel, Metric, quantile};
use super::frame::Frame;

/// Blurs between which the bands lie, in frame pixels.
const SIGMAS: [f32; 5] = [0.6, 1.2, 2.4, 4.8, 9.6];
/// Lightness at which one unit of relative lightness is one L: relative contrast does not
/// change when the same surface is dyed or lit otherwise, contrast in L does.
const PIVOT: f32 = 50.0;
/// Mean absolute lightness that sensor noise and compression leave in a band.
const NOISE: [f32; 4] = [0.35, 0.25, 0.2, 0.2];

/// Measures the axis.
pub(super) fn measure(frame: &Frame) -> Channel {
    if frame.core_count() < 400 {
        return Channel::silent(Axis::Material);
    }
    let (reference, candidate) = equally_sharp(frame);
    let quiet = quiet(frame, &reference);
    let (before, after) = (bands(frame, &reference, &quiet), bands(frame, &candidate, &quiet));
    let change: Vec<f32> = before.iter().zip(&after).map(|(b, a)| (a / b).ln()).collect();
    let fine = (change[0] + change[1]) / 2.0;
    let worst = change.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    let overall = change.iter().map(|c| c.abs()).sum::<f32>() / change.len() as f32;
    let metric = |name, value: f32, evidence| Metric {
        name,
        value: f64::from(value),
        region: None,
        evidence,
        cure: None,
    };
    let coarse = change[2..].contains(&worst);
    let metrics = vec![
        metric(
            "material_texture",
            overall.max(0.6 * worst.abs()),
            texture(if coarse { worst } else { fine }, coarse),
        ),
        metric("material_fine", fine.abs(), texture(fine, false)),
        finish(frame),
    ];
    Channel {
        axis: Axis::Material,
        metrics,
        violations: Vec::new(),
        confidence: f64::from(frame.visible_share.min(1.0)),
    }
}

/// Says how the strength of fine or coarse texture changed; `change` is a logarithm.
fn texture(change: f32, coarse: bool) -> String {
    let percent = 100.0 * change.exp();
    match (coarse, change > 0.0) {
        (false, true) => {
            format!(
                "the surface is rougher or grainier: fine texture has {percent:.0} % of the reference's strength"
            )
        }
        (false, false) => format!(
            "the surface is smoother, like plastic: fine texture has {percent:.0} % of the reference's strength"
        ),
        (true, true) => {
            format!("the surface is coarser: folds and weave have {percent:.0} % of the reference's strength")
        }
        (true, false) => {
            format!("the surface is flatter: folds and weave have {percent:.0} % of the reference's strength")
        }
    }
}

/// Both lightness planes after the sharper one was blurred until edges are equally steep.
fn equally_sharp(frame: &Frame) -> (Vec<f32>, Vec<f32>) {
    let (r, c) = (&frame.reference_lab.l, &frame.local_lab.l);
    let steepness = |l: &[f32]| steepness(frame, l);
    let (sr, sc) = (steepness(r), steepness(c));
    let soften = |sharp: &[f32], target: f32| {
        let plane = frame.plane(sharp.to_vec());
        let mut best = sharp.to_vec();
        for sigma in [0.35, 0.5, 0.65, 0.8, 1.0, 1.25] {
            let next = blur::gaussian(&plane, sigma).data;
            if steepness(&next) < target {
                break;
            }
            best = next;
        }
        best
    };
    if sr > sc { (soften(r, sc), c.clone()) } else { (r.clone(), soften(c, sr)) }
}

/// How steep the outline's strongest edges are, one-pixel step against three-pixel step:
/// free of contrast, so that a matte finish is not taken for blur.
pub(super) fn steepness(frame: &Frame, l: &[f32]) -> f32 {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let mut ratios = Vec::new();
    for y in 3..h.saturating_sub(4) {
        for x in 3..w.saturating_sub(4) {
            let i = y * w + x;
            // the background's own edges say nothing of the product's sharpness
            if !frame.visible[i] || frame.outside.data[i] > 3.0 {
                continue;
            }
            for step in [1, w] {
                let wide = (l[i + 3 * step] - l[i - 2 * step]).abs();
                if wide > 18.0 {
                    let near = (l[i + step] - l[i]).abs();
                    ratios.push(near / wide);
                }
            }
        }
    }
    if ratios.len() < 60 { 0.0 } else { quantile(&mut ratios, 0.85) }
}

/// The core away from the reference's strong edges: surface, not marks.
fn quiet(frame: &Frame, reference: &[f32]) -> Vec<bool> {
    let plane = frame.plane(reference.to_vec());
    let coarse = blur::gaussian(&plane, 1.2).data;
    let (w, h) = (frame.width as usize, frame.height as usize);
    let mut steep = vec![0f32; w * h];
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let i = y * w + x;
            steep[i] = (coarse[i + 1] - coarse[i - 1]).hypot(coarse[i + w] - coarse[i - w]);
        }
    }
    let near = blur::gaussian(&frame.plane(steep), 2.0).data;
    let mut inside: Vec<f32> = near.iter().zip(&frame.core).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
    let limit = quantile(&mut inside, 0.7).max(1.0);
    near.iter().zip(&frame.core).map(|(v, k)| *k && *v <= limit).collect()
}

/// Lightness on a scale where equal ratios of light are equal steps, 0 at the pivot.
fn relative(l: &[f32]) -> Vec<f32> {
    l.iter().map(|v| (PIVOT + 16.0) * ((v.max(0.0) + 16.0) / (PIVOT + 16.0)).ln()).collect()
}

/// Mean absolute lightness per band over the quiet pixels.
fn bands(frame: &Frame, l: &[f32], quiet: &[bool]) -> [f32; 4] {
    let l = relative(l);
    let levels: Vec<Vec<f32>> =
        SIGMAS.iter().map(|s| frame.inside_blur(&l, *s, &frame.core_blur(*s))).collect();
    let mut own: Vec<f32> = l.iter().zip(quiet).filter(|(_, q)| **q).map(|(v, _)| *v).collect();
    // a dark surface shows more noise against its lightness
    let darkness = (-quantile(&mut own, 0.5) / (PIVOT + 16.0)).exp().clamp(0.7, 3.0);
    let count = quiet.iter().filter(|q| **q).count().max(1) as f32;
    let mut out = [0f32; 4];
    for (k, value) in out.iter_mut().enumerate() {
        let sum: f32 =
            (0..l.len()).filter(|&i| quiet[i]).map(|i| (levels[k][i] - levels[k + 1][i]).abs()).sum();
        *value = sum / count + NOISE[k] * darkness;
    }
    out
}

/// Contrast of shading and highlights: robust slope of the candidate's lightness against the
/// reference's at a coarse scale, with the overall level taken out.
fn finish(frame: &Frame) -> Metric {
    let sigma = (0.012 * frame.size).max(2.0);
    let weight = frame.core_blur(sigma);
    let r = frame.inside_blur(&relative(&frame.reference_lab.l), sigma, &weight);
    let c = frame.inside_blur(&relative(&frame.local_lab.l), sigma, &weight);
    let spread = |l: &[f32]| {
        let mut v: Vec<f32> = l.iter().zip(&frame.core).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
        let (low, middle, high) = (quantile(&mut v, 0.05), quantile(&mut v, 0.5), quantile(&mut v, 0.98));
        (high - low, high - middle)
    };
    let ((range_r, shine_r), (range_c, shine_c)) = (spread(&r), spread(&c));
    let slope = ((range_c + 4.0) / (range_r + 4.0)).ln();
    let shine = ((shine_c + 4.0) / (shine_r + 4.0)).ln();
    let value = slope.abs().max(0.7 * shine.abs());
    let by_range = slope.abs() >= 0.7 * shine.abs();
    let (told, what) = if by_range { (slope, "shading has") } else { (shine, "highlights stand out with") };
    let word = if told < 0.0 { "more matte" } else { "glossier" };
    Metric {
        name: "material_finish",
        value: f64::from(value),
        region: None,
        evidence: format!(
            "the finish is {word}: {what} {:.0} % of the reference's contrast",
            100.0 * told.exp()
        ),
        cure: None,
    }
}
