//! What a finished job and a finished set leave behind. A [`JobResult`] under
//! `results/<job key>.json` is *the* commit marker: whoever puts it first has done the job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::MicroUsd;
use crate::finding::{Finding, Review};
use crate::ids::{BatchId, Digest, Sku};
use crate::job_key::JobKey;
use crate::layout;
use crate::role::Role;

/// Version of the results' form.
pub const RESULT_SCHEMA: u32 = 1;

/// Bytes in the object store, named by their content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Blob {
    /// Digest of the bytes.
    pub digest: Digest,
    /// File extension by content, without a dot.
    pub extension: String,
}

impl Blob {
    /// Where the bytes are.
    pub fn object_key(&self) -> String {
        layout::blob(&self.digest, &self.extension)
    }
}

/// One image that a job made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Artefact {
    /// Which frame of the role: empty, or `1x1`, `4x5`, `9x16`, `191x100`.
    pub frame: String,
    /// The image.
    pub image: Blob,
    /// Where the product is in it: one grey byte a pixel, same size.
    pub mask: Option<Blob>,
    /// The review's heat map, where there is one.
    pub heatmap: Option<Blob>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels of the image per pixel of the reference; over 1 = upscaled.
    pub scale_factor: f32,
}

/// How a job ended. A failure is not among them: what the world prevented is not a result
/// and must be possible to try again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum JobStatus {
    /// Store-ready.
    Accepted,
    /// The best candidate waits for a person.
    NeedsHuman {
        /// What to look at.
        why: String,
    },
    /// Nothing store-ready came out within the policy's limits.
    Rejected {
        /// What is wrong with the best candidate.
        why: String,
    },
    /// The role cannot be made from what there is.
    Skipped {
        /// Why.
        reason: String,
    },
    /// No reference can be trusted: the whole SKU stops.
    WeakReference {
        /// What is wrong and what to reshoot.
        reason: String,
    },
}

impl JobStatus {
    /// The word used in reports, logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            JobStatus::Accepted => "accepted",
            JobStatus::NeedsHuman { .. } => "needs-human",
            JobStatus::Rejected { .. } => "rejected",
            JobStatus::Skipped { .. } => "skipped",
            JobStatus::WeakReference { .. } => "weak-reference",
        }
    }
}

/// A finished job: `results/<job key>.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobResult {
    /// [`RESULT_SCHEMA`] of the writer.
    pub schema: u32,
    /// The job's fingerprint.
    pub key: JobKey,
    /// The batch that made it; another batch that finds it has it from the cache.
    pub batch: BatchId,
    /// The SKU it was made for.
    pub sku: Sku,
    /// What it is for.
    pub role: Role,
    /// How it ended.
    #[serde(flatten)]
    pub status: JobStatus,
    /// The accepted images, or the best candidate's.
    pub artefacts: Vec<Artefact>,
    /// The last review, with its verdict and findings, of the first artefact.
    pub review: Option<Review>,
    /// What else was found (reference, catalog, set).
    pub findings: Vec<Finding>,
    /// What it cost, all candidates together.
    pub cost: MicroUsd,
    /// Candidates made.
    pub candidates: u32,
    /// Edits made.
    pub edits: u32,
    /// Attempts started until this one, itself included.
    pub attempts: u32,
    /// Who made it, with its model where it has one: `studio`, `fal/some-model`.
    pub maker: String,
    /// IPTC digital source type as its last path segment (`compositeCapture`); empty
    /// when nothing was made.
    pub source_type: String,
    /// What a reader of the report should know, one sentence each.
    pub notes: Vec<String>,
    /// Trace under which it was made; empty when traces are off.
    pub trace_id: String,
}

