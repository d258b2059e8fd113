//! The thread that reads ahead for one worker: entry after entry, block after block, into a short queue.

#![allow(clippy::arithmetic_side_effects, reason = "counts of lines that were read")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use foretell_flow::StageError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::avro;
use super::begin::{begins_well, parquet_columns};
use super::catalog::Catalog;
use super::input::Input;
use super::lines::Lines;
use super::list::Listed;
use super::offset::next_entry;
use super::parquet::RowGroups;
use super::settings::{Compression, Format, ReadOptions, dialect};
use super::text::{BEGIN, Shape, Text};
use foretell_connect::storage::Reader;
use foretell_decode::{check_avro_file, check_file};

/// Blocks that wait for the worker, besides the one that it has and the one being read.
const AHEAD: usize = 1;

/// Some records of an entry.
pub(super) struct Block {
    pub(super) partition: u64,
    pub(super) entry: u64,
    pub(super) modified: i64,
    pub(super) content: Content,
    /// Whether the entry ends with it.
    pub(super) last: bool,
}

/// What is in a block.
pub(super) enum Content {
    /// Records of a text.
    Lines(Lines),
    /// Rows that come as columns, and the number of the first.
    Columns(RecordBatch, i64),
    /// Nothing more: the entry has ended.
    Nothing,
}

/// Blocks as they come; ends where every entry of the list is read.
pub(super) type Feed = mpsc::Receiver<Result<Block, StageError>>;

/// Reads partitions from these offsets on.
pub(super) fn start(catalog: Arc<Catalog>, positions: &BTreeMap<u64, i64>) -> Feed {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let known = catalog.known();
    let partitions = known.partitions as u64;
    let next =
        positions.iter().map(|(partition, offset)| (*partition, next_entry(*offset, *partition, partitions))).collect();
    let thread = Thread { handle: Handle::current(), catalog, sender, next };
    let unheard = thread.sender.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = StageError::guarded("the file source", || thread.run()) {
            // Where nobody listens, nobody needs to know.
            let _ = unheard.blocking_send(Err(error));
        }
    });
    receiver
}

/// The first block of a file, through the same thread that reads for a worker. `whole`: otherwise of a Parquet or Avro file
/// only its footer or header is read.
pub(super) async fn first_block(
    catalog: Arc<Catalog>,
    file: Arc<Listed>,
    whole: bool,
) -> Result<Option<Block>, StageError> {
    let (sender, mut receiver) = mpsc::channel(1);
    let thread = Thread { handle: Handle::current(), catalog, sender, next: BTreeMap::new() };
    let read = tokio::task::spawn_blocking(move || {
        let format = thread.catalog.options(&file).format;
        if !whole && format.is_typed() {
            let reader = thread.handle.block_on(thread.catalog.reader(&file))?;
            return match format {
                Format::Avro => thread.avro(&file, reader, 0).map(drop),
                _ => thread.groups(&file, reader, (0, file.size), 0).map(drop),
            };
        }
        thread.entry(&file, file.first, 0, 0).map(drop)
    });
    let block = receiver.recv().await;
    // Nobody listens any more: the thread ends with the next block.
    drop(receiver);
    read.await.map_err(|_| StageError::unavailable("the first records were not read"))??;
    block.transpose()
}

struct Thread {
    handle: Handle,
    catalog: Arc<Catalog>,
    sender: mpsc::Sender<Result<Block, StageError>>,
    /// By partition: the entry to read next, and the row in it.
    next: BTreeMap<u64, (u64, i64)>,
}

/// Nobody listens any more.
struct Unheard;

impl Thread {
    fn run(mut self) {
        loop {
            let known = self.catalog.known();
            // In the order of the list, so that files are finished one after the other.
            let first = self.next.iter().map(|(partition, (entry, row))| (*entry, *row, *partition)).min();
            let Some((entry, row, partition)) = first.filter(|(entry, _, _)| *entry < known.entries) else { return };
            let Some(file) = known.file(entry) else { return };
            match self.entry(file, entry, row, partition) {
                Ok(Ok(())) => {}
                Ok(Err(Unheard)) => return,
                Err(error) => {
                    // Where nobody listens, nobody needs to know.
                    let _ = self.sender.blocking_send(Err(error));
                    return;
                }
            }
            self.next.insert(partition, (entry + known.partitions as u64, 0));
        }
    }

