//! The suite for sinks: claims, fences, resets, plans kept and trimmed, ranges that do not fit, slices, connections that
//! are cut at a commit, deaths.

mod deaths;
mod plans;

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;

use self::plans::{keeping, kept_parts};
use crate::{
    Checkpoint, Claim, Fault, Partition, Plan, Provenance, Range, Recipe, Sharing, Sink, SinkTraits, Topics, Trace,
    Write, Written,
};

/// The pipeline that [`Subject::open`] opens a sink of, unless [`Subject::names`] says another.
pub const PIPELINE: &str = "suite";

/// The name of that sink.
pub const SINK: &str = "sink";

/// Where a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The service never hears of the commit.
    BeforeCommit,
    /// The service commits, and the sink never hears of it.
    AfterCommit,
}

/// Cuts the next commit of a sink, once; then its service can be reached again.
pub type Scissors = Box<dyn Fn(Cut) + Send + Sync>;

/// A kind of sink, as the suite needs it. All sinks are opened with [`schema`].
#[async_trait]
pub trait Subject: Send {
    /// How the sink behaves.
    fn traits(&self) -> SinkTraits;

    /// The pipeline and the name of the sink that [`open`](Self::open) opens. Others than these where what is shared with
    /// other tests knows a sink by them.
    fn names(&self) -> (String, String) {
        (PIPELINE.to_owned(), SINK.to_owned())
    }

    /// Whether a claim alone fences earlier owners. Else the new owner's first write does: positions are compared and set.
    fn fences_by_claim(&self) -> bool {
        true
    }

    /// From now on sinks are opened where nothing is stored yet.
    async fn renew(&mut self);

    /// Opens the sink of [`names`](Self::names) as a new process would.
    async fn open(&mut self) -> Box<dyn Sink>;

    /// Opens a sink that dies, as a process does, at its `nth` change of what is stored, from 0: half of these before the
    /// change, half behind it, if possible. `None` where there is no means for that.
    async fn open_mortal(&mut self, _nth: usize) -> Option<Box<dyn Sink>> {
        None
    }

    /// Opens a sink behind a connection that can be cut. `None` where there is no connection.
    async fn open_cuttable(&mut self) -> Option<(Box<dyn Sink>, Scissors)> {
        None
    }

    /// Opens a sink of another pipeline or name that writes to the same target. `None` where none can.
    async fn open_as(&mut self, _pipeline: &str, _sink: &str) -> Option<Box<dyn Sink>> {
        None
    }

    /// The rows that a reader sees, as (partition, offset), in the order of arrival within a partition. Called while no
    /// sink is open, or none has more to do before its rows are seen.
    async fn landed(&mut self) -> Vec<(i32, i64)>;
}

/// The columns of the suite's rows: `partition` and `offset`.
pub fn schema() -> SchemaRef {
    let columns = vec![Field::new("partition", DataType::Int32, false), Field::new("offset", DataType::Int64, false)];
    Arc::new(Schema::new(columns))
}

/// Runs the whole suite.
///
/// # Panics
/// Where the sink breaks its contract.
pub async fn run(subject: &mut dyn Subject) {
    run_checks(subject).await;
    deaths::deaths_lose_and_double_nothing(subject, 0, 1).await;
}

/// The same, with several subjects side by side: for sinks whose service answers slowly.
///
/// # Panics
/// Where the sink breaks its contract.
pub async fn run_side_by_side<S: Subject + 'static>(new: impl Fn() -> S) {
    const SIDES: usize = 6;
    let mut tasks = tokio::task::JoinSet::new();
    let mut subject = new();
    tasks.spawn(async move { run_checks(&mut subject).await });
    for side in 0..SIDES {
        let mut subject = new();
        tasks.spawn(async move { deaths::deaths_lose_and_double_nothing(&mut subject, side, SIDES).await });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// A part of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing at first.
    Nothing,
    /// Claims.
    Claims,
    /// Writes that the next process finds.
    Writes,
    /// Ranges that do not fit.
    Ranges,
    /// Earlier owners.
    Fences,
    /// Plans.
    Plans,
    /// Plans of what was not run yet.
    PlansAhead,
    /// Resets.
    Resets,
    /// Slices.
    Slices,
    /// Other sinks of the same target.
    Traces,
    /// Commits that are cut.
    Cuts,
    /// Deaths at each change.
    Deaths,
}

