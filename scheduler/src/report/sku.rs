//! What the report shows of one SKU: a plain value, filled by whoever ran the batch.

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::facts::{Facts, ProtectedKind};
use packshot_pipeline::finding::{AxisScore, Finding, Region};
use packshot_pipeline::role::Role;

/// How a job or a SKU stands, in the order in which people should look at them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ReportStatus {
    /// The catalog's row did not become a product.
    BadRow,
    /// No reference can be trusted.
    WeakReference,
    /// The world prevented it.
    Failed,
    /// Nothing store-ready came out.
    Rejected,
    /// The best candidate waits for a person.
    NeedsHuman,
    /// No money was left.
    OverBudget,
    /// Stopped by a person.
    Cancelled,
    /// Not done yet.
    Pending,
    /// Cannot be made from what there is; nothing to do about it.
    Skipped,
    /// Store-ready.
    Accepted,
}

impl ReportStatus {
    /// Every status, worst first.
    pub const ALL: [ReportStatus; 10] = [
        ReportStatus::BadRow,
        ReportStatus::WeakReference,
        ReportStatus::Failed,
        ReportStatus::Rejected,
        ReportStatus::NeedsHuman,
        ReportStatus::OverBudget,
        ReportStatus::Cancelled,
        ReportStatus::Pending,
        ReportStatus::Skipped,
        ReportStatus::Accepted,
    ];

    /// The word used in files and on the page.
    pub fn word(self) -> &'static str {
        match self {
            ReportStatus::BadRow => "bad-row",
            ReportStatus::WeakReference => "weak-reference",
            ReportStatus::Failed => "failed",
            ReportStatus::Rejected => "rejected",
            ReportStatus::NeedsHuman => "needs-human",
            ReportStatus::OverBudget => "over-budget",
            ReportStatus::Cancelled => "cancelled",
            ReportStatus::Pending => "pending",
            ReportStatus::Skipped => "skipped",
            ReportStatus::Accepted => "accepted",
        }
    }

    /// Status of a SKU whose jobs stand like this: the worst that needs attention; a
    /// skipped role takes nothing away from an accepted one.
    pub fn of_set(jobs: impl IntoIterator<Item = ReportStatus>) -> ReportStatus {
        jobs.into_iter()
            .map(|status| if status == ReportStatus::Skipped { (1, status) } else { (0, status) })
            .min()
            .map_or(ReportStatus::Pending, |(_, status)| status)
    }
}

/// Everything shown of one SKU.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportSku {
    /// As the catalog has it.
    pub sku: String,
    /// As the catalog has it.
    pub title: String,
    /// As the catalog has it.
    pub brand: String,
    /// As the catalog has it.
    pub category: String,
    /// First line in the catalog file.
    pub line: u64,
    /// The set's status.
    pub status: ReportStatus,
    /// Why, where the status needs a reason ("reshoot with the whole product inside the frame").
    pub reason: String,
    /// Shown above everything else of the SKU: contradictions, catalog warnings.
    pub warnings: Vec<String>,
    /// The product-truth list; see [`facts_list`].
    pub facts: Vec<ReportFact>,
    /// The chosen reference first.
    pub references: Vec<ReportReference>,
    /// In the order of [`Role::ALL`].
    pub roles: Vec<ReportRole>,
    /// What was exported, by channel.
    pub exports: Vec<ReportExport>,
}

/// One fact of the truth list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportFact {
    /// `colour`, `material`, `outline`, ...
    pub name: String,
    /// For people.
    pub value: String,
    /// `pixels` or `catalog`.
    pub source: &'static str,
    /// `#rrggbb` of a colour, shown as a swatch.
    pub hex: Option<String>,
}

/// A picture as the report shows it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReportFrame {
    /// Empty, or the frame's name: `1x1`, `4x5`, `9x16`, `191x100`.
    pub name: String,
    /// A JPEG as [`thumbnail`](super::thumbnail) makes it; may be empty.
    pub thumb: Vec<u8>,
    /// Path of the full picture relative to the report; empty when there is none.
    pub full: String,
    /// Of the full picture, in pixels.
    pub width: u32,
    /// Of the full picture, in pixels.
    pub height: u32,
    /// Where the product is in it, in pixels; lets the page lay reference and result over
    /// each other.
    pub product: Option<Region>,
    /// The review's heat map as a JPEG of the same shape; may be empty.
    pub heatmap: Vec<u8>,
}

