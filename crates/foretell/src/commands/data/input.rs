//! The data files, a chunk at a time: whole records, and the line they begin at.
//!
//! Several files are read one after the other as one table; each has the columns of the first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use clap::{Args, ValueEnum};
use foretell_decode::fields::{Dialect, trim_line_end};
use foretell_decode::{AvroFile, MISSING, Missing};
use foretell_files::encoding::{Encoding, EncodingSetting};
use foretell_files::footer::reading;
use foretell_files::source::{DataFile, data_files, in_utf8, is_json_text, no_records, unpack, unpacked};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaDataReader;

use super::elements::Lines;

/// A kind of data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line, or a list of them
    Jsonl,
    /// Apache Parquet
    Parquet,
    /// Avro object files
    Avro,
}

impl Format {
    /// Whether its columns have types.
    pub(crate) fn is_typed(self) -> bool {
        matches!(self, Format::Parquet | Format::Avro)
    }

    /// The format that a data file's name tells, packed or not.
    pub(crate) fn of_data(path: &Path) -> Option<Format> {
        let name = path.to_str().map(str::to_ascii_lowercase)?;
        Format::of(Path::new(unpacked(&name)))
    }

    /// The format that a file's name tells.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "parquet" | "pq" => Some(Format::Parquet),
            "avro" => Some(Format::Avro),
            _ => None,
        }
    }
}

/// What the command line says of how data is read.
#[derive(Debug, Default, Args)]
pub(crate) struct ReadArgs {
    /// The format of the data, where its name does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// CSV: what separates fields, one character or `tab`. Default: a comma; a tab in .tsv
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// CSV: fields that mean a missing value. Default: what pandas takes for one (empty, NA, N/A, NaN, None, null, …);
    /// a word that is a level of the model's is a value; `--missing ''` leaves empty fields alone
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub(super) missing: Option<Vec<String>>,
    /// The encoding of a text that is not in UTF-8: `utf-16`, `latin1`, `gbk`, …
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<EncodingSetting>,
}

fn encoding(name: &str) -> Result<EncodingSetting, String> {
    Encoding::named(name).map(EncodingSetting)
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err("one ASCII character is needed, or `tab`".to_string()),
    }
}

/// How a data file is read.
#[derive(Debug, Clone)]
pub(crate) struct ReadOptions {
    /// What errors call the file.
    pub(crate) name: String,
    /// Its format.
    pub(crate) format: Format,
    /// What separates and quotes a CSV's fields.
    pub(crate) dialect: Dialect,
    /// A CSV's fields that mean a missing value. In JSON and Parquet a text is a value.
    pub(crate) missing: Missing,
}

impl ReadOptions {
    fn of(place: &Place, args: &ReadArgs) -> Result<ReadOptions> {
        let (name, stdin) = (place.name(), matches!(place, Place::Stdin));
        let format = match args.format.or_else(|| Format::of_data(Path::new(&name))) {
            Some(format) => format,
            None if stdin => Format::Csv,
            None if [".xlsx", ".xls", ".ods"].iter().any(|end| name.to_ascii_lowercase().ends_with(end)) => {
                bail!("{name}: workbooks are not read; save it as CSV")
            }
            None => {
                bail!("{name}: its name does not tell what it is; give `--format csv`, `jsonl`, `parquet` or `avro`")
            }
        };
        if format != Format::Csv && (args.delimiter.is_some() || args.missing.is_some()) {
            let option = if args.missing.is_some() { "missing" } else { "delimiter" };
            bail!("{name}: `--{option}` is for CSV; JSON, Parquet and Avro say themselves where a value is missing");
        }
        if format.is_typed() && args.encoding.is_some() {
            bail!("{name}: `--encoding` is for texts; Parquet and Avro say themselves how their texts are written");
        }
        let tabs = unpacked(&name.to_ascii_lowercase()).ends_with(".tsv");
        let delimiter = args.delimiter.unwrap_or(if tabs { b'\t' } else { b',' });
        let missing = args.missing.as_ref().map_or_else(|| Missing::new(&MISSING), |words| Missing::new(words));
        Ok(ReadOptions { name, format, dialect: Dialect { delimiter, quote: Some(b'"') }, missing })
    }
}

