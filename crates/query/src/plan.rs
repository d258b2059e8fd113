//! The query engine's settings, and from a text tree to a logical plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF, Volatility};
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use futures::FutureExt;

use crate::Error;
use crate::clock::is_clock;
use crate::padded;
use crate::parse::nearest;
use crate::slot::TableSlot;
use crate::sums;

/// The engine's own functions.
pub(crate) struct SqlFunctions {
    /// All names, in lower case; none that gives other values at a replay.
    pub(crate) names: BTreeSet<String>,
    /// Those that would.
    pub(crate) volatile: BTreeSet<String>,
}

/// The engine's own functions, with `now()` and related functions among the names: they get their meaning from the batch.
pub(crate) fn sql_functions() -> SqlFunctions {
    let (mut names, mut volatile) = (BTreeSet::new(), BTreeSet::new());
    for function in SessionStateDefaults::default_scalar_functions() {
        let all = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
        let is_volatile = function.signature().volatility == Volatility::Volatile;
        let kind = if is_volatile { &mut volatile } else { &mut names };
        kind.extend(all.map(str::to_lowercase));
    }
    for function in SessionStateDefaults::default_aggregate_functions() {
        names.insert(function.name().to_lowercase());
        names.extend(function.aliases().iter().map(|alias| alias.to_lowercase()));
    }
    for function in SessionStateDefaults::default_window_functions() {
        names.insert(function.name().to_lowercase());
        names.extend(function.aliases().iter().map(|alias| alias.to_lowercase()));
    }
    for function in SessionStateDefaults::default_higher_order_functions() {
        names.insert(function.name().to_lowercase());
        names.extend(function.aliases().iter().map(|alias| alias.to_lowercase()));
    }
    names.extend(["today", "now", "current_timestamp", "current_date", "current_time"].map(str::to_owned));
    SqlFunctions { names, volatile }
}

/// An engine with these tables and functions, and nothing else in it.
pub(crate) fn session(
    tables: &[(String, Arc<TableSlot>)],
    functions: Vec<Arc<ScalarUDF>>,
    batch_rows: usize,
) -> Result<SessionState, Error> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(batch_rows);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    // Text and naive times are UTC. With a zone set, `to_timestamp` breaks its own promise of a type (55.2).
    options.execution.time_zone = None;
    options.execution.collect_statistics = false;
    // A filter that moves at run time would keep one run's values for the next.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // It would compute below a filter what the filter guards.
    options.optimizer.enable_leaf_expression_pushdown = false;
    // It panics on a NaN in what is grouped (55.2).
    options.optimizer.enable_topk_aggregation = false;
    // A join's tables keep the order in which they are written, however many rows they have.
    options.optimizer.join_reordering = false;
    let mut scalars = SessionStateDefaults::default_scalar_functions();
    scalars.retain(|function| function.signature().volatility != Volatility::Volatile && !is_clock(function.name()));
    let mut scalars: Vec<_> = scalars.into_iter().map(padded::bounded).collect();
    scalars.extend(functions);
    // Pushing a filter down copies what it computes (a model would score every row twice) and joins it with other
    // filters (a condition would fail on rows that another has shut out).
    let mut optimizer = Optimizer::new();
    optimizer.rules.retain(|rule| rule.name() != "push_down_filter");
    let mut physical = PhysicalOptimizer::new();
    physical.rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(scalars)
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(sums::aggregates())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_optimizer_rules(optimizer.rules)
        .with_physical_optimizer_rules(physical.rules)
        .build();
    let context = SessionContext::new_with_state(state);
    for (name, slot) in tables {
        let table = provider(slot)?;
        context.register_table(TableReference::bare(name.as_str()), table).map_err(|error| plan_error(&error))?;
    }
    Ok(context.state())
}

/// The slot as a table.
pub(crate) fn provider(slot: &Arc<TableSlot>) -> Result<Arc<dyn TableProvider>, Error> {
    use datafusion::physical_plan::streaming::PartitionStream;
    let schema = Arc::clone(slot.schema());
    let table = StreamingTable::try_new(schema, vec![Arc::clone(slot) as _]).map_err(|error| plan_error(&error))?;
    Ok(Arc::new(table))
}

