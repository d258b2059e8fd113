//! The pipeline's name in every line.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, RwLock};

use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The pipeline of the process, where it has one.
static PROCESS: RwLock<Option<Arc<str>>> = RwLock::new(None);

thread_local! {
    /// The pipeline that this thread is of, where there are several.
    static THREAD: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The process runs this pipeline.
pub(crate) fn name(pipeline: &str) {
    *PROCESS.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(pipeline.into());
}

/// This thread runs this pipeline.
pub(crate) fn name_thread(pipeline: &str) {
    THREAD.with_borrow_mut(|name| *name = Some(pipeline.into()));
}

fn current() -> Option<Arc<str>> {
    let own = THREAD.try_with(|name| name.try_borrow().ok()?.clone()).ok().flatten();
    own.or_else(|| PROCESS.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
}

/// The fields of a line of text, and the pipeline at the end.
#[derive(Debug, Default)]
pub(super) struct NamedFields(DefaultFields);

impl<'w> FormatFields<'w> for NamedFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        match current() {
            Some(name) => write!(writer, " pipeline={name}"),
            None => Ok(()),
        }
    }
}

/// An event as a JSON object, and the pipeline as its last member, unless it names one itself.
#[derive(Debug)]
pub(super) struct NamedJson<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for NamedJson<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let names_one = event.metadata().fields().field("pipeline").is_some();
        let Some(name) = current().filter(|_| !names_one) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => writeln!(writer, "{open},\"pipeline\":{}}}", Value::from(&*name)),
            None => writer.write_str(&line),
        }
    }
}
