//! Calibration: scales and limits from pairs without drift, by split conformal quantiles, and
//! the same again with products left out, which is what the printed rates come from.

use std::collections::BTreeMap;

use anyhow::Context as _;
use packshot_pipeline::finding::Axis;
use packshot_worker::review::thresholds::{self, Thresholds};

use crate::pairs::Measured;

/// Share of no-drift pairs that may lie over a metric's scale.
const TAIL_METRIC: f64 = 0.004;
/// Share of no-drift pairs that one axis may fail.
const TAIL_AXIS: f64 = 0.004;
/// The one metric that the unevenly zoomed pairs answer for besides scale.
const STRETCHED: &str = "quality_stretched";
/// Share of all no-drift pairs, and of those of one kind of harmless change, that may fail any
/// axis when their product was not there to be fitted on.
const BUDGET: f64 = 0.03;
const BUDGET_KIND: f64 = 0.05;
/// Fewest pairs of a kind by which a share of one in twenty can be told.
const KIND_MIN: usize = 100;
/// Products are divided into this many folds.
const FOLDS: usize = 6;

/// The calibration that judges a product: fitted without it.
pub(crate) struct Folds {
    fitted: Vec<Thresholds>,
    fold_of: BTreeMap<String, usize>,
    /// By how much all limits were raised for products that nobody has seen.
    room: f64,
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
    let mut folds = Folds { fitted, fold_of, room: 1.0 };
    folds.room = rounded(room(measured, &folds));
    for thresholds in &mut folds.fitted {
        raise(thresholds, folds.room);
    }
    folds
}

/// The factor on all limits that keeps both budgets. Pairs of one product fail together, so that
/// quantiles over pairs promise too much for the next product; one factor over products left out
/// is the least that mends it.
fn room(measured: &[Measured], folds: &Folds) -> f64 {
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for m in measured.iter().filter(|m| m.label.label == 0 && m.row.uncomparable.is_none()) {
        let over = over(m, folds.for_product(&m.label.product));
        kinds.entry("").or_default().push(over);
        kinds.entry(m.kind()).or_default().push(over);
    }
    kinds
        .into_iter()
        .filter(|(_, pairs)| pairs.len() >= KIND_MIN)
        .map(|(kind, mut pairs)| {
            pairs.sort_by(f64::total_cmp);
            let allowed = if kind.is_empty() { BUDGET } else { BUDGET_KIND };
            let kept = pairs.len() - (allowed * pairs.len() as f64) as usize;
            // just over the last one that must pass
            1.001 * pairs[kept - 1]
        })
        .fold(1.0, f64::max)
}

fn raise(thresholds: &mut Thresholds, by: f64) {
    for axis in Axis::ALL {
        let limit = thresholds.limit(axis);
        thresholds.axes.insert(axis, rounded(limit * by));
    }
}

/// The calibration over all products, with the rates that the folds showed.
pub(crate) fn shipped(measured: &[Measured], folds: &Folds, date: &str) -> Thresholds {
    let all: Vec<&Measured> = measured.iter().collect();
    let mut fitted = fit(&all);
    raise(&mut fitted, folds.room);
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

/// The shipped calibration with the scales of `metrics` from `fitted`.
pub(crate) fn anew(fitted: &Thresholds, metrics: &[String]) -> anyhow::Result<Thresholds> {
    let mut kept = thresholds::shipped().clone();
    for metric in metrics {
        let scale = fitted.scales.get(metric);
        let scale = scale.with_context(|| format!("no pair measures {metric}"))?;
        kept.scales.insert(metric.clone(), *scale);
    }
    kept.version = fitted.version;
    kept.date.clone_from(&fitted.date);
    Ok(kept)
}

/// Whether any axis fails that the pair answers for.
pub(crate) fn fails(m: &Measured, thresholds: &Thresholds) -> bool {
    over(m, thresholds) >= 1.0
}

/// The largest score in units of its limit, over the axes that the pair answers for.
fn over(m: &Measured, thresholds: &Thresholds) -> f64 {
    Axis::ALL
        .into_iter()
        .filter(|axis| m.label.label == 1 || m.answers_for(*axis))
        .filter_map(|axis| score(m, axis, thresholds).map(|s| s / thresholds.limit(axis)))
        .fold(0.0, f64::max)
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
        for (axis, metrics) in &m.row.metrics {
            let answered = metrics.iter().filter(|(name, _)| m.answers_for(*axis) || *name == STRETCHED);
            for (name, value) in answered {
                values.entry(name.clone()).or_default().push(value.max(0.0));
            }
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
        let scale = rounded(conformal(&mut list, TAIL_METRIC)).max(thresholds::least_scale(&name));
        thresholds.scales.insert(name, scale);
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
