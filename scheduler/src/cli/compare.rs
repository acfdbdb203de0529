//! `packshot compare`: how far a candidate drifts from its reference.

use anyhow::{Context, anyhow};
use packshot_pipeline::finding::{Axis, Verdict};
use packshot_pipeline::role::Role;
use packshot_worker::review::compare::{CompareReport, compare as compare_bytes, run_pairs};

use super::{CompareArgs, images};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Answers the command.
pub fn compare(arguments: &CompareArgs) -> Result<Exit, Failure> {
    if let Some(pairs) = &arguments.pairs {
        let mut out = std::io::stdout().lock();
        let summary =
            run_pairs(pairs, &mut out).with_context(|| pairs.display().to_string()).map_err(|error| {
                Failure::usage(error).hint("the table needs the columns reference,candidate[,role]")
            })?;
        drop(out);
        terminal::note(format!("{} pairs compared, {} could not be read", summary.pairs, summary.errors));
        return Ok(if summary.errors == 0 { Exit::Complete } else { Exit::Attention });
    }
    let (Some(reference), Some(candidate)) = (&arguments.reference, &arguments.candidate) else {
        return Err(Failure::usage(anyhow!("name a --reference and a --candidate, or a table of --pairs")));
    };
    let role = arguments.role.as_deref().map(parse_role).transpose()?;
    let (reference_bytes, candidate_bytes) = (images::read_bytes(reference)?, images::read_bytes(candidate)?);
    let report = compare_bytes(&reference_bytes, &candidate_bytes, role, arguments.heatmap.is_some())
        .with_context(|| format!("{} against {}", candidate.display(), reference.display()))
        .map_err(Failure::usage)?;
    if let (Some(path), Some(heatmap)) = (&arguments.heatmap, &report.heatmap) {
        images::write(path, heatmap, None)?;
    }
    terminal::data(if arguments.json {
        serde_json::to_string_pretty(&report).map_err(Failure::environment)?
    } else {
        text(&report)
    });
    Ok(if report.verdict == Verdict::Accept { Exit::Complete } else { Exit::Attention })
}

fn parse_role(word: &str) -> Result<Role, Failure> {
    Role::parse(word).ok_or_else(|| {
        let words: Vec<&str> = Role::ALL.iter().map(|role| role.word()).collect();
        Failure::usage(anyhow!("there is no role {word:?}")).hint(format!("use one of {}", words.join(", ")))
    })
}

fn text(report: &CompareReport) -> String {
    let why = match &report.verdict {
        Verdict::Accept => String::new(),
        Verdict::Edit { op, why, .. } => format!(" ({}): {why}", op.word()),
        Verdict::Regenerate { why } | Verdict::Human { why } => format!(": {why}"),
    };
    let mut lines = vec![format!("{}{why}", report.verdict.word())];
    if !report.comparable {
        lines.push("the candidate could not be registered to the reference: not comparable".to_owned());
    }
    lines.push(format!("{:<10} {:>8}  {:>9}  result", "axis", "score", "threshold"));
    for axis in Axis::ALL {
        let Some(measured) = report.axes.get(axis.word()) else { continue };
        let score = measured.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"));
        let result = match (measured.score, measured.pass) {
            (None, _) => "not comparable",
            (Some(_), true) => "pass",
            (Some(_), false) => "DRIFT",
        };
        lines.push(format!("{:<10} {score:>8}  {:>9.3}  {result}", axis.word(), measured.threshold));
    }
    for finding in &report.findings {
        let place = finding
            .region
            .map(|region| format!(" at {},{} {}x{} px", region.x, region.y, region.w, region.h))
            .unwrap_or_default();
        lines.push(format!("- {}: {}{place}", finding.axis.word(), finding.evidence));
    }
    lines.join("\n")
}
