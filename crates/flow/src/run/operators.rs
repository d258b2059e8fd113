//! Between the planner and the dispatcher: records become what each sink gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::warn;

use super::bad_share::BadShare;
use super::compute::{SinkShape, StageFactory, Stages};
use super::output::Output;
use super::progress::Stats;
use super::{OnBadRecord, Settings};
use crate::testing::{BrokenStep, is_broken};
use crate::{BadRecord, Location, Partition, Plan, Provenance, Range, Recipe, Records, Scope, Source, StageError};

/// Bad records named in the log, of one batch; the rest is counted.
const NAMED_BAD_RECORDS: usize = 5;

/// Decoders and queries that are kept ready: today's, and those of some leftover plans or of tables as they were.
const STAGES_KEPT: usize = 4;

/// A decoder and queries, and by sink where its columns are among those that they make, or why they are not.
struct CachedStages {
    stages: Stages,
    fits: Vec<Result<Vec<usize>, String>>,
}

/// Decoders and queries at work: alone decides which of them a batch runs through, and what each sink gets of it.
pub(super) struct Operators<'a> {
    factory: &'a dyn StageFactory,
    settings: &'a Settings,
    stages_by_recipe: BTreeMap<Recipe, CachedStages>,
    shapes: Vec<SinkShape>,
    dead_letters: bool,
    share: BadShare,
    stats: Arc<Stats>,
}

impl<'a> Operators<'a> {
    pub(super) fn new(
        factory: &'a dyn StageFactory,
        settings: &'a Settings,
        shapes: Vec<SinkShape>,
        stats: Arc<Stats>,
    ) -> Self {
        let dead_letters = shapes.iter().any(SinkShape::takes_dead_letters);
        Operators {
            factory,
            settings,
            stages_by_recipe: BTreeMap::new(),
            shapes,
            dead_letters,
            share: BadShare::default(),
            stats,
        }
    }

    /// What rows of a recipe depend on.
    pub(super) fn scope(&mut self, recipe: &Recipe) -> Result<Scope, StageError> {
        Ok(self.ready(recipe)?.stages.scope())
    }

    /// The stages of a recipe, made where they are not kept yet.
    fn ready(&mut self, recipe: &Recipe) -> Result<&mut CachedStages, StageError> {
        if !self.stages_by_recipe.contains_key(recipe) {
            if self.stages_by_recipe.len() >= STAGES_KEPT {
                let today = self.factory.recipe();
                self.stages_by_recipe.retain(|recipe, _| *recipe == *today);
            }
            let stages = self.factory.stages(recipe)?;
            let made = stages.made(&self.shapes);
            let fits = self.shapes.iter().zip(&made).map(|(shape, made)| shape.find(made)).collect();
            self.stages_by_recipe.insert(recipe.clone(), CachedStages { stages, fits });
        }
        Ok(self.stages_by_recipe.get_mut(recipe).expect("it was put there"))
    }

    /// What the sinks get of these records; bad ones are counted and told on the way.
    pub(super) async fn outputs(
        &mut self,
        plan: &Plan,
        records: &Records,
        ranges: &[Vec<Range>],
        new: bool,
        (next, source): (&[BTreeMap<Partition, i64>], &mut dyn Source),
    ) -> Result<Vec<Output>, StageError> {
        let (mut outputs, bad) = in_place(|| self.compute((plan, records), ranges, new, next))?;
        self.bad_records(&bad, records, source).await?;
        let letters =
            self.shapes.iter().zip(ranges).map(|(shape, ranges)| shape.takes_dead_letters() && !ranges.is_empty());
        let letters: Vec<bool> = letters.collect();
        for (index, output) in outputs.iter_mut().enumerate().filter(|(index, _)| letters[*index]) {
            if let Some(provenance) = &output.provenance
                && let Some(places) = source.places(provenance).await?
            {
                *output = output.clone().with_places(&places);
            }
            let shape = &self.shapes[index];
            let found = shape.find(&output.rows.schema()).map_err(|why| misfit(shape, plan, &why))?;
            *output = output.columns(&found)?;
        }
        Ok(outputs)
    }

