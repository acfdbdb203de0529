//! The benchmark's pairs and what the reviewer measures on them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context as _;
use image::{GrayImage, RgbImage};
use packshot_imaging::cutout::cut_out;
use packshot_imaging::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use packshot_imaging::register;
use packshot_pipeline::finding::Axis;
use packshot_worker::review::{self, Extent, ReviewRequest};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `labels.csv`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Label {
    pub(crate) pair: String,
    pub(crate) product: String,
    #[serde(rename = "ref")]
    reference: String,
    ref_mask: String,
    cand: String,
    pub(crate) track: String,
    pub(crate) label: u8,
    pub(crate) klass: String,
    pub(crate) sub: String,
    pub(crate) severity: f64,
}

/// What was measured on one pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) pair: String,
    /// Metric values per axis; an axis that could not be measured is absent.
    pub(crate) metrics: BTreeMap<Axis, BTreeMap<String, f64>>,
    /// Number of broken rules per axis.
    pub(crate) violations: BTreeMap<Axis, usize>,
    /// Confidence per axis.
    pub(crate) confidence: BTreeMap<Axis, f64>,
    /// Inliers, spread, recall and edge correlation of the placement.
    #[serde(default)]
    pub(crate) placement: Option<[f32; 4]>,
    /// How far two segmenters agreed on the reference's product, 0 to 1.
    #[serde(default)]
    pub(crate) agreement: Option<f32>,
    /// Why the product was not found.
    pub(crate) uncomparable: Option<String>,
    /// Time of one review on one thread, decoding and cutting out not counted.
    pub(crate) milliseconds: f64,
}

/// A pair with its label.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) label: Label,
    pub(crate) row: Row,
}

impl Measured {
    /// The kind of change, without its number.
    pub(crate) fn kind(&self) -> &str {
        self.label.sub.trim_end_matches(|c: char| c.is_ascii_digit())
    }

    /// Whether a harmless pair is harmless on this axis. The zoomed twins of the scale scenes
    /// are cropped unevenly and then resized, so everything in them is stretched by 3 to 6 %:
    /// they answer for scale alone.
    pub(crate) fn answers_for(&self, axis: Axis) -> bool {
        axis == Axis::Scale || self.label.sub != "scene_zoom"
    }
}

pub(crate) fn labels(bench: &Path, share: f64) -> anyhow::Result<Vec<Label>> {
    let path = bench.join("labels.csv");
    let mut reader =
        csv::Reader::from_path(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let all: Vec<Label> =
        reader.deserialize().collect::<Result<_, _>>().context("labels.csv is not readable")?;
    // an even spread that does not follow the order of severities
    let keep = |i: usize| ((i as f64 * 0.618_033_988_75).fract()) < share;
    Ok(all.into_iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, l)| l).collect())
}

/// How pairs are measured.
pub(crate) struct How<'a> {
    pub(crate) bench: &'a Path,
    /// Measurements of earlier runs, added to.
    pub(crate) kept: Option<&'a Path>,
    /// The benchmark's masks instead of our own cut-outs.
    pub(crate) given_masks: bool,
    /// Folder for evidence pictures.
    pub(crate) evidence: Option<&'a Path>,
}

pub(crate) fn measure_all(how: &How, labels: &[Label]) -> anyhow::Result<Vec<Measured>> {
    let How { bench, kept, given_masks, .. } = *how;
    let mut known: HashMap<String, Row> = HashMap::new();
    if let Some(path) = kept
        && let Ok(file) = std::fs::File::open(path)
    {
        for line in std::io::BufReader::new(file).lines() {
            if let Ok(row) = serde_json::from_str::<Row>(&line.context("reading kept metrics")?) {
                known.insert(row.pair.clone(), row);
            }
        }
    }
    let sink = match kept {
        Some(path) => Some(Mutex::new(
            std::fs::File::options()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("{} cannot be written", path.display()))?,
        )),
        None => None,
    };
    let open: Vec<&Label> = labels.iter().filter(|l| !known.contains_key(&l.pair)).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<&Label>> = BTreeMap::new();
    for label in open {
        groups.entry((&label.reference, &label.ref_mask)).or_default().push(label);
    }
    let rows: Vec<Vec<Row>> = groups
        .into_par_iter()
        .map(|((reference, mask), group)| {
            let reference = Reference::load(bench, reference, mask, given_masks)?;
            let mut rows = Vec::with_capacity(group.len());
            for label in group {
                let row = one(how, &reference, label)?;
                if let Some(sink) = &sink {
                    let line = serde_json::to_string(&row)? + "\n";
                    let mut file = sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    file.write_all(line.as_bytes())?;
                }
                rows.push(row);
            }
            Ok(rows)
        })
        .collect::<anyhow::Result<_>>()?;
    known.extend(rows.into_iter().flatten().map(|r| (r.pair.clone(), r)));
    Ok(labels
        .iter()
        .filter_map(|label| known.remove(&label.pair).map(|row| Measured { label: label.clone(), row }))
        .collect())
}

