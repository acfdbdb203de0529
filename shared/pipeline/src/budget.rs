//! Money, in whole millionths of a US dollar. Never a float.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount in millionths of a US dollar (1 USD = 1,000,000); sums saturate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// Nothing.
    pub const ZERO: MicroUsd = MicroUsd(0);

    /// The amount that a person wrote as dollars: digits, and up to six behind a point.
    pub fn parse(text: &str) -> Result<MicroUsd, BadAmount> {
        let bad = || BadAmount(text.chars().take(40).collect());
        let (whole, parts) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || parts.len() > 6 || !digits(whole) || !digits(parts) {
            return Err(bad());
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        let micros = number(&format!("{parts:0<6}"))?;
        let dollars = number(whole)?.checked_mul(1_000_000).ok_or_else(bad)?;
        dollars.checked_add(micros).map(MicroUsd).ok_or_else(bad)
    }
}

/// A text that is no amount of dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no amount in US dollars; write it like 12 or 0.04, with at most six digits behind the point"
)]
pub struct BadAmount(pub String);

impl Add for MicroUsd {
    type Output = MicroUsd;
    fn add(self, other: MicroUsd) -> MicroUsd {
        MicroUsd(self.0.saturating_add(other.0))
    }
}

impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = MicroUsd>>(amounts: I) -> MicroUsd {
        amounts.fold(MicroUsd::ZERO, Add::add)
    }
}

impl fmt::Display for MicroUsd {
    /// Dollars with six decimals, without a sign: `0.040000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_without_rounding() {
        for (text, amount) in
            [("0", 0), ("12", 12_000_000), ("0.04", 40_000), (" 1.000001 ", 1_000_001), ("3.", 3_000_000)]
        {
            assert_eq!(MicroUsd::parse(text), Ok(MicroUsd(amount)), "{text}");
        }
        for text in
            ["", ".5", "1,5", "-1", "+1", "1e3", "0.0000001", "$3", "99999999999999999999", "18446744073710"]
        {
            assert!(MicroUsd::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_in_dollars_and_sums_saturate() {
        assert_eq!(MicroUsd(1_040_007).to_string(), "1.040007");
        assert_eq!(MicroUsd(39).to_string(), "0.000039");
        assert_eq!([MicroUsd(u64::MAX), MicroUsd(2)].into_iter().sum::<MicroUsd>(), MicroUsd(u64::MAX));
    }
}
