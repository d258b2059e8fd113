//! No input takes more than 64 MiB plus 20 times its decompressed size, or 5 seconds: measured with an allocator that
//! counts.
//! A binary of its own, because the counter sees every thread.
#![allow(unsafe_code, reason = "a counting allocator can only be written with it")]

#[path = "it/asm.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod asm;
#[path = "it/pack.rs"]
mod pack;
#[path = "it/zip.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod zip;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use asm::{array, build, cat, dict, dtype, global, int, list, new, raw, read_with, record, shape, text, tuple};
use foretell_pickle::{Limits, scan};
use zip::{array as array_node, deflated, file, list as list_node, node, npy, schema, zip};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BASE: usize = 64 << 20;
const FACTOR: usize = 20;

/// The same piece again and again, after a start.
fn flood(start: &[u8], piece: &[u8], size: usize) -> Vec<u8> {
    cat![b"\x80\x02", start, piece.repeat(size / piece.len()), b"."]
}

fn inputs(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let memo = |value: Vec<u8>, entry: u8| cat![value, b"q", [entry], b"0"];
    let long = memo(cat![b"](", vec![b'N'; size / 4], b"e"], 0);
    let many = |entry: u8| (0..entry).map(|i| (format!("f{i}"), i32::from(i))).collect::<Vec<_>>();
    let fields = many(200);
    let fields: Vec<(&str, &str, i32)> = fields.iter().map(|(name, at)| (name.as_str(), "u1", *at)).collect();
    let wide = memo(record(200, &fields), 0);
    let scalar = cat![wide, memo(raw(&[0; 200]), 1), memo(global("numpy.core.multiarray", "scalar"), 2)];
    let text_of_zeros = memo(text(&"\u{e9}".repeat(size / 4)), 0);
    let encode = cat![text_of_zeros, memo(global("_codecs", "encode"), 1), memo(text("latin1"), 2)];
    let cube = cat![
        memo(raw(&vec![7; size / 4 / 64 * 64]), 0),
        memo(dtype("u1"), 1),
        memo(shape(&[i32::try_from(size / 4 / 64).unwrap(), 8, 8]), 2),
        memo(text("K"), 3),
        memo(shape(&[1, 0, 2]), 4),
        memo(global("numpy._core.numeric", "_frombuffer"), 5)
    ];
    let list_of = |name: &str| cat![long, memo(global("builtins", name), 1)];
    vec![
        ("None", flood(b"", b"N", size)),
        ("marks", flood(b"", b"(", size)),
        ("lists", flood(b"", b"]", size)),
        ("lists in the memo", flood(b"", b"]\x94", size)),
        ("lists of one", flood(b"", b"]Na", size)),
        ("lists in one list", flood(b"]", b"]a", size)),
        ("dicts", flood(b"", b"}", size)),
        ("dicts of one", flood(b"", b"}NNs", size)),
        ("sets of one", flood(b"", b"\x8f(N\x90", size)),
        ("frozensets", flood(b"", b"(\x91", size)),
        ("tuples", flood(b"", b"N\x85", size)),
        ("tall tuples", flood(b"N", b"2\x86", size)),
        ("integers", flood(b"](", b"M\x00\x01", size)),
        ("floats", flood(b"](", b"G\0\0\0\0\0\0\0\0", size)),
        ("texts", flood(b"](", b"U\x01a", size)),
        ("unicode lines", flood(b"](", b"V\xe9\n", size)),
        ("large integers", flood(b"](", &cat![b"L", [b'9'; 40], b"L\n"], size)),
        ("names", flood(b"](", &global("shop", "Basket"), size)),
        ("objects", flood(&memo(global("shop", "Basket"), 0), b"h\x00)\x81", size)),
        ("objects with states", flood(&memo(global("shop", "Basket"), 0), b"h\x00)\x81}b", size)),
        ("objects with items", flood(&memo(global("shop", "Bunch"), 0), b"h\x00)\x81NaNNs", size)),
        ("copied lists", flood(&list_of("list"), b"h\x01h\x00\x85R", size / 2)),
        ("copied sets", flood(&list_of("set"), b"h\x01h\x00\x85R", size / 2)),
        (
            "copied arguments",
            flood(
                &cat![memo(global("shop", "make"), 0), memo(cat![b"(", vec![b'N'; size / 4], b"t"], 1)],
                b"h\x00h\x01R",
                size / 2,
            ),
        ),
        ("decoded texts", flood(&encode, b"h\x01h\x00h\x02\x86R", size / 2)),
        ("turned arrays", flood(&cube, b"h\x05(h\x00h\x01h\x02h\x03h\x04tR", size / 2)),
        ("records", flood(&scalar, b"h\x02h\x00h\x01\x86R", size)),
        ("arrays", flood(b"", &array(dtype("u1"), shape(&[0]), b"\x89", raw(b"")), size)),
        (
            "object arrays",
            flood(
                &cat![long, memo(dtype("O"), 1)],
                &cat![
                    global("numpy.core.multiarray", "_reconstruct"),
                    tuple(&[global("numpy", "ndarray"), shape(&[0]), raw(b"b")]),
                    b"R",
                    tuple(&[
                        int(1),
                        shape(&[i32::try_from(size / 4).unwrap()]),
                        b"h\x01".to_vec(),
                        b"\x89".to_vec(),
                        b"h\x00".to_vec()
                    ]),
                    b"b"
                ],
                size / 2,
            ),
        ),
        ("a list of None", cat![b"\x80\x02](", vec![b'N'; size], b"e."]),
        ("a dict of one key", cat![b"\x80\x02}(", vec![b'N'; size / 2 * 2], b"u."]),
        ("a dict of tuples", cat![b"\x80\x02}(", b"N\x85N".repeat(size / 3), b"u."]),
        ("a dict of integers", {
            let pairs = (0..i32::try_from(size / 6).unwrap()).flat_map(|key| cat![int(key), b"N"]);
            cat![b"\x80\x02}(", pairs.collect::<Vec<u8>>(), b"u."]
        }),
        ("honest dicts", flood(b"}(", &cat![text("name"), int(70_000)], size)),
        (
            "honest objects",
            flood(b"](", &build(&new("shop", "Basket"), &dict(&[("a", int(1000)), ("b", list(&[int(1)]))])), size),
        ),
    ]
}

