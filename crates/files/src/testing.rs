//! What the tests of sources and sinks share.

/// A folder of its own; in memory where there is such a place, so that nobody waits for a disk to sync.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
