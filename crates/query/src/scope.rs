//! Is a query row-wise? Then its batches may be cut anywhere, and each result belongs to one record.

use std::fmt;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, GroupingSet, Join, LogicalPlan, Window};

/// The main table's column that names the partition.
pub(crate) const PARTITION: &str = "_partition";

/// What may be done with a query's batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryScope {
    /// Each output row comes from one input row and depends on no other.
    RowWise,
    /// Output rows depend on several input rows, all of one partition.
    PerPartition {
        /// The operator that makes it so.
        operator: String,
    },
    /// Output rows depend on the whole batch.
    BatchWise {
        /// The operator that makes it so.
        operator: String,
        /// Why, and what would make it freer.
        reason: &'static str,
    },
}

impl QueryScope {
    /// Whether each output row comes from one input row.
    pub fn is_row_wise(&self) -> bool {
        *self == QueryScope::RowWise
    }

    /// Whether each output row comes from one partition, so that batches may be cut by partition.
    pub fn is_by_partition(&self) -> bool {
        !matches!(self, QueryScope::BatchWise { .. })
    }

    /// The stricter of two; the first where they are equal.
    fn worst(self, other: QueryScope) -> QueryScope {
        let rank = |kind: &QueryScope| match kind {
            QueryScope::RowWise => 0,
            QueryScope::PerPartition { .. } => 1,
            QueryScope::BatchWise { .. } => 2,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

impl fmt::Display for QueryScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryScope::RowWise => f.write_str("row-wise"),
            QueryScope::PerPartition { operator } => write!(f, "per partition, because of {operator} by `{PARTITION}`"),
            QueryScope::BatchWise { operator, reason } => write!(f, "batch-wise, because of {operator}: {reason}"),
        }
    }
}

const GROUPED: &str = "it takes rows of all partitions together; group by `_partition`, too, to keep them apart";
const WINDOWED: &str = "it takes rows of all partitions together; PARTITION BY `_partition`, too, to keep them apart";
const ORDERED: &str = "it depends on all rows of a batch";

/// What is known of a plan's rows.
pub(crate) struct PlanScope {
    pub(crate) kind: QueryScope,
    /// Whether it reads the main table at all.
    pub(crate) reads: bool,
    /// Which output columns are the main table's `_partition`.
    partition: Vec<bool>,
}

/// How the plan of a query over `table` treats its rows.
pub(crate) fn analyse(plan: &LogicalPlan, table: &str) -> PlanScope {
    let inputs: Vec<PlanScope> = plan.inputs().into_iter().map(|input| analyse(input, table)).collect();
    let mut scope = PlanScope {
        kind: inputs.iter().fold(QueryScope::RowWise, |kind, input| kind.worst(input.kind.clone())),
        reads: inputs.iter().any(|input| input.reads),
        partition: vec![false; plan.schema().fields().len()],
    };
    let reads = scope.reads;
    let mut limit = |kind: QueryScope| {
        if reads {
            scope.kind = std::mem::replace(&mut scope.kind, QueryScope::RowWise).worst(kind);
        }
    };
    let by = |column: bool, operator: &str, reason: &'static str| {
        let operator = operator.to_owned();
        if column { QueryScope::PerPartition { operator } } else { QueryScope::BatchWise { operator, reason } }
    };
    let batch = |operator: &str, reason: &'static str| QueryScope::BatchWise { operator: operator.to_owned(), reason };
    match (plan, inputs.as_slice()) {
        (LogicalPlan::TableScan(scan), _) if scan.table_name.table() == table => {
            scope.reads = true;
            scope.partition = plan.schema().fields().iter().map(|field| field.name() == PARTITION).collect();
        }
        (LogicalPlan::Projection(projection), [input]) => {
            let schema = projection.input.schema();
            scope.partition = projection.expr.iter().map(|expr| input.is_partition(expr, schema)).collect();
        }
        (LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Subquery(_), [input]) => {
            scope.partition.clone_from(&input.partition);
        }
        (LogicalPlan::Sort(_), [input]) => {
            limit(batch("ORDER BY", ORDERED));
            scope.partition.clone_from(&input.partition);
        }
        (LogicalPlan::Limit(_), [input]) => {
            limit(batch("LIMIT", ORDERED));
            scope.partition.clone_from(&input.partition);
        }
        (LogicalPlan::Unnest(unnest), [input]) => {
            for (column, source) in scope.partition.iter_mut().zip(&unnest.dependency_indices) {
                *column = input.partition.get(*source).copied().unwrap_or(false);
            }
        }
        (LogicalPlan::Distinct(Distinct::All(_)), [input]) => {
            limit(by(
                input.partition.contains(&true),
                "leaving out duplicates (DISTINCT, UNION, EXCEPT, INTERSECT)",
                GROUPED,
            ));
            scope.partition.clone_from(&input.partition);
        }
        (LogicalPlan::Distinct(Distinct::On(distinct)), [input]) => {
            let schema = distinct.input.schema();
            limit(by(distinct.on_expr.iter().any(|expr| input.is_partition(expr, schema)), "DISTINCT ON", GROUPED));
            scope.partition = distinct.select_expr.iter().map(|expr| input.is_partition(expr, schema)).collect();
        }
        (LogicalPlan::Aggregate(aggregate), [input]) => {
            let operator = if aggregate.group_expr.is_empty() { "an aggregate" } else { "GROUP BY" };
            limit(by(grouped(aggregate, input), operator, GROUPED));
            for (column, expr) in scope.partition.iter_mut().zip(&aggregate.group_expr) {
                *column = input.is_partition(expr, aggregate.input.schema());
            }
        }
        (LogicalPlan::Window(window), [input]) => {
            limit(by(windowed(window, input), "a window function", WINDOWED));
            scope.partition = input.partition.clone();
            scope.partition.resize(plan.schema().fields().len(), false);
        }
        (LogicalPlan::Join(join), [left, right]) => {
            if let Some((operator, reason)) = join_limit(join, left.reads, right.reads) {
                limit(batch(operator, reason));
            }
            scope.partition = match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => right.partition.clone(),
                JoinType::LeftSemi | JoinType::LeftAnti => left.partition.clone(),
                JoinType::RightMark => right.partition.clone(),
                _ => left.partition.iter().chain(&right.partition).copied().collect(),
            };
            scope.partition.resize(plan.schema().fields().len(), false);
        }
        (LogicalPlan::Union(_), inputs) => {
            if inputs.iter().any(|input| !input.reads) {
                limit(batch("UNION", "some of its rows come from no record"));
            }
            for (index, column) in scope.partition.iter_mut().enumerate() {
                *column = inputs.iter().all(|input| input.partition.get(index) == Some(&true));
            }
        }
        _ => {}
    }
    if subquery_reads(plan, table) {
        scope.reads = true;
        scope.kind = scope.kind.worst(batch("a subquery over the batch", ORDERED));
    }
    scope
}

