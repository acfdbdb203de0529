//! Measures how faults of quality are told from harmless changes.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/quality_bench PHOTOS [--count N] [--side PX] [--save DIR] [--only WORD]
//! ```
//!
//! Every PNG of PHOTOS with a transparent background is put before a studio's grey: that is the
//! reference, at most `--side` (default 1400) px long. Of each, fifteen harmless changes and every
//! fault at three severities are made (`faults.rs`) and reviewed. For each fault and severity:
//!
//! - `AUC` of the fault's own metric against all harmless changes;
//! - `own`, `axis`: share that fails by that metric, and by any metric of quality, at the
//!   shipped limits;
//! - `low`, `middle`: the metric's tenth and fiftieth percentile.
//!
//! For the harmless changes: the share that fails quality, by which metrics, and for each metric
//! its 50th, 98th and 100th percentile. `--save` writes all pictures of the first three products.

#![allow(clippy::print_stdout, reason = "a command line tool's table goes to stdout")]

mod faults;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use image::RgbImage;
use packshot_imaging::photo::Photo;
use packshot_imaging::register;
use packshot_pipeline::finding::Axis;
use packshot_tests::scenes::{Truth, truths};
use packshot_worker::review::{self, ReviewRequest, thresholds};
use rayon::prelude::*;

use faults::{FAULTS, HARMLESS};

/// What quality measured on one picture; `None`: not comparable.
type Values = Option<BTreeMap<&'static str, f64>>;

