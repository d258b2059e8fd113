//! How the columns of a Parquet file are read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// How a file of this footer is read: times of 96 bits by microseconds, since nanoseconds in 64 bits reach from 1677 to
/// 2262 only and wrap around beyond.
///
/// # Errors
/// The footer contradicts itself.
pub fn reading(metadata: Arc<ParquetMetaData>) -> Result<ArrowReaderMetadata, ParquetError> {
    let natural = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
    let columns = metadata.file_metadata().schema_descr().root_schema().get_fields();
    let mut fields: Vec<Arc<Field>> = natural.schema().fields().to_vec();
    let mut wide = false;
    for (field, column) in fields.iter_mut().zip(columns) {
        let is_wide = column.is_primitive() && column.get_physical_type() == Physical::INT96;
        if is_wide && matches!(field.data_type(), DataType::Timestamp(..)) {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            *field = Arc::new(field.as_ref().clone().with_data_type(micros));
            wide = true;
        }
    }
    if !wide {
        return Ok(natural);
    }
    let schema = Schema::new_with_metadata(fields, natural.schema().metadata().clone());
    ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(Arc::new(schema)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_96_bits_reach_beyond_2262() {
        use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
        use parquet::data_type::{Int96, Int96Type};
        use parquet::file::metadata::ParquetMetaDataReader;
        use parquet::file::writer::SerializedFileWriter;
        use parquet::schema::parser::parse_message_type;

        let schema = parse_message_type("message m { OPTIONAL INT96 t; OPTIONAL INT64 n; }").unwrap();
        let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Default::default()).unwrap();
        let mut group = file.next_row_group().unwrap();
        // Days since 4713 BC, and nanoseconds of the day.
        let times = [(5_373_484_u32, 86_399_999_999_000_u64), (2_086_303, 0), (2_440_588, 1_001)];
        let times = times.map(|(day, nanos)| {
            let mut time = Int96::new();
            time.set_data(nanos as u32, (nanos >> 32) as u32, day);
            time
        });
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int96Type>().write_batch(&times, Some(&[1, 1, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<parquet::data_type::Int64Type>().write_batch(&[1, 2, 3], Some(&[1, 1, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        let bytes = bytes::Bytes::from(file.into_inner().unwrap());

        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let footer = reading(Arc::new(metadata)).unwrap();
        let mut rows = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, footer).build().unwrap();
        let rows = rows.next().unwrap().unwrap();
        let shown = |row| arrow::util::display::array_value_to_string(rows.column(0), row).unwrap();
        assert_eq!(shown(0), "9999-12-31T23:59:59.999999Z");
        assert_eq!(shown(1), "1000-01-01T00:00:00Z");
        assert_eq!(shown(2), "1970-01-01T00:00:00.000001Z");
    }
}
