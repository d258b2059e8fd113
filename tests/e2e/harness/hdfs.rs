//! Files, on HDFS and local: what a reader of a path sees.

use std::path::Path;

use bytes::Bytes;
use hdfs_native::ClientBuilder;

use super::{service, wait};

/// The contents of a file, or of the files in view in a folder (names that begin with `_` or `.` are hidden), by name.
pub(crate) fn hdfs(path: &str) -> Vec<(String, Bytes)> {
    wait(async {
        let client = ClientBuilder::new().with_url(service("FORETELL_HDFS")).build().unwrap();
        let read = |path: String| {
            let client = client.clone();
            async move {
                let file = client.read(&path).await.unwrap();
                file.read_range(0, file.file_length()).await.unwrap()
            }
        };
        let info = client.get_file_info(path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        if !info.isdir {
            return vec![(path.to_string(), read(path.to_string()).await)];
        }
        let mut files = Vec::new();
        for entry in client.list_status(path, false).await.unwrap() {
            if !entry.isdir && in_view(&entry.path) {
                files.push((entry.path.clone(), read(entry.path.clone()).await));
            }
        }
        files
    })
}

/// Writes a file, and the folders above it.
pub(crate) fn put(path: &str, content: Bytes) {
    wait(async {
        let client = ClientBuilder::new().with_url(service("FORETELL_HDFS")).build().unwrap();
        let mut file = client.create(path, hdfs_native::WriteOptions::default().create_parent(true)).await.unwrap();
        file.write_bytes(content).await.unwrap();
        file.close().await.unwrap();
    });
}

/// Writes a file in the place of another.
pub(crate) fn replace(path: &str, content: Bytes) {
    wait(async {
        let client = ClientBuilder::new().with_url(service("FORETELL_HDFS")).build().unwrap();
        let options = hdfs_native::WriteOptions::default().create_parent(true).overwrite(true);
        let mut file = client.create(path, options).await.unwrap();
        file.write_bytes(content).await.unwrap();
        file.close().await.unwrap();
    });
}

/// Whether something is there.
pub(crate) fn exists(path: &str) -> bool {
    wait(async {
        let client = ClientBuilder::new().with_url(service("FORETELL_HDFS")).build().unwrap();
        client.get_file_info(path).await.is_ok()
    })
}

/// The same as [`hdfs`] of a local path.
pub(crate) fn local(path: &Path) -> Vec<(String, Bytes)> {
    let name = |path: &Path| path.display().to_string();
    let read = |path: &Path| Bytes::from(std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}")));
    if !path.is_dir() {
        return vec![(name(path), read(path))];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file() && in_view(&name(path)));
    files.map(|path| (name(&path), read(&path))).collect()
}

fn in_view(path: &str) -> bool {
    !path.rsplit('/').next().unwrap().starts_with(['_', '.'])
}