    /// One output a sink, and, of a new batch, the records that could not go on. Sinks that lack the same ranges share
    /// one computation.
    fn compute(
        &mut self,
        (plan, records): (&Plan, &Records),
        ranges: &[Vec<Range>],
        new: bool,
        next: &[BTreeMap<Partition, i64>],
    ) -> Result<(Vec<Output>, Vec<BadRecord>), StageError> {
        self.ready(&plan.recipe)?;
        let CachedStages { stages, fits } = self.stages_by_recipe.get_mut(&*plan.recipe).expect("it is ready");
        let mut outputs: Vec<Option<Output>> = vec![None; ranges.len()];
        let mut bad = Vec::new();
        for sink in 0..ranges.len() {
            if outputs[sink].is_some() {
                continue;
            }
            if ranges[sink].is_empty() {
                outputs[sink] = Some(self.shapes[sink].empty());
                continue;
            }
            let whole = ranges[sink] == plan.ranges;
            if !whole && let Some(cut) = cut(stages.scope(), &ranges[sink], &plan.ranges) {
                return Err(StageError::state(format!(
                    "sink `{}` is at {} in {}, in the middle of a batch from {} to {} whose query takes it as a whole: it \
                     cannot be replayed in part",
                    self.shapes[sink].name,
                    next[sink].get(&cut.partition).copied().unwrap_or(cut.from),
                    cut.partition,
                    cut.from,
                    cut.to
                ))
                .remedy(format!(
                    "`foretell positions set PIPELINE --sink {} --partition {} --offset {}` moves it to the batch's end, \
                     with {} to its beginning",
                    self.shapes[sink].name, cut.partition, cut.to, cut.from
                )));
            }
            let computed = if whole {
                stages.run(records, plan.time, &self.shapes)?
            } else {
                stages.run(&records.filter(&inside(records, &ranges[sink])), plan.time, &self.shapes)?
            };
            self.stats.monitor.computed(computed.took.0, computed.took.1);
            if whole && new {
                bad = computed.bad;
                stages.count();
            }
            for (other, output) in computed.outputs.into_iter().enumerate() {
                if outputs[other].is_none() && ranges[other] == ranges[sink] {
                    let shape = &self.shapes[other];
                    outputs[other] = Some(match &fits[other] {
                        // Places come later.
                        _ if shape.takes_dead_letters() => output,
                        Ok(columns) => output.columns(columns)?,
                        Err(why) => return Err(misfit(shape, plan, why)),
                    });
                }
            }
        }
        Ok((outputs.into_iter().flatten().collect(), bad))
    }

    /// Counts bad records, names the first few where nobody else keeps them, and stops where that is asked for.
    async fn bad_records(
        &mut self,
        bad: &[BadRecord],
        records: &Records,
        source: &mut dyn Source,
    ) -> Result<(), StageError> {
        let above = match self.settings.on_bad_record {
            OnBadRecord::StopAbove(most) => self.share.add(bad.len(), records.len(), most),
            OnBadRecord::Continue | OnBadRecord::Stop => None,
        };
        let Some(first) = bad.first() else { return Ok(()) };
        if let Some((count, of)) = above {
            let message = format!(
                "{count} of the latest {of} records are bad, which is more than `stop_above` allows; of this batch the \
                 first is {}: {}: {}",
                place(first, records, source).await?,
                first.stage,
                first.reason
            );
            return Err(StageError::state(message).remedy(
                "nothing of this batch is stored: mend what writes the records, or the query, and start again",
            ));
        }
        if self.settings.on_bad_record == OnBadRecord::Stop {
            let place = place(first, records, source).await?;
            return Err(StageError::state(format!("{place}: {}: {}", first.stage, first.reason))
                .remedy("`on_bad_record: continue` and `dead_letters:` set it aside"));
        }
        self.stats.bad(bad.len());
        self.stats.monitor.bad(bad);
        let mut named = Vec::new();
        for bad in bad.iter().take(NAMED_BAD_RECORDS) {
            let place = place(bad, records, source).await?;
            self.stats.monitor.recent(place.clone(), bad);
            named.push(place);
        }
        if !self.dead_letters {
            for (place, bad) in named.iter().zip(bad) {
                warn!("bad record: {place}: {}: {}", bad.stage, bad.reason);
            }
            if bad.len() > NAMED_BAD_RECORDS {
                warn!("and {} more bad records in this batch", bad.len() - NAMED_BAD_RECORDS);
            }
        }
        Ok(())
    }
}

