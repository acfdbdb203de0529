//! From measurements to a verdict: scores in units of the calibration, findings, and what
//! should happen. A pure function.

use packshot_pipeline::finding::{Axis, AxisScore, Finding, Review, Severity, Verdict};
use packshot_pipeline::role::Role;

use super::Extent;
use super::channel::{Channel, Metric};
use super::thresholds::Thresholds;

/// From how many times its limit an axis of the product itself is beyond repair.
const FAR_BEYOND: f64 = 1.5;
/// Below this confidence a failing product axis is for a person to judge.
const CONFIDENCE_MIN: f64 = 0.25;

/// Decides. `channels` holds at most one channel per axis, measured over this `extent` of the
/// product.
pub fn decide(channels: &[Channel], extent: &Extent, role: Option<Role>, thresholds: &Thresholds) -> Review {
    let mut axes = Vec::with_capacity(Axis::ALL.len());
    let mut findings: Vec<(f64, Finding)> = Vec::new();
    for axis in Axis::ALL {
        let channel = channels.iter().find(|c| c.axis == axis);
        axes.push(score(axis, channel, thresholds));
        if let Some(channel) = channel {
            findings.extend(findings_of(channel, thresholds));
        }
    }
    findings.sort_by(|a, b| b.1.severity.cmp(&a.1.severity).then(b.0.total_cmp(&a.0)));
    said_once(&mut findings);
    let verdict = verdict(channels, &axes, extent, role, thresholds);
    let limited = match extent {
        Extent::Whole => None,
        Extent::Part { which, region } => Some((which.clone(), Some(*region))),
        Extent::Nothing(why) => Some((format!("not comparable: {why}"), None)),
    };
    if let Some((evidence, region)) = limited {
        let finding = Finding {
            axis: Axis::Shape,
            severity: Severity::Warning,
            region,
            evidence,
            value: 0.0,
            threshold: 0.0,
        };
        findings.insert(0, (0.0, finding));
    }
    Review {
        axes,
        findings: findings.into_iter().map(|(_, f)| f).collect(),
        verdict,
        comparable: !matches!(extent, Extent::Nothing(_)),
    }
}

/// Keeps of findings of one axis that say the same of one place, or part of it, the heaviest.
fn said_once(findings: &mut Vec<(f64, Finding)>) {
    let mut at = 0;
    while at < findings.len() {
        let (before, rest) = findings.split_at(at);
        let said = &rest[0].1;
        let known = |f: &Finding| {
            (f.axis, f.region) == (said.axis, said.region) && f.evidence.contains(&said.evidence)
        };
        if before.iter().any(|(_, before)| known(before)) {
            findings.remove(at);
        } else {
            at += 1;
        }
    }
}

fn relative(metric: &Metric, thresholds: &Thresholds) -> f64 {
    let value = if metric.value.is_finite() { metric.value.max(0.0) } else { 0.0 };
    value / thresholds.scale(metric.name)
}

fn score(axis: Axis, channel: Option<&Channel>, thresholds: &Thresholds) -> AxisScore {
    let limit = thresholds.limit(axis);
    let (score, confidence) = match channel {
        Some(c) if !c.metrics.is_empty() || !c.violations.is_empty() => {
            let measured = c.metrics.iter().map(|m| relative(m, thresholds)).fold(0.0, f64::max);
            // a broken rule is beyond every limit
            let broken = if c.violations.is_empty() { 0.0 } else { 10.0 * limit };
            (Some(measured + broken), c.confidence)
        }
        Some(_) | None => (None, 0.0),
    };
    AxisScore { axis, score, threshold: limit, confidence, pass: score.is_none_or(|s| s < limit) }
}

fn findings_of(channel: &Channel, thresholds: &Thresholds) -> Vec<(f64, Finding)> {
    let limit = thresholds.limit(channel.axis);
    let mut found: Vec<(f64, Finding)> = channel
        .violations
        .iter()
        .map(|v| {
            let finding = Finding {
                axis: channel.axis,
                severity: Severity::Drift,
                region: v.region,
                evidence: v.evidence.clone(),
                value: 1.0,
                threshold: 0.0,
            };
            (10.0, finding)
        })
        .collect();
    for metric in &channel.metrics {
        let over = relative(metric, thresholds) / limit;
        let severity = if over >= 1.0 {
            Severity::Drift
        } else if over >= 0.8 {
            Severity::Warning
        } else {
            continue;
        };
        let finding = Finding {
            axis: channel.axis,
            severity,
            region: metric.region,
            evidence: metric.evidence.clone(),
            value: metric.value,
            threshold: limit * thresholds.scale(metric.name),
        };
        found.push((over, finding));
    }
    found
}

fn verdict(
    channels: &[Channel],
    axes: &[AxisScore],
    extent: &Extent,
    role: Option<Role>,
    thresholds: &Thresholds,
) -> Verdict {
    let failing = |axis: Axis| axes.iter().find(|a| a.axis == axis && !a.pass);
    match extent {
        Extent::Whole => {}
        Extent::Part { which, .. } => {
            let failed =
                Axis::ALL.into_iter().find_map(failing).map(|a| explain(channels, a.axis, thresholds));
            let there = failed.map(|found| format!("; {found}")).unwrap_or_default();
            return Verdict::Human { why: format!("{which}{there}; the rest is for you to judge") };
        }
        Extent::Nothing(why) => {
            return Verdict::Human { why: format!("cannot be measured against the reference: {why}") };
        }
    }
    let product = [Axis::Shape, Axis::Feature, Axis::Colour, Axis::Material, Axis::Scale];
    if let Some(axis) = product.into_iter().filter_map(failing).max_by(|a, b| over(a).total_cmp(&over(b))) {
        let why = explain(channels, axis.axis, thresholds);
        let sure = over(axis) >= FAR_BEYOND && axis.confidence >= CONFIDENCE_MIN;
        return if sure { Verdict::Regenerate { why } } else { Verdict::Human { why } };
    }
    if let Some(axis) = [Axis::Claim, Axis::Quality].into_iter().find_map(failing) {
        return cure(channels, axis.axis, thresholds)
            .unwrap_or_else(|| Verdict::Regenerate { why: explain(channels, axis.axis, thresholds) });
    }
    if role == Some(Role::OnModel) {
        return Verdict::Human { why: "images on a model are always looked at by a person".to_owned() };
    }
    Verdict::Accept
}

