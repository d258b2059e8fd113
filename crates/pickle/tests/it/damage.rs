//! Every small fixture cut at every position, and with one byte changed at every position: an error or a value, never
//! a panic, never slow.

use std::time::{Duration, Instant};

use foretell_pickle::{Allow, Error, Limits, read, scan};

use crate::files::{CLASSES, fixtures};
use crate::show::show;

/// One read of a small file takes well below a millisecond; this leaves room for a busy machine.
const SLOW: Duration = Duration::from_secs(2);

/// The fixtures that hold a little of everything, in every protocol and container.
fn small() -> Vec<(String, Vec<u8>)> {
    let small: Vec<_> = fixtures().into_iter().filter(|(name, _)| name.starts_with("small.")).collect();
    assert_eq!(small.len(), 13);
    small
}

/// Reads, walks and scans; the error, where one of these gives one.
fn use_it(name: &str, bytes: Vec<u8>, allow: &Allow, limits: &Limits) -> Option<Error> {
    let from = Instant::now();
    let found = scan(bytes.clone(), limits);
    let result = read(bytes, allow, limits).and_then(|document| show(&document.root()));
    assert!(from.elapsed() < SLOW, "{name} took {:?}", from.elapsed());
    if result.is_ok() {
        assert!(found.is_ok_and(|scan| scan.stopped.is_none()), "{name} reads, but does not scan");
    }
    result.err()
}

#[test]
fn cut_at_every_position() {
    let (allow, limits) = (Allow::new(CLASSES), Limits::default());
    for (name, bytes) in small() {
        for len in 0..bytes.len() {
            let error = use_it(&name, bytes[..len].to_vec(), &allow, &limits);
            // Only what stands behind the pickle can be missing: the checksums of a container.
            let spare = if name.ends_with(".pickle") || name.ends_with(".joblib") { 0 } else { 32 };
            assert!(error.is_some() || len + spare >= bytes.len(), "{name} cut at {len} is read");
        }
    }
}

#[test]
fn one_byte_changed_at_every_position() {
    let (allow, limits) = (Allow::new(CLASSES), Limits::default());
    let mut errors = 0u64;
    for (name, bytes) in small() {
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                errors += u64::from(use_it(&format!("{name} at {at}"), changed, &allow, &limits).is_some());
            }
        }
    }
    assert!(errors > 5_000, "{errors} errors: the changes do not reach the reader");
}
