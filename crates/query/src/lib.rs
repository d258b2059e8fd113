//! What does the SQL say?
//!
//! SQL over one Arrow batch at a time, in which loaded models are functions. This is the only crate that knows
//! DataFusion. It is pure: batches in, batches out. It knows no Kafka, no sink, no file, and no clock: `now()` is the
//! batch time that the caller gives, so that a batch that is run again gives the same bytes.
//!
//! A query is planned once ([`Query::prepare`]) and run once a batch ([`Query::run`]). A row on which a model or the
//! query fails is a value in the [`Answer`], never an error.
//!
//! ```
//! # use std::{collections::BTreeMap, sync::Arc};
//! # use arrow::{array::{Int64Array, RecordBatch}, datatypes::{DataType, Field, Schema}};
//! # use foretell_query::{Context, Input, Query};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), foretell_query::Error> {
//! let schema = Arc::new(Schema::new(vec![Field::new("AGE", DataType::Int64, true)]));
//! let input = Input { table: "records".into(), schema: Arc::clone(&schema), decoded: vec!["AGE".into()] };
//! let mut query = Query::prepare("SELECT AGE / 10 AS decade FROM records", &input, &BTreeMap::new(), vec![]).await?;
//! let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![34, 71]))]).unwrap();
//! let answer = query.run(&batch, &Context::default()).await?;
//! assert_eq!(answer.rows.column(0).as_ref(), &Int64Array::from(vec![3, 7]));
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod arithmetic;
mod batch;
mod clock;
mod engine;
mod error;
mod failure;
mod features;
mod filters;
mod function;
mod in_order;
mod mixed;
mod padded;
mod parse;
mod plan;
mod query;
mod rows;
mod scope;
mod scored;
mod scorer;
mod slot;
mod star;
mod sums;

/// The SQL functions that a query may call beside those of models, in alphabetical order.
pub fn functions() -> Vec<String> {
    plan::sql_functions().names.into_iter().collect()
}

pub use batch::{Answer, Context, Input, Provenance, Table};
pub use clock::instant_type;
pub use error::Error;
pub use failure::{Failure, Reason, RowFailure};
pub use query::Query;
pub use scope::QueryScope;
pub use scored::Scored;
pub use scorer::{Role, Scorer};
