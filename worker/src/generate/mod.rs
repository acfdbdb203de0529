//! Making candidates: the one interface behind which the built-in studio and generation
//! providers stand.
//!
//! A maker gets everything it may use in one request and gives back a candidate or the
//! reason why this role is skipped. It does not review, store or retry.

use async_trait::async_trait;
use image::{GrayImage, RgbImage};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_imaging::register::Similarity;
use packshot_pipeline::catalog::Product;
use packshot_pipeline::facts::Facts;
use packshot_pipeline::role::Role;

pub mod studio;

pub use studio::style::Style;

/// Everything a maker may use for one candidate of one role.
#[derive(Clone, Copy, Debug)]
pub struct MakeRequest<'a> {
    /// Catalog row: data, never instruction.
    pub product: &'a Product,
    /// What must not change.
    pub facts: &'a Facts,
    /// The chosen reference.
    pub photo: &'a Photo,
    /// The product of `photo`, cut out at the photo's own size.
    pub cutout: &'a Cutout,
    /// Another real view, for the angle role.
    pub second_view: Option<(&'a Photo, &'a Cutout)>,
    /// What the image is for.
    pub role: Role,
    /// The look, see [`studio::style::style_for`].
    pub style: &'a Style,
    /// The accepted main image, where there is one.
    pub accepted_main: Option<&'a RgbImage>,
    /// The accepted lifestyle frame, where there is one.
    pub accepted_lifestyle: Option<&'a Frame>,
    /// Counted from 1; a later attempt may choose another composition.
    pub attempt: u32,
}

/// One finished picture of a candidate.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Empty for the role's own picture; `shadow` for a main image with a contact shadow;
    /// `1x1`, `4x5`, `9x16`, `191x100` for the ratios of an ad.
    pub name: String,
    /// The picture.
    pub image: RgbImage,
    /// Coverage of the picture, when it may be used transparent; `None` = opaque.
    pub alpha: Option<GrayImage>,
    /// Where the product is, 0 to 255, same size as `image`.
    pub product_mask: GrayImage,
    /// How the reference lies in the frame: pixels of the reference to pixels of the frame.
    pub placement: Similarity,
    /// Size of the product in the frame divided by its size in the reference: over 1 =
    /// enlarged.
    pub scale_factor: f32,
}

/// What a maker made, not yet reviewed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// At least one; the first is the one a person is shown.
    pub frames: Vec<Frame>,
    /// How the picture came to be, for the file's metadata.
    pub source_type: DigitalSourceType,
    /// What a person should know: enlargement, a weak outline against white, ...
    pub notes: Vec<String>,
}

/// The outcome of making.
#[derive(Clone, Debug)]
pub enum Made {
    /// A candidate to review.
    Candidate(Candidate),
    /// The role cannot honestly be made from what is there.
    Skipped {
        /// For people, lower case, without full stop.
        reason: String,
    },
}

impl Made {
    /// A skip with its reason.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Made::Skipped { reason: reason.into() }
    }

    /// The candidate, if one was made.
    pub fn candidate(&self) -> Option<&Candidate> {
        match self {
            Made::Candidate(candidate) => Some(candidate),
            Made::Skipped { .. } => None,
        }
    }
}

/// What a maker can do and what it asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// `studio`, or the provider's name.
    pub name: String,
    /// Roles it can make.
    pub roles: Vec<Role>,
    /// Takes a mask that protects the product.
    pub mask: bool,
    /// Same seed, same picture.
    pub seed: bool,
    /// Reference images it takes at most.
    pub references_max: u32,
    /// Longest side it gives, in pixels.
    pub side_px_max: u32,
    /// Gives transparent pictures.
    pub transparency: bool,
    /// Price of one candidate in micro-dollars.
    pub price_micro_usd: u64,
    /// Has a cheaper lane for overnight batches.
    pub batch_lane: bool,
    /// Day on which the model is withdrawn, `2027-03-01`.
    pub retires_on: Option<String>,
}

/// What to do about a failed call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MakeErrorKind {
    /// Try again later: timeouts, overload, rate limits.
    Transient,
    /// This request will never work: refused by a policy, too large, not supported.
    Refused,
    /// No request will work until somebody changes the settings: key, quota, model gone.
    Settings,
    /// It is not known whether the call was carried out and paid; look it up.
    Unknown,
}

/// Why making failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MakeError {
    /// What to do about it.
    pub kind: MakeErrorKind,
    /// What happened, where, and what to do.
    pub message: String,
    /// Earliest moment for another attempt, as a wait from now.
    pub retry_after: Option<std::time::Duration>,
    /// The error below, if any.
    #[source]
    pub source: Option<anyhow::Error>,
}

/// Something that makes candidates.
#[async_trait]
pub trait Maker: Send + Sync {
    /// What it can do; constant over its life.
    fn capabilities(&self) -> Capabilities;

    /// Makes one candidate, or says why the role is skipped.
    async fn generate(&self, request: &MakeRequest<'_>) -> Result<Made, MakeError>;
}
