//! Objects in the bucket `foretell`.

use std::io::Write;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

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

fn bucket() -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_endpoint(endpoint()).with_allow_http(true).with_region("us-east-1");
    let builder = builder.with_bucket_name("foretell").with_access_key_id(key());
    builder.with_secret_access_key(secret()).build().unwrap()
}

/// Stores an object.
pub(crate) fn put(key: &str, content: Vec<u8>) {
    wait(bucket().put(&Path::from(key), content.into())).unwrap();
}

/// The objects in view under a prefix.
pub(crate) fn get(prefix: &str) -> Vec<(String, Bytes)> {
    wait(async {
        let bucket = bucket();
        let listed = bucket.list_with_delimiter(Some(&Path::from(prefix))).await.unwrap();
        let mut found = Vec::new();
        for object in listed.objects.into_iter().filter(|object| !object.location.filename().unwrap().starts_with('_'))
        {
            let bytes = bucket.get(&object.location).await.unwrap().bytes().await.unwrap();
            found.push((object.location.to_string(), bytes));
        }
        found
    })
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
