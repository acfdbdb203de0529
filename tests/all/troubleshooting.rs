//! `deploy/TROUBLESHOOTING.md` against the code: whatever the programs can say to an operator
//! has its place on the page, and whatever the page quotes is really said. What is said is
//! read from the sources: every sentence of a string literal in the files that hold errors,
//! findings, refusals and warnings. Hints, good news and what was being done are left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files and folders whose sentences an operator can meet.
const SOURCES: [&str; 36] = [
    "shared/adapters/src",
    "shared/runtime/src/consume.rs",
    "shared/runtime/src/dispatch.rs",
    "shared/runtime/src/drive",
    "shared/runtime/src/keep.rs",
    "shared/runtime/src/pay.rs",
    "shared/runtime/src/port",
    "shared/runtime/src/store.rs",
    "shared/runtime/src/submit.rs",
    "shared/runtime/src/sweep.rs",
    "shared/service/src/config.rs",
    "shared/service/src/health.rs",
    "shared/service/src/telemetry/environment.rs",
    "shared/service/src/telemetry/export.rs",
    "shared/service/src/telemetry/mod.rs",
    "worker/src/bounded.rs",
    "worker/src/matting/mod.rs",
    "worker/src/matting/pixels.rs",
    "worker/src/matting/settings.rs",
    "worker/src/process.rs",
    "worker/src/settings.rs",
    "worker/src/system.rs",
    "scheduler/src/cli/rebuild.rs",
    "scheduler/src/cluster.rs",
    "scheduler/src/control.rs",
    "scheduler/src/doctor.rs",
    "scheduler/src/fetch.rs",
    "scheduler/src/intake/address.rs",
    "scheduler/src/intake/fetch.rs",
    "scheduler/src/output/mod.rs",
    "scheduler/src/run/mod.rs",
    "scheduler/src/serve.rs",
    "scheduler/src/session.rs",
    "scheduler/src/settings.rs",
    "scheduler/src/submission.rs",
    "scheduler/src/submit.rs",
];

/// Sentences of those files that are no errors, or parts of others.
const NO_ERRORS: [&str; 19] = [
    // Advice that stands alone.
    "correct the setting",
    "correct the settings of RabbitMQ",
    "install RabbitMQ 3.10 or newer",
    "look for policies that change dead-lettering, and for the feature flag stream_queue, which it needs",
    "raise `maxmemory` or forget finished batches",
    "the text says what to change",
    "deploy/TROUBLESHOOTING.md says more about each of them",
    // Parts of sentences.
    "a batch to be opened",
    "how … is run",
    "it is in `…`",
    "the SKUs of …",
    "the number of its SKUs",
    "the photo … of …",
    // Good news and totals.
    "the settings of the outside systems are complete",
    "the folder … keeps what is put and tells two writers apart",
    "the matting model … (… MB) sees photos at … x … px",
    "need a human eye",
    "skipped with a reason",
    "… SKUs need a new photo",
];

/// Calls whose text is good news, advice, progress, or not for people.
const NOT_SAID_BY: [&str; 11] = [
    "fine",
    "hint",
    "info!",
    "debug!",
    "note",
    "say",
    "allow",
    "strip_prefix",
    "contains",
    "from_static",
    "Ok",
];
/// Calls whose second text is advice.
const FINDINGS: [&str; 6] =
    ["Finding::new", "Finding::warning", "Finding::error", "Finding::broken", "bad", "finding"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(at: &Path, found: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in std::fs::read_dir(at).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if at.extension().is_some_and(|e| e == "rs") && !at.ends_with("tests.rs") {
        found.push(at.to_owned());
    }
}

/// A source file without its tests.
fn source(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// A call that is open at some place of a source, or a block.
struct Open {
    /// What is called; empty for a block.
    name: String,
    /// What stands before it since the last separator.
    label: String,
    texts: usize,
}

/// A string literal, with `…` for its placeholders, and the calls that it is in.
struct Literal {
    text: String,
    is_said: bool,
}

/// Every string literal of a source.
fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut label = String::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let after = rest.get(next.len_utf8()..).unwrap_or_default();
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, below)| below);
            continue;
        }
        if let Some(quote) = ["'\"'", "'\\''", "'\\\\'"].iter().find(|quote| rest.starts_with(**quote)) {
            rest = rest.get(quote.len()..).unwrap_or_default();
            continue;
        }
        rest = after;
        match next {
            '"' => {
                let end = literal_end(after);
                let text = shown(after.get(..end).unwrap_or_default());
                rest = after.get(end + 1..).unwrap_or_default();
                let calls: Vec<&mut Open> =
                    open.iter_mut().rev().take_while(|call| !call.name.is_empty()).collect();
                let is_said = is_said(&calls, &label);
                for call in calls {
                    call.texts += 1;
                }
                found.push(Literal { text, is_said });
            }
            '(' | '[' => {
                let from = label.rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '!')));
                let name = label.get(from.map_or(0, |at| at + 1)..).unwrap_or_default().to_owned();
                let name = if name.is_empty() { "(".to_owned() } else { name };
                open.push(Open { name, label: std::mem::take(&mut label), texts: 0 });
            }
            '{' => open.push(Open { name: String::new(), label: std::mem::take(&mut label), texts: 0 }),
            ')' | ']' | '}' => {
                open.pop();
                label.clear();
            }
            ',' | ';' => label.clear(),
            other => label.push(other),
        }
    }
    found
}

