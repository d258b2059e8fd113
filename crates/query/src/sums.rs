//! `sum` that refuses a result beyond its type's range. The engine's own wraps around: a wrong number instead of an error.
//!
//! What is added up is widened first, whole numbers to decimals of 38 digits and these to 76, and the result is cast back.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;

/// The engine's aggregates, with a `sum` that is checked.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all = SessionStateDefaults::default_aggregate_functions();
    for function in &mut all {
        if function.name() == "sum" {
            *function = Arc::new(AggregateUDF::new_from_impl(CheckedSum { inner: Arc::clone(function) }));
        }
    }
    all
}

/// The type in which sums of this type are made, where it is another one.
fn wide(narrow: &DataType) -> Option<DataType> {
    match narrow {
        DataType::Int64 | DataType::UInt64 => Some(DataType::Decimal128(38, 0)),
        // The engine gives a sum ten digits more than what is added up, where there are as many: then it cannot wrap.
        DataType::Decimal128(38, scale) => Some(DataType::Decimal256(76, *scale)),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Arc<AggregateUDF>,
}

impl CheckedSum {
    /// The arguments for the engine's accumulator, and the two types; `None` where it is used as it is.
    fn widened<'a>(args: &AccumulatorArgs<'a>) -> Option<(AccumulatorArgs<'a>, Types)> {
        let narrow = args.return_field.data_type().clone();
        let wide = wide(&narrow)?;
        let return_field = field(&args.return_field, &wide);
        let args = AccumulatorArgs { return_field, ..args.clone() };
        Some((args, Types { narrow, wide }))
    }
}

fn field(field: &FieldRef, data_type: &DataType) -> FieldRef {
    Arc::new(Field::new(field.name(), data_type.clone(), field.is_nullable()))
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Self::widened(&args) {
            Some((args, types)) => Ok(Box::new(Wide { inner: self.inner.accumulator(args)?, types })),
            None => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Self::widened(&args) {
            Some((args, types)) => Ok(Box::new(Wide { inner: self.inner.create_sliding_accumulator(args)?, types })),
            None => self.inner.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match wide(args.return_field.data_type()) {
            Some(wide) => {
                let return_field = field(&args.return_field, &wide);
                self.inner.state_fields(StateFieldsArgs { return_field, ..args })
            }
            None => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match Self::widened(&args) {
            Some((args, types)) => Ok(Box::new(Wide { inner: self.inner.create_groups_accumulator(args)?, types })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// An accumulator over the wide type.
#[derive(Debug)]
struct Wide<A> {
    inner: A,
    types: Types,
}

#[derive(Debug)]
struct Types {
    narrow: DataType,
    wide: DataType,
}

impl Types {
    fn widen(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|values| Ok(cast(values, &self.wide)?)).collect()
    }

    /// The engine's words for a value that does not fit quote it.
    fn narrow(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        Ok(cast(sums, &self.narrow).map_err(|_| ArrowError::ArithmeticOverflow("sum".into()))?)
    }
}

fn cast(values: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, ArrowError> {
    cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })
}

impl Accumulator for Wide<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.types.widen(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.types.narrow(&sum)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.types.widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Wide<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.inner.update_batch(&self.types.widen(values)?, groups, filter, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.types.narrow(&self.inner.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.types.widen(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
