//! Whole numbers that leave their type's range. The engine wraps them around by default: a wrong number instead of a refused
//! row. `sums` does the same for what is added up over rows.
//!
//! In projections and filters, where a row can be refused, the engine's own operators are told to fail, which keeps their
//! names in errors. It has no such switch where expressions stand inside other nodes, such as an aggregate's arguments: there
//! each operator becomes a function that fails.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::Datum;
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr as LogicalBinary, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::{BinaryExpr, NegativeExpr};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::scalar::ScalarValue;

/// An optimised plan, in which all nodes but projections and filters compute with whole numbers that fail.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        if matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_)) {
            return Ok(Transformed::no(node));
        }
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        // Columns keep the names that the operators gave them.
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| function(expr, &schema))?;
            Ok(match expr.transformed {
                true => Transformed::yes(name.restore(expr.data)),
                false => expr,
            })
        })
    });
    Ok(plan?.data)
}

fn function(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (arithmetic, args) = match expr {
        Expr::BinaryExpr(LogicalBinary { left, op, right }) => {
            let arithmetic = match op {
                Operator::Plus => Arithmetic::Plus,
                Operator::Minus => Arithmetic::Minus,
                Operator::Multiply => Arithmetic::Multiply,
                _ => return Ok(Transformed::no(Expr::BinaryExpr(LogicalBinary { left, op, right }))),
            };
            if !(left.get_type(schema)?.is_integer() && right.get_type(schema)?.is_integer()) {
                return Ok(Transformed::no(Expr::BinaryExpr(LogicalBinary { left, op, right })));
            }
            (arithmetic, vec![*left, *right])
        }
        Expr::Negative(inner) if inner.get_type(schema)?.is_integer() => (Arithmetic::Negative, vec![*inner]),
        expr => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(arithmetic.function(args.len()).call(args)))
}

/// The same for projections and filters.
pub(crate) fn checked_physical(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let input = Arc::clone(projection.input());
        let schema = input.schema();
        let exprs = projection.expr().iter().map(|column| {
            let expr = failing(Arc::clone(&column.expr), &schema)?;
            Ok(ProjectionExpr { expr, alias: column.alias.clone() })
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let projection = ProjectionExec::try_new_with_schema_metadata(exprs, input, &plan.schema())?;
        return Ok(Transformed::yes(Arc::new(projection)));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let predicate = failing(Arc::clone(filter.predicate()), &filter.input().schema())?;
        let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
        return Ok(Transformed::yes(Arc::new(filter)));
    }
    Ok(Transformed::no(plan))
}

fn failing(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let checked = expr.transform_up(|expr| {
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
            && matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply)
        {
            let checked = binary.clone().with_fail_on_overflow(true);
            return Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>));
        }
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>()
            && negative.data_type(schema)?.is_integer()
        {
            let function = Arc::new(Arithmetic::Negative.function(1));
            let args = vec![Arc::clone(negative.arg())];
            let checked = ScalarFunctionExpr::try_new(function, args, schema, Arc::default())?;
            return Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>));
        }
        Ok(Transformed::no(expr))
    });
    checked.map(|expr| expr.data)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Arithmetic {
    Plus,
    Minus,
    Multiply,
    Negative,
}

/// An operator as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    arithmetic: Arithmetic,
    signature: Signature,
}

impl Arithmetic {
    fn function(self, operands: usize) -> ScalarUDF {
        let signature = Signature::any(operands, Volatility::Immutable);
        ScalarUDF::new_from_impl(Checked { arithmetic: self, signature })
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.arithmetic {
            Arithmetic::Plus => "+",
            Arithmetic::Minus | Arithmetic::Negative => "-",
            Arithmetic::Multiply => "*",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Both sides have been made one type.
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one, ..] => Ok(one.clone()),
            [] => internal_err!("an operator has operands"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let operands = args.args.iter().map(|value| match value {
            ColumnarValue::Array(array) => Ok(Box::new(Arc::clone(array)) as Box<dyn Datum>),
            ColumnarValue::Scalar(value) => Ok(Box::new(value.to_scalar()?) as Box<dyn Datum>),
        });
        let operands = operands.collect::<Result<Vec<_>>>()?;
        let result = match (self.arithmetic, operands.as_slice()) {
            (Arithmetic::Plus, [left, right]) => add(left.as_ref(), right.as_ref())?,
            (Arithmetic::Minus, [left, right]) => sub(left.as_ref(), right.as_ref())?,
            (Arithmetic::Multiply, [left, right]) => mul(left.as_ref(), right.as_ref())?,
            (Arithmetic::Negative, [inner]) => neg(inner.get().0)?,
            _ => return internal_err!("an operator has its operands"),
        };
        if args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_))) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
