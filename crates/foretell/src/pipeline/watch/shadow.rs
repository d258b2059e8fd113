//! A challenger beside its champion: asked on a thread of its own about the same rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use foretell_http::ShadowReport;
use foretell_model::{Columns, Signature};
use foretell_query::{Scored, Scorer};
use tracing::{info, warn};

use super::lock;
use crate::pipeline::query::LoadedModel;

/// Calls that wait for the challenger: enough for a burst, and few enough to hold in memory.
const WAITING: usize = 8;

/// How long the end waits for it.
const LAST: Duration = Duration::from_secs(2);

/// Answers that are nearer than this part of themselves are the same.
const WITHIN: f64 = 1e-6;

/// A challenger at work.
pub(super) struct Shadow {
    champion: String,
    name: String,
    inner: Arc<Inner>,
    queue: Mutex<Option<SyncSender<Scored>>>,
    ended: Mutex<Receiver<()>>,
    /// Whether to wait where it is still busy.
    patient: bool,
}

struct Inner {
    /// `None` where it does not fit the champion's columns any more.
    challenger: Mutex<Option<Challenger>>,
    counts: Mutex<ShadowReport>,
}

#[derive(Clone)]
struct Challenger {
    model: Arc<LoadedModel>,
    /// Where its columns are among the champion's.
    columns: Vec<usize>,
}

impl Shadow {
    /// # Errors
    /// The challenger takes a column that the champion does not.
    pub(super) fn new(
        (champion, of_champion): (&str, &LoadedModel),
        (name, model): (&str, &Arc<LoadedModel>),
        patient: bool,
    ) -> Result<Shadow, String> {
        let columns = columns(of_champion.signature(), model.signature())?;
        let report = ShadowReport { model: champion.to_string(), shadow: name.to_string(), ..ShadowReport::default() };
        let inner = Arc::new(Inner {
            challenger: Mutex::new(Some(Challenger { model: model.clone(), columns })),
            counts: Mutex::new(report),
        });
        let (queue, calls) = sync_channel::<Scored>(WAITING);
        let (tell, ended) = channel();
        let worker = inner.clone();
        let work = move || {
            calls.iter().for_each(|call| worker.compare(&call));
            let _ = tell.send(());
        };
        let thread = std::thread::Builder::new().name("shadow".into()).spawn(work);
        thread.map_err(|error| format!("no thread for it: {error}"))?;
        Ok(Shadow {
            champion: champion.to_string(),
            name: name.to_string(),
            inner,
            queue: Mutex::new(Some(queue)),
            ended: Mutex::new(ended),
            patient,
        })
    }

    /// The challenger's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks the challenger what the champion was asked.
    pub(super) fn ask(&self, call: &Scored) {
        lock(&self.inner.counts).champion.add(call.took);
        let Some(queue) = lock(&self.queue).clone() else { return };
        let rows = call.rows.len() as u64;
        if self.patient {
            if queue.send(call.clone()).is_err() {
                lock(&self.inner.counts).failed += rows;
            }
            return;
        }
        match queue.try_send(call.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => lock(&self.inner.counts).skipped += rows,
            Err(TrySendError::Disconnected(_)) => lock(&self.inner.counts).failed += rows,
        }
    }

    /// One of the two is read from another file.
    pub(super) fn renew(&self, champion: &LoadedModel, challenger: &Arc<LoadedModel>) {
        let found = columns(champion.signature(), challenger.signature());
        *lock(&self.inner.challenger) = match found {
            Ok(columns) => Some(Challenger { model: challenger.clone(), columns }),
            Err(message) => {
                warn!(model = self.champion, shadow = self.name, "the challenger is not asked any more: {message}");
                None
            }
        };
    }

    pub(super) fn report(&self) -> ShadowReport {
        lock(&self.inner.counts).clone()
    }

    /// Lets it answer what it was asked, for a while, and says how it did.
    pub(super) fn finish(&self) {
        if lock(&self.queue).take().is_none() {
            return;
        }
        let waits = lock(&self.ended).recv_timeout(LAST) == Err(RecvTimeoutError::Timeout);
        let report = self.report();
        let compared = report.same + report.different;
        let mean = report.difference.filter(|_| compared > 0).map(|(sum, _)| sum / compared as f64);
        info!(
            model = report.model,
            shadow = report.shadow,
            same = report.same,
            different = report.different,
            refused = report.refused,
            failed = report.failed,
            skipped = report.skipped,
            mean_difference = mean,
            largest_difference = report.difference.map(|(_, largest)| largest),
            "the challenger was asked about the same rows{}",
            if waits { "; it is still busy with some of them" } else { "" }
        );
    }
}

/// Where a challenger's columns are among those of the champion: by name, or by place where it knows no names.
fn columns(champion: &Signature, challenger: &Signature) -> Result<Vec<usize>, String> {
    let (all, wanted) = (champion.inputs.len(), challenger.inputs.len());
    let nameless = challenger.inputs.iter().all(|input| input.name.is_none())
        || champion.inputs.iter().all(|input| input.name.is_none());
    if nameless {
        return match all == wanted {
            true => Ok((0..all).collect()),
            false => Err(format!("it takes {wanted} columns, and the champion {all}; by place they must be as many")),
        };
    }
    let place = |input: &foretell_model::Input| {
        let found = champion.inputs.iter().position(|other| other.name.is_some() && other.name == input.name);
        found.ok_or_else(|| {
            let name = input.name.as_deref().unwrap_or("without a name");
            format!("it takes a column `{name}`, which the champion is not given")
        })
    };
    challenger.inputs.iter().map(place).collect()
}

