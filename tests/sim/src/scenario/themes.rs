//! Runs that are about one interleaving each, which random ones meet too rarely.

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, Running};
use crate::query::{Input, SinkEntry};
use crate::sinks::{Kind, owner};
use crate::world::{Faults, World};

/// An interleaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Two sinks take turns in the pipeline. Each has a plan of its own over the same records, and the plan that another
    /// sink took last is the older one.
    Turns,
    /// A worker that lost its partition stores a batch in a database; the new owner does not reach that one meanwhile, and
    /// finds its own batch's end there when it does.
    Zombies,
}

/// How long something that must come may take.
const COMES_WITHIN: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) async fn themed(&mut self, theme: Theme) {
        match theme {
            Theme::Turns => self.take_turns().await,
            Theme::Zombies => self.write_as_a_zombie().await,
        }
        if !self.failed() {
            self.settle().await;
        }
    }

    fn shared_sink(&mut self, kinds: &[Kind]) -> SinkEntry {
        let kind = kinds[self.random.usize(..kinds.len())];
        self.sink(kind, Input::Result, false)
    }

    async fn take_turns(&mut self) {
        let any = [Kind::Compare, Kind::Fence, Kind::Log];
        let [first, second, stays, lags] = [(); 4].map(|()| self.shared_sink(&any));
        self.workers = self.random.usize(1..3);
        // 1: the first plans, and nobody else has it. 2: the second, which knows nothing of that, plans the same records.
        // 3: the first is back, and what it has is made again for the one that stays. 4: the second is back. The one that
        // lags lacks the records, and must get what was kept last.
        for (turn, leader) in [&first, &second, &first, &second].into_iter().enumerate() {
            let before = (turn > 0).then(|| self.edition.sinks.remove(0));
            if let Some(before) = before {
                self.take_out(&before);
                self.come_again(leader);
                self.differ = true;
                self.edition.sinks.insert(0, leader.clone());
            } else {
                self.edition.sinks = vec![leader.clone(), stays.clone(), lags.clone()];
            }
            self.recipe();
            let away = match turn {
                0 | 1 => vec![stays.target, lags.target],
                2 => vec![lags.target],
                _ => Vec::new(),
            };
            self.turn(&away).await;
            if self.failed() {
                return;
            }
        }
    }

    /// All are claimed, then some are away, and records come; at the end the workers die.
    async fn turn(&mut self, away: &[usize]) {
        let mut running = self.begin();
        self.claimed(&mut running).await;
        let records = self.random.i64(1..9);
        self.sim.with(|world| {
            for target in away {
                world.away.insert(Some(*target), Instant::now() + 2 * COMES_WITHIN);
                world.note(format!("{target} is away"));
            }
            let index = world.random.usize(..world.log.partitions.len());
            world.log.append(index, records);
        });
        tokio::time::sleep(Duration::from_millis(self.random.u64(3_000..12_000))).await;
        self.all_run(&mut running).await;
        self.stop(running, false).await;
        self.sim.with(|world| world.away.clear());
    }

    async fn write_as_a_zombie(&mut self) {
        let leader = self.shared_sink(&[Kind::Compare]);
        let follower = self.shared_sink(&[Kind::Fence, Kind::Log]);
        let database = leader.target;
        self.edition.sinks = vec![leader, follower];
        self.recipe();
        self.workers = 2;
        let mut running = self.begin();
        for _ in 0..self.random.usize(3..8) {
            self.claimed(&mut running).await;
            let partitions = self.sim.with(|world| world.log.partitions.len());
            let index = self.random.usize(..partitions) as i32;
            let Some(before) = self.sim.with(|world| owner(world, database, index)) else { break };
            let deaf = Duration::from_millis(self.random.u64(4_000..9_000));
            self.sim.with(|world| {
                let slot = world.lives[before].slot;
                if let Some(member) = world.group.members.get_mut(&slot) {
                    member.deaf_until = Instant::now() + deaf;
                }
                world.note(format!("worker {slot} hears nothing of the group"));
                world.rebalance();
            });
            let targets: Vec<usize> = self.edition.sinks.iter().map(|sink| sink.target).collect();
            let since = Instant::now();
            let next = loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let owners = self.sim.with(|world| targets.iter().map(|t| owner(world, *t, index)).collect::<Vec<_>>());
                match owners[..] {
                    [Some(one), Some(other)] if one == other && one != before => break Some(one),
                    _ if since.elapsed() > deaf => break None,
                    _ => {}
                }
            };
            if let Some(next) = next {
                let (cut, records) = (self.random.u64(1_000..3_000), self.random.i64(1..4));
                self.sim.with(|world| {
                    world.cut.insert((next, Some(database)), Instant::now() + Duration::from_millis(cut));
                    world.note(format!("life {next} does not reach {database} for {cut} ms"));
                    world.log.append(index as usize, records);
                });
            }
            tokio::time::sleep(deaf + Duration::from_millis(self.random.u64(0..3_000))).await;
            self.all_run(&mut running).await;
            if self.failed() {
                break;
            }
        }
        self.stop(running, false).await;
    }

    /// Workers where nothing fails but what the run is about.
    fn begin(&mut self) -> Vec<Option<Running>> {
        self.sim.with(|world| {
            world.faults = Faults { jitter: true, ..Faults::default() };
            world.era = world.lives.len();
            world.mark_anew();
        });
        (0..self.workers).map(|slot| Some(self.start(slot, false))).collect()
    }

    /// Until living workers have claimed every sink.
    async fn claimed(&mut self, running: &mut [Option<Running>]) {
        let since = Instant::now();
        while since.elapsed() < COMES_WITHIN && !self.failed() {
            let targets: Vec<usize> = self.edition.sinks.iter().map(|sink| sink.target).collect();
            let claimed = |world: &mut World| {
                let mut all = targets.iter().flat_map(|t| (0..world.log.partitions.len()).map(|at| (*t, at as i32)));
                all.all(|(target, index)| {
                    owner(world, target, index).is_some_and(|life| life >= world.era && world.lives[life].alive)
                })
            };
            if self.sim.with(claimed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.all_run(running).await;
        }
        self.violated("10: the sinks are not claimed".into());
    }

    /// No worker ends by itself.
    async fn all_run(&mut self, running: &mut [Option<Running>]) {
        for worker in running.iter_mut() {
            if worker.as_ref().is_some_and(|worker| worker.task.is_finished()) {
                let worker = worker.take().expect("it is there");
                let ended = worker.task.await;
                self.violated(format!("10: life {} ends: {ended:?}", worker.life));
                self.bury(worker.life);
            }
        }
    }
}
