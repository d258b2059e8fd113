//! What a person does when a start asks: what the message says.

use foretell_flow::StageError;

use super::{Driver, Expected};
use crate::query::{Edition, SinkEntry};
use crate::sinks::Target;

impl Driver {
    /// What a person does when a start asks. Returns whether it was to be expected.
    pub(super) async fn remedy(&mut self, error: &StageError) -> bool {
        let text = error.message.as_str();
        self.sim.with(|world| world.note(format!("a person is asked: {text}")));
        let none = text.contains("no sink has a position");
        if none || text.contains("had positions, and has none") || text.contains("has no positions, and") {
            let at = self.expected.iter().position(|e| match e {
                Expected::Renamed { target, .. } | Expected::Deleted { target, .. } if none => {
                    self.edition.sinks.iter().any(|sink| sink.target == *target)
                }
                Expected::Renamed { new, .. } => text.contains(&format!("`{new}`")),
                Expected::Deleted { name, .. } => text.contains(&format!("`{name}`")),
                Expected::Truncated => false,
            });
            if none && at.is_none() && self.removed.len() + self.expected.len() > 0 {
                *self.happened.entry("asked: only new sinks are left").or_default() += 1;
                self.all_new = true;
                return true;
            }
            let Some(at) = at else { return false };
            match self.expected.remove(at) {
                Expected::Renamed { target, old, new } => {
                    *self.happened.entry("asked: a sink was renamed").or_default() += 1;
                    self.sim.with(|world| {
                        // It waits for what is on its way, and fences it.
                        world.transactions.retain(|_, transaction| transaction.target != target);
                        world.targets[target].fence();
                        let progress = &mut world.targets[target].progress;
                        if let Some(entries) = progress.remove(&old) {
                            progress.insert(new, entries);
                        }
                    });
                }
                Expected::Deleted { target, name, entries } => {
                    *self.happened.entry("asked: positions were deleted").or_default() += 1;
                    self.sim.with(|world| world.targets[target].progress.insert(name, entries));
                }
                Expected::Truncated => {}
            }
            return true;
        }
        if text.contains("records are gone") || text.contains("is out of range") {
            if !self.expected.iter().any(|expected| matches!(expected, Expected::Truncated)) {
                return false;
            }
            *self.happened.entry("asked: records are gone").or_default() += 1;
            self.give_up();
            return true;
        }
        if self.gave_up && text.contains("only a part of the partitions") {
            *self.happened.entry("asked: a batch cannot be made again").or_default() += 1;
            self.give_batch_up(text);
            return true;
        }
        if (self.gave_up || self.differ) && text.contains("no batch leads from") {
            *self.happened.entry("asked: no batch leads on").or_default() += 1;
            self.move_to_one_place();
            return true;
        }
        if self.gave_up && text.contains("in the middle of a batch") {
            *self.happened.entry("asked: a batch is cut").or_default() += 1;
            self.move_to_the_end(text);
            return true;
        }
        let cannot = ["lacks a batch", "in the middle of a batch", "no batch leads from", "takes it as a whole"];
        if cannot.iter().any(|what| text.contains(what)) {
            if self.is_back {
                // Batches of both files are lacking: they are run in turn.
                self.turned = true;
                return true;
            }
            let Some(before) = self.before.clone().filter(|_| self.going_back < 30) else { return false };
            self.going_back += 1;
            self.is_back = true;
            *self.happened.entry("asked: back to the file of before").or_default() += 1;
            let today = self.edition.clone();
            self.edition = Edition { sinks: today.sinks.clone(), ..before };
            self.recipe();
            self.turned = false;
            let asked = self.settle().await;
            self.edition = today;
            self.recipe();
            self.is_back = false;
            self.turned = false;
            return asked;
        }
        false
    }

