//! The form in which documents, slots and news are stored, and the call that writes them.

use packshot_pipeline::change::{Change, IndexOp, Slot};
use packshot_pipeline::ids::Sku;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, STATE_SCHEMA, SkuState, Target};
use packshot_runtime::port::{Version, Versioned};
use redis::Cmd;
use serde::de::Error as _;

use super::keys::{Keys, Place};
use super::script::WRITE;

/// Digits of a version before the document that it is of.
const VERSION_LENGTH: usize = 16;
/// Between SKU, target and number of a slot; no SKU contains it.
const SEPARATOR: char = '\u{1f}';
/// The latest time that a score holds exactly, in milliseconds since 1970.
pub(super) const TIME_MS_MAX: u64 = 1 << 53;
/// Bits of a news number that count within its millisecond.
const NEWS_BITS: u32 = 20;

pub(super) fn life(incarnation: Incarnation) -> String {
    incarnation.to_string()
}

pub(super) fn parse_life(text: &str) -> Result<Incarnation, serde_json::Error> {
    u64::from_str_radix(text, 16)
        .map(Incarnation)
        .map_err(|error| serde_json::Error::custom(format!("{text:?} is no incarnation: {error}")))
}

fn version(version: Version) -> String {
    format!("{:016x}", version.0)
}

/// Version and document as stored.
fn document(new: Version, state: &SkuState) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(2_048);
    bytes.extend_from_slice(version(new).as_bytes());
    serde_json::to_writer(&mut bytes, state)?;
    Ok(bytes)
}

pub(super) fn parse_document(bytes: &[u8]) -> Result<Versioned, serde_json::Error> {
    let (number, body) = bytes
        .split_at_checked(VERSION_LENGTH)
        .ok_or_else(|| serde_json::Error::custom("it has no version"))?;
    let number = std::str::from_utf8(number).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    let version = number.map(Version).ok_or_else(|| serde_json::Error::custom("it has no version"))?;
    let state: SkuState = serde_json::from_slice(body)?;
    if state.schema > STATE_SCHEMA {
        let what = format!("it has schema {}, at most {STATE_SCHEMA} is understood", state.schema);
        return Err(serde_json::Error::custom(what));
    }
    Ok(Versioned { version, state })
}

pub(super) fn member(slot: &Slot) -> String {
    format!("{}{SEPARATOR}{}{SEPARATOR}{}", slot.sku, slot.target, slot.number)
}

pub(super) fn parse_member(text: &str) -> Result<Slot, serde_json::Error> {
    let mut parts = text.split(SEPARATOR);
    let slot = (|| {
        let sku = Sku::new(parts.next()?).ok()?;
        let target = Target::parse(parts.next()?)?;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Slot { sku, target, number })
    })();
    slot.ok_or_else(|| serde_json::Error::custom(format!("{text:?} is no slot")))
}

/// The number of a piece of news, from the stream's id. By the server's clock, so that
/// numbers go on growing when the store lost its memory.
pub(super) fn news_number(id: &str) -> Result<u64, serde_json::Error> {
    let number = id.split_once('-').and_then(|(ms, n)| {
        let (ms, n): (u64, u64) = (ms.parse().ok()?, n.parse().ok()?);
        Some(ms << NEWS_BITS | n)
    });
    number.ok_or_else(|| serde_json::Error::custom(format!("{id:?} is no news id")))
}

/// Where the news after this number begin.
pub(super) fn news_after(number: u64) -> String {
    if number == 0 {
        return "-".to_owned();
    }
    format!("({}-{}", number >> NEWS_BITS, number & ((1 << NEWS_BITS) - 1))
}

/// The call that puts `state` as version `new` in the place of `expected`, if that is there.
pub(super) fn write(
    keys: &Keys,
    news_max: u64,
    (expected, new): (Option<Version>, Version),
    state: &SkuState,
    change: &Change,
) -> Result<Cmd, serde_json::Error> {
    let mut pools: Vec<Pool> = Vec::new();
    let mut places = Vec::with_capacity(change.index.len());
    for op in &change.index {
        let (slot, pool, place, at_ms) = match op {
            IndexOp::Ready { slot, pool, not_before_ms } => (slot, *pool, Place::Ready, *not_before_ms),
            IndexOp::Leased { slot, pool, until_ms } => (slot, *pool, Place::Leased, *until_ms),
            IndexOp::Gone { slot, pool } => (slot, *pool, Place::Nowhere, 0),
        };
        let number = pools.iter().position(|known| *known == pool).unwrap_or_else(|| {
            pools.push(pool);
            pools.len() - 1
        });
        places.push((place, number, member(slot), at_ms));
    }
    let batch = &state.batch;
    let index = pools.iter().flat_map(|pool| Place::INDEXED.map(|place| keys.index(batch, place, *pool)));
    let named: Vec<String> = keys.written(batch).into_iter().chain(index).collect();
    let mut call = WRITE.call(&named);
    call.arg(life(state.incarnation))
        .arg(state.sku.as_str())
        .arg(expected.map(version).unwrap_or_default())
        .arg(document(new, state)?)
        .arg(news_max)
        .arg(places.len());
    for (place, number, member, at_ms) in places {
        call.arg(place as u8).arg(number).arg(member).arg(at_ms.min(TIME_MS_MAX));
    }
    call.arg(change.tally.0.len());
    for (name, by) in &change.tally.0 {
        call.arg(name).arg(*by);
    }
    for news in &change.progress {
        call.arg(serde_json::to_vec(news)?);
    }
    Ok(call)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn slots_and_news_numbers_survive_the_way() {
        for sku in ["a", "b/c d:{e}", "ä-🦀", "1\u{a0}2"] {
            let slot = Slot { sku: Sku::new(sku).unwrap(), target: Target::Set, number: 7 };
            assert_eq!(parse_member(&member(&slot)).unwrap(), slot);
        }
        for bad in ["", "a", "a\u{1f}set", "a\u{1f}set\u{1f}x", "a\u{1f}set\u{1f}1\u{1f}2", "\u{1f}set\u{1f}1"] {
            assert!(parse_member(bad).is_err(), "{bad:?}");
        }
        let number = news_number("1700000000000-3").unwrap();
        assert_eq!(news_after(number), "(1700000000000-3");
        assert!(news_number("1700000000001-0").unwrap() > number);
        assert!(news_number("x").is_err());
    }

    #[test]
    fn a_document_of_a_newer_form_is_not_read() {
        for bytes in [&b""[..], b"0123", b"000000000000000g{}", b"0000000000000001{}"] {
            assert!(parse_document(bytes).is_err());
        }
    }
}
