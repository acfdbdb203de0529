//! One light against another, as few numbers as there can be: a gain per channel of linear
//! light and one exponent for contrast.
//!
//! Gains per channel are von Kries' adaptation (J. von Kries, "Die Gesichtsempfindungen",
//! 1905) in the form of the diagonal model, which G. Finlayson, M. Drew and B. Funt ("Color
//! constancy: generalized diagonal transforms suffice", JOSA A 11, 1994) show to be enough
//! for changes of the illuminant. The fit is Gauss-Newton on differences in Lab, reweighted
//! after P. Huber ("Robust estimation of a location parameter", 1964), with a weak pull
//! towards no change so that what the colours do not tell stays as it is.

use packshot_imaging::colour::lab_of_linear;

use super::pairs::Pair;

/// Rounds of the fit; it settles in four or five.
const ROUNDS: usize = 12;
/// Difference in Lab units from which a pair weighs less: those that do not show the same place.
const HUBER: f64 = 3.0;
/// Pull towards no change, as the standard deviation of the logarithms: gains are known from
/// few pixels, contrast only from many lightnesses.
const PULL: [f64; 4] = [0.5, 0.5, 0.5, 0.06];
/// How far Lab differences scatter around a perfect fit.
const SCATTER: f64 = 2.0;
/// Bounds of what is believed of a light, as logarithms. Two photos of one shop differ by at
/// most a quarter in one channel against the others; the review of colour holds the same. An
/// exposure beyond one stop amplifies the noise of 8 bits into bands. Lights put on photos need
/// at most 2 % of contrast; more of it bends hues, and a dye turned by 25 degrees hid in 18 %.
const CAST_MAX: f64 = 0.25;
const EXPOSURE_MAX: f64 = std::f64::consts::LN_2;
const CONTRAST_MAX: f64 = 0.08;

/// A change of light.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Light {
    /// Logarithm of the gain in linear red, green and blue.
    gain: [f64; 3],
    /// Logarithm of the exponent of all three.
    contrast: f64,
    /// Linear light at which contrast changes nothing, over 0.
    pivot: f64,
}

impl Light {
    /// The light that changes nothing.
    pub(super) fn none() -> Light {
        Light { gain: [0.0; 3], contrast: 0.0, pivot: 0.2 }
    }

    pub(super) fn is_none(&self) -> bool {
        self.gain == [0.0; 3] && self.contrast == 0.0
    }

    /// `strength` of this light, 0 = none, 1 = all of it.
    pub(super) fn weakened(self, strength: f64) -> Light {
        Light { gain: self.gain.map(|g| g * strength), contrast: self.contrast * strength, ..self }
    }

    /// Linear light `level` of `channel` under this light; may be over 1. Strictly rising.
    pub(super) fn of_channel(&self, channel: usize, level: f64) -> f64 {
        let bent = self.pivot * (level.max(0.0) / self.pivot).powf(self.contrast.exp());
        bent * self.gain[channel].exp()
    }

