//! Pipeline files as they were at one time, what rows they make, and what rows they should make.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use foretell_flow::*;

use crate::log::{SECRET, good};
use crate::mutants::Mutant;
use crate::sinks::Kind;
use crate::world::Sim;

/// What a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Result,
    /// The result through a query of the sink's own.
    View,
    DeadLetters,
}

/// A sink as the pipeline file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkEntry {
    pub(crate) name: String,
    /// Which table, topic or folder.
    pub(crate) target: usize,
    pub(crate) kind: Kind,
    pub(crate) input: Input,
    pub(crate) backfill: bool,
}

/// A pipeline file.
#[derive(Debug, Clone)]
pub(crate) struct Edition {
    /// Names decoding, the query and the views.
    pub(crate) recipe: String,
    /// The result's columns in their order.
    pub(crate) columns: Vec<&'static str>,
    pub(crate) scope: Scope,
    pub(crate) model: i64,
    /// Dead letters last.
    pub(crate) sinks: Vec<SinkEntry>,
}

pub(crate) const COLUMNS: [&str; 6] = ["partition", "offset", "time", "recipe", "records", "prediction"];
const VIEW: [&str; 4] = ["offset", "recipe", "partition", "time"];

impl Edition {
    pub(crate) fn recipe(&self) -> Recipe {
        Recipe {
            query: self.recipe.clone(),
            models: [("m".to_string(), self.model.to_string())].into(),
            tables: BTreeMap::new(),
        }
    }

    pub(crate) fn schema_of(&self, input: Input) -> SchemaRef {
        match input {
            Input::Result => schema_of(&self.columns),
            Input::View => schema_of(&VIEW),
            Input::DeadLetters => dead_letter_schema(false),
        }
    }
}

fn schema_of(columns: &[&str]) -> SchemaRef {
    let kind = |name: &str| match name {
        "partition" => DataType::Int32,
        "recipe" => DataType::Utf8,
        _ => DataType::Int64,
    };
    Arc::new(Schema::new(columns.iter().map(|name| Field::new(*name, kind(name), false)).collect::<Vec<_>>()))
}

/// What the model says of a record.
pub(crate) fn prediction(model: i64, offset: i64) -> i64 {
    (offset + 1) * 1000 + model
}

/// Which records a view keeps.
pub(crate) fn in_view(offset: i64) -> bool {
    offset % 3 != 0
}

/// The row that a record must become, as text: columns by name, in the order of the names.
pub(crate) fn expected_row(
    edition: &Edition,
    input: Input,
    plan: &Plan,
    ranges: &[Range],
    index: i32,
    offset: i64,
) -> String {
    let all = |range: &Range| good(range.partition.index, range.from, range.to).count() as i64;
    let records = match edition.scope {
        Scope::Record => 0,
        Scope::Partition => ranges.iter().filter(|range| range.partition.index == index).map(all).sum(),
        Scope::Batch => ranges.iter().map(all).sum(),
    };
    let model = plan.recipe.models.get("m").and_then(|model| model.parse().ok()).unwrap_or_default();
    let cell = |name: &str| match name {
        "partition" => format!("partition={index}"),
        "offset" => format!("offset={offset}"),
        "time" => format!("time={}", plan.time),
        "recipe" => format!("recipe={}", plan.recipe.query),
        "records" => format!("records={records}"),
        "prediction" => format!("prediction={}", prediction(model, offset)),
        other => format!("{other}=?"),
    };
    let columns: &[&str] = match input {
        Input::Result => &edition.columns,
        Input::View => &VIEW,
        Input::DeadLetters => return "dead letter".into(),
    };
    let mut cells: Vec<String> = columns.iter().map(|name| cell(name)).collect();
    cells.sort();
    cells.join(",")
}

/// `records.value` as an integer.
struct Numbers {
    tells: bool,
}

impl Decode for Numbers {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let mut bad = Vec::new();
        let mut numbers = Vec::new();
        for row in 0..records.len() {
            let value = std::str::from_utf8(records.values.value(row)).expect("text");
            match value.strip_prefix(SECRET).and_then(|value| value.parse::<i64>().ok()) {
                Some(number) => numbers.push(number),
                None => {
                    let what = if self.tells { value } else { "field 1" };
                    bad.push(Refused { row, stage: "decode".into(), reason: format!("{what}: not an int64") });
                }
            }
        }
        let columns = RecordBatch::try_new(self.schema(), vec![Arc::new(Int64Array::from(numbers)) as ArrayRef]);
        Decoded { columns: columns.expect("one column"), bad }
    }
}

/// The main query.
struct Stamp(Edition, Sim);

impl Query for Stamp {
    fn schema(&self) -> SchemaRef {
        schema_of(&self.0.columns)
    }

