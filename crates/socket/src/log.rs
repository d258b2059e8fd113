//! Where lines are kept from their arrival until every sink has them.

use std::sync::Arc;
use std::thread::JoinHandle;

use foretell_flow::{Demand, Records, StageError};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::lines::Lines;

/// The name under which lines are records: `_topic`.
pub(super) const TOPIC: &str = "socket";

/// Bytes of lines that one append takes at most, but for the last that fits: many lines a sync.
const GROUP: usize = 1 << 20;

/// Groups of lines on their way from the connections: a slow log holds the connections up.
const WAITING: usize = 32;

/// Numbered lines. One thread appends, another reads and commits.
pub(super) trait Log: Send + Sync {
    /// Names it, as a source's log.
    fn identity(&self) -> String;

    /// What is there.
    fn extent(&self) -> Extent;

    /// Keeps lines, and waits while there is no room for them. `false` when the log was closed meanwhile.
    ///
    /// # Errors
    /// Nothing more can be kept.
    fn append(&self, group: Vec<Lines>) -> Result<bool, StageError>;

    /// Records from this offset on, at most what is demanded; `None` where there is nothing yet.
    ///
    /// # Errors
    /// What was kept does not read.
    fn read(&self, from: i64, demand: Demand) -> Result<Option<Records>, StageError>;

    /// Reading begins here: every sink has what is below, and it may go; some sink may lack the rest, whatever was
    /// committed before.
    fn begin(&self, next: i64);

    /// Every sink has what is below: it may go.
    fn commit(&self, next: i64);

    /// Wakes `append` for the last time.
    fn close(&self);
}

/// Which lines a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first that is still there.
    pub(super) first: i64,
    /// The next to come.
    pub(super) end: i64,
    /// Below it every sink had everything.
    pub(super) committed: Option<i64>,
}

/// The thread that appends.
pub(super) struct Keeper {
    pub(super) log: Arc<dyn Log>,
    /// Told after each append, and when nothing more can be appended.
    pub(super) arrived: Arc<Notify>,
    failed: Arc<Mutex<Option<StageError>>>,
    sender: mpsc::Sender<Lines>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(log: Arc<dyn Log>) -> std::io::Result<Keeper> {
        let (sender, mut receiver) = mpsc::channel::<Lines>(WAITING);
        let (arrived, failed) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
        let (kept, told, error) = (log.clone(), arrived.clone(), failed.clone());
        let run = move || {
            while let Some(first) = receiver.blocking_recv() {
                let mut memory = first.memory();
                let mut group = vec![first];
                while memory < GROUP {
                    let Ok(next) = receiver.try_recv() else { break };
                    memory = memory.saturating_add(next.memory());
                    group.push(next);
                }
                match kept.append(group) {
                    Ok(true) => told.notify_one(),
                    Ok(false) => break,
                    Err(fatal) => {
                        *error.lock() = Some(fatal);
                        told.notify_one();
                        break;
                    }
                }
            }
        };
        let (told, error) = (arrived.clone(), failed.clone());
        let run = move || {
            if let Err(fatal) = StageError::guarded("the socket's log", run) {
                *error.lock() = Some(fatal);
                told.notify_one();
            }
        };
        let thread = std::thread::Builder::new().name("socket".into()).spawn(run)?;
        Ok(Keeper { log, arrived, failed, sender, thread: Some(thread) })
    }

    /// Where connections hand in their lines.
    pub(super) fn sender(&self) -> mpsc::Sender<Lines> {
        self.sender.clone()
    }

    /// Why nothing more is appended.
    pub(super) fn failed(&self) -> Option<StageError> {
        self.failed.lock().clone()
    }
}

impl Drop for Keeper {
    /// Waits for the append at hand: then nobody holds the log any more.
    fn drop(&mut self) {
        self.log.close();
        // A thread that waits for lines wakes by this; of one that does not, the channel may be full.
        drop(self.sender.try_send(Lines::default()));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
