//! The types that every other module speaks: a decoded photo, a cut-out, a rectangle.

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

/// A rectangle in pixels; `w` and `h` are at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// A decoded photo: upright (EXIF orientation applied), 8-bit sRGB (embedded profile
/// applied).
#[derive(Clone, Debug)]
pub struct Photo {
    /// Colour; where `alpha` is 0 the colour is meaningless.
    pub rgb: RgbImage,
    /// The file's own coverage, not premultiplied; `None` when the file is opaque
    /// everywhere.
    pub alpha: Option<GrayImage>,
    /// What the file was.
    pub info: PhotoInfo,
}

impl Photo {
    /// A photo of pixels that no file was read for: upright and without a profile.
    pub fn of_pixels(rgb: RgbImage, alpha: Option<GrayImage>) -> Photo {
        let layout = if alpha.is_some() { "rgba8" } else { "rgb8" };
        let info = PhotoInfo {
            format: Format::Png,
            layout: layout.to_owned(),
            profile: None,
            orientation: 1,
            frames: 1,
            notes: Vec::new(),
        };
        Photo { rgb, alpha, info }
    }
}

/// What a decoded file was before it became working pixels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PhotoInfo {
    /// Format by content.
    pub format: Format,
    /// Pixel layout in the file, for example `rgb8`, `cmyk8`, `gray16`, `palette`.
    pub layout: String,
    /// Description of the embedded ICC profile, `None` when there is none.
    pub profile: Option<String>,
    /// EXIF orientation, 1 to 8; 1 = upright.
    pub orientation: u8,
    /// Frames in the file as far as cheaply known; only the first is used.
    pub frames: u32,
    /// What a person should know: "animated image, first frame used",
    /// "16-bit reduced to 8", ...
    pub notes: Vec<String>,
}

/// File formats that are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
    /// TIFF.
    Tiff,
    /// BMP.
    Bmp,
}

impl Format {
    /// The usual file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::Webp => "webp",
            Format::Gif => "gif",
            Format::Tiff => "tiff",
            Format::Bmp => "bmp",
        }
    }
}

/// A product separated from its background, at the photo's own resolution.
#[derive(Clone, Debug)]
pub struct Cutout {
    /// Foreground colour F with the background's light removed from the rim, defined (by
    /// extension outwards) at least 8 px beyond every pixel of `alpha` > 0; not
    /// premultiplied.
    pub foreground: RgbImage,
    /// Coverage A, 0 to 255, soft at edges.
    pub alpha: GrayImage,
    /// The photo's own shadow on its background: 255 = no shadow, smaller = darker, as a
    /// multiplicative factor of 1/255; `None` when it could not be told apart.
    pub shadow: Option<GrayImage>,
    /// How far the cut-out can be believed.
    pub quality: CutoutQuality,
}

/// How far a cut-out can be believed, all in 0 to 1 unless said otherwise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CutoutQuality {
    /// Where the coverage came from.
    pub source: CutoutSource,
    /// Intersection over union of two independent segmentations; 1 for supplied alpha.
    pub agreement: f32,
    /// Intersection over union of somebody else's coverage with the segmentation that it is held
    /// against; `None` when nobody was asked.
    pub opinion: Option<f32>,
    /// Contrast of the product's rim against the background, median CIEDE2000 distance;
    /// 0 to about 100.
    pub edge_contrast: f32,
    /// Share of the frame's border ring that is product: over 0 means cut off.
    pub border_contact: f32,
    /// Irregularity of the background away from product and shadow: residual standard
    /// deviation in Lab L units, 0 = perfectly smooth.
    pub clutter: f32,
    /// Share of product area that is neither clearly in nor clearly out.
    pub soft_share: f32,
    /// Number of separate parts holding at least 2 % of the product's area.
    pub parts: u32,
}

/// Where a cut-out's coverage came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoutSource {
    /// The file's own alpha channel.
    SuppliedAlpha,
    /// Segmented from an opaque photo.
    Segmented,
    /// Seen by a [`crate::cutout::Segmenter`] that was asked, and confirmed by a segmentation.
    Learned,
}
