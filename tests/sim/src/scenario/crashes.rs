//! Two workers, sinks of three kinds, and a crash at each point.

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, RECOVERY, Running};
use crate::log::SESSION;

impl Driver {
    /// Two workers and three batches, with nothing random but where they crash.
    pub(super) async fn crash_points(&mut self) {
        debug_assert!(self.exhaustive);
        let begun = Instant::now();
        let mut running: Vec<Option<Running>> = vec![None, None];
        let mut due = [Instant::now(); 2];
        while begun.elapsed() < RECOVERY && !self.failed() {
            for slot in 0..2 {
                if running[slot].is_none() && due[slot] <= Instant::now() {
                    running[slot] = Some(self.start(slot, false));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            for slot in 0..2 {
                if running[slot].as_ref().is_some_and(|worker| worker.task.is_finished()) {
                    let worker = running[slot].take().expect("it is there");
                    match worker.task.await {
                        Ok(None) => {}
                        ended => self.violated(format!("10: life {} ends: {ended:?}", worker.life)),
                    }
                    due[slot] = Instant::now() + Duration::from_millis(500);
                    let life = worker.life;
                    self.sim.later(SESSION, move |world| world.leave(life));
                }
            }
            if self.is_level() {
                let calm = self.sim.with(|world| world.crash_at.is_empty() || world.points > 100_000);
                if calm || begun.elapsed() > Duration::from_secs(30) {
                    break;
                }
            }
        }
        if !self.is_level() {
            self.violated(format!("10: sinks still lack records: {}", self.positions()));
        }
        self.stop(running, false).await;
    }
}
