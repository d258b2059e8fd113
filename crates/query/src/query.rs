//! A query: prepared once, run once a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ScalarUDF;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::batch::{
    Answer, Context, Input, PartitionRows, Provenance, Table, by_partition, check_batches, check_columns, internal,
    numbers, order, without,
};
use crate::engine::Engine;
use crate::failure::ScoreError;
use crate::failure::{Failure, Reason, RowFailure};
use crate::features::Features;
use crate::function::{ModelFunction, calls, versions};
use crate::parse::{Names, fill_versions, parse};
use crate::rows::{Rows, with_row};
use crate::scope::{QueryScope, analyse};
use crate::scored::Scored;
use crate::slot::{RunState, TableSlot};
use crate::star::without_metadata;
use crate::{Error, Scorer, clock, mixed, plan};

/// How many rows the engine handles at a time, after a filter or an aggregate.
const BATCH_ROWS: usize = 8192;

/// Stack for planning: some 30 kB a term of a condition, unoptimised. Untouched pages cost nothing.
const PLAN_STACK: usize = 256 << 20;

/// A prepared query.
pub struct Query {
    table: String,
    schema: SchemaRef,
    tagged: SchemaRef,
    output: SchemaRef,
    kind: QueryScope,
    engine: Engine,
    reads: BTreeSet<String>,
    records: Arc<TableSlot>,
    tables: BTreeMap<String, (SchemaRef, Arc<TableSlot>)>,
    run: Arc<RunState>,
    /// 0, 1, 2, …: as many as the longest batch so far had rows.
    numbers: UInt32Array,
}

impl Query {
    /// Checks and plans a query over `input`, in which the models are functions and the tables can be joined.
    ///
    /// Plans on a thread of its own: the planner walks expressions by recursion, and a condition of a hundred terms
    /// needs more stack than a worker's thread has.
    pub async fn prepare(
        sql: &str,
        input: &Input,
        models: &BTreeMap<String, Arc<dyn Scorer>>,
        tables: Vec<Table>,
    ) -> Result<Query, Error> {
        let (sql, input, models) = (sql.to_owned(), input.clone(), models.clone());
        let (sender, receiver) = oneshot::channel();
        let plan = move || {
            let query = match Builder::new_current_thread().build() {
                Ok(runtime) => runtime.block_on(Query::plan(&sql, &input, &models, tables)),
                Err(_) => Err(Error::Engine { expression: None, reason: "no runtime for planning" }),
            };
            // The caller has stopped waiting, so the plan is not needed.
            let _ = sender.send(query);
        };
        let thread = std::thread::Builder::new().name("plan".into()).stack_size(PLAN_STACK).spawn(plan);
        thread.map_err(|_| Error::Engine { expression: None, reason: "no thread for planning" })?;
        receiver.await.unwrap_or(Err(Error::Engine { expression: None, reason: "planning panicked" }))
    }

