//! Does something with every chunk of a file on every core, and hands the results on in the order of the file.
//!
//! One thread reads chunks of whole records, some threads work on them, and the caller's takes what they made. A chunk
//! begins only when there is room for it, so that memory does not grow with the file.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::input::{Chunk, Input};

/// What is done with a chunk, on any thread.
pub(crate) trait Work: Send + Sync + 'static {
    /// What becomes of a chunk.
    type Output: Send + 'static;

    /// Works on one chunk; also gives its number of rows.
    ///
    /// # Errors
    /// The first error in the order of the file ends everything.
    fn make(&self, chunk: &Chunk) -> Result<(Self::Output, usize)>;
}

/// What the taker hears of.
enum Done<M> {
    /// A chunk: its number, its bytes in the file, its rows.
    Chunk(u64, u64, Result<(M, usize)>),
    /// The file has this many chunks.
    End(u64),
}

/// Works on `first` and all that `input` still has; `take` gets the results in order.
pub(crate) fn run<W: Work>(
    work: W,
    input: Input,
    first: Option<Chunk>,
    take: impl FnMut(W::Output) -> Result<()>,
) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Enough chunks to keep everyone busy; no more than these are in memory at once.
    let room = workers * 2 + 2;
    let (leave, enter) = sync_channel(room);
    (0..room).for_each(|_| {
        let _ = leave.send(());
    });
    let (give, get) = sync_channel::<Chunk>(room);
    let (tell, hear) = channel();
    let get = Arc::new(Mutex::new(get));
    let work = Arc::new(work);
    for _ in 0..workers {
        let (work, get, tell) = (work.clone(), get.clone(), tell.clone());
        std::thread::spawn(move || worker(work.as_ref(), &get, &tell));
    }
    let progress = Progress::new(input.size);
    // Not joined: a reader that waits for standard input must not keep an error from being told.
    std::thread::spawn(move || reader(input, first, &enter, &give, &tell));
    taker(&hear, &leave, progress, take)
}

fn reader<M>(
    mut input: Input,
    first: Option<Chunk>,
    enter: &Receiver<()>,
    give: &SyncSender<Chunk>,
    tell: &Sender<Done<M>>,
) {
    let mut next = Ok(first);
    let mut number = 0;
    loop {
        if enter.recv().is_err() {
            return;
        }
        match next {
            Ok(Some(chunk)) => {
                number = chunk.number + 1;
                if give.send(chunk).is_err() {
                    return;
                }
            }
            Ok(None) => {
                let _ = tell.send(Done::End(number));
                return;
            }
            Err(error) => {
                let _ = tell.send(Done::Chunk(number, 0, Err(error)));
                return;
            }
        }
        next = input.next_chunk();
    }
}

fn worker<W: Work>(work: &W, get: &Mutex<Receiver<Chunk>>, tell: &Sender<Done<W::Output>>) {
    loop {
        let chunk = get.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = chunk else { return };
        let made = work.make(&chunk);
        if tell.send(Done::Chunk(chunk.number, chunk.bytes, made)).is_err() {
            return;
        }
    }
}

/// Takes chunks in order, so that the first error told is the first in the file.
fn taker<M>(
    hear: &Receiver<Done<M>>,
    leave: &SyncSender<()>,
    mut progress: Progress,
    mut take: impl FnMut(M) -> Result<()>,
) -> Result<()> {
    let mut early = BTreeMap::new();
    let (mut next, mut total) = (0, None);
    while total != Some(next) {
        match hear.recv() {
            Ok(Done::End(count)) => total = Some(count),
            Ok(Done::Chunk(number, bytes, made)) => {
                early.insert(number, (bytes, made));
            }
            Err(_) => bail!("a thread ended before its work was done"),
        }
        while let Some((bytes, made)) = early.remove(&next) {
            let (made, rows) = made?;
            take(made)?;
            progress.advance(bytes, rows);
            next += 1;
            let _ = leave.send(());
        }
    }
    progress.end();
    Ok(())
}

/// A bar on a terminal, once it has taken longer than a second.
struct Progress {
    started: Instant,
    size: Option<u64>,
    bytes: u64,
    rows: u64,
    bar: Option<ProgressBar>,
    terminal: bool,
}

const PATIENCE: Duration = Duration::from_secs(1);

impl Progress {
    fn new(size: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Progress { started: Instant::now(), size, bytes: 0, rows: 0, bar: None, terminal }
    }

    fn advance(&mut self, bytes: u64, rows: usize) {
        self.bytes += bytes;
        self.rows += rows as u64;
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        // The bytes read are known of text alone.
        let size = self.size.filter(|_| self.bytes > 0);
        let bar = self.bar.get_or_insert_with(|| match size {
            Some(size) => ProgressBar::new(size).with_style(style("{bar:30} {percent}%  {msg}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {msg}  {elapsed}")),
        });
        bar.set_position(self.bytes);
        let elapsed = self.started.elapsed().as_secs_f64();
        let mut message = format!("{} rows, {:.0} rows/s", self.rows, self.rows as f64 / elapsed);
        if let Some(size) = size {
            let left = elapsed * (size.saturating_sub(self.bytes)) as f64 / self.bytes as f64;
            message += &format!(", {left:.0} s left");
        }
        bar.set_message(message);
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
