//! Names of things: SKU, batch and content digest, each checked once, where it enters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest SKU accepted, in characters. Longer ones are a bad row, not a truncated name.
pub const SKU_CHARS_MAX: usize = 200;

/// A seller's own identifier of one sellable product, exactly as the catalog has it
/// (trimmed). It may hold any character but control characters, so it must never be used
/// as a path: use [`Sku::slug`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

/// Why a text cannot be a SKU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSku {
    /// Nothing is left after trimming.
    #[error("the SKU is empty")]
    Empty,
    /// More than [`SKU_CHARS_MAX`] characters.
    #[error("the SKU has {0} characters, at most {SKU_CHARS_MAX} are allowed")]
    TooLong(usize),
    /// NUL, line breaks and other control characters.
    #[error("the SKU contains the control character U+{0:04X}")]
    Control(u32),
}

impl Sku {
    /// Checks and trims `text`.
    pub fn new(text: &str) -> Result<Self, BadSku> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadSku::Empty);
        }
        let chars = text.chars().count();
        if chars > SKU_CHARS_MAX {
            return Err(BadSku::TooLong(chars));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(BadSku::Control(c as u32));
        }
        Ok(Self(text.to_owned()))
    }

    /// The SKU as the catalog has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that is safe as one path segment and one object key on every file system:
    /// ASCII letters, digits, `-`, `_` and `.` only, no leading dot, no Windows device
    /// name, at most 80 characters. A SKU that is such a name already (and is lower case
    /// or has no case) stands for itself; every other one gets a suffix of its digest, so
    /// two SKUs never share a slug, not even on a file system that folds case.
    pub fn slug(&self) -> String {
        let plain: String = self
            .0
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        let stem = plain.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
            || (stem.len() == 4
                && (stem.starts_with("com") || stem.starts_with("lpt"))
                && stem.as_bytes()[3].is_ascii_digit());
        let is_itself = plain == self.0
            && plain.len() <= 80
            && !plain.starts_with('.')
            && !plain.ends_with('.')
            && !device
            && !plain.bytes().any(|b| b.is_ascii_uppercase());
        if is_itself {
            return plain;
        }
        let short: String = plain.trim_matches(['.', '-']).chars().take(60).collect();
        let digest = blake3::hash(self.0.as_bytes()).to_hex();
        // Windows takes `nul.txt` for the device too, whatever follows the dot.
        let prefix = if device || short.is_empty() { "sku-" } else { "" };
        let dash = if short.is_empty() { "" } else { "-" };
        format!("{prefix}{short}{dash}{}", &digest[..10])
    }
}

impl TryFrom<String> for Sku {
    type Error = BadSku;
    fn try_from(text: String) -> Result<Self, BadSku> {
        Self::new(&text)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sku({:?})", self.0)
    }
}

/// The name of one submission of a catalog: lower-case ASCII letters, digits, `-` and `_`,
/// 1 to 64 characters; safe as a path segment, an object key and a Redis hash tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BatchId(String);

/// Why a text cannot be a batch name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a batch name has 1 to 64 characters out of a-z, 0-9, - and _, not {0:?}")]
pub struct BadBatchId(pub String);

impl BatchId {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, BadBatchId> {
        let fine = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fine { Ok(Self(text.to_owned())) } else { Err(BadBatchId(text.chars().take(80).collect())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BatchId {
    type Error = BadBatchId;
    fn try_from(text: String) -> Result<Self, BadBatchId> {
        Self::new(&text)
    }
}

impl From<BatchId> for String {
    fn from(id: BatchId) -> Self {
        id.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A BLAKE3 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of 64 hexadecimal digits")]
pub struct BadDigest;

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest that is these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| BadDigest)
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;
    fn try_from(text: String) -> Result<Self, BadDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_hex()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", &self.to_hex()[..12])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn slug(text: &str) -> String {
        Sku::new(text).unwrap().slug()
    }

    #[test]
    fn plain_skus_stand_for_themselves() {
        assert_eq!(slug("ab-12_3.x"), "ab-12_3.x");
        assert_eq!(slug(" 918223582 "), "918223582");
    }

    #[test]
    fn hostile_skus_become_distinct_harmless_names() {
        let hostile = [
            "../../etc/passwd",
            "a/b",
            "a\\b",
            "CON",
            "con",
            "nul.txt",
            "com1",
            "🦀",
            "AB",
            "Ab",
            "ab",
            ".x",
            "x.",
            "-",
        ];
        let slugs: std::collections::BTreeSet<String> =
            hostile.iter().map(|s| slug(s).to_ascii_lowercase()).collect();
        assert_eq!(slugs.len(), hostile.len());
        for slug in slugs {
            assert!(
                slug.len() <= 80
                    && !slug.contains(['/', '\\'])
                    && !slug.starts_with('.')
                    && !["con", "nul", "com1"].contains(&slug.split('.').next().unwrap()),
                "{slug}"
            );
        }
    }

    #[test]
    fn bad_skus_are_refused() {
        assert_eq!(Sku::new("  "), Err(BadSku::Empty));
        assert_eq!(Sku::new("a\0b"), Err(BadSku::Control(0)));
        assert_eq!(Sku::new(&"x".repeat(300)), Err(BadSku::TooLong(300)));
    }
}