    async fn plan(
        sql: &str,
        input: &Input,
        models: &BTreeMap<String, Arc<dyn Scorer>>,
        tables: Vec<Table>,
    ) -> Result<Query, Error> {
        let run = Arc::new(RunState::default());
        let sql_functions = plan::sql_functions();
        let words = sql_functions.names.union(&sql_functions.volatile).cloned().collect();
        let (calls, absent) = calls(models, &words)?;
        let versions = versions(models);
        let model_names: BTreeSet<String> = calls.keys().chain(versions.keys()).cloned().collect();

        check_columns(&input.table, &input.schema)?;
        let mut slots = vec![(input.table.clone(), TableSlot::new(Arc::clone(&input.schema), Vec::new()))];
        let mut references = BTreeMap::new();
        for table in tables {
            check_columns(&table.name, &table.schema)?;
            check_batches(&table.name, &table.schema, &table.batches)?;
            let slot = TableSlot::new(Arc::clone(&table.schema), table.batches);
            if slots.iter().any(|(name, _)| *name == table.name) {
                return Err(Error::DuplicateTable { table: table.name });
            }
            slots.push((table.name.clone(), Arc::clone(&slot)));
            references.insert(table.name, (table.schema, slot));
        }

        let names = Names {
            tables: slots.iter().map(|(name, _)| name.clone()).collect(),
            functions: sql_functions.names.union(&model_names).cloned().collect(),
            models: model_names,
            volatile: sql_functions.volatile,
            absent,
        };
        let mut statement = parse(sql, &names)?;
        fill_versions(&mut statement, &versions)?;

        let mut functions = clock::functions(&run);
        functions.extend(
            calls
                .values()
                .map(|call| Arc::new(ScalarUDF::new_from_impl(ModelFunction::new(call.clone(), Arc::clone(&run))))),
        );
        let session = plan::session(&slots, functions, BATCH_ROWS)?;
        let decoded: BTreeSet<&str> = input.decoded.iter().map(String::as_str).collect();
        let columns = input.schema.fields().iter().map(|field| field.name());
        let metadata = columns.filter(|name| !decoded.contains(name.as_str())).cloned().collect();
        without_metadata(&mut statement, &input.table, &metadata);
        Features { session: &session, models: &calls, metadata: &metadata }.expand(&mut statement)?;

        let logical = plan::logical_plan(&session, statement).map_err(|error| error.of_text(sql))?;
        let scope = analyse(&logical, &input.table);
        if !scope.reads {
            return Err(Error::ReadsNothing { table: input.table.clone() });
        }
        let mut seen = BTreeSet::new();
        if let Some(field) = logical.schema().fields().iter().find(|field| !seen.insert(field.name().clone())) {
            return Err(Error::DuplicateColumn { column: field.name().clone() });
        }
        let planned = |error: DataFusionError| plan::plan_error(&error);
        if let Some(error) = mixed::check(&session, &logical).map_err(planned)? {
            return Err(error);
        }
        let tagged = with_row(&input.schema);
        let records = TableSlot::new(Arc::clone(&tagged), Vec::new());
        let rows = Rows { table: &input.table, source: plan::provider(&records)? };
        let logical = rows.rewrite(&logical, scope.kind.is_row_wise()).map_err(planned)?;
        let engine = Engine::prepare(&session, &logical).await.map_err(planned)?;

        let mut fields = engine.schema().fields().to_vec();
        if scope.kind.is_row_wise() {
            fields.pop();
        }
        let mut query = Query {
            table: input.table.clone(),
            schema: Arc::clone(&input.schema),
            tagged,
            output: Arc::new(Schema::new(fields)),
            kind: scope.kind,
            reads: engine.reads(),
            engine,
            records,
            tables: references,
            run,
            numbers: UInt32Array::from(Vec::<u32>::new()),
        };
        // A query that fails without any row (`1 / 0`) would refuse every row.
        query.run(&RecordBatch::new_empty(Arc::clone(&query.schema)), &Context::default()).await?;
        Ok(query)
    }

    /// The columns of the answer.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Whether output rows belong to single records.
    pub fn scope(&self) -> &QueryScope {
        &self.kind
    }

    /// Whether the query looks at a column of its main table; the others may hold anything of their type.
    pub fn reads(&self, column: &str) -> bool {
        self.reads.contains(column)
    }

    /// Remembers from now on what these models are asked and say: [`Answer::scored`]. It costs no copy.
    pub fn watch(&mut self, models: BTreeSet<String>) {
        self.run.watch(models);
    }

    /// Replaces the rows of a reference table, from the next run on.
    pub fn replace_table(&mut self, name: &str, batches: Vec<RecordBatch>) -> Result<(), Error> {
        let Some((schema, slot)) = self.tables.get(name) else {
            let tables: Vec<String> = self.tables.keys().cloned().collect();
            let nearest = crate::parse::nearest(name, tables.iter().map(String::as_str));
            return Err(Error::UnknownTable { line: 0, position: 0, table: name.to_owned(), nearest, tables });
        };
        check_batches(name, schema, &batches)?;
        slot.put(batches);
        Ok(())
    }