/// Text is read in pieces of this size: enough rows for one call of the model, few enough to have several in flight.
const CHUNK: usize = 1 << 20;

/// This much is read before anything is said about a text.
const HEAD: usize = 1 << 13;

/// One record may be this long. A quote that is never closed would otherwise take the whole file into memory.
pub(super) const LONGEST: usize = 64 << 20;

/// Rows of a Parquet file that are read at once.
const BATCH: usize = 16_384;

/// Some whole records.
pub(crate) struct Chunk {
    /// From 0, in the order of the files.
    pub(crate) number: u64,
    /// How its file is read.
    pub(crate) options: Arc<ReadOptions>,
    /// The line (Parquet, Avro: the row) of the first one, from 1.
    pub(crate) first: u64,
    /// The records.
    pub(crate) body: Body,
    /// How many bytes of the file they took; 0 where that is unknown.
    pub(crate) bytes: u64,
}

/// The records of a chunk.
pub(crate) enum Body {
    /// Text of whole records.
    Text(Vec<u8>),
    /// Rows of a Parquet or Avro file: only the columns that are used, in the order of [`Input::select`].
    Batch(RecordBatch),
}

/// Where a data file is.
enum Place {
    Stdin,
    /// A file of this machine as it is named, or a pipe.
    Named(PathBuf),
    /// One of a folder, a glob or a URL.
    Found(DataFile),
}

impl Place {
    /// The files that are named, each with its place; of a folder, those in it.
    fn all(paths: &[PathBuf]) -> Result<VecDeque<Place>> {
        let mut places = VecDeque::new();
        for path in paths {
            let text = path.to_str().unwrap_or_default();
            let pattern = || text.contains(['*', '?', '[']) && !path.exists();
            if path == Path::new("-") {
                places.push_back(Place::Stdin);
            } else if text.contains("://") || path.is_dir() || pattern() {
                let found = data_files(text, &tokio::runtime::Handle::current())?;
                if found.is_empty() {
                    bail!("`{text}`: there are no files, or only empty and hidden ones");
                }
                places.extend(found.into_iter().map(Place::Found));
            } else {
                places.push_back(Place::Named(path.clone()));
            }
        }
        Ok(places)
    }

    fn name(&self) -> String {
        match self {
            Place::Stdin => "standard input".to_string(),
            Place::Named(path) => path.display().to_string(),
            Place::Found(file) => file.name(),
        }
    }

    /// Its size as text, where that is known.
    fn size(&self) -> Option<u64> {
        let name = self.name().to_ascii_lowercase();
        let stored = match self {
            Place::Stdin => None,
            Place::Named(path) => path.metadata().ok().filter(|metadata| metadata.is_file()).map(|m| m.len()),
            Place::Found(file) => Some(file.size()),
        };
        stored.filter(|_| unpacked(&name) == name)
    }

    /// The file itself, where it is one of this machine.
    fn file(&self) -> Result<Option<File>> {
        let path = match self {
            Place::Stdin => return Ok(None),
            Place::Named(path) => path.clone(),
            Place::Found(file) if file.name().contains("://") => return Ok(None),
            Place::Found(file) => PathBuf::from(file.name()),
        };
        let file = File::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Some(file))
    }

    /// Its bytes.
    fn open(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Place::Stdin => Box::new(std::io::stdin()),
            Place::Named(path) => {
                Box::new(File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?)
            }
            Place::Found(file) => file.open()?,
        })
    }
}

