//! The product as it is placed: cropped to its coverage, scaled, put into a frame.

use image::{GrayImage, RgbImage};
use packshot_imaging::photo::{Cutout, Rect};
use packshot_imaging::register::Similarity;
use packshot_imaging::resize::{crop_gray, crop_rgb, resize_gray, resize_rgb, upscale_rgb};
use packshot_imaging::{composite, mask};

use crate::generate::Frame;

/// Side of a square master when the reference has pixels enough.
pub(super) const MASTER_SIDE_MAX: u32 = 2000;
/// Side that is worth a moderate enlargement: zoom works well from here.
const MASTER_SIDE_GOOD: f32 = 1200.0;
/// Below this side channels refuse zoom; worth enlarging up to the honest limit.
const MASTER_SIDE_MIN: f32 = 1000.0;
/// Enlargement that is hardly seen.
const SCALE_MODERATE: f32 = 1.5;
/// The most that is ever done: beyond it the picture would show pixels nobody took.
pub(super) const SCALE_MAX: f32 = 2.0;
/// Enlargement from which edges gain by back-projection; below it plain Lanczos is as good.
const SCALE_BACK_PROJECTED: f32 = 1.2;
/// Pixels kept around the coverage, so that resampling at the rim sees true neighbours.
const PAD: u32 = 8;
/// Coverage under this counts as nothing, and `255 - COVERAGE_NOISE` and more as all:
/// resampling rings, and a ring of 1 % would break pure white.
const COVERAGE_NOISE: u8 = 4;

/// A cropped product.
pub(super) struct Subject<'a> {
    cutout: &'a Cutout,
    /// Bounding box of the coverage, in pixels of the reference.
    pub bounds: Rect,
    crop: Rect,
}

/// A product resampled for one frame.
pub(super) struct Sized {
    rgb: RgbImage,
    pub alpha: GrayImage,
    /// Pixels of the frame per pixel of the reference.
    pub scale: f32,
    /// Bounding box of the product within `alpha`, in pixels.
    pub inner: Box2,
    origin: (f32, f32),
}

/// A box with fractions, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Box2 {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl<'a> Subject<'a> {
    /// `None` when the cut-out covers nothing.
    pub(super) fn new(cutout: &'a Cutout) -> Option<Self> {
        if cutout.foreground.dimensions() != cutout.alpha.dimensions() {
            return None;
        }
        let bounds = mask::bounds(&cutout.alpha, 16)?;
        let (w, h) = cutout.alpha.dimensions();
        let x = bounds.x.saturating_sub(PAD);
        let y = bounds.y.saturating_sub(PAD);
        let crop = Rect {
            x,
            y,
            w: (bounds.x + bounds.w + PAD).min(w) - x,
            h: (bounds.y + bounds.h + PAD).min(h) - y,
        };
        Some(Self { cutout, bounds, crop })
    }

    /// Longer side of the product in the reference, in pixels.
    pub(super) fn longest(&self) -> f32 {
        self.bounds.w.max(self.bounds.h) as f32
    }

    /// Side of a square master in which the product's longer side fills `fill` of the
    /// frame: the reference's own resolution where it suffices, moderate enlargement
    /// where it does not, never more than [`SCALE_MAX`].
    pub(super) fn master_side(&self, fill: f32) -> u32 {
        let native = self.longest() / fill;
        let good = MASTER_SIDE_GOOD.min(native * SCALE_MODERATE);
        let side = native.max(good).max(MASTER_SIDE_MIN.min(native * SCALE_MAX));
        (side.round() as u32).clamp(1, MASTER_SIDE_MAX)
    }

    /// The product so that its longer side measures `length` pixels. Within 1.5 % below and
    /// 4 % above the reference's own size it stays at exactly that size, byte for byte.
    pub(super) fn sized(&self, length: f32) -> Sized {
        let scale = (length / self.longest()).min(SCALE_MAX);
        let scale = if (0.985..1.04).contains(&scale) { 1.0 } else { scale };
        let mut rgb = crop_rgb(&self.cutout.foreground, self.crop);
        let mut alpha = crop_gray(&self.cutout.alpha, self.crop);
        let mut exact = scale;
        if scale != 1.0 {
            let w = ((self.crop.w as f32 * scale).round() as u32).max(1);
            let h = ((self.crop.h as f32 * scale).round() as u32).max(1);
            exact = if w > h { w as f32 / self.crop.w as f32 } else { h as f32 / self.crop.h as f32 };
            rgb = if scale > SCALE_BACK_PROJECTED { upscale_rgb(&rgb, w, h) } else { resize_rgb(&rgb, w, h) };
            alpha = resize_gray(&alpha, w, h);
            for value in alpha.iter_mut() {
                *value = match *value {
                    v if v < COVERAGE_NOISE => 0,
                    v if v > 255 - COVERAGE_NOISE => 255,
                    v => v,
                };
            }
        }
        let inner = Box2 {
            x: (self.bounds.x - self.crop.x) as f32 * exact,
            y: (self.bounds.y - self.crop.y) as f32 * exact,
            w: self.bounds.w as f32 * exact,
            h: self.bounds.h as f32 * exact,
        };
        Sized { rgb, alpha, scale: exact, inner, origin: (self.crop.x as f32, self.crop.y as f32) }
    }
}

impl Sized {
    /// A picture that is a product's equal: drawn, not photographed.
    pub(super) fn whole(rgb: RgbImage, alpha: GrayImage) -> Self {
        let inner = Box2 { x: 0.0, y: 0.0, w: alpha.width() as f32, h: alpha.height() as f32 };
        Self { rgb, alpha, scale: 1.0, inner, origin: (0.0, 0.0) }
    }

    /// Puts the product on `canvas` with the top left corner of its bounding box at
    /// `at`, and makes a frame of it.
    pub(super) fn put(&self, name: &str, mut canvas: RgbImage, at: (f32, f32)) -> Frame {
        let corner = self.corner(at);
        composite::place(&mut canvas, &self.rgb, &self.alpha, corner);
        // Coordinates name pixel centres, so scaling moves them by half the change.
        let half = (self.scale - 1.0) * 0.5;
        let mut product_mask = GrayImage::new(canvas.width(), canvas.height());
        composite::place_mask(&mut product_mask, &self.alpha, corner);
        Frame {
            name: name.to_owned(),
            image: canvas,
            alpha: None,
            product_mask,
            placement: Similarity {
                scale: self.scale,
                angle: 0.0,
                tx: corner.0 as f32 - self.origin.0 * self.scale + half,
                ty: corner.1 as f32 - self.origin.1 * self.scale + half,
            },
            scale_factor: self.scale,
        }
    }

    /// Whole-pixel corner of the alpha when the bounding box is at `at`.
    pub(super) fn corner(&self, at: (f32, f32)) -> (i64, i64) {
        ((at.0 - self.inner.x).round() as i64, (at.1 - self.inner.y).round() as i64)
    }

    /// Corner of the bounding box that centres the product in a frame.
    pub(super) fn centred(&self, width: u32, height: u32) -> (f32, f32) {
        ((width as f32 - self.inner.w) * 0.5, (height as f32 - self.inner.h) * 0.5)
    }
}

/// What to tell a person about the product's size in the frame.
pub(super) fn scale_note(scale: f32) -> Option<String> {
    (scale > 1.05).then(|| {
        let advice = if scale > 1.6 { "; a larger reference would look sharper" } else { "" };
        format!("the product is enlarged {scale:.2} times{advice}")
    })
}