struct Reference {
    photo: Photo,
    cutout: Result<Cutout, String>,
    sought: Option<register::Reference>,
}

impl Reference {
    fn load(bench: &Path, reference: &str, mask: &str, given_masks: bool) -> anyhow::Result<Reference> {
        let rgb = open(&bench.join(reference))?;
        let photo = Photo::of_pixels(rgb, None);
        let cutout = if given_masks {
            let path = bench.join(mask);
            let alpha =
                image::open(&path).with_context(|| format!("{} cannot be read", path.display()))?.to_luma8();
            Ok(given(&photo.rgb, alpha))
        } else {
            cut_out(&photo, &review::TO_COMPARE).map_err(|e| e.to_string())
        };
        let sought = cutout.as_ref().ok().and_then(|c| register::Reference::new(&photo.rgb, &c.alpha).ok());
        Ok(Reference { photo, cutout, sought })
    }
}

fn given(rgb: &RgbImage, alpha: GrayImage) -> Cutout {
    Cutout {
        foreground: rgb.clone(),
        alpha,
        shadow: None,
        quality: CutoutQuality {
            source: CutoutSource::SuppliedAlpha,
            agreement: 1.0,
            opinion: None,
            edge_contrast: 30.0,
            border_contact: 0.0,
            clutter: 0.0,
            soft_share: 0.0,
            parts: 1,
        },
    }
}

fn open(path: &Path) -> anyhow::Result<RgbImage> {
    Ok(image::open(path).with_context(|| format!("{} cannot be read", path.display()))?.to_rgb8())
}

fn one(how: &How, reference: &Reference, label: &Label) -> anyhow::Result<Row> {
    let candidate = open(&how.bench.join(&label.cand))?;
    let mut row = Row {
        pair: label.pair.clone(),
        metrics: BTreeMap::new(),
        violations: BTreeMap::new(),
        confidence: BTreeMap::new(),
        placement: None,
        agreement: None,
        uncomparable: None,
        milliseconds: 0.0,
    };
    let cutout = match &reference.cutout {
        Ok(cutout) => cutout,
        Err(why) => {
            let measured = review::measure_uncut(&reference.photo.rgb, &candidate, why);
            return Ok(filled(row, measured));
        }
    };
    row.agreement = Some(cutout.quality.agreement);
    let started = Instant::now();
    let measured = review::measure(&ReviewRequest {
        reference: &reference.photo,
        cutout,
        sought: reference.sought.as_ref(),
        candidate: &candidate,
        candidate_alpha: None,
        role: None,
        facts: None,
        hint: None,
    });
    row.milliseconds = started.elapsed().as_secs_f64() * 1e3;
    if let Some(folder) = how.evidence {
        let review = review::decide(&measured, None, review::thresholds::shipped());
        let path = folder.join(format!("{}.png", label.pair));
        review::evidence(&candidate, &measured, &review)
            .save(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(filled(row, measured))
}

fn filled(mut row: Row, measured: review::Measured) -> Row {
    row.placement = measured.registration.as_ref().map(|r| [r.inliers as f32, r.spread, r.recall, r.edges]);
    row.uncomparable = match measured.extent {
        Extent::Whole => None,
        Extent::Part { which: why, .. } | Extent::Nothing(why) => Some(why),
    };
    for channel in measured.channels {
        let values = channel.metrics.iter().map(|m| (m.name.to_owned(), m.value)).collect();
        row.metrics.insert(channel.axis, values);
        row.violations.insert(channel.axis, channel.violations.len());
        row.confidence.insert(channel.axis, channel.confidence);
    }
    row
}