/// All pictures of one product.
struct Product {
    harmless: Vec<(&'static str, Values)>,
    faulty: Vec<(usize, usize, Values)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let folder = PathBuf::from(args.first().ok_or("usage: quality_bench PHOTOS [--count N] [--side PX]")?);
    let side: u32 = option("--side").map_or(Ok(1400), |s| s.parse())?;
    let count: usize = option("--count").map_or(Ok(usize::MAX), |s| s.parse())?;
    let save = option("--save").map(PathBuf::from);
    let only = option("--only").map_or("", String::as_str);
    let all = truths(&folder, side, None)?;
    let every = all.len().div_ceil(count.min(all.len()).max(1)).max(1);
    let chosen: Vec<&Truth> = all.iter().step_by(every).collect();
    println!("{} true cut-outs, longest side at most {side} px", chosen.len());
    let products: Vec<Product> = chosen
        .par_iter()
        .enumerate()
        .map(|(i, truth)| product(truth, i as u64, only, save.as_deref().filter(|_| i < 3)))
        .collect();
    let harmless: Vec<(&str, &Values)> =
        products.iter().flat_map(|p| p.harmless.iter().map(|(kind, v)| (*kind, v))).collect();
    of_faults(&products, &harmless);
    of_harmless(&harmless);
    Ok(())
}

fn product(truth: &Truth, seed: u64, only: &str, save: Option<&Path>) -> Product {
    let reference = faults::reference(&truth.cutout, seed);
    let photo = Photo::of_pixels(reference.clone(), None);
    let sought = register::Reference::new(&photo.rgb, &truth.cutout.alpha).ok();
    let look = |name: &str, candidate: &RgbImage| {
        if let Some(folder) = save {
            let name = name.replace([' ', ',', '%'], "_");
            let _ = candidate.save(folder.join(format!("{}-{name}.png", truth.name)));
        }
        let measured = review::measure(&ReviewRequest {
            reference: &photo,
            cutout: &truth.cutout,
            sought: sought.as_ref(),
            candidate,
            candidate_alpha: None,
            role: None,
            facts: None,
            hint: None,
        });
        let channel = measured.channels.into_iter().find(|c| c.axis == Axis::Quality)?;
        Some(channel.metrics.into_iter().map(|m| (m.name, m.value)).collect())
    };
    let harmless = HARMLESS
        .into_iter()
        .map(|kind| (kind, look(kind, &faults::harmless(kind, &truth.cutout, &reference, seed))))
        .collect();
    let mut faulty = Vec::new();
    for (f, (fault, _, severities)) in FAULTS.iter().enumerate().filter(|(_, f)| f.0.contains(only)) {
        for (s, severity) in severities.iter().enumerate() {
            let picture = faults::faulty(fault, *severity, &truth.cutout, &reference, seed);
            faulty.push((f, s, look(&format!("{fault} {severity}"), &picture)));
        }
    }
    Product { harmless, faulty }
}

/// A metric in units of its limit at the shipped calibration.
fn over(name: &str, value: f64) -> f64 {
    let thresholds = thresholds::shipped();
    value / (thresholds.scale(name) * thresholds.limit(Axis::Quality))
}

fn of_faults(products: &[Product], harmless: &[(&str, &Values)]) {
    println!(
        "\n| fault | severity | pictures | AUC | own | axis | low | middle |\n|---|---|---|---|---|---|---|---|"
    );
    for (f, (fault, metric, severities)) in FAULTS.iter().enumerate() {
        let calm: Vec<f64> = harmless.iter().filter_map(|(_, v)| v.as_ref()?.get(metric).copied()).collect();
        for (s, severity) in severities.iter().enumerate() {
            let found: Vec<&BTreeMap<&str, f64>> = products
                .iter()
                .flat_map(|p| &p.faulty)
                .filter(|(g, t, _)| (*g, *t) == (f, s))
                .filter_map(|(.., v)| v.as_ref())
                .collect();
            if found.is_empty() {
                continue;
            }
            // what could not be measured counts as nothing found
            let own: Vec<f64> = found.iter().map(|v| v.get(metric).copied().unwrap_or(0.0)).collect();
            let failing = own.iter().filter(|v| over(metric, **v) >= 1.0).count();
            let axis = found.iter().filter(|v| v.iter().any(|(name, v)| over(name, *v) >= 1.0)).count();
            let n = found.len() as f64;
            println!(
                "| {fault} | {severity} | {n} | {:.3} | {:.2} | {:.2} | {:.2} | {:.2} |",
                auc(&own, &calm),
                failing as f64 / n,
                axis as f64 / n,
                share(&own, 0.1),
                share(&own, 0.5),
            );
        }
    }
}

fn of_harmless(harmless: &[(&str, &Values)]) {
    println!("\n| harmless change | pictures | fails quality | by |\n|---|---|---|---|");
    for kind in HARMLESS {
        let of: Vec<&BTreeMap<&str, f64>> =
            harmless.iter().filter(|(k, _)| *k == kind).filter_map(|(_, v)| v.as_ref()).collect();
        let mut by: BTreeMap<&str, usize> = BTreeMap::new();
        let mut failing = 0;
        for values in &of {
            let over: Vec<&str> =
                values.iter().filter(|(name, v)| over(name, **v) >= 1.0).map(|(name, _)| *name).collect();
            failing += usize::from(!over.is_empty());
            for name in over {
                *by.entry(name).or_default() += 1;
            }
        }
        let by: Vec<String> = by.iter().map(|(name, n)| format!("{name} {n}")).collect();
        println!(
            "| {kind} | {} | {:.2} | {} |",
            of.len(),
            failing as f64 / of.len().max(1) as f64,
            by.join(", ")
        );
    }
    println!("\n| metric | measured on | middle | 98 % | largest, on | limit |\n|---|---|---|---|---|---|");
    let mut names: Vec<&str> =
        harmless.iter().filter_map(|(_, v)| v.as_ref()).flat_map(|v| v.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of: Vec<(f64, &str)> =
            harmless.iter().filter_map(|(kind, v)| Some((*v.as_ref()?.get(name)?, *kind))).collect();
        let values: Vec<f64> = of.iter().map(|(v, _)| *v).collect();
        let most = of.iter().max_by(|a, b| a.0.total_cmp(&b.0)).copied().unwrap_or((0.0, ""));
        println!(
            "| {name} | {} | {:.3} | {:.3} | {:.3}, {} | {:.3} |",
            of.len(),
            share(&values, 0.5),
            share(&values, 0.98),
            most.0,
            most.1,
            1.0 / over(name, 1.0),
        );
    }
}

/// Chance that a faulty picture measures more than a harmless one; equal ones count half.
fn auc(faulty: &[f64], harmless: &[f64]) -> f64 {
    let mut sum = 0.0;
    for f in faulty {
        for h in harmless {
            sum += if f > h {
                1.0
            } else if f == h {
                0.5
            } else {
                0.0
            };
        }
    }
    sum / (faulty.len() * harmless.len()).max(1) as f64
}

fn share(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0)
}
