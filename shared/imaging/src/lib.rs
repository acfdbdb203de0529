//! Pure pixel functions: bytes or pixels in, bytes or pixels out. No I/O, no clock, no
//! knowledge of catalogs, roles or jobs.
//!
//! Working pixels are 8-bit sRGB (`RgbImage`); coverage is an 8-bit `GrayImage` (0 =
//! background, 255 = product). Where light is added or averaged, functions go through
//! linear light, as their documentation says.

pub mod blur;
pub mod codes;
pub mod colour;
pub mod composite;
pub mod cutout;
pub mod decode;
pub mod encode;
pub mod mask;
pub mod metadata;
pub mod photo;
pub mod register;
pub mod resize;
pub mod segment;
pub mod white_jpeg;
