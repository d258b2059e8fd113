//! The number of the input row, carried through a plan as a hidden column.
//!
//! It gives models' functions the row that they refuse, and a row-wise query the record that each result comes from.
//! The engine's planner never sees the column, so that `SELECT *` does not either; it is added to the finished plan,
//! from the scan upwards. No plan has it twice: a join of the batch with itself loses it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, Subquery, Union,
};
use foretell_model::InputKind;

use crate::Error;
use crate::filters::{reuse, stack};
use crate::function::ModelFunction;

/// The hidden column's name.
pub(crate) const ROW: &str = "__foretell_row";

/// The table's columns and the hidden one, last.
pub(crate) fn with_row(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().cloned();
    let row = Arc::new(Field::new(ROW, DataType::UInt32, false));
    Arc::new(Schema::new(fields.chain([row]).collect::<Vec<_>>()))
}

/// Rewrites plans of queries over one main table.
pub(crate) struct Rows<'a> {
    /// The main table's name.
    pub(crate) table: &'a str,
    /// The main table with the hidden column.
    pub(crate) source: Arc<dyn datafusion::catalog::TableProvider>,
}

impl Rows<'_> {
    /// Binds every model call in `plan`, and gives a plan of the same columns, followed by the hidden one if `keep`.
    pub(crate) fn rewrite(&self, plan: &LogicalPlan, keep: bool) -> Result<LogicalPlan> {
        self.trimmed(plan, keep)
    }

    fn plan(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.table_name.table() == self.table => {
                let source = provider_as_source(Arc::clone(&self.source));
                LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?.build()
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(self.trimmed(input, false)?))))
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.plan(input)).collect::<Result<Vec<_>>>()?;
                let all = inputs.iter().all(|input| row_of(input.schema()).is_some());
                let inputs = inputs.into_iter().zip(&union.inputs);
                let inputs = inputs.map(|(input, original)| trim(input, original.schema(), all).map(Arc::new));
                Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<Vec<_>>>()?)?))
            }
            LogicalPlan::Subquery(subquery) => {
                let inner = Arc::new(self.trimmed(&subquery.subquery, false)?);
                Ok(LogicalPlan::Subquery(Subquery { subquery: inner, ..subquery.clone() }))
            }
            LogicalPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                let predicate = self.expr(filter.predicate.clone(), input.schema())?;
                stack(predicate, input)
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Unnest(_) => self.plain(plan),
            other => Err(external(Error::Unsupported {
                what: other.display().to_string(),
                reason: "a query over batches cannot have it".into(),
            })),
        }
    }

    /// Nodes that pass the hidden column on, drop it, or may have it from two sides.
    fn plain(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let inputs = plan.inputs().into_iter().map(|input| self.plan(input)).collect::<Result<Vec<_>>>()?;
        let schema = merge_schema(&inputs.iter().collect::<Vec<_>>());
        let names = NamePreserver::new(plan);
        let keep_names = !matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Unnest(_));
        let one = |expr: Expr| match inputs.as_slice() {
            [input] => reuse(self.expr(expr, &schema)?, input),
            _ => self.expr(expr, &schema),
        };
        let mut exprs = plan
            .expressions()
            .into_iter()
            .map(|expr| {
                if !keep_names {
                    return one(expr);
                }
                let name = names.save(&expr);
                Ok(name.restore(one(expr)?))
            })
            .collect::<Result<Vec<_>>>()?;
        if let (LogicalPlan::Projection(_), [input]) = (plan, inputs.as_slice())
            && let Some(row) = row_of(input.schema())
        {
            exprs.push(Expr::Column(row));
        }
        let twice = inputs.iter().filter(|input| row_of(input.schema()).is_some()).count() > 1;
        if matches!(plan, LogicalPlan::Unnest(_)) {
            exprs.clear();
        }
        let rewritten = plan.with_new_exprs(exprs, inputs)?;
        if twice { trim(rewritten, plan.schema(), false) } else { Ok(rewritten) }
    }

    fn distinct_on(&self, distinct: &DistinctOn) -> Result<LogicalPlan> {
        let input = self.plan(&distinct.input)?;
        let schema = Arc::clone(input.schema());
        let all = |exprs: &[Expr]| exprs.iter().map(|expr| self.named(expr, &schema)).collect::<Result<Vec<_>>>();
        let sort = distinct.sort_expr.as_ref().map(|sort| {
            sort.iter()
                .map(|sort| Ok(sort.with_expr(self.expr(sort.expr.clone(), &schema)?)))
                .collect::<Result<Vec<_>>>()
        });
        let (on, select) = (all(&distinct.on_expr)?, all(&distinct.select_expr)?);
        let distinct = DistinctOn::try_new(on, select, sort.transpose()?, Arc::new(input))?;
        Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
    }

    fn trimmed(&self, plan: &LogicalPlan, keep: bool) -> Result<LogicalPlan> {
        trim(self.plan(plan)?, plan.schema(), keep)
    }

    fn named(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let name = NamePreserver::new_for_projection().save(expr);
        Ok(name.restore(self.expr(expr.clone(), schema)?))
    }

    /// Binds model calls, also those in subqueries.
    fn expr(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let inner = |subquery: Subquery| -> Result<Subquery> {
            let plan = Arc::new(self.trimmed(&subquery.subquery, false)?);
            Ok(Subquery { subquery: plan, ..subquery })
        };
        let rewritten = expr.transform_up(|expr| match expr {
            Expr::ScalarFunction(call) => match call.func.inner().downcast_ref::<ModelFunction>() {
                Some(function) if !function.bound => bind(function, call.args, schema).map(Transformed::yes),
                _ => Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            Expr::ScalarSubquery(subquery) => Ok(Transformed::yes(Expr::ScalarSubquery(inner(subquery)?))),
            Expr::Exists(exists) => {
                Ok(Transformed::yes(Expr::Exists(Exists { subquery: inner(exists.subquery)?, ..exists })))
            }
            Expr::InSubquery(test) => {
                Ok(Transformed::yes(Expr::InSubquery(InSubquery { subquery: inner(test.subquery)?, ..test })))
            }
            Expr::SetComparison(test) => {
                Ok(Transformed::yes(Expr::SetComparison(SetComparison { subquery: inner(test.subquery)?, ..test })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }
}

/// The hidden column, where a plan has it.
fn row_of(schema: &DFSchema) -> Option<Column> {
    schema.iter().find(|(_, field)| field.name() == ROW).map(Column::from)
}

/// Only these columns of a plan, followed by the hidden one if `keep` and it has it.
fn trim(plan: LogicalPlan, columns: &DFSchema, keep: bool) -> Result<LogicalPlan> {
    let row = row_of(plan.schema());
    let wanted = columns.fields().len() + usize::from(keep && row.is_some());
    let last = plan.schema().fields().last().is_some_and(|field| field.name() == ROW);
    if plan.schema().fields().len() == wanted && (!keep || last) {
        return Ok(plan);
    }
    let columns = columns.iter().map(|column| Expr::Column(Column::from(column)));
    let row = row.filter(|_| keep).map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns.chain(row))?.build()
}

/// Puts the row's number before the arguments, which must fit the model.
fn bind(function: &ModelFunction, arguments: Vec<Expr>, schema: &DFSchema) -> Result<Expr> {
    let call = &function.call;
    let inputs = &call.scorer.signature().inputs;
    if arguments.len() != inputs.len() {
        let names = inputs.iter().filter_map(|input| input.name.clone()).collect();
        return Err(external(Error::Arity {
            function: call.function.clone(),
            expected: inputs.len(),
            found: arguments.len(),
            names,
        }));
    }
    let first = arguments.first().map(|argument| match argument {
        Expr::Column(column) => column.name.clone(),
        other => other.schema_name().to_string(),
    });
    let row = row_of(schema).map(Expr::Column);
    let mut all = vec![row.unwrap_or_else(|| Expr::Literal(ScalarValue::UInt32(None), None))];
    for (index, (argument, input)) in arguments.into_iter().zip(inputs).enumerate() {
        let found = argument.get_type(schema)?;
        match accept(&found, &input.kind) {
            Ok(None) => all.push(argument),
            // The engine's own cast divides a rounded number, which is not always the nearest float.
            Ok(Some(to)) if found.is_decimal() => {
                all.push(argument.cast_to(&DataType::Utf8, schema)?.cast_to(&to, schema)?);
            }
            Ok(Some(to)) => all.push(argument.cast_to(&to, schema)?),
            Err(wanted) => {
                return Err(external(Error::ArgumentType {
                    function: call.function.clone(),
                    position: index + 1,
                    feature: input.name.clone(),
                    found,
                    wanted,
                }));
            }
        }
    }
    let bound = Arc::new(ScalarUDF::new_from_impl(function.bind(first)));
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(bound, all)))
}

/// Whether a model takes a column of this type as it is (`None`) or cast to another; otherwise what it takes.
fn accept(found: &DataType, kind: &InputKind) -> Result<Option<DataType>, &'static str> {
    let text = match found {
        DataType::Utf8 => Some(None),
        DataType::LargeUtf8 | DataType::Utf8View => Some(Some(DataType::Utf8)),
        DataType::Dictionary(_, values) if **values == DataType::Utf8 => Some(None),
        _ => None,
    };
    let number = match found {
        DataType::Boolean => Some(None),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Some(Some(DataType::Float64))
        }
        other if other.is_numeric() => Some(None),
        _ => None,
    };
    match kind {
        InputKind::List => match found {
            DataType::List(_) | DataType::LargeList(_) | DataType::Null => Ok(None),
            _ => Err("lists"),
        },
        InputKind::Number if *found == DataType::Null => Ok(Some(DataType::Float64)),
        InputKind::Bool if *found == DataType::Null => Ok(Some(DataType::Boolean)),
        _ if *found == DataType::Null => Ok(Some(DataType::Utf8)),
        InputKind::Number => number.ok_or("numbers"),
        InputKind::Bool => number.ok_or("true or false"),
        InputKind::Text => text.ok_or("text"),
        InputKind::Category(_) | InputKind::Any => text.or(number).ok_or("numbers or text"),
    }
}

/// Our error on its way through the engine's.
fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
