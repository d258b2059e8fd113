//! The text of a pipeline file, if it is one.

use std::io::Read as _;
use std::path::Path;

use super::FileError;

/// A pipeline file has some thousand letters; more is another file.
const LARGEST: u64 = 4 << 20;

/// What to do with a model file in its place.
const MODEL: &str = "of a model file `foretell inspect` tells what is in it, and `foretell predict MODEL DATA` uses it";

/// Reads it.
///
/// # Errors
/// It is not there, too large, or not UTF-8.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let wrong = |line: Option<usize>, message: String, remedy: &str| FileError {
        file: path.display().to_string(),
        line,
        message,
        remedy: remedy.to_string(),
        ..FileError::default()
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(None, "the file does not exist".to_string(), ""),
        std::io::ErrorKind::IsADirectory => {
            wrong(None, "it is a folder".to_string(), "name a pipeline file in it; `foretell run` takes folders, too")
        }
        _ => wrong(None, format!("the file cannot be read: {error}"), ""),
    })?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(None, "the file has more than 4 MiB, so it is not a pipeline file".to_string(), MODEL));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        match error.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => wrong(None, "the file is UTF-16".to_string(), "save it as UTF-8"),
            bytes if bytes.contains(&0) => {
                wrong(None, "the file is not UTF-8, so it is not a pipeline file".to_string(), MODEL)
            }
            _ => wrong(Some(line), "this line is not UTF-8".to_string(), "save the file as UTF-8"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).unwrap_err().to_string().replace(&path.display().to_string(), "p")
        };
        assert_eq!(error(b"pipeline: a\n# caf\xe9\n"), "p:2: this line is not UTF-8; save the file as UTF-8");
        assert_eq!(error(b"\xff\xfep\0"), "p: the file is UTF-16; save it as UTF-8");
        assert!(error(b"\x80\x04\0x").contains("so it is not a pipeline file; of a model file `foretell inspect`"));
        assert!(error(&vec![b'#'; 5 << 20]).contains("more than 4 MiB"));
    }
}
