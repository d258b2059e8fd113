//! Names of paths and storages.

use std::path::Path;

use foretell_connect::storage::path::clean;
use foretell_connect::storage::{ErrorKind, escape, file_name, parent};

use super::{SCHEMES, StorageSettings, open, open_reading, shared};

#[test]
fn any_text_is_one_visible_name() {
    let cases = [
        ("mri", "mri"),
        ("../etc", "%2E.%2Fetc"),
        ("_foretell", "%5Fforetell"),
        ("a.b_c-D9", "a.b_c-D9"),
        ("Köln", "K%C3%B6ln"),
        ("", "%"),
        ("%", "%25"),
    ];
    for (text, name) in cases {
        assert_eq!(escape(text), name);
    }
    let (long, other) = ("é".repeat(200), format!("{}x", "é".repeat(199)));
    assert!(escape(&long).len() < 200);
    assert_ne!(escape(&long), escape(&other));
}

#[test]
fn urls_name_a_storage_and_a_path() {
    let path = |url: &str| open(url, Path::new("/base"), &StorageSettings::default()).map(|(_, path)| path);
    assert_eq!(path("out/x.csv").unwrap(), "/base/out/x.csv");
    assert_eq!(path("/abs//x/").unwrap(), "/abs/x");
    assert_eq!(path("file:///abs/x y").unwrap(), "/abs/x y");
    for wrong in ["file://abs/x", "ftp://bucket/x", "", "hdfs://user@host:1/x"] {
        assert_eq!(path(wrong).unwrap_err().kind, ErrorKind::Settings, "{wrong}");
    }
    // A password is shown nowhere, wherever it has a slash.
    for url in
        ["hdfs://u:hunter2@host:1/x", "hdfs://u:hun/ter2@host:1/x", "s3://key:hun/ter2@bucket/x", "ftp://u:hunter2@h/x"]
    {
        let error = open_reading(url, Path::new("/"), &StorageSettings::default()).unwrap_err().to_string();
        assert!(error.contains("no place in this URL") && !error.contains("ter2"), "{error}");
    }
    assert_eq!((parent("/a/b"), parent("/a"), file_name("/a/b")), ("/a", "/", "b"));
    assert_eq!(clean("//a/./b/"), "/a/b");
}

#[test]
fn every_scheme_is_found_by_each_of_its_names() {
    let mut names: Vec<&str> = SCHEMES.iter().flat_map(|scheme| scheme.names).copied().collect();
    for scheme in SCHEMES {
        let (name, _) = scheme.example.split_once("://").unwrap();
        assert!(scheme.names.contains(&name), "{}", scheme.example);
        assert_eq!(shared(scheme.example), scheme.shared);
        for name in scheme.names {
            let error =
                open_reading(&format!("{name}://user:hunter2@h/x"), Path::new("/"), &StorageSettings::default());
            assert!(error.unwrap_err().what.contains(scheme.credentials), "{name}");
        }
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name belongs to one scheme: {names:?}");
    assert!(!shared("out/x.csv"));
}

#[tokio::test]
async fn an_hdfs_url_names_a_path_there() {
    let (storage, path) =
        open("hdfs://host:8020/output/utime.csv", Path::new("/base"), &StorageSettings::default()).unwrap();
    assert_eq!(
        (storage.url(&path).as_str(), path.as_str()),
        ("hdfs://host:8020/output/utime.csv", "/output/utime.csv")
    );
}
