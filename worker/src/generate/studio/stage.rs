//! A product on a rendered surface: shared by lifestyle, feature and ad.

use image::{GrayImage, RgbImage};
use packshot_imaging::colour::{ciede2000, lab, srgb_to_linear};
use packshot_imaging::composite::shadow::{GroundShadow, Light, ground_shadow};
use packshot_pipeline::catalog::Dimensions;

use super::pose::Pose;
use super::scene::light::side_of_light;
use super::scene::{Scene, render_scene};
use super::seed;
use super::style::{Backdrop, Kind, Style};
use super::subject::{Sized, Subject};
use crate::generate::{Frame, MakeRequest};

/// Colour distance (CIEDE2000) from which a product stands out from its surface.
const DISTANCE_GOOD: f32 = 16.0;
/// Grain of a clean studio photo, in 8-bit steps.
const GRAIN: f32 = 0.7;

/// Where the product goes in a frame. Shares of the frame's width and height.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Layout {
    pub size: (u32, u32),
    /// The product is made as large as both allow.
    pub width_max: f32,
    pub height_max: f32,
    /// Centre of the product across.
    pub centre: f32,
    /// Share of the free height that is below a standing product, 0.5 = centred.
    pub below: f32,
}

/// What all frames of one candidate share.
pub(super) struct Stage<'a> {
    pub subject: Subject<'a>,
    pub pose: Pose,
    pub light: Light,
    style: &'a Style,
    longest_mm: f32,
    bounce: [f32; 3],
    seed: u64,
}

impl<'a> Stage<'a> {
    /// `None` when the cut-out covers nothing.
    pub(super) fn new(request: &MakeRequest<'a>) -> Option<Self> {
        let subject = Subject::new(request.cutout)?;
        let kind = request.style.kind(request.product);
        let pose = Pose::of(&request.cutout.alpha, kind);
        Some(Self {
            light: light(request, pose),
            pose,
            style: request.style,
            longest_mm: longest_mm(request.product.dimensions, kind),
            bounce: mean_colour(&request.cutout.foreground, &request.cutout.alpha),
            // Frames of one product share their surface, whatever the role.
            seed: seed(&MakeRequest {
                role: packshot_pipeline::role::Role::Lifestyle,
                attempt: 1,
                ..*request
            }),
            subject,
        })
    }

