//! What people change in the pipeline between lives, and what a database loses.

use foretell_flow::Scope;

use super::{Driver, Expected};
use crate::query::{Input, SinkEntry};

impl Driver {
    /// A database fails over to a copy that lags, or a backup is put back.
    pub(super) fn lose_commits(&mut self) {
        let Some((target, backup)) = self.backups.pop_front() else { return };
        let Some(sink) = self.edition.sinks.iter().find(|sink| sink.target == target).cloned() else { return };
        let lost = self.sim.with(|world| {
            let Some(then) = backup.progress.get(&sink.name).filter(|entries| !entries.is_empty()) else {
                return false;
            };
            let now = world.targets[target].progress.get(&sink.name).cloned().unwrap_or_default();
            // A backup from before a partition was claimed lacks its position: see docs/reliability.md.
            let lacks = now.keys().any(|index| !then.contains_key(index));
            if lacks || backup.progress.len() != 1 || world.targets[target].progress.len() != 1 {
                return false;
            }
            for (index, entry) in &now {
                let from = then.get(index).map_or(entry.begin, |then| then.next);
                world.checker.replanned(*index, from, entry.next);
                world.anew(*index, from, entry.next);
                world.checker.forget(target, *index, from);
                world.checker.losses.push((world.lives.len(), *index, entry.next));
            }
            world.checker.lost.insert(target, world.lives.len());
            // Whoever is about to commit there does it no more.
            world.transactions.retain(|_, transaction| transaction.target != target);
            world.targets[target].restore(&backup);
            world.note(format!("{} loses commits", sink.name));
            true
        });
        if lost {
            self.count("a sink loses commits");
            self.differ = true;
        }
    }