/// Floods in each container, bombs, and dictionaries that are larger than what comes out. With each its size after
/// decompression, as far as it gets.
fn packed(size: usize) -> Vec<(String, Vec<u8>, usize)> {
    let mut all = Vec::new();
    for (container, pack) in pack::PACKED {
        all.push((format!("lists in {container}"), pack(&flood(b"", b"]", size)), size));
        let bomb = pack(&cat![b"\x80\x02N.", vec![0; 16 * size]]);
        let most = (4 << 20).max(1100 * bomb.len());
        all.push((format!("zeros in {container}"), bomb, most.min(16 * size)));
    }
    // The first byte of the properties says how large the tables are, the next four how large the dictionary is.
    let mut tables = pack::lzma(b"\x80\x02N.");
    tables[0] = (4 * 5 + 4) * 9 + 8;
    tables[1..5].copy_from_slice(&(56u32 << 20).to_le_bytes());
    all.push(("large tables in lzma".to_owned(), tables, 4));
    let mut window = pack::lzma(b"\x80\x02N.");
    window[1..5].copy_from_slice(&(64u32 << 20).to_le_bytes());
    all.push(("a large dictionary in lzma".to_owned(), window, 4));
    all
}

/// skops archives of floods, stored and deflated. With each its size after decompression.
fn archives(size: usize) -> Vec<(String, Vec<u8>, usize)> {
    let some = |piece: &str, separator: &str| vec![piece; size / (piece.len() + separator.len())].join(separator);
    let text = |content: &str| node("JsonNode", "builtins", "str", &format!(r#", "content": "{content}""#));
    let null = text("null");
    let kind = node("TypeNode", "builtins", "str", "");
    let pair = node(
        "DictNode",
        "builtins",
        "dict",
        &format!(r#", "key_types": {}, "content": {{"a": {null}}}"#, list_node(&[kind])),
    );
    let schemas = [
        ("brackets", vec!["["; size].concat()),
        ("braces", vec!["{\"a\":"; size / 5].concat()),
        ("numbers", format!("{{\"protocol\": 2, \"a\": [{}]}}", some("1", ","))),
        ("members", format!("{{\"protocol\": 2, {}}}", some("\"\\u0061\":1", ","))),
    ];
    let nodes = [
        ("nodes", list_node(&[some(&null, ",")])),
        ("empty lists", list_node(&[some(&list_node(&[]), ",")])),
        ("dicts", list_node(&[some(&pair, ",")])),
        ("texts with escapes", list_node(&[some(&text("\\\"\\u0061\\u0062\\\""), ",")])),
        ("objects", list_node(&[some(&node("ObjectNode", "shop", "Basket", ""), ",")])),
    ];
    let mut all = Vec::new();
    for (name, text) in schemas.into_iter().map(|(name, text)| (name, file("schema.json", text))) {
        all.push((name.to_owned(), vec![text]));
    }
    all.extend(nodes.map(|(name, node)| (name.to_owned(), vec![schema(&node)])));
    let names = (0..(size / 100).min(60_000)).map(|i| file(&i.to_string(), b""));
    all.push(("empty entries".to_owned(), names.chain([schema(&null)]).collect()));
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }\n";
    let arrays: Vec<String> = (0..size / 400).map(|i| array_node(&i.to_string())).collect();
    let files = (0..arrays.len()).map(|i| file(&i.to_string(), npy(header, b"")));
    all.push(("empty arrays".to_owned(), files.chain([schema(&list_node(&arrays))]).collect()));
    let inner = (0..size / 400).map(|i| file(&format!("{i}.npz"), zip(&[file("data.npy", npy(header, b""))])));
    all.push(("archives in archives".to_owned(), inner.chain([schema(&null)]).collect()));
    let each = |(name, files): (String, Vec<zip::File>)| {
        let plain = zip(&files);
        let packed = zip(&files.into_iter().map(deflated).collect::<Vec<_>>());
        let size = plain.len();
        [(name.clone(), plain, size), (format!("deflated {name}"), packed, size)]
    };
    all.into_iter().flat_map(each).collect()
}

#[test]
fn memory_and_time_stay_in_their_bounds() {
    let limits = Limits::default();
    let mut worst = (0, String::new());
    for size in [1 << 16, 1 << 20, 4 << 20] {
        let mut all: Vec<(String, Vec<u8>, usize)> = Vec::new();
        for (name, bytes) in inputs(size) {
            let len = bytes.len();
            all.push((name.to_owned(), bytes, len));
        }
        if size <= 1 << 20 {
            all.extend(packed(size));
            all.extend(archives(size));
        }
        for (name, bytes, unpacked) in all {
            for scanning in [false, true] {
                let bytes = bytes.clone();
                let len = bytes.len();
                // The file itself is one of the twenty.
                let before = NOW.load(Ordering::Relaxed) - len;
                PEAK.store(before, Ordering::Relaxed);
                let from = Instant::now();
                if scanning {
                    drop(scan(bytes, &limits));
                } else if let Ok(document) = read_with(bytes, &limits) {
                    drop(document.root().items().map(|items| items.len()));
                    drop(document.root().pairs().map(|pairs| pairs.len()));
                }
                let (took, peak) = (from.elapsed(), PEAK.load(Ordering::Relaxed) - before);
                let bound = BASE + FACTOR * len.max(unpacked);
                assert!(peak <= bound, "{name} of {len} bytes took {peak} bytes of memory, {bound} are allowed");
                assert!(took < Duration::from_secs(5), "{name} of {len} bytes took {took:?}");
                worst = worst.max((peak * 100 / bound, name.clone()));
            }
        }
    }
    println!("the worst takes {} % of its bound: {}", worst.0, worst.1);
    honest_floods_are_read();
}

/// Part of the test above: beside it, its memory would be counted.
fn honest_floods_are_read() {
    for (name, bytes) in inputs(1 << 20) {
        if name.starts_with("honest") {
            let end: &[u8] = if name.ends_with("dicts") { b"u." } else { b"e." };
            let whole = cat![&bytes[..bytes.len() - 1], end];
            assert!(read_with(whole, &Limits::default()).is_ok(), "{name}");
        }
    }
}