    /// Whoever sets positions waits for what is on its way, and fences it.
    fn fence_all(&self) {
        self.sim.with(|world| {
            for sink in &self.edition.sinks {
                world.transactions.retain(|_, transaction| transaction.target != sink.target);
                world.targets[sink.target].fence();
            }
        });
    }

    /// Positions below the ends of a batch are set to these.
    fn give_batch_up(&self, text: &str) {
        self.fence_all();
        let list = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(list, _)| list);
        let mut ranges = Vec::new();
        for range in list.split(", ") {
            let numbers: Vec<i64> = range.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            if let [index, _, to] = numbers[..] {
                ranges.push((index as i32, to));
            }
        }
        self.sim.with(|world| {
            // In all its partitions, whichever the message names.
            world.checker.gave_up = true;
            for sink in &self.edition.sinks {
                let Target { progress, gaps, .. } = &mut world.targets[sink.target];
                for (index, to) in &ranges {
                    let entry = progress.get_mut(&sink.name).and_then(|entries| entries.get_mut(index));
                    let Some(entry) = entry.filter(|entry| entry.next < *to) else { continue };
                    gaps.entry(*index).or_default().extend(entry.next..*to);
                    entry.next = *to;
                    entry.plans.clear();
                    world.checker.replanned(*index, 0, i64::MAX / 2);
                }
            }
        });
    }

    /// All sinks are set to where the first of them is.
    fn move_to_one_place(&self) {
        self.fence_all();
        self.sim.with(|world| {
            for index in 0..world.log.partitions.len() as i32 {
                let next =
                    |sink: &SinkEntry| world.targets[sink.target].progress.get(&sink.name)?.get(&index).map(|e| e.next);
                let Some(to) = self.edition.sinks.iter().filter_map(next).max() else { continue };
                world.checker.replanned(index, 0, i64::MAX / 2);
                for sink in &self.edition.sinks {
                    let Target { progress, gaps, .. } = &mut world.targets[sink.target];
                    let Some(entry) = progress.get_mut(&sink.name).and_then(|entries| entries.get_mut(&index)) else {
                        continue;
                    };
                    gaps.entry(index).or_default().extend(entry.next..to);
                    entry.next = to;
                    entry.plans.clear();
                }
            }
        });
    }

    /// A position in the middle of a batch is set to the batch's end, as the remedy says.
    fn move_to_the_end(&self, text: &str) {
        self.fence_all();
        let after = |what: &str| text.split_once(what).map(|(_, rest)| rest).unwrap_or_default();
        let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<i64>().ok());
        let name = after("sink `").split('`').next().unwrap_or_default().to_string();
        let (index, to) =
            (number(after("orders[")).unwrap_or_default() as i32, number(after(" to ")).unwrap_or_default());
        self.sim.with(|world| {
            for sink in self.edition.sinks.iter().filter(|sink| sink.name == name) {
                let Some(entry) = world.targets[sink.target].progress.get_mut(&name).and_then(|e| e.get_mut(&index))
                else {
                    continue;
                };
                let gap = entry.next..to;
                entry.next = to;
                entry.plans.clear();
                world.targets[sink.target].gaps.entry(index).or_default().extend(gap);
                world.checker.replanned(index, 0, i64::MAX / 2);
            }
        });
    }

    /// Positions below the log's first record are set to it.
    fn give_up(&mut self) {
        self.fence_all();
        self.gave_up = true;
        self.sim.with(|world| {
            world.checker.gave_up = true;
            for sink in &self.edition.sinks {
                let target = sink.target;
                let Target { progress, gaps, .. } = &mut world.targets[target];
                let Some(entries) = progress.get_mut(&sink.name) else { continue };
                for (index, entry) in entries {
                    let first = world.log.partitions[*index as usize].first;
                    if entry.next < first {
                        gaps.entry(*index).or_default().extend(entry.next..first);
                        entry.next = first;
                        entry.plans.clear();
                        world.checker.replanned(*index, 0, i64::MAX / 2);
                    }
                }
            }
        });
    }
}
