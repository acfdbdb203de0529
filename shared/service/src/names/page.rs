//! The names as a page for people: the tables of `deploy/TELEMETRY.md`.

use super::{ATTRIBUTES, METRICS, SPANS};

fn words(names: &[&str]) -> String {
    if names.is_empty() {
        return "–".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Spans, metrics and attributes as Markdown tables.
pub fn page() -> String {
    let mut page = String::new();
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    line("## Spans\n".to_owned());
    line("| span | kind | what it stands for | attributes of its own |\n|---|---|---|---|".to_owned());
    for span in SPANS {
        line(format!("| `{}` | {} | {} | {} |", span.name, span.kind, span.meaning, words(span.attributes)));
    }
    line("\n## Metrics\n".to_owned());
    line("| metric | kind | unit | labels | what it says |\n|---|---|---|---|---|".to_owned());
    for metric in METRICS {
        line(format!(
            "| `{}` | {} | {} | {} | {} |",
            metric.name,
            metric.instrument.word(),
            metric.unit,
            words(metric.labels),
            metric.meaning
        ));
    }
    line("\n## Attributes and labels\n".to_owned());
    line("| name | what it holds |\n|---|---|".to_owned());
    for (name, meaning) in ATTRIBUTES {
        line(format!("| `{name}` | {meaning} |"));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::{BATCH, MESSAGING_CONVERSATION, MESSAGING_ID, SKU, STEPS};

    #[test]
    fn names_are_unique_known_and_bounded() {
        let attributes: BTreeSet<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
        assert_eq!(attributes.len(), ATTRIBUTES.len());
        assert_eq!(METRICS.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), METRICS.len());
        assert_eq!(SPANS.iter().map(|span| span.name).collect::<BTreeSet<_>>().len(), SPANS.len());
        for metric in METRICS {
            for label in metric.labels {
                assert!(attributes.contains(label), "{} has the unknown label {label}", metric.name);
                let endless = [SKU, BATCH, MESSAGING_ID, MESSAGING_CONVERSATION].contains(label);
                assert!(!endless, "{} is labelled by {label}, which has no end", metric.name);
            }
        }
        for span in SPANS {
            assert!(span.attributes.iter().all(|name| attributes.contains(name)), "{}", span.name);
        }
        assert!(STEPS.iter().all(|step| SPANS.iter().any(|span| span.name == *step)));
    }
}
