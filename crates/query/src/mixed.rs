//! Floats that the engine would turn into decimals by itself, where both meet in one expression: their digits would change.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use crate::Error;

/// Refuses a query in which a float becomes a decimal though nobody wrote a CAST: `COALESCE(decimal, float)` and the like.
/// A literal keeps its digits.
pub(crate) fn check(session: &SessionState, plan: &LogicalPlan) -> Result<Option<Error>> {
    let written = narrowed(plan)?;
    let analyzed = session.analyzer().execute_and_check(plan.clone(), session.config_options(), |_, _| {})?;
    let more = |(expr, times): &(String, usize)| *times > written.get(expr).copied().unwrap_or(0);
    Ok(narrowed(&analyzed)?.into_iter().find(more).map(|(expr, _)| Error::Unsupported {
        what: expr,
        reason:
            "a float and a decimal meet here, and the float would lose digits: CAST one of them to the other's type"
                .into(),
    }))
}

/// The floats that are cast to a decimal, as they are written, and how often.
fn narrowed(plan: &LogicalPlan) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(Cast { expr: inner, field }) = expr
                    && is_decimal(field.data_type())
                    && !matches!(**inner, Expr::Literal(..))
                    && inner.get_type(&schema).is_ok_and(|from| from.is_floating())
                {
                    *found.entry(inner.to_string()).or_default() += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn is_decimal(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}
