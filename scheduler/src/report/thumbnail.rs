//! Small JPEGs for the report.

use image::RgbImage;
use packshot_imaging::encode::{Chroma, EncodeError, jpeg};
use packshot_imaging::resize::resize_rgb;

/// Longest side of a thumbnail in pixels: sharp in the contact sheet's largest size, small
/// enough that sixty SKUs fit into one page.
pub const THUMBNAIL_SIDE_MAX: u32 = 400;
const QUALITY: u8 = 82;

/// A JPEG of `image`, at most [`THUMBNAIL_SIDE_MAX`] on its longest side, never enlarged.
pub fn thumbnail(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL_SIDE_MAX {
        return jpeg(image, QUALITY, Chroma::Half);
    }
    let scaled = |side: u32| {
        let exact = u64::from(side) * u64::from(THUMBNAIL_SIDE_MAX) / u64::from(longest);
        exact.max(1) as u32
    };
    jpeg(&resize_rgb(image, scaled(width), scaled(height)), QUALITY, Chroma::Half)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn thumbnails_fit_and_never_vanish() {
        for (from, to) in
            [((4000, 2000), (400, 200)), ((1, 9000), (1, 400)), ((7, 5), (7, 5)), ((400, 400), (400, 400))]
        {
            let bytes = thumbnail(&RgbImage::new(from.0, from.1)).unwrap();
            let probe = packshot_imaging::decode::probe(&bytes).unwrap();
            assert_eq!((probe.width, probe.height), to);
        }
    }
}
