//! `compare`: a review as a stand-alone tool, from encoded bytes to a report, and a runner
//! that answers a table of pairs one JSON object a line, in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use image::RgbImage;
use lru::LruCache;
use packshot_imaging::cutout;
use packshot_imaging::decode::{self, DecodeLimits};
use packshot_imaging::photo::{Cutout, Photo};
use packshot_imaging::register;
use packshot_pipeline::finding::{AxisScore, Finding, Review, Verdict};
use packshot_pipeline::role::Role;
use packshot_runtime::causes::chain;
use rayon::prelude::*;
use serde::Serialize;

use super::{ReviewRequest, thresholds};

/// References kept decoded and cut out between pairs.
const REFERENCES_KEPT: usize = 4;
/// Pairs per round of the runner: enough for every core, few enough for little memory.
const PAIRS_PER_ROUND: usize = 8;

/// One axis of a report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AxisReport {
    /// 0 = identical, larger = more drift; `null` = not comparable on this axis.
    pub score: Option<f64>,
    /// From which score the axis fails.
    pub threshold: f64,
    /// Whether it passes.
    pub pass: bool,
    /// How far the measurement can be believed, 0 to 1.
    pub confidence: f64,
}

/// What `compare` answers.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CompareReport {
    /// `accept`, `edit`, `regenerate` or `human`, with its operation and reason.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether the product was found in the candidate and could be measured.
    pub comparable: bool,
    /// By axis: `shape`, `colour`, `material`, `feature`, `scale`, `claim`, `quality`.
    pub axes: BTreeMap<&'static str, AxisReport>,
    /// What was found, heaviest first; regions in pixels of the candidate.
    pub findings: Vec<Finding>,
    /// Role whose rules were applied, if any.
    pub role: Option<Role>,
    /// Version of the calibration.
    pub thresholds_version: u32,
    /// Evidence picture, when it was asked for.
    #[serde(skip)]
    pub heatmap: Option<RgbImage>,
}

