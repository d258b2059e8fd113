//! What is logged: no record's value may stand in it.

use std::cell::Cell;
use std::fmt::Write;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::log::SECRET;

thread_local! {
    static TOLD: Cell<bool> = const { Cell::new(false) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Reads what this thread logs from now on.
pub(crate) fn watch() {
    TOLD.set(false);
    if !WATCHED.replace(true) {
        // For as long as the thread lives.
        std::mem::forget(tracing::subscriber::set_default(Reader));
    }
}

/// Whether a value was told since.
pub(crate) fn a_value_was_told() -> bool {
    TOLD.get()
}

struct Reader;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{value:?} ");
    }
}

impl Subscriber for Reader {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        if text.0.contains(SECRET) {
            TOLD.set(true);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