/// A reference photo.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReportReference {
    /// File name or address.
    pub name: String,
    /// The photo.
    pub frame: ReportFrame,
    /// Why it ranks where it does, or why it cannot be trusted.
    pub reasons: Vec<String>,
}

/// One role of a SKU.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportRole {
    /// Which.
    pub role: Role,
    /// How it ended.
    pub status: ReportStatus,
    /// Why it is skipped, waits for a person, or failed.
    pub reason: String,
    /// Whether an earlier run made it.
    pub cached: bool,
    /// `accept`, `edit`, `regenerate`, `human`, or empty.
    pub verdict: String,
    /// The accepted images, or the best candidate's; the first one is what was reviewed.
    pub frames: Vec<ReportFrame>,
    /// What was found; regions are in pixels of the first frame.
    pub findings: Vec<Finding>,
    /// Scores of the review.
    pub axes: Vec<AxisScore>,
    /// Who made it.
    pub maker: String,
    /// IPTC digital source type, its last segment.
    pub source_type: String,
    /// What it cost.
    pub cost: MicroUsd,
    /// Attempts started.
    pub attempts: u32,
    /// What else to know.
    pub notes: Vec<String>,
}

/// What one channel got.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReportExport {
    /// `amazon`, `google`, ...
    pub channel: String,
    /// Paths relative to the report, each with its role and slot.
    pub files: Vec<(String, Role, String)>,
    /// What is missing and why.
    pub gaps: Vec<String>,
}

/// The truth list as people read it.
pub fn facts_list(facts: &Facts) -> Vec<ReportFact> {
    let pixels =
        |name: &str, value: String| ReportFact { name: name.to_owned(), value, source: "pixels", hex: None };
    let mut list: Vec<ReportFact> = facts
        .colours
        .iter()
        .take(5)
        .map(|colour| ReportFact {
            name: "colour".to_owned(),
            value: format!("{}, {:.0} % of the product", colour.word, colour.share * 100.0),
            source: "pixels",
            hex: Some(colour.hex.clone()),
        })
        .collect();
    let outline = &facts.silhouette;
    let mut shape = format!("{:.2} : 1 wide to high", outline.aspect);
    for (count, one, more) in [(outline.holes, "hole", "holes"), (outline.parts, "part", "parts")] {
        if count > 1 || (count == 1 && one == "hole") {
            shape = format!("{shape}, {count} {}", if count == 1 { one } else { more });
        }
    }
    list.push(pixels("outline", shape));
    list.push(pixels("surface", facts.texture.word.clone()));
    let count = |kind| facts.protected.iter().filter(|region| region.kind == kind).count();
    for (kind, one, more) in [
        (ProtectedKind::Label, "label or logo", "labels or logos"),
        (ProtectedKind::HighDetail, "area of fine detail", "areas of fine detail"),
    ] {
        match count(kind) {
            0 => {}
            1 => list.push(pixels("protected", format!("1 {one}"))),
            n => list.push(pixels("protected", format!("{n} {more}"))),
        }
    }
    let d = &facts.dimensions;
    let sizes = [
        ("width", d.width_mm, "mm"),
        ("height", d.height_mm, "mm"),
        ("depth", d.depth_mm, "mm"),
        ("weight", d.weight_g, "g"),
    ];
    for (name, value, unit) in sizes {
        if let Some(value) = value {
            let value = format!("{value:.0} {unit}");
            list.push(ReportFact { name: name.to_owned(), value, source: "catalog", hex: None });
        }
    }
    list.extend(facts.stated.iter().map(|stated| ReportFact {
        name: stated.name.clone(),
        value: stated.value.clone(),
        source: "catalog",
        hex: None,
    }));
    list
}

#[cfg(test)]
mod tests {
    use super::ReportStatus as S;

    #[test]
    fn a_set_stands_as_its_worst_job() {
        assert_eq!(S::of_set([]), S::Pending);
        assert_eq!(S::of_set([S::Skipped, S::Accepted]), S::Accepted);
        assert_eq!(S::of_set([S::Skipped]), S::Skipped);
        assert_eq!(S::of_set([S::Accepted, S::NeedsHuman, S::Failed]), S::Failed);
        assert!(S::ALL.is_sorted(), "worst first");
    }
}
