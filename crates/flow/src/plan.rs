//! Plans and positions: what makes a batch repeatable, and how far a sink has got.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One partition of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    /// The Kafka topic, or the name that another kind of source gives its records.
    #[serde(with = "text")]
    pub topic: Arc<str>,
    /// The partition's number within the topic, from 0.
    pub index: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.index)
    }
}

/// How far a sink has got in a partition: everything below `next` is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Where.
    pub partition: Partition,
    /// The next offset to consume.
    pub next: i64,
}

/// Consumed offsets `[from, to)` of one partition: not the first and last record, since compaction, transaction
/// markers and filtered records leave holes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Where.
    pub partition: Partition,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

/// What rows are made with: the decoding and the query by the sha256 of their text, models and reference tables by the
/// sha256 of their bytes. All are kept under that name in `state:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Recipe {
    /// The sha256 of what the pipeline file says about decoding and the query.
    pub query: String,
    /// Model name → sha256 of its file.
    pub models: BTreeMap<String, String>,
    /// Reference table name → sha256 of its content.
    pub tables: BTreeMap<String, String>,
}

/// What makes a batch repeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Names the batch: parts with one id were one batch.
    pub id: String,
    /// The batch time in microseconds since the epoch (UTC): what `now()` says.
    pub time: i64,
    /// What the rows are made with.
    pub recipe: Arc<Recipe>,
    /// The offsets by partition; no partition twice.
    pub ranges: Vec<Range>,
}

/// One partition's part of a plan: what the leader stores, so that any worker can replay any partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPart {
    /// The plan's id.
    pub id: String,
    /// The batch time in microseconds since the epoch (UTC).
    pub time: i64,
    /// What the rows are made with.
    pub recipe: Recipe,
    /// The offsets.
    pub range: Range,
    /// When a sink took it to keep, in microseconds since the epoch (UTC): of parts that contradict each other the one that
    /// was kept last counts. 0 in what was stored before there was such a time.
    #[serde(default)]
    pub kept: i64,
    /// How many parts the plan has, some of which may be gone: a sink lets go of them partition by partition. 0 in what was
    /// stored before there was such a number.
    #[serde(default)]
    pub of: usize,
}

impl Plan {
    /// The plan cut by partition, not kept yet.
    pub fn parts(&self) -> impl Iterator<Item = PlanPart> + '_ {
        self.ranges.iter().map(|range| PlanPart {
            id: self.id.clone(),
            time: self.time,
            recipe: (*self.recipe).clone(),
            range: range.clone(),
            kept: 0,
            of: self.ranges.len(),
        })
    }

    /// Plans put together again from parts, in the order in which they must be replayed: by time, then by id.
    pub fn assemble(parts: impl IntoIterator<Item = PlanPart>) -> Vec<Plan> {
        let mut plans: BTreeMap<(i64, String), Plan> = BTreeMap::new();
        for part in parts {
            plans
                .entry((part.time, part.id.clone()))
                .or_insert_with(|| Plan {
                    id: part.id,
                    time: part.time,
                    recipe: Arc::new(part.recipe),
                    ranges: Vec::new(),
                })
                .ranges
                .push(part.range);
        }
        plans.into_values().collect()
    }
}

/// `Arc<str>` as a plain string.
mod text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Into::into)
    }
}
