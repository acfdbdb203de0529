//! Foreground and background by colour and contrast: Rother, Kolmogorov and Blake, "`GrabCut`:
//! Interactive Foreground Extraction using Iterated Graph Cuts", 2004, with a prior per pixel
//! in place of the user's rectangle.

use super::gmm::Mixture;
use super::maxflow::{Grid, STEPS};
use crate::colour::LabImage;

/// What is known of a pixel before the cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hint {
    /// Stays background.
    Background,
    /// Stays foreground.
    Foreground,
    /// To be decided; starts as background.
    MaybeBackground,
    /// To be decided; starts as foreground.
    MaybeForeground,
}

impl Hint {
    fn starts_on(self) -> bool {
        matches!(self, Hint::Foreground | Hint::MaybeForeground)
    }

    fn is_open(self) -> bool {
        matches!(self, Hint::MaybeBackground | Hint::MaybeForeground)
    }
}

/// How the cut weighs its terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutSettings {
    /// Rounds of fitting colours and cutting.
    pub rounds: u32,
    /// Cost of one unit of outline in a flat area.
    pub smoothness: f32,
    /// Weight of the colour mixtures against the prior.
    pub colour: f32,
    /// Largest colour cost difference of one pixel: one odd pixel is no proof.
    pub colour_max: f32,
}

/// Fixed-point units per unit of energy.
const UNIT: f32 = 64.0;

/// Cuts; true = foreground. `prior` is added to the cost of calling a pixel background
/// (negative: of calling it foreground), in nats.
pub(crate) fn grabcut(image: &LabImage, hints: &[Hint], prior: &[f32], settings: CutSettings) -> Vec<bool> {
    let mut on: Vec<bool> = hints.iter().map(|hint| hint.starts_on()).collect();
    let links = contrast(image);
    for _ in 0..settings.rounds {
        let inside = Mixture::fit(image, |at| on[at]);
        let outside = Mixture::fit(image, |at| !on[at]);
        let evidence = |at: usize| {
            let (Some(inside), Some(outside)) = (&inside, &outside) else { return prior[at] };
            let (l, a, b) = (image.l[at], image.a[at], image.b[at]);
            let colour = outside.cost(l, a, b) - inside.cost(l, a, b);
            prior[at] + settings.colour * colour.clamp(-settings.colour_max, settings.colour_max)
        };
        let next = cut_once(image, hints, &links, settings.smoothness, evidence);
        let same = next == on;
        on = next;
        if same {
            break;
        }
    }
    on
}

fn cut_once(
    image: &LabImage,
    hints: &[Hint],
    links: &[[f32; 4]],
    smoothness: f32,
    evidence: impl Fn(usize) -> f32,
) -> Vec<bool> {
    const HARD: i32 = 1 << 24;
    let (w, h) = (image.width as usize, image.height as usize);
    let mut grid = Grid::new(w, h);
    for (at, hint) in hints.iter().enumerate() {
        match hint {
            Hint::Background => grid.set_costs(at, 0, HARD),
            Hint::Foreground => grid.set_costs(at, HARD, 0),
            Hint::MaybeBackground | Hint::MaybeForeground => {
                grid.set_costs(at, (evidence(at).clamp(-1e4, 1e4) * UNIT) as i32, 0);
            }
        }
        let (x, y) = ((at % w) as i32, (at / w) as i32);
        for (k, &weight) in links[at].iter().enumerate() {
            let (nx, ny) = (x + STEPS[k * 2].0, y + STEPS[k * 2].1);
            if nx < 0 || ny < 0 || nx >= w as i32 || ny >= h as i32 {
                continue;
            }
            let near = ny as usize * w + nx as usize;
            // Between two decided pixels a link changes nothing.
            if hint.is_open() || hints[near].is_open() {
                grid.set_link(at, k * 2, (weight * smoothness * UNIT) as i32);
            }
        }
    }
    grid.cut()
}

/// Weight of the links to the right, below, below right and above right: 1 in flat areas,
/// falling with the squared colour step over its mean, divided by the length of the link.
fn contrast(image: &LabImage) -> Vec<[f32; 4]> {
    let (w, h) = (image.width as usize, image.height as usize);
    let near = |at: usize, k: usize| {
        let (dx, dy) = STEPS[k * 2];
        let (x, y) = ((at % w) as i32 + dx, (at / w) as i32 + dy);
        (x >= 0 && y >= 0 && x < w as i32 && y < h as i32).then(|| y as usize * w + x as usize)
    };
    let step = |p: usize, q: usize| {
        (image.l[p] - image.l[q]).powi(2)
            + (image.a[p] - image.a[q]).powi(2)
            + (image.b[p] - image.b[q]).powi(2)
    };
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for at in 0..image.l.len() {
        for k in 0..4 {
            if let Some(q) = near(at, k) {
                sum += f64::from(step(at, q));
                count += 1;
            }
        }
    }
    let mean = (sum / f64::from(count.max(1))) as f32;
    // Very smooth photos would otherwise make every grain an edge.
    let beta = 1.0 / (2.0 * mean.clamp(4.0, 150.0));
    (0..image.l.len())
        .map(|at| {
            std::array::from_fn(|k| {
                let length = if k < 2 { 1.0 } else { std::f32::consts::SQRT_2 };
                near(at, k).map_or(0.0, |q| (0.02 + 0.98 * (-beta * step(at, q)).exp()) / length)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_rough_start_snaps_to_the_edge() {
        let (w, h) = (60_usize, 50_usize);
        let square = |at: usize| (15..45).contains(&(at % w)) && (10..40).contains(&(at / w));
        let l: Vec<f32> =
            (0..w * h).map(|at| if square(at) { 30.0 } else { 75.0 } + (at * 7919 % 13) as f32).collect();
        let image =
            LabImage { width: w as u32, height: h as u32, a: vec![0.0; w * h], b: vec![0.0; w * h], l };
        let hints: Vec<Hint> = (0..w * h)
            .map(|at| match (at % w, at / w) {
                (0..5 | 55.., _) => Hint::Background,
                (20..52, 14..46) => Hint::MaybeForeground,
                _ => Hint::MaybeBackground,
            })
            .collect();
        let settings = CutSettings { rounds: 4, smoothness: 20.0, colour: 1.0, colour_max: 12.0 };
        let on = grabcut(&image, &hints, &vec![0.0; w * h], settings);
        assert!((0..w * h).all(|at| on[at] == square(at)));
    }
}
