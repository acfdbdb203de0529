//! File names by a channel's pattern: legal on every file system and in every URL without
//! escaping, and never shared by two SKUs of a catalog.

use std::collections::HashMap;

use packshot_imaging::photo::Format;
use packshot_pipeline::catalog::Product;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::role::Role;

use super::channel::{Channel, FileName, Slot};

/// A file name and what a person should know about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The name, without folders.
    pub name: String,
    /// Why it is not simply what the pattern says; empty when it is.
    pub notes: Vec<String>,
}

/// Which name stems a catalog's products want, so that two products that want the same
/// one can both be told apart. Holds 12 bytes or so per product and channel.
#[derive(Clone, Debug, Default)]
pub struct NameClaims {
    wanted: HashMap<u64, u32>,
}

impl NameClaims {
    /// Notes what `product` would be called in each of `channels`.
    pub fn add(&mut self, product: &Product, channels: &[&Channel]) {
        for channel in channels {
            for key in keys(product, channel) {
                let count = self.wanted.entry(key).or_insert(0);
                *count = count.saturating_add(1);
            }
        }
    }

    /// Whether another product wants a stem that `product` wants in any of `channels`.
    pub fn any_shared(&self, product: &Product, channels: &[&Channel]) -> bool {
        channels.iter().any(|channel| {
            keys(product, channel).iter().any(|key| self.wanted.get(key).is_some_and(|count| *count > 1))
        })
    }

    /// Whether another product wants the stem that `product` wants for `slot`.
    pub fn shared(&self, product: &Product, channel: &Channel, rule: &FileName) -> bool {
        let key = key(channel, &wanted_stem(product, rule).stem);
        self.wanted.get(&key).is_some_and(|count| *count > 1)
    }
}