    /// The surroundings that suit the product: the first of the style that it stands out
    /// from; a later attempt takes the next one.
    pub(super) fn backdrop(&self, request: &MakeRequest<'_>) -> &'a Backdrop {
        let choices = match self.pose {
            Pose::Standing { .. } => &self.style.scenes,
            Pose::Lying { .. } => &self.style.flats,
        };
        let distance = |choice: &Backdrop| {
            let own = product_colour(request);
            let floor = ciede2000(own, lab(choice.floor_colour.0));
            match choice.wall_colour {
                Some(wall) => floor.min(ciede2000(own, lab(wall.0))),
                None => floor,
            }
        };
        let mut order: Vec<(&Backdrop, f32)> = choices.iter().map(|c| (c, distance(c))).collect();
        // Stable: among those that are good enough the style's own order stays.
        order.sort_by(|a, b| b.1.min(DISTANCE_GOOD).total_cmp(&a.1.min(DISTANCE_GOOD)));
        let turn = (request.attempt.saturating_sub(1)) as usize % order.len().max(1);
        order.get(turn).map_or(&choices[0], |(backdrop, _)| backdrop)
    }

    /// Renders one frame.
    pub(super) fn frame(&self, name: &str, layout: Layout, backdrop: &Backdrop) -> Frame {
        let (w, h) = (layout.size.0 as f32, layout.size.1 as f32);
        let bounds = self.subject.bounds;
        let scale = (w * layout.width_max / bounds.w as f32).min(h * layout.height_max / bounds.h as f32);
        let sized = self.subject.sized(scale * self.subject.longest());
        let inner = sized.inner;
        let free = h - inner.h;
        let at = match self.pose {
            Pose::Standing { .. } => (w * layout.centre - inner.w * 0.5, free * (1.0 - layout.below)),
            Pose::Lying { .. } => (w * layout.centre - inner.w * 0.5, free * 0.5),
        };
        let rest = self.pose.rest(inner.w.max(inner.h));
        let shadow = ground_shadow(&sized.alpha, rest, self.light);
        let canvas = self.scenery(layout.size, &sized, at, &shadow, backdrop);
        sized.put(name, canvas, at)
    }

    fn scenery(
        &self,
        size: (u32, u32),
        sized: &Sized,
        at: (f32, f32),
        shadow: &GroundShadow,
        backdrop: &Backdrop,
    ) -> RgbImage {
        let corner = sized.corner(at);
        let corner = (corner.0 as f32, corner.1 as f32);
        let inner = sized.inner;
        let middle = at.0 + inner.w * 0.5;
        let (base, elevation) = match self.pose {
            Pose::Standing { elevation, .. } => ((middle, corner.1 + shadow.ground_row), Some(elevation)),
            Pose::Lying { .. } => ((middle, at.1 + inner.h * 0.5), None),
        };
        render_scene(&Scene {
            size,
            base,
            elevation,
            mm_per_px: self.longest_mm / inner.w.max(inner.h).max(1.0),
            backdrop,
            light: self.light,
            window: self.style.light.window,
            shadow,
            mask_corner: corner,
            bounce: self.bounce,
            product: match self.pose {
                Pose::Standing { .. } => (-inner.w * 0.5, inner.w * 0.5, inner.h),
                // Along the slant of the light across a surface seen from above.
                Pose::Lying { .. } => {
                    let reach = inner.w * 0.5 + inner.h * 0.5 * 0.35;
                    (-reach, reach, 0.0)
                }
            },
            seed: self.seed,
            grain: GRAIN,
        })
    }
}

/// The style's light from the side from which the product itself is lit.
fn light(request: &MakeRequest<'_>, pose: Pose) -> Light {
    let own = side_of_light(&request.cutout.foreground, &request.cutout.alpha);
    let thrown =
        request.cutout.shadow.as_ref().map_or(0.0, |shadow| shadow_lean(shadow, &request.cutout.alpha));
    // A shadow that leans to the right tells of light from the left.
    let right = own - thrown > 0.12;
    let azimuth = match pose {
        // A little from the front, as products on white are lit.
        Pose::Standing { .. } => -0.35,
        // From the upper corner, as the eye expects of a flat lay.
        Pose::Lying { .. } => 0.8,
    };
    let style = request.style.light;
    Light {
        azimuth: if right { azimuth } else { std::f32::consts::PI - azimuth },
        altitude: style.altitude_deg.clamp(15.0, 80.0).to_radians(),
        radius: style.radius_deg.clamp(1.0, 30.0).to_radians(),
        key: style.key.clamp(0.0, 1.0),
    }
}

/// Where the photo's own shadow lies beside its product: -1 left, 1 right.
fn shadow_lean(shadow: &GrayImage, alpha: &GrayImage) -> f32 {
    if shadow.dimensions() != alpha.dimensions() {
        return 0.0;
    }
    let (mut dark, mut moment, mut area, mut middle) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for (x, y, value) in shadow.enumerate_pixels().step_by(7) {
        let covered = f64::from(alpha.get_pixel(x, y).0[0]);
        let lost = f64::from(255 - value.0[0]) * (255.0 - covered) / 255.0;
        dark += lost;
        moment += lost * f64::from(x);
        area += covered;
        middle += covered * f64::from(x);
    }
    if dark < 1.0 || area < 1.0 {
        return 0.0;
    }
    let offset = moment / dark - middle / area;
    ((offset / f64::from(shadow.width())) as f32 * 8.0).clamp(-1.0, 1.0)
}

/// Longer side of the product in millimetres: from the catalog, else what its kind
/// usually measures.
fn longest_mm(dimensions: Dimensions, kind: &Kind) -> f32 {
    [dimensions.width_mm, dimensions.height_mm, dimensions.depth_mm]
        .into_iter()
        .flatten()
        .filter(|mm| mm.is_finite() && *mm > 0.0)
        .fold(None, |longest: Option<f64>, mm| Some(longest.map_or(mm, |l| l.max(mm))))
        .map_or(kind.size_mm, |mm| mm as f32)
        .clamp(5.0, 4000.0)
}

/// Mean linear colour of the product.
fn mean_colour(foreground: &RgbImage, alpha: &GrayImage) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0_f64; 3], 0.0_f64);
    for (pixel, _) in foreground.pixels().zip(alpha.pixels()).step_by(31).filter(|(_, a)| a.0[0] > 200) {
        for c in 0..3 {
            sum[c] += f64::from(srgb_to_linear(pixel.0[c]));
        }
        count += 1.0;
    }
    sum.map(|s| (s / count.max(1.0)) as f32)
}

/// The product's main colour.
fn product_colour(request: &MakeRequest<'_>) -> packshot_imaging::colour::Lab {
    match request.facts.colours.first() {
        Some(colour) => {
            packshot_imaging::colour::Lab { l: colour.lab[0], a: colour.lab[1], b: colour.lab[2] }
        }
        None => {
            let mean = mean_colour(&request.cutout.foreground, &request.cutout.alpha);
            lab(mean.map(packshot_imaging::colour::linear_to_srgb))
        }
    }
}
