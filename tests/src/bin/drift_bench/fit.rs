//! Calibration: scales and limits from pairs without drift, by split conformal quantiles, and
//! the same again with products left out, which is what the printed rates come from.

use std::collections::BTreeMap;

use packshot_pipeline::finding::Axis;
use packshot_worker::review::thresholds::{self, Thresholds};

use crate::pairs::Measured;

/// Share of no-drift pairs that may lie over a metric's scale.
const TAIL_METRIC: f64 = 0.004;
/// Share of no-drift pairs that one axis may fail.
const TAIL_AXIS: f64 = 0.004;
/// Products are divided into this many folds.
const FOLDS: usize = 6;

/// The calibration that judges a product: fitted without it.
pub(crate) struct Folds {
    fitted: Vec<Thresholds>,
    fold_of: BTreeMap<String, usize>,
}

impl Folds {
    /// The calibration fitted without this product.
    pub(crate) fn for_product(&self, product: &str) -> &Thresholds {
        &self.fitted[self.fold_of.get(product).copied().unwrap_or(0)]
    }
}

/// Fits once per fold of products.
pub(crate) fn cross_validated(measured: &[Measured]) -> Folds {
    let mut fold_of = BTreeMap::new();
    for m in measured {
        fold_of.entry(m.label.product.clone()).or_insert(0);
    }
    for (i, fold) in fold_of.values_mut().enumerate() {
        *fold = i % FOLDS;
    }
    let fitted = (0..FOLDS)
        .map(|fold| {
            let others: Vec<&Measured> =
                measured.iter().filter(|m| fold_of[&m.label.product] != fold).collect();
            fit(&others)
        })
        .collect();
    Folds { fitted, fold_of }
}

/// The calibration over all products, with the rates that the folds showed.
pub(crate) fn shipped(measured: &[Measured], folds: &Folds, date: &str) -> Thresholds {
    let all: Vec<&Measured> = measured.iter().collect();
    let mut fitted = fit(&all);
    fitted.version = thresholds::shipped().version + 1;
    date.clone_into(&mut fitted.date);
    "drift benchmark on demo-shop photos: harmless changes of light, background, size, place and file"
        .clone_into(&mut fitted.data);
    let share = |label: u8| {
        let of: Vec<bool> = measured
            .iter()
            .filter(|m| m.label.label == label && m.row.uncomparable.is_none())
            .map(|m| fails(m, folds.for_product(&m.label.product)))
            .collect();
        (1e4 * of.iter().filter(|f| **f).count() as f64 / of.len().max(1) as f64).round() / 1e4
    };
    fitted.false_rejects = share(0);
    fitted.caught = share(1);
    fitted
}

/// Whether any axis fails.
pub(crate) fn fails(m: &Measured, thresholds: &Thresholds) -> bool {
    Axis::ALL.into_iter().any(|axis| score(m, axis, thresholds).is_some_and(|s| s >= thresholds.limit(axis)))
}

/// The score of an axis as the verdict computes it.
pub(crate) fn score(m: &Measured, axis: Axis, thresholds: &Thresholds) -> Option<f64> {
    let metrics = m.row.metrics.get(&axis)?;
    let broken = m.row.violations.get(&axis).copied().unwrap_or(0);
    if metrics.is_empty() && broken == 0 {
        return None;
    }
    let measured =
        metrics.iter().map(|(name, value)| value.max(0.0) / thresholds.scale(name)).fold(0.0, f64::max);
    Some(measured + if broken > 0 { 10.0 * thresholds.limit(axis) } else { 0.0 })
}

fn fit(measured: &[&Measured]) -> Thresholds {
    let harmless: Vec<&&Measured> =
        measured.iter().filter(|m| m.label.label == 0 && m.row.uncomparable.is_none()).collect();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for m in &harmless {
        for (name, value) in
            m.row.metrics.iter().filter(|(axis, _)| m.answers_for(**axis)).flat_map(|(_, v)| v)
        {
            values.entry(name.clone()).or_default().push(value.max(0.0));
        }
    }
    let mut thresholds = Thresholds::nothing();
    thresholds.tail = TAIL_AXIS;
    thresholds.pairs = harmless.len() as u32;
    let mut products: Vec<&str> = harmless.iter().map(|m| m.label.product.as_str()).collect();
    products.sort_unstable();
    products.dedup();
    thresholds.products = products.len() as u32;
    for (name, mut list) in values {
        thresholds.scales.insert(name, rounded(conformal(&mut list, TAIL_METRIC)).max(1e-4));
    }
    for axis in Axis::ALL {
        let mut scores: Vec<f64> = harmless
            .iter()
            .filter(|m| m.answers_for(axis) && m.row.violations.get(&axis).copied().unwrap_or(0) == 0)
            .filter_map(|m| score(m, axis, &thresholds))
            .collect();
        if scores.len() >= 30 {
            thresholds.axes.insert(axis, rounded(conformal(&mut scores, TAIL_AXIS)).max(1.0));
        }
    }
    thresholds
}

/// The smallest value that a new exchangeable number exceeds with at most the given share.
fn conformal(values: &mut [f64], tail: f64) -> f64 {
    if values.is_empty() {
        return 1.0;
    }
    values.sort_by(f64::total_cmp);
    let rank = ((values.len() + 1) as f64 * (1.0 - tail)).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

fn rounded(value: f64) -> f64 {
    let digits = 10f64.powf(4.0 - value.abs().max(1e-9).log10().ceil());
    (value * digits).ceil() / digits
}
