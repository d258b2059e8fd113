//! A prepared physical plan: run again and again, never planned again.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{FutureExt, TryStreamExt};

use crate::arithmetic;

/// A plan that can be run any number of times.
pub(crate) struct Engine {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl Engine {
    pub(crate) async fn prepare(session: &SessionState, plan: &LogicalPlan) -> Result<Self> {
        let plan = arithmetic::checked(session.optimize(plan)?)?;
        let plan = session.query_planner().create_physical_plan(&plan, session).await?;
        let plan = plan.transform_up(arithmetic::checked_physical).map(|plan| plan.data)?;
        let plan = plan.transform_up(crate::in_order::in_order).map(|plan| plan.data)?;
        Ok(Engine { plan, context: session.task_ctx() })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Names of the columns that the plan takes from its tables.
    pub(crate) fn reads(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut open = vec![&self.plan];
        while let Some(plan) = open.pop() {
            let children = plan.children();
            if children.is_empty() {
                names.extend(plan.schema().fields().iter().map(|field| field.name().clone()));
            }
            open.extend(children);
        }
        names
    }

    /// A panic in one of the engine's functions is an error here, which a value may be to blame for. A model's is
    /// [`crate::function`]'s business.
    pub(crate) async fn run(&self) -> Result<Vec<RecordBatch>> {
        let running = AssertUnwindSafe(run(&self.plan, &self.context)).catch_unwind();
        running.await.unwrap_or_else(|_| Err(DataFusionError::Execution("a panic".into())))
    }

    /// The expression that fails on what the tables hold now, if it can be found.
    pub(crate) async fn failing(&self) -> Option<String> {
        let finding = AssertUnwindSafe(failing(&self.plan, &self.context)).catch_unwind();
        let expression = finding.await.ok().flatten()?;
        // The hidden argument of models is not the user's.
        let expression = expression.replace(&format!("{}, ", crate::rows::ROW), "");
        Some(match expression.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &expression[..end]),
            None => expression,
        })
    }
}

/// How many letters of an expression an error shows.
const LONGEST: usize = 200;

/// Runs a plan. What it keeps from a run (a join's table, metrics) is left behind in a copy, or each run would add to
/// it. Partitions come one after the other: concurrent ones would give another order at each replay.
async fn run(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    let plan = reset_plan_states(Arc::clone(plan))?;
    let mut batches = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let stream = plan.execute(partition, Arc::clone(context))?;
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

/// The deepest node that fails although its inputs do not, and in it the smallest expression.
async fn failing(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Option<String> {
    for child in plan.children() {
        if run(child, context).await.is_err() {
            return Box::pin(failing(child, context)).await;
        }
    }
    let [child] = plan.children().try_into().ok()?;
    let mut exprs = Vec::new();
    let walked = plan.apply_expressions(&mut |expr| {
        exprs.push(Arc::clone(expr));
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok()?;
    let batches = run(child, context).await.ok()?;
    batches.iter().find_map(|batch| exprs.iter().find_map(|expr| failing_expr(expr, batch)))
}

fn failing_expr(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Option<String> {
    expr.evaluate(batch).err()?;
    // CASE, AND, OR and COALESCE compute their parts on some rows only: on all of them, another part could fail.
    let name = datafusion::physical_expr_common::physical_expr::fmt_sql(expr.as_ref()).to_string();
    let lazy =
        expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| matches!(binary.op(), Operator::And | Operator::Or));
    if lazy || name.starts_with("CASE") || name.starts_with("coalesce") {
        return Some(name);
    }
    let inner = expr.children().into_iter().find_map(|child| failing_expr(child, batch));
    Some(inner.unwrap_or(name))
}
