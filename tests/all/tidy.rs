//! The house rules as a test: who may import whom, a first line that says what each file
//! is for, documents that name files which exist, data files that have a reader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files known to git, so that build output and scratch files do not count.
fn tracked() -> Vec<PathBuf> {
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "git ls-files failed");
    String::from_utf8(out.stdout)
        .unwrap()
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    tracked()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter_map(|path| std::fs::read_to_string(root().join(&path)).ok().map(|text| (path, text)))
        .collect()
}

#[test]
fn imports_follow_the_table() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("packshot-pipeline", &[][..]),
        ("packshot-imaging", &[]),
        ("packshot-service", &[]),
        ("packshot-runtime", &["packshot-pipeline"]),
        ("packshot-adapters", &["packshot-runtime", "packshot-pipeline"]),
        (
            "packshot-worker",
            &[
                "packshot-runtime",
                "packshot-adapters",
                "packshot-imaging",
                "packshot-service",
                "packshot-pipeline",
            ],
        ),
        (
            "packshot-scheduler",
            &[
                "packshot-worker",
                "packshot-runtime",
                "packshot-adapters",
                "packshot-imaging",
                "packshot-service",
                "packshot-pipeline",
            ],
        ),
    ]);
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else { continue };
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            assert!(
                !on.starts_with("packshot-") || allowed.contains(&on),
                "{name} must not import {on}: see the import table in ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in rust_files() {
        assert!(text.starts_with("//!"), "{} does not begin with a `//!` line", path.display());
    }
}

#[test]
fn files_stay_small_rooms() {
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        assert!(lines <= 650, "{} has {lines} lines: look for the second idea in it", path.display());
    }
}

#[test]
fn documents_name_files_that_exist() {
    let known = tracked();
    let folders: Vec<&str> = vec!["shared/", "worker/", "scheduler/", "deploy/", "helm/", "tests/", ".ci/"];
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for word in text.split(['`', ' ', '(', ')', '\n', ',', '"', '|']) {
            let word = word.trim_end_matches(['.', ':', ';', '/']);
            let is_path =
                folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['<', '*', '{']);
            if is_path && !word.is_empty() {
                let exists = known.iter().any(|path| path.starts_with(word));
                assert!(exists, "{document} names {word}, which does not exist");
            }
        }
    }
}

#[test]
fn no_file_holds_a_path_of_a_machine_or_a_placeholder() {
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        if path.ends_with("tests/all/tidy.rs") {
            continue;
        }
        for bad in ["/work/", "/root/", "Placeholder, replaced by", "todo!(", "unimplemented!("] {
            assert!(!text.contains(bad), "{} contains {bad:?}", path.display());
        }
    }
}

#[test]
fn sample_photos_have_sources_and_licences() {
    let sample = root().join("deploy/sample");
    let sources = std::fs::read_to_string(sample.join("SOURCES.csv")).unwrap();
    let mut bytes = 0;
    for entry in std::fs::read_dir(sample.join("images")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(sources.lines().any(|line| line.starts_with(&format!("{name},"))), "{name} has no source");
        bytes += entry.metadata().unwrap().len();
    }
    assert!(bytes < 8_000_000, "the sample has {bytes} bytes");
}
