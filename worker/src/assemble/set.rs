//! One SKU's set: every channel's files, what the images say about each other, and
//! `set.json`, which records all of it. The same members give the same bytes and the same
//! revision.

use packshot_imaging::metadata::DigitalSourceType;
use packshot_pipeline::ids::{Digest, Sku};
use packshot_pipeline::role::Role;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::consistency::SetFinding;
use super::export::{
    Encoded, Export, ExportFile, ExportRequest, Member, MissingSlot, Refused, Unused, export,
};
use super::mend::SetEdit;
use super::verify::Check;

/// Version of [`SetDocument`]'s form.
pub const SCHEMA: u32 = 1;
/// Name of the document within the SKU's folder.
pub const DOCUMENT: &str = "set.json";

/// A set ready to be written.
#[derive(Clone, Debug)]
pub struct AssembledSet {
    /// What `set.json` holds.
    pub document: SetDocument,
    /// The files, in channel and slot order, with paths below the SKU's folder.
    pub files: Vec<ExportFile>,
}

/// `set.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whose set.
    pub sku: Sku,
    /// The SKU's folder.
    pub slug: String,
    /// Digest of everything else in this document, and through it of every file.
    pub revision: String,
    /// Whether every required slot of every channel is filled.
    pub complete: bool,
    /// The images the set was made from.
    pub members: Vec<MemberEntry>,
    /// One entry per channel, in the order asked for.
    pub channels: Vec<ChannelEntry>,
    /// Where the images disagree with each other.
    pub consistency: Vec<SetFinding>,
    /// What was tried on images that stood out, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<SetEdit>,
}

/// An image of the set at master size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberEntry {
    /// What it is for.
    pub role: Role,
    /// Its frame; empty for the role's only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// Digest of its size and pixels.
    pub pixels: Digest,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How its pixels came to be.
    pub source_type: DigitalSourceType,
    /// Master pixels per reference pixel on the product, to four decimals.
    pub scale_factor: f64,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// One channel of the set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// Which.
    pub channel: String,
    /// Whether every required slot is filled.
    pub complete: bool,
    /// The files.
    pub files: Vec<FileEntry>,
    /// Slots that stay empty, with reasons.
    pub missing: Vec<MissingSlot>,
    /// Images that were not let into a slot, with the rules they break.
    pub refused: Vec<Refused>,
    /// Images that the channel has no place for.
    pub unused: Vec<Unused>,
}

/// One exported file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the SKU's folder.
    pub path: String,
    /// Which slot it fills.
    pub slot: String,
    /// What it shows.
    pub role: Role,
    /// Its frame; empty for the role's only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Size of the file.
    pub size_bytes: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Encoder quality, 100 for lossless formats.
    pub quality: u8,
    /// What the file says of how it was made.
    pub digital_source_type: DigitalSourceType,
    /// File pixels per reference pixel on the product, to four decimals.
    pub scale_factor: f64,
    /// Every rule looked at on the encoded file.
    pub checks: Vec<Check>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Exports a set for `channels` and writes it all down, with what the comparison of its images
/// found and what was edited for it. Members are taken in role order whatever order they come
/// in.
pub fn assemble(
    channels: &[&Channel],
    request: &ExportRequest<'_>,
    findings: Vec<SetFinding>,
    edits: Vec<SetEdit>,
) -> AssembledSet {
    let mut members: Vec<&Member> = request.members.to_vec();
    members.sort_by(|a, b| (a.role, &a.frame).cmp(&(b.role, &b.frame)));
    let request = ExportRequest { members: &members, ..*request };
    let mut encoded = Encoded::default();
    let mut entries = Vec::new();
    let mut files = Vec::new();
    for channel in channels {
        let export = export(channel, &request, &mut encoded);
        let (entry, made) = channel_entry(channel, export);
        entries.push(entry);
        files.extend(made);
    }
    let mut document = SetDocument {
        schema: SCHEMA,
        sku: request.product.sku.clone(),
        slug: request.product.sku.slug(),
        revision: String::new(),
        complete: entries.iter().all(|entry| entry.complete),
        members: request.members.par_iter().map(|member| member_entry(member)).collect(),
        channels: entries,
        consistency: findings,
        edits,
    };
    let digest = Digest::of(&document.to_json()).to_hex();
    digest[..16].clone_into(&mut document.revision);
    AssembledSet { document, files }
}

impl SetDocument {
    /// The bytes of `set.json`: UTF-8, indented, with a newline at the end; equal
    /// documents give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Every key is a string and every number finite, which is all that can go wrong.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

fn member_entry(member: &Member) -> MemberEntry {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&member.image.width().to_le_bytes());
    hasher.update(&member.image.height().to_le_bytes());
    hasher.update(member.image.as_raw());
    hasher.update(member.product_mask.as_raw());
    MemberEntry {
        role: member.role,
        frame: member.frame.clone(),
        pixels: Digest::of(hasher.finalize().as_bytes()),
        width: member.image.width(),
        height: member.image.height(),
        source_type: member.source_type,
        scale_factor: four_decimals(f64::from(member.scale_factor)),
        accepted: member.accepted,
    }
}

/// Finite and short, so that the document is the same on every machine.
fn four_decimals(value: f64) -> f64 {
    if value.is_finite() { (value * 10_000.0).round() / 10_000.0 } else { 0.0 }
}