impl PlanScope {
    fn is_partition(&self, expr: &Expr, schema: &DFSchema) -> bool {
        let index = |column: &Column| schema.maybe_index_of_column(column);
        match expr {
            Expr::Alias(alias) => self.is_partition(&alias.expr, schema),
            Expr::Column(column) => index(column).and_then(|index| self.partition.get(index)) == Some(&true),
            _ => false,
        }
    }
}

/// Whether every grouping has the partition.
fn grouped(aggregate: &Aggregate, input: &PlanScope) -> bool {
    let schema = aggregate.input.schema();
    let has = |exprs: &[Expr]| exprs.iter().any(|expr| input.is_partition(expr, schema));
    match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().all(|set| has(set)),
        [Expr::GroupingSet(_)] => false,
        plain => has(plain),
    }
}

/// Whether every window is within one partition.
fn windowed(window: &Window, input: &PlanScope) -> bool {
    let schema = window.input.schema();
    window.window_expr.iter().all(|expr| match window_function(expr) {
        Some(function) => function.params.partition_by.iter().any(|expr| input.is_partition(expr, schema)),
        None => false,
    })
}

fn window_function(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => window_function(&alias.expr),
        Expr::WindowFunction(function) => Some(function),
        _ => None,
    }
}

/// What a join does beyond adding another table's columns to each row.
fn join_limit(join: &Join, left: bool, right: bool) -> Option<(&'static str, &'static str)> {
    const OTHERS: &str = "it gives rows of a table that no record matches";
    match (join.join_type, left, right) {
        (_, true, true) => Some(("a join of the batch with itself", ORDERED)),
        (JoinType::Full, _, _) => Some(("FULL JOIN", OTHERS)),
        (JoinType::Left, _, true) => Some(("LEFT JOIN", OTHERS)),
        (JoinType::Right, true, _) => Some(("RIGHT JOIN", OTHERS)),
        (JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark, _, true)
        | (JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark, true, _) => {
            Some(("a semi join", "its rows come from no record"))
        }
        _ => None,
    }
}

/// Whether a subquery in this node's expressions reads the main table.
fn subquery_reads(plan: &LogicalPlan, table: &str) -> bool {
    plan.expressions().iter().any(|expr| {
        let mut reads = false;
        let walked = expr.apply(|expr| {
            let subquery = match expr {
                Expr::ScalarSubquery(subquery) => Some(subquery),
                Expr::Exists(exists) => Some(&exists.subquery),
                Expr::InSubquery(test) => Some(&test.subquery),
                Expr::SetComparison(test) => Some(&test.subquery),
                _ => None,
            };
            reads |= subquery.is_some_and(|subquery| analyse(&subquery.subquery, table).reads);
            Ok(TreeNodeRecursion::Continue)
        });
        // The walk itself never fails.
        reads || walked.is_err()
    })
}
