//! Scanning: every global with its byte, in files that are refused.

use std::fs;

use foretell_pickle::{Container, Limits, Scan, scan};

use crate::asm::{array, call, cat, dtype, global, int, list, new, raw, shape, stream, text, tuple, wrapper};
use crate::files::folder;

fn scanned(bytes: Vec<u8>) -> Scan {
    scan(bytes, &Limits::default()).unwrap()
}

fn globals(scan: &Scan) -> Vec<String> {
    scan.globals.iter().map(|found| format!("{} {}.{} x{}", found.at, found.module, found.name, found.times)).collect()
}

#[test]
fn names_of_every_kind_of_opcode() {
    let bytes = stream(cat![
        global("os", "system"),
        b"0",
        cat![text("posix"), text("popen"), b"\x930"],
        b"(isubprocess\nPopen\n0",
        global("os", "system"),
        b"0",
        b"N"
    ]);
    let scan = scanned(bytes);
    assert_eq!(globals(&scan), ["2 os.system x2", "34 posix.popen x1", "37 subprocess.Popen x1"]);
    assert_eq!((scan.container, scan.protocol, scan.stopped), (Container::Plain, 2, None));
}

#[test]
fn names_behind_calls_and_states_that_the_reader_would_refuse() {
    let bytes = stream(cat![
        b"(",
        call("os", "system", &[text("true")]),
        b")R",
        call("numpy", "dtype", &[int(7)]),
        int(1),
        b"b",
        call("builtins", "eval", &[text("1")]),
        b"t"
    ]);
    let names: Vec<String> = scanned(bytes).globals.iter().map(|found| found.name.clone()).collect();
    assert_eq!(names, ["system", "dtype", "eval"]);
}

#[test]
fn names_behind_what_python_takes_and_the_reader_does_not() {
    // Frames that end elsewhere, a second PROTO, items and states for values that take none, what is left over.
    let bytes = cat![
        b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x95\x02\0\0\0\0\0\0\0",
        global("first", "one"),
        b"\x80\x03",
        b"Na(Ne(NNuNNs(N\x90}b",
        global("second", "two"),
        b")}b",
        b"U\x05thirdU\x05three\x93."
    ];
    let names: Vec<String> = scanned(bytes).globals.iter().map(|found| found.name.clone()).collect();
    assert_eq!(names, ["one", "two", "three"]);
}

#[test]
fn long_texts_do_not_slow_a_scan() {
    // Each call would look at the whole text.
    let long = cat![text(&"x".repeat(4 << 20)), b"q\x000", global("numpy", "dtype"), b"q\x010"];
    let from = std::time::Instant::now();
    let scan = scanned(stream(cat![long, b"h\x01h\x00\x85R0".repeat(500_000), b"N"]));
    assert!(scan.stopped.is_none() && from.elapsed().as_secs() < 5, "{:?}", from.elapsed());
}

#[test]
fn names_behind_array_bytes() {
    // The array's bytes spell a global of their own; the scan steps over them as the reader does.
    let decoy = b"cfake\nname\n";
    let bytes = stream(cat![
        b"(",
        wrapper(dtype("u1"), shape(&[11]), "C", None),
        decoy,
        wrapper(dtype("O"), shape(&[1]), "C", None),
        stream(array(dtype("O"), shape(&[1]), b"\x89", list(&[global("evil", "nested")]))),
        global("evil", "last"),
        b"t"
    ]);
    let names: Vec<String> = scanned(bytes).globals.iter().map(|found| found.name.clone()).collect();
    assert_eq!(
        names,
        ["NumpyArrayWrapper", "ndarray", "dtype", "_reconstruct", "nested", "last"],
        "in the order of their first use"
    );
}

#[test]
fn a_scan_says_where_it_stopped() {
    let bytes = cat![b"\x80\x02", global("os", "system"), tuple(&[raw(b"x")]), b"R\xff", global("not", "seen"), b"."];
    let scan = scanned(bytes);
    assert_eq!(globals(&scan), ["2 os.system x1"]);
    assert_eq!(scan.stopped.unwrap().to_string(), "byte 22 (?): 0xff is not an opcode");
    let scan = scanned(stream(new("os", "system"))[..10].to_vec());
    assert_eq!(scan.stopped.unwrap().to_string(), "byte 2 (GLOBAL): the line has no end");
}

#[test]
fn a_real_file_without_its_classes() {
    let scan = scanned(fs::read(folder().join("model.joblib.z")).unwrap());
    assert_eq!((scan.container, scan.stopped.as_ref(), scan.trailing), (Container::Zlib, None, 0));
    let names: Vec<&str> = scan.globals.iter().map(|found| found.name.as_str()).collect();
    for class in ["Pipeline", "ColumnTransformer", "OneHotEncoder", "RandomForestRegressor", "Tree"] {
        assert!(names.contains(&class), "{class}");
    }
}

#[test]
fn a_scan_is_bound_by_the_budgets() {
    let names: Vec<u8> = (0..100_000).flat_map(|i| cat![global("a", &i.to_string()), b"0"]).collect();
    let scan = scanned(cat![b"\x80\x02", names]);
    let text = scan.stopped.unwrap().to_string();
    assert!(text.ends_with(" bytes of memory for values"), "{text}");
    assert!(scan.globals.len() < 100_000);
}
