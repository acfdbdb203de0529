//! Edits: one operation on the weak area of an image instead of making it again.
//!
//! Every operation is one file with one `run`. [`apply`] is the only entrance: it parses the
//! settings against the operation's table, checks sizes, runs the operation, and then proves
//! on pixels what the operation promised to keep: **outside the touched mask every byte is
//! the one that came in**. An operation that breaks the promise is an error, not a result.
//!
//! Product truth holds for all of them: repairs take their material from the pixels around
//! the weak area, backgrounds change behind the product's own pixels, and enlarging never
//! adds anything that shrinking would not give back.

mod background;
mod behind;
mod compose;
mod crop;
mod cutout;
mod erase;
mod feather;
mod harmonise;
mod inpaint;
mod outpaint;
mod replace_background;
mod restore;
mod retouch;
mod settings;
mod style;
mod table;
#[cfg(test)]
mod tests;
mod upscale;

use std::collections::BTreeMap;

use image::{GrayImage, RgbImage};
use packshot_imaging::cutout::Segmenter;
use packshot_imaging::photo::Cutout;
use packshot_pipeline::finding::EditOp;

pub use inpaint::{Filled, Method, fill};
pub use settings::{Kind, Setting, SettingError, help};
pub use table::settings;

use settings::Settings;

/// Longest side that an operation may make, in pixels.
pub const SIDE_MAX: u32 = 30_000;
/// Most pixels that an operation may make.
pub const PIXELS_MAX: u64 = 120_000_000;

/// One operation on one image.
#[derive(Clone, Copy, Debug)]
pub struct EditRequest<'a> {
    /// Which operation.
    pub op: EditOp,
    /// The image, 8-bit sRGB, at least 1 × 1.
    pub image: &'a RgbImage,
    /// Its coverage, of the image's size; `None` when it is opaque.
    pub alpha: Option<&'a GrayImage>,
    /// Where to work, of the image's size, 128 and more is inside; `None` leaves the choice to
    /// the operation.
    pub mask: Option<&'a GrayImage>,
    /// The product in this image, of the image's size; operations that need it and do not get
    /// it cut it out themselves.
    pub product: Option<&'a Cutout>,
    /// Who else is asked where the product is when it has to be cut out.
    pub segmenter: Option<&'a dyn Segmenter>,
    /// The decoded picture of a [`Kind::Picture`] setting: a background, a scene, a style, a
    /// light.
    pub picture: Option<&'a RgbImage>,
    /// Coverage of the product in `picture`, of its size; operations that need it and do not get
    /// it cut the product out themselves.
    pub picture_product: Option<&'a GrayImage>,
    /// Settings as text; see [`settings()`] for what each operation takes.
    pub settings: &'a BTreeMap<String, String>,
}

impl<'a> EditRequest<'a> {
    /// The operation on an opaque image, everywhere, with nothing known besides.
    pub fn new(op: EditOp, image: &'a RgbImage, settings: &'a BTreeMap<String, String>) -> Self {
        Self {
            op,
            image,
            alpha: None,
            mask: None,
            product: None,
            segmenter: None,
            picture: None,
            picture_product: None,
            settings,
        }
    }
}

/// What an operation made.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The new image; of the old size but for crop, outpaint, upscale, compose and a tight
    /// cutout.
    pub image: RgbImage,
    /// Its coverage; `None` when it is opaque.
    pub alpha: Option<GrayImage>,
    /// Above 0 wherever a byte may differ from what came in, of the new size; the value is how
    /// much of the edit shows.
    pub touched: GrayImage,
    /// What was done and what a person should know, lower case.
    pub notes: Vec<String>,
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Settings that cannot be used, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingError>),
    /// A mask, coverage or cut-out of another size than the image.
    #[error("the {what} is {got_w}x{got_h} px but the image is {w}x{h} px; give one of the same size")]
    Size {
        /// What has the wrong size.
        what: &'static str,
        /// Its width in pixels.
        got_w: u32,
        /// Its height in pixels.
        got_h: u32,
        /// The image's width in pixels.
        w: u32,
        /// The image's height in pixels.
        h: u32,
    },
    /// The image has no pixels.
    #[error("the image has no pixels")]
    Empty,
    /// The operation cannot know where to work.
    #[error("{op} needs a mask with something in it: paint what to change in white on black")]
    MaskMissing {
        /// The operation's word.
        op: &'static str,
    },
    /// The operation needs another picture.
    #[error("{op} needs a picture: give one with the setting `picture`")]
    PictureMissing {
        /// The operation's word.
        op: &'static str,
    },
    /// The product could not be told from its background.
    #[error("{op} needs the product's outline, which was not found: {why}")]
    Product {
        /// The operation's word.
        op: &'static str,
        /// What the cut-out says.
        why: String,
    },
    /// The operation would do harm here.
    #[error("{op} was refused: {why}")]
    Refused {
        /// The operation's word.
        op: &'static str,
        /// The reason and what to do instead.
        why: String,
    },
    /// The operation broke its promise; nothing it made is used.
    #[error("{op} changed {pixels} pixels outside its mask; this is a bug, the edit was thrown away")]
    Outside {
        /// The operation's word.
        op: &'static str,
        /// How many pixels.
        pixels: u64,
    },
}

