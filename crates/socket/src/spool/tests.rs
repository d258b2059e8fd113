//! Spools that crash, fill up, are damaged, and are wanted twice.

use std::sync::Arc;

use super::*;
use crate::lines::Flaw;

const ROOM: u64 = 1 << 30;

fn lines(texts: &[&str]) -> Vec<Lines> {
    let mut lines = Lines::at(1_700_000_000_000);
    texts.iter().for_each(|text| lines.push(text.as_bytes(), None));
    vec![lines]
}

fn read(spool: &Spool, from: i64, rows: usize) -> Vec<String> {
    let demand = Demand { rows, bytes: 1 << 20, wait: Duration::ZERO };
    let Some(records) = spool.read(from, demand).unwrap() else { return Vec::new() };
    assert_eq!(records.offsets.value(0), from);
    records.values.iter().map(|value| String::from_utf8(value.unwrap().to_vec()).unwrap()).collect()
}

fn extent(first: i64, end: i64, committed: i64) -> Extent {
    Extent { first, end, committed: Some(committed) }
}

/// The only segment of a spool.
fn only(folder: &Path) -> PathBuf {
    let segments = Segment::list(folder).unwrap();
    assert_eq!(segments.len(), 1);
    Segment::path(folder, segments[0].first)
}

#[test]
fn lines_are_there_after_the_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(spool.extent(), extent(0, 0, 0));
    spool.append(lines(&["a", "b"])).unwrap();
    let mut long = Lines::at(5);
    long.push(b"begin", Some(Flaw::TooLong { size: 10_485_760 }));
    spool.append(vec![long]).unwrap();
    assert_eq!(read(&spool, 0, 10), ["a", "b", "begin"]);
    spool.commit(1);
    let id = spool.identity();
    drop(spool);

    assert_eq!(Spool::look(folder.path()).unwrap(), Some((id.clone(), extent(0, 3, 1))));
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!((spool.identity(), spool.extent()), (id, extent(0, 3, 1)));
    let demand = Demand { rows: 10, bytes: 1 << 20, wait: Duration::ZERO };
    let records = spool.read(1, demand).unwrap().unwrap();
    assert_eq!(records.values.value(1), b"begin");
    assert_eq!(records.timestamps.values(), &[1_700_000_000_000, 5]);
    let cut = &records.cut[0];
    assert_eq!((cut.row, cut.size, cut.stage), (1, 10_485_760, "source socket"));
    assert_eq!(cut.reason, "a line of 10485760 bytes, which is more than `max_line` (5)");
    spool.append(lines(&["c"])).unwrap();
    assert_eq!(read(&spool, 3, 10), ["c"]);
    assert_eq!(read(&spool, 1, 1), ["b"], "and back");
    assert!(read(&spool, 4, 1).is_empty());
}

#[test]
fn an_append_that_a_crash_cut_short_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    spool.append(lines(&["a", "b"])).unwrap();
    let whole = std::fs::metadata(only(folder.path())).unwrap().len();
    spool.append(lines(&["a line that is not finished"])).unwrap();
    drop(spool);
    let bytes = std::fs::read(only(folder.path())).unwrap();
    let mut torn: Vec<Vec<u8>> = (whole as usize..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    // The length was there before the bytes were.
    torn.push([&bytes[..whole as usize], &vec![0; bytes.len() - whole as usize][..]].concat());
    torn.push([&bytes[..whole as usize + HEADER], &vec![0; bytes.len() - whole as usize - HEADER][..]].concat());
    for torn in torn {
        std::fs::write(only(folder.path()), &torn).unwrap();
        assert_eq!(Spool::look(folder.path()).unwrap().unwrap().1, extent(0, 2, 0), "{} bytes", torn.len());
        let spool = Spool::open(folder.path(), ROOM).unwrap();
        assert_eq!(std::fs::metadata(only(folder.path())).unwrap().len(), whole);
        spool.append(lines(&["c"])).unwrap();
        assert_eq!(read(&spool, 0, 10), ["a", "b", "c"], "{} bytes", torn.len());
    }
}

