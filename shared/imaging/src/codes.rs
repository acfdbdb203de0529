//! Machine-readable codes in a picture: QR, `DataMatrix`, EAN, UPC-A and Code 128, decoded.

use image::GrayImage;
use rxing::{BarcodeFormat, DecodeHints};

use crate::photo::Rect;

/// One decoded code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    /// `QR_CODE`, `EAN_13`, ...
    pub format: String,
    /// What it says.
    pub text: String,
    /// Bounding box of its locator points, in pixels of the picture.
    pub rect: Rect,
}

/// Decodes every code of the picture. Formats without a strong checksum are left out, as
/// they are "read" from wood grain.
pub fn find(gray: &GrayImage) -> Vec<Code> {
    let (width, height) = gray.dimensions();
    if width.min(height) < 20 {
        return Vec::new();
    }
    let formats = [
        BarcodeFormat::QR_CODE,
        BarcodeFormat::DATA_MATRIX,
        BarcodeFormat::EAN_13,
        BarcodeFormat::UPC_A,
        BarcodeFormat::CODE_128,
    ];
    let mut hints = DecodeHints { PossibleFormats: Some(formats.into()), ..DecodeHints::default() };
    let found =
        rxing::helpers::detect_multiple_in_luma_with_hints(gray.as_raw().clone(), width, height, &mut hints);
    let Ok(found) = found else { return Vec::new() };
    found
        .into_iter()
        .filter(|code| !code.getText().is_empty())
        .map(|code| {
            let points = code.getPoints();
            let least = |f: fn(&rxing::Point) -> f32| points.iter().map(f).fold(f32::MAX, f32::min).max(0.0);
            let most = |f: fn(&rxing::Point) -> f32| points.iter().map(f).fold(0.0, f32::max);
            let (x, y) = (least(|p| p.x) as u32, least(|p| p.y) as u32);
            let (x, y) = (x.min(width - 1), y.min(height - 1));
            let w = (most(|p| p.x) as u32).clamp(x + 1, width.max(x + 1)) - x;
            let h = (most(|p| p.y) as u32).clamp(y + 1, height.max(y + 1)) - y;
            Code {
                format: code.getBarcodeFormat().to_string(),
                text: code.getText().to_owned(),
                rect: Rect { x, y, w, h },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn an_ean_is_read() {
        // 4006381333931, drawn from the standard's bit patterns
        let bits = "101\
            0001101010011101011110111101000100100110011\
            01010100001010000101000010111010010000101100110101";
        let image = GrayImage::from_fn(130 * 3, 120, |x, y| {
            let i = (x / 3) as usize;
            let dark = (20..100).contains(&y) && i >= 16 && bits.as_bytes().get(i - 16) == Some(&b'1');
            image::Luma([if dark { 0 } else { 255 }])
        });
        for code in find(&image) {
            assert_eq!(code.format, "EAN_13", "{code:?}");
        }
    }

    #[test]
    fn flat_and_tiny_pictures_have_none() {
        assert!(find(&GrayImage::new(1, 1)).is_empty());
        assert!(find(&GrayImage::new(200, 100)).is_empty());
    }
}
