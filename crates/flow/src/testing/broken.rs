//! Steps of the protocol that a test breaks on purpose, to see that it would notice.

use std::cell::Cell;

/// A step of the run loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenStep {
    /// A sink gets a result's columns by their place, not by their name.
    ColumnsByPlace,
    /// Where one leftover plan does not begin where a sink is, none is replayed.
    LeftoverPlansAreAllOrNothing,
    /// Leftover plans are read from the leader only.
    PlansOfTheLeaderOnly,
    /// A sink that is alone keeps plans for nobody: they stay.
    PlansStayWithoutFollowers,
    /// A new plan reaches past the position of a sink.
    PlansAcrossPositions,
    /// After a fence or an outage the same partitions are claimed again, whoever has them by now.
    ClaimsWithoutAsking,
    /// A sink deletes plans as soon as it has their rows itself.
    PlansAreTrimmedTooEarly,
    /// A leftover plan is replayed with the time of today.
    ReplaysHaveANewTime,
    /// A batch whose query takes it as a whole is computed over a part of it.
    BatchesAreReplayedInPart,
    /// A write whose outcome is unknown counts as stored.
    UnknownIsTakenForStored,
    /// After a write whose outcome is unknown, a position where the write was to reach counts as the write, whoever stored
    /// it.
    ReachedIsTakenForStored,
    /// Of leftover plans that contradict each other the one of the later batch time counts, not the one that was kept last.
    PlansAreChosenByTheirTime,
    /// Of leftover plans that contradict each other in part, the one that was kept earlier goes whole.
    PlansGoWithTheirOverlap,
    /// A sink's task ends with an error, and the epoch goes on.
    FailedSinksStopNobody,
}

thread_local! {
    static BROKEN: Cell<Option<BrokenStep>> = const { Cell::new(None) };
}

/// Breaks a step for workers that run on this thread, in builds with debug assertions; `None` mends it.
pub fn break_step(step: Option<BrokenStep>) {
    BROKEN.set(step);
}

/// Whether a step is broken: never in a release build.
pub(crate) fn is_broken(step: BrokenStep) -> bool {
    cfg!(debug_assertions) && BROKEN.get() == Some(step)
}