fn channel_entry(channel: &Channel, export: Export) -> (ChannelEntry, Vec<ExportFile>) {
    let files = export
        .files
        .iter()
        .map(|file| FileEntry {
            path: file.path.clone(),
            slot: file.slot.clone(),
            role: file.role,
            frame: file.frame.clone(),
            digest: Digest::of(&file.bytes),
            size_bytes: file.bytes.len() as u64,
            width: file.width,
            height: file.height,
            quality: file.quality,
            digital_source_type: file.declared,
            scale_factor: four_decimals(file.scale_factor),
            checks: file.checks.clone(),
            notes: file.notes.clone(),
        })
        .collect();
    let entry = ChannelEntry {
        channel: channel.name.clone(),
        complete: export.missing.iter().all(|missing| !missing.required),
        files,
        missing: export.missing,
        refused: export.refused,
        unused: export.unused,
    };
    (entry, export.files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::super::channel;
    use super::super::names::{self, NameClaims};
    use super::super::testing::{Look, member, product};
    use super::*;

    fn members() -> Vec<Member> {
        let mut members: Vec<Member> = [Role::Lifestyle, Role::Main, Role::Cleanup, Role::Detail]
            .map(|role| member(role, 900, Look::default()))
            .into();
        members[0].source_type = DigitalSourceType::CompositeSynthetic;
        for frame in ["1x1", "9x16"] {
            let mut ad = member(Role::Ad, 900, Look::default());
            ad.frame = frame.to_owned();
            members.push(ad);
        }
        members
    }

    fn assembled(members: &[Member]) -> AssembledSet {
        assembled_for(members, &channel::all().iter().collect::<Vec<_>>())
    }

    /// For the two channels that between them use every format and rule.
    fn for_two(members: &[Member]) -> AssembledSet {
        assembled_for(members, &["amazon", "google"].map(|name| Channel::by_name(name).unwrap()))
    }

    fn assembled_for(members: &[Member], channels: &[&Channel]) -> AssembledSet {
        let product = product("MUG-1");
        let absent = BTreeMap::from([(Role::Angle, "only one reference".to_owned())]);
        let claims = NameClaims::default();
        let members: Vec<&Member> = members.iter().collect();
        let request =
            ExportRequest { product: &product, members: &members, absent: &absent, claims: &claims };
        let findings = super::super::consistency(request.members);
        assemble(channels, &request, findings, Vec::new())
    }

    #[test]
    fn a_set_is_complete_and_every_file_is_checked() {
        let set = assembled(&members());
        assert!(set.document.complete, "{}", String::from_utf8(set.document.to_json()).unwrap());
        let mut paths = BTreeSet::new();
        for (entry, file) in set.document.channels.iter().flat_map(|c| &c.files).zip(&set.files) {
            assert_eq!((&entry.path, entry.digest), (&file.path, Digest::of(&file.bytes)));
            assert!(entry.checks.iter().all(|check| check.pass));
            assert!(paths.insert(file.path.to_ascii_lowercase()), "{} twice", file.path);
            let (folder, name) = file.path.split_once('/').unwrap();
            assert!(Channel::by_name(folder).is_some());
            assert_eq!(names::legal(name, 200), Ok(()));
        }
        let amazon = &set.document.channels[0];
        let slots: Vec<&str> = amazon.files.iter().map(|f| f.slot.as_str()).collect();
        assert_eq!(slots, ["MAIN", "PT02", "PT04"]);
        assert!(amazon.missing.iter().any(|m| m.slot == "PT01" && m.reason.contains("only one reference")));
        let unused: Vec<Role> = amazon.unused.iter().map(|u| u.role).collect();
        assert_eq!(unused, [Role::Cleanup, Role::Ad]);
    }

    #[test]
    fn the_same_members_in_another_order_give_the_same_bytes() {
        let (one, mut turned) = (members(), members());
        turned.reverse();
        let (a, b) = (for_two(&one), for_two(&turned));
        assert_eq!(a.document.to_json(), b.document.to_json());
        assert_eq!(a.files, b.files);
        assert_eq!(a.document.revision.len(), 16);
        let read: SetDocument = serde_json::from_slice(&a.document.to_json()).unwrap();
        assert_eq!(read, a.document);
    }

    #[test]
    fn another_pixel_is_another_revision() {
        let one = members();
        let mut other = members();
        other[0].image.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        assert_ne!(for_two(&one).document.revision, for_two(&other).document.revision);
    }

    #[test]
    fn without_an_accepted_main_a_set_is_incomplete_and_says_why() {
        let mut members: Vec<Member> = members().into_iter().take(3).collect();
        members[1].accepted = false;
        let set = assembled(&members);
        assert!(!set.document.complete);
        let amazon = &set.document.channels[0];
        assert!(!amazon.complete);
        assert_eq!(amazon.missing[0].reason, "the main image is not accepted");
        let etsy = set.document.channels.iter().find(|c| c.channel == "etsy").unwrap();
        assert_eq!(etsy.files[0].role, Role::Cleanup, "etsy takes the cleaned photo instead");
    }

    #[test]
    fn no_members_at_all_give_an_empty_incomplete_set() {
        let set = assembled(&[]);
        assert!(set.files.is_empty() && !set.document.complete);
        assert!(set.document.channels.iter().all(|c| !c.missing.is_empty()));
    }
}
