//! Lines on the local disk: synced before a sink can see them, there until every sink has them.
//!
//! A folder with `id` (names the spool for ever), `lock` (one process at a time), `committed` (a hint for sinks that
//! keep no positions), and segments of frames ([`segment`], [`frame`]). One append is one frame, written and synced
//! before the next begins: so a crash can leave only the last frame unfinished, and that one was never handed out.

mod frame;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretell_flow::{Demand, Records, RecordsBuilder, StageError};
use parking_lot::{Condvar, Mutex};
use tracing::{info, warn};
use uuid::Uuid;

use super::lines::Lines;
use super::log::{Extent, Log, TOPIC};
use frame::HEADER;
use segment::{Segment, Tail, damaged, unreadable};

/// A segment is closed at this size, or a quarter of the spool's: only whole segments can go.
const SEGMENT: u64 = 64 * 1024 * 1024;

/// Wait before writing again to a disk that is full.
const AGAIN: Duration = Duration::from_secs(1);

const TITLE: &str = "foretell spool 1";

/// The folder, opened by the one process that may.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    id: Uuid,
    max_size: u64,
    state: Mutex<State>,
    freed: Condvar,
    writer: Mutex<Writer>,
    cursor: Mutex<Option<Cursor>>,
    /// Held as long as the spool is.
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// In order; the last one grows.
    segments: VecDeque<Segment>,
    /// The offset behind the last line that is synced.
    end: i64,
    committed: i64,
    closed: bool,
}

impl State {
    /// The first line that is still there.
    fn first(&self) -> i64 {
        self.segments.front().map_or(self.end, |segment| segment.first)
    }

    fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// The last segment.
#[derive(Debug)]
struct Writer {
    file: File,
    at: u64,
}

/// Where reading is.
#[derive(Debug)]
struct Cursor {
    segment: i64,
    file: File,
    /// The next frame.
    at: u64,
    /// The payload of the frame at hand, and what of it was read.
    payload: Vec<u8>,
    read: usize,
    /// The next line's offset.
    next: i64,
}

impl Spool {
    /// Opens the folder, or begins a spool in it. What a crash left of an append that was never synced is cut off.
    ///
    /// # Errors
    /// Another process has it; it cannot be written; it is damaged.
    pub(super) fn open(folder: &Path, max_size: u64) -> Result<Spool, StageError> {
        let failed = |error: io::Error| unwritable(folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = create(&folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = StageError::settings(format!("spool: {} is in use by another process", folder.display()));
                return Err(error.remedy("a spool has one reader: stop the other, or use another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut segments: VecDeque<Segment> = Segment::list(folder).map_err(failed)?.into();
        let id = match read_id(folder)? {
            Some(id) => id,
            None if segments.is_empty() => begin(folder).map_err(failed)?,
            None => {
                let error = format!("spool: {} has lines, but its file `id` is gone", folder.display());
                return Err(StageError::state(error).remedy("bring it back, or move the folder away"));
            }
        };
        let (writer, end) = match segments.back_mut() {
            Some(last) => {
                let tail = segment::tail(folder, *last, id)?;
                let file = cut(folder, *last, tail).map_err(failed)?;
                last.bytes = tail.bytes;
                (Writer { file, at: tail.bytes }, tail.end)
            }
            None => {
                let file = add(folder, 0).map_err(failed)?;
                segments.push_back(Segment { first: 0, bytes: 0 });
                (Writer { file, at: 0 }, 0)
            }
        };
        let committed = read_committed(folder).clamp(segments.front().map_or(end, |segment| segment.first), end);
        Ok(Spool {
            folder: folder.to_path_buf(),
            id,
            max_size,
            state: Mutex::new(State { segments, end, committed, closed: false }),
            freed: Condvar::new(),
            writer: Mutex::new(writer),
            cursor: Mutex::new(None),
            _lock: lock,
        })
    }

    /// What is in a folder, without touching it; `None` where there is no spool yet.
    pub(super) fn look(folder: &Path) -> Result<Option<(String, Extent)>, StageError> {
        let Some(id) = read_id(folder)? else { return Ok(None) };
        let segments = Segment::list(folder).map_err(|error| unreadable(folder, &error))?;
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(None) };
        let end = segment::tail(folder, *last, id)?.end;
        let committed = Some(read_committed(folder).clamp(first.first, end));
        Ok(Some((identity(id), Extent { first: first.first, end, committed })))
    }

    /// Waits until the spool is smaller than it may be; false when it was closed.
    fn wait_for_room(&self, writer: &mut Writer) -> bool {
        let mut told = false;
        let mut state = self.state.lock();
        while !state.closed {
            if state.size() < self.max_size {
                if told {
                    info!("the spool has room again");
                }
                return true;
            }
            if state.committed >= state.end {
                // Every sink has all of it, but the last segment goes only when another follows.
                drop(state);
                if !self.roll(writer) {
                    return false;
                }
                self.let_go();
                state = self.state.lock();
                continue;
            }
            if !std::mem::replace(&mut told, true) {
                warn!(bytes = state.size(), "the spool is full: nothing is read from the sockets until sinks catch up");
            }
            self.freed.wait(&mut state);
        }
        false
    }

    /// Begins another segment, unless the last one is empty; false when the spool was closed.
    fn roll(&self, writer: &mut Writer) -> bool {
        if writer.at == 0 {
            return true;
        }
        let first = self.state.lock().end;
        let Some(file) = self.patiently(|| add(&self.folder, first)) else { return false };
        *writer = Writer { file, at: 0 };
        self.state.lock().segments.push_back(Segment { first, bytes: 0 });
        true
    }

    /// Writes a frame; false when the spool was closed.
    fn write(&self, writer: &mut Writer, frame: &[u8]) -> bool {
        let written = self.patiently(|| {
            let Err(error) = writer.file.write_all_at(frame, writer.at) else { return Ok(true) };
            // Half a frame may stand there.
            drop(writer.file.set_len(writer.at));
            let state = self.state.lock();
            let drained = writer.at > 0 && state.committed >= state.end;
            if drained { Ok(false) } else { Err(error) }
        });
        match written {
            // Every sink has all of it: its disk space can be had.
            Some(false) if self.roll(writer) => {
                self.let_go();
                self.write(writer, frame)
            }
            Some(written) => written,
            None => false,
        }
    }

    /// Does what a full disk may refuse until it is done; `None` when the spool was closed.
    fn patiently<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> Option<T> {
        let mut told = false;
        loop {
            match act() {
                Ok(done) => return Some(done),
                Err(error) if !std::mem::replace(&mut told, true) => {
                    warn!("{}; nothing is read from the sockets until it can be", unwritable(&self.folder, &error));
                }
                Err(_) => {}
            }
            let mut state = self.state.lock();
            self.freed.wait_while_for(&mut state, |state| !state.closed, AGAIN);
            if state.closed {
                return None;
            }
        }
    }

    /// Removes the segments that every sink has.
    fn let_go(&self) {
        let mut state = self.state.lock();
        while let Some(next) = state.segments.get(1)
            && next.first <= state.committed
        {
            let path = Segment::path(&self.folder, state.first());
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                warn!("spool: {} cannot be removed: {error}", path.display());
                return;
            }
            state.segments.pop_front();
        }
        let first = state.first();
        drop(state);
        // A file that is open keeps its place on the disk.
        self.cursor.lock().take_if(|cursor| cursor.segment < first);
        self.freed.notify_all();
    }

    /// A cursor at this offset.
    fn seek(&self, offset: i64) -> Result<Cursor, StageError> {
        let segment = self.state.lock().segments.iter().rev().find(|segment| segment.first <= offset).copied();
        let gone = || StageError::state(format!("spool: line {offset} is gone"));
        let first = segment.ok_or_else(gone)?.first;
        let mut cursor = self.cursor_at(first)?;
        let path = Segment::path(&self.folder, first);
        loop {
            let length = cursor.file.metadata().map_err(|error| unreadable(&path, &error))?.len();
            let header = segment::header(&cursor.file, cursor.at, length).map_err(|error| unreadable(&path, &error))?;
            // At the end of the file the next line is the one that is looked for.
            let Some(header) = header else { break };
            if header.end() > offset {
                break;
            }
            cursor.at = header.behind(cursor.at);
            cursor.next = header.end();
        }
        if cursor.next < offset {
            self.load(&mut cursor)?;
            while cursor.next < offset {
                self.line(&mut cursor, |_| true)?;
            }
        }
        Ok(cursor)
    }

    fn cursor_at(&self, first: i64) -> Result<Cursor, StageError> {
        let path = Segment::path(&self.folder, first);
        let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(Cursor { segment: first, file, at: 0, payload: Vec::new(), read: 0, next: first })
    }

    /// Reads the frame of the next line, which is there.
    fn load(&self, cursor: &mut Cursor) -> Result<(), StageError> {
        let failed = |path: &Path, error: io::Error| unreadable(path, &error);
        if cursor.next > cursor.segment && self.state.lock().segments.iter().any(|s| s.first == cursor.next) {
            *cursor = self.cursor_at(cursor.next)?;
        }
        let path = Segment::path(&self.folder, cursor.segment);
        let length = cursor.file.metadata().map_err(|error| failed(&path, error))?.len();
        let next_segment = || self.state.lock().segments.iter().map(|s| s.first).find(|first| *first > cursor.segment);
        let header = segment::header(&cursor.file, cursor.at, length).map_err(|error| failed(&path, error))?;
        let Some(header) = header.filter(|header| header.first == cursor.next) else {
            return Err(damaged(&path, cursor.at, next_segment()));
        };
        let mut payload = vec![0; header.length as usize];
        cursor
            .file
            .read_exact_at(&mut payload, cursor.at.saturating_add(HEADER as u64))
            .map_err(|error| failed(&path, error))?;
        if !header.fits(self.id, &payload) {
            return Err(damaged(&path, cursor.at, next_segment()));
        }
        cursor.at = header.behind(cursor.at);
        (cursor.payload, cursor.read) = (payload, 0);
        Ok(())
    }

    /// Steps over the next line of the frame at hand, if `take` takes it.
    fn line(&self, cursor: &mut Cursor, take: impl FnOnce(super::lines::Line<'_>) -> bool) -> Result<bool, StageError> {
        let mut rest = cursor.payload.get(cursor.read..).unwrap_or_default();
        let line = frame::line(&mut rest);
        let line = line.ok_or_else(|| damaged(&Segment::path(&self.folder, cursor.segment), cursor.at, None))?;
        if !take(line) {
            return Ok(false);
        }
        cursor.read = cursor.payload.len().saturating_sub(rest.len());
        cursor.next = cursor.next.saturating_add(1);
        Ok(true)
    }
}

impl Log for Spool {
    fn identity(&self) -> String {
        identity(self.id)
    }

    fn extent(&self) -> Extent {
        let state = self.state.lock();
        Extent { first: state.first(), end: state.end, committed: Some(state.committed) }
    }

    fn append(&self, group: Vec<Lines>) -> Result<bool, StageError> {
        let count: usize = group.iter().map(Lines::len).sum();
        if count == 0 {
            return Ok(!self.state.lock().closed);
        }
        let mut writer = self.writer.lock();
        if !self.wait_for_room(&mut writer) {
            return Ok(false);
        }
        if writer.at >= SEGMENT.min(self.max_size / 4) && !self.roll(&mut writer) {
            return Ok(false);
        }
        let frame = frame::encode(self.id, self.state.lock().end, &group);
        if !self.write(&mut writer, &frame) {
            return Ok(false);
        }
        // Not again: after a sync that failed the system may count the pages as written.
        writer.file.sync_data().map_err(|error| {
            StageError::state(format!("spool: {} cannot be synced: {error}", self.folder.display()))
                .remedy("see to the disk; the next start goes on from what was synced")
        })?;
        writer.at = writer.at.saturating_add(frame.len() as u64);
        let mut state = self.state.lock();
        state.end = state.end.saturating_add(count as i64);
        if let Some(last) = state.segments.back_mut() {
            last.bytes = writer.at;
        }
        Ok(!state.closed)
    }

    fn read(&self, from: i64, demand: Demand) -> Result<Option<Records>, StageError> {
        let end = self.state.lock().end;
        let mut slot = self.cursor.lock();
        let mut cursor = match slot.take().filter(|cursor| cursor.next == from) {
            Some(cursor) => cursor,
            None => self.seek(from)?,
        };
        let mut records = RecordsBuilder::new(TOPIC.into());
        while cursor.next < end && records.len() < demand.rows {
            if cursor.read == cursor.payload.len() {
                self.load(&mut cursor)?;
            }
            let offset = cursor.next;
            let taken = self.line(&mut cursor, |line| {
                let room = records.is_empty() || records.bytes().saturating_add(line.bytes.len()) <= demand.bytes;
                if room {
                    line.push(&mut records, offset);
                }
                room
            })?;
            if !taken {
                break;
            }
        }
        *slot = Some(cursor);
        Ok((!records.is_empty()).then(|| records.finish()))
    }

    fn begin(&self, next: i64) {
        {
            let mut state = self.state.lock();
            state.committed = next.clamp(state.first(), state.end);
        }
        self.let_go();
    }

    fn commit(&self, next: i64) {
        {
            let mut state = self.state.lock();
            if next <= state.committed {
                return;
            }
            state.committed = next.min(state.end);
        }
        let hint = self.folder.join("committed.new");
        let write = std::fs::write(&hint, format!("{next}\n"));
        if let Err(error) = write.and_then(|()| std::fs::rename(&hint, self.folder.join("committed"))) {
            // A hint for consoles only: sinks that keep positions know better.
            tracing::debug!("spool: `committed` is not written: {error}");
        }
        self.let_go();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}

fn identity(id: Uuid) -> String {
    format!("spool {id}")
}

fn unwritable(folder: &Path, error: &io::Error) -> StageError {
    StageError::settings(format!("spool: {} cannot be written: {error}", folder.display()))
}

/// Opens or creates a file that only its owner reads: lines are the users' data.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Begins a segment. What is there already under its name was never written to.
fn add(folder: &Path, first: i64) -> io::Result<File> {
    let file = create(&Segment::path(folder, first))?;
    file.set_len(0)?;
    sync_folder(folder)?;
    Ok(file)
}

/// Opens the last segment, without what follows its last whole frame.
fn cut(folder: &Path, segment: Segment, tail: Tail) -> io::Result<File> {
    let file = create(&Segment::path(folder, segment.first))?;
    if segment.bytes > tail.bytes {
        let bytes = segment.bytes.saturating_sub(tail.bytes);
        info!(bytes, "the spool ends with an append that was never finished; nobody was promised it");
        file.set_len(tail.bytes)?;
        file.sync_all()?;
    }
    Ok(file)
}

/// Gives a new spool its id.
fn begin(folder: &Path) -> io::Result<Uuid> {
    let id = Uuid::new_v4();
    let new = folder.join("id.new");
    let file = create(&new)?;
    file.write_all_at(format!("{TITLE}\n{id}\n").as_bytes(), 0)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join("id"))?;
    sync_folder(folder)?;
    Ok(id)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_id(folder: &Path) -> Result<Option<Uuid>, StageError> {
    let path = folder.join("id");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let id = text.strip_prefix(TITLE).and_then(|id| Uuid::try_parse(id.trim()).ok());
            let foreign = || StageError::state(format!("spool: {} is not one of this program's", path.display()));
            id.map(Some).ok_or_else(|| foreign().remedy("use another folder"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn read_committed(folder: &Path) -> i64 {
    let text = std::fs::read_to_string(folder.join("committed")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}
