//! How the product of a photo rests and from where the camera saw it, as far as the
//! silhouette and the kind of product tell.

use image::GrayImage;
use packshot_imaging::composite::shadow::Rest;
use packshot_imaging::mask;

use super::style::{Kind, RestRule};

/// Attitude of a product, independent of its size in a frame.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Pose {
    /// Upright on a horizontal surface.
    Standing {
        /// Camera above the horizon, in radians.
        elevation: f32,
        /// Depth divided by width.
        depth: f32,
        /// Share of the depth along which the lower outline touches the surface.
        contact: f32,
    },
    /// Seen from above, on a surface that faces the camera.
    Lying {
        /// Height as a share of the longer side.
        thickness: f32,
    },
}

/// Camera height of an ordinary packshot, in degrees.
const ELEVATION_USUAL_DEG: f32 = 8.0;

impl Pose {
    /// Reads the pose out of the coverage of the reference.
    pub(super) fn of(alpha: &GrayImage, kind: &Kind) -> Self {
        let lying = Pose::Lying { thickness: kind.thickness.clamp(0.005, 0.6) };
        let Some(outline) = Outline::of(alpha) else { return lying };
        let standing = |elevation_deg: f32| Pose::Standing {
            elevation: elevation_deg.clamp(4.0, 42.0).to_radians(),
            depth: kind.depth.clamp(0.02, 1.0),
            contact: 0.5,
        };
        match kind.rest {
            RestRule::Lie => lying,
            RestRule::Shoes => {
                // A pair from above is taller than wide; a profile is twice as wide as
                // tall; in between the camera looks down on a pair.
                let aspect = outline.width / outline.height;
                // Seen obliquely, a pair reaches much further back than one shoe is wide,
                // and its outline runs along the whole of that depth.
                let oblique = Pose::Standing {
                    elevation: (9.0 + (2.1 - aspect).clamp(0.0, 0.85) * 22.0).to_radians(),
                    depth: (kind.depth * 2.2).clamp(0.02, 0.79),
                    contact: 1.0,
                };
                let parts = mask::components(&mask::threshold(alpha, 128), (outline.area * 0.1) as u64).len();
                match () {
                    () if aspect < 1.25 && aspect > 0.35 => lying,
                    () if parts >= 2 || aspect > 2.1 => standing(7.0),
                    () => oblique,
                }
            }
            RestRule::Stand => standing(outline.elevation_deg(kind.depth)),
            RestRule::Auto => {
                if outline.is_carried() {
                    standing(outline.elevation_deg(kind.depth))
                } else {
                    lying
                }
            }
        }
    }

    /// The same for the shadow of a mask whose longer side is `longest` pixels.
    pub(super) fn rest(self, longest: f32) -> Rest {
        match self {
            Pose::Standing { elevation, depth, contact } => Rest::Standing { elevation, depth, contact },
            Pose::Lying { thickness } => {
                // Cloth touches with its rim; a body is rounded and touches further in.
                let overhang = if thickness < 0.05 { 0.05 } else { 0.3 };
                Rest::Lying { thickness: (thickness * longest).max(2.0), overhang }
            }
        }
    }
}

/// Measurements of a silhouette, in pixels.
struct Outline {
    width: f32,
    height: f32,
    area: f32,
    left: f32,
    centroid: f32,
    /// Lowest covered row per column from the left, `None` where nothing is.
    lower: Vec<Option<f32>>,
    bottom: f32,
}

impl Outline {
    fn of(alpha: &GrayImage) -> Option<Self> {
        let bounds = mask::bounds(alpha, 128)?;
        let mut lower = vec![None; bounds.w as usize];
        let (mut area, mut moment) = (0.0_f64, 0.0_f64);
        for y in bounds.y..bounds.y + bounds.h {
            for x in bounds.x..bounds.x + bounds.w {
                if alpha.get_pixel(x, y).0[0] >= 128 {
                    lower[(x - bounds.x) as usize] = Some(y as f32);
                    area += 1.0;
                    moment += f64::from(x);
                }
            }
        }
        Some(Self {
            width: bounds.w as f32,
            height: bounds.h as f32,
            area: area as f32,
            left: bounds.x as f32,
            centroid: (moment / area.max(1.0)) as f32,
            lower,
            bottom: (bounds.y + bounds.h - 1) as f32,
        })
    }

    /// Columns (first, last) whose lower end is within `slack` pixels of the bottom.
    fn support(&self, slack: f32) -> (f32, f32) {
        let touches = |c: &Option<f32>| c.is_some_and(|y| self.bottom - y <= slack);
        let first = self.lower.iter().position(touches).unwrap_or(0) as f32;
        let last = self.lower.iter().rposition(touches).unwrap_or(0) as f32;
        (self.left + first, self.left + last)
    }

