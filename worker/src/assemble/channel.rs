//! Channels as data: what a marketplace or shop asks of its images, one TOML file each
//! under `channels/`, every rule with its source, its grade and the day it was checked.
//!
//! A rule names the slots it holds for; without names it holds for all of them. A channel
//! is refused when a key is unknown, a rule is given twice for one slot, or a slot lacks
//! a rule without which nothing could be exported ([`SlotRules`]).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::Format;
use packshot_pipeline::role::Role;
use serde::Deserialize;

/// A marketplace or shop.
#[derive(Clone, PartialEq, Debug)]
pub struct Channel {
    /// The word used on the command line and as a folder: lower-case ASCII.
    pub name: String,
    /// The name people use.
    pub title: String,
    /// Places that an image can fill, in the order in which a buyer sees them.
    pub slots: Vec<Slot>,
    /// Every rule with its source, in the file's order.
    pub rules: Vec<Rule>,
}

/// One place in a channel, filled by at most one file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Unique within the channel; part of file names.
    pub name: String,
    /// Which roles may fill it, best first: the first one that is accepted and keeps
    /// every rule does.
    pub roles: Vec<Role>,
    /// Which frame of the role, best first: empty for the role's own picture, `shadow` for
    /// a main image with a contact shadow, `9x16` and the like for an ad.
    #[serde(default = "own_frame")]
    pub frames: Vec<String>,
    /// Whether a set without it is incomplete.
    #[serde(default)]
    pub required: bool,
}

/// The frame of a slot that names none.
fn own_frame() -> Vec<String> {
    vec![String::new()]
}

/// One rule and why it is believed.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Slots it holds for; empty: all.
    #[serde(default)]
    pub slots: Vec<String>,
    /// What is asked.
    pub require: Require,
    /// Address of the page that says so, or that comes nearest to saying so.
    pub source: String,
    /// How far the source can be believed.
    pub grade: Grade,
    /// The day it was looked up, `YYYY-MM-DD`.
    pub checked_on: String,
}

/// How far a rule can be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The channel's own page says it.
    FirstParty,
    /// Somebody else quotes it.
    Secondary,
    /// Remembered, not looked up.
    Memory,
    /// The source leaves it open; this is our reading of it.
    Judgement,
}

/// What a rule asks.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Require {
    /// Limits of size.
    Pixels(Pixels),
    /// The size that exports aim at.
    Target(Target),
    /// Limit of file size.
    Bytes {
        /// Largest file in bytes.
        max: u64,
    },
    /// File formats.
    Formats {
        /// What is taken.
        allowed: Vec<Format>,
        /// What is written: `jpeg`, `png` or `webp`.
        write: Format,
    },
    /// Width to height.
    Ratio(Ratio),
    /// A white background.
    White(White),
    /// How much of the frame the product fills.
    Fill(Fill),
    /// No uniform line or band around the picture.
    NoBorder {},
    /// A photograph of the item itself: nothing rendered or generated in the frame.
    RealPhoto {},
    /// How files are called.
    FileName(FileName),
    /// How many files at most, over all slots the rule holds for.
    Count {
        /// At most.
        max: usize,
    },
    /// Roles that the channel does not take at all.
    Forbid {
        /// Which.
        roles: Vec<Role>,
        /// Why, in a few words for the report.
        why: String,
    },
    /// Every file says how it was made (IPTC `DigitalSourceType`).
    Provenance(Provenance),
}

/// Limits of size in pixels; an absent one does not limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pixels {
    /// Of the longer side.
    pub longest_min: Option<u32>,
    /// Of the shorter side.
    pub shortest_min: Option<u32>,
    /// Of the width.
    pub width_min: Option<u32>,
    /// Of the height.
    pub height_min: Option<u32>,
    /// Of the longer side.
    pub longest_max: Option<u32>,
    /// Of width times height.
    pub area_max: Option<u64>,
}

