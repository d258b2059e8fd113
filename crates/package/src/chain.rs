//! Files that are one model, as one run of bytes: what is kept, hashed and loaded again is one thing.

/// What the bytes begin with; no model file does.
const MAGIC: &[u8] = b"foretell chain 1\n";

/// More files than any model is kept in.
const FILES: usize = 64;

/// Puts files together; a single one stays as it is.
#[must_use]
pub fn join(mut files: Vec<Vec<u8>>) -> Vec<u8> {
    if files.len() == 1 {
        return files.pop().unwrap_or_default();
    }
    let mut all = MAGIC.to_vec();
    for file in files {
        all.extend_from_slice(&u64::try_from(file.len()).unwrap_or(u64::MAX).to_le_bytes());
        all.extend_from_slice(&file);
    }
    all
}

/// The files again; `None` where the bytes were not put together here.
pub(crate) fn split(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut files = Vec::new();
    while !rest.is_empty() && files.len() < FILES {
        let (length, after) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (file, after) = after.split_at_checked(length)?;
        files.push(file);
        rest = after;
    }
    rest.is_empty().then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart() {
        let files = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let joined = join(files.clone());
        assert_eq!(split(&joined).unwrap(), files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(join(vec![b"alone".to_vec()]), b"alone");
        assert_eq!(split(b"alone"), None);
        for cut in MAGIC.len() + 1..joined.len() {
            assert!(split(&joined[..cut]).is_none_or(|files| files.len() < 3), "{cut}");
        }
        let long = [MAGIC, &u64::MAX.to_le_bytes(), b"x"].concat();
        assert_eq!(split(&long), None);
    }
}
