//! The partitions of one worker as a source of the run loop.

#![allow(clippy::arithmetic_side_effects, reason = "rows and entries that were read")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{BinaryArray, Int32Array, Int64Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use async_trait::async_trait;
use foretell_flow::{
    Bounds, Chunk, Demand, Event, Housekeeping, Location, Partition, Position, Provenance, Records, RecordsBuilder,
    Source, StageError, Topics,
};
use tokio::time::timeout_at;

use super::TOPIC;
use super::catalog::{Catalog, Session};
use super::feed::{Block, Content, Feed, start};
use super::lines::Numbers;
use super::list::{Known, Listed};
use super::offset::{next_entry, pack, unpack};
use super::parquet::{footer, rows_before};
use super::settings::Format;
use foretell_connect::kind::SourceContext;

/// How often it is looked whether another process reads the same files.
const ALONE: Duration = Duration::from_secs(5);

/// One worker's partitions.
pub(super) struct FileSource {
    catalog: Arc<Catalog>,
    _session: Arc<Session>,
    topic: Arc<str>,
    partitions: Vec<u64>,
    /// Whether the partitions were assigned.
    told: bool,
    /// By partition, the next offset to hand out; empty until the first `seek`.
    at: BTreeMap<u64, i64>,
    feed: Option<Feed>,
    block: Option<Cursor>,
    alone: Instant,
}

/// A block, and how many of its records were handed out.
pub(super) struct Cursor {
    block: Block,
    values: Option<BinaryArray>,
    done: usize,
}

impl Cursor {
    pub(super) fn new(mut block: Block) -> Cursor {
        // The array is made once; slices of it cost nothing.
        let values = match &mut block.content {
            Content::Lines(lines) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::take(&mut lines.offsets)));
                Some(BinaryArray::new(offsets, lines.data.clone(), None))
            }
            Content::Columns(..) | Content::Nothing => None,
        };
        Cursor { block, values, done: 0 }
    }

    pub(super) fn len(&self) -> usize {
        use arrow::array::Array;
        match (&self.block.content, &self.values) {
            (_, Some(values)) => values.len(),
            (Content::Columns(rows, _), None) => rows.num_rows(),
            _ => 0,
        }
    }

    pub(super) fn row(&self, index: usize) -> i64 {
        match &self.block.content {
            Content::Lines(lines) => match &lines.rows {
                Numbers::From(first) => first + index as i64,
                Numbers::Each(rows) => rows.get(index).copied().unwrap_or_default(),
            },
            Content::Columns(_, first) => first + index as i64,
            Content::Nothing => 0,
        }
    }

    /// The next records, as many as are wanted.
    pub(super) fn take(&mut self, topics: &Topics, demand: Demand) -> Records {
        let from = self.done;
        let rest = self.len() - from;
        let mut rows = rest.min(demand.rows.max(1));
        if let Some(values) = &self.values {
            let offsets = values.value_offsets().get(from..).unwrap_or_default();
            let most = offsets.first().copied().map_or(0, i64::from) + i64::try_from(demand.bytes).unwrap_or(i64::MAX);
            rows = rows.min(offsets.partition_point(|end| i64::from(*end) <= most).saturating_sub(1).max(1));
        }
        self.done += rows;
        let entry = self.block.entry;
        let offsets: Int64Array = match &self.block.content {
            Content::Lines(lines) if matches!(lines.rows, Numbers::Each(_)) => {
                (from..from + rows).map(|index| Some(pack(entry, self.row(index)))).collect()
            }
            _ => {
                let first = pack(entry, self.row(from));
                Int64Array::from_iter_values(first..first + rows as i64)
            }
        };
        Records {
            topics: topics.clone(),
            keys: BinaryArray::new_null(rows),
            values: match &self.values {
                Some(values) => values.slice(from, rows),
                None => BinaryArray::new_null(rows),
            },
            lines: self.values.is_some(),
            columns: match &self.block.content {
                Content::Columns(columns, _) => Some(columns.slice(from, rows)),
                Content::Lines(_) | Content::Nothing => None,
            },
            partitions: Int32Array::from_value(self.block.partition as i32, rows),
            offsets,
            timestamps: Int64Array::from_value(self.block.modified, rows),
            cut: Vec::new(),
            headers: Vec::new(),
        }
    }
}

