//! From a set's members to one channel's files: for each slot the first member that keeps
//! every rule, encoded, labelled and read again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use image::{GrayImage, RgbImage};
use packshot_imaging::encode::{Chroma, EncodeError, jpeg, png_rgb, webp};
use packshot_imaging::metadata::{DigitalSourceType, MetadataError, Xmp, embed_srgb, write_xmp};
use packshot_imaging::photo::Format;
use packshot_imaging::white_jpeg::{WhiteJpegError, jpeg_on_white};
use packshot_pipeline::catalog::Product;
use packshot_pipeline::role::Role;
use packshot_runtime::causes::chain;
use serde::{Deserialize, Serialize};

use super::channel::{Channel, Slot, SlotRules, White};
use super::frame::{Framing, Subject, Window, frame};
use super::names::{NameClaims, Named, file_name};
use super::paint::{Painted, paint};
use super::provenance;
use super::verify::{Check, Expected, verify};

/// One image of a set at master size.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is for.
    pub role: Role,
    /// Which frame of the role: empty for its own picture, else for example `shadow` or
    /// `9x16`.
    pub frame: String,
    /// 8-bit sRGB.
    pub image: RgbImage,
    /// Product coverage, of the same size, 0 to 255.
    pub product_mask: GrayImage,
    /// Master pixels per reference pixel on the product; over 1 = enlarged.
    pub scale_factor: f32,
    /// How its pixels came to be.
    pub source_type: DigitalSourceType,
    /// Whether review or a human accepted it; others are never exported.
    pub accepted: bool,
}

impl Member {
    /// Its role, and its frame in brackets where it has one.
    pub fn words(&self) -> String {
        if self.frame.is_empty() { self.role.to_string() } else { format!("{} ({})", self.role, self.frame) }
    }
}

/// One checked file.
#[derive(Clone, PartialEq, Debug)]
pub struct ExportFile {
    /// Path below the SKU's set folder: `<channel>/<name>`.
    pub path: String,
    /// The file.
    pub bytes: Bytes,
    /// What it shows.
    pub role: Role,
    /// Which frame of the role.
    pub frame: String,
    /// Which slot it fills.
    pub slot: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What the file says of how it was made.
    pub declared: DigitalSourceType,
    /// Encoder quality, 0 to 100; 100 for lossless formats.
    pub quality: u8,
    /// File pixels per reference pixel on the product; over 1 = enlarged.
    pub scale_factor: f64,
    /// Every rule looked at, all passed.
    pub checks: Vec<Check>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A slot that stays empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissingSlot {
    /// Which.
    pub slot: String,
    /// Whether the channel's set is incomplete without it.
    pub required: bool,
    /// Why.
    pub reason: String,
}

/// A member that was not let into a slot which then stayed empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Which slot.
    pub slot: String,
    /// Which role was to fill it.
    pub role: Role,
    /// Which frame of the role; empty for its own picture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// The rules it breaks, or the one reason why no file could be made.
    pub broken: Vec<Check>,
}

impl Refused {
    fn new(slot: &Slot, member: &Member, broken: Vec<Check>) -> Self {
        Self { slot: slot.name.clone(), role: member.role, frame: member.frame.clone(), broken }
    }

    /// The note on the file that fills the slot in its place.
    fn passed_over(&self) -> String {
        let broken: Vec<String> = self.broken.iter().map(|c| format!("{}: {}", c.rule, c.seen)).collect();
        let frame = if self.frame.is_empty() { String::new() } else { format!(" ({})", self.frame) };
        format!("taken in place of the {} image{frame}, which breaks {}", self.role, broken.join("; "))
    }
}

/// A member that the channel has no place for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unused {
    /// Which role.
    pub role: Role,
    /// Why.
    pub reason: String,
}

/// One channel's files and what is not among them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Export {
    /// In slot order.
    pub files: Vec<ExportFile>,
    /// In slot order.
    pub missing: Vec<MissingSlot>,
    /// In slot order.
    pub refused: Vec<Refused>,
    /// In role order.
    pub unused: Vec<Unused>,
}

/// Lossy qualities tried in turn until the file is small enough.
const QUALITIES: [u8; 6] = [95, 92, 89, 86, 83, 80];

