//! WHERE from left to right.
//!
//! A condition that may fail or calls a model (`100 / AGE > 1`, `mri(*) > 5`) sees only the rows that the conditions
//! before it let through: a row that `AGE <> 0 AND …` excludes is not refused for what comes after. Conditions that
//! cannot fail come first. What a condition asks of a model is kept as a hidden column, so that the SELECT above does
//! not ask again.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};

use crate::function::ModelFunction;

/// How many conditions are checked one by one.
const STEPS: usize = 16;

/// How hidden columns of model calls begin.
const SCORE: &str = "__foretell_score_";

/// Filters `input` by a predicate whose model calls are bound.
pub(crate) fn stack(predicate: Expr, input: LogicalPlan) -> Result<LogicalPlan> {
    let schema = std::sync::Arc::clone(input.schema());
    let (first, then): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(predicate).into_iter().partition(|condition| cannot_fail(condition, &schema));
    let mut plan = input;
    if let Some(condition) = conjunction(first) {
        plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
    }
    for condition in in_steps(then) {
        let mut condition = reuse(condition, &plan)?;
        for call in certain_calls(&condition) {
            plan = keep(call, plan)?;
            condition = reuse(condition, &plan)?;
        }
        plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
    }
    Ok(plan)
}

/// Each condition by itself, but the last ones together where there are many: each step is a node of the plan.
fn in_steps(mut conditions: Vec<Expr>) -> Vec<Expr> {
    let rest = conditions.split_off(conditions.len().min(STEPS));
    conditions.extend(conjunction(rest));
    conditions
}

/// Replaces model calls that a filter below has kept.
pub(crate) fn reuse(expr: Expr, input: &LogicalPlan) -> Result<Expr> {
    let kept = kept(input);
    if kept.is_empty() {
        return Ok(expr);
    }
    let replaced = expr.transform_down(|expr| match kept.iter().find(|(call, _)| *call == expr) {
        Some((_, column)) => Ok(Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(expr)),
    });
    replaced.map(|expr| expr.data)
}

/// The model calls that a plan has as hidden columns.
fn kept(plan: &LogicalPlan) -> Vec<(Expr, Column)> {
    match plan {
        LogicalPlan::Filter(filter) => kept(&filter.input),
        LogicalPlan::Window(window) => kept(&window.input),
        LogicalPlan::Sort(sort) => kept(&sort.input),
        LogicalPlan::Projection(projection) => {
            let own = projection.expr.iter().filter_map(|expr| match expr {
                Expr::Alias(alias) if alias.name.starts_with(SCORE) => {
                    Some((alias.expr.as_ref().clone(), Column::from_name(&alias.name)))
                }
                _ => None,
            });
            let own: Vec<_> = own.collect();
            // Any other projection is a SELECT of its own, whose hidden columns end there.
            if own.is_empty() { own } else { own.into_iter().chain(kept(&projection.input)).collect() }
        }
        _ => Vec::new(),
    }
}

/// All columns of a plan, and a model call as one more.
fn keep(call: Expr, plan: LogicalPlan) -> Result<LogicalPlan> {
    let number = plan.schema().fields().iter().filter(|field| field.name().starts_with(SCORE)).count();
    let mut columns: Vec<Expr> = plan.schema().iter().map(|column| Expr::Column(Column::from(column))).collect();
    columns.push(call.alias(format!("{SCORE}{number}")));
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The model calls that a condition makes on every row, outermost first.
fn certain_calls(condition: &Expr) -> Vec<Expr> {
    let mut calls: Vec<Expr> = Vec::new();
    // The visitor never fails.
    let _ = condition.apply(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) if call.func.inner().is::<ModelFunction>() => {
                if !calls.contains(expr) {
                    calls.push(expr.clone());
                }
                TreeNodeRecursion::Jump
            }
            Expr::ScalarFunction(call) if call.func.short_circuits() => TreeNodeRecursion::Jump,
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) | Expr::Case(_) => {
                TreeNodeRecursion::Jump
            }
            _ => TreeNodeRecursion::Continue,
        })
    });
    calls
}

/// Whether a condition only compares columns and literals of like types; subqueries become joins.
fn cannot_fail(condition: &Expr, schema: &DFSchema) -> bool {
    let mut safe = true;
    let walked = condition.apply(|expr| {
        safe &= match expr {
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Exists(_)
            | Expr::ScalarSubquery(_) => true,
            Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => true,
            Expr::BinaryExpr(binary) => compares(binary.op) && alike(&binary.left, &binary.right, schema),
            Expr::Between(test) => alike(&test.expr, &test.low, schema) && alike(&test.expr, &test.high, schema),
            Expr::InList(test) => test.list.iter().all(|item| alike(&test.expr, item, schema)),
            Expr::InSubquery(_) => true,
            Expr::Like(test) => alike(&test.expr, &test.pattern, schema),
            _ => false,
        };
        Ok(if safe { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    safe && walked.is_ok()
}

fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Whether comparing the two needs no cast that could fail.
fn alike(left: &Expr, right: &Expr, schema: &DFSchema) -> bool {
    match (left.get_type(schema), right.get_type(schema)) {
        (Ok(left), Ok(right)) => {
            left == right || left.is_null() || right.is_null() || left.is_numeric() && right.is_numeric()
        }
        _ => false,
    }
}
