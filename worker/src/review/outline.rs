//! Where the candidate's outline runs beside the reference's: along the normal of every
//! outline point the step between product and background is looked for in the candidate.

use packshot_imaging::blur;

use super::channel::quantile;
use super::frame::Frame;

/// How far the outline is looked for on either side, by the product's size.
const REACH: f32 = 0.11;
/// Smallest step, in Lab distance, that is an outline.
const STEP_MIN: f32 = 6.0;

/// The outline of the reference with the candidate's offsets.
pub(super) struct Outline {
    /// Points in frame pixels.
    pub(super) points: Vec<(f32, f32)>,
    /// Outward normals, unit length.
    pub(super) normals: Vec<(f32, f32)>,
    /// Distance along the normal at which this point alone sees the candidate's edge.
    pub(super) raw: Vec<Option<f32>>,
    /// Distance along the outward normal at which the candidate has its edge, in frame
    /// pixels; `None` where no edge can be told.
    pub(super) offsets: Vec<Option<f32>>,
    /// Share of points that could be told, 0 to 1.
    pub(super) decided: f32,
}

/// Looks for the outline.
pub(super) fn find(frame: &Frame) -> Outline {
    let soft = blur::gaussian(&blur::Plane::from_gray(&frame.mask), 2.0);
    let (w, h) = (frame.width as i64, frame.height as i64);
    let mut points = Vec::new();
    let mut normals = Vec::new();
    let step = ((frame.size / 110.0).round() as i64).max(1);
    for y in (2..h - 2).step_by(1) {
        for x in 2..w - 2 {
            let at = |dx: i64, dy: i64| soft.at(x + dx, y + dy);
            let here = at(0, 0);
            let on = here >= 127.5
                && (at(1, 0) < 127.5 || at(-1, 0) < 127.5 || at(0, 1) < 127.5 || at(0, -1) < 127.5);
            if on && (x + 3 * y) % step == 0 {
                let (gx, gy) = (at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1));
                let length = gx.hypot(gy).max(1e-3);
                points.push((x as f32 + 0.5, y as f32 + 0.5));
                normals.push((-gx / length, -gy / length));
            }
        }
    }
    let reach = (REACH * frame.size).clamp(6.0, 60.0);
    let raw: Vec<Option<f32>> = points
        .iter()
        .zip(&normals)
        .map(|(&p, &n)| {
            // the reference itself must show an edge here, and where it shows it is zero
            let zero = edge(frame, &frame.reference_lab, p, n, reach)?;
            let found = edge(frame, &frame.candidate_lab, p, n, reach)?;
            (zero.abs() < 0.25 * reach).then_some(found - zero)
        })
        .collect();
    let offsets = smoothed(&points, &raw, (0.05 * frame.size).max(5.0));
    let decided = offsets.iter().filter(|o| o.is_some()).count() as f32 / offsets.len().max(1) as f32;
    Outline { points, normals, raw, offsets, decided }
}

/// The position of the strongest step along a normal, nearer ones preferred.
fn edge(
    frame: &Frame,
    lab: &packshot_imaging::colour::LabImage,
    (x, y): (f32, f32),
    (nx, ny): (f32, f32),
    reach: f32,
) -> Option<f32> {
    let count = reach as i32;
    let mut profile: Vec<[f32; 3]> = Vec::with_capacity(2 * count as usize + 1);
    for d in -count..=count {
        let (u, v) = (x + nx * d as f32, y + ny * d as f32);
        if u < 0.0 || v < 0.0 || u >= frame.width as f32 || v >= frame.height as f32 {
            return None;
        }
        let i = v as usize * frame.width as usize + u as usize;
        if !frame.visible[i] {
            return None;
        }
        profile.push([lab.l[i], lab.a[i], lab.b[i]]);
    }
    let n = profile.len();
    let window = (n / 5).clamp(3, 9);
    let mean = |from: usize, to: usize| {
        let k = (to - from) as f32;
        profile[from..to].iter().fold([0f32; 3], |s, p| [s[0] + p[0] / k, s[1] + p[1] / k, s[2] + p[2] / k])
    };
    let mut best: Option<(f32, f32, f32)> = None;
    for cut in window..=n - window {
        let (a, b) = (mean(cut - window, cut), mean(cut, cut + window));
        let step = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt();
        let offset = cut as f32 - 0.5 - count as f32;
        let score = step * (1.0 - 0.5 * (offset / reach).powi(2));
        if best.is_none_or(|(most, ..)| score > most) {
            best = Some((score, step, offset));
        }
    }
    best.filter(|(_, step, _)| *step > STEP_MIN).map(|(_, _, offset)| offset)
}

/// The median of the neighbours within a radius: one wrong edge is no bulge. Where the
/// neighbours disagree, on wood grain say, nothing can be told.
fn smoothed(points: &[(f32, f32)], raw: &[Option<f32>], radius: f32) -> Vec<Option<f32>> {
    let disagreement = (0.25 * radius).max(2.0);
    points
        .iter()
        .map(|&(x, y)| {
            let close = |u: f32, v: f32| (u - x).hypot(v - y) < radius;
            let all = points.iter().filter(|(u, v)| close(*u, *v)).count();
            let mut near: Vec<f32> =
                points.iter().zip(raw).filter(|((u, v), _)| close(*u, *v)).filter_map(|(_, o)| *o).collect();
            if near.len() < 3 || 2 * near.len() < all {
                return None;
            }
            let spread = quantile(&mut near, 0.75) - quantile(&mut near, 0.25);
            (spread <= disagreement).then(|| quantile(&mut near, 0.5))
        })
        .collect()
}