/// What the query says, not yet optimised.
pub(crate) fn logical_plan(session: &SessionState, query: Query) -> Result<LogicalPlan, Error> {
    let statement = EngineStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    // Every table is in memory, so that planning never waits.
    match session.statement_to_plan(statement).now_or_never() {
        Some(Ok(plan)) => Ok(plan),
        Some(Err(error)) => Err(plan_error(&error)),
        None => Err(Error::Engine { expression: None, reason: "planning waits" }),
    }
}

/// An error of planning, in a user's words. There is no data yet: it may quote the query.
pub(crate) fn plan_error(error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::SchemaError(schema, _) = root {
        match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let mut columns: Vec<String> = Vec::new();
                for column in valid_fields {
                    if !columns.iter().any(|known| known == column.name()) {
                        columns.push(column.name().to_owned());
                    }
                }
                let (line, position) = place(error);
                return Error::UnknownColumn {
                    line,
                    position,
                    column: field.flat_name(),
                    nearest: nearest(field.name(), columns.iter().map(String::as_str)),
                    quoted: false,
                    columns,
                };
            }
            SchemaError::AmbiguousReference { field } => {
                return Error::AmbiguousColumn { column: field.name().to_owned() };
            }
            SchemaError::DuplicateUnqualifiedField { name } | SchemaError::DuplicateQualifiedField { name, .. } => {
                return Error::DuplicateColumn { column: name.clone() };
            }
        }
    }
    if root.strip_backtrace().contains("does not support logical expression") {
        let reason = "the engine cannot do this with a subquery here: write it as a JOIN".into();
        return Error::Unsupported { what: "subquery".into(), reason };
    }
    if let DataFusionError::External(external) = root
        && let Some(error) = external.downcast_ref::<Error>()
    {
        return error.clone();
    }
    let message = root.strip_backtrace();
    let message = ["Error during planning: ", "This feature is not implemented: ", "Schema error: "]
        .iter()
        .fold(message.as_str(), |message, prefix| message.trim_start_matches(prefix));
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, position) = place(error);
    Error::Plan { line, position, message: in_our_words(message.trim_end_matches('.')) }
}

/// SQL's types as an error lists them.
const TYPES: &[&str] = &[
    "BIGINT",
    "BOOLEAN",
    "BYTEA",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INTEGER",
    "INTERVAL",
    "REAL",
    "SMALLINT",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TINYINT",
    "VARCHAR",
];

/// The engine's message, said so that a person who writes SQL knows what to do.
fn in_our_words(message: &str) -> String {
    let between = |begin: &str, end: &str| Some(message.split_once(begin)?.1.split_once(end)?.0);
    if let Some(column) = between("column \"", "\" must appear in the GROUP BY clause") {
        let name = column.rsplit_once('.').map_or(column, |(_, name)| name);
        return format!(
            "`{name}` stands beside an aggregate: name it in GROUP BY, or put it into one, such as `max({name})`"
        );
    }
    if message.starts_with("array_element does not support type Struct") {
        return "a part of a STRUCT is taken by its name: `p['1']`, not by a number".to_string();
    }
    if message.starts_with("dot access not supported") || message.starts_with("Dot access not supported") {
        return "a part of a STRUCT is taken by its name in brackets: `p['1']`, not behind a dot".to_string();
    }
    if let Some(name) = message.to_ascii_lowercase().strip_prefix("unsupported sql type ") {
        let wanted = name.to_ascii_uppercase();
        let near = nearest(&wanted, TYPES.iter().copied()).map(|near| format!(": did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| format!(": there are {}", TYPES.join(", ")));
        return format!("there is no type `{wanted}`{near}");
    }
    if let Some(function) = between("satisfy a call to '", "' function") {
        let found = between("coercion from ", " to the signature").map(|found| format!(" {found}"));
        return format!(
            "`{function}` does not take{}: CAST it",
            found.unwrap_or_else(|| " these arguments".to_string())
        );
    }
    let mut letters = message.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Line and column in the query's text, or zeros.
fn place(error: &DataFusionError) -> (u64, u64) {
    error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| (span.start.line, span.start.column))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_become_ours() {
        for (theirs, ours) in [
            ("Unsupported SQL type BIGNT", "there is no type `BIGNT`: did you mean `BIGINT`?"),
            (
                "failed to coerce arguments to satisfy a call to 'to_char' function: coercion from Float64 to the \
                 signature OneOf(Exact(Date32)) failed",
                "`to_char` does not take Float64: CAST it",
            ),
            ("Something else", "something else"),
        ] {
            assert_eq!(in_our_words(theirs), ours);
        }
    }
}