    /// A linear colour under this light.
    pub(super) fn of(&self, linear: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| self.of_channel(c, f64::from(linear[c])) as f32)
    }

    fn exposure(&self) -> f64 {
        self.gain.iter().sum::<f64>() / 3.0
    }

    /// Why no light of a shop is as strong as this one, if so.
    pub(super) fn unbelievable(&self) -> Option<String> {
        let exposure = self.exposure();
        let cast = self.gain.iter().map(|g| (g - exposure).abs()).fold(0.0, f64::max);
        if cast > CAST_MAX {
            return Some(format!(
                "one channel would have to change by {:.0} % against the others, {:.0} % is the most for a light",
                (cast.exp() - 1.0) * 100.0,
                (CAST_MAX.exp() - 1.0) * 100.0
            ));
        }
        if exposure.abs() > EXPOSURE_MAX {
            return Some(format!(
                "its light would have to change {:.1} times, twice is the most before noise shows",
                exposure.abs().exp()
            ));
        }
        (self.contrast.abs() > CONTRAST_MAX).then(|| {
            format!("its contrast would have to change by {:.0} %", (self.contrast.abs().exp() - 1.0) * 100.0)
        })
    }

    /// What was taken out of the picture, in words.
    pub(super) fn words(&self) -> String {
        let [r, g, b] = self.gain;
        let percent = |log: f64| (log.abs().exp() - 1.0) * 100.0;
        let warmth = percent(r - b);
        let tint = percent(g - (r + b) / 2.0);
        let exposure = percent(self.exposure());
        let contrast = percent(self.contrast);
        let mut words = Vec::new();
        if warmth >= 1.0 {
            words.push(format!("{warmth:.0} % {} light taken out", if r < b { "warmer" } else { "colder" }));
        }
        if tint >= 1.0 {
            let tone = if g < (r + b) / 2.0 { "greener" } else { "more magenta" };
            words.push(format!("{tint:.0} % {tone} light taken out"));
        }
        if exposure >= 1.0 {
            let way = if self.exposure() > 0.0 { "brighter" } else { "darker" };
            words.push(format!("made {exposure:.0} % {way}"));
        }
        if contrast >= 1.0 {
            let way = if self.contrast > 0.0 { "more" } else { "less" };
            words.push(format!("{contrast:.0} % {way} contrast"));
        }
        if words.is_empty() { "light changed by less than 1 %".to_owned() } else { words.join(", ") }
    }
}

/// The light under which the colours of `pairs` come nearest to their targets.
pub(super) fn fit(pairs: &[Pair]) -> Light {
    let mut light = Light { pivot: pivot(pairs), ..Light::none() };
    for _ in 0..ROUNDS {
        let step = step(pairs, &light);
        for (value, by) in light.gain.iter_mut().zip(step) {
            *value = (*value + by.clamp(-0.5, 0.5)).clamp(-1.5, 1.5);
        }
        light.contrast = (light.contrast + step[3].clamp(-0.2, 0.2)).clamp(-0.7, 0.7);
        if step.iter().all(|by| by.abs() < 1e-6) {
            break;
        }
    }
    light
}

/// Mean of the linear light of all pairs, as a geometric mean.
fn pivot(pairs: &[Pair]) -> f64 {
    let logs = pairs.iter().map(|pair| {
        let mean = pair.from.iter().map(|v| f64::from(*v)).sum::<f64>() / 3.0;
        mean.max(1e-3).ln()
    });
    (logs.sum::<f64>() / pairs.len().max(1) as f64).exp().clamp(0.01, 0.9)
}

