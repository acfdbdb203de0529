//! Pictures at the size they are worked on.

use image::RgbImage;

use crate::blur::Plane;
use crate::photo::Rect;
use crate::resize;

/// A picture, or a part of it, at working size.
pub(super) struct Working {
    pub(super) rgb: RgbImage,
    /// Working pixels per full pixel.
    pub(super) factor: f32,
    /// Full-size offset of the working picture's corner.
    pub(super) offset: (f32, f32),
}

impl Working {
    /// `crop` of a picture with `longest` reduced to `side_max`, enlarged at most `enlarge` times.
    pub(super) fn new(rgb: &RgbImage, crop: Rect, side_max: f32, longest: f32, enlarge: f32) -> Working {
        let factor = (side_max / longest.max(1.0)).min(enlarge);
        let (w, h) = ((crop.w as f32 * factor).round().max(1.0), (crop.h as f32 * factor).round().max(1.0));
        let cut;
        let source = if (crop.w, crop.h) == rgb.dimensions() {
            rgb
        } else {
            cut = resize::crop_rgb(rgb, crop);
            &cut
        };
        Working {
            rgb: resize::resize_rgb(source, w as u32, h as u32),
            factor: w / crop.w.max(1) as f32,
            offset: (crop.x as f32, crop.y as f32),
        }
    }

    /// All of a picture with its longest side reduced to `side_max`, enlarged at most `enlarge`
    /// times.
    pub(super) fn whole(rgb: &RgbImage, side_max: f32, enlarge: f32) -> Working {
        let (w, h) = rgb.dimensions();
        Working::new(rgb, Rect { x: 0, y: 0, w, h }, side_max, w.max(h) as f32, enlarge)
    }

    pub(super) fn lightness(&self) -> Plane {
        let data = self
            .rgb
            .pixels()
            .map(|p| {
                (0.299 * f32::from(p.0[0]) + 0.587 * f32::from(p.0[1]) + 0.114 * f32::from(p.0[2])) / 255.0
            })
            .collect();
        Plane { width: self.rgb.width(), height: self.rgb.height(), data }
    }

    /// Blur that the picture has by itself, in working pixels.
    pub(super) fn camera_blur(&self) -> f32 {
        0.5 * self.factor.max(1.0)
    }

    pub(super) fn full(&self, p: (f32, f32)) -> (f32, f32) {
        (p.0 / self.factor + self.offset.0, p.1 / self.factor + self.offset.1)
    }
}
