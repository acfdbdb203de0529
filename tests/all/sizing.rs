//! `deploy/sizing`, the arithmetic of deploy/SIZING.md.

use std::path::Path;
use std::process::{Command, Output};

fn sizing(figures: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Command::new(root.join("deploy/sizing")).args(figures.split_whitespace()).output().unwrap()
}

#[test]
fn a_night_is_computed_and_missing_figures_are_named() {
    let figures = "skus=1000000 roles=8 hours=10 jobs_per_core_hour=400 redis_bytes_per_sku=6000 pod_cores=4";
    let out = sizing(figures);
    let text = String::from_utf8(out.stdout).unwrap();
    let check = |what: &str, expected: &str| {
        let line = text.lines().find(|line| line.starts_with(what)).unwrap_or_default();
        assert!(line.ends_with(expected), "{what}: {expected} expected in\n{text}");
    };
    check("jobs a second", " 250.0");
    check("cores of pool studio", " 2200");
    check("pods of pool studio", " 550");
    check("memory of Redis", " 12.0");
    check("cores of pool assemble", " needs sets_per_core_hour");
    check("providers", " needs usd_per_image");
}

#[test]
fn what_is_no_figure_is_refused() {
    for wrong in ["skus", "skus=many", "sku=3", "skus=-1"] {
        let out = sizing(wrong);
        assert!(!out.status.success(), "{wrong} was taken");
        assert!(String::from_utf8(out.stderr).unwrap().ends_with(&format!("not understood: {wrong}\n")));
    }
}
