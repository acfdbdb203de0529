//! A rectangle of an image in floating point, on which the filling methods work.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::photo::Rect;

/// Pixels of one rectangle as luma and two colour differences, 0 to 255 and signed, with what
/// is known about each of them. Everything is row-major, `w * h` long.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) w: usize,
    pub(super) h: usize,
    /// Luma, blue − luma, red − luma.
    pub(super) planes: [Vec<f32>; 3],
    /// To be filled.
    pub(super) hole: Vec<bool>,
    /// Known, and allowed as material.
    pub(super) usable: Vec<bool>,
}

impl Window {
    /// Cuts `rect` out of `image`. Set pixels of `hole` are unknown; where `source` is given,
    /// only its set pixels are material.
    pub(super) fn cut(image: &RgbImage, hole: &GrayImage, source: Option<&GrayImage>, rect: Rect) -> Window {
        let (w, h) = (rect.w as usize, rect.h as usize);
        let mut window = Window {
            w,
            h,
            planes: std::array::from_fn(|_| Vec::with_capacity(w * h)),
            hole: Vec::with_capacity(w * h),
            usable: Vec::with_capacity(w * h),
        };
        for y in rect.y..rect.y + rect.h {
            for x in rect.x..rect.x + rect.w {
                let ycc = luma_chroma(image.get_pixel(x, y).0);
                for (plane, value) in window.planes.iter_mut().zip(ycc) {
                    plane.push(value);
                }
                let unknown = hole.get_pixel(x, y).0[0] >= 128;
                window.hole.push(unknown);
                window.usable.push(!unknown && source.is_none_or(|s| s.get_pixel(x, y).0[0] >= 128));
            }
        }
        window
    }

    /// Writes those hole pixels back for which `wanted` says yes; coordinates are the window's.
    pub(super) fn write(&self, image: &mut RgbImage, rect: Rect, wanted: impl Fn(usize) -> bool) {
        for at in (0..self.w * self.h).filter(|&at| self.hole[at] && wanted(at)) {
            let rgb = to_rgb([self.planes[0][at], self.planes[1][at], self.planes[2][at]]);
            image.put_pixel(rect.x + (at % self.w) as u32, rect.y + (at / self.w) as u32, Rgb(rgb));
        }
    }

    /// The hole as a mask.
    pub(super) fn hole_mask(&self) -> GrayImage {
        GrayImage::from_fn(self.w as u32, self.h as u32, |x, y| {
            Luma([if self.hole[y as usize * self.w + x as usize] { 255 } else { 0 }])
        })
    }
}

fn luma_chroma([r, g, b]: [u8; 3]) -> [f32; 3] {
    let (r, g, b) = (f32::from(r), f32::from(g), f32::from(b));
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, b - y, r - y]
}

fn to_rgb([y, u, v]: [f32; 3]) -> [u8; 3] {
    let (r, b) = (v + y, u + y);
    let g = (y - 0.299 * r - 0.114 * b) / 0.587;
    [r, g, b].map(|c| c.round().clamp(0.0, 255.0) as u8)
}
