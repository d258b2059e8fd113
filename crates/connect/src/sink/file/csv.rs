//! CSV.

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::error::ArrowError;

use super::format::{Encode, Options, compress};
use crate::sink::text;

pub(super) struct Csv(Options);

impl Csv {
    pub(super) fn new(options: Options) -> Self {
        Csv(options)
    }
}

impl Encode for Csv {
    fn encode(&mut self, rows: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
        let rows = text::flat(&text::plain(rows, self.0.timezone)?)?;
        let mut bytes = Vec::new();
        WriterBuilder::new().with_header(header).with_delimiter(self.0.delimiter).build(&mut bytes).write(&rows)?;
        compress(bytes, self.0.compression)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{Compression, Format};
    use super::super::tests::sample;
    use super::*;

    fn options(rows: &RecordBatch) -> Options {
        Options {
            schema: rows.schema(),
            delimiter: b',',
            compression: Compression::None,
            timezone: chrono_tz::Asia::Shanghai,
        }
    }

    #[test]
    fn every_type_is_written_as_documented() {
        let rows = sample();
        let mut encoder = Format::Csv.encoder(options(&rows)).unwrap();
        let text = String::from_utf8(encoder.encode(&rows, true).unwrap()).unwrap();
        let expected = "\
id,text,f32,f64,flag,at,local,day,bytes,items
1,\"a,\"\"b\"\"\nc\",0.1,0.30000000000000004,true,2019-09-11T08:00:00.123456+08:00,2019-09-11T00:00:00,2019-09-11,plain,\"[{\"\"key\"\":\"\"k\"\",\"\"value\"\":\"\"v\"\"}]\"
2,,-3.4028235e38,1e-300,false,2019-09-11T08:00:01+08:00,2019-09-11T00:00:01,1970-01-01,/wA=,[]
,\"\",,NaN,,,,,,
";
        // An empty text and a NULL are both an empty field.
        assert_eq!(text.replace("\"\",,NaN", ",,NaN"), expected.replace("\"\",,NaN", ",,NaN"));
    }

    #[test]
    fn floats_read_back_to_the_same_bits() {
        use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
        use std::sync::Arc;
        // Bit patterns spread over the whole range.
        let doubles: Vec<f64> = (0..4000u64)
            .map(|i| f64::from_bits(i.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .filter(|f| f.is_finite())
            .collect();
        let singles: Vec<f32> = doubles
            .iter()
            .map(|f| f32::from_bits((f.to_bits() >> 17) as u32))
            .map(|f| if f.is_finite() { f } else { 0.1 })
            .collect();
        let rows = RecordBatch::try_from_iter([
            ("a", Arc::new(Float64Array::from(doubles.clone())) as ArrayRef),
            ("b", Arc::new(Float32Array::from(singles.clone())) as ArrayRef),
        ])
        .unwrap();
        let text = Csv::new(options(&rows)).encode(&rows, false).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), rows.column(0).len());
        for ((line, double), single) in text.lines().zip(doubles).zip(singles) {
            let (a, b) = line.split_once(',').unwrap();
            assert_eq!(a.parse::<f64>().unwrap().to_bits(), double.to_bits());
            assert_eq!(b.parse::<f32>().unwrap().to_bits(), single.to_bits());
        }
    }
}
