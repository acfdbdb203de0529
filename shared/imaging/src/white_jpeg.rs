//! A JPEG encoder for pictures on white: every pixel that must be white decodes to exactly
//! 255, 255, 255, right up to the product's edge.
//!
//! An ordinary encoder cannot promise that. In a block of 8 by 8 pixels that holds both
//! product and background, quantisation makes the background ring, and marketplaces flag
//! 254. But decoders clamp each component: a background sample may lie anywhere *above*
//! 255 before clamping. So each mixed block is encoded, decoded again, and encoded once
//! more with its white samples lifted by what they fell short, until none falls short.
//! Only those blocks pay for it, and their product samples keep the ordinary quantisation
//! error. Overshooting in the transform domain is the idea of the deringing in mozjpeg
//! (K. Lesiński, 2014); lifting until the decoded result is right is ours.
//!
//! The components are red, green and blue (Adobe marker, transform 0), not luma and
//! chroma: decoders clamp before they convert colour, so the ringing of chroma could not be
//! lifted away, and white would need chroma that is exact to half a step. The price is a
//! file half as large again. Baseline sequential DCT, no subsampling, the luma tables of
//! ITU-T T.81 Annex K scaled by quality as libjpeg does.

use std::f32::consts::PI;
use std::sync::LazyLock;

use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Why a picture cannot become a JPEG on exact white.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhiteJpegError {
    /// A side of 0 or of more than 65,535 pixels.
    #[error("a JPEG has sides of 1 to 65535 pixels, not {width}x{height}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The mask has another size than the picture.
    #[error("the white mask must be as large as the picture")]
    Mask,
}

/// Rounds of lifting after which a block is left as it is; real pictures need 1 to 6.
const ROUNDS_MAX: usize = 40;
/// A white sample after the level shift of T.81.
const WHITE: f32 = 127.0;
/// How far above 255 a white pixel must decode before clamping, so that every decoder's
/// rounding still ends at 255.
const MARGIN: f32 = 1.6;
/// Rows of blocks that are transformed together; bounds the memory for coefficients.
const BAND_ROWS: usize = 32;

/// Encodes `image` at `quality` (1 to 100, as in libjpeg). Pixels where `white` is 255
/// are white in the decoded file whatever `image` holds there.
///
/// Deterministic: the same input gives the same bytes on any number of threads.
///
/// # Errors
/// [`WhiteJpegError`] for sizes that JPEG cannot hold and for a mask of another size.
pub fn jpeg_on_white(image: &RgbImage, white: &GrayImage, quality: u8) -> Result<Vec<u8>, WhiteJpegError> {
    let (width, height) = image.dimensions();
    if !(1..=65_535).contains(&width) || !(1..=65_535).contains(&height) {
        return Err(WhiteJpegError::Size { width, height });
    }
    if white.dimensions() != image.dimensions() {
        return Err(WhiteJpegError::Mask);
    }
    let table = scaled(quality);
    let mut out = header(width as u16, height as u16, &table);
    let mut bits = BitWriter { out: &mut out, bits: 0, count: 0 };
    let coder = Coder::new();
    let mut dc = [0i32; 3];
    let columns = width.div_ceil(8);
    let rows: Vec<u32> = (0..height.div_ceil(8)).collect();
    for band in rows.chunks(BAND_ROWS) {
        let coded: Vec<Vec<Mcu>> = band
            .par_iter()
            .map(|&row| (0..columns).map(|column| mcu(image, white, column * 8, row * 8, &table)).collect())
            .collect();
        for unit in coded.iter().flatten() {
            for (component, block) in unit.iter().enumerate() {
                coder.block(&mut bits, block, &mut dc[component]);
            }
        }
    }
    bits.finish();
    out.extend_from_slice(&[0xFF, 0xD9]);
    Ok(out)
}

type Block = [f32; 64];
/// Quantised coefficients of one block in zig-zag order.
type Coefficients = [i16; 64];
type Mcu = [Coefficients; 3];