    fn scope(&self) -> Scope {
        self.0.scope
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, time: i64) -> Result<Queried, StageError> {
        let rows = batch.num_rows();
        let indexes = batch.column_by_name("_partition").expect("it has it").as_primitive::<Int32Type>().clone();
        let offsets = batch.column_by_name("_offset").expect("it has it").as_primitive::<Int64Type>().clone();
        let numbers = batch.column_by_name("number").expect("it has it").as_primitive::<Int64Type>().clone();
        self.1.with(|world| world.checker.computed(&self.0, time, indexes.values(), offsets.values()));
        let records = |index: i32| match self.0.scope {
            Scope::Record => 0,
            Scope::Partition => indexes.values().iter().filter(|other| **other == index).count() as i64,
            Scope::Batch => rows as i64,
        };
        let column = |name: &&str| -> ArrayRef {
            match *name {
                "partition" => Arc::new(indexes.clone()),
                "offset" => Arc::new(numbers.clone()),
                "time" => Arc::new(Int64Array::from(vec![time; rows])),
                "recipe" => Arc::new(StringArray::from(vec![self.0.recipe.as_str(); rows])),
                "records" => {
                    Arc::new(indexes.values().iter().map(|index| Some(records(*index))).collect::<Int64Array>())
                }
                _ => {
                    let predictions = numbers.values().iter().map(|number| Some(prediction(self.0.model, *number)));
                    Arc::new(predictions.collect::<Int64Array>())
                }
            }
        };
        let provenance = (self.0.scope != Scope::Batch).then(|| Provenance { partitions: indexes.clone(), offsets });
        let rows = RecordBatch::try_new(self.schema(), self.0.columns.iter().map(column).collect());
        Ok(Queried { rows: rows.expect("the columns fit"), provenance, refused: Vec::new() })
    }
}

/// A sink's own query: every third row goes, and the columns have another order.
struct Thirds;

impl Query for Thirds {
    fn schema(&self) -> SchemaRef {
        schema_of(&VIEW)
    }

    fn scope(&self) -> Scope {
        Scope::Record
    }

    fn run(&mut self, batch: &RecordBatch, _: Option<&Provenance>, _: i64) -> Result<Queried, StageError> {
        let offsets = batch.column_by_name("offset").expect("it has it").as_primitive::<Int64Type>().clone();
        let keep: BooleanArray = offsets.values().iter().map(|offset| Some(in_view(*offset))).collect();
        let kept = filter_record_batch(batch, &keep).expect("one entry a row");
        let column = |name: &str| kept.column_by_name(name).cloned();
        let columns = self.schema().fields().iter().filter_map(|field| column(field.name())).collect();
        let rows = RecordBatch::try_new(self.schema(), columns).expect("the columns fit");
        let provenance = column("_partition").zip(column("_offset")).map(|(partitions, offsets)| Provenance {
            partitions: partitions.as_primitive::<Int32Type>().clone(),
            offsets: offsets.as_primitive::<Int64Type>().clone(),
        });
        Ok(Queried { rows, provenance, refused: Vec::new() })
    }
}

/// Gives the stages of any edition that there was.
pub(crate) struct Factory {
    pub(crate) sim: Sim,
    pub(crate) today: Edition,
}

impl StageFactory for Factory {
    fn recipe(&self) -> Arc<Recipe> {
        Arc::new(self.today.recipe())
    }

    fn stages(&self, recipe: &Recipe) -> Result<Stages, StageError> {
        let (mut edition, mutant) = self.sim.with(|world| (world.editions.get(&recipe.query).cloned(), world.mutant));
        if mutant == Some(Mutant::LeftoverPlansRunTodaysQuery) {
            edition = Some(self.today.clone());
        }
        let Some(edition) = edition else {
            return Err(StageError::state(format!("the query of a plan, {}, is gone", recipe.query)));
        };
        let model = recipe.models.get("m").and_then(|model| model.parse().ok()).unwrap_or_default();
        let edition = match mutant {
            Some(Mutant::LeftoverPlansRunTodaysModel) => Edition { model: self.today.model, ..edition },
            _ => Edition { model, ..edition },
        };
        let keys = |keys: &BinaryArray| (Arc::new(keys.clone()) as ArrayRef, Vec::new());
        let keys = Keys { data_type: DataType::Binary, decode: Box::new(keys) };
        let view = |sink: &SinkEntry| {
            let then = edition.sinks.iter().find(|then| then.name == sink.name);
            let input = match then {
                // What the edition does not know of a sink is as it is today.
                None if mutant != Some(Mutant::AddedSinksGetTheRawResult) => sink.input,
                None => Input::Result,
                Some(then) => then.input,
            };
            (input == Input::View).then(|| Box::new(Thirds) as Box<dyn Query>)
        };
        let views = self.today.sinks.iter().map(view).collect();
        let tells = mutant == Some(Mutant::ReasonsTellValues);
        Ok(Stages {
            decode: Box::new(Numbers { tells }),
            keys,
            query: Box::new(Stamp(edition, self.sim.clone())),
            views,
        })
    }
}
