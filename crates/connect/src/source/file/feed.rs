//! The thread that reads ahead for one worker: entry after entry, block after block, into a short queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use foretell_flow::StageError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::catalog::Catalog;
use super::manifest::Listed;
use super::offset::next_entry;
use super::parquet::RowGroups;
use super::settings::{Format, Packing, dialect};
use super::text::{Lines, Shape, Text};
use super::unpack::Input;
use crate::storage::Reader;

/// Blocks that wait for the worker, beside the one at hand and the one being read.
const AHEAD: usize = 1;

/// Some records of an entry.
pub(super) struct Block {
    pub(super) lane: u64,
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

/// Reads lanes from these offsets on.
pub(super) fn start(catalog: Arc<Catalog>, positions: &BTreeMap<u64, i64>) -> Feed {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let known = catalog.known();
    let lanes = known.lanes as u64;
    let next = positions.iter().map(|(lane, offset)| (*lane, next_entry(*offset, *lane, lanes))).collect();
    let thread = Thread { handle: Handle::current(), catalog, sender, next };
    tokio::task::spawn_blocking(move || thread.run());
    receiver
}

/// The first block of a file, through the same thread that reads for a worker. `whole`: otherwise of a Parquet file only
/// its footer is read.
pub(super) async fn first_block(
    catalog: Arc<Catalog>,
    file: Arc<Listed>,
    whole: bool,
) -> Result<Option<Block>, StageError> {
    let (sender, mut receiver) = mpsc::channel(1);
    let thread = Thread { handle: Handle::current(), catalog, sender, next: BTreeMap::new() };
    let read = tokio::task::spawn_blocking(move || {
        if !whole && thread.catalog.how(&file).format == Format::Parquet {
            let reader = thread.handle.block_on(thread.catalog.reader(&file))?;
            return thread.groups(&file, reader, (0, file.size), 0).map(drop);
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
    /// By lane: the entry to read next, and the row in it.
    next: BTreeMap<u64, (u64, i64)>,
}

/// Nobody listens any more.
struct Unheard;

impl Thread {
    fn run(mut self) {
        loop {
            let known = self.catalog.known();
            // In the order of the list, so that files are finished one after the other.
            let first = self.next.iter().map(|(lane, (entry, row))| (*entry, *row, *lane)).min();
            let Some((entry, row, lane)) = first.filter(|(entry, _, _)| *entry < known.entries) else { return };
            let Some(file) = known.file(entry) else { return };
            match self.entry(file, entry, row, lane) {
                Ok(Ok(())) => {}
                Ok(Err(Unheard)) => return,
                Err(error) => {
                    // Where nobody listens, nobody needs to know.
                    let _ = self.sender.blocking_send(Err(error));
                    return;
                }
            }
            self.next.insert(lane, (entry + known.lanes as u64, 0));
        }
    }

    fn entry(&self, file: &Listed, entry: u64, row: i64, lane: u64) -> Result<Result<(), Unheard>, StageError> {
        let reader = self.handle.block_on(self.catalog.reader(file))?;
        let send = |content, last| {
            let block = Block { lane, entry, modified: file.modified, content, last };
            self.sender.blocking_send(Ok(block)).map_err(|_| Unheard)
        };
        let (range, how) = (file.range(entry), self.catalog.how(file));
        if how.format == Format::Parquet {
            let mut groups = self.groups(file, reader, range, row)?;
            while let Some((rows, first)) = groups.next()? {
                self.catalog.note(rows.num_rows(), rows.get_array_memory_size());
                if send(Content::Columns(rows, first), false).is_err() {
                    return Ok(Err(Unheard));
                }
            }
            return Ok(send(Content::Nothing, true));
        }
        let whole = how.packing != Packing::None;
        let range = if whole { (0, u64::MAX) } else { range };
        let source = (range.0.saturating_sub(1), file.size);
        let input = Input::new(self.handle.clone(), reader, &file.url, how.packing, source)?;
        let shape = Shape {
            quoted: how.multiline.then(|| dialect(&self.catalog.decode)),
            blank: how.format == Format::Lines,
            header: how.header && range.0 == 0,
        };
        let mut text = Text::new(input, shape, range, row);
        let mut header = shape.header;
        let at = |mut error: StageError| {
            if !error.message.contains(&file.url) {
                error.message = format!("{}: {}", file.url, error.message);
            }
            error
        };
        while let Some(lines) = text.next().map_err(at)? {
            if std::mem::take(&mut header) {
                self.check_header(&file.url, how.format, text.header())?;
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
        if header {
            self.check_header(&file.url, how.format, text.header())?;
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
        let names = columns(&self.catalog.decode.settings);
        RowGroups::new(self.handle.clone(), reader, (file.url.as_str(), file.size), range, row, &names)
    }

    /// A file whose header has other names, or the same in another order, would feed one column as another.
    fn check_header(&self, url: &str, format: Format, header: Option<&[u8]>) -> Result<(), StageError> {
        if format != Format::Csv || self.catalog.decode.kind != "csv" {
            return Ok(());
        }
        let wanted = columns(&self.catalog.decode.settings);
        let dialect = dialect(&self.catalog.decode);
        let found = header.and_then(|header| super::infer::fields(header, dialect));
        let same = found.as_ref().is_some_and(|found| {
            found.len() == wanted.len() && found.iter().zip(&wanted).all(|(found, wanted)| found.trim() == wanted)
        });
        if same {
            return Ok(());
        }
        let fields = found.map_or(0, |found| found.len());
        Err(StageError::state(format!(
            "{url}: the first line is not `{}`: its {fields} fields have other names, or another order",
            wanted.join(", ")
        ))
        .remedy("`header: false` where files begin with a record; else give `decode`'s columns in the files' order"))
    }
}

/// The names of a decoder's columns.
fn columns(settings: &serde_json::Value) -> Vec<String> {
    let columns = settings.get("columns").and_then(serde_json::Value::as_array);
    columns.into_iter().flatten().filter_map(|column| column.as_object()?.keys().next().cloned()).collect()
}