#[test]
fn damage_in_front_of_whole_lines_stops_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    for text in ["a", "b", "c"] {
        spool.append(lines(&[text])).unwrap();
    }
    let path = only(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let frame = bytes.len() / 3;
    bytes[frame + HEADER + 12] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // Whoever has it open sees it when reading there, and not before.
    let error = spool.read(0, Demand { rows: 9, bytes: 99, wait: Duration::ZERO }).unwrap_err();
    assert!(error.message.contains(&format!("is damaged at byte {frame}")), "{error}");
    drop(spool);
    let error = Spool::open(folder.path(), ROOM).unwrap_err();
    assert_eq!(error.fault, foretell_flow::Fault::State);
    assert!(error.message.contains(&format!("is damaged at byte {frame}")), "{error}");
    assert!(error.remedy.contains("begin again at offset 2"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was cut off");
}

#[test]
fn a_line_that_looks_like_a_frame_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    let forged = frame::encode(Uuid::new_v4(), 1, &lines(&["x"]));
    let mut evil = Lines::at(0);
    evil.push(&forged, None);
    spool.append(vec![evil]).unwrap();
    drop(spool);
    let bytes = std::fs::read(only(folder.path())).unwrap();
    std::fs::write(only(folder.path()), [&bytes[..8], &[9], &bytes[9..]].concat()).unwrap();
    assert_eq!(Spool::open(folder.path(), ROOM).unwrap().extent(), extent(0, 0, 0), "a torn tail, not damage");
}

#[test]
fn two_processes_cannot_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    let error = Spool::open(folder.path(), ROOM).unwrap_err();
    assert!(error.message.ends_with("is in use by another process"), "{error}");
    drop(spool);
    Spool::open(folder.path(), ROOM).unwrap();
}

#[test]
fn segments_that_every_sink_has_go_and_a_full_spool_waits_for_that() {
    const LINE: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(folder.path(), 16 * 1024).unwrap());
    let text = "x".repeat(LINE);
    let writer = {
        let (spool, text) = (spool.clone(), text.clone());
        std::thread::spawn(move || (0..60).for_each(|_| assert!(spool.append(lines(&[&text])).unwrap())))
    };
    let settled = || {
        let mut before = -1;
        while before < spool.extent().end {
            before = spool.extent().end;
            std::thread::sleep(Duration::from_millis(100));
        }
        before
    };
    let full = settled();
    assert!((15..=17).contains(&full) && !writer.is_finished(), "full at {full} lines");
    spool.commit(2);
    assert_eq!(settled(), full, "no segment is free yet");
    let mut next = 0;
    while next < 60 {
        let found = read(&spool, next, 7);
        assert!(found.iter().all(|line| *line == text));
        next += found.len() as i64;
        spool.commit(next);
        assert!(spool.state.lock().size() < 18 * 1024, "bounded");
    }
    writer.join().unwrap();
    assert!(spool.extent().first > 30, "{:?}", spool.extent());
    let end = spool.extent();
    // A removed file that is still open would keep its place on the disk.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let gone = open.filter(|file| file.starts_with(folder.path()) && file.to_string_lossy().ends_with("(deleted)"));
    assert_eq!(gone.count(), 0);
    drop(spool);
    assert_eq!(Spool::open(folder.path(), 16 * 1024).unwrap().extent(), end);
}

#[test]
fn reading_again_keeps_what_was_committed_once() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOM).unwrap();
    for text in ["a", "b", "c"] {
        spool.append(lines(&[text])).unwrap();
    }
    spool.commit(1);
    // A position was set back by hand: the lines from there on stay until they are committed again.
    spool.begin(0);
    assert_eq!(spool.extent().committed, Some(0));
    assert_eq!(read(&spool, 0, 9), ["a", "b", "c"]);
}

#[test]
fn a_spool_without_its_id_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(Spool::open(folder.path(), ROOM).unwrap());
    std::fs::remove_file(folder.path().join("id")).unwrap();
    let error = Spool::open(folder.path(), ROOM).unwrap_err();
    assert!(error.message.contains("its file `id` is gone"), "{error}");
    std::fs::write(folder.path().join("id"), "something else").unwrap();
    let error = Spool::open(folder.path(), ROOM).unwrap_err();
    assert!(error.message.ends_with("is not one of this program's"), "{error}");
}