    pub(super) fn edit(&mut self) {
        let results: Vec<usize> =
            (0..self.edition.sinks.len()).filter(|at| self.edition.sinks[*at].input != Input::DeadLetters).collect();
        let one = results[self.random.usize(..results.len())];
        let what = match self.churn {
            _ if self.narrows && self.edition.scope == Scope::Batch && self.before.is_none() => 8,
            true => [0, 3, 3, 4, 4, 4][self.random.usize(..6)],
            false => self.random.u8(..13),
        };
        match what {
            0 | 1 => {
                self.count("sinks are reordered");
                self.random.shuffle(&mut self.edition.sinks);
                self.edition.sinks.sort_by_key(|sink| sink.input == Input::DeadLetters);
                self.recipe();
            }
            2 if self.edition.sinks.len() < 5 => {
                self.count("a sink is added");
                let kind = self.kind();
                let input = if self.random.bool() { Input::View } else { Input::Result };
                let backfill = self.random.u8(..3) == 0 && !self.sim.with(|world| world.log.latest);
                let sink = self.sink(kind, input, backfill);
                let at = self.random.usize(..results.len() + 1);
                self.edition.sinks.insert(at, sink);
                self.new_recipe();
            }
            3 if results.len() > 1 => {
                self.count("a sink is removed");
                let sink = self.edition.sinks.remove(one);
                self.take_out(&sink);
                self.removed.push(sink);
                self.recipe();
            }
            4 if !self.removed.is_empty() => {
                self.count("a sink comes again");
                let sink = self.removed.remove(self.random.usize(..self.removed.len()));
                self.come_again(&sink);
                self.differ = true;
                let at = self.random.usize(..results.len() + 1);
                self.edition.sinks.insert(at, sink);
                self.recipe();
            }
            5 => {
                let (target, old) = (self.edition.sinks[one].target, self.edition.sinks[one].name.clone());
                let stored =
                    self.sim.with(|world| world.targets[target].progress.get(&old).is_some_and(|e| !e.is_empty()));
                if !stored {
                    return;
                }
                self.count("a sink is renamed");
                self.names += 1;
                let new = format!("{old}r{}", self.names);
                self.edition.sinks[one].name.clone_from(&new);
                self.edition.sinks[one].backfill = false;
                self.expected.push(Expected::Renamed { target, old, new });
                self.recipe();
            }
            6 => {
                self.count("columns in another order");
                self.random.shuffle(&mut self.edition.columns);
                self.new_recipe();
            }
            7 if self.before.is_none() => {
                self.count("other columns");
                self.before = Some(self.edition.clone());
                match self.edition.columns.iter().position(|column| *column == "prediction") {
                    Some(at) => drop(self.edition.columns.remove(at)),
                    None => self.edition.columns.push("prediction"),
                }
                self.new_recipe();
            }
            8 if self.before.is_none() => {
                self.count("another scope");
                self.before = Some(self.edition.clone());
                let most = if self.narrows { 2 } else { 3 };
                self.edition.scope = [Scope::Record, Scope::Partition, Scope::Batch][self.random.usize(..most)];
                self.new_recipe();
            }
            9 => {
                self.count("another model");
                self.edition.model += 1;
                self.recipe();
            }
            10 => self.lose_commits(),
            11 => {
                let sink = self.edition.sinks[one].clone();
                let entries = self.sim.with(|world| {
                    // Who deletes them in a database waits for the locks of transactions that were sent.
                    if world.transactions.values().any(|held| held.sent && held.target == sink.target) {
                        return None;
                    }
                    let target = &mut world.targets[sink.target];
                    let rows = target.rows.values().any(|rows| !rows.is_empty());
                    if !rows || sink.backfill {
                        return None;
                    }
                    // A topic's transactions are those of producers that nobody knows any more.
                    target.forget_producers();
                    target.progress.remove(&sink.name)
                });
                if let Some(entries) = entries.filter(|entries| !entries.is_empty()) {
                    self.count("positions are deleted");
                    self.expected.push(Expected::Deleted { target: sink.target, name: sink.name, entries });
                }
            }
            12 => {
                self.count("the log is truncated");
                self.expected.push(Expected::Truncated);
                // Batches may lack their beginning from now on.
                self.gave_up = true;
                self.sim.with(|world| {
                    let index = world.random.usize(..world.log.partitions.len());
                    let log = &mut world.log.partitions[index];
                    log.first = world.random.i64(log.first..log.end + 1);
                    let first = log.first;
                    world.note(format!("partition {index} begins at {first}"));
                });
            }
            _ => {}
        }
    }

    /// Plans that only a sink keeps that is taken out go with it: the others get new ones.
    pub(super) fn take_out(&self, sink: &SinkEntry) {
        self.sim.with(|world| {
            let next = |target: usize, name: &str, index: i32| {
                world.targets[target].progress.get(name).and_then(|entries| entries.get(&index)).map_or(0, |e| e.next)
            };
            let lost: Vec<(i32, i64, i64)> = (0..world.log.partitions.len() as i32)
                .map(|index| {
                    let rest = self.edition.sinks.iter().map(|rest| next(rest.target, &rest.name, index)).min();
                    // It may have been renamed, or have lost its positions, and nobody was asked yet.
                    let rows = world.targets[sink.target].rows.get(&index).and_then(|rows| rows.last());
                    let names = world.targets[sink.target].progress.keys();
                    let to =
                        names.map(|name| next(sink.target, name, index)).chain(rows.map(|row| row.offset + 1)).max();
                    (index, rest.unwrap_or_default(), to.unwrap_or_default())
                })
                .collect();
            for (index, from, to) in lost {
                world.checker.replanned(index, from, to);
            }
        });
    }

    /// What was planned while a sink was out is planned again for it.
    pub(super) fn come_again(&self, sink: &SinkEntry) {
        self.sim.with(|world| {
            let now = world.targets[sink.target].progress.get(&sink.name).cloned().unwrap_or_default();
            for index in 0..world.log.partitions.len() as i32 {
                let from = now.get(&index).map_or(0, |entry| entry.next);
                world.checker.replanned(index, from, i64::MAX / 2);
            }
        });
    }
}
