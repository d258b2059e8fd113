//! What happens to workers and services while they run.

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, Running};
use crate::log::LogPartition;
use crate::query::Input;
use crate::sinks::Kind;
use crate::world::World;

impl Driver {
    /// What happens to workers and services while they run.
    pub(super) fn trouble(&mut self, running: &mut [Option<Running>]) {
        let what = self.random.u8(..40);
        let slot = self.random.usize(..running.len());
        let seconds = self.random.u64(1..20);
        let long = self.random.u64(5..70);
        match what {
            0..2 => {
                if let Some(worker) = &running[slot] {
                    self.sim.with(|world| world.kill(worker.life, "from outside"));
                }
            }
            2 => {
                if let Some(worker) = &running[slot] {
                    worker.shutdown.cancel();
                }
            }
            3..6 => self.sim.with(World::rebalance),
            6..8 => self.sim.with(|world| {
                let seconds = seconds.min(8);
                let until = Instant::now() + Duration::from_secs(seconds);
                if let Some(member) = world.group.members.get_mut(&slot) {
                    member.deaf_until = until;
                }
                world.note(format!("worker {slot} hears nothing of the group for {seconds} s"));
                world.rebalance();
            }),
            8..10 => {
                let service = self.random.usize(..self.edition.sinks.len() + 1);
                let service = self.edition.sinks.get(service).map(|sink| sink.target);
                self.sim.with(|world| {
                    world.away.insert(service, Instant::now() + Duration::from_secs(seconds));
                    world.note(format!("{service:?} is away for {seconds} s"));
                });
            }
            10..16 => self.sim.with(|world| {
                let index = world.random.usize(..world.log.partitions.len());
                let records = world.random.i64(1..8);
                world.log.append(index, records);
            }),
            16 if self.sim.with(|world| world.log.partitions.len()) < 4 => {
                self.count("a partition is added");
                self.sim.with(|world| {
                    world.log.partitions.push(LogPartition::default());
                    let index = world.log.partitions.len() - 1;
                    world.log.append(index, 4);
                    world.rebalance();
                });
            }
            17..20 => {
                let target = self.edition.sinks[self.random.usize(..self.edition.sinks.len())].target;
                let backup = self.sim.with(|world| world.targets[target].clone());
                if self.backups.len() == 6 {
                    self.backups.pop_front();
                }
                self.backups.push_back((target, backup));
            }
            // Who compares sees it; a topic's or a folder's own lost writes are outside the promise.
            21..23 => {
                let service = self.edition.sinks[self.random.usize(..self.edition.sinks.len())].target;
                if let Some(worker) = &running[slot] {
                    self.sim.with(|world| {
                        world.cut.insert((worker.life, Some(service)), Instant::now() + Duration::from_secs(long));
                        world.note(format!("life {} does not reach {service} for {long} s", worker.life));
                        world.rebalance();
                    });
                }
            }
            // Where plans are to be left over, sinks are away for long; where workers are to be zombies, they hear nothing.
            23 | 24 if self.churn || self.narrows => {
                let results = self.edition.sinks.iter().filter(|sink| sink.input != Input::DeadLetters);
                let targets: Vec<usize> = results.map(|sink| sink.target).collect();
                let target = targets[self.random.usize(..targets.len())];
                self.sim.with(|world| {
                    world.away.insert(Some(target), Instant::now() + Duration::from_secs(long));
                    world.note(format!("{target} is away for {long} s"));
                });
            }
            23..28 if self.zombies => self.sim.with(|world| {
                if let Some(member) = world.group.members.get_mut(&slot) {
                    member.deaf_until = Instant::now() + Duration::from_secs(8);
                }
                world.note(format!("worker {slot} hears nothing of the group for 8 s"));
                world.rebalance();
                let index = world.random.usize(..world.log.partitions.len());
                let records = world.random.i64(1..4);
                world.log.append(index, records);
            }),
            20 if self.backups.front().is_some_and(|(_, backup)| backup.kind == Kind::Compare) => self.lose_commits(),
            _ => {}
        }
    }
}
