//! Converts columns that bring a type of their own to the type that is wanted: without loss, or not at all.

mod parts;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal32Array, Decimal64Array, Decimal128Array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field as ArrowField, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use chrono_tz::Tz;
use foretell_connect::text::{json_array, plain_array};

use crate::cell::{Cell, Float, json_text};
use crate::column::Column;
use crate::decimal;
use crate::field::Field;
use crate::missing::Missing;
use crate::time::{TimeFormat, is_time_of_calendar};
use crate::types::{MOST_DIGITS, Member, Type};
use crate::values::Values;
use crate::wrong::Wrong;

/// Values that do not fit, by their rows.
pub(crate) type Wrongs = Vec<(usize, Wrong)>;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The type that a column of this Arrow type is read as; `None` where none fits.
pub fn type_of(found: &DataType) -> Option<Type> {
    Some(match found {
        DataType::Int8 => Type::Int8,
        DataType::Int16 => Type::Int16,
        DataType::Int32 => Type::Int32,
        DataType::Int64 => Type::Int64,
        DataType::UInt8 => Type::Uint8,
        DataType::UInt16 => Type::Uint16,
        DataType::UInt32 => Type::Uint32,
        DataType::UInt64 => Type::Uint64,
        DataType::Float16 | DataType::Float32 => Type::Float32,
        DataType::Float64 => Type::Float64,
        DataType::Decimal32(digits, behind)
        | DataType::Decimal64(digits, behind)
        | DataType::Decimal128(digits, behind) => {
            Type::Decimal(*digits, u8::try_from(*behind).ok().filter(|behind| behind <= digits)?)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::Utf8,
        DataType::Boolean => Type::Bool,
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Timestamp(..) => Type::Timestamp,
        DataType::Dictionary(_, values) => return type_of(values),
        DataType::Time32(_) | DataType::Time64(_) => Type::Utf8,
        // As JSON.
        nested if is_nested(nested) => Type::Utf8,
        _ => return None,
    })
}

/// The same, where what has parts is a struct or a list, and not JSON.
pub fn full_type_of(found: &DataType) -> Option<Type> {
    let part = |field: &ArrowField| Some(Member::new(field.name(), full_type_of(field.data_type())?, true));
    match found {
        DataType::Struct(fields) if !fields.is_empty() => {
            let members: Option<Vec<Member>> = fields.iter().map(|field| part(field)).collect();
            members.map(|members| Type::Struct(Arc::new(members)))
        }
        DataType::List(item) => part(item).map(|item| Type::List(Arc::new(item))),
        other => type_of(other),
    }
}

/// Whether some values of this type fit the column; otherwise none ever does.
pub(crate) fn takes(found: &DataType, column: &Column) -> bool {
    let text = is_text(found);
    let decimal = matches!(found, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..));
    let number = found.is_integer() || found.is_floating() || decimal;
    let time = matches!(found, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    match (found, &column.data_type) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, values), _) => takes(values, column),
        (bytes, Type::Utf8) if is_bytes(bytes) => true,
        (DataType::Time32(_) | DataType::Time64(_), Type::Utf8) => true,
        (nested, wished) if is_nested(nested) => *wished == Type::Utf8 || parts::takes(nested, wished),
        (_, Type::Struct(_) | Type::List(_)) => text,
        (DataType::Boolean, Type::Date | Type::Timestamp | Type::Decimal(..)) => false,
        (DataType::Boolean, _) => true,
        (_, Type::Utf8) => text || number || time,
        (_, Type::Bool) => text || found.is_integer(),
        (_, Type::Date) => text || time,
        (_, Type::Timestamp) => text || time || (found.is_integer() && column.format.is_epoch()),
        _ => text || number,
    }
}

fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Columns of values that have parts.
pub(crate) fn is_nested(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Struct(_)
            | DataType::Map(..)
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

fn is_bytes(found: &DataType) -> bool {
    matches!(found, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// Whether Arrow's own cast loses nothing, whatever the value.
fn widens(from: &DataType, to: &DataType) -> bool {
    let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    match (from, to) {
        (from, to) if from == to => true,
        (from, DataType::Utf8) if is_text(from) => true,
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => bits(from) < bits(to),
        (from, to) if from.is_unsigned_integer() && to.is_integer() => bits(from) < bits(to),
        (DataType::Float16, DataType::Float32 | DataType::Float64) | (DataType::Float32, DataType::Float64) => true,
        _ => false,
    }
}

/// A column's values in the wished type, and those that do not fit; these are NULL.
pub(crate) fn convert(found: &ArrayRef, column: &Column) -> (ArrayRef, Wrongs) {
    let wished = column.data_type.arrow();
    let nulls = || new_null_array(&wished, found.len());
    // A column of nothing but NULL may have the type `Null`, whose array does not count them.
    let found = if *found.data_type() == DataType::Null { &nulls() } else { found };
    let (array, mut wrongs) = if found.null_count() == found.len() {
        (nulls(), Vec::new())
    } else if let DataType::Dictionary(_, values) = found.data_type() {
        match cast(found, values) {
            Ok(values) => return convert(&values, column),
            Err(_) => (nulls(), all_wrong(found)),
        }
    } else if is_nested(found.data_type()) && column.data_type.is_nested() {
        parts::convert(found, &column.data_type).unwrap_or_else(|| (nulls(), all_wrong(found)))
    } else if is_nested(found.data_type()) {
        match plain_array(found, Tz::UTC).and_then(|plain| json_array(&plain)) {
            Ok(texts) => (Arc::new(texts) as ArrayRef, Vec::new()),
            Err(_) => (nulls(), all_wrong(found)),
        }
    } else if widens(found.data_type(), &wished) || column.data_type == Type::Utf8 {
        // Every value has a text that holds all of it; bytes may not be text.
        let array = cast(found, &wished).unwrap_or_else(|_| nulls());
        let lost = (0..found.len()).filter(|row| array.is_null(*row) && found.is_valid(*row));
        let wrong = if is_bytes(found.data_type()) { Wrong::Encoding } else { Wrong::Range };
        let wrongs = lost.map(|row| (row, wrong.clone())).collect();
        (array, wrongs)
    } else {
        one_by_one(found, column)
    };
    if !column.optional && found.null_count() > 0 {
        let missing = (0..found.len()).filter(|row| found.is_null(*row));
        wrongs.extend(missing.map(|row| (row, Wrong::Missing)));
        wrongs.sort_by_key(|(row, _)| *row);
    }
    (array, wrongs)
}

fn all_wrong(found: &ArrayRef) -> Wrongs {
    (0..found.len()).map(|row| (row, Wrong::Kind(None))).collect()
}

fn one_by_one(found: &ArrayRef, column: &Column) -> (ArrayRef, Wrongs) {
    let Some(value) = reader(found) else {
        return (new_null_array(&column.data_type.arrow(), found.len()), all_wrong(found));
    };
    let mut values = Values::new(&column.data_type, found.len());
    let mut wrongs = Vec::new();
    for row in 0..found.len() {
        if found.is_null(row) {
            values.push_null();
        } else if let Err(wrong) = values.push(column, &value(row)) {
            wrongs.push((row, wrong));
            // A part of a nested value may be there.
            values.truncate(row);
            values.push_null();
        }
    }
    (values.finish(), wrongs)
}

/// A value of a typed column.
enum Typed<'a> {
    Whole(i128),
    Fraction(f64),
    /// How many digits stand behind the point.
    Decimal(i128, i8),
    Bool(bool),
    Text(&'a str),
    /// Since 1970.
    Days(i64),
    /// Since 1970; `None` beyond what they count to.
    Micros(Option<i64>),
}

/// Reads values by their rows.
type Reading<'a> = Box<dyn Fn(usize) -> Typed<'a> + 'a>;

/// Of a column; `None` for a type that is not read.
fn reader<'a>(array: &'a ArrayRef) -> Option<Reading<'a>> {
    fn of<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, typed: impl Fn(T::Native) -> Typed<'a> + 'a) -> Reading<'a> {
        let values = array.as_primitive::<T>();
        Box::new(move |row| typed(values.value(row)))
    }
    let single = |value: f32| Typed::Fraction(f64::from(value));
    let times = |many: i64| move |value: i64| Typed::Micros(value.checked_mul(many));
    Some(match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, |value| Typed::Whole(value.into())),
        DataType::Int16 => of::<Int16Type>(array, |value| Typed::Whole(value.into())),
        DataType::Int32 => of::<Int32Type>(array, |value| Typed::Whole(value.into())),
        DataType::Int64 => of::<Int64Type>(array, |value| Typed::Whole(value.into())),
        DataType::UInt8 => of::<UInt8Type>(array, |value| Typed::Whole(value.into())),
        DataType::UInt16 => of::<UInt16Type>(array, |value| Typed::Whole(value.into())),
        DataType::UInt32 => of::<UInt32Type>(array, |value| Typed::Whole(value.into())),
        DataType::UInt64 => of::<UInt64Type>(array, |value| Typed::Whole(value.into())),
        DataType::Float16 => of::<Float16Type>(array, move |value| single(value.to_f32())),
        DataType::Float32 => of::<Float32Type>(array, single),
        DataType::Float64 => of::<Float64Type>(array, Typed::Fraction),
        DataType::Decimal32(_, behind) => decimals(array.as_any().downcast_ref::<Decimal32Array>()?, *behind),
        DataType::Decimal64(_, behind) => decimals(array.as_any().downcast_ref::<Decimal64Array>()?, *behind),
        DataType::Decimal128(_, behind) => decimals(array.as_any().downcast_ref::<Decimal128Array>()?, *behind),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row| Typed::Bool(values.value(row)))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |row| Typed::Text(values.value(row)))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(move |row| Typed::Text(values.value(row)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row| Typed::Text(values.value(row)))
        }
        DataType::Date32 => of::<Date32Type>(array, |days| Typed::Days(days.into())),
        DataType::Date64 => of::<Date64Type>(array, times(1000)),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array, times(1_000_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(array, times(1000)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(array, times(1)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of::<TimestampNanosecondType>(array, |nanos| Typed::Micros(Some(nanos.div_euclid(1000))))
        }
        _ => return None,
    })
}