impl Inner {
    /// Asks the challenger, and counts how far its answers are from the champion's. Nothing that happens to it gets out.
    fn compare(&self, call: &Scored) {
        let rows = call.rows.len();
        let challenger = lock(&self.challenger).clone();
        let Some(challenger) = challenger else {
            lock(&self.counts).failed += rows as u64;
            return;
        };
        let columns: Option<Vec<ArrayRef>> =
            challenger.columns.iter().map(|at| call.columns.get(*at).cloned()).collect();
        let Some(columns) = columns else {
            lock(&self.counts).failed += rows as u64;
            return;
        };
        let begun = Instant::now();
        let ask = || challenger.model.score(&Columns::new(&columns, rows), call.want);
        let answered = catch_unwind(AssertUnwindSafe(ask));
        let took = begun.elapsed();
        let mut counts = lock(&self.counts);
        let Ok(outputs) = answered else {
            counts.failed += rows as u64;
            return;
        };
        counts.challenger.add(took);
        if outputs.columns.len() != call.answers.len() || outputs.columns.iter().any(|column| column.len() != rows) {
            counts.failed += rows as u64;
            return;
        }
        let mut refused = vec![false; rows];
        outputs.refusals.iter().for_each(|refusal| {
            refused.iter_mut().skip(refusal.row as usize).take(1).for_each(|row| *row = true);
        });
        let mut different = vec![false; rows];
        let mut apart = None;
        for (champion, challenger) in call.answers.iter().zip(&outputs.columns) {
            let Some(found) = differences(champion, challenger, &refused, &mut different) else {
                counts.failed += rows as u64;
                return;
            };
            apart = apart.or(found);
        }
        let refusals = refused.iter().filter(|row| **row).count() as u64;
        let others = refused.iter().zip(&different).filter(|(refused, different)| !**refused && **different).count();
        counts.refused += refusals;
        counts.different += others as u64;
        counts.same += rows as u64 - refusals - others as u64;
        if let Some((sum, largest)) = apart {
            let (before, most) = counts.difference.unwrap_or_default();
            counts.difference = Some((before + sum, f64::max(most, largest)));
        }
    }
}

/// Which rows of two columns differ; of numbers with a fraction also their absolute differences, added up, and the largest.
/// `None` where the two cannot be compared.
fn differences(
    champion: &ArrayRef,
    challenger: &ArrayRef,
    refused: &[bool],
    different: &mut [bool],
) -> Option<Option<(f64, f64)>> {
    if champion.data_type().is_numeric() && challenger.data_type().is_numeric() {
        let (a, b) = (cast(champion, &DataType::Float64).ok()?, cast(challenger, &DataType::Float64).ok()?);
        let pairs = a.as_primitive::<Float64Type>().iter().zip(b.as_primitive::<Float64Type>());
        let (mut sum, mut largest) = (0.0, 0.0f64);
        for (((a, b), different), _) in pairs.zip(different).zip(refused).filter(|(_, refused)| !**refused) {
            match (a, b) {
                (Some(a), Some(b)) => {
                    let apart = (a - b).abs();
                    let near = a == b || apart <= WITHIN * a.abs().max(b.abs()) || (a.is_nan() && b.is_nan());
                    *different |= !near;
                    if apart.is_finite() {
                        sum += apart;
                        largest = largest.max(apart);
                    }
                }
                (a, b) => *different |= a != b,
            }
        }
        // A class may be a number, and how far two classes are apart means nothing.
        return Some(champion.data_type().is_floating().then_some((sum, largest)));
    }
    let (a, b) = (cast(champion, &DataType::Utf8).ok()?, cast(challenger, &DataType::Utf8).ok()?);
    for ((a, b), different) in a.as_string::<i32>().iter().zip(b.as_string::<i32>()).zip(different) {
        *different |= a != b;
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_differ_beyond_their_sixth_digit_and_labels_in_their_text() {
        let compare = |a: ArrayRef, b: ArrayRef, refused: &[bool]| {
            let mut different = vec![false; refused.len()];
            let apart = differences(&a, &b, refused, &mut different).unwrap();
            (different, apart)
        };
        let a = Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), Some(3.0), None]));
        let b = Arc::new(Float32Array::from(vec![Some(1.000_000_1), Some(2.5), None, None]));
        assert_eq!(compare(a.clone(), b, &[false, false, true, false]).0, [false, true, false, false]);
        let (different, apart) = compare(a.clone(), a.clone(), &[false; 4]);
        assert_eq!((different, apart), (vec![false; 4], Some((0.0, 0.0))));
        let labels = Arc::new(Int64Array::from(vec![0, 1]));
        let texts = Arc::new(StringArray::from(vec!["0", "2"]));
        assert_eq!(compare(labels.clone(), texts, &[false; 2]), (vec![false, true], None));
        assert_eq!(compare(labels.clone(), labels, &[false; 2]).1, None, "classes have no distance");
    }
}