/// Transforms the 8 by 8 pixels at `x0`, `y0`; beyond the picture its last pixels repeat.
fn mcu(image: &RgbImage, white: &GrayImage, x0: u32, y0: u32, table: &[u16; 64]) -> Mcu {
    let (width, height) = image.dimensions();
    let mut planes: [Block; 3] = [[WHITE; 64]; 3];
    let mut must = [false; 64];
    for y in 0..8u32 {
        let sy = (y0 + y).min(height - 1);
        for x in 0..8u32 {
            let sx = (x0 + x).min(width - 1);
            let i = (y * 8 + x) as usize;
            must[i] = white.get_pixel(sx, sy)[0] == 255;
            if !must[i] {
                let pixel = image.get_pixel(sx, sy);
                for (component, plane) in planes.iter_mut().enumerate() {
                    plane[i] = f32::from(pixel[component]) - 128.0;
                }
            }
        }
    }
    if must == [true; 64] {
        let mut all = [0i16; 64];
        // Rounded up, never down: 255 or above, and above is clamped.
        all[0] = (127 * 8u16).div_ceil(table[0]) as i16;
        return [all; 3];
    }
    planes.map(|plane| {
        if must == [false; 64] { quantise(&forward(&plane), table) } else { lift(plane, &must, table) }
    })
}

/// Quantises so that every sample of `must` decodes to white.
fn lift(mut wanted: Block, must: &[bool; 64], table: &[u16; 64]) -> Coefficients {
    let mut coded = quantise(&forward(&wanted), table);
    for round in 0..ROUNDS_MAX {
        let got = inverse(&dequantise(&coded, table));
        // A block that does not settle is lifted as a whole: its error is bounded by the
        // quantisation steps, so a high enough white ends above 255 everywhere.
        let all = if round < ROUNDS_MAX / 2 { 0.0 } else { 4.0 };
        let mut done = true;
        for i in 0..64 {
            if must[i] {
                let short = WHITE + MARGIN - got[i];
                done &= short <= 0.0;
                wanted[i] += short.max(0.0) + all;
            }
        }
        if done {
            break;
        }
        coded = quantise(&forward(&wanted), table);
    }
    coded
}

/// The orthonormal 8-point DCT-II as a matrix, row = frequency; and its transpose.
struct Cosines {
    matrix: [[f32; 8]; 8],
    transposed: [[f32; 8]; 8],
}

static COSINES: LazyLock<Cosines> = LazyLock::new(|| {
    let mut matrix = [[0.0; 8]; 8];
    let mut transposed = [[0.0; 8]; 8];
    for u in 0..8 {
        let scale = if u == 0 { 0.125f32.sqrt() } else { 0.5 };
        for x in 0..8 {
            let value = scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos();
            matrix[u][x] = value;
            transposed[x][u] = value;
        }
    }
    Cosines { matrix, transposed }
});

fn forward(block: &Block) -> Block {
    let Cosines { matrix, transposed } = &*COSINES;
    product(matrix, block, transposed)
}

fn inverse(block: &Block) -> Block {
    let Cosines { matrix, transposed } = &*COSINES;
    product(transposed, block, matrix)
}

/// `left` times `block` times `right`; inner loops run over eight neighbours, so that the
/// compiler makes vectors of them.
fn product(left: &[[f32; 8]; 8], block: &Block, right: &[[f32; 8]; 8]) -> Block {
    let mut half = [0.0f32; 64];
    for (row, target) in block.chunks_exact(8).zip(half.chunks_exact_mut(8)) {
        for (value, line) in row.iter().zip(right) {
            for (sum, factor) in target.iter_mut().zip(line) {
                *sum += value * factor;
            }
        }
    }
    let mut out = [0.0f32; 64];
    for (line, target) in left.iter().zip(out.chunks_exact_mut(8)) {
        for (factor, row) in line.iter().zip(half.chunks_exact(8)) {
            for (sum, value) in target.iter_mut().zip(row) {
                *sum += factor * value;
            }
        }
    }
    out
}

fn quantise(block: &Block, table: &[u16; 64]) -> Coefficients {
    let mut coded = [0i16; 64];
    for (i, &at) in ZIGZAG.iter().enumerate() {
        let value = block[at as usize] / f32::from(table[at as usize]);
        let rounded = (value + 0.5f32.copysign(value)) as i32;
        // The limits of baseline Huffman categories: 11 bits for a DC difference, 10 for AC.
        coded[i] = rounded.clamp(if i == 0 { -1024 } else { -1023 }, 1023) as i16;
    }
    coded
}

fn dequantise(coded: &Coefficients, table: &[u16; 64]) -> Block {
    let mut block = [0.0f32; 64];
    for (value, &at) in coded.iter().zip(&ZIGZAG) {
        block[at as usize] = f32::from(*value) * f32::from(table[at as usize]);
    }
    block
}

