//! The table: each figure as the median of its rounds, beside its goal.

/// Whether more or less is better.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was promised; it is good to know.
    None,
}

/// One line.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) goal: Goal,
    /// One value for each round.
    pub(crate) values: Vec<f64>,
    pub(crate) unit: &'static str,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, goal: Goal, unit: &'static str) -> Self {
        Self { what: what.into(), goal, values: Vec::new(), unit }
    }

    fn row(&self) -> String {
        let median = median(&self.values);
        let (goal, verdict) = match self.goal {
            Goal::AtLeast(least) => (format!(">= {}", number(least)), met(median >= least)),
            Goal::AtMost(most) => (format!("<= {}", number(most)), met(median <= most)),
            Goal::None => (String::new(), ""),
        };
        let (least, most) =
            self.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
        let range = if self.values.len() > 1 {
            format!("{} to {}", number(least), number(most))
        } else {
            String::new()
        };
        format!("| {} | {goal} | {} {} | {range} | {verdict} |", self.what, number(median), self.unit)
    }
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "missed" }
}

/// The middle value; the upper one of two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which a share of the values lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All lines as a Markdown table.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = "| figure | goal | median | range | |\n|---|---|---|---|---|\n".to_owned();
    for line in lines {
        text += &line.row();
        text.push('\n');
    }
    text
}