fn decimals<T: ArrowPrimitiveType>(values: &arrow::array::PrimitiveArray<T>, behind: i8) -> Reading<'_>
where
    T::Native: Into<i128>,
{
    Box::new(move |row| Typed::Decimal(values.value(row).into(), behind))
}

impl Typed<'_> {
    /// The same value as a text field would hold it, for rules that are about text.
    fn field<T>(text: &str, read: impl Fn(&Field<'_>) -> Result<T, Wrong>) -> Result<T, Wrong> {
        read(&Field { bytes: text.as_bytes(), missing: &Missing::new::<&str>(&[]) })
    }

    /// As a whole number.
    fn whole(&self) -> Result<i128, Wrong> {
        match self {
            Typed::Whole(number) => Ok(*number),
            Typed::Bool(value) => Ok((*value).into()),
            // Floats of this size are whole, and fit.
            Typed::Fraction(number) if number.fract() == 0.0 && number.abs() < 1e30 => Ok(*number as i128),
            Typed::Fraction(number) if number.fract() == 0.0 => Err(Wrong::Range),
            Typed::Decimal(number, behind) => decimal::parse(&decimal::show(*number, *behind), MOST_DIGITS, 0)
                .map_err(|wrong| if wrong == Wrong::Digits { Wrong::Kind(Some("a fraction")) } else { wrong }),
            other => Err(other.instead()),
        }
    }

    fn instead(&self) -> Wrong {
        Wrong::Kind(Some(match self {
            Typed::Whole(_) => "a whole number",
            Typed::Fraction(number) if !number.is_finite() => "a number that is not finite",
            Typed::Fraction(_) | Typed::Decimal(..) => "a fraction",
            Typed::Bool(_) => "a bool",
            Typed::Text(_) => "a text",
            Typed::Days(_) => "a date",
            Typed::Micros(_) => "a time",
        }))
    }
}