/// Where a literal ends that begins here.
fn literal_end(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })
        .unwrap()
}

fn is_said(calls: &[&mut Open], label: &str) -> bool {
    let is_advice = |label: &str| ["to_do", "advice", "hint"].iter().any(|word| label.contains(word));
    let quiet = calls.iter().any(|call| {
        let name = call.name.as_str();
        let last = name.rsplit("::").next().unwrap_or(name);
        NOT_SAID_BY.contains(&last) || is_advice(&call.label) || (FINDINGS.contains(&name) && call.texts > 0)
    });
    !quiet && !is_advice(label)
}

/// A literal as it is printed, with `…` for what is put in.
fn shown(literal: &str) -> String {
    let mut text = String::new();
    let mut rest = literal.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('"')) => {}
            ('{', Some('{')) | ('}', Some('}')) => text.extend(rest.next()),
            ('{', _) => {
                while rest.next().is_some_and(|c| c != '}') {}
                text.push('…');
            }
            (other, _) => text.push(other),
        }
    }
    text
}

fn words(text: &str) -> usize {
    let letters = |word: &&str| word.chars().filter(char::is_ascii_alphabetic).count() > 1;
    text.split(|c: char| !c.is_ascii_alphabetic()).filter(letters).count()
}

/// What of a text identifies it: up to where the advice or the cause begins.
fn lead(text: &str) -> &str {
    let text = text.trim_start_matches([':', ';', ' ']);
    let text = text.split("; ").next().unwrap_or(text);
    match text.split_once(": ") {
        Some((before, _)) if words(before) >= 3 => before,
        _ => text.split('\n').next().unwrap_or(text),
    }
}

/// Whether a text says what was being done ("reading …"), which is the head of an error whose
/// rest counts.
fn is_doing(text: &str) -> bool {
    text.split(' ').next().is_some_and(|word| word.ends_with("ing") && word.chars().all(char::is_lowercase))
}

/// Every line of the page's boxes.
fn quoted() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("deploy/TROUBLESHOOTING.md")).unwrap();
    let boxes = page.split("```\n").skip(1).step_by(2);
    boxes.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn whatever_is_said_has_its_place() {
    let quoted: BTreeSet<String> = quoted().into_iter().collect();
    let mut files = Vec::new();
    for place in SOURCES {
        rust_files(&root().join(place), &mut files);
    }
    let (mut count, mut missing) = (0, Vec::new());
    for file in files {
        for literal in literals(&source(&file)) {
            let text = lead(&literal.text);
            let counts = literal.is_said && text.contains(' ') && words(text) >= 3 && !is_doing(text);
            if !counts || NO_ERRORS.contains(&text) {
                continue;
            }
            count += 1;
            if !quoted.contains(text) {
                missing.push(format!("{}: {text}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(count > 150, "only {count} texts were found: the sources are read wrongly");
    assert!(missing.is_empty(), "not in deploy/TROUBLESHOOTING.md:\n{}", missing.join("\n"));
}

#[test]
fn whatever_the_page_quotes_is_said() {
    let mut files = Vec::new();
    for part in ["shared", "worker/src", "scheduler/src"] {
        rust_files(&root().join(part), &mut files);
    }
    let said: Vec<Literal> = files.iter().flat_map(|file| literals(&source(file))).collect();
    let quoted = quoted();
    assert!(quoted.len() > 150, "{}", quoted.len());
    for text in quoted {
        let is_said = said.iter().any(|literal| literal.text.contains(&text));
        assert!(is_said, "deploy/TROUBLESHOOTING.md quotes {text:?}, which nothing says");
    }
}

#[test]
fn sentences_are_told_from_advice() {
    let texts = |source: &str| -> Vec<String> {
        literals(source).into_iter().filter(|found| found.is_said).map(|found| found.text).collect()
    };
    let source = r#"
        // "a comment"
        let what_to_do = format!("advice {x}");
        let quote = '"';
        Finding::new(Severity::Broken, format!("queue {name}: it {{is}} \"bad\""), "more advice");
        error(Failure::usage(anyhow!("no batch \
            {batch}")).hint("still advice"));
    "#;
    assert_eq!(texts(source), ["queue …: it {is} \"bad\"", "no batch …"]);
    assert_eq!(lead("no room is left; free some"), "no room is left");
    assert_eq!(lead("…: no answer within … ms"), "…: no answer within … ms");
}