/// A paid answer, saved before anything else happens to it:
/// `candidates/<job key>/<attempt>-<n>.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SavedCandidate {
    /// [`RESULT_SCHEMA`] of the writer.
    pub schema: u32,
    /// Name of the attempt that paid: `incarnation/job/number`.
    pub attempt: String,
    /// What it cost.
    pub cost: MicroUsd,
    /// The frames as received.
    pub artefacts: Vec<Artefact>,
    /// As in [`JobResult::source_type`].
    pub source_type: String,
    /// The maker's own remarks.
    pub notes: Vec<String>,
    /// What only the maker understands (request id, seed).
    pub maker_data: BTreeMap<String, String>,
}

/// A person's word on one job: `decisions/<job key>/<n>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// [`RESULT_SCHEMA`] of the writer.
    pub schema: u32,
    /// Whether the image may be published.
    pub accept: bool,
    /// Who decided.
    pub by: String,
    /// Why, in their words.
    pub note: String,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// One exported file of a set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetFile {
    /// Channel it is for.
    pub channel: String,
    /// Path below the set's folder: `<channel>/<file>`.
    pub path: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// The role it shows.
    pub role: Role,
    /// The channel's slot (`MAIN`, `PT01`, `2`).
    pub slot: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// One image that went into a set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetMember {
    /// What it is for.
    pub role: Role,
    /// The committed result it comes from.
    pub key: JobKey,
}

/// What is absent from a set or wrong with it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetGap {
    /// Channel concerned; empty: all.
    pub channel: String,
    /// Role concerned, where it is one.
    pub role: Option<Role>,
    /// One sentence: what is missing or refused, and why.
    pub why: String,
}

/// What the comparison of a set's images found, with the image that it names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetRemark {
    /// The image that stands out, or stood out until it was edited; `None` in sets assembled
    /// before it was kept.
    #[serde(default)]
    pub role: Option<Role>,
    /// What was found, and what was done about it; a note when nothing is left of it.
    #[serde(flatten)]
    pub finding: Finding,
}

/// A finished set: `sets/<slug>/<revision>/set.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetResult {
    /// [`RESULT_SCHEMA`] of the writer.
    pub schema: u32,
    /// The batch that assembled it.
    pub batch: BatchId,
    /// Whose set it is.
    pub sku: Sku,
    /// Fingerprint of the set's inputs.
    pub set_key: JobKey,
    /// The word of every job's state as it was assembled. With the same fingerprint and
    /// the same basis the set is the same, and need not be assembled again.
    pub basis: BTreeMap<Role, String>,
    /// Accepted images in it, by role.
    pub members: Vec<SetMember>,
    /// Exported files, by channel and path.
    pub files: Vec<SetFile>,
    /// What is missing; empty = complete.
    pub gaps: Vec<SetGap>,
    /// What the comparison between images found.
    pub findings: Vec<SetRemark>,
    /// What a reader of the report should know, one sentence each.
    pub notes: Vec<String>,
    /// Why roles have no image in it. What the world prevented leaves no result, so this is
    /// where a report finds it when the coordinator has forgotten the batch.
    #[serde(default)]
    pub absent: BTreeMap<Role, String>,
}

impl SetResult {
    /// Whether every wanted image of every channel is there.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }

    /// The digest of the set's content: its basis, members and files, whoever assembled it and
    /// whenever. The same inputs give the same revision, so a duplicate changes nothing.
    pub fn revision(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part("packshot set revision 1");
        part(self.sku.as_str());
        part(&self.set_key.to_string());
        for (role, word) in &self.basis {
            part(role.word());
            part(word);
        }
        part("members");
        for member in &self.members {
            part(member.role.word());
            part(&member.key.to_string());
        }
        part("files");
        for file in &self.files {
            part(&file.path);
            part(&file.digest.to_hex());
        }
        part("gaps");
        for gap in &self.gaps {
            part(&gap.channel);
            part(gap.role.map_or("", Role::word));
            part(&gap.why);
        }
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// Names the set a batch made of a SKU: content of `sets/<slug>/current/…`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetPointer {
    /// The set's content.
    pub revision: Digest,
    /// Whether it is complete.
    pub complete: bool,
}