/// Runs what takes long without a thread of its own; where there are others, they take over what this one has to do.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

/// Where a bad record is, in a line.
async fn place(bad: &BadRecord, records: &Records, source: &mut dyn Source) -> Result<String, StageError> {
    let (partitions, offsets) = (records.partitions.slice(bad.row, 1), records.offsets.slice(bad.row, 1));
    let (partition, offset) = (partitions.value(0), offsets.value(0));
    let places = source.places(&Provenance { partitions, offsets }).await?;
    let place = match places.as_deref() {
        Some([Location { file, line: Some(line) }]) => format!("{file} line {line}"),
        Some([Location { file, line: None }]) => format!("{file}[{partition}] offset {offset}"),
        _ => format!("{} offset {offset}", records.topics.partition(partition)),
    };
    Ok(place)
}

/// A plan that was made as a whole, where a worker has a part of the partitions.
pub(super) fn in_part(plan: &Plan) -> StageError {
    StageError::state(format!(
        "a sink lacks a batch ({}) whose query takes it as a whole, and this worker has only a part of the partitions: \
         the query was another when the batch was planned",
        ranges(plan)
    ))
    .remedy(
        "run one worker (`--workers 1`, and no second process), or the pipeline file as it was before, until `foretell \
         positions show` tells that every sink has caught up; or give the batch up with `foretell positions set`",
    )
}

fn ranges(plan: &Plan) -> String {
    let ranges: Vec<String> = plan.ranges.iter().map(|r| format!("{} {} to {}", r.partition, r.from, r.to)).collect();
    ranges.join(", ")
}

/// A plan whose rows do not have the columns that a sink was opened with.
fn misfit(shape: &SinkShape, plan: &Plan, why: &str) -> StageError {
    StageError::state(format!(
        "sink `{}` lacks a batch ({}) that was planned with another query, model or table, whose result {why}",
        shape.name,
        ranges(plan)
    ))
    .remedy(format!(
        "run the pipeline file as it was before, until `foretell positions show` tells that every sink has caught up; \
         or give the batch up in this sink with `foretell positions set PIPELINE --sink {}`",
        shape.name
    ))
}

/// Which range of a plan, a part of which is lacking, cannot be computed in parts.
fn cut<'p>(scope: Scope, part: &[Range], plan: &'p [Range]) -> Option<&'p Range> {
    if is_broken(BrokenStep::BatchesAreReplayedInPart) {
        return None;
    }
    let whole = |range: &Range| part.contains(range);
    let begun = |range: &Range| part.iter().any(|part| part.partition == range.partition);
    match scope {
        Scope::Record => None,
        Scope::Partition => plan.iter().find(|range| begun(range) && !whole(range)),
        Scope::Batch => plan.iter().find(|range| !whole(range)),
    }
}

/// Which records lie in these ranges.
fn inside(records: &Records, ranges: &[Range]) -> arrow::array::BooleanArray {
    let ordinals: Vec<_> = ranges.iter().map(|range| (records.topics.ordinal(&range.partition), range)).collect();
    let pairs = records.partitions.values().iter().zip(records.offsets.values());
    pairs
        .map(|(ordinal, offset)| {
            Some(ordinals.iter().any(|(of, range)| *of == Some(*ordinal) && (range.from..range.to).contains(offset)))
        })
        .collect()
}