/// Why two files could not be compared at all.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The reference is not a readable picture.
    #[error("the reference cannot be read")]
    Reference(#[source] decode::DecodeError),
    /// The candidate is not a readable picture.
    #[error("the candidate cannot be read")]
    Candidate(#[source] decode::DecodeError),
}

/// A reference made ready once and compared with many candidates.
pub struct Prepared {
    photo: Photo,
    cutout: Result<Cutout, String>,
    /// The product as it is looked for; made by the first comparison.
    sought: OnceLock<Option<register::Reference>>,
}

impl Prepared {
    /// Decodes and cuts out a reference.
    ///
    /// # Errors
    /// [`CompareError::Reference`] when the bytes are no readable picture. A product that
    /// cannot be cut out is no error: every comparison then says so.
    pub fn new(bytes: &[u8]) -> Result<Prepared, CompareError> {
        let photo = decode::decode(bytes, &DecodeLimits::DEFAULT).map_err(CompareError::Reference)?;
        let cutout = cutout::cut_out(&photo, &super::TO_COMPARE).map_err(|e| e.to_string());
        Ok(Prepared { photo, cutout, sought: OnceLock::new() })
    }

    fn sought(&self, cutout: &Cutout) -> Option<&register::Reference> {
        self.sought.get_or_init(|| register::Reference::new(&self.photo.rgb, &cutout.alpha).ok()).as_ref()
    }

    /// Compares a candidate with this reference.
    ///
    /// # Errors
    /// [`CompareError::Candidate`] when the bytes are no readable picture.
    pub fn compare(
        &self,
        candidate: &[u8],
        role: Option<Role>,
        want_heatmap: bool,
    ) -> Result<CompareReport, CompareError> {
        let candidate = decode::decode(candidate, &DecodeLimits::DEFAULT).map_err(CompareError::Candidate)?;
        let calibration = thresholds::shipped();
        let cutout = match &self.cutout {
            Ok(cutout) => cutout,
            Err(why) => {
                let reason = format!("the reference's product cannot be cut out: {why}");
                let measured = super::measure_uncut(&self.photo.rgb, &candidate.rgb, &reason);
                let review = super::decide(&measured, role, calibration);
                let heatmap = want_heatmap.then(|| super::evidence(&candidate.rgb, &measured, &review));
                return Ok(report(review, role, heatmap));
            }
        };
        let request = ReviewRequest {
            reference: &self.photo,
            cutout,
            sought: self.sought(cutout),
            candidate: &candidate.rgb,
            candidate_alpha: candidate.alpha.as_ref(),
            role,
            facts: None,
            hint: None,
        };
        let measured = super::measure(&request);
        let review = super::decide(&measured, role, calibration);
        let heatmap =
            want_heatmap.then(|| super::evidence(&super::on_backdrop(&request), &measured, &review));
        Ok(report(review, role, heatmap))
    }
}

/// Compares one candidate with one reference, both as encoded bytes.
///
/// # Errors
/// [`CompareError`] when one of them is no readable picture.
pub fn compare(
    reference: &[u8],
    candidate: &[u8],
    role: Option<Role>,
    want_heatmap: bool,
) -> Result<CompareReport, CompareError> {
    Prepared::new(reference)?.compare(candidate, role, want_heatmap)
}

fn report(review: Review, role: Option<Role>, heatmap: Option<RgbImage>) -> CompareReport {
    let axis = |a: &AxisScore| AxisReport {
        score: a.score,
        threshold: a.threshold,
        pass: a.pass,
        confidence: a.confidence,
    };
    CompareReport {
        axes: review.axes.iter().map(|a| (a.axis.word(), axis(a))).collect(),
        verdict: review.verdict,
        comparable: review.comparable,
        findings: review.findings,
        role,
        thresholds_version: thresholds::shipped().version,
        heatmap,
    }
}

/// One line of the runner's answer.
#[derive(Serialize)]
struct Line {
    reference: String,
    candidate: String,
    #[serde(flatten)]
    report: Option<CompareReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

struct Row {
    reference: String,
    candidate: String,
    role: Result<Option<Role>, String>,
}

/// How many pairs a run saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PairsSummary {
    /// Rows of the table.
    pub pairs: u64,
    /// Rows answered with an error instead of a report.
    pub errors: u64,
}

/// Why a table of pairs could not be worked through.
#[derive(Debug, thiserror::Error)]
pub enum PairsError {
    /// The table is unreadable from some line on.
    #[error("the table of pairs cannot be read")]
    Table(#[from] csv::Error),
    /// A needed column is missing.
    #[error("the table of pairs has no column `{0}`")]
    Column(&'static str),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Write(#[from] io::Error),
}

/// Works through a CSV with the columns `reference`, `candidate` and, if present, `role`, and
/// writes one JSON object a line in the table's order. Relative paths are looked for beside
/// the table first, then in the working directory. A row that cannot be compared is answered
/// with an `error` and does not stop the others.
///
/// # Errors
/// [`PairsError`] when the table is unreadable or the answer cannot be written.
pub fn run_pairs(table: &Path, out: &mut dyn Write) -> Result<PairsSummary, PairsError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_path(table)?;
    let headers = reader.headers()?.clone();
    let column =
        |name: &str| headers.iter().position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let reference = column("reference").ok_or(PairsError::Column("reference"))?;
    let candidate = column("candidate").ok_or(PairsError::Column("candidate"))?;
    let role = column("role");
    let folder = table.parent().map(Path::to_path_buf).unwrap_or_default();
    let kept = Kept::new();
    let mut summary = PairsSummary::default();
    let mut records = reader.records();
    loop {
        let mut rows = Vec::with_capacity(PAIRS_PER_ROUND);
        for record in records.by_ref().take(PAIRS_PER_ROUND) {
            let record = record?;
            let cell = |i: usize| record.get(i).unwrap_or("").to_owned();
            let role = match role.map(cell).filter(|r| !r.is_empty()) {
                Some(word) => Role::parse(&word).map(Some).ok_or_else(|| format!("`{word}` is no role")),
                None => Ok(None),
            };
            rows.push(Row { reference: cell(reference), candidate: cell(candidate), role });
        }
        if rows.is_empty() {
            break;
        }
        let lines: Vec<Line> = rows.into_par_iter().map(|row| answer(row, &folder, &kept)).collect();
        for line in lines {
            summary.pairs += 1;
            summary.errors += u64::from(line.error.is_some());
            serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
    }
    Ok(summary)
}

/// References used by the last few rows: tables list many candidates of one reference.
struct Kept(Mutex<LruCache<PathBuf, Arc<Prepared>>>);

impl Kept {
    fn new() -> Kept {
        Kept(Mutex::new(LruCache::new(NonZeroUsize::new(REFERENCES_KEPT).unwrap_or(NonZeroUsize::MIN))))
    }

    fn get(&self, path: &Path) -> Result<Arc<Prepared>, String> {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = lock().get(path) {
            return Ok(found.clone());
        }
        let bytes = read(path)?;
        let prepared = Arc::new(Prepared::new(&bytes).map_err(|e| chain(&e))?);
        lock().put(path.to_path_buf(), prepared.clone());
        Ok(prepared)
    }
}

fn answer(row: Row, folder: &Path, kept: &Kept) -> Line {
    let compared = row.role.clone().and_then(|role| {
        let prepared = kept.get(&locate(folder, &row.reference))?;
        let bytes = read(&locate(folder, &row.candidate))?;
        prepared.compare(&bytes, role, false).map_err(|e| chain(&e))
    });
    let (report, error) = match compared {
        Ok(report) => (Some(report), None),
        Err(error) => (None, Some(error)),
    };
    Line { reference: row.reference, candidate: row.candidate, report, error }
}

fn locate(folder: &Path, name: &str) -> PathBuf {
    let beside = folder.join(name);
    if beside.exists() { beside } else { PathBuf::from(name) }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{} cannot be opened: {e}", path.display()))
}
