//! Objects in the bucket `foretell`.

use std::io::Write;

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStoreExt, path::Path};

use super::{service, wait};

pub(crate) fn endpoint() -> String {
    service("FORETELL_S3")
}

pub(crate) fn key() -> String {
    service("FORETELL_S3_KEY")
}

pub(crate) fn secret() -> String {
    service("FORETELL_S3_SECRET")
}

/// Stores an object.
pub(crate) fn put(key: &str, content: Vec<u8>) {
    let builder = AmazonS3Builder::new().with_endpoint(endpoint()).with_allow_http(true).with_region("us-east-1");
    let builder = builder.with_bucket_name("foretell").with_access_key_id(self::key());
    let store = builder.with_secret_access_key(secret()).build().unwrap();
    wait(store.put(&Path::from(key), content.into())).unwrap();
}

/// Compressed as the name's ending says.
pub(crate) fn pack(name: &str, content: &[u8]) -> Vec<u8> {
    match name.rsplit_once('.').unwrap().1 {
        "gz" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap()
        }
        "zst" => zstd::encode_all(content, 0).unwrap(),
        _ => content.to_vec(),
    }
}