/// Pictures that are already encoded, so that channels which ask for the same one share
/// the work.
#[derive(Debug, Default)]
pub struct Encoded {
    known: HashMap<EncodeKey, Rendered>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct EncodeKey {
    member: usize,
    window: Window,
    size: (u32, u32),
    white: Option<White>,
    format: Format,
    declared: DigitalSourceType,
}

/// An encoded and labelled picture with what the check needs to know of it.
#[derive(Clone, Debug)]
struct Rendered {
    bytes: Bytes,
    quality: u8,
    product: Arc<GrayImage>,
}

#[derive(Debug, thiserror::Error)]
enum RenderError {
    #[error("cannot encode")]
    Encode(#[from] EncodeError),
    #[error("cannot encode on white")]
    White(#[from] WhiteJpegError),
    #[error("cannot label")]
    Metadata(#[from] MetadataError),
}

/// What is exported.
#[derive(Clone, Copy, Debug)]
pub struct ExportRequest<'a> {
    /// Whose images.
    pub product: &'a Product,
    /// The set's images.
    pub members: &'a [&'a Member],
    /// Why roles without a member have none, for the reasons of empty slots.
    pub absent: &'a BTreeMap<Role, String>,
    /// Which names other products of the catalog want.
    pub claims: &'a NameClaims,
}

/// Exports a set for one channel. Pure: the same request gives the same bytes. `encoded`
/// is shared between the channels of one request and must never see another one.
pub fn export(channel: &Channel, request: &ExportRequest<'_>, encoded: &mut Encoded) -> Export {
    let mut out = Export::default();
    for slot in &channel.slots {
        let Some(rules) = channel.rules_of(slot) else { continue };
        if let Some(reason) = full(channel, slot, &out.files) {
            out.missing.push(MissingSlot { slot: slot.name.clone(), required: slot.required, reason });
            continue;
        }
        fill_slot(&Place { channel, slot, rules, request }, encoded, &mut out);
    }
    out.unused = unused(channel, request.members, &out.files);
    out
}

/// Everything that is fixed while one slot is filled.
struct Place<'a> {
    channel: &'a Channel,
    slot: &'a Slot,
    rules: SlotRules<'a>,
    request: &'a ExportRequest<'a>,
}

fn fill_slot(place: &Place<'_>, encoded: &mut Encoded, out: &mut Export) {
    let (slot, request) = (place.slot, place.request);
    let mut reasons = Vec::new();
    let mut refused: Vec<Refused> = Vec::new();
    for role in &slot.roles {
        let mut found = false;
        for frame in &slot.frames {
            let fits = |m: &&&Member| m.role == *role && m.frame == *frame;
            let members = request.members.iter().enumerate();
            let Some((index, member)) = members.into_iter().find(|(_, m)| fits(m)) else { continue };
            found = true;
            if !member.accepted {
                reasons.push(format!("the {role} image is not accepted"));
                continue;
            }
            match make(place, index, member, encoded) {
                Ok(mut file)
                    if out.files.iter().all(|other| !other.path.eq_ignore_ascii_case(&file.path)) =>
                {
                    file.notes.extend(refused.iter().map(Refused::passed_over));
                    out.files.push(file);
                    return;
                }
                Ok(file) => {
                    let seen = format!("{} is the name of another file of this set", file.path);
                    let broken = vec![Check { rule: "file-name".to_owned(), pass: false, seen }];
                    refused.push(Refused::new(slot, member, broken));
                }
                Err(broken) => refused.push(Refused::new(slot, member, broken)),
            }
            reasons.push(format!("the {role} image breaks a rule of the channel"));
        }
        if !found {
            let why = request.absent.get(role).map(|why| format!(": {why}")).unwrap_or_default();
            reasons.push(format!("there is no {role} image{why}"));
        }
    }
    reasons.dedup();
    out.refused.extend(refused);
    out.missing.push(MissingSlot {
        slot: slot.name.clone(),
        required: slot.required,
        reason: reasons.join("; "),
    });
}

/// Makes and checks the file of one member for one slot; the error lists broken rules.
fn make(
    place: &Place<'_>,
    index: usize,
    member: &Member,
    encoded: &mut Encoded,
) -> Result<ExportFile, Vec<Check>> {
    let refuse = |rule: &str, seen: String| vec![Check { rule: rule.to_owned(), pass: false, seen }];
    let rules = &place.rules;
    if rules.real_photo && !provenance::is_photograph(member.source_type) {
        let seen = format!("made as {}", member.source_type.term());
        return Err(refuse("real-photo", seen));
    }
    let subject = Subject::of(&member.image, &member.product_mask)
        .ok_or_else(|| refuse("pixels", "the image is empty or its mask holds no product".to_owned()))?;
    let framing = frame(&subject, rules)
        .map_err(|why| refuse(if rules.fill.is_some() { "fill" } else { "ratio" }, why))?;
    let declared = provenance::declared(member.source_type, rules.provenance);
    let key = EncodeKey {
        member: index,
        window: framing.window,
        size: (framing.width, framing.height),
        white: rules.white,
        format: rules.write,
        declared,
    };
    let fits = |rendered: &&Rendered| rendered.bytes.len() as u64 <= rules.bytes_max;
    let rendered = match encoded.known.get(&key).filter(fits) {
        Some(known) => known.clone(),
        None => render(member, &subject, &framing, rules, declared)
            .map_err(|error| refuse("formats", chain(&error)))?,
    };
    encoded.known.entry(key).or_insert_with(|| rendered.clone());
    let product = place.request.product;
    let shared = place.request.claims.shared(product, place.channel, rules.name);
    let Named { name, notes } = file_name(rules.name, place.slot, member.role, rules.write, product, shared);
    let expected = Expected { name: &name, product: &rendered.product, made: member.source_type, declared };
    let checks = verify(&rendered.bytes, rules, &expected);
    if checks.iter().any(|check| !check.pass) {
        return Err(checks.into_iter().filter(|check| !check.pass).collect());
    }
    let scale_factor = framing.enlarged * f64::from(member.scale_factor);
    let mut notes: Vec<String> = framing.notes.into_iter().chain(notes).collect();
    if scale_factor > 2.0 {
        notes.push(format!(
            "the product is enlarged {scale_factor:.2} times over its reference, more than twice"
        ));
    }
    Ok(ExportFile {
        path: format!("{}/{name}", place.channel.name),
        bytes: rendered.bytes,
        role: member.role,
        frame: member.frame.clone(),
        slot: place.slot.name.clone(),
        width: framing.width,
        height: framing.height,
        declared,
        quality: rendered.quality,
        scale_factor,
        checks,
        notes,
    })
}

fn render(
    member: &Member,
    subject: &Subject,
    framing: &Framing,
    rules: &SlotRules<'_>,
    declared: DigitalSourceType,
) -> Result<Rendered, RenderError> {
    let painted = paint(&member.image, &member.product_mask, subject, framing, rules.white);
    let xmp = provenance::xmp(declared, member.role);
    let qualities: &[u8] = if rules.write == Format::Png { &[100] } else { &QUALITIES };
    let mut best = (Vec::new(), 0);
    for &quality in qualities {
        best = (labelled(&painted, rules.write, quality, &xmp)?, quality);
        if best.0.len() as u64 <= rules.bytes_max {
            break;
        }
    }
    Ok(Rendered { bytes: best.0.into(), quality: best.1, product: Arc::new(painted.product) })
}

/// Encodes, embeds the sRGB profile and, last of all, writes the XMP packet.
fn labelled(painted: &Painted, format: Format, quality: u8, xmp: &Xmp) -> Result<Vec<u8>, RenderError> {
    let plain = match (format, &painted.white) {
        (Format::Png, _) => png_rgb(&painted.image)?,
        (Format::Webp, _) => webp(&painted.image, f32::from(quality))?,
        (_, Some(white)) => jpeg_on_white(&painted.image, white, quality)?,
        (_, None) => jpeg(&painted.image, quality, Chroma::Full)?,
    };
    Ok(write_xmp(&embed_srgb(&plain, format)?, format, xmp)?)
}

/// Why a slot cannot take a file any more; `None` when it can.
fn full(channel: &Channel, slot: &Slot, files: &[ExportFile]) -> Option<String> {
    let (max, rule) = channel.count_max(slot)?;
    let held = |file: &ExportFile| {
        channel.slots.iter().any(|other| other.name == file.slot && rule.holds_for(other))
    };
    let count = files.iter().filter(|file| held(file)).count();
    (count >= max).then(|| format!("the channel takes {max} images"))
}

fn unused(channel: &Channel, members: &[&Member], files: &[ExportFile]) -> Vec<Unused> {
    let mut unused: Vec<Unused> = Vec::new();
    for member in members.iter().filter(|member| member.accepted) {
        let used = files.iter().any(|file| file.role == member.role);
        if used || unused.iter().any(|other| other.role == member.role) {
            continue;
        }
        let reason = match channel.forbids(member.role) {
            Some(why) => why.to_owned(),
            None if channel.takes(member.role) => continue,
            None if member.role == Role::Cleanup => {
                "replaces the source photo, not a listing image".to_owned()
            }
            None => "the channel has no slot for it".to_owned(),
        };
        unused.push(Unused { role: member.role, reason });
    }
    unused.sort_by_key(|unused| unused.role);
    unused
}
