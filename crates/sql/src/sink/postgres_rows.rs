//! Values as PostgreSQL takes them.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use super::values::Data;

/// Microseconds and days from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// A column's rows as one array in PostgreSQL's binary form, written straight from the Arrow buffers.
pub(super) struct Rows<'a> {
    pub(super) data: &'a Data,
    pub(super) rows: &'a [u32],
}

impl Rows<'_> {
    fn array_type(&self) -> PgTypeInfo {
        match self.data {
            Data::Int(_) | Data::UInt(_) => Vec::<i64>::type_info(),
            Data::Float32(_) => Vec::<f32>::type_info(),
            Data::Float64(_) => Vec::<f64>::type_info(),
            Data::Bool(_) => Vec::<bool>::type_info(),
            Data::Text(_) => Vec::<String>::type_info(),
            Data::Binary(_) => Vec::<Vec<u8>>::type_info(),
            Data::Date(_) => Vec::<chrono::NaiveDate>::type_info(),
            Data::Time(_) => Vec::<chrono::NaiveDateTime>::type_info(),
        }
    }

    fn element_oid(&self) -> i32 {
        match self.data {
            Data::Int(_) | Data::UInt(_) => 20,
            Data::Float32(_) => 700,
            Data::Float64(_) => 701,
            Data::Bool(_) => 16,
            Data::Text(_) => 25,
            Data::Binary(_) => 17,
            Data::Date(_) => 1082,
            Data::Time(_) => 1114,
        }
    }
}

impl Type<Postgres> for Rows<'_> {
    fn type_info() -> PgTypeInfo {
        Vec::<String>::type_info()
    }
}

impl Encode<'_, Postgres> for Rows<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.array_type())
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let nulls = self.rows.iter().any(|&row| self.data.is_null(row as usize));
        // Dimensions, whether there are NULLs, the elements' type, their number, the first index.
        for word in [1, i32::from(nulls), self.element_oid(), i32::try_from(self.rows.len())?, 1] {
            buffer.extend_from_slice(&word.to_be_bytes());
        }
        for &row in self.rows {
            put_value(buffer, self.data, row as usize)?;
        }
        Ok(IsNull::No)
    }
}

/// A row's value in the binary form: its length, or -1 for NULL, and its bytes.
pub(super) fn put_value(buffer: &mut Vec<u8>, data: &Data, row: usize) -> Result<(), BoxDynError> {
    if data.is_null(row) {
        buffer.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    match data {
        Data::Int(a) => put(buffer, &a.value(row).to_be_bytes()),
        Data::UInt(a) => put(buffer, &i64::try_from(a.value(row))?.to_be_bytes()),
        Data::Float32(a) => put(buffer, &a.value(row).to_be_bytes()),
        Data::Float64(a) => put(buffer, &a.value(row).to_be_bytes()),
        Data::Bool(a) => put(buffer, &[u8::from(a.value(row))]),
        Data::Text(a) => put(buffer, a.value(row).as_bytes()),
        Data::Binary(a) => put(buffer, a.value(row)),
        Data::Date(a) => put(buffer, &a.value(row).checked_sub(EPOCH_DAYS).ok_or("a date out of range")?.to_be_bytes()),
        Data::Time(a) => {
            put(buffer, &a.value(row).checked_sub(EPOCH_MICROS).ok_or("a time out of range")?.to_be_bytes())
        }
    }
}

fn put(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), BoxDynError> {
    buffer.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// A type without its length: `numeric(8,2)` and `timestamp(3) without time zone` are cast to without it, and the
/// assignment to the column then checks it.
pub(super) fn cast_type(type_name: &str) -> String {
    // `bit` alone is one bit long.
    if type_name == "bit" || type_name.starts_with("bit(") {
        return "bit varying".to_owned();
    }
    match type_name.split_once('(').and_then(|(name, rest)| Some((name, rest.split_once(')')?.1))) {
        Some((name, rest)) => format!("{name}{rest}"),
        None => type_name.to_owned(),
    }
}