/// The size that exports aim at, in pixels of the longer side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A larger master is made this size.
    pub longest: u32,
    /// A smaller master is enlarged to this size (zoom starts there) as long as that is
    /// at most twice; only the hard minimum is worth more.
    pub enlarge_to: u32,
}

/// Width to height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Width share.
    pub width: u32,
    /// Height share.
    pub height: u32,
    /// Whether another ratio is refused; otherwise it is kept where nothing is lost.
    pub firm: bool,
}

/// Where the background must be exactly 255, 255, 255.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum White {
    /// Everywhere outside the product: a shadow is not allowed.
    Everywhere,
    /// Along the picture's edges: a soft shadow may lie under the product.
    Edges,
}

/// The larger of the shares of the picture's width and height that the product's bounding
/// box takes, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// At least.
    pub min: f32,
    /// At most.
    pub max: f32,
    /// What exports aim at.
    pub aim: f32,
}

/// How files are called.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileName {
    /// With `{id}`, `{slot}`, `{role}` and `{ext}`.
    pub pattern: String,
    /// Which code stands for `{id}`, best first; `sku` always exists.
    pub ids: Vec<String>,
    /// Longest name.
    pub chars_max: usize,
}

/// What a file must say of how it was made.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The one term the channel wants wherever generated pixels are in the frame.
    #[serde(default)]
    pub generated_as: Option<DigitalSourceType>,
}

/// The rules of one slot, each at most once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlotRules<'a> {
    /// Limits of size.
    pub pixels: Pixels,
    /// The size aimed at.
    pub target: Target,
    /// Largest file in bytes.
    pub bytes_max: u64,
    /// Formats taken.
    pub formats: &'a [Format],
    /// Format written.
    pub write: Format,
    /// How the file is called.
    pub name: &'a FileName,
    /// Width to height.
    pub ratio: Option<Ratio>,
    /// White background.
    pub white: Option<White>,
    /// Fill.
    pub fill: Option<Fill>,
    /// No border.
    pub no_border: bool,
    /// A photograph only.
    pub real_photo: bool,
    /// What the file must say of how it was made.
    pub provenance: Option<&'a Provenance>,
}

