//! How long each step of a job takes, measured by its span, so that a step is named in
//! one place and timed in none. Every span counts, whether its trace is kept or not.

use std::time::Instant;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Meters, OURS};
use crate::names;

/// The layer that times steps.
pub(super) fn layer<S>(meters: Meters) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = filter_fn(|about| {
        about.is_span()
            && about.target().starts_with(OURS)
            && (step(about.name()).is_some() || about.fields().field(names::ROLE).is_some())
    });
    Steps(meters).with_filter(filter.with_max_level_hint(LevelFilter::DEBUG)).boxed()
}

struct Steps(Meters);

struct Began(Instant);
struct For(&'static str);

fn step(name: &str) -> Option<&'static str> {
    names::STEPS.iter().copied().find(|step| *step == name)
}

/// The role in a span's fields, as one of the words that roles have.
struct RoleOf(Option<&'static str>);

impl Visit for RoleOf {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == names::ROLE {
            let said = format!("{value:?}");
            let said = said.trim_matches('"');
            self.0 = names::ROLES.iter().copied().find(|role| *role == said);
        }
    }
}

impl<S> Layer<S> for Steps
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut role = RoleOf(None);
        attributes.record(&mut role);
        if let Some(role) = role.0 {
            span.extensions_mut().insert(For(role));
        }
        if step(attributes.metadata().name()).is_some() {
            span.extensions_mut().insert(Began(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(step) = step(span.name()) else { return };
        let Some(took) = span.extensions().get::<Began>().map(|began| began.0.elapsed()) else { return };
        let role = span.scope().find_map(|span| span.extensions().get::<For>().map(|of| of.0));
        let labels = [(names::STEP, step), (names::ROLE, role.unwrap_or("none"))];
        self.0.record(&names::STEP_DURATION, took.as_secs_f64(), &labels);
    }
}