impl Check {
    /// All of them, in order.
    pub const ALL: &[Check] = &[
        Check::Nothing,
        Check::Claims,
        Check::Writes,
        Check::Ranges,
        Check::Fences,
        Check::Plans,
        Check::PlansAhead,
        Check::Resets,
        Check::Slices,
        Check::Traces,
        Check::Cuts,
        Check::Deaths,
    ];

    /// What holds where it passes.
    pub fn holds(self) -> &'static str {
        match self {
            Check::Nothing => "where nothing was stored, nothing is found",
            Check::Claims => "a claim stores where it starts, and keeps what is there",
            Check::Writes => "rows and position of a write are there for the next process",
            Check::Ranges => "a range that does not begin at the position stores nothing",
            Check::Fences => "an earlier owner writes no more",
            Check::Plans => "plans are kept with the rows, replaced and trimmed",
            Check::PlansAhead => "a plan replaces those that reach beyond its beginning",
            Check::Resets => "positions are set and forgotten",
            Check::Slices => "slices land with their batch or not at all",
            Check::Traces => "a sink of another name is found, and takes over",
            Check::Cuts => "a commit whose answer is lost is settled by the next claim",
            Check::Deaths => "a process that dies at any statement loses nothing and doubles nothing",
        }
    }

    /// Runs it.
    ///
    /// # Panics
    /// Where it does not hold.
    pub async fn run(self, subject: &mut dyn Subject) {
        match self {
            Check::Nothing => nothing_is_stored_at_first(subject).await,
            Check::Claims => a_claim_stores_where_it_starts_and_keeps_what_is_there(subject).await,
            Check::Writes => what_is_written_is_there_for_the_next_process(subject).await,
            Check::Ranges => ranges_that_do_not_fit_store_nothing(subject).await,
            Check::Fences => an_earlier_owner_is_fenced(subject).await,
            Check::Plans => plans::plans_are_kept_replaced_and_trimmed(subject).await,
            Check::PlansAhead => plans::a_kept_plan_replaces_what_is_stored_from_its_beginning_on(subject).await,
            Check::Resets => plans::resets_set_and_forget(subject).await,
            Check::Slices => slices_land_with_their_batch_or_not_at_all(subject).await,
            Check::Traces => another_sink_leaves_traces_and_takes_over(subject).await,
            Check::Cuts => deaths::cut_commits_are_settled_by_the_next_claim(subject).await,
            Check::Deaths => deaths::deaths_lose_and_double_nothing(subject, 0, 1).await,
        }
    }
}

async fn run_checks(subject: &mut dyn Subject) {
    for check in Check::ALL.iter().filter(|check| **check != Check::Deaths) {
        check.run(subject).await;
    }
}

fn partition(index: i32) -> Partition {
    Partition { topic: "orders".into(), index }
}

fn claim(index: i32, start: i64) -> Claim {
    Claim { partition: partition(index), identity: "log".into(), start }
}

fn claims() -> Vec<Claim> {
    vec![claim(0, 0), claim(1, 100)]
}

fn range(index: i32, from: i64, to: i64) -> Range {
    Range { partition: partition(index), from, to }
}

fn rows(ranges: &[Range]) -> (RecordBatch, Provenance) {
    let all = || ranges.iter().flat_map(|range| (range.from..range.to).map(|offset| (range.partition.index, offset)));
    let partitions: Int32Array = all().map(|(index, _)| Some(index)).collect();
    let offsets: Int64Array = all().map(|(_, offset)| Some(offset)).collect();
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(partitions.clone()), Arc::new(offsets.clone())]);
    (rows.expect("two columns of one length"), Provenance { partitions, offsets })
}

/// A write of one row an offset.
fn write(ranges: &[Range]) -> Write {
    let time = 1_700_000_000_000_000 + ranges.iter().map(|range| range.from).sum::<i64>();
    let recipe = Arc::new(Recipe { query: "query".into(), ..Recipe::default() });
    let (rows, provenance) = rows(ranges);
    let plan = Arc::new(Plan { id: format!("w-{time}"), time, recipe, ranges: ranges.to_vec() });
    Write {
        plan,
        ranges: ranges.to_vec(),
        rows,
        provenance: Some(provenance),
        topics: Topics::default(),
        retention: None,
    }
}

/// The same without rows.
fn empty(ranges: &[Range]) -> Write {
    let (rows, provenance) = rows(&[]);
    Write { rows, provenance: Some(provenance), ..write(ranges) }
}

fn next(held: &[Checkpoint]) -> Vec<(i32, i64)> {
    let mut next: Vec<_> = held.iter().map(|held| (held.partition.index, held.next)).collect();
    next.sort_unstable();
    next
}

