//! Lives of edition after edition, and the end, at which nothing fails any more.

use std::time::Duration;

use super::{Driver, Until};
use crate::world::Faults;

impl Driver {
    /// Runs until every sink has everything, where nothing fails. Returns whether what was asked was expected.
    pub(super) async fn settle(&mut self) -> bool {
        let calm = Faults { jitter: true, ..Faults::default() };
        for _ in 0..40 {
            self.sim.with(|world| {
                world.away.clear();
                world.cut.clear();
            });
            match Box::pin(self.era(Until::Level, calm)).await {
                None => return true,
                Some(error) if Box::pin(self.remedy(&error)).await => {
                    if self.turned {
                        return true;
                    }
                }
                Some(error) => {
                    self.violated(format!("10: it stops, and nobody knows why: {error}"));
                    return true;
                }
            }
        }
        self.violated("10: it stops again and again".into());
        true
    }

    pub(super) async fn lives(&mut self) {
        for _ in 0..self.random.usize(if self.churn { 4..9 } else { 2..6 }) {
            let faults = Faults {
                errors: if self.zombies { self.random.u32(6..20) } else { self.random.u32(12..80) },
                kills: self.random.u32(150..800),
                slow: self.random.u32(20..200),
                jitter: true,
            };
            let longest = if self.random.u8(..6) == 0 { 150 } else { 25 };
            let mut time = Duration::from_secs(self.random.u64(1..longest));
            for _ in 0..6 {
                match self.era(Until::After(time), faults).await {
                    None => break,
                    Some(error) if self.remedy(&error).await => time /= 2,
                    Some(error) => self.violated(format!("10: it stops, and nobody knows why: {error}")),
                }
            }
            if self.failed() {
                return;
            }
            for _ in 0..self.random.usize(1..3) {
                self.edit();
            }
        }
        self.settle().await;
    }
}