/// Scales the Annex K table by quality as libjpeg does; entries 1 to 255.
fn scaled(quality: u8) -> [u16; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let mut table = LUMA.map(|entry| ((u32::from(entry) * scale + 50) / 100).clamp(1, 255) as u16);
    // With a step of 1 the largest coefficient would leave no room above white.
    table[0] = table[0].max(2);
    table
}

fn header(width: u16, height: u16, table: &[u16; 64]) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    let segment = |out: &mut Vec<u8>, marker: u8, body: &[u8]| {
        out.extend_from_slice(&[0xFF, marker]);
        out.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
        out.extend_from_slice(body);
    };
    // Version 100, no flags, transform 0: three components are red, green and blue.
    segment(&mut out, 0xEE, b"Adobe\0\x64\0\0\0\0\0");
    let mut body = vec![0];
    body.extend(ZIGZAG.iter().map(|&at| table[at as usize] as u8));
    segment(&mut out, 0xDB, &body);
    let [h1, h0] = height.to_be_bytes();
    let [w1, w0] = width.to_be_bytes();
    segment(&mut out, 0xC0, &[8, h1, h0, w1, w0, 3, b'R', 0x11, 0, b'G', 0x11, 0, b'B', 0x11, 0]);
    for (class, table) in [(0x00, &DC), (0x10, &AC)] {
        let mut body = vec![class];
        body.extend_from_slice(&table.lengths);
        body.extend_from_slice(table.symbols);
        segment(&mut out, 0xC4, &body);
    }
    segment(&mut out, 0xDA, &[3, b'R', 0, b'G', 0, b'B', 0, 0, 63, 0]);
    out
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    bits: u64,
    count: u32,
}

impl BitWriter<'_> {
    fn put(&mut self, code: u32, length: u32) {
        self.bits = (self.bits << length) | u64::from(code);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.bits >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xFF {
                self.out.push(0);
            }
        }
    }

    /// Fills the last byte with ones, as T.81 F.1.2.3 asks.
    fn finish(&mut self) {
        let open = (8 - self.count % 8) % 8;
        self.put((1 << open) - 1, open);
    }
}

/// Codes by symbol: bits and their number.
struct Coder {
    dc: [(u32, u32); 256],
    ac: [(u32, u32); 256],
}

impl Coder {
    fn new() -> Self {
        Self { dc: DC.codes(), ac: AC.codes() }
    }

    fn block(&self, bits: &mut BitWriter<'_>, block: &Coefficients, last_dc: &mut i32) {
        let dc = i32::from(block[0]);
        let (size, extra) = amplitude(dc - *last_dc);
        let (code, length) = self.dc[size as usize];
        bits.put(code, length);
        bits.put(extra, size);
        *last_dc = dc;
        let mut zeros = 0;
        for &value in &block[1..] {
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                let (code, length) = self.ac[0xF0];
                bits.put(code, length);
                zeros -= 16;
            }
            let (size, extra) = amplitude(i32::from(value));
            let (code, length) = self.ac[(zeros << 4) | size as usize];
            bits.put(code, length);
            bits.put(extra, size);
            zeros = 0;
        }
        if zeros > 0 {
            let (code, length) = self.ac[0];
            bits.put(code, length);
        }
    }
}

/// Category and its extra bits (T.81 F.1.2.1).
fn amplitude(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    let extra = if value < 0 { (value - 1) as u32 & ((1 << size) - 1) } else { value as u32 };
    (size, extra)
}

/// A Huffman table as it stands in a file.
struct Huffman {
    /// Number of codes of 1 to 16 bits.
    lengths: [u8; 16],
    symbols: &'static [u8],
}

impl Huffman {
    /// Codes are counted up within a length and doubled from one to the next (T.81 C.2).
    fn codes(&self) -> [(u32, u32); 256] {
        let mut codes = [(0, 0); 256];
        let mut symbols = self.symbols.iter();
        let mut code = 0;
        for (length, &count) in (1u32..).zip(&self.lengths) {
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                codes[symbol as usize] = (code, length);
                code += 1;
            }
            code <<= 1;
        }
        codes
    }
}

static DC: Huffman = Huffman {
    lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    symbols: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
};
static AC: Huffman = Huffman {
    lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D],
    symbols: &[
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22,
        0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33,
        0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34,
        0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55,
        0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76,
        0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96,
        0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5,
        0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4,
        0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1,
        0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
    ],
};
/// Position in the block of each coefficient of the zig-zag order.
#[rustfmt::skip]
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10,
    17, 24, 32, 25, 18, 11, 4, 5,
    12, 19, 26, 33, 40, 48, 41, 34,
    27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36,
    29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46,
    53, 60, 61, 54, 47, 55, 62, 63,
];