/// Why a channel file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadChannel {
    /// Not TOML, an unknown key, or a missing one.
    #[error("channel file does not parse")]
    Syntax(#[from] toml::de::Error),
    /// Parses, but cannot be followed.
    #[error("channel {channel}: {what}")]
    Content {
        /// Which channel.
        channel: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelFile {
    name: String,
    title: String,
    slot: Vec<Slot>,
    rule: Vec<Rule>,
}

/// The channels that come with Packshot.
pub fn all() -> &'static [Channel] {
    static ALL: LazyLock<Vec<Channel>> = LazyLock::new(|| {
        [
            include_str!("channels/amazon.toml"),
            include_str!("channels/google.toml"),
            include_str!("channels/shopify.toml"),
            include_str!("channels/etsy.toml"),
            include_str!("channels/walmart.toml"),
            include_str!("channels/ebay.toml"),
        ]
        .into_iter()
        .map(|text| {
            #[allow(clippy::expect_used, reason = "embedded at build time and parsed by a test")]
            Channel::parse(text).expect("an embedded channel parses")
        })
        .collect()
    });
    &ALL
}

impl Channel {
    /// The embedded channel with this name; case does not matter.
    pub fn by_name(name: &str) -> Option<&'static Channel> {
        let name = name.trim();
        all().iter().find(|channel| channel.name.eq_ignore_ascii_case(name))
    }

    /// Parses and checks one channel file.
    ///
    /// # Errors
    /// [`BadChannel`] with the key or the slot that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadChannel> {
        let file: ChannelFile = toml::from_str(text)?;
        let channel = Channel { name: file.name, title: file.title, slots: file.slot, rules: file.rule };
        channel.check().map_err(|what| BadChannel::Content { channel: channel.name.clone(), what })?;
        Ok(channel)
    }

    /// The rules of `slot`; `None` when the channel lacks a rule that every slot needs,
    /// which [`Channel::parse`] excludes for the channel's own slots.
    pub fn rules_of(&self, slot: &Slot) -> Option<SlotRules<'_>> {
        let find = |pick: fn(&Require) -> bool| {
            self.rules.iter().filter(|rule| rule.holds_for(slot)).map(|rule| &rule.require).find(|r| pick(r))
        };
        let Some(Require::Target(target)) = find(|r| matches!(r, Require::Target(_))) else { return None };
        let Some(Require::Bytes { max }) = find(|r| matches!(r, Require::Bytes { .. })) else { return None };
        let Some(Require::Formats { allowed, write }) = find(|r| matches!(r, Require::Formats { .. })) else {
            return None;
        };
        let Some(Require::FileName(name)) = find(|r| matches!(r, Require::FileName(_))) else { return None };
        let pixels = match find(|r| matches!(r, Require::Pixels(_))) {
            Some(Require::Pixels(pixels)) => *pixels,
            Some(_) | None => Pixels::default(),
        };
        let mut rules = SlotRules {
            pixels,
            target: *target,
            bytes_max: *max,
            formats: allowed,
            write: *write,
            name,
            ratio: None,
            white: None,
            fill: None,
            no_border: false,
            real_photo: false,
            provenance: None,
        };
        for rule in self.rules.iter().filter(|rule| rule.holds_for(slot)) {
            match &rule.require {
                Require::Ratio(ratio) => rules.ratio = Some(*ratio),
                Require::White(white) => rules.white = Some(*white),
                Require::Fill(fill) => rules.fill = Some(*fill),
                Require::NoBorder {} => rules.no_border = true,
                Require::RealPhoto {} => rules.real_photo = true,
                Require::Provenance(provenance) => rules.provenance = Some(provenance),
                Require::Pixels(_)
                | Require::Target(_)
                | Require::Bytes { .. }
                | Require::Formats { .. }
                | Require::FileName(_)
                | Require::Count { .. }
                | Require::Forbid { .. } => {}
            }
        }
        Some(rules)
    }

    /// Why the channel does not take `role` at all; `None` when it does.
    pub fn forbids(&self, role: Role) -> Option<&str> {
        self.rules.iter().find_map(|rule| {
            let Require::Forbid { roles, why } = &rule.require else { return None };
            roles.contains(&role).then_some(why.as_str())
        })
    }

    /// Whether any slot could be filled by `role`.
    pub fn takes(&self, role: Role) -> bool {
        self.slots.iter().any(|slot| slot.roles.contains(&role))
    }

    /// How many files the slots that share a `count` rule with `slot` may hold together,
    /// and which slots those are.
    pub fn count_max(&self, slot: &Slot) -> Option<(usize, &Rule)> {
        self.rules.iter().find_map(|rule| {
            let Require::Count { max } = rule.require else { return None };
            rule.holds_for(slot).then_some((max, rule))
        })
    }

    fn check(&self) -> Result<(), String> {
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !plain(&self.name) || self.name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err("its name must be lower-case ASCII letters, digits, - and _".to_owned());
        }
        let mut seen = BTreeSet::new();
        for slot in &self.slots {
            if !plain(&slot.name) || !seen.insert(slot.name.to_ascii_lowercase()) {
                return Err(format!("slot {:?} needs a plain name of its own", slot.name));
            }
            if slot.roles.is_empty() || slot.frames.is_empty() {
                return Err(format!("slot {} names no role or no frame", slot.name));
            }
        }
        for rule in &self.rules {
            rule.check()?;
            if let Some(unknown) = rule.slots.iter().find(|name| !self.slots.iter().any(|s| s.name == **name))
            {
                return Err(format!("a rule names slot {unknown}, which does not exist"));
            }
        }
        for slot in &self.slots {
            let mut kinds = BTreeSet::new();
            for rule in self.rules.iter().filter(|rule| rule.holds_for(slot)) {
                if !matches!(rule.require, Require::Forbid { .. }) && !kinds.insert(rule.require.word()) {
                    return Err(format!("slot {} has two rules of kind {}", slot.name, rule.require.word()));
                }
            }
            if self.rules_of(slot).is_none() {
                return Err(format!(
                    "slot {} needs rules of kind target, bytes, formats and file-name",
                    slot.name
                ));
            }
        }
        Ok(())
    }
}