/// The open data files.
pub(crate) struct Input {
    /// How they are read, and the name of the one that is read now.
    pub(crate) options: Arc<ReadOptions>,
    /// The size of all, where they have one.
    pub(crate) size: Option<u64>,
    /// The columns: a CSV's header, a Parquet file's schema; of JSON Lines, which name them in every row, those of the
    /// first rows.
    pub(crate) columns: Vec<String>,
    /// The types of the columns; only of a Parquet or Avro file.
    pub(crate) fields: Vec<Field>,
    source: Source,
    encoding: Option<Encoding>,
    /// What the first file is called.
    first: String,
    /// Those that are still to come.
    rest: VecDeque<Place>,
    /// What [`Input::select`] was told.
    selected: Vec<usize>,
    number: u64,
    next: u64,
}

enum Source {
    Text { reader: Box<dyn Read + Send>, buffer: Vec<u8>, ended: bool },
    ParquetFile(File),
    Parquet(ParquetRecordBatchReader, Vec<usize>),
    Avro(Box<AvroFile<Bytes>>, Vec<usize>),
}

type Bytes = BufReader<Box<dyn Read + Send>>;

impl Input {
    /// Opens the files (`-` is standard input; folders, globs and URLs mean several) and reads the first one's header.
    pub(crate) fn open(paths: &[PathBuf], args: &ReadArgs) -> Result<Input> {
        let mut places = Place::all(paths)?;
        let size = places.iter().map(Place::size).sum();
        let Some(place) = places.pop_front() else { bail!("no data file is named") };
        let options = Arc::new(ReadOptions::of(&place, args)?);
        for place in &places {
            let name = place.name();
            if args.format.is_none() && Format::of_data(Path::new(&name)).is_some_and(|format| format != options.format)
            {
                bail!("{name}: its format is another than that of {}; read them one by one", options.name);
            }
        }
        let mut input = Input {
            first: options.name.clone(),
            options,
            size,
            columns: Vec::new(),
            fields: Vec::new(),
            source: Source::Text { reader: Box::new(std::io::empty()), buffer: Vec::new(), ended: false },
            encoding: args.encoding.and_then(|setting| setting.0),
            rest: places,
            selected: Vec::new(),
            number: 0,
            next: 1,
        };
        (input.columns, input.fields) = input.begin(&place)?;
        Ok(input)
    }

    /// Begins with a file; gives its columns, and of Parquet their types.
    fn begin(&mut self, place: &Place) -> Result<(Vec<String>, Vec<Field>)> {
        let name = place.name();
        self.options = Arc::new(ReadOptions { name: name.clone(), ..(*self.options).clone() });
        self.next = 1;
        match self.options.format {
            Format::Parquet => return self.begin_parquet(place),
            Format::Avro => return self.begin_avro(place),
            _ => {}
        }
        let mut reader = unpack(&name, place.open()?)?;
        if let Some(encoding) = self.encoding {
            reader = in_utf8(encoding, reader);
        }
        self.source = Source::Text { reader, buffer: Vec::new(), ended: false };
        self.skip_mark()?;
        self.open_list()?;
        self.check_begin()?;
        Ok(if self.options.format == Format::Csv { (self.header()?, Vec::new()) } else { Default::default() })
    }

    fn begin_avro(&mut self, place: &Place) -> Result<(Vec<String>, Vec<Field>)> {
        let file = AvroFile::open(BufReader::new(place.open()?)).with_context(|| self.options.name.clone())?;
        let fields: Vec<Field> = file.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        self.source = Source::Avro(Box::new(file), Vec::new());
        Ok((fields.iter().map(|field| field.name().clone()).collect(), fields))
    }

    fn begin_parquet(&mut self, place: &Place) -> Result<(Vec<String>, Vec<Field>)> {
        let mut file = match place.file()? {
            Some(file) if place.size().is_some() => file,
            // A Parquet file is read from its end: what cannot seek, or is elsewhere, is spooled first.
            _ => {
                let mut spool = tempfile::tempfile().context("cannot make a temporary file")?;
                std::io::copy(&mut place.open()?, &mut spool)
                    .with_context(|| format!("cannot read {}", self.options.name))?;
                spool
            }
        };
        file.rewind()?;
        let builder = self.builder(file.try_clone()?)?;
        let fields: Vec<Field> = builder.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        self.source = Source::ParquetFile(file);
        Ok((fields.iter().map(|field| field.name().clone()).collect(), fields))
    }

