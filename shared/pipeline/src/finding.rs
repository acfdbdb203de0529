//! What a review says: findings per drift axis with their evidence, and the verdict.

use serde::{Deserialize, Serialize};

/// The ways in which an image can stop telling the truth about its product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Taller, wider, smoother, parts missing or added.
    Shape,
    /// Another hue, chroma or lightness of the product or one of its parts.
    Colour,
    /// Another texture, finish or gloss.
    Material,
    /// Labels, logos, dials, seams, ports, closures removed, added, garbled or moved.
    Feature,
    /// Too large or too small in the frame or beside what is around.
    Scale,
    /// Badges, codes, ratings, text or objects that the reference does not have.
    Claim,
    /// Blur, halo, fringes, compression, off-white, banding.
    Quality,
}

impl Axis {
    /// Every axis, in reporting order.
    pub const ALL: [Axis; 7] =
        [Axis::Shape, Axis::Colour, Axis::Material, Axis::Feature, Axis::Scale, Axis::Claim, Axis::Quality];

    /// The word used in reports, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Axis::Shape => "shape",
            Axis::Colour => "colour",
            Axis::Material => "material",
            Axis::Feature => "feature",
            Axis::Scale => "scale",
            Axis::Claim => "claim",
            Axis::Quality => "quality",
        }
    }
}

/// A rectangle in pixels of the image it speaks of; `x`, `y` is its top left corner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Left edge in pixels.
    pub x: u32,
    /// Top edge in pixels.
    pub y: u32,
    /// Width in pixels, at least 1.
    pub w: u32,
    /// Height in pixels, at least 1.
    pub h: u32,
}

/// How much a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; never stops an image.
    Note,
    /// Shown first to a human; stops nothing by itself.
    Warning,
    /// The image is not store-ready with it.
    Drift,
}

/// One thing a review or an inspection found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Which promise is touched.
    pub axis: Axis,
    /// How much it weighs.
    pub severity: Severity,
    /// Where, in pixels of the candidate; `None` when it is about the whole image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// One sentence for a catalog manager, lower case, no full stop
    /// ("label: 3 marks missing near the lid").
    pub evidence: String,
    /// The measured value, in the axis' own unit; larger is worse.
    pub value: f64,
    /// The value from which the axis fails.
    pub threshold: f64,
}

/// A local operation that can cure a weak area without touching the product elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditOp {
    /// Transparent cut-out.
    Cutout,
    /// Background clean-up: flatten to its own colour or to white, shadow kept.
    Background,
    /// Another background behind the product's own pixels.
    ReplaceBackground,
    /// Remove an object and fill from its surroundings.
    Erase,
    /// Dust, scratch, glare, crease, harsh shadow.
    Retouch,
    /// More pixels, never more content.
    Upscale,
    /// Noise, compression, mild blur.
    Restore,
    /// A larger canvas continued from a simple background.
    Outpaint,
    /// Another frame.
    Crop,
    /// Into a scene.
    Compose,
    /// A category's or a reference's look for the surroundings.
    Style,
    /// The light on the product as in another picture of it; never another colour.
    Harmonise,
}

impl EditOp {
    /// Every operation, in the order of the help text.
    pub const ALL: [EditOp; 12] = [
        EditOp::Cutout,
        EditOp::Background,
        EditOp::ReplaceBackground,
        EditOp::Erase,
        EditOp::Retouch,
        EditOp::Upscale,
        EditOp::Restore,
        EditOp::Outpaint,
        EditOp::Crop,
        EditOp::Compose,
        EditOp::Style,
        EditOp::Harmonise,
    ];

    /// The word used on the command line and in reports.
    pub fn word(self) -> &'static str {
        match self {
            EditOp::Cutout => "cutout",
            EditOp::Background => "background",
            EditOp::ReplaceBackground => "replace-background",
            EditOp::Erase => "erase",
            EditOp::Retouch => "retouch",
            EditOp::Upscale => "upscale",
            EditOp::Restore => "restore",
            EditOp::Outpaint => "outpaint",
            EditOp::Crop => "crop",
            EditOp::Compose => "compose",
            EditOp::Style => "style",
            EditOp::Harmonise => "harmonise",
        }
    }

    /// The operation with this word, if any.
    pub fn parse(word: &str) -> Option<EditOp> {
        EditOp::ALL.into_iter().find(|op| op.word() == word)
    }
}

/// What should happen to a candidate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Store-ready.
    Accept,
    /// Right but for one weak area that `op` can cure.
    Edit {
        /// The operation.
        op: EditOp,
        /// Where, in pixels of the candidate; `None`: the whole background.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
        /// Why this operation can cure it.
        why: String,
    },
    /// The whole concept is wrong.
    Regenerate {
        /// What is wrong.
        why: String,
    },
    /// Measurement cannot decide; a person must.
    Human {
        /// What to look at.
        why: String,
    },
}

impl Verdict {
    /// `accept`, `edit`, `regenerate` or `human`.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Edit { .. } => "edit",
            Verdict::Regenerate { .. } => "regenerate",
            Verdict::Human { .. } => "human",
        }
    }
}

/// One axis of a review.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AxisScore {
    /// Which axis.
    pub axis: Axis,
    /// 0 = identical, larger = more drift; `None` = not comparable.
    pub score: Option<f64>,
    /// From which score the axis fails.
    pub threshold: f64,
    /// How far the measurement can be believed, 0 to 1.
    pub confidence: f64,
    /// Whether the axis passes; an axis that is not comparable does not fail by itself.
    pub pass: bool,
}

/// A whole review of one candidate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Review {
    /// Every axis once, in the order of [`Axis::ALL`].
    pub axes: Vec<AxisScore>,
    /// What was found, heaviest first.
    pub findings: Vec<Finding>,
    /// What should happen.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether the candidate could be registered to its reference at all.
    pub comparable: bool,
}

impl Review {
    /// The sum by which two candidates are ranked: each failing axis weighs its score
    /// relative to its threshold, a passing one less. Smaller is better.
    pub fn badness(&self) -> f64 {
        self.axes
            .iter()
            .map(|axis| {
                let relative = axis.score.unwrap_or(axis.threshold) / axis.threshold.max(1e-9);
                if axis.pass { relative.min(1.0) * 0.1 } else { 1.0 + relative }
            })
            .sum()
    }
}