#[rustfmt::skip]
const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn decode(bytes: &[u8]) -> RgbImage {
        image::load_from_memory_with_format(bytes, image::ImageFormat::Jpeg).unwrap().to_rgb8()
    }

    /// A hard picture: a saturated, textured, hard-edged body on white, with thin lines.
    fn hard(width: u32, height: u32, colour: [u8; 3]) -> (RgbImage, GrayImage) {
        let mut image = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
        let mut white = GrayImage::from_pixel(width, height, image::Luma([255]));
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (dx, dy) = (x as f32 - width as f32 * 0.5, y as f32 - height as f32 * 0.5);
            let disc = (dx * dx + dy * dy).sqrt() < width.min(height) as f32 * 0.35;
            let line = (x * 3 + y * 2) % 41 == 0 && y % 3 != 0;
            if disc || line {
                let noise = ((x * 7 + y * 13) % 31) as u8;
                pixel.0 = colour.map(|c| c.saturating_sub(noise));
                white.put_pixel(x, y, image::Luma([0]));
            }
        }
        (image, white)
    }

    fn not_white(decoded: &RgbImage, white: &GrayImage) -> usize {
        decoded.pixels().zip(white.pixels()).filter(|(p, w)| w[0] == 255 && p.0 != [255; 3]).count()
    }

    #[test]
    fn white_is_exact_up_to_the_edge_at_every_quality_in_use() {
        for colour in
            [[20, 20, 20], [230, 10, 10], [10, 30, 220], [250, 240, 20], [250, 250, 250], [0, 255, 0]]
        {
            for quality in [80, 85, 90, 95, 98] {
                let (image, white) = hard(203, 157, colour);
                let decoded = decode(&jpeg_on_white(&image, &white, quality).unwrap());
                assert_eq!(decoded.dimensions(), (203, 157));
                assert_eq!(not_white(&decoded, &white), 0, "{colour:?} at {quality}");
            }
        }
    }

    #[test]
    fn the_product_keeps_an_ordinary_error() {
        let (image, white) = hard(200, 200, [180, 60, 40]);
        let error = |bytes: &[u8]| {
            let decoded = decode(bytes);
            let (mut sum, mut n) = (0.0f64, 0.0);
            for ((a, b), w) in image.pixels().zip(decoded.pixels()).zip(white.pixels()) {
                if w[0] == 0 {
                    sum += (0..3).map(|c| (f64::from(a[c]) - f64::from(b[c])).powi(2)).sum::<f64>();
                    n += 3.0;
                }
            }
            (sum / n).sqrt()
        };
        let ours = error(&jpeg_on_white(&image, &white, 95).unwrap());
        let none = GrayImage::new(200, 200);
        let plain = error(&jpeg_on_white(&image, &none, 95).unwrap());
        assert!(ours < plain * 1.25 + 0.2, "{ours} against {plain}");
        assert!(plain < 4.0, "{plain}");
    }

    #[test]
    fn tiny_and_odd_pictures_are_encoded() {
        for (width, height) in [(1, 1), (7, 1), (1, 9), (8, 8), (17, 33)] {
            let image = RgbImage::from_pixel(width, height, image::Rgb([12, 200, 99]));
            let decoded = decode(&jpeg_on_white(&image, &GrayImage::new(width, height), 95).unwrap());
            for pixel in decoded.pixels() {
                assert!(pixel.0.iter().zip([12, 200, 99]).all(|(a, b)| a.abs_diff(b) <= 3), "{pixel:?}");
            }
            let all = GrayImage::from_pixel(width, height, image::Luma([255]));
            let decoded = decode(&jpeg_on_white(&image, &all, 80).unwrap());
            assert!(decoded.pixels().all(|p| p.0 == [255; 3]));
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let image = RgbImage::new(4, 4);
        assert_eq!(jpeg_on_white(&image, &GrayImage::new(4, 5), 90), Err(WhiteJpegError::Mask));
        let empty = RgbImage::new(0, 4);
        assert!(matches!(jpeg_on_white(&empty, &GrayImage::new(0, 4), 90), Err(WhiteJpegError::Size { .. })));
    }

    #[test]
    fn the_same_picture_gives_the_same_bytes() {
        let (image, white) = hard(300, 300, [90, 20, 120]);
        let one = jpeg_on_white(&image, &white, 92).unwrap();
        assert_eq!(one, jpeg_on_white(&image, &white, 92).unwrap());
    }
}
