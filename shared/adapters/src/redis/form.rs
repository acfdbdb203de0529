//! The form in which documents, slots and news are stored, and the call that writes them.

use packshot_pipeline::change::{Change, IndexOp, Progress, Slot};
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
/// The largest difference of a total, so that none overflows in a lifetime.
const DELTA_MAX: i64 = 1 << 50;
/// Bits of a news number that count the commits of its millisecond.
const COMMIT_BITS: u32 = 14;
/// Bits of a news number that count the pieces of its commit.
const PIECE_BITS: u32 = 6;
/// The name before each piece of news.
const PIECE: &str = "n";

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

/// The news of one commit as read: the stream's id, then names and values.
pub(super) type NewsEntry = (String, Vec<Vec<u8>>);

/// The pieces of news of one commit, each with its number: by the server's clock, so that
/// numbers go on growing when the store lost its memory.
pub(super) fn parse_news((id, fields): &NewsEntry) -> Result<Vec<(u64, Progress)>, serde_json::Error> {
    let first = id.split_once('-').and_then(|(ms, commit)| {
        let (ms, commit): (u64, u64) = (ms.parse().ok()?, commit.parse().ok()?);
        Some((ms << COMMIT_BITS | commit) << PIECE_BITS)
    });
    let first = first.ok_or_else(|| serde_json::Error::custom(format!("{id:?} is no news id")))?;
    let pieces = fields.iter().skip(1).step_by(2).zip(first..);
    pieces.map(|(body, number)| Ok((number, serde_json::from_slice(body)?))).collect()
}

/// The id of the commit that the piece of news with this number is of.
pub(super) fn news_from(number: u64) -> String {
    if number == 0 {
        return "-".to_owned();
    }
    let commit = number >> PIECE_BITS;
    format!("{}-{}", commit >> COMMIT_BITS, commit & ((1 << COMMIT_BITS) - 1))
}

/// The call that puts `state` as version `new` in the place of `expected`, if that is there.
pub(super) fn write(
    keys: &Keys,
    news_max: u64,
    (expected, new): (Option<Version>, Version),
    state: &SkuState,
    change: &Change,
) -> Result<Cmd, serde_json::Error> {
    let batch = &state.batch;
    let mut writing = Writing::new(vec![keys.life(batch), keys.documents(batch)]);
    if expected.is_none() {
        writing.then("ZADD", keys.skus(batch), ["0".into(), state.sku.to_string()]);
    }
    for pool in Pool::ALL {
        let moves: Vec<Move> = change.index.iter().filter_map(|op| Move::of(op, pool)).collect();
        if moves.is_empty() {
            continue;
        }
        for place in Place::ALL {
            let key = keys.index(batch, place, pool);
            let there = moves.iter().filter(|slot| slot.to == Some(place));
            writing.then(
                "ZADD",
                key.clone(),
                there.flat_map(|slot| [slot.at_ms.clone(), slot.member.clone()]),
            );
            // What has no document yet stands nowhere.
            let not_there = moves.iter().filter(|slot| expected.is_some() && slot.to != Some(place));
            writing.then("ZREM", key, not_there.map(|slot| slot.member.clone()));
        }
    }
    for (name, by) in &change.tally.0 {
        let by = (*by).clamp(-DELTA_MAX, DELTA_MAX);
        writing.then("HINCRBY", keys.tally(batch), [name.clone(), by.to_string()]);
    }
    if !change.progress.is_empty() {
        let mut args = vec!["MAXLEN".into(), "~".into(), news_max.to_string(), "*".into()];
        for piece in &change.progress {
            args.extend([PIECE.to_owned(), serde_json::to_string(piece)?]);
        }
        writing.then("XADD", keys.news(batch), args);
    }
    let mut call = WRITE.call(&writing.keys);
    call.arg(life(state.incarnation))
        .arg(state.sku.as_str())
        .arg(expected.map(version).unwrap_or_default())
        .arg(document(new, state)?);
    for (name, key, args) in &writing.commands {
        call.arg(*name).arg(*key).arg(args.len()).arg(args);
    }
    Ok(call)
}

/// One op of the index, for one pool.
struct Move {
    member: String,
    to: Option<Place>,
    at_ms: String,
}

impl Move {
    fn of(op: &IndexOp, of: Pool) -> Option<Self> {
        let (slot, pool, to, at_ms) = match op {
            IndexOp::Ready { slot, pool, not_before_ms } => (slot, pool, Some(Place::Ready), *not_before_ms),
            IndexOp::Leased { slot, pool, until_ms } => (slot, pool, Some(Place::Leased), *until_ms),
            IndexOp::Gone { slot, pool } => (slot, pool, None, 0),
        };
        let at_ms = at_ms.min(TIME_MS_MAX).to_string();
        (*pool == of).then(|| Self { member: member(slot), to, at_ms })
    }
}

/// Commands for the script, and the keys that it must be told of.
struct Writing {
    keys: Vec<String>,
    /// Name, number of the key from 1, arguments.
    commands: Vec<(&'static str, usize, Vec<String>)>,
}

impl Writing {
    fn new(keys: Vec<String>) -> Self {
        Self { keys, commands: Vec::new() }
    }

    /// Then does `name` to `key`; without arguments there is nothing to do.
    fn then(&mut self, name: &'static str, key: String, args: impl IntoIterator<Item = String>) {
        let args: Vec<String> = args.into_iter().collect();
        if args.is_empty() {
            return;
        }
        let known = self.keys.iter().position(|known| *known == key);
        let number = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        self.commands.push((name, number + 1, args));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn slots_survive_the_way() {
        for sku in ["a", "b/c d:{e}", "ä-🦀", "1\u{a0}2"] {
            let slot = Slot { sku: Sku::new(sku).unwrap(), target: Target::Set, number: 7 };
            assert_eq!(parse_member(&member(&slot)).unwrap(), slot);
        }
        for bad in
            ["", "a", "a\u{1f}set", "a\u{1f}set\u{1f}x", "a\u{1f}set\u{1f}1\u{1f}2", "\u{1f}set\u{1f}1"]
        {
            assert!(parse_member(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn news_are_numbered_by_commit_and_piece() {
        let piece = Progress {
            at_ms: 5,
            sku: Sku::new("a").unwrap(),
            target: Target::Set,
            state: "due".into(),
            attempts: 0,
            cached: false,
        };
        let body = serde_json::to_vec(&piece).unwrap();
        let numbers = |id: &str| {
            let fields = [&b"n"[..], &body, b"n", &body].map(<[u8]>::to_vec).to_vec();
            let pieces = parse_news(&(id.to_owned(), fields))?;
            assert!(pieces.iter().all(|(_, read)| *read == piece));
            Ok::<_, serde_json::Error>(pieces.into_iter().map(|(number, _)| number).collect::<Vec<_>>())
        };
        let first = numbers("1700000000000-3").unwrap();
        assert_eq!(first[1], first[0] + 1);
        assert!(first.iter().all(|number| news_from(*number) == "1700000000000-3"));
        assert!(numbers("1700000000000-4").unwrap()[0] > first[1]);
        assert!(numbers("1700000000001-0").unwrap()[0] > numbers("1700000000000-16383").unwrap()[1]);
        assert_eq!(news_from(0), "-");
        assert!(numbers("x").is_err());
    }

    #[test]
    fn a_document_of_a_newer_form_is_not_read() {
        for bytes in [&b""[..], b"0123", b"000000000000000g{}", b"0000000000000001{}"] {
            assert!(parse_document(bytes).is_err());
        }
    }
}