/// One key per distinct stem that the channel's patterns would give the product.
fn keys(product: &Product, channel: &Channel) -> Vec<u64> {
    let mut keys: Vec<u64> = channel
        .slots
        .iter()
        .filter_map(|slot| channel.rules_of(slot))
        .map(|rules| key(channel, &wanted_stem(product, rules.name).stem))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Case is folded, because two names that differ in case only are one file on some disks.
fn key(channel: &Channel, stem: &str) -> u64 {
    let hash = blake3::hash(format!("{}\n{}", channel.name, stem.to_ascii_lowercase()).as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The name of the file that fills `slot` with `role`. With `shared`, another product of
/// the catalog wants the same stem ([`NameClaims::shared`]), and both get a suffix of the
/// digest of their SKU.
pub fn file_name(
    rule: &FileName,
    slot: &Slot,
    role: Role,
    format: Format,
    product: &Product,
    shared: bool,
) -> Named {
    let Stem { mut stem, mut notes } = wanted_stem(product, rule);
    let digest = Digest::of(product.sku.as_str().as_bytes()).to_hex();
    let suffix = &digest[..10];
    if shared {
        notes.push(format!("another SKU is also called {stem}, so both names carry a digest of their SKU"));
        stem = format!("{stem}-{suffix}");
    }
    let fill = |stem: &str| {
        rule.pattern
            .replace("{id}", stem)
            .replace("{slot}", &slot.name)
            .replace("{role}", role.word())
            .replace("{ext}", format.extension())
    };
    let mut name = fill(&stem);
    if name.len() > rule.chars_max {
        let room = rule.chars_max.saturating_sub(fill("").len() + suffix.len() + 1).max(1);
        let short: String = stem.chars().take(room).collect();
        notes.push(format!("shortened to the {} characters that the channel takes", rule.chars_max));
        name = fill(&format!("{}-{suffix}", short.trim_end_matches(['-', '.', '_'])));
    }
    Named { name, notes }
}

struct Stem {
    stem: String,
    notes: Vec<String>,
}

/// The first of the rule's identifiers that the product has, as a legal stem.
fn wanted_stem(product: &Product, rule: &FileName) -> Stem {
    let mut notes = Vec::new();
    for id in rule.ids.iter().filter(|id| *id != "sku") {
        match code(product, id) {
            Code::Good(stem) => return Stem { stem, notes },
            Code::Bad(note) => {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            Code::Absent => {}
        }
    }
    let sku = product.sku.as_str();
    if legal(sku, 80).is_ok() {
        Stem { stem: sku.to_owned(), notes }
    } else {
        let slug = product.sku.slug();
        let stem = if legal(&slug, 80).is_ok() {
            slug
        } else {
            format!("sku{slug}-{}", &Digest::of(sku.as_bytes()).to_hex()[..10])
        };
        notes.push(format!("the SKU cannot be a file name as it is, {stem} stands for it"));
        Stem { stem, notes }
    }
}

enum Code {
    Absent,
    Good(String),
    Bad(String),
}

/// Looks a code up under the names that catalogs use for it and checks its form.
fn code(product: &Product, id: &str) -> Code {
    let aliases: &[&str] = match id {
        "gtin" | "gtin14" => &["gtin", "gtin14", "gtin13", "gtin12", "barcode", "ean", "upc"],
        "ean" => &["ean", "ean13", "gtin13"],
        "upc" => &["upc", "gtin12"],
        "isbn" => &["isbn", "isbn13"],
        "asin" => &["asin"],
        _ => &[],
    };
    let found = aliases.iter().find_map(|alias| {
        product
            .codes
            .iter()
            .find(|(key, value)| key.eq_ignore_ascii_case(alias) && !value.trim().is_empty())
            .map(|(_, value)| value.trim())
    });
    let Some(value) = found else { return Code::Absent };
    let plain: String = value.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if id == "asin" {
        let fine = plain.len() == 10 && plain.bytes().all(|b| b.is_ascii_alphanumeric());
        return if fine {
            Code::Good(plain.to_ascii_uppercase())
        } else {
            Code::Bad(format!(
                "{value:?} is not an ASIN of 10 letters and digits, so files are not named by it"
            ))
        };
    }
    if !is_gtin(&plain) {
        return Code::Bad(format!(
            "{value:?} is not a GTIN with a right check digit, so files are not named by it"
        ));
    }
    if id == "gtin14" { Code::Good(format!("{plain:0>14}")) } else { Code::Good(plain) }
}

/// 8, 12, 13 or 14 digits with a right GS1 check digit: weights 3 and 1 alternate from
/// the digit before the last one leftwards (GS1 General Specifications, 7.9).
fn is_gtin(text: &str) -> bool {
    if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| u32::from(b - b'0') * if i % 2 == 1 { 3 } else { 1 })
        .sum();
    sum.is_multiple_of(10) && text.bytes().any(|b| b != b'0')
}

/// Checks that `name` is one path segment on Windows, macOS and Linux and needs no
/// escaping in a URL; the error says what is wrong.
pub fn legal(name: &str, chars_max: usize) -> Result<(), String> {
    if name.is_empty() || name.len() > chars_max {
        return Err(format!("{} characters, allowed are 1 to {chars_max}", name.len()));
    }
    if let Some(c) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        return Err(format!("the character {c:?} is not allowed"));
    }
    if name.starts_with(['.', '-']) || name.ends_with('.') {
        return Err("a dot or hyphen at the start or a dot at the end is not allowed".to_owned());
    }
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt") {
        return Err(format!("{stem} is a device name on Windows"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use packshot_pipeline::ids::Sku;

    use super::super::channel;
    use super::super::testing::product;
    use super::*;

    fn main_name(channel: &str, product: &Product, claims: &NameClaims) -> Named {
        let channel = Channel::by_name(channel).unwrap();
        let slot = &channel.slots[0];
        let rules = channel.rules_of(slot).unwrap();
        let shared = claims.shared(product, channel, rules.name);
        file_name(rules.name, slot, Role::Main, Format::Jpeg, product, shared)
    }

    #[test]
    fn names_follow_the_channels() {
        let mut mug = product("MUG-1");
        mug.codes.insert("GTIN".to_owned(), "4006381333931".to_owned());
        let claims = NameClaims::default();
        let table = [
            ("amazon", "4006381333931.MAIN.jpg"),
            ("google", "MUG-1-image_link.jpg"),
            ("shopify", "MUG-1-1-main.jpg"),
            ("etsy", "MUG-1-1-main.jpg"),
            ("walmart", "04006381333931-1.jpg"),
            ("ebay", "MUG-1-01-main.jpg"),
        ];
        for (channel, expected) in table {
            assert_eq!(main_name(channel, &mug, &claims), Named { name: expected.to_owned(), notes: vec![] });
        }
    }

    #[test]
    fn a_wrong_code_is_not_used_and_said() {
        let mut mug = product("MUG-1");
        mug.codes.insert("gtin".to_owned(), "4006381333930".to_owned());
        let named = main_name("amazon", &mug, &NameClaims::default());
        assert_eq!(named.name, "MUG-1.MAIN.jpg");
        assert_eq!(named.notes.len(), 1, "{:?}", named.notes);
    }

    #[test]
    fn every_hostile_sku_gets_a_legal_name_of_its_own() {
        let skus = [
            "../../x", "a/b", "a\\b", "CON", "nul.txt", "🦀", "AB", "Ab", "ab", "x.", ".x", "a b", "ä", "-x",
        ];
        let long = "y".repeat(200);
        let products: Vec<Product> = skus.iter().copied().chain([long.as_str()]).map(product).collect();
        let channels: Vec<&Channel> = channel::all().iter().collect();
        let mut claims = NameClaims::default();
        for product in &products {
            claims.add(product, &channels);
        }
        for channel in &channels {
            let mut seen = std::collections::BTreeSet::new();
            for product in &products {
                for slot in &channel.slots {
                    let rules = channel.rules_of(slot).unwrap();
                    let shared = claims.shared(product, channel, rules.name);
                    let named = file_name(rules.name, slot, slot.roles[0], Format::Jpeg, product, shared);
                    assert_eq!(legal(&named.name, rules.name.chars_max), Ok(()), "{}", named.name);
                    assert!(seen.insert(named.name.to_ascii_lowercase()), "twice: {}", named.name);
                }
            }
        }
    }

    #[test]
    fn two_skus_with_one_gtin_are_told_apart_and_said() {
        let mut claims = NameClaims::default();
        let amazon = Channel::by_name("amazon").unwrap();
        let [a, b] = ["A-1", "A-2"].map(|sku| {
            let mut product = product(sku);
            product.codes.insert("ean".to_owned(), "4006381333931".to_owned());
            product
        });
        claims.add(&a, &[amazon]);
        claims.add(&b, &[amazon]);
        let (a, b) = (main_name("amazon", &a, &claims), main_name("amazon", &b, &claims));
        assert_ne!(a.name, b.name);
        assert!(a.name.starts_with("4006381333931-"), "{}", a.name);
        assert!(a.notes[0].contains("another SKU"), "{:?}", a.notes);
    }

    #[test]
    fn illegal_names_are_refused() {
        for bad in
            ["", "a/b.jpg", "con.jpg", "LPT1.png", ".x.jpg", "x.", "a b.jpg", "é.jpg", "a\0.jpg", "-rf.jpg"]
        {
            assert!(legal(bad, 100).is_err(), "{bad:?}");
        }
        assert!(legal(&"x".repeat(101), 100).is_err());
        assert_eq!(legal("console.jpg", 100), Ok(()));
        assert!(Sku::new("con").is_ok());
    }

    #[test]
    fn check_digits() {
        for good in ["4006381333931", "036000291452", "96385074", "04006381333931"] {
            assert!(is_gtin(good), "{good}");
        }
        for bad in ["4006381333932", "0000000000000", "123", "40063813339a1", ""] {
            assert!(!is_gtin(bad), "{bad}");
        }
    }
}