    /// Whether the product would stand as it is seen: its weight is over its base.
    fn is_carried(&self) -> bool {
        let (from, to) = self.support((0.025 * self.height).max(1.5));
        let slack = 0.02 * self.width;
        let wide_enough = to - from >= 0.14 * self.width;
        // The base of a thing that stands lies below its middle.
        let middle = (from + to) * 0.5;
        let centred = (middle - self.centroid).abs() <= 0.22 * self.width;
        wide_enough && centred && self.centroid >= from - slack && self.centroid <= to + slack
    }

    /// Camera elevation from the lower outline. The base of a thing `depth` times as deep
    /// as wide reaches from its front to half that depth behind it, so its outline rises
    /// by that times sin(e).
    fn elevation_deg(&self, depth: f32) -> f32 {
        if depth >= 0.95 {
            return self.elevation_of_round_deg(depth);
        }
        let mut lifts: Vec<f32> = self.lower.iter().flatten().map(|y| self.bottom - y).collect();
        lifts.sort_by(f32::total_cmp);
        let lift = lifts.get(lifts.len() * 85 / 100).copied().unwrap_or(0.0);
        // What rises further is no base: a handle, a temple, an arm.
        if lift > 0.3 * self.height {
            return ELEVATION_USUAL_DEG;
        }
        let sine = (1.2 * lift / (0.5 * depth * self.width).max(1.0)).clamp(0.0, 0.45);
        sine.asin().to_degrees().max(ELEVATION_USUAL_DEG - 1.0)
    }

    /// The same for a round base: the front of a circle of radius R seen from elevation e
    /// hangs R sin(e) below its ends.
    fn elevation_of_round_deg(&self, depth: f32) -> f32 {
        // How far the front hangs down decides which columns belong to the base, and the other
        // way round: two more looks settle it.
        let mut slack = 0.12 * self.height.min(self.width);
        let mut sine = 0.0;
        for _ in 0..3 {
            let Some((seen, radius)) = self.sag(slack, depth) else { return ELEVATION_USUAL_DEG };
            sine = seen;
            slack = slack.max(sine * radius).min(0.3 * self.height);
        }
        sine.asin().to_degrees().max(ELEVATION_USUAL_DEG - 2.0)
    }

    /// Sine of the elevation and radius of a round base whose columns end within `slack`
    /// pixels of the bottom.
    fn sag(&self, slack: f32, depth: f32) -> Option<(f32, f32)> {
        let (from, to) = self.support(slack);
        let (centre, radius) = ((from + to) * 0.5, (to - from) * 0.5);
        if radius < 8.0 {
            return None;
        }
        let drop = |offset: f32| {
            let column = ((centre + offset - self.left).round().max(0.0) as usize).min(self.lower.len() - 1);
            self.lower[column].map(|y| self.bottom - y)
        };
        // 1 - sqrt(1 - 0.49) of the sag shows at 0.7 R.
        let shown = drop(-0.7 * radius)?.min(drop(0.7 * radius)?);
        Some(((shown / (0.286 * radius * depth)).clamp(0.0, 0.7), radius))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::Luma;

    use super::*;

    fn kind(rest: RestRule) -> Kind {
        Kind { words: Vec::new(), rest, depth: 1.0, thickness: 0.1, size_mm: 100.0 }
    }

    fn drawn(covered: impl Fn(f32, f32) -> bool) -> GrayImage {
        GrayImage::from_fn(400, 400, |x, y| Luma([if covered(x as f32, y as f32) { 255 } else { 0 }]))
    }

    #[test]
    fn an_upright_box_stands_and_a_tilted_one_lies() {
        let upright = drawn(|x, y| (150.0..250.0).contains(&x) && (50.0..350.0).contains(&y));
        assert!(
            matches!(Pose::of(&upright, &kind(RestRule::Auto)), Pose::Standing { elevation, .. } if elevation < 0.2)
        );
        let tilted = drawn(|x, y| (x - y).abs() < 40.0 && (60.0..680.0).contains(&(x + y)));
        assert!(matches!(Pose::of(&tilted, &kind(RestRule::Auto)), Pose::Lying { .. }));
    }

    #[test]
    fn a_round_base_tells_the_camera_height() {
        // A cylinder of radius 100 seen from 30 degrees: its base sags by 50.
        let mug = drawn(|x, y| {
            let u = (x - 200.0) / 100.0;
            u.abs() < 1.0 && y > 100.0 && y < 300.0 + 50.0 * (1.0 - u * u).sqrt()
        });
        let Pose::Standing { elevation, .. } = Pose::of(&mug, &kind(RestRule::Auto)) else { panic!("lies") };
        assert!((elevation.to_degrees() - 30.0).abs() < 6.0, "{}", elevation.to_degrees());
    }

    #[test]
    fn odd_masks_have_a_pose() {
        for (w, h) in [(0, 0), (1, 1), (1, 300), (300, 1)] {
            for value in [0, 255] {
                for rest in [RestRule::Auto, RestRule::Shoes, RestRule::Stand, RestRule::Lie] {
                    let _ = Pose::of(&GrayImage::from_pixel(w, h, Luma([value])), &kind(rest)).rest(1.0);
                }
            }
        }
    }
}
