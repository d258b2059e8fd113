//! `lpad` and `rpad`, whose length a record may give: the engine asks for that much memory before it looks whether a text can
//! be as long, and a process that does not get it ends.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// A function by its name, with a bound where it needs one.
pub(crate) fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "lpad" | "rpad" => Arc::new(ScalarUDF::new_from_impl(Padded { inner: function })),
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Padded {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Padded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(lengths) = args.args.get(1) {
            let lengths = cast(&lengths.to_array(args.number_rows)?, &DataType::Int64)?;
            let lengths = lengths.as_primitive::<Int64Type>();
            let all: i128 = lengths.iter().flatten().map(|length| i128::from(length.max(0))).sum();
            // What the offsets of a column of texts can count.
            if all > i128::from(i32::MAX) {
                return exec_err!("{}: the texts are too long", self.name());
            }
        }
        self.inner.invoke_with_args(args)
    }
}
