//! The job key: the fingerprint of everything that determines an image. Same key, same
//! image, so an unchanged SKU in a new batch costs nothing and a crash resumes.
//!
//! The encoding is canonical and prefix-free: every field is written as its tag, then the
//! number of its parts, then each part as an eight-byte length and its bytes. Two
//! different inputs can therefore never share an encoding, whatever their texts hold.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Product;
use crate::ids::Digest;
use crate::role::Role;

/// The fingerprint of one job's inputs; names its result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKey(Digest);

impl JobKey {
    /// The key that is `digest`.
    pub fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobKey({})", &self.0.to_hex()[..12])
    }
}

/// Everything that determines the image of one job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobInputs {
    /// Digests of the SKU's references in the catalog's order.
    pub references: Vec<Digest>,
    /// What the catalog states of the product; see [`catalog_facts`].
    pub facts: BTreeMap<String, Vec<String>>,
    /// What the image is for.
    pub role: Role,
    /// The role's settings (style, background, crop).
    pub role_settings: BTreeMap<String, String>,
    /// Keys of the jobs whose images this one is made from, in the order of preference.
    pub upstream: Vec<JobKey>,
    /// Who makes it.
    pub maker: String,
    /// The maker's model; empty when it has none.
    pub model: String,
    /// The maker's parameters (seed, size, strength).
    pub params: BTreeMap<String, String>,
    /// Version of the prompt template or layout.
    pub template_version: String,
    /// Version of the review's thresholds.
    pub review_version: String,
    /// Version of the code that makes and reviews.
    pub code_version: String,
}

impl JobInputs {
    /// The key of these inputs.
    pub fn key(&self) -> JobKey {
        let mut canonical = Canonical::new("packshot job 1");
        canonical.field("references", self.references.iter().map(|digest| digest.to_hex()));
        canonical.count("facts", self.facts.len());
        for (name, values) in &self.facts {
            canonical.field("fact", std::iter::once(name).chain(values));
        }
        canonical.field("role", [self.role.word()]);
        canonical.map("role settings", &self.role_settings);
        canonical.field("upstream", self.upstream.iter().map(JobKey::to_string));
        canonical.field("maker", [&self.maker, &self.model]);
        canonical.map("params", &self.params);
        canonical.field("versions", [&self.template_version, &self.review_version, &self.code_version]);
        canonical.finish()
    }
}

/// Everything that determines an exported set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetInputs {
    /// The jobs of the set.
    pub jobs: BTreeMap<Role, JobKey>,
    /// Channels exported to, with the version of their rules.
    pub channels: BTreeMap<String, String>,
    /// Codes and names by which channels name files.
    pub codes: BTreeMap<String, String>,
    /// Version of the code that assembles.
    pub code_version: String,
}

impl SetInputs {
    /// The key of these inputs.
    pub fn key(&self) -> JobKey {
        let mut canonical = Canonical::new("packshot set 1");
        canonical.count("jobs", self.jobs.len());
        for (role, key) in &self.jobs {
            canonical.field("job", [role.word(), &key.to_string()]);
        }
        canonical.map("channels", &self.channels);
        canonical.map("codes", &self.codes);
        canonical.field("version", [&self.code_version]);
        canonical.finish()
    }
}

/// What of a catalog row determines images: what a maker or a review reads of it. Absent:
/// the SKU, its group and the description, which no pixel depends on, so that the sizes of
/// one shirt that share their photos share their images; the line number; where references
/// come from (their digests count); and codes (they name files and belong to the set).
pub fn catalog_facts(product: &Product) -> BTreeMap<String, Vec<String>> {
    let mut facts = BTreeMap::new();
    let mut put = |name: &str, values: Vec<String>| {
        facts.insert(name.to_owned(), values);
    };
    put("title", vec![product.title.clone()]);
    put("category", vec![product.category.clone()]);
    put("brand", vec![product.brand.clone()]);
    put("colour", vec![product.colour.clone()]);
    put("material", vec![product.material.clone()]);
    put("accessories", product.accessories.clone());
    let size = &product.dimensions;
    let number = |value: Option<f64>| value.map(|v| format!("{v:?}")).unwrap_or_default();
    put(
        "dimensions",
        [size.width_mm, size.height_mm, size.depth_mm, size.weight_g].map(number).into_iter().collect(),
    );
    facts
}

