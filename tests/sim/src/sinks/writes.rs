//! How each kind of sink stores a write.

use std::time::Duration;

use foretell_flow::*;

use super::{Commit, Rows, SimSink};
use crate::mutants::Mutant;
use crate::world::{Context, Fate, World, unknown};

impl SimSink {
    pub(super) async fn write_compare(&mut self, commit: Commit) -> Result<(), StageError> {
        let id = self.context.with(|world| world.random.u64(..));
        self.wait_for_locks(&commit.partitions(), Some(id)).await?;
        // Whatever ends this call breaks the connection: the transaction is rolled back.
        let rollback = Rollback { context: self.context.clone(), id };
        let (fits, early) = self.context.with(|world| {
            let fits = world.fits(&commit) || world.is(Mutant::NothingIsCompared);
            let early = fits && world.is(Mutant::RowsAreStoredBeforePositions);
            if early {
                let target = &mut world.targets[commit.target];
                for (index, rows) in &commit.rows {
                    target.rows.entry(*index).or_default().extend(rows.iter().cloned());
                }
            }
            (fits, early)
        });
        if !fits {
            return Err(StageError::fenced("compare and set: another wrote"));
        }
        let commit = if early { Commit { rows: Rows::new(), ..commit } } else { commit };
        self.context.pause("statements").await;
        let fate = self.context.fate(self.service());
        if fate == Fate::Later {
            let after = self.context.with(|world| {
                let rolls_back = world.random.bool();
                if let Some(transaction) = world.transactions.get_mut(&id) {
                    transaction.sent = true;
                }
                (Duration::from_millis(world.random.u64(1..4_000)), rolls_back)
            });
            std::mem::forget(rollback);
            self.context.sim.later(after.0, move |world| {
                // The row lock holds others off, so that it still fits.
                if world.transactions.remove(&id).is_some() && !after.1 {
                    world.apply(&commit);
                }
            });
            return Err(unknown());
        }
        self.settle(fate, |world| {
            let open = world.transactions.remove(&id).is_some();
            if open {
                world.apply(&commit);
            }
            open
        })
    }

    /// Does it, or not, and tells, or not. `apply` says whether the service took it.
    fn settle(&self, fate: Fate, apply: impl FnOnce(&mut World) -> bool) -> Result<(), StageError> {
        match fate {
            Fate::Before => Err(unknown()),
            Fate::Done | Fate::After | Fate::Later => match (self.context.with(apply), fate) {
                (false, _) => Err(StageError::fenced("another owner")),
                (true, Fate::Done) => Ok(()),
                (true, _) => Err(unknown()),
            },
        }
    }

    pub(super) async fn write_fence(&mut self, commit: Commit) -> Result<(), StageError> {
        let parts: Vec<Commit> = match self.atomic {
            true => vec![commit],
            false => commit.partitions().into_iter().map(|index| commit.of(index)).collect(),
        };
        for part in parts {
            self.context.pause("produce").await;
            self.context.answer(self.service(), "produce")?;
            let (target, epochs) = (self.target, self.epochs.clone());
            let indexes = part.partitions();
            let ours = move |world: &mut World| {
                indexes.iter().all(|index| {
                    epochs.contains_key(index) && world.targets[target].epochs.get(index) == epochs.get(index)
                })
            };
            let follows = |range: &Range| self.ledger.get(&range.partition.index) == Some(&range.from);
            let follows = part.ranges.iter().all(follows);
            if !self.context.with(|world| ours(world) && (follows || world.is(Mutant::NothingIsCompared))) {
                return Err(StageError::fenced("another producer"));
            }
            let reached: Vec<(i32, i64)> = part.ranges.iter().map(|range| (range.partition.index, range.to)).collect();
            self.context.pause("end the transaction").await;
            let fate = self.context.fate(self.service());
            if fate == Fate::Later {
                let after = Duration::from_millis(self.context.with(|world| world.random.u64(1..3_000)));
                self.context.sim.later(after, move |world| {
                    // The coordinator takes it from the newest producer only.
                    if ours(world) {
                        world.apply(&part);
                    }
                });
                return Err(unknown());
            }
            self.settle(fate, |world| {
                let taken = ours(world);
                if taken {
                    world.apply(&part);
                }
                taken
            })?;
            self.ledger.extend(reached);
        }
        Ok(())
    }

