//! JSON Lines.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::encode::{Encode, Options, compress};
use foretell_connect::text;

pub(super) struct Jsonl(Options);

impl Jsonl {
    pub(super) fn new(options: Options) -> Self {
        Jsonl(options)
    }
}

impl Encode for Jsonl {
    fn encode(&mut self, rows: &RecordBatch, _header: bool) -> Result<Vec<u8>, ArrowError> {
        compress(text::json_lines(&text::plain(rows, self.0.timezone)?)?, self.0.compression)
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Compression;
    use super::super::format::Format;
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn every_type_is_written_as_documented() {
        let rows = sample();
        let options = Options {
            schema: rows.schema(),
            delimiter: b',',
            compression: Compression::None,
            timezone: chrono_tz::UTC,
        };
        let mut encoder = Format::Jsonl.encoder(options).unwrap();
        let text = String::from_utf8(encoder.encode(&rows, true).unwrap()).unwrap();
        let expected = concat!(
            r#"{"id":1,"text":"a,\"b\"\nc","f32":0.1,"f64":0.30000000000000004,"flag":true,"#,
            r#""at":"2019-09-11T00:00:00.123456Z","local":"2019-09-11T00:00:00","day":"2019-09-11","bytes":"plain","#,
            r#""items":[{"key":"k","value":"v"}]}"#,
            "\n",
            r#"{"id":2,"text":null,"f32":-3.4028235e38,"f64":1.0e-300,"flag":false,"#,
            r#""at":"2019-09-11T00:00:01Z","local":"2019-09-11T00:00:01","day":"1970-01-01","bytes":"/wA=","items":[]}"#,
            "\n",
            r#"{"id":null,"text":"","f32":null,"f64":"NaN","flag":null,"#,
            r#""at":null,"local":null,"day":null,"bytes":null,"items":null}"#,
            "\n",
        );
        assert_eq!(text, expected);
    }
}
