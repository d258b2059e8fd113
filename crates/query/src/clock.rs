//! `now()` and related functions: the time of the batch, the same at every replay.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use chrono::{NaiveTime, Timelike};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::slot::RunState;

/// The functions' names, and what each gives.
const NAMES: &[(&str, ClockReading)] = &[
    ("now", ClockReading::Instant),
    ("current_timestamp", ClockReading::Instant),
    ("current_date", ClockReading::Date),
    ("today", ClockReading::Date),
    ("current_time", ClockReading::Time),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ClockReading {
    Instant,
    Date,
    Time,
}

/// The type of instants: microseconds, UTC.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Whether this (lower-case) function gives the batch time.
pub(crate) fn is_clock(name: &str) -> bool {
    NAMES.iter().any(|(clock, _)| *clock == name)
}

/// All clock functions, reading the batch time from `run`.
pub(crate) fn functions(run: &Arc<RunState>) -> Vec<Arc<ScalarUDF>> {
    NAMES
        .iter()
        .map(|(name, part)| Arc::new(ScalarUDF::new_from_impl(Clock::new(name, *part, Arc::clone(run)))))
        .collect()
}

/// Volatile, or the planner would compute it once for ever.
#[derive(Debug)]
struct Clock {
    name: &'static str,
    part: ClockReading,
    run: Arc<RunState>,
    signature: Signature,
}

impl Clock {
    fn new(name: &'static str, part: ClockReading, run: Arc<RunState>) -> Self {
        Clock { name, part, run, signature: Signature::nullary(Volatility::Volatile) }
    }

    fn data_type(&self) -> DataType {
        match self.part {
            ClockReading::Instant => instant_type(),
            ClockReading::Date => DataType::Date32,
            ClockReading::Time => DataType::Time64(TimeUnit::Microsecond),
        }
    }
}

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Clock {}

impl Hash for Clock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, self.data_type(), false)))
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = self.run.batch_time();
        Ok(ColumnarValue::Scalar(match self.part {
            ClockReading::Instant => {
                ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into()))
            }
            ClockReading::Date => {
                let days = time.timestamp().div_euclid(24 * 60 * 60);
                ScalarValue::Date32(i32::try_from(days).ok())
            }
            ClockReading::Time => ScalarValue::Time64Microsecond(Some(micros_of_day(time.time()))),
        }))
    }
}

fn micros_of_day(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000).min(999_999)
}
