//! The files that a pipeline has seen, in the order in which it saw them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::settings::ReadOptions;

/// Files that are copied together where the list grows.
const CHUNK: usize = 1024;

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its path or URL.
    pub(super) url: String,
    pub(super) size: u64,
    /// Of the storage: the time of its last change, or its ETag.
    pub(super) version: String,
    /// When it was changed last, in milliseconds since the epoch.
    pub(super) modified: i64,
    #[serde(alias = "how")]
    pub(super) options: ReadOptions,
    /// The number of its first entry.
    pub(super) first: u64,
    /// How many entries it has.
    pub(super) entries: u64,
    /// Bytes an entry.
    pub(super) split: u64,
}

impl Listed {
    /// The bytes of an entry, by its number.
    pub(super) fn range(&self, entry: u64) -> (u64, u64) {
        let from = entry.saturating_sub(self.first).saturating_mul(self.split);
        (from, from.saturating_add(self.split).min(self.size))
    }
}

/// A list that only grows. A copy shares all but its last files with the one that it was made of, so that it costs
/// nothing to hand a list of millions on.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// Each but the last is full.
    chunks: Vec<Arc<Vec<Arc<Listed>>>>,
}

impl Files {
    pub(super) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |last| last.len());
        self.chunks.len().saturating_sub(1).saturating_mul(CHUNK).saturating_add(last)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn push(&mut self, file: Listed) {
        match self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => Arc::make_mut(last).push(Arc::new(file)),
            None => self.chunks.push(Arc::new(vec![Arc::new(file)])),
        }
    }

    /// In their order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Listed>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// From the n-th to before another.
    pub(super) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &Arc<Listed>> {
        let chunks = self.chunks.iter().skip(from / CHUNK).flat_map(|chunk| chunk.iter());
        chunks.skip(from % CHUNK).take(to.saturating_sub(from))
    }

    /// The last file whose entries begin at this one or before.
    pub(super) fn at_or_before(&self, entry: u64) -> Option<&Arc<Listed>> {
        let begins = |chunk: &Arc<Vec<Arc<Listed>>>| chunk.first().is_some_and(|file| file.first <= entry);
        let chunk = self.chunks.get(self.chunks.partition_point(begins).checked_sub(1)?)?;
        chunk.get(chunk.partition_point(|file| file.first <= entry).checked_sub(1)?)
    }
}

/// Everything that the records say.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) partitions: usize,
    pub(super) files: Files,
    /// How many entries the files have.
    pub(super) entries: u64,
}

impl Known {
    /// The file that an entry is of.
    pub(super) fn file(&self, entry: u64) -> Option<&Arc<Listed>> {
        self.files.at_or_before(entry).filter(|file| entry < file.first.saturating_add(file.entries))
    }

    /// Adds files, whose entries follow those that are there.
    pub(super) fn add(&mut self, files: Vec<Listed>) {
        for mut file in files {
            file.first = self.entries;
            self.entries = self.entries.saturating_add(file.entries);
            self.files.push(file);
        }
    }
}