impl Rule {
    /// Whether the rule holds for `slot`.
    pub fn holds_for(&self, slot: &Slot) -> bool {
        self.slots.is_empty() || self.slots.contains(&slot.name)
    }

    fn check(&self) -> Result<(), String> {
        let kind = self.require.word();
        if !self.source.starts_with("https://") {
            return Err(format!("rule {kind} needs the https address of its source"));
        }
        if !is_date(&self.checked_on) {
            return Err(format!("rule {kind}: checked_on must be YYYY-MM-DD, not {:?}", self.checked_on));
        }
        match &self.require {
            Require::Target(target) if target.longest == 0 || target.enlarge_to > target.longest => {
                Err("target: enlarge_to must not be above longest, and longest not 0".to_owned())
            }
            Require::Ratio(ratio) if ratio.width == 0 || ratio.height == 0 => {
                Err("ratio: width and height must be over 0".to_owned())
            }
            Require::Fill(fill)
                if !(0.0 < fill.min && fill.min <= fill.aim && fill.aim <= fill.max && fill.max <= 1.0) =>
            {
                Err("fill: needs 0 < min <= aim <= max <= 1".to_owned())
            }
            Require::Formats { allowed, write } => {
                let written = matches!(write, Format::Jpeg | Format::Png | Format::Webp);
                if written && allowed.contains(write) {
                    Ok(())
                } else {
                    Err("formats: write must be jpeg, png or webp, and one of allowed".to_owned())
                }
            }
            Require::FileName(name) => name.check(),
            Require::Pixels(_)
            | Require::Target(_)
            | Require::Bytes { .. }
            | Require::Ratio(_)
            | Require::White(_)
            | Require::Fill(_)
            | Require::NoBorder {}
            | Require::RealPhoto {}
            | Require::Count { .. }
            | Require::Forbid { .. }
            | Require::Provenance(_) => Ok(()),
        }
    }
}

impl FileName {
    fn check(&self) -> Result<(), String> {
        if !self.pattern.contains("{id}") || !self.pattern.ends_with(".{ext}") {
            return Err("file-name: the pattern needs {id} and must end in .{ext}".to_owned());
        }
        let rest = ["{id}", "{slot}", "{role}", "{ext}"]
            .iter()
            .fold(self.pattern.clone(), |text, key| text.replace(key, ""));
        if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(
                "file-name: the pattern knows {id}, {slot}, {role}, {ext}, letters, digits, - _ .".to_owned()
            );
        }
        if self.ids.last().is_none_or(|last| last != "sku") {
            return Err("file-name: ids must end with sku, which always exists".to_owned());
        }
        if self.chars_max < 40 {
            return Err("file-name: chars_max below 40 cannot tell SKUs apart".to_owned());
        }
        Ok(())
    }
}

impl Require {
    /// The rule's word as in the channel files and in [`super::verify::Check`].
    pub fn word(&self) -> &'static str {
        match self {
            Require::Pixels(_) => "pixels",
            Require::Target(_) => "target",
            Require::Bytes { .. } => "bytes",
            Require::Formats { .. } => "formats",
            Require::Ratio(_) => "ratio",
            Require::White(_) => "white",
            Require::Fill(_) => "fill",
            Require::NoBorder {} => "no-border",
            Require::RealPhoto {} => "real-photo",
            Require::FileName(_) => "file-name",
            Require::Count { .. } => "count",
            Require::Forbid { .. } => "forbid",
            Require::Provenance(_) => "provenance",
        }
    }
}

/// Whether `text` is a calendar day written `YYYY-MM-DD`.
pub(super) fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    number(year, 4).is_some_and(|y| y >= 2020)
        && number(month, 2).is_some_and(|m| (1..=12).contains(&m))
        && number(day, 2).is_some_and(|d| (1..=31).contains(&d))
}
