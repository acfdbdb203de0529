//! The table: area under ROC per class and severity, what is caught, false rejects per
//! harmless change, share decided, and time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use packshot_pipeline::finding::Axis;
use packshot_worker::review::thresholds;

use crate::fit::{self, Folds};
use crate::pairs::Measured;

/// The axis that must see a class of drift.
fn axis_of(klass: &str) -> Option<Axis> {
    Some(match klass {
        "colour" | "colour_part" => Axis::Colour,
        "shape" | "shape_local" | "shape_missing_part" => Axis::Shape,
        "material" => Axis::Material,
        "feature" | "feature_moved" => Axis::Feature,
        "scale" | "scale_scene" => Axis::Scale,
        "claim" | "claim_on_product" | "accessory" => Axis::Claim,
        _ => return None,
    })
}

/// Renders everything as Markdown. What is caught and rejected is so at limits fitted without the
/// product at hand; *as shipped* at those of the program, which have seen it.
pub(crate) fn render(measured: &[Measured], folds: &Folds) -> String {
    let mut out = String::new();
    for track in ["plain", "real"] {
        let pairs: Vec<&Measured> = measured.iter().filter(|m| m.label.track == track).collect();
        if !pairs.is_empty() {
            drifts(&mut out, track, &pairs, folds);
            harmless(&mut out, track, &pairs, folds);
        }
    }
    let mut times: Vec<f64> = measured.iter().map(|m| m.row.milliseconds).filter(|t| *t > 0.0).collect();
    times.sort_by(f64::total_cmp);
    if !times.is_empty() {
        let _ = writeln!(
            out,
            "median {:.0} ms, 95 % under {:.0} ms a pair",
            times[times.len() / 2],
            times[times.len() * 95 / 100]
        );
    }
    out
}

fn drifts(out: &mut String, track: &str, pairs: &[&Measured], folds: &Folds) {
    let _ = writeln!(
        out,
        "| {track} | severity | pairs | AUC | by metric | caught by its axis | caught | caught as shipped | not comparable |\n|---|---|---|---|---|---|---|---|---|"
    );
    let mut groups: BTreeMap<(String, u64), Vec<&Measured>> = BTreeMap::new();
    for m in pairs.iter().filter(|m| m.label.label == 1) {
        groups.entry((m.label.klass.clone(), m.label.severity as u64)).or_default().push(m);
    }
    for ((klass, severity), group) in groups {
        let Some(axis) = axis_of(&klass) else { continue };
        let twin = klass == "scale_scene";
        let none: Vec<&Measured> = pairs
            .iter()
            .filter(|m| m.label.label == 0 && (m.label.sub == "scene_zoom") == twin)
            .copied()
            .collect();
        let scores = |of: &[&Measured]| -> Vec<f64> {
            of.iter().filter_map(|m| fit::score(m, axis, folds.for_product(&m.label.product))).collect()
        };
        let comparable: Vec<&&Measured> = group.iter().filter(|m| m.row.uncomparable.is_none()).collect();
        let own = comparable
            .iter()
            .filter(|m| {
                let t = folds.for_product(&m.label.product);
                fit::score(m, axis, t).is_some_and(|s| s >= t.limit(axis))
            })
            .count();
        let any = comparable.iter().filter(|m| fit::fails(m, folds.for_product(&m.label.product))).count();
        let shipped = comparable.iter().filter(|m| fit::fails(m, thresholds::shipped())).count();
        let n = comparable.len().max(1) as f64;
        let _ = writeln!(
            out,
            "| {klass} | {severity} | {} | {:.3} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            group.len(),
            auc(&scores(&group), &scores(&none)),
            by_metric(&group, &none, axis),
            own as f64 / n,
            any as f64 / n,
            shipped as f64 / n,
            1.0 - comparable.len() as f64 / group.len() as f64,
        );
    }
}

fn by_metric(drifted: &[&Measured], none: &[&Measured], axis: Axis) -> String {
    let mut names: Vec<&String> =
        none.iter().filter_map(|m| m.row.metrics.get(&axis)).flat_map(|m| m.keys()).collect();
    names.sort();
    names.dedup();
    let mut parts = Vec::new();
    for name in names {
        let values = |of: &[&Measured]| -> Vec<f64> {
            of.iter().filter_map(|m| m.row.metrics.get(&axis).and_then(|v| v.get(name))).copied().collect()
        };
        let short = name.split_once('_').map_or(name.as_str(), |(_, rest)| rest);
        parts.push(format!("{short} {:.2}", auc(&values(drifted), &values(none))));
    }
    parts.join(", ")
}

fn harmless(out: &mut String, track: &str, pairs: &[&Measured], folds: &Folds) {
    let _ = writeln!(
        out,
        "\n| {track}: harmless change | pairs | rejected | by axis | rejected as shipped | not comparable |\n|---|---|---|---|---|---|"
    );
    let mut groups: BTreeMap<String, Vec<&Measured>> = BTreeMap::new();
    for m in pairs.iter().filter(|m| m.label.label == 0) {
        groups.entry(m.kind().to_owned()).or_default().push(m);
        groups.entry("~all".to_owned()).or_default().push(m);
    }
    for (kind, group) in groups {
        let comparable: Vec<&&Measured> = group.iter().filter(|m| m.row.uncomparable.is_none()).collect();
        let mut axes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rejected = 0;
        for m in &comparable {
            let t = folds.for_product(&m.label.product);
            rejected += usize::from(fit::fails(m, t));
            for axis in Axis::ALL {
                if m.answers_for(axis) && fit::score(m, axis, t).is_some_and(|s| s >= t.limit(axis)) {
                    *axes.entry(axis.word()).or_default() += 1;
                }
            }
        }
        let shipped = comparable.iter().filter(|m| fit::fails(m, thresholds::shipped())).count();
        let n = comparable.len().max(1) as f64;
        let words: Vec<String> = axes.iter().map(|(a, n)| format!("{a} {n}")).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {:.3} | {} | {:.3} | {:.2} |",
            kind.trim_start_matches('~'),
            group.len(),
            rejected as f64 / n,
            words.join(", "),
            shipped as f64 / n,
            1.0 - comparable.len() as f64 / group.len() as f64,
        );
    }
    out.push('\n');
}

/// Probability that a drifted pair scores over a harmless one, ties by half.
fn auc(drifted: &[f64], harmless: &[f64]) -> f64 {
    if drifted.is_empty() || harmless.is_empty() {
        return f64::NAN;
    }
    let mut sorted = harmless.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = drifted
        .iter()
        .map(|d| {
            let below = sorted.partition_point(|h| h < d);
            let upto = sorted.partition_point(|h| h <= d);
            (below + upto) as f64 / 2.0
        })
        .sum();
    wins / (drifted.len() * harmless.len()) as f64
}
