//! The calibrated thresholds, as data: `thresholds.json` beside this file, written by the
//! drift benchmark (`drift_bench --fit`), never by hand.
//!
//! Every metric has a scale, a high quantile of what it measures on pairs without drift.
//! The score of an axis is its largest metric in units of its scale, and the axis fails
//! from the split-conformal quantile of that score over the same pairs, times one factor: the
//! least that keeps the budget of false rejects on products that were left out of the fit.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use packshot_pipeline::finding::Axis;
use serde::{Deserialize, Serialize};

/// What a calibration found, with what it was found on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Thresholds {
    /// Raised with every fit; part of a job's key.
    pub version: u32,
    /// Day of the fit, ISO 8601.
    pub date: String,
    /// What it was fitted on.
    pub data: String,
    /// Products that the no-drift pairs come from: the number that counts for a promise.
    pub products: u32,
    /// No-drift pairs.
    pub pairs: u32,
    /// Share of no-drift pairs that each axis was allowed to fail.
    pub tail: f64,
    /// Share of no-drift pairs that failed any axis, over products left out of the fit.
    pub false_rejects: f64,
    /// Share of drifted pairs of the same benchmark that failed some axis, likewise.
    pub caught: f64,
    /// Per metric: its scale.
    pub scales: BTreeMap<String, f64>,
    /// Per axis: the score from which it fails.
    pub axes: BTreeMap<Axis, f64>,
}

/// Faults of quality that harmless changes leave at or near nothing, each with the value that is
/// just seen at full size: a quantile of zeros would make a fault of what nobody sees.
const JUST_SEEN: [(&str, f64); 9] = [
    ("quality_noise", 2.2),
    ("quality_banding", 2.2),
    ("quality_jagged", 0.19),
    ("quality_fringe", 10.0),
    ("quality_ringing", 3.0),
    ("quality_pixels", 0.2),
    ("quality_shadows", 0.5),
    ("quality_highlights", 0.5),
    ("quality_repeated", 3.0),
];

/// The least scale that a fit may give a metric, over 0.
pub fn least_scale(metric: &str) -> f64 {
    JUST_SEEN.iter().find(|(name, _)| *name == metric).map_or(1e-4, |(_, seen)| *seen)
}

static SHIPPED: &str = include_str!("thresholds.json");

/// The shipped calibration.
pub fn shipped() -> &'static Thresholds {
    static PARSED: OnceLock<Thresholds> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(SHIPPED).unwrap_or_else(|_| Thresholds::nothing()))
}

impl Thresholds {
    /// No calibration: every scale and every limit is 1. A fit starts from it, and a test
    /// sees to it that the shipped file never is it.
    pub fn nothing() -> Thresholds {
        Thresholds {
            version: 0,
            date: String::new(),
            data: String::new(),
            products: 0,
            pairs: 0,
            tail: 0.0,
            false_rejects: 0.0,
            caught: 0.0,
            scales: BTreeMap::new(),
            axes: BTreeMap::new(),
        }
    }

    /// The scale of a metric, over 0.
    pub fn scale(&self, metric: &str) -> f64 {
        self.scales.get(metric).copied().unwrap_or(1.0).max(1e-6)
    }

    /// The score from which an axis fails, over 0.
    pub fn limit(&self, axis: Axis) -> f64 {
        self.axes.get(&axis).copied().unwrap_or(1.0).max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_shipped_calibration_parses_and_says_what_it_was_fitted_on() {
        let parsed: Thresholds = serde_json::from_str(SHIPPED).expect("thresholds.json");
        assert!(parsed.version > 0 && !parsed.date.is_empty() && !parsed.data.is_empty());
        assert!(parsed.products > 0 && parsed.pairs > 0);
        assert!(parsed.scales.values().chain(parsed.axes.values()).all(|v| v.is_finite() && *v > 0.0));
    }
}
