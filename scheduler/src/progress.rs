//! What a person sees while a catalog is taken in and made: bars with an estimate on a
//! terminal, plain lines now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use packshot_pipeline::tally::Tally;

use crate::status::steps;
use crate::terminal;

/// Plain lines come at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far the work is.
pub struct Progress {
    bar: Option<ProgressBar>,
    doing: &'static str,
    last_line: Instant,
    /// Steps that had ended when making began.
    before: Option<u64>,
}

impl Progress {
    /// Begins, saying what the catalog is and what is done with its SKUs first.
    pub(crate) fn start(catalog: &str, doing: &'static str) -> Self {
        terminal::note(format!("catalog: {catalog}"));
        let bar = terminal::is_interactive().then(|| {
            let bar =
                ProgressBar::new_spinner().with_style(style(&format!("{{spinner}} {doing}  {{pos}} SKUs")));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, doing, last_line: Instant::now(), before: None }
    }

    /// One line that must be seen, above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| terminal::note(line)),
            None => terminal::note(line),
        }
    }

    /// `skus` SKUs were taken in.
    pub(crate) fn taken(&mut self, skus: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(skus),
            None => {
                let doing = self.doing;
                self.line(|| format!("{doing}: {skus} SKUs"));
            }
        }
    }

    /// Where the batch stands. What stood already when making began is no step.
    pub(crate) fn made(&mut self, tally: &Tally) {
        let (done, total) = steps(tally);
        let before = *self.before.get_or_insert_with(|| {
            if let Some(bar) = &self.bar {
                bar.reset();
                bar.set_style(style(
                    "{bar:40} {pos}/{len} steps  {msg}  {elapsed} elapsed, about {eta} left",
                ));
            }
            done
        });
        let (done, total) = (done.saturating_sub(before), total.saturating_sub(before));
        let accepted = tally.jobs(None, "accepted");
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{accepted} images accepted"));
            }
            None if done < total => {
                self.line(|| format!("{done} of {total} steps, {accepted} images accepted"));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, line: impl FnOnce() -> String) {
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            terminal::note(line());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are written in this crate; a bad one would only look plain.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
