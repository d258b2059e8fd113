//! Parquet.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::encode::{Compression, Encode, Options};

pub(super) struct Parquet(WriterProperties);

impl Parquet {
    pub(super) fn new(options: Options) -> Self {
        let codec = match options.compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip => Codec::GZIP(GzipLevel::default()),
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Snappy => Codec::SNAPPY,
        };
        Parquet(WriterProperties::builder().set_compression(codec).set_created_by("foretell".into()).build())
    }
}

impl Encode for Parquet {
    fn encode(&mut self, rows: &RecordBatch, _header: bool) -> Result<Vec<u8>, ArrowError> {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(self.0.clone()))?;
        writer.write(rows)?;
        writer.close()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::tests::{read_parquet, sample};
    use super::*;

    #[test]
    fn reads_back_with_every_codec() {
        let rows = sample();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Snappy] {
            let options = Options { schema: rows.schema(), delimiter: b',', compression, timezone: chrono_tz::UTC };
            let bytes = Format::Parquet.encoder(options).unwrap().encode(&rows, true).unwrap();
            let back = read_parquet(bytes);
            assert_eq!(back.columns(), rows.columns());
        }
    }
}