    fn entry(&self, file: &Listed, entry: u64, row: i64, partition: u64) -> Result<Result<(), Unheard>, StageError> {
        let reader = self.handle.block_on(self.catalog.reader(file))?;
        let send = |content, last| {
            let block = Block { partition, entry, modified: file.modified, content, last };
            self.sender.blocking_send(Ok(block)).map_err(|_| Unheard)
        };
        let (range, options) = (file.range(entry), self.catalog.options(file));
        if options.format == Format::Parquet {
            let mut groups = self.groups(file, reader, range, row)?;
            while let Some((rows, first)) = groups.next()? {
                self.catalog.note(rows.num_rows(), rows.get_array_memory_size());
                if send(Content::Columns(rows, first), false).is_err() {
                    return Ok(Err(Unheard));
                }
            }
            return Ok(send(Content::Nothing, true));
        }
        if options.format == Format::Avro {
            let mut rows = self.avro(file, reader, row)?;
            while let Some((rows, first)) = rows.next()? {
                self.catalog.note(rows.num_rows(), rows.get_array_memory_size());
                if send(Content::Columns(rows, first), false).is_err() {
                    return Ok(Err(Unheard));
                }
            }
            return Ok(send(Content::Nothing, true));
        }
        if options.transcoded_first().is_some() && file.entries > 1 && !options.multiline {
            return Err(StageError::settings(format!("{} was listed in parts, before `encoding` was given", file.url))
                .remedy(
                    "give the pipeline another name; or remove the list in `state` and `foretell positions forget`",
                ));
        }
        let whole = options.compression != Compression::None || options.transcoded_first().is_some();
        if range.0 > 0 && !whole && self.check_begin(file)? {
            // The first entry was all of it.
            return Ok(send(Content::Nothing, true));
        }
        let range = if whole { (0, u64::MAX) } else { range };
        let source = (range.0.saturating_sub(1), file.size);
        let input = Input::new(self.handle.clone(), reader, &file.url, options, source)?;
        let shape = Shape {
            quoted: options.multiline.then(|| dialect(&self.catalog.decode)),
            blank: options.format == Format::Lines,
            header: options.header && range.0 == 0,
            json: self.is_json(options) && range.0 == 0,
            encoding: options.encoding_of_lines(),
        };
        let mut text = Text::new(input, shape, range, row);
        // What was read before was checked then.
        let mut begins = range.0 == 0 && (row == 0 || shape.header);
        while let Some(lines) = text.next().map_err(|error| at(&file.url, error))? {
            if std::mem::take(&mut begins) {
                let header = shape.header.then(|| text.header());
                let first = (row == 0 && !text.is_whole()).then_some(&lines);
                begins_well(&file.url, options.format, &self.catalog.decode, header, first, text.is_done())?;
                self.catalog.found_sound(file, text.is_whole());
            }
            let bytes = lines.offsets.last().zip(lines.offsets.first()).map_or(0, |(end, begin)| end - begin);
            self.catalog.note(lines.len(), bytes as usize);
            let last = text.is_done();
            if last {
                self.catalog.counted(entry, text.lines());
            }
            if send(Content::Lines(lines), last).is_err() {
                return Ok(Err(Unheard));
            }
            if last {
                return Ok(Ok(()));
            }
        }
        if begins && shape.header {
            begins_well(&file.url, options.format, &self.catalog.decode, Some(text.header()), None, true)?;
        }
        self.catalog.counted(entry, text.lines());
        Ok(send(Content::Nothing, true))
    }

    fn groups(
        &self,
        file: &Listed,
        reader: Box<dyn Reader>,
        range: (u64, u64),
        row: i64,
    ) -> Result<RowGroups, StageError> {
        let names = parquet_columns(&self.catalog.decode.settings);
        let source = (file.url.as_str(), file.size);
        let groups = RowGroups::new(self.handle.clone(), reader, source, range, row, &names)?;
        check_file(&self.catalog.decode.settings, groups.schema())
            .map_err(|(what, remedy)| StageError::state(format!("{}: {what}", file.url)).remedy(remedy))?;
        Ok(groups)
    }

    fn avro(&self, file: &Listed, reader: Box<dyn Reader>, row: i64) -> Result<avro::Rows, StageError> {
        let rows = avro::Rows::new(self.handle.clone(), reader, (&file.url, file.size), row)?;
        check_avro_file(&self.catalog.decode.settings, &rows.schema())
            .map_err(|(what, remedy)| StageError::state(format!("{}: {what}", file.url)).remedy(remedy))?;
        Ok(rows)
    }

    /// Whether a file may be a JSON text that is not one object a line.
    fn is_json(&self, options: ReadOptions) -> bool {
        options.format == Format::Json && self.catalog.decode.kind == "json"
    }

    /// Checks a file's beginning before an entry of its middle is read, once. Whether the first entry is all of it.
    fn check_begin(&self, file: &Listed) -> Result<bool, StageError> {
        if let Some(whole) = self.catalog.checked(file) {
            return Ok(whole);
        }
        let (reader, options) = (self.handle.block_on(self.catalog.reader(file))?, self.catalog.options(file));
        let input = Input::new(self.handle.clone(), reader, &file.url, options, (0, file.size))?;
        let shape = Shape {
            quoted: None,
            blank: options.format == Format::Lines,
            header: options.header,
            json: self.is_json(options),
            encoding: options.encoding_of_lines(),
        };
        let mut text = Text::new(input, shape, (0, file.size.min(BEGIN as u64)), 0);
        let lines = text.next().map_err(|error| at(&file.url, error))?;
        let header = shape.header.then(|| text.header());
        if text.is_whole() {
            self.catalog.found_sound(file, true);
            return Ok(true);
        }
        let ended = text.is_done() && file.size <= BEGIN as u64;
        begins_well(&file.url, options.format, &self.catalog.decode, header, lines.as_ref(), ended)?;
        self.catalog.found_sound(file, false);
        Ok(false)
    }
}

fn at(url: &str, mut error: StageError) -> StageError {
    if !error.message.contains(url) {
        error.message = format!("{url}: {}", error.message);
    }
    error
}