/// What an operation hands to [`apply`] to be checked.
struct Outcome {
    image: RgbImage,
    alpha: Option<GrayImage>,
    touched: GrayImage,
    notes: Vec<String>,
    kept: Kept,
}

/// What must still be there, byte for byte, where nothing was touched.
enum Kept {
    /// The incoming image, with its top left corner here in the new one.
    Image { x: i64, y: i64 },
    /// The given picture, at its own place.
    Picture,
    /// Nothing: every pixel was computed anew, and `touched` says so everywhere.
    Nothing,
}

/// Runs one operation.
///
/// The same request always gives the same bytes. It computes on the calling thread and the
/// rayon pool; callers in async code send it to their CPU pool.
pub fn apply(request: &EditRequest) -> Result<Edited, EditError> {
    check_sizes(request)?;
    let settings = settings::parse(request.op, request.settings).map_err(EditError::Settings)?;
    let outcome = run(request, &settings)?;
    let pixels = outside(request, &outcome);
    if pixels > 0 {
        return Err(EditError::Outside { op: request.op.word(), pixels });
    }
    let Outcome { image, alpha, touched, notes, kept: _ } = outcome;
    Ok(Edited { image, alpha, touched, notes })
}

fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    match request.op {
        EditOp::Cutout => cutout::run(request, settings),
        EditOp::Background => background::run(request, settings),
        EditOp::ReplaceBackground => replace_background::run(request, settings),
        EditOp::Erase => erase::run(request, settings),
        EditOp::Retouch => retouch::run(request, settings),
        EditOp::Upscale => upscale::run(request, settings),
        EditOp::Restore => restore::run(request, settings),
        EditOp::Outpaint => outpaint::run(request, settings),
        EditOp::Crop => crop::run(request, settings),
        EditOp::Compose => compose::run(request, settings),
        EditOp::Style => style::run(request, settings),
        EditOp::Harmonise => harmonise::run(request, settings),
    }
}

/// Whether an operation cuts the product out where it is not given.
pub fn cuts_out(op: EditOp) -> bool {
    match op {
        EditOp::Cutout
        | EditOp::Background
        | EditOp::ReplaceBackground
        | EditOp::Crop
        | EditOp::Compose
        | EditOp::Style
        | EditOp::Harmonise => true,
        EditOp::Erase | EditOp::Retouch | EditOp::Upscale | EditOp::Restore | EditOp::Outpaint => false,
    }
}

fn check_sizes(request: &EditRequest) -> Result<(), EditError> {
    let (w, h) = request.image.dimensions();
    if w == 0 || h == 0 {
        return Err(EditError::Empty);
    }
    let sizes = [
        ("mask", request.mask.map(GrayImage::dimensions)),
        ("coverage", request.alpha.map(GrayImage::dimensions)),
        ("cut-out", request.product.map(|cutout| cutout.alpha.dimensions())),
        ("cut-out's colour", request.product.map(|cutout| cutout.foreground.dimensions())),
        (
            "cut-out's shadow",
            request.product.and_then(|cutout| cutout.shadow.as_ref()).map(GrayImage::dimensions),
        ),
    ];
    for (what, size) in sizes {
        if let Some((got_w, got_h)) = size
            && (got_w, got_h) != (w, h)
        {
            return Err(EditError::Size { what, got_w, got_h, w, h });
        }
    }
    match (request.picture, request.picture_product) {
        (Some(picture), _) if picture.width() == 0 || picture.height() == 0 => Err(EditError::Empty),
        (Some(picture), Some(product)) if picture.dimensions() != product.dimensions() => {
            let ((w, h), (got_w, got_h)) = (picture.dimensions(), product.dimensions());
            Err(EditError::Size { what: "picture's coverage", got_w, got_h, w, h })
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// How many untouched pixels differ from what they must be. An outcome whose parts differ in
/// size counts as broken everywhere.
fn outside(request: &EditRequest, outcome: &Outcome) -> u64 {
    let (w, h) = outcome.image.dimensions();
    let all = u64::from(w) * u64::from(h);
    let alpha_size = outcome.alpha.as_ref().map_or((w, h), GrayImage::dimensions);
    if outcome.touched.dimensions() != (w, h) || alpha_size != (w, h) {
        return all.max(1);
    }
    let (base, x0, y0) = match outcome.kept {
        Kept::Image { x, y } => (Some(request.image), x, y),
        Kept::Picture => (request.picture, 0, 0),
        Kept::Nothing => (None, 0, 0),
    };
    let mut broken = 0;
    for (x, y, touched) in outcome.touched.enumerate_pixels() {
        if touched.0[0] > 0 {
            continue;
        }
        let (from_x, from_y) = (i64::from(x) - x0, i64::from(y) - y0);
        let same = base.is_some_and(|base| {
            let inside = from_x >= 0 && from_y >= 0;
            let was = base.get_pixel_checked(from_x as u32, from_y as u32);
            inside && was == Some(outcome.image.get_pixel(x, y))
        });
        broken += u64::from(!same);
    }
    broken
}

/// The mask of a request as 0 and 255, refused when there is none or nothing in it.
fn painted(request: &EditRequest) -> Result<GrayImage, EditError> {
    let painted =
        request.mask.map(|mask| packshot_imaging::mask::threshold(mask, packshot_imaging::mask::SET));
    painted
        .filter(|mask| packshot_imaging::mask::area(mask) > 0)
        .ok_or(EditError::MaskMissing { op: request.op.word() })
}