/// One weighted Gauss-Newton step: red, green, blue, contrast.
fn step(pairs: &[Pair], light: &Light) -> [f64; 4] {
    const H: f64 = 1e-3;
    let nudged: [Light; 4] = std::array::from_fn(|p| {
        let mut other = *light;
        if p < 3 {
            other.gain[p] += H;
        } else {
            other.contrast += H;
        }
        other
    });
    let now = [light.gain[0], light.gain[1], light.gain[2], light.contrast];
    let n = pairs.len().max(1) as f64;
    let mut normal = [[0.0; 4]; 4];
    let mut right = [0.0; 4];
    for p in 0..4 {
        let pull = (SCATTER / PULL[p]).powi(2) / 400.0;
        normal[p][p] += pull;
        right[p] -= pull * now[p];
    }
    for pair in pairs {
        let here = difference(pair, light);
        let size = here.iter().map(|v| v * v).sum::<f64>().sqrt();
        let weight = if size <= HUBER { 1.0 } else { HUBER / size } / n;
        let slopes: [[f64; 3]; 4] = std::array::from_fn(|p| {
            let there = difference(pair, &nudged[p]);
            std::array::from_fn(|c| (there[c] - here[c]) / H)
        });
        for p in 0..4 {
            for q in 0..4 {
                normal[p][q] += weight * dot(&slopes[p], &slopes[q]);
            }
            right[p] -= weight * dot(&slopes[p], &here);
        }
    }
    solved(normal, right)
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Lab of the pair's colour under `light` less that of its target.
fn difference(pair: &Pair, light: &Light) -> [f64; 3] {
    let lab = lab_of_linear(light.of(pair.from));
    [lab.l - pair.to.l, lab.a - pair.to.a, lab.b - pair.to.b].map(f64::from)
}

/// Cholesky-free elimination of a positive definite 4 × 4 system; 0 where it is singular.
fn solved(mut a: [[f64; 4]; 4], mut b: [f64; 4]) -> [f64; 4] {
    for i in 0..4 {
        if a[i][i].abs() < 1e-12 {
            return [0.0; 4];
        }
        for row in i + 1..4 {
            let factor = a[row][i] / a[i][i];
            let above = a[i];
            for (value, from) in a[row].iter_mut().zip(above) {
                *value -= factor * from;
            }
            b[row] -= factor * b[i];
        }
    }
    let mut x = [0.0; 4];
    for i in (0..4).rev() {
        let rest: f64 = (i + 1..4).map(|j| a[i][j] * x[j]).sum();
        x[i] = (b[i] - rest) / a[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use packshot_imaging::colour::srgb_to_linear;
    use proptest::prelude::*;

    use super::*;

    fn pairs(truth: &Light, colours: &[[u8; 3]]) -> Vec<Pair> {
        colours
            .iter()
            .map(|rgb| {
                let from = rgb.map(srgb_to_linear);
                Pair { from, to: lab_of_linear(truth.of(from)) }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_light_is_found_again(
            gain in prop::array::uniform3(-0.3..0.3f64),
            contrast in -0.1..0.1f64,
            colours in prop::collection::vec(prop::array::uniform3(20u8..235), 40..80),
        ) {
            let truth = Light { gain, contrast, pivot: 0.2 };
            let pairs = pairs(&truth, &colours);
            let found = fit(&pairs);
            for pair in &pairs {
                let left = difference(pair, &found).iter().map(|v| v * v).sum::<f64>().sqrt();
                prop_assert!(left < 0.8, "{left} {found:?} {truth:?}");
            }
        }

        #[test]
        fn brighter_stays_brighter(
            gain in prop::array::uniform3(-0.7..0.7f64), contrast in -0.25..0.25f64,
            a in 0.0..1.0f64, b in 0.0..1.0f64,
        ) {
            let light = Light { gain, contrast, pivot: 0.2 };
            for c in 0..3 {
                prop_assert_eq!(a < b, light.of_channel(c, a) < light.of_channel(c, b));
            }
        }
    }

    #[test]
    fn pairs_that_do_not_show_the_same_place_do_not_spoil_the_fit() {
        let truth = Light { gain: [0.1, 0.0, -0.15], contrast: 0.0, pivot: 0.2 };
        let colours: Vec<[u8; 3]> = (0..60).map(|i| [60 + i * 2, 90 + i, 160 - i * 2]).collect();
        let mut pairs = pairs(&truth, &colours);
        for pair in pairs.iter_mut().step_by(5) {
            pair.to = lab_of_linear([0.02, 0.3, 0.02]);
        }
        let found = fit(&pairs);
        for (a, b) in found.gain.into_iter().zip(truth.gain) {
            assert!((a - b).abs() < 0.05, "{found:?}");
        }
    }

    #[test]
    fn lights_are_told_in_words() {
        let light = |gain| Light { gain, contrast: 0.0, pivot: 0.2 };
        assert_eq!(light([-0.06, 0.0, 0.06]).words(), "13 % warmer light taken out");
        assert_eq!(light([0.2; 3]).words(), "made 22 % brighter");
        assert_eq!(light([0.0; 3]).words(), "light changed by less than 1 %");
        assert!(light([0.1, -0.1, 0.1]).words().contains("greener light taken out"));
    }

    #[test]
    fn nothing_to_fit_is_no_light() {
        assert_eq!(fit(&[]).gain, [0.0; 3]);
        assert!(Light::none().unbelievable().is_none());
        assert!(Light { gain: [0.6, 0.0, 0.0], ..Light::none() }.unbelievable().is_some());
        assert!(Light { gain: [0.8; 3], ..Light::none() }.unbelievable().is_some());
    }
}
