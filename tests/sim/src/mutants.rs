//! Steps of the protocol that are broken on purpose: the simulator must notice each of them.

use foretell_flow::testing::BrokenStep;

use crate::scenario::Theme;

macro_rules! mutants {
    ($($name:ident: $what:literal,)*) => {
        /// A broken step.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $(#[doc = $what] $name,)*
        }

        /// All of them, and what each breaks.
        pub(crate) const MUTANTS: &[(Mutant, &str)] = &[$((Mutant::$name, $what),)*];
    };
}

mutants! {
    ColumnsByPlace: "a leftover plan's columns reach a sink by their place, not by their name",
    AddedSinksGetTheRawResult: "a sink that a leftover plan's edition did not have gets the result, not its view of it",
    LeftoverPlansAreAllOrNothing: "where one leftover plan does not fit, none is replayed",
    PlansStayWithoutFollowers: "a sink that is alone keeps plans for nobody",
    PlansOfTheLeaderOnly: "leftover plans are read from the leader only",
    PlansAcrossPositions: "a new plan reaches past the position of a sink",
    LaterPartitionsBeginAtTheEnd: "with `start: latest`, partitions that come later begin at their end",
    ResetIsSilent: "a sink without positions begins anew, whatever traces there are",
    ClaimsWithoutAsking: "after a fence or an outage the same partitions are claimed again, whoever has them by now",
    NothingIsCompared: "a database and a topic store rows at any position",
    RowsAreStoredBeforePositions: "a database stores rows first and the position in an act of its own",
    PositionsAreStoredWithoutRows: "a position is stored, and its rows are not",
    ClaimsFenceNobody: "a claim of a topic leaves earlier producers as they are",
    PositionsAreReadBeforeTheFence: "positions are read before earlier owners are fenced",
    RecordsAreOverwritten: "a numbered record is put over another one",
    SingleWritersAreMany: "a sink of a single writer takes any number of them",
    SurplusStays: "what a crash left behind a file's recorded length is not cut off",
    SlicesOutliveAClaim: "slices that were set aside are not void after a claim",
    ClaimsOverwritePositions: "a claim replaces the position that is stored",
    PlansAreNotKept: "no sink keeps plans for the others",
    PlansAreTrimmedTooEarly: "plans go as soon as the sink that keeps them has their rows",
    ReplaysHaveANewTime: "a leftover plan is replayed with the time of today",
    LeftoverPlansRunTodaysQuery: "a leftover plan is replayed with the query of today",
    LeftoverPlansRunTodaysModel: "a leftover plan is replayed with the model of today",
    BatchesAreReplayedInPart: "a batch whose query takes it as a whole is computed over a part of it",
    SeekIsForgotten: "after a claim the source is read on from where it was",
    ReasonsTellValues: "the reason why a record is bad holds its value",
    UnknownIsTakenForStored: "a write whose outcome is unknown counts as stored",
    ReachedIsTakenForStored: "after an unknown outcome, what another stored over the same records counts as the own write",
    PlansAreChosenByTheirTime: "of leftover plans that contradict each other the one of the later batch time counts",
    PlansGoWithTheirOverlap: "of leftover plans that contradict each other in part, the one that was kept earlier goes whole",
    FailedSinksStopNobody: "a sink's task ends with an error and the epoch goes on",
}

impl Mutant {
    /// What the runs are about that look for it, where those of every kind meet it too rarely.
    pub(crate) fn theme(self) -> Option<Theme> {
        match self {
            Mutant::PlansAreChosenByTheirTime | Mutant::PlansGoWithTheirOverlap => Some(Theme::Turns),
            Mutant::ReachedIsTakenForStored => Some(Theme::Zombies),
            _ => None,
        }
    }

    /// The step of the run loop that it breaks; the others are broken in the services.
    pub(crate) fn step(self) -> Option<BrokenStep> {
        match self {
            Mutant::ColumnsByPlace => Some(BrokenStep::ColumnsByPlace),
            Mutant::LeftoverPlansAreAllOrNothing => Some(BrokenStep::LeftoverPlansAreAllOrNothing),
            Mutant::PlansOfTheLeaderOnly => Some(BrokenStep::PlansOfTheLeaderOnly),
            Mutant::PlansStayWithoutFollowers => Some(BrokenStep::PlansStayWithoutFollowers),
            Mutant::PlansAcrossPositions => Some(BrokenStep::PlansAcrossPositions),
            Mutant::ClaimsWithoutAsking => Some(BrokenStep::ClaimsWithoutAsking),
            Mutant::PlansAreTrimmedTooEarly => Some(BrokenStep::PlansAreTrimmedTooEarly),
            Mutant::ReplaysHaveANewTime => Some(BrokenStep::ReplaysHaveANewTime),
            Mutant::BatchesAreReplayedInPart => Some(BrokenStep::BatchesAreReplayedInPart),
            Mutant::UnknownIsTakenForStored => Some(BrokenStep::UnknownIsTakenForStored),
            Mutant::ReachedIsTakenForStored => Some(BrokenStep::ReachedIsTakenForStored),
            Mutant::PlansAreChosenByTheirTime => Some(BrokenStep::PlansAreChosenByTheirTime),
            Mutant::PlansGoWithTheirOverlap => Some(BrokenStep::PlansGoWithTheirOverlap),
            Mutant::FailedSinksStopNobody => Some(BrokenStep::FailedSinksStopNobody),
            _ => None,
        }
    }
}