impl FileSource {
    pub(super) fn new(session: Arc<Session>, context: &SourceContext) -> FileSource {
        let catalog = session.catalog.clone();
        let partitions = catalog.known().partitions;
        let partitions = (0..partitions).filter(|partition| partition % context.workers.max(1) == context.index);
        FileSource {
            partitions: partitions.map(|partition| partition as u64).collect(),
            catalog,
            _session: session,
            topic: TOPIC.into(),
            told: false,
            at: BTreeMap::new(),
            feed: None,
            block: None,
            alone: Instant::now(),
        }
    }

    fn partition(&self, partition: u64) -> Partition {
        Partition { topic: self.topic.clone(), index: partition as i32 }
    }

    /// What there is to hand out now.
    fn take(&mut self, demand: Demand) -> Option<Chunk> {
        let known = self.catalog.known();
        let mut records = None;
        if let Some(cursor) = &mut self.block {
            let taken = cursor.take(&Topics::one(self.topic.clone()), demand);
            let (partition, entry) = (cursor.block.partition, cursor.block.entry);
            let over = cursor.done >= cursor.len();
            let next = match over && cursor.block.last {
                true => pack(entry + 1, 0),
                false => pack(entry, cursor.row(cursor.done.saturating_sub(1)) + 1),
            };
            if over {
                self.block = None;
            }
            self.at.insert(partition, next);
            records = Some((taken, partition, next));
        }
        let mut reached = self.settle(&known);
        let records = match records {
            Some((taken, partition, next)) => {
                if !reached.iter().any(|position| position.partition.index == partition as i32) {
                    reached.push(Position { partition: self.partition(partition), next });
                }
                taken
            }
            None => RecordsBuilder::new(self.topic.clone()).finish(),
        };
        (!reached.is_empty()).then_some(Chunk { records, reached })
    }

    /// Moves each partition to where it reads next, or to the list's end: positions that moved. Told at once, so that nobody
    /// waits for a partition that has nothing to say for long.
    fn settle(&mut self, known: &Known) -> Vec<Position> {
        let end = pack(known.entries, 0);
        let mut moved = Vec::new();
        for (partition, at) in &mut self.at {
            let (entry, row) = next_entry(*at, *partition, known.partitions as u64);
            let next = if entry < known.entries { pack(entry, row) } else { end };
            if *at < next {
                *at = next;
                moved.push((*partition, next));
            }
        }
        moved.into_iter().map(|(partition, next)| Position { partition: self.partition(partition), next }).collect()
    }

    /// Whether an entry of the list is still to be read.
    fn unread(&self, known: &Known) -> bool {
        let partitions = known.partitions as u64;
        self.at.iter().any(|(partition, at)| next_entry(*at, *partition, partitions).0 < known.entries)
    }

    /// The file of an entry, and how many of its lines or rows come before.
    async fn entry(&self, entry: u64) -> Result<(Arc<str>, i64), StageError> {
        let known = self.catalog.known();
        let Some(file) = known.file(entry) else {
            return Err(StageError::state(format!("the list of files has no entry {entry}")));
        };
        let before = match file.options.format {
            Format::Parquet => self.rows_before(file.clone(), entry).await?,
            Format::Avro => 0,
            _ => self.catalog.lines_before(file, entry).await?,
        };
        Ok((file.url.as_str().into(), before))
    }

    async fn rows_before(&self, file: Arc<Listed>, entry: u64) -> Result<i64, StageError> {
        if entry == file.first {
            return Ok(0);
        }
        let reader = self.catalog.reader(&file).await?;
        let handle = tokio::runtime::Handle::current();
        let before = move || {
            let footer = footer(&handle, &*reader, &file.url, file.size)?;
            Ok(rows_before(footer.metadata(), file.range(entry).0))
        };
        let interrupted = |_| StageError::unavailable("a footer was not read");
        tokio::task::spawn_blocking(before).await.map_err(interrupted)?
    }
}