    /// Goes on with the next file, if there is one.
    fn go_on(&mut self) -> Result<bool> {
        let Some(place) = self.rest.pop_front() else { return Ok(false) };
        let (columns, fields) = self.begin(&place)?;
        let (name, first) = (&self.options.name, &self.first);
        // JSON Lines name their columns in every row.
        if self.options.format != Format::Jsonl && columns != self.columns {
            bail!("{name}: its columns are not those of {first}, or not in their order; read them one by one");
        }
        let other = self.fields.iter().zip(&fields).find(|(wanted, found)| wanted.data_type() != found.data_type());
        if let Some((wanted, found)) = other {
            let (column, wanted, found) = (wanted.name(), wanted.data_type(), found.data_type());
            bail!("{name}: column `{column}` has the type {found}, and {wanted} in {first}; read them one by one");
        }
        let selected = self.selected.clone();
        self.select(&selected)?;
        Ok(true)
    }

    fn builder(&self, file: File) -> Result<ParquetRecordBatchReaderBuilder<File>> {
        let footer = ParquetMetaDataReader::new().parse_and_finish(&file).and_then(|footer| reading(Arc::new(footer)));
        let footer = footer.with_context(|| format!("{}: not a Parquet file", self.options.name))?;
        Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer))
    }

    /// Tells which columns are used, before the first chunk: only these are read of a Parquet file, and they come in
    /// this order.
    pub(crate) fn select(&mut self, columns: &[usize]) -> Result<()> {
        self.selected = columns.to_vec();
        if let Source::Avro(_, order) = &mut self.source {
            *order = columns.to_vec();
        }
        let Source::ParquetFile(file) = &self.source else { return Ok(()) };
        let builder = self.builder(file.try_clone()?)?;
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let order = columns.iter().filter_map(|column| sorted.binary_search(column).ok()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), sorted.iter().copied());
        let reader = builder.with_projection(mask).with_batch_size(BATCH).build()?;
        self.source = Source::Parquet(reader, order);
        Ok(())
    }

    /// The next records; `None` at the end of all files.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            let chunk = self.chunk_of_file()?;
            if chunk.is_some() || !self.go_on()? {
                return Ok(chunk);
            }
        }
    }

    /// The next records of the file that is read.
    fn chunk_of_file(&mut self) -> Result<Option<Chunk>> {
        let body = match &mut self.source {
            Source::ParquetFile(_) => None,
            Source::Parquet(reader, order) => {
                let broken = || format!("{}: cannot be read behind row {}", self.options.name, self.next - 1);
                match reader.next().transpose().with_context(broken)? {
                    Some(batch) => {
                        // A projection without columns would lose the number of rows; there is always a feature.
                        Some((batch.num_rows() as u64, 0, Body::Batch(batch.project(order)?)))
                    }
                    None => None,
                }
            }
            Source::Avro(file, order) => {
                let batch = file.next_rows().with_context(|| self.options.name.clone())?;
                match batch {
                    Some(batch) => Some((batch.num_rows() as u64, 0, Body::Batch(batch.project(order)?))),
                    None => None,
                }
            }
            Source::Text { .. } => self.text()?.map(|text| {
                let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
                (lines, text.len() as u64, Body::Text(text))
            }),
        };
        let Some((advance, bytes, body)) = body else { return Ok(None) };
        let chunk = Chunk { number: self.number, options: self.options.clone(), first: self.next, body, bytes };
        self.number += 1;
        self.next += advance;
        Ok(Some(chunk))
    }

    /// Reads until there are `size` bytes or no more.
    fn fill(&mut self, size: usize) -> Result<()> {
        let name = &self.options.name;
        let Source::Text { reader, buffer, ended } = &mut self.source else { return Ok(()) };
        while buffer.len() < size && !*ended {
            let wanted = (size - buffer.len()) as u64;
            let read = reader.by_ref().take(wanted).read_to_end(buffer);
            *ended = read.with_context(|| format!("cannot read `{name}`"))? == 0;
        }
        Ok(())
    }

    /// Passes over the mark that some programs put before UTF-8.
    fn skip_mark(&mut self) -> Result<()> {
        self.fill(3)?;
        if let Source::Text { buffer, .. } = &mut self.source
            && buffer.starts_with(b"\xef\xbb\xbf")
        {
            buffer.drain(..3);
        }
        Ok(())
    }

    /// Of a JSON text that is not an object a line, makes one that is; its lines are the numbers of its records.
    fn open_list(&mut self) -> Result<()> {
        self.fill(HEAD)?;
        let Source::Text { buffer, ended, .. } = &mut self.source else { return Ok(()) };
        if self.options.format != Format::Jsonl || !is_json_text(buffer, *ended) {
            return Ok(());
        }
        let begin = std::mem::take(buffer);
        let Source::Text { reader, .. } = &mut self.source else { return Ok(()) };
        let reader = std::mem::replace(reader, Box::new(std::io::empty()));
        let lines = Lines::new(begin, reader, LONGEST);
        self.source = Source::Text { reader: Box::new(lines), buffer: Vec::new(), ended: false };
        Ok(())
    }

    /// What a file is instead, where it begins so.
    fn check_begin(&mut self) -> Result<()> {
        self.fill(HEAD)?;
        let Source::Text { buffer, .. } = &self.source else { return Ok(()) };
        let name = &self.options.name;
        let Some((what, remedy)) = no_records(buffer) else { return Ok(()) };
        bail!("{name}: {what}; {remedy}")
    }

    fn header(&mut self) -> Result<Vec<String>> {
        let ReadOptions { name, dialect, .. } = &*self.options.clone();
        let (record, line) = loop {
            let Some(record) = self.cut(|data| dialect.record_end(data, 0), HEAD)? else {
                bail!("{name}: the file is empty; a header line with the columns' names is needed");
            };
            let line = self.next;
            self.next += record.iter().filter(|byte| **byte == b'\n').count() as u64;
            if !trim_line_end(&record).is_empty() {
                break (record, line);
            }
        };
        let record = trim_line_end(&record);
        let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
        dialect
            .split(record, 0, record.len(), usize::MAX, &mut spans, &mut unescaped)
            .map_err(|malformed| anyhow::anyhow!("{name}:{line}: {malformed}"))?;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(_) => bail!("{name}:{line}: the header is not UTF-8: is this a CSV file?"),
        };
        spans.iter().map(|span| text(span.bytes(record, &unescaped))).collect()
    }

    /// Whole records, about a chunk.
    fn text(&mut self) -> Result<Option<Vec<u8>>> {
        let last_line = |data: &[u8]| data.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        if self.options.format == Format::Jsonl {
            return self.cut(last_line, CHUNK);
        }
        let dialect = self.options.dialect;
        let last_record = |data: &[u8]| {
            // Without a quote every line end ends a record.
            if !data.contains(&b'"') {
                return last_line(data);
            }
            let mut last = None;
            while let Some(end) = dialect.record_end(data, last.unwrap_or(0)) {
                last = Some(end);
            }
            last
        };
        self.cut(last_record, CHUNK)
    }

    /// Takes bytes up to where `end` says, reading more until it says something; all that is left at the end.
    fn cut(&mut self, end: impl Fn(&[u8]) -> Option<usize>, size: usize) -> Result<Option<Vec<u8>>> {
        let mut size = size;
        loop {
            self.fill(size)?;
            let Source::Text { buffer, ended, .. } = &mut self.source else { return Ok(None) };
            if let Some(at) = end(buffer) {
                let rest = buffer.split_off(at);
                return Ok(Some(std::mem::replace(buffer, rest)));
            }
            if *ended {
                return Ok((!buffer.is_empty()).then(|| std::mem::take(buffer)));
            }
            if size >= LONGEST {
                let line = self.next;
                bail!("{}:{line}: this record is longer than 64 MiB: is a quote not closed?", self.options.name);
            }
            size *= 2;
        }
    }
}