struct Canonical(blake3::Hasher);

impl Canonical {
    fn new(domain: &str) -> Self {
        let mut canonical = Self(blake3::Hasher::new());
        canonical.part(domain);
        canonical
    }

    fn part(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn count(&mut self, tag: &str, parts: usize) {
        self.part(tag);
        self.0.update(&(parts as u64).to_le_bytes());
    }

    fn field<S: AsRef<str>>(&mut self, tag: &str, parts: impl IntoIterator<Item = S>) {
        let parts: Vec<S> = parts.into_iter().collect();
        self.count(tag, parts.len());
        for part in &parts {
            self.part(part.as_ref());
        }
    }

    fn map(&mut self, tag: &str, map: &BTreeMap<String, String>) {
        self.field(tag, map.iter().flat_map(|(name, value)| [name, value]));
    }

    fn finish(self) -> JobKey {
        JobKey(Digest::from_bytes(*self.0.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn inputs() -> JobInputs {
        JobInputs {
            references: vec![Digest::of(b"a"), Digest::of(b"b")],
            facts: BTreeMap::from([("colour".to_owned(), vec!["navy".to_owned()])]),
            role: Role::Main,
            role_settings: BTreeMap::from([("style".to_owned(), "plain".to_owned())]),
            upstream: vec![],
            maker: "studio".into(),
            model: String::new(),
            params: BTreeMap::new(),
            template_version: "1".into(),
            review_version: "1".into(),
            code_version: "1".into(),
        }
    }

    #[test]
    fn every_field_changes_the_key() {
        let base = inputs();
        let text = "changed".to_owned();
        let changed = [
            JobInputs { references: vec![Digest::of(b"b"), Digest::of(b"a")], ..base.clone() },
            JobInputs { references: vec![Digest::of(b"a")], ..base.clone() },
            JobInputs { facts: BTreeMap::new(), ..base.clone() },
            JobInputs { role: Role::Cleanup, ..base.clone() },
            JobInputs { role_settings: BTreeMap::new(), ..base.clone() },
            JobInputs { upstream: vec![base.key()], ..base.clone() },
            JobInputs { maker: text.clone(), ..base.clone() },
            JobInputs { model: text.clone(), ..base.clone() },
            JobInputs { params: base.role_settings.clone(), ..base.clone() },
            JobInputs { template_version: text.clone(), ..base.clone() },
            JobInputs { review_version: text.clone(), ..base.clone() },
            JobInputs { code_version: text, ..base.clone() },
        ];
        let keys: std::collections::BTreeSet<JobKey> =
            changed.iter().chain([&base]).map(JobInputs::key).collect();
        assert_eq!(keys.len(), changed.len() + 1);
        assert_eq!(base.key(), inputs().key());
    }

    #[test]
    fn the_encoding_never_changes_by_accident() {
        // A changed key means that every catalog is made again: that must be a decision.
        assert_eq!(
            inputs().key().to_string(),
            "1f0ac40d20763f0fb3c072debb0175773541befca67f3244cbaf34f2a8116fc0"
        );
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[ab\u{0}]{0,3}", 0..4)
    }

    proptest! {
        #[test]
        fn texts_cannot_move_between_neighbouring_fields(a in texts(), b in texts(), m in "[ab]{0,2}", n in "[ab]{0,2}",
                                                         o in "[ab]{0,2}", p in "[ab]{0,2}") {
            let make = |values: &Vec<String>, maker: &str, model: &str| JobInputs {
                facts: values.iter().map(|v| (v.clone(), values.clone())).collect(),
                maker: maker.to_owned(),
                model: model.to_owned(),
                ..inputs()
            };
            let (x, y) = (make(&a, &m, &n), make(&b, &o, &p));
            prop_assert_eq!(x == y, x.key() == y.key());
        }

        #[test]
        fn maps_are_unambiguous(a in prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..4),
                                b in prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..4)) {
            let x = JobInputs { role_settings: a.clone(), params: b.clone(), ..inputs() };
            let y = JobInputs { role_settings: b, params: a, ..inputs() };
            prop_assert_eq!(x == y, x.key() == y.key());
        }
    }
}