#[async_trait]
impl Source for FileSource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.told, true) {
            return Ok(Event::Assigned(self.partitions.iter().map(|partition| self.partition(*partition)).collect()));
        }
        let deadline = tokio::time::Instant::now() + demand.wait;
        if self.alone.elapsed() > ALONE {
            self.alone = Instant::now();
            self.catalog.check_alone().await?;
        }
        loop {
            if let Some(chunk) = self.take(demand) {
                return Ok(Event::Records(chunk));
            }
            let known = self.catalog.known();
            if self.feed.is_none() && self.unread(&known) {
                self.feed = Some(start(self.catalog.clone(), &self.at));
            }
            match &mut self.feed {
                Some(feed) => match timeout_at(deadline, feed.recv()).await {
                    Ok(Some(Ok(block))) => self.block = Some(Cursor::new(block)),
                    Ok(Some(Err(error))) => {
                        self.feed = None;
                        return Err(error);
                    }
                    Ok(None) => self.feed = None,
                    Err(_) => return Ok(Event::Idle),
                },
                None => {
                    self.catalog.watch().await?;
                    let again = deadline.min(tokio::time::Instant::now() + self.catalog.settings.poll.0);
                    let grown = timeout_at(again, self.catalog.grown(known.entries)).await.is_ok();
                    if !grown && tokio::time::Instant::now() >= deadline {
                        return Ok(Event::Idle);
                    }
                }
            }
        }
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(self.catalog.known().partitions)
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let known = self.catalog.known();
        let bounds = |partition: &Partition| Bounds {
            partition: partition.clone(),
            identity: known.id.clone(),
            first: 0,
            end: pack(known.entries, 0),
            start: 0,
            committed: None,
        };
        Ok(partitions.iter().map(bounds).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        (self.feed, self.block) = (None, None);
        self.at.extend(positions.iter().map(|position| (position.partition.index as u64, position.next)));
        Ok(())
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        self.catalog.notes().await
    }

    async fn aliases(&mut self) -> Result<Vec<String>, StageError> {
        self.catalog.kin().await
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(ListHousekeeping { catalog: self.catalog.clone(), noted: Mutex::default() })
    }

    async fn places(&mut self, records: &Provenance) -> Result<Option<Vec<Location>>, StageError> {
        let mut places = Vec::with_capacity(records.offsets.len());
        let mut known: HashMap<u64, (Arc<str>, i64)> = HashMap::new();
        for offset in records.offsets.values() {
            let (entry, row) = unpack(*offset);
            let (file, before) = match known.get(&entry) {
                Some(known) => known.clone(),
                None => known.entry(entry).or_insert(self.entry(entry).await?).clone(),
            };
            places.push(Location { file, line: Some(before + row + 1) });
        }
        Ok(Some(places))
    }
}

/// The list of files as housekeeping sees it.
struct ListHousekeeping {
    catalog: Arc<Catalog>,
    noted: Mutex<String>,
}

impl ListHousekeeping {
    fn noted(&self) -> std::sync::MutexGuard<'_, String> {
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Housekeeping for ListHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        let known = self.catalog.known();
        let partitions = known.partitions as u64;
        let behind = |position: &Position| {
            let partition = position.partition.index as u64;
            let (mut entry, _) = next_entry(position.next, partition, partitions);
            let mut bytes = 0;
            while let Some(file) = known.file(entry) {
                let (from, to) = file.range(entry);
                bytes += to - from;
                entry += partitions;
            }
            self.catalog.estimate(bytes)
        };
        Ok(positions.iter().map(behind).collect())
    }

    async fn commit(&self, _: &[Position], note: &str) -> Result<(), StageError> {
        if *self.noted() != note {
            self.catalog.keep_note(note).await?;
            *self.noted() = note.to_owned();
        }
        Ok(())
    }
}
