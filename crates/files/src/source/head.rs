//! The first records of some files, before any run: what would stop a run is found here.

#![allow(clippy::arithmetic_side_effects, reason = "lines that were read")]

use std::sync::Arc;
use std::time::Duration;

use foretell_flow::{Demand, StageError};

use super::TOPIC;
use super::catalog::Catalog;
use super::feed::first_block;
use super::reader::Cursor;
use foretell_connect::kind::Head;

/// This many files are opened at most; a folder may have thousands.
const FILES: usize = 64;
/// This many of them are read; of the other Parquet files the footers are.
const WHOLE: usize = 2;
/// Bytes of these.
const BYTES: usize = 64 << 20;
/// Records of a file that are handed on.
const RECORDS: usize = 1000;

pub(super) async fn head(catalog: Arc<Catalog>) -> Result<Vec<Head>, StageError> {
    let mut heads = Vec::new();
    for (at, file) in catalog.samples(FILES).await.into_iter().enumerate() {
        let Some(block) = first_block(catalog.clone(), file.clone(), at < WHOLE).await? else { continue };
        let mut cursor = Cursor::new(block);
        if at >= WHOLE || cursor.len() == 0 {
            continue;
        }
        let demand = Demand { rows: RECORDS, bytes: BYTES, wait: Duration::ZERO };
        let records = cursor.take(&foretell_flow::Topics::one(TOPIC.into()), demand);
        let lines = (0..records.len()).map(|index| cursor.row(index) + 1).collect();
        heads.push(Head { file: file.url.clone(), records, lines });
    }
    Ok(heads)
}
