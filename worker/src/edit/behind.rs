//! Putting something else behind the product: shared by every operation that changes the
//! surroundings and leaves the product's own pixels where they are.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::composite::shadow::{Light, Rest, ground_shadow};
use packshot_imaging::mask;
use packshot_imaging::photo::Cutout;

use super::inpaint::membrane;
use super::{EditError, EditRequest, Kept, Outcome, feather, painted};

/// How much of the new background a half-covered rim pixel takes on beyond its coverage: light
/// that wraps around the edge, so the product does not look pasted.
const WRAP: f32 = 0.25;
/// Shadow factor (of 255) from which there is no shadow; below it noise would dirty a white.
const SHADOW_NONE: u8 = 251;

/// Where light is missing on the ground: 1 = lit, 0 = black, as a factor on sRGB levels.
pub(super) struct Shade {
    width: usize,
    factors: Vec<f32>,
}

impl Shade {
    /// No shadow.
    pub(super) fn none() -> Shade {
        Shade { width: 0, factors: Vec::new() }
    }

    /// The photo's own shadow, as the cut-out separated it; under the product's soft rim it is
    /// continued from outside.
    pub(super) fn own(cutout: &Cutout) -> Shade {
        let Some(shadow) = &cutout.shadow else { return Shade::none() };
        let factor = |v: u8| if v >= SHADOW_NONE { 1.0 } else { f32::from(v) / f32::from(SHADOW_NONE) };
        let values: Vec<f32> = shadow.pixels().map(|p| factor(p.0[0])).collect();
        let seen: Vec<bool> = cutout.alpha.pixels().map(|p| p.0[0] < 64).collect();
        let width = shadow.width() as usize;
        if !seen.contains(&true) {
            return Shade::none();
        }
        // The separated shadow ends in a step where it was told from noise; light does not.
        let side = shadow.width().min(shadow.height()) as f32;
        Shade { width, factors: membrane(&values, &seen, width) }.softened(1.0, side / 250.0)
    }

    /// A drawn shadow of a product of this coverage standing on a floor, lit from the upper
    /// left by a large soft light.
    pub(super) fn contact(alpha: &GrayImage) -> Shade {
        const ELEVATION: f32 = 0.35;
        let light = Light { azimuth: 2.2, altitude: 1.0, radius: 0.3, key: 0.45 };
        let shadow =
            ground_shadow(alpha, Rest::Standing { elevation: ELEVATION, depth: 0.5, contact: 0.5 }, light);
        let (w, h) = (alpha.width() as usize, alpha.height() as usize);
        let factors = (0..w * h)
            .map(|at| {
                let depth = ((at / w) as f32 - shadow.ground_row) / ELEVATION.sin();
                // Light is linear, levels are not.
                shadow.at((at % w) as f32, depth).clamp(0.0, 1.0).powf(1.0 / 2.2)
            })
            .collect();
        Shade { width: w, factors }
    }

    /// The shadow lighter and softer: `share` of its darkness, blurred by `sigma` px.
    pub(super) fn softened(self, share: f32, sigma: f32) -> Shade {
        if self.width == 0 {
            return self;
        }
        let height = (self.factors.len() / self.width) as u32;
        let data = self.factors.iter().map(|f| 1.0 - (1.0 - f) * share).collect();
        let plane = packshot_imaging::blur::Plane { width: self.width as u32, height, data };
        Shade { width: self.width, factors: packshot_imaging::blur::gaussian(&plane, sigma).data }
    }

    /// The factor at a pixel.
    pub(super) fn at(&self, x: u32, y: u32) -> f32 {
        let (x, y) = (x as usize, y as usize);
        if x < self.width { self.factors.get(y * self.width + x).copied().unwrap_or(1.0) } else { 1.0 }
    }

    /// Whether there is any shadow to speak of.
    pub(super) fn is_none(&self) -> bool {
        self.factors.iter().all(|f| *f > 0.98)
    }
}

/// The image with `background` (of its size) behind the product, darkened by `shade`.
///
/// Where the product covers a pixel wholly, its byte stays. With a mask in the request, only
/// what is inside it changes.
pub(super) fn put(
    request: &EditRequest,
    cutout: &Cutout,
    background: &RgbImage,
    shade: &Shade,
    notes: Vec<String>,
) -> Result<Outcome, EditError> {
    let mut image = request.image.clone();
    let mut touched = GrayImage::new(image.width(), image.height());
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let coverage = cutout.alpha.get_pixel(x, y).0[0];
        if coverage == 255 {
            continue;
        }
        let behind = background.get_pixel(x, y).0;
        *pixel = Rgb(over(behind, cutout.foreground.get_pixel(x, y).0, coverage, shade.at(x, y)));
        touched.put_pixel(x, y, Luma([255 - coverage]));
    }
    let mut alpha = None;
    if request.mask.is_some() {
        let soft =
            mask::intersection(&feather::feathered(&painted(request)?, 4.0), &mask::threshold(&touched, 1));
        image = feather::blend(request.image, &image, &soft);
        touched = soft;
        alpha = request.alpha.cloned();
    }
    Ok(Outcome { image, alpha, touched, notes, kept: Kept::Image { x: 0, y: 0 } })
}

/// One rim or background pixel.
pub(super) fn over(behind: [u8; 3], product: [u8; 3], coverage: u8, shade: f32) -> [u8; 3] {
    let a = f32::from(coverage) / 255.0;
    let wrap = WRAP * a * (1.0 - a);
    std::array::from_fn(|c| {
        let b = f32::from(behind[c]) * shade;
        let f = f32::from(product[c]) * (1.0 - wrap) + b * wrap;
        (f * a + b * (1.0 - a)).round().clamp(0.0, 255.0) as u8
    })
}

/// Noise of one level around 0 that keeps a slow gradient from banding; the same for the same
/// pixel always.
pub(super) fn dither(x: u32, y: u32) -> f32 {
    let mixed = |salt: u64| {
        let seed = (u64::from(x) << 32 | u64::from(y)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
        packshot_imaging::composite::mix(seed) as u32 as f32 / u32::MAX as f32
    };
    (mixed(1) + mixed(2) - 1.0) * 0.5
}
