//! The types that columns have.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use chrono_tz::Tz;

/// The most digits that a decimal has.
pub const MOST_DIGITS: u8 = 38;

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
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
    /// Members, each with a name and a type of its own.
    Struct(Arc<Vec<Member>>),
    /// Any number of elements of one type.
    List(Arc<Member>),
}

/// A member of a struct, or what the elements of a list are.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name; of elements it is `item`.
    pub name: String,
    /// Its type.
    pub data_type: Type,
    /// Whether it may be missing.
    pub optional: bool,
    /// Of times without a zone.
    pub(super) zone: Tz,
}

impl Member {
    pub(super) fn new(name: &str, data_type: Type, optional: bool) -> Member {
        Member { name: name.to_string(), data_type, optional, zone: Tz::UTC }
    }

    /// No deeper than its type.
    pub(super) fn set_zone(&mut self, zone: Tz) {
        self.zone = zone;
        self.data_type.set_zone(zone);
    }

    fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.arrow(), self.optional)
    }
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

/// As the pipeline file writes it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Decimal(digits, behind) => write!(f, "decimal({digits},{behind})"),
            Type::List(item) => write!(f, "list<{}{}>", item.data_type, mark(item)),
            Type::Struct(members) => {
                f.write_str("struct<")?;
                for (at, member) in members.iter().enumerate() {
                    let between = if at > 0 { ", " } else { "" };
                    match member.name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                        true => write!(f, "{between}{}: ", member.name)?,
                        false => write!(f, "{between}\"{}\": ", member.name)?,
                    }
                    write!(f, "{}{}", member.data_type, mark(member))?;
                }
                f.write_str(">")
            }
            other => f.write_str(TYPES.iter().find(|(_, t)| t == other).map_or("", |(name, _)| name)),
        }
    }
}

fn mark(part: &Member) -> &'static str {
    if part.optional { "?" } else { "" }
}

/// Members as Arrow has them.
pub(super) fn fields_of(members: &[Member]) -> Fields {
    members.iter().map(Member::field).collect()
}

/// Elements as Arrow has them.
pub(super) fn item_of(item: &Member) -> Arc<Field> {
    Arc::new(item.field())
}

impl Type {
    /// Its name, without its parts.
    pub(super) fn short(&self) -> String {
        match self {
            Type::Struct(_) => "struct".to_string(),
            Type::List(_) => "list".to_string(),
            other => other.to_string(),
        }
    }

    /// Reads times without a zone in this one, however deep they are.
    pub(super) fn set_zone(&mut self, zone: Tz) {
        match self {
            Type::Struct(members) => Arc::make_mut(members).iter_mut().for_each(|member| member.set_zone(zone)),
            Type::List(item) => Arc::make_mut(item).set_zone(zone),
            _ => {}
        }
    }

    /// Whether its values have parts.
    pub fn is_nested(&self) -> bool {
        matches!(self, Type::Struct(_) | Type::List(_))
    }

    /// Its type in Arrow.
    pub fn arrow(&self) -> DataType {
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
            Type::Decimal(digits, behind) => DataType::Decimal128(*digits, *behind as i8),
            Type::Struct(members) => DataType::Struct(fields_of(members)),
            Type::List(item) => DataType::List(item_of(item)),
        }
    }
}
