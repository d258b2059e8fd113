//! Files as a source: local, on HDFS or S3; each file once, whatever dies in between.
//!
//! What was found is kept as a numbered list in `state:` (`manifest`): files in the order in which they were seen, each
//! cut into *entries* (a byte range of a text, the row groups that begin in a range of a Parquet file, a whole compressed
//! file). There is a fixed number of partitions: entry `n` belongs to partition `n % partitions`, and a record's offset says
//! its entry and its row there (`offset`). So positions mean the same at every start, however many workers share the
//! partitions, and whatever is found later.
//!
//! One thread a worker reads ahead (`feed`), block by block; a block of text is cut at its line ends where it lies and
//! becomes records without a copy (`text`).

mod avro;
mod begin;
mod catalog;
mod data;
mod feed;
mod find;
mod head;
mod infer;
mod input;
mod lines;
mod list;
mod magic;
mod manifest;
mod offset;
mod parquet;
mod reader;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use foretell_flow::{Source, StageError};
use tokio::sync::Mutex;

pub use self::begin::{is_json_text, no_records};
use self::catalog::{Catalog, Session};
pub use self::data::{DataFile, data_files, in_utf8, unpack};
use self::reader::FileSource;
use self::settings::Settings;
pub use self::settings::unpacked;
use foretell_connect::kind::{
    DecodeSpec, Head, Inferred, Kind, SettingsError, SourceContext, SourceSettings, schema_of, settings_of,
};

/// The kind `file`.
pub const KIND: Kind<dyn SourceSettings> = Kind { name: "file", inherits: &[], schema: schema_of::<Settings>, parse };

/// What records' partitions are called, whatever the files are.
const TOPIC: &str = "files";

fn parse(value: serde_json::Value) -> Result<Box<dyn SourceSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
    settings.check()?;
    Ok(Box::new(Files { settings: Arc::new(settings), session: Mutex::new(Weak::new()) }))
}

/// The settings, and what the workers of this process share.
struct Files {
    settings: Arc<Settings>,
    session: Mutex<Weak<Session>>,
}

#[async_trait]
impl SourceSettings for Files {
    fn describe(&self) -> String {
        self.settings.describe()
    }

    async fn open(&self, context: &SourceContext, probe: bool) -> Result<Box<dyn Source>, StageError> {
        if probe || context.observe {
            let catalog = Catalog::look_only(self.settings.clone(), context).await?;
            return Ok(Box::new(FileSource::new(Arc::new(Session::look_only(catalog)), context)));
        }
        let mut shared = self.session.lock().await;
        let session = match shared.upgrade() {
            Some(session) => session,
            None => Arc::new(Session::open(self.settings.clone(), context).await?),
        };
        *shared = Arc::downgrade(&session);
        Ok(Box::new(FileSource::new(session, context)))
    }

    fn infers(&self) -> bool {
        true
    }

    async fn infer(&self, base: &Path, given: Option<&DecodeSpec>) -> Result<Inferred, StageError> {
        infer::infer(&self.settings, base, given).await
    }

    fn places(&self) -> bool {
        true
    }

    fn spreads(&self) -> usize {
        self.settings.partitions()
    }

    async fn head(&self, context: &SourceContext) -> Result<Vec<Head>, StageError> {
        head::head(Arc::new(Catalog::look_only(self.settings.clone(), context).await?)).await
    }

    async fn seen_before(&self) -> usize {
        self.session.lock().await.upgrade().map_or(0, |session| session.catalog.seen_before())
    }

    async fn report(&self, context: &SourceContext) -> Result<Vec<String>, StageError> {
        Ok(Catalog::look_only(self.settings.clone(), context).await?.report())
    }
}