    pub(super) async fn write_log(&mut self, commit: Commit) -> Result<(), StageError> {
        self.context.pause("write a file").await;
        self.context.answer(self.service(), "write a file")?;
        let (target, life, partitions) = (self.target, self.context.life, commit.partitions());
        loop {
            if partitions.iter().any(|index| self.lost.contains(index)) {
                return Err(StageError::fenced("another owner"));
            }
            let known = self.known;
            let fate = self.context.fate(self.service());
            let put = move |world: &mut World, commit: &Commit| {
                let overwrites = world.is(Mutant::RecordsAreOverwritten);
                if world.targets[target].log.len() != known && !overwrites {
                    return false;
                }
                world.targets[target].log.push((life, commit.partitions()));
                world.apply(commit);
                true
            };
            if fate == Fate::Later {
                let after = Duration::from_millis(self.context.with(|world| world.random.u64(1..3_000)));
                self.context.sim.later(after, move |world| {
                    if world.fits(&commit) {
                        put(world, &commit);
                    }
                });
                return Err(unknown());
            }
            if !self.context.with(|world| world.fits(&commit) || world.is(Mutant::RecordsAreOverwritten)) {
                return Err(StageError::fenced("another wrote"));
            }
            match self.settle(fate, |world| put(world, &commit)) {
                Err(error) if error.fault == Fault::Fenced => {
                    self.context.pause("read the log on").await;
                    let (theirs, end) = self.context.with(|world| {
                        let log = &world.targets[target].log;
                        let theirs = log[known..].iter().filter(|record| record.0 != life);
                        (theirs.flat_map(|record| record.1.clone()).collect::<Vec<i32>>(), log.len())
                    });
                    self.lost.extend(theirs);
                    self.known = end;
                }
                Ok(()) => {
                    self.known += 1;
                    return Ok(());
                }
                unknown => return unknown,
            }
        }
    }

    pub(super) async fn write_single(&mut self, mut commit: Commit) -> Result<(), StageError> {
        self.context.pause("append").await;
        self.context.answer(self.service(), "append")?;
        let (target, lease) = (self.target, self.lease);
        let rows = std::mem::take(&mut commit.rows);
        let ours = move |world: &World| world.targets[target].lease == lease;
        if !self.context.with(|world| {
            let fits = ours(world) && world.fits(&commit);
            if fits {
                for (index, rows) in rows {
                    world.targets[target].surplus.entry(index).or_default().extend(rows);
                }
            }
            fits
        }) {
            return Err(StageError::fenced("another writer"));
        }
        self.context.pause("record the length").await;
        let fate = self.context.fate(self.service());
        let record = move |world: &mut World, mut commit: Commit| {
            let taken = ours(world) && world.fits(&commit);
            if taken {
                commit.rows = std::mem::take(&mut world.targets[target].surplus);
                world.apply(&commit);
            }
            taken
        };
        if fate == Fate::Later {
            let after = Duration::from_millis(self.context.with(|world| world.random.u64(1..3_000)));
            self.context.sim.later(after, move |world| {
                record(world, commit);
            });
            return Err(unknown());
        }
        self.settle(fate, |world| record(world, commit))
    }
}

/// Breaks the connection of a transaction that did not end.
struct Rollback {
    context: Context,
    id: u64,
}

impl Drop for Rollback {
    fn drop(&mut self) {
        self.context.with(|world| world.transactions.remove(&self.id));
    }
}