    /// Runs the query over one batch. An error stops the pipeline: it is not about single rows.
    pub async fn run(&mut self, batch: &RecordBatch, context: &Context) -> Result<Answer, Error> {
        check_batches(&self.table, &self.schema, std::slice::from_ref(batch))?;
        let from = context.provenance.clone().or_else(|| Provenance::of(batch));
        let live = self.tag(batch)?;
        // Of a run that failed.
        self.run.take_kept();
        let parts = match (&self.kind, &from) {
            (QueryScope::PerPartition { .. }, Some(from)) if batch.num_rows() > 0 => by_partition(&live, from)?,
            _ => vec![PartitionRows { rows: live, place: None }],
        };
        let (mut outputs, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let rows = self.outputs(part.rows, context, &mut refused).await?;
            let count = rows.iter().map(RecordBatch::num_rows).sum();
            places.extend(part.place.iter().flat_map(|place| std::iter::repeat_n(*place, count)));
            outputs.extend(rows);
        }
        self.records.put(Vec::new());
        refused.sort_by_key(|failure| failure.row);
        let gone: BTreeSet<u32> = refused.iter().filter_map(|failure| u32::try_from(failure.row).ok()).collect();
        let scored =
            self.run.take_kept().into_iter().map(|scored| scored.without(&gone)).collect::<Result<Vec<Scored>, _>>();
        let scored = scored.map_err(internal)?;
        let from = match self.kind {
            QueryScope::RowWise => from,
            QueryScope::PerPartition { .. } => from.map(|_| Provenance {
                partition: places.iter().map(|(partition, _)| *partition).collect(),
                offset: places.iter().map(|(_, offset)| *offset).collect(),
            }),
            QueryScope::BatchWise { .. } => None,
        };
        self.answer(&outputs, refused, from, scored)
    }

    /// What these rows give.
    async fn outputs(
        &self,
        mut live: RecordBatch,
        context: &Context,
        refused: &mut Vec<RowFailure>,
    ) -> Result<Vec<RecordBatch>, Error> {
        loop {
            let outcome = self.execute(&live, context).await;
            let refusals = self.run.take_refusals();
            if !refusals.is_empty() {
                let rows: BTreeSet<u32> = refusals.iter().map(|(row, _)| *row).collect();
                refused.extend(refusals.into_iter().map(|(row, failure)| RowFailure { row: row as usize, failure }));
                match outcome {
                    // Each output row has its own input row: the others are right as they are.
                    Ok(outputs) if self.kind.is_row_wise() => {
                        self.run.keep();
                        return outputs.iter().map(|output| without(output, &rows)).collect();
                    }
                    _ => {
                        live = without(&live, &rows)?;
                        continue;
                    }
                }
            }
            return match outcome {
                Ok(outputs) => {
                    self.run.keep();
                    Ok(outputs)
                }
                Err(error) => self.bisect(&live, error, context, refused).await,
            };
        }
    }

