//! The types that columns have.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

/// The most digits that a decimal has.
pub const MOST_DIGITS: u8 = 38;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 8-bit unsigned integer.
    Uint8,
    /// 16-bit unsigned integer.
    Uint16,
    /// 32-bit unsigned integer.
    Uint32,
    /// 64-bit unsigned integer.
    Uint64,
    /// 32-bit float: read as a 64-bit one and rounded, as Python does.
    Float32,
    /// 64-bit float.
    Float64,
    /// Text.
    Utf8,
    /// True or false.
    Bool,
    /// A day.
    Date,
    /// A time in microseconds, UTC.
    Timestamp,
    /// An exact number: how many digits it has in all, and how many of them stand behind the point.
    Decimal(u8, u8),
}

/// Those that have a name of their own.
pub(super) const TYPES: &[(&str, Type)] = &[
    ("int8", Type::Int8),
    ("int16", Type::Int16),
    ("int32", Type::Int32),
    ("int64", Type::Int64),
    ("uint8", Type::Uint8),
    ("uint16", Type::Uint16),
    ("uint32", Type::Uint32),
    ("uint64", Type::Uint64),
    ("float32", Type::Float32),
    ("float64", Type::Float64),
    ("utf8", Type::Utf8),
    ("bool", Type::Bool),
    ("date", Type::Date),
    ("timestamp", Type::Timestamp),
];

/// How a decimal is written.
pub(super) const DECIMAL: &str = "^decimal\\([0-9]{1,2}(, ?[0-9]{1,2})?\\)\\??$";

/// As the pipeline file writes it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Decimal(digits, behind) => write!(f, "decimal({digits},{behind})"),
            other => f.write_str(TYPES.iter().find(|(_, t)| t == other).map_or("", |(name, _)| name)),
        }
    }
}

impl Type {
    /// The type of this name; `None` where there is none.
    pub(super) fn named(name: &str) -> Option<Type> {
        if let Some((_, found)) = TYPES.iter().find(|(known, _)| *known == name) {
            return Some(*found);
        }
        let inner = name.strip_prefix("decimal(")?.strip_suffix(')')?;
        let (digits, behind) = inner.split_once(',').unwrap_or((inner, "0"));
        let (digits, behind) = (digits.trim().parse().ok()?, behind.trim().parse().ok()?);
        ((1..=MOST_DIGITS).contains(&digits) && behind <= digits).then_some(Type::Decimal(digits, behind))
    }

    /// Its type in Arrow.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Int8 => DataType::Int8,
            Type::Int16 => DataType::Int16,
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::Uint8 => DataType::UInt8,
            Type::Uint16 => DataType::UInt16,
            Type::Uint32 => DataType::UInt32,
            Type::Uint64 => DataType::UInt64,
            Type::Float32 => DataType::Float32,
            Type::Float64 => DataType::Float64,
            Type::Utf8 => DataType::Utf8,
            Type::Bool => DataType::Boolean,
            Type::Date => DataType::Date32,
            Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            // At most 38, so that it fits.
            Type::Decimal(digits, behind) => DataType::Decimal128(digits, behind as i8),
        }
    }
}