async fn claimed(subject: &mut dyn Subject, claims: &[Claim]) -> Box<dyn Sink> {
    let mut sink = subject.open().await;
    let held = sink.claim(claims).await.expect("it is claimed");
    assert_eq!(held.len(), claims.len(), "one entry a claim");
    sink
}

async fn close(mut sink: Box<dyn Sink>) {
    sink.close().await.expect("it closes");
}

/// What is stored and what landed, as a process that comes later sees it; it leaves the claims as they are.
async fn seen(subject: &mut dyn Subject, claims: &[Claim]) -> (Vec<Checkpoint>, Vec<(i32, i64)>) {
    let mut sink = subject.open().await;
    let held = sink.claim(claims).await.expect("it is claimed");
    let mut stored = sink.positions().await.expect("positions are read");
    stored.sort_by(|a, b| a.partition.cmp(&b.partition));
    let mut held_sorted = held;
    held_sorted.sort_by(|a, b| a.partition.cmp(&b.partition));
    assert_eq!(stored, held_sorted, "`claim` and `positions` say the same");
    close(sink).await;
    let mut landed = subject.landed().await;
    landed.sort_by_key(|(index, _)| *index);
    (stored, landed)
}

fn offsets(index: i32, from: i64, to: i64) -> impl Iterator<Item = (i32, i64)> {
    (from..to).map(move |offset| (index, offset))
}

async fn nothing_is_stored_at_first(subject: &mut dyn Subject) {
    subject.renew().await;
    let mut sink = subject.open().await;
    assert_eq!(sink.positions().await.expect("positions are read"), [], "a new subject holds no positions");
    assert_eq!(sink.traces().await.expect("traces are read"), [], "nor traces of others");
    close(sink).await;
}

async fn a_claim_stores_where_it_starts_and_keeps_what_is_there(subject: &mut dyn Subject) {
    subject.renew().await;
    let mut sink = subject.open().await;
    let held = sink.claim(&claims()).await.expect("it is claimed");
    assert_eq!(next(&held), [(0, 0), (1, 100)]);
    assert!(held.iter().all(|held| held.identity == "log" && held.plans.is_empty()), "{held:?}");
    close(sink).await;
    let (held, _) = seen(subject, &[claim(0, 7), claim(1, 7)]).await;
    assert_eq!(next(&held), [(0, 0), (1, 100)], "a later claim changes no position");
}

async fn what_is_written_is_there_for_the_next_process(subject: &mut dyn Subject) {
    subject.renew().await;
    let mut sink = claimed(subject, &claims()).await;
    let written = sink.write(&write(&[range(0, 0, 3), range(1, 100, 102)])).await.expect("it is stored");
    assert_eq!(written, Written::default());
    sink.write(&empty(&[range(0, 3, 10)])).await.expect("positions move without rows");
    sink.write(&write(&[range(0, 10, 12)])).await.expect("it is stored");
    // No close: a process that is gone leaves what it stored.
    drop(sink);
    let (held, landed) = seen(subject, &claims()).await;
    assert_eq!(next(&held), [(0, 12), (1, 102)]);
    let expected: Vec<_> = offsets(0, 0, 3).chain(offsets(0, 10, 12)).chain(offsets(1, 100, 102)).collect();
    assert_eq!(landed, expected);
}

async fn ranges_that_do_not_fit_store_nothing(subject: &mut dyn Subject) {
    for wrong in [range(0, 2, 5), range(0, 4, 6), range(1, 100, 101)] {
        subject.renew().await;
        let mut sink = claimed(subject, &[claim(0, 0)]).await;
        sink.write(&write(&[range(0, 0, 3)])).await.expect("it is stored");
        let error = sink.write(&write(std::slice::from_ref(&wrong))).await.expect_err("it does not fit");
        if wrong.partition.index == 0 {
            assert_eq!(error.fault, Fault::Fenced, "{error}");
        }
        drop(sink);
        let (held, landed) = seen(subject, &[claim(0, 0)]).await;
        assert_eq!(next(&held), [(0, 3)], "{wrong:?}");
        assert_eq!(landed, offsets(0, 0, 3).collect::<Vec<_>>(), "{wrong:?}");
    }
}

