//! Points at which a test has the whole process die, as `kill -9` would: nothing is closed, flushed or told.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// All points, each at the step that its name tells.
pub const CRASH_POINTS: &[&str] = &[
    "claiming",
    "claimed",
    "planned",
    "writing",
    "written",
    "telling-the-group",
    "told-the-group",
    "sql-before-commit",
    "sql-after-commit",
    "kafka-before-commit",
    "kafka-after-commit",
    "file-staged",
    "file-recorded",
    "file-in-view",
    "append-recorded",
    "append-written",
];

/// The variable that names the point, and at which time of passing it: `written:3`.
pub const CRASH_VARIABLE: &str = "FORETELL_CRASH_AT";

static CHOSEN: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
    let chosen = std::env::var(CRASH_VARIABLE).ok()?;
    let (name, times) = chosen.split_once(':')?;
    Some((name.to_owned(), AtomicI64::new(times.parse().ok()?)))
});

/// Passes the point, or ends the process there, if a test chose it. In a release build it is nothing.
pub fn crash_point(name: &'static str) {
    if !cfg!(debug_assertions) {
        return;
    }
    debug_assert!(CRASH_POINTS.contains(&name), "a point is in the list");
    if let Some((chosen, times)) = &*CHOSEN
        && chosen == name
        && times.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