impl Cell for Typed<'_> {
    fn missing(&self, _: &Column) -> bool {
        false
    }

    fn signed(&self) -> Result<i64, Wrong> {
        match self {
            Typed::Text(text) => Typed::field(text, |field| field.signed()),
            other => other.whole()?.try_into().map_err(|_| Wrong::Range),
        }
    }

    fn unsigned(&self) -> Result<u64, Wrong> {
        match self {
            Typed::Text(text) => Typed::field(text, |field| field.unsigned()),
            other => other.whole()?.try_into().map_err(|_| Wrong::Range),
        }
    }

    fn float(&self) -> Result<Float, Wrong> {
        match self {
            Typed::Fraction(number) => Ok(Float::fraction(*number)),
            Typed::Whole(number) => Float::whole(*number),
            Typed::Bool(value) => Float::whole((*value).into()),
            Typed::Decimal(number, behind) => {
                // `12.00` is a whole number, whose digits must all be kept.
                let text = decimal::show(*number, *behind);
                let bare = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
                Float::text(bare)
            }
            Typed::Text(text) => Typed::field(text, |field| field.float()),
            other => Err(other.instead()),
        }
    }

    fn decimal(&self, digits: u8, behind: u8) -> Result<i128, Wrong> {
        match self {
            Typed::Text(text) => Typed::field(text, |field| field.decimal(digits, behind)),
            Typed::Whole(number) => decimal::parse(&number.to_string(), digits, behind),
            Typed::Decimal(number, scale) => decimal::parse(&decimal::show(*number, *scale), digits, behind),
            // The shortest text that means this float.
            Typed::Fraction(number) if number.is_finite() => decimal::parse(&number.to_string(), digits, behind),
            other => Err(other.instead()),
        }
    }

    fn text(&self) -> Result<&str, Wrong> {
        match self {
            Typed::Text(text) => Ok(text),
            other => Err(other.instead()),
        }
    }

    fn boolean(&self) -> Result<bool, Wrong> {
        match self {
            Typed::Bool(value) => Ok(*value),
            Typed::Whole(0) => Ok(false),
            Typed::Whole(1) => Ok(true),
            Typed::Whole(_) => Err(Wrong::Range),
            Typed::Text(text) => Typed::field(text, |field| field.boolean()),
            other => Err(other.instead()),
        }
    }

    fn date(&self, format: &TimeFormat) -> Result<i32, Wrong> {
        let days = match self {
            Typed::Text(text) => return format.date(text.trim()),
            Typed::Days(days) => *days,
            Typed::Micros(None) => return Err(Wrong::Range),
            Typed::Micros(Some(micros)) if micros.rem_euclid(MICROS_A_DAY) == 0 => micros / MICROS_A_DAY,
            other => return Err(other.instead()),
        };
        days.try_into().map_err(|_| Wrong::Range)
    }

    fn timestamp(&self, format: &TimeFormat) -> Result<i64, Wrong> {
        let micros = match self {
            Typed::Text(text) => return format.timestamp(text.trim()),
            Typed::Whole(number) => return format.epoch(i64::try_from(*number).map_err(|_| Wrong::Range)?),
            Typed::Days(days) => days.checked_mul(MICROS_A_DAY),
            Typed::Micros(micros) => *micros,
            other => return Err(other.instead()),
        };
        micros.filter(|micros| is_time_of_calendar(*micros)).ok_or(Wrong::Range)
    }

    fn json(&self) -> Result<&str, Wrong> {
        match self {
            Typed::Text(text) => json_text(text),
            other => Err(other.instead()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Date64Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
        Int64Array, LargeStringArray, NullArray, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt64Array,
    };
    use arrow::datatypes::Int32Type as Index;
    use arrow::util::display::array_value_to_string;
    use serde_json::json;

    use super::*;
    use crate::column::Columns;

    /// What each value becomes, or why it does not; nothing where the file would be stopped.
    fn converted(found: ArrayRef, wished: serde_json::Value) -> Option<Vec<String>> {
        let columns: Columns = serde_json::from_value(json!([{ "a": wished }])).unwrap();
        let column = columns.iter().next().unwrap();
        if !takes(found.data_type(), column) {
            return None;
        }
        let (array, wrongs) = convert(&found, column);
        assert_eq!(*array.data_type(), column.data_type.arrow());
        assert_eq!(array.len(), found.len());
        let shown = |row: usize| match wrongs.iter().find(|(wrong, _)| *wrong == row) {
            Some((_, wrong)) => {
                assert!(array.is_null(row));
                wrong.describe(&column.data_type)
            }
            None => array_value_to_string(&array, row).unwrap(),
        };
        Some((0..array.len()).map(shown).collect())
    }

    #[test]
    fn a_value_comes_over_whole_or_not_at_all() {
        let decimals = |digits: u8, behind: i8, values: Vec<i128>| -> ArrayRef {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(digits, behind).unwrap())
        };
        const INT64: &str = "a fraction where an int64 is expected";
        let range = |name: &str| format!("out of the range of {name}");
        let whole = |name: &str| format!("a whole number that a {name} does not hold exactly");
        let doubles = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let ints = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let big = 9_007_199_254_740_993;
        let cases: Vec<(ArrayRef, &str, Vec<String>)> = vec![
            (
                doubles(vec![2.5, -0.9, 2.0, 1e19, f64::NAN]),
                "int64",
                vec![
                    INT64.into(),
                    INT64.into(),
                    "2".into(),
                    range("an int64"),
                    "a number that is not finite where an int64 is expected".into(),
                ],
            ),
            (doubles(vec![0.1, 1e300, f64::INFINITY]), "float32", vec!["0.1".into(), range("a float32"), "inf".into()]),
            (
                doubles(vec![0.1, 12.5, 1e30]),
                "decimal(10,1)",
                vec!["0.1".into(), "12.5".into(), range("a decimal(10,1)")],
            ),
            (decimals(10, 2, vec![275, 300, -100]), "int64", vec![INT64.into(), "3".into(), "-1".into()]),
            (decimals(38, 2, vec![10, 900_719_925_474_099_300]), "float64", vec!["0.1".into(), whole("float64")]),
            (
                decimals(10, 2, vec![1250, 1255]),
                "decimal(10,1)",
                vec!["12.5".into(), "more digits behind the point than a decimal(10,1) has".into()],
            ),
            (decimals(10, 2, vec![1250]), "decimal(3,2)", vec![range("a decimal(3,2)")]),
            (decimals(10, 2, vec![1250]), "utf8", vec!["12.50".into()]),
            (
                ints(vec![big, big - 1, -big]),
                "float64",
                vec![whole("float64"), "9007199254740992.0".into(), whole("float64")],
            ),
            (ints(vec![16_777_217, 16_777_216]), "float32", vec![whole("float32"), "16777216.0".into()]),
            (ints(vec![128, -128, -129]), "int8", vec![range("an int8"), "-128".into(), range("an int8")]),
            (ints(vec![-1]), "uint64", vec![range("a uint64")]),
            (ints(vec![7, 1, 0]), "bool", vec![range("a bool"), "true".into(), "false".into()]),
            (ints(vec![big]), "decimal(16,0)", vec![big.to_string()]),
            (ints(vec![big]), "utf8", vec![big.to_string()]),
            (Arc::new(UInt64Array::from(vec![u64::MAX, 5])), "int64", vec![range("an int64"), "5".into()]),
            (Arc::new(Int32Array::from(vec![5])), "int64", vec!["5".into()]),
            (Arc::new(Float32Array::from(vec![0.1])), "float64", vec![f64::from(0.1_f32).to_string()]),
            (Arc::new(BooleanArray::from(vec![true])), "int8", vec!["1".into()]),
            (
                Arc::new(StringArray::from(vec!["64", "6.5", " 7"])),
                "int64",
                vec!["64".into(), "not an int64".into(), "7".into()],
            ),
            (Arc::new(StringArray::from(vec!["1e999", "0.1"])), "float64", vec![range("a float64"), "0.1".into()]),
            (Arc::new(LargeStringArray::from(vec!["x"])), "utf8", vec!["x".into()]),
            (
                Arc::new(vec!["1", "x"].into_iter().collect::<DictionaryArray<Index>>()),
                "int64",
                vec!["1".into(), "not an int64".into()],
            ),
            (Arc::new(BinaryArray::from_vec(vec![b"x", b"\xff"])), "utf8", vec!["x".into(), "not UTF-8".into()]),
            (Arc::new(Date32Array::from(vec![2_932_896])), "timestamp", vec!["9999-12-31T00:00:00Z".into()]),
            (
                Arc::new(Date64Array::from(vec![86_400_000, 1])),
                "date",
                vec!["1970-01-02".into(), "a time where a date is expected".into()],
            ),
            (
                Arc::new(TimestampSecondArray::from(vec![253_402_300_799, i64::MAX])),
                "timestamp",
                vec!["9999-12-31T23:59:59Z".into(), range("a timestamp")],
            ),
            (
                Arc::new(TimestampMillisecondArray::from(vec![-62_135_596_800_000])),
                "timestamp",
                vec!["0001-01-01T00:00:00Z".into()],
            ),
            (
                Arc::new(TimestampNanosecondArray::from(vec![-1, 1_500])),
                "timestamp",
                vec!["1969-12-31T23:59:59.999999Z".into(), "1970-01-01T00:00:00.000001Z".into()],
            ),
        ];
        for (found, wished, expected) in cases {
            let from = found.data_type().clone();
            assert_eq!(converted(found, json!(wished)), Some(expected), "{from} as {wished}");
        }
        let epoch = json!({ "type": "timestamp", "format": "epoch_ms" });
        assert_eq!(converted(ints(vec![1]), epoch).unwrap(), ["1970-01-01T00:00:00.001Z"]);
        let missing: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(1.0)]));
        assert_eq!(converted(missing.clone(), json!("int64?")).unwrap(), ["", "1"]);
        assert_eq!(converted(missing, json!("int64")).unwrap(), ["missing (`int64?` would take it as NULL)", "1"]);
        for wished in ["int64", "utf8", "timestamp", "decimal(5,2)", "bool"] {
            let untyped: ArrayRef = Arc::new(NullArray::new(1));
            assert_eq!(converted(untyped.clone(), json!(format!("{wished}?"))).unwrap(), [""], "{wished}");
            let missing = format!("missing (`{wished}?` would take it as NULL)");
            assert_eq!(converted(untyped, json!(wished)).unwrap(), [missing]);
        }
    }

    #[test]
    fn types_that_never_fit_are_known() {
        let int: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let time: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1]));
        let day: ArrayRef = Arc::new(Date32Array::from(vec![1]));
        let truth: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"1"]));
        for (found, wished) in [
            (&int, "timestamp"),
            (&int, "date"),
            (&time, "int64"),
            (&time, "float64"),
            (&day, "int64"),
            (&day, "bool"),
            (&truth, "timestamp"),
            (&bytes, "int64"),
        ] {
            assert_eq!(converted(found.clone(), json!(wished)), None, "{} as {wished}", found.data_type());
        }
    }
}