async fn an_earlier_owner_is_fenced(subject: &mut dyn Subject) {
    subject.renew().await;
    let mut first = claimed(subject, &[claim(0, 0)]).await;
    first.write(&write(&[range(0, 0, 3)])).await.expect("it is stored");
    let mut second = subject.open().await;
    let mut at = 3;
    match second.claim(&[claim(0, 0)]).await {
        Ok(_) if subject.fences_by_claim() => {
            let error = first.write(&write(&[range(0, 3, 6)])).await.expect_err("it is another's now");
            // A sink of one worker need not know why it can write no more.
            assert!(error.fault == Fault::Fenced || subject.traits().sharing == Sharing::Single, "{error}");
        }
        // Until the new owner writes, the earlier one may: the new one learns it, and neither doubles the other's rows.
        Ok(_) => {
            let more = write(&[range(0, 3, 6)]);
            if let Err(error) = first.write(&more).await {
                // What it was about to finish in the background, the new owner has finished: it claims again.
                assert_eq!(error.fault, Fault::Unavailable, "{error}");
                first.claim(&[claim(0, 0)]).await.expect("it is claimed");
                first.write(&more).await.expect("the new owner has not written yet");
            }
            let error = second.write(&write(&[range(0, 3, 5)])).await.expect_err("it is not at 3 any more");
            assert_eq!(error.fault, Fault::Fenced, "{error}");
            assert_eq!(next(&second.claim(&[claim(0, 0)]).await.expect("it is claimed")), [(0, 6)]);
            second.write(&write(&[range(0, 6, 7)])).await.expect("the new owner writes");
            let error = first.write(&write(&[range(0, 6, 9)])).await.expect_err("it is another's now");
            assert_eq!(error.fault, Fault::Fenced, "{error}");
            at = 7;
        }
        // Where one worker alone may write, another may be refused as long as that one lives.
        Err(error) => {
            assert_eq!((subject.traits().sharing, error.fault), (Sharing::Single, Fault::Settings), "{error}");
            first.close().await.expect("it closes");
            second.claim(&[claim(0, 0)]).await.expect("it is claimed");
        }
    }
    second.write(&write(&[range(0, at, at + 2)])).await.expect("the new owner writes");
    drop(first);
    close(second).await;
    let (held, landed) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!((next(&held), landed), (vec![(0, at + 2)], offsets(0, 0, at + 2).collect()));
}

async fn slices_land_with_their_batch_or_not_at_all(subject: &mut dyn Subject) {
    let mut sink = match subject.traits().slices {
        true => {
            subject.renew().await;
            claimed(subject, &[claim(0, 0)]).await
        }
        false => return,
    };
    sink.slice(&rows(&[range(0, 0, 9)]).0).await.expect("it is set aside");
    sink.claim(&[claim(0, 0)]).await.expect("it is claimed, and what was set aside is void");
    sink.slice(&rows(&[range(0, 0, 2)]).0).await.expect("it is set aside");
    sink.slice(&rows(&[range(0, 2, 4)]).0).await.expect("it is set aside");
    sink.write(&empty(&[range(0, 0, 4)])).await.expect("it is stored");
    sink.slice(&rows(&[range(0, 4, 6)]).0).await.expect("it is set aside");
    drop(sink);
    let (held, landed) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!((next(&held), landed), (vec![(0, 4)], offsets(0, 0, 4).collect()));
}

async fn another_sink_leaves_traces_and_takes_over(subject: &mut dyn Subject) {
    let (pipeline, name) = subject.names();
    let (other_pipeline, other_name) = (format!("{pipeline}-renamed"), format!("{name}-renamed"));
    for (pipeline, name) in [(&pipeline, &other_name), (&other_pipeline, &name)] {
        subject.renew().await;
        let mut sink = claimed(subject, &[claim(0, 0)]).await;
        let kept = keeping(&[range(0, 0, 3)], 0);
        sink.write(&kept).await.expect("it is stored");
        assert_eq!(sink.traces().await.expect("traces are read"), [], "its own are not traces");
        close(sink).await;
        let Some(mut other) = subject.open_as(pipeline, name).await else { return };
        let traces = other.traces().await.expect("traces are read");
        let of_sink = |trace: &Trace| matches!(trace, Trace::Sink { logs, .. } if logs.as_slice() == ["log"]);
        assert!(traces.iter().any(of_sink), "{pipeline}/{name}: {traces:?}");
        close(other).await;
        let mut sink = subject.open().await;
        sink.hand_over(pipeline, name).await.expect("it is handed over");
        assert_eq!(sink.positions().await.expect("positions are read"), [], "nothing stays behind");
        close(sink).await;
        let mut other = subject.open_as(pipeline, name).await.expect("it was there before");
        let held = other.positions().await.expect("positions are read");
        assert_eq!(next(&held), [(0, 3)]);
        assert_eq!(held[0].plans, kept_parts(&kept.plan), "with its plans");
        close(other).await;
    }
}