    /// The batch with its rows numbered.
    fn tag(&mut self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let rows = batch.num_rows();
        if self.numbers.len() < rows {
            let Ok(end) = u32::try_from(rows) else {
                let difference = format!("a batch of {rows} rows is too long");
                return Err(Error::Schema { table: self.table.clone(), difference });
            };
            self.numbers = UInt32Array::from_iter_values(0..end);
        }
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(self.numbers.slice(0, rows)));
        RecordBatch::try_new(Arc::clone(&self.tagged), columns).map_err(internal)
    }

    async fn execute(&self, live: &RecordBatch, context: &Context) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.run.start(context.batch_time);
        self.records.put(vec![live.clone()]);
        self.engine.run().await
    }

    /// Finds the rows on which a row-wise query fails, and gives the output of the others.
    async fn bisect(
        &self,
        live: &RecordBatch,
        error: DataFusionError,
        context: &Context,
        refused: &mut Vec<RowFailure>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let mut outputs = Vec::new();
        // An error that needs no row, or many, is not the fault of a row.
        if live.num_rows() == 0 || !self.kind.is_row_wise() || Reason::of(&error).is_none() {
            return Err(self.stop(&error).await);
        }
        if let Err(error) = self.execute(&live.slice(0, 0), context).await {
            return Err(self.stop(&error).await);
        }
        let mut parts = vec![live.clone()];
        while let Some(part) = parts.pop() {
            let outcome = self.execute(&part, context).await;
            let refusals = self.run.take_refusals();
            let rows: BTreeSet<u32> = refusals.iter().map(|(row, _)| *row).collect();
            let known: BTreeSet<usize> = refused.iter().map(|failure| failure.row).collect();
            let new = refusals.into_iter().filter(|(row, _)| !known.contains(&(*row as usize)));
            refused.extend(new.map(|(row, failure)| RowFailure { row: row as usize, failure }));
            match outcome {
                Ok(batches) => {
                    self.run.keep();
                    for batch in &batches {
                        outputs.push(without(batch, &rows)?);
                    }
                }
                Err(_) if !rows.is_empty() => parts.push(without(&part, &rows)?),
                Err(error) => match Reason::of(&error) {
                    None => return Err(self.stop(&error).await),
                    Some(reason) if part.num_rows() == 1 => {
                        let expression = self.engine.failing().await;
                        let row = numbers(&part)?.values().first().copied().unwrap_or_default() as usize;
                        refused.push(RowFailure { row, failure: Failure::Query { expression, reason } });
                    }
                    Some(_) => {
                        let half = part.num_rows() / 2;
                        parts.push(part.slice(half, part.num_rows() - half));
                        parts.push(part.slice(0, half));
                    }
                },
            }
        }
        Ok(outputs)
    }

    /// The error that stops the pipeline. The engine's text may quote values: only its kind is said.
    async fn stop(&self, error: &DataFusionError) -> Error {
        if let Some(score) = score_error(error) {
            return score.into();
        }
        let expression = self.engine.failing().await;
        match Reason::of(error) {
            Some(reason) => Error::Failed { expression, reason },
            None => Error::Engine { expression, reason: engine_reason(error) },
        }
    }

    /// `from`: of a row-wise query the place of each input row, of one per partition that of each output row.
    fn answer(
        &self,
        outputs: &[RecordBatch],
        refused: Vec<RowFailure>,
        from: Option<Provenance>,
        scored: Vec<Scored>,
    ) -> Result<Answer, Error> {
        let all = match outputs {
            [one] => one.clone(),
            several => concat_batches(&self.engine.schema(), several).map_err(internal)?,
        };
        if !self.kind.is_row_wise() {
            let rows = self.user_columns(&all)?;
            return Ok(Answer { rows, origin: None, provenance: from, refused, scored });
        }
        // A join gives rows in its own order.
        let all = if numbers(&all)?.values().is_sorted() {
            all
        } else {
            take_record_batch(&all, &order(numbers(&all)?)).map_err(internal)?
        };
        let origin = numbers(&all)?.clone();
        let rows = self.user_columns(&all)?;
        let provenance = from.map(|provenance| provenance.take(&origin)).transpose()?;
        Ok(Answer { rows, origin: Some(origin), provenance, refused, scored })
    }

    fn user_columns(&self, all: &RecordBatch) -> Result<RecordBatch, Error> {
        let columns = all.columns().iter().take(self.output.fields().len()).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options).map_err(internal)
    }
}

fn score_error(error: &DataFusionError) -> Option<&ScoreError> {
    match error.find_root() {
        DataFusionError::External(error) => error.downcast_ref::<ScoreError>(),
        _ => None,
    }
}

fn engine_reason(error: &DataFusionError) -> &'static str {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => "out of memory",
        DataFusionError::NotImplemented(_) => "it does not support this",
        DataFusionError::Internal(_) => "an internal error",
        DataFusionError::ArrowError(..) => "an array error",
        _ => "an error of its own",
    }
}
