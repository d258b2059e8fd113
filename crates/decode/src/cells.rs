//! One column of CSV fields, for callers that read a whole file column by column. A field means what it means in a record.

use arrow::array::ArrayRef;

use super::column::Column;
use super::field::Field;
use super::missing::Missing;
use super::time::TimeFormat;
use super::types::Type;
use super::values::Values;

/// A column so far. A missing value is NULL.
pub struct Cells {
    column: Column,
    values: Values,
}

impl Cells {
    /// Of this many rows, as this type.
    pub fn new(data_type: Type, rows: usize) -> Cells {
        let format = TimeFormat::iso();
        let column = Column { name: String::new(), data_type, optional: true, format, path: Vec::new(), missing: None };
        let values = Values::new(&column.data_type, rows);
        Cells { column, values }
    }

    /// Adds a field. A number that no float holds with all its digits is the nearest one, as it is to a model in Python;
    /// what is stored as a column of its own must be exact, and is read by a decoder.
    ///
    /// # Errors
    /// Why it does not fit the type, without the field.
    pub fn push(&mut self, field: &[u8], missing: &Missing) -> Result<(), String> {
        let nearest = std::str::from_utf8(field).ok().and_then(|text| text.trim_ascii().parse::<f64>().ok());
        if let Some(nearest) = nearest.filter(|_| !missing.has(field))
            && self.values.push_double(nearest)
        {
            return Ok(());
        }
        let field = Field { bytes: field, missing };
        self.values.push(&self.column, &field).map_err(|wrong| wrong.describe(&self.column.data_type))
    }

    /// As Arrow's array.
    pub fn finish(self) -> ArrayRef {
        self.values.finish()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;

    use super::super::missing::MISSING;
    use super::*;

    #[test]
    fn a_column_is_read_as_a_decoder_reads_it() {
        let missing = Missing::new(&MISSING);
        let mut cells = Cells::new(Type::Float64, 4);
        for field in [" 1e400 ", "None", "6.5", "-1.#IND"] {
            cells.push(field.as_bytes(), &missing).unwrap();
        }
        assert_eq!(cells.push(b"six", &missing).unwrap_err(), "not a float64");
        assert_eq!(cells.push(b"\xff", &missing).unwrap_err(), "not UTF-8");
        let array = cells.finish();
        let values: Vec<_> = array.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(values, [Some(f64::INFINITY), None, Some(6.5), None]);
    }
}
