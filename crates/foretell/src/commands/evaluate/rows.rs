//! A chunk of the data with the model's answers, to be compared.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use arrow::array::ArrayRef;
use foretell_evaluate::{Compared, Comparer, Error, Predictions, Refused, Rows, Task};
use foretell_model::{Columns, Method, Model, Refusal};

use super::method;
use crate::commands::data::input::Chunk;
use crate::commands::data::layout::Layout;
use crate::commands::data::parse::{RowLocator, parse};
use crate::commands::data::why;
use crate::commands::data::work::Work;

/// What every thread needs.
pub(super) struct Job {
    pub(super) model: Arc<Model>,
    pub(super) comparer: Comparer,
    pub(super) layout: Layout,
}

/// The rows of a chunk.
pub(super) struct Scored {
    pub(super) rows: usize,
    pub(super) unseen: Vec<(String, usize)>,
    pub(super) compared: Compared,
}

impl Work for Job {
    type Output = Scored;

    fn make(&self, chunk: &Chunk) -> Result<(Scored, usize)> {
        let table = parse(chunk, &self.layout)?;
        let locator = RowLocator { chunk };
        let (predictions, said) = predictions(&self.model, self.comparer.task(), &table.features, table.rows)
            .map_err(|error| error.context(chunk.options.name.clone()))?;
        let actual = table.more.first().ok_or_else(|| anyhow!("{}: no target was read", chunk.options.name))?;
        let refused = said.refusals.iter().map(|one| Refused { row: one.row as usize, why: why(one) });
        let rows = Rows {
            chunk: chunk.number,
            features: &table.features,
            actual,
            weight: table.more.get(1),
            predictions: &predictions,
            refused: &refused.collect::<Vec<_>>(),
            place: &|row| locator.locate(row),
        };
        let compared = self.comparer.compare(&rows).map_err(|error| match error {
            Error::Weight { row } => {
                let column = self.layout.more.get(1).map_or("", |column| column.name.as_str());
                anyhow!("{}: column {column}: a weight is a number from 0 on", locator.locate(row))
            }
            error => error.into(),
        })?;
        Ok((Scored { rows: table.rows, unseen: said.unseen, compared }, table.rows))
    }
}

/// What the model says beside its answers.
pub(super) struct ModelFacts {
    refusals: Vec<Refusal>,
    unseen: Vec<(String, usize)>,
}

/// What the model answers to some rows.
pub(super) fn predictions(
    model: &Model,
    task: &Task,
    features: &[ArrayRef],
    rows: usize,
) -> Result<(Predictions, ModelFacts)> {
    let columns = Columns::new(features, rows);
    let predicted = model.score(&columns, Method::Predict);
    let said = ModelFacts { refusals: predicted.refusals, unseen: predicted.unseen };
    let predicted = predicted.columns.into_iter().next().ok_or_else(|| anyhow!("the model gives no answer"))?;
    let scores = match task {
        Task::Classification(classes) => classes.scores(),
        Task::Regression => None,
    };
    let scores = scores.map(|scores| model.score(&columns, method(scores)).columns);
    Ok((Predictions { predicted, scores: scores.unwrap_or_default() }, said))
}
