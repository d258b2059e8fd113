//! The spool of sockets: bytes as lines, lines as frames, and whatever bytes behind whole frames.
#![no_main]
#![allow(dead_code, unreachable_pub)]

#[path = "../../crates/socket/src/lines.rs"]
mod lines;
// `segment` finds it beside itself.
#[path = "../../crates/socket/src/spool/frame.rs"]
mod frame;
#[path = "../../crates/socket/src/spool/segment.rs"]
mod segment;

use std::path::PathBuf;
use std::sync::LazyLock;

use frame::{HEADER, Header};
use lines::{Lines, Splitter};
use segment::Segment;
use uuid::Uuid;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-spool-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is a folder");
    folder
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let (came, rest) = bytes.split_at(bytes.len().min(usize::from(*choice)));
    let id = Uuid::from_u128(7);

    // What came is the same lines in one piece and byte by byte, and comes back from its frame.
    let split = |size: usize| {
        let (mut lines, mut splitter) = (Lines::at(5), Splitter::new(16));
        came.chunks(size.max(1)).for_each(|piece| splitter.feed(piece, &mut lines));
        splitter.end(choice % 2 == 0, &mut lines);
        lines
    };
    let lines = split(came.len());
    assert!(lines.iter_from(0).eq(split(1).iter_from(0)));
    let frame = frame::encode(id, 41, std::slice::from_ref(&lines));
    let header = Header::decode(&frame).expect("it was just written");
    let mut payload = &frame[HEADER..];
    assert!(header.fits(id, payload));
    let read = std::iter::from_fn(|| frame::line(&mut payload));
    assert!(read.eq(lines.iter_from(0)));

    // As a payload whatever stands there ends.
    let mut payload = rest;
    while frame::line(&mut payload).is_some() {}

    // Behind a whole frame it is an append that was not finished, or damage, and never another line.
    let segment = Segment { first: 41, bytes: (frame.len() + rest.len()) as u64 };
    std::fs::write(Segment::path(&FOLDER, 41), [frame.as_slice(), rest].concat()).expect("it can be written");
    // Several frames without lines could stand there.
    if lines.is_empty() {
        return;
    }
    if let Ok(tail) = segment::tail(&FOLDER, segment, id) {
        assert_eq!(tail.bytes, frame.len() as u64);
        assert_eq!(tail.end, 41 + lines.len() as i64);
    }
});