fn over(axis: &AxisScore) -> f64 {
    axis.score.unwrap_or(0.0) / axis.threshold.max(1e-9)
}

/// The failing metrics of an axis, worst first.
fn failing_metrics<'a>(channels: &'a [Channel], axis: Axis, thresholds: &Thresholds) -> Vec<&'a Metric> {
    let limit = thresholds.limit(axis);
    let mut found: Vec<&Metric> = channels
        .iter()
        .filter(|c| c.axis == axis)
        .flat_map(|c| &c.metrics)
        .filter(|m| relative(m, thresholds) >= limit)
        .collect();
    found.sort_by(|a, b| relative(b, thresholds).total_cmp(&relative(a, thresholds)));
    found
}

fn explain(channels: &[Channel], axis: Axis, thresholds: &Thresholds) -> String {
    let broken = channels.iter().filter(|c| c.axis == axis).flat_map(|c| &c.violations).map(|v| &v.evidence);
    broken
        .chain(failing_metrics(channels, axis, thresholds).into_iter().map(|m| &m.evidence))
        .next()
        .map_or_else(|| format!("{} drifted", axis.word()), |evidence| format!("{}: {evidence}", axis.word()))
}

/// The operation that cures the worst finding of an axis; `None` when one has no cure.
fn cure(channels: &[Channel], axis: Axis, thresholds: &Thresholds) -> Option<Verdict> {
    let violations = channels.iter().filter(|c| c.axis == axis).flat_map(|c| &c.violations);
    let worst = failing_metrics(channels, axis, thresholds);
    let mut all: Vec<_> =
        violations.map(|v| (v.cure, v.region)).chain(worst.into_iter().map(|m| (m.cure, m.region))).collect();
    if all.iter().any(|(cure, _)| cure.is_none()) {
        return None;
    }
    let (cure, region) = if all.is_empty() { return None } else { all.swap_remove(0) };
    cure.map(|(op, why)| Verdict::Edit { op, region, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use packshot_pipeline::finding::{EditOp, Region};

    fn channel(axis: Axis, value: f64, cure: Option<(EditOp, &'static str)>) -> Channel {
        let metric = Metric { name: "m", value, region: None, evidence: "something".to_owned(), cure };
        Channel { axis, metrics: vec![metric], violations: Vec::new(), confidence: 1.0 }
    }

    fn check(channels: &[Channel], extent: &Extent, word: &str) -> Review {
        let review = decide(channels, extent, Some(Role::Main), &Thresholds::nothing());
        assert_eq!(review.verdict.word(), word, "{:?}", review.verdict);
        assert_eq!(review.axes.iter().map(|a| a.axis).collect::<Vec<_>>(), Axis::ALL);
        review
    }

    fn nothing() -> Extent {
        Extent::Nothing("nothing matches".to_owned())
    }

    #[test]
    fn every_situation_has_its_verdict() {
        check(&[channel(Axis::Shape, 0.5, None)], &Extent::Whole, "accept");
        check(&[channel(Axis::Shape, 1.2, None)], &Extent::Whole, "human");
        check(&[channel(Axis::Shape, 3.0, None)], &Extent::Whole, "regenerate");
        check(&[channel(Axis::Claim, 2.0, Some((EditOp::Erase, "stray object")))], &Extent::Whole, "edit");
        check(&[channel(Axis::Claim, 2.0, None)], &Extent::Whole, "regenerate");
        check(&[], &nothing(), "human");
        check(&[channel(Axis::Shape, f64::NAN, None)], &Extent::Whole, "accept");
        let part =
            Extent::Part { which: "only the label".to_owned(), region: Region { x: 0, y: 0, w: 9, h: 9 } };
        assert!(check(&[channel(Axis::Colour, 0.1, None)], &part, "human").comparable);
        check(&[channel(Axis::Colour, 9.0, None)], &part, "human");
    }

    #[test]
    fn one_sentence_is_said_once() {
        let metric = |value, evidence: &str, region| Metric {
            name: "m",
            value,
            region,
            evidence: evidence.to_owned(),
            cure: None,
        };
        let elsewhere = Some(Region { x: 5, y: 5, w: 9, h: 9 });
        let metrics = vec![
            metric(2.0, "a mark", None),
            metric(4.0, "a mark added", None),
            metric(3.0, "a mark added", None),
            metric(2.5, "a mark added", elsewhere),
        ];
        let other = channel(Axis::Claim, 1.5, None);
        let feature = Channel { axis: Axis::Feature, metrics, violations: Vec::new(), confidence: 1.0 };
        let review = check(&[feature, other], &Extent::Whole, "regenerate");
        let said: Vec<&str> = review.findings.iter().map(|f| f.evidence.as_str()).collect();
        assert_eq!(said, ["a mark added", "a mark added", "something"]);
        assert_eq!(review.findings[1].region, elsewhere);
        assert!((review.findings[0].value - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_measured_is_neither_drift_nor_pass() {
        let review = check(&[], &nothing(), "human");
        assert!(!review.comparable);
        assert!(review.axes.iter().all(|a| a.score.is_none()));
    }
}
