//! `packshot watch`: a batch as it goes on, until nothing more happens in it without a
//! person. Bars on a terminal, plain lines now and then elsewhere, one JSON object a line
//! for scripts. Watching changes nothing, so it may be stopped and begun again.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use packshot_pipeline::ids::BatchId;
use packshot_runtime::ports::Ports;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::estimate::{Estimate, Left, duration};
use crate::exit::Failure;
use crate::status::BatchView;
use crate::terminal;

/// The wait between two looks, in milliseconds, where nothing says that something changed.
const LOOK_MS: u64 = 1_000;
/// The shortest, so that a busy batch is not watched more than worked at.
const REST_MS: u64 = 250;
/// Plain lines come at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How watching shows what it sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Show {
    /// For people.
    People,
    /// One JSON object a line to standard output.
    Json,
}

/// What one look saw, for scripts.
#[derive(Serialize)]
struct Look<'a> {
    #[serde(flatten)]
    view: &'a BatchView,
    left: Option<Left>,
}

/// Watches `batch`; returns how it stands in the end, and whether it has come to rest.
pub async fn watch(
    ports: &Ports,
    batch: &BatchId,
    show: Show,
    stop: &CancellationToken,
) -> Result<(BatchView, bool), Failure> {
    let mut screen = Screen::new(show);
    let mut estimate = Estimate::default();
    let mut seen = 0;
    loop {
        let view = BatchView::load(ports, batch).await?;
        estimate.see(ports.clock.now_ms(), view.steps_done);
        let left = estimate.left(view.steps.saturating_sub(view.steps_done));
        screen.show(&view, left)?;
        if view.is_at_rest() || stop.is_cancelled() {
            screen.end();
            let at_rest = view.is_at_rest();
            return Ok((view, at_rest));
        }
        ports.clock.sleep(REST_MS).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            now = ports.coordinator.changed(seen) => seen = now,
            () = ports.clock.sleep(LOOK_MS) => {}
        }
    }
}

/// What people read about speed: "45 steps a minute, about 8 min left (6 min to 11 min)".
fn speed(left: Option<Left>) -> String {
    let Some(left) = left else { return "measuring the speed".to_owned() };
    format!(
        "{:.0} steps a minute, about {} left ({} to {})",
        left.per_minute,
        duration(left.about_s),
        duration(left.from_s),
        duration(left.to_s)
    )
}

enum Screen {
    Json { last: String },
    Lines { last: Option<std::time::Instant> },
    Bars { all: MultiProgress, bar: ProgressBar, table: Vec<ProgressBar> },
}

impl Screen {
    fn new(show: Show) -> Self {
        match show {
            Show::Json => Screen::Json { last: String::new() },
            Show::People if terminal::is_interactive() => {
                let all = MultiProgress::new();
                let bar = all.add(ProgressBar::new(0).with_style(style("{bar:40} {pos}/{len} steps  {msg}")));
                Screen::Bars { all, bar, table: Vec::new() }
            }
            Show::People => Screen::Lines { last: None },
        }
    }

    fn show(&mut self, view: &BatchView, left: Option<Left>) -> Result<(), Failure> {
        match self {
            Screen::Json { last } => {
                // The speed alone is no news.
                let news = serde_json::to_string(view).map_err(Failure::environment)?;
                if news != *last {
                    *last = news;
                    let look = Look { view, left };
                    terminal::data(serde_json::to_string(&look).map_err(Failure::environment)?);
                }
            }
            Screen::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) && !view.is_at_rest() {
                    *last = Some(std::time::Instant::now());
                    terminal::note(format!("{}; {}", view.line(), speed(left)));
                }
            }
            Screen::Bars { all, bar, table } => {
                bar.set_length(view.steps);
                bar.set_position(view.steps_done);
                bar.set_message(format!("{}  {}", view.phase.word(), speed(left)));
                let text = view.table();
                for (at, line) in text.lines().enumerate() {
                    if at >= table.len() {
                        table.push(all.add(ProgressBar::new_spinner().with_style(style("{msg}"))));
                    }
                    table[at].set_message(line.to_owned());
                }
            }
        }
        Ok(())
    }

    fn end(&self) {
        if let Screen::Bars { all, .. } = self {
            // What stands on the screen is said again as plain text, so it stays.
            let _closed = all.clear().is_err();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a bad one would only look plain.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
