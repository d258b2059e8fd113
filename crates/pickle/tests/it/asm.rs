//! A small assembler: each function gives the bytes of one value, in protocol 2 opcodes without a memo.

use foretell_pickle::{Allow, Document, Entry, Limits, Result, State, read};

/// Joins pieces of a stream.
macro_rules! cat {
    ($($piece:expr),* $(,)?) => {{
        let mut bytes: Vec<u8> = Vec::new();
        $(bytes.extend_from_slice($piece.as_ref());)*
        bytes
    }};
}
pub(crate) use cat;

/// Classes that the hostile streams may use.
pub(crate) const SHOP: &[Entry] = &[
    Entry::class("shop", "Basket"),
    Entry::class("shop", "Pair").with_state(State::TUPLE),
    Entry::class("shop", "Bunch").with_items(),
    Entry::class("shop", "Fixed").with_state(State::NONE),
    Entry::function("shop", "make"),
    Entry::inert("shop", "inert"),
];

pub(crate) fn read_with(bytes: Vec<u8>, limits: &Limits) -> Result<Document> {
    read(bytes, &Allow::new(SHOP), limits)
}

pub(crate) fn good(bytes: Vec<u8>) -> Document {
    read_with(bytes, &Limits::default()).unwrap()
}

/// The text that a stream is refused with.
pub(crate) fn refused(bytes: Vec<u8>) -> String {
    refused_with(bytes, &Limits::default())
}

pub(crate) fn refused_with(bytes: Vec<u8>, limits: &Limits) -> String {
    match read_with(bytes, limits) {
        Ok(document) => panic!("not refused: it gave {}", document.root().describe()),
        Err(e) => e.to_string(),
    }
}

/// A whole stream of protocol 2: its value starts at byte 2.
pub(crate) fn stream(value: impl AsRef<[u8]>) -> Vec<u8> {
    cat![b"\x80\x02", value, b"."]
}

pub(crate) fn int(value: i32) -> Vec<u8> {
    cat![b"J", value.to_le_bytes()]
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    cat![b"X", u32::try_from(value.len()).unwrap().to_le_bytes(), value]
}

pub(crate) fn raw(value: &[u8]) -> Vec<u8> {
    cat![b"B", u32::try_from(value.len()).unwrap().to_le_bytes(), value]
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    cat![b"(", items.concat(), b"t"]
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    cat![b"](", items.concat(), b"e"]
}

pub(crate) fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let flat: Vec<Vec<u8>> = pairs.iter().map(|(key, value)| cat![text(key), value]).collect();
    cat![b"}(", flat.concat(), b"u"]
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    cat![b"c", module, b"\n", name, b"\n"]
}

pub(crate) fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    cat![global(module, name), tuple(args), b"R"]
}

pub(crate) fn new(module: &str, name: &str) -> Vec<u8> {
    cat![global(module, name), b")\x81"]
}

pub(crate) fn build(target: &[u8], state: &[u8]) -> Vec<u8> {
    cat![target, state, b"b"]
}

pub(crate) const TRUE: &[u8] = b"\x88";
pub(crate) const FALSE: &[u8] = b"\x89";
pub(crate) const NONE: &[u8] = b"N";

pub(crate) fn dtype(code: &str) -> Vec<u8> {
    call("numpy", "dtype", &[text(code), FALSE.into(), TRUE.into()])
}

/// A record dtype: fields by name, code and offset.
pub(crate) fn record(size: i32, fields: &[(&str, &str, i32)]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = fields.iter().map(|(name, _, _)| text(name)).collect();
    let places: Vec<(&str, Vec<u8>)> =
        fields.iter().map(|(name, code, offset)| (*name, tuple(&[dtype(code), int(*offset)]))).collect();
    let state = tuple(&[int(3), text("|"), NONE.into(), tuple(&names), dict(&places), int(size), int(1), int(0)]);
    build(&dtype(&format!("V{size}")), &state)
}

pub(crate) fn shape(sizes: &[i32]) -> Vec<u8> {
    tuple(&sizes.iter().map(|size| int(*size)).collect::<Vec<_>>())
}

/// A numpy array as protocols 2 to 4 write it.
pub(crate) fn array(dtype: Vec<u8>, sizes: Vec<u8>, fortran: &[u8], data: Vec<u8>) -> Vec<u8> {
    let empty = call("numpy.core.multiarray", "_reconstruct", &[global("numpy", "ndarray"), shape(&[0]), raw(b"b")]);
    build(&empty, &tuple(&[int(1), sizes, dtype, fortran.into(), data]))
}

/// joblib's wrapper up to its `BUILD`: the array's bytes must follow.
pub(crate) fn wrapper(dtype: Vec<u8>, sizes: Vec<u8>, order: &str, alignment: Option<i32>) -> Vec<u8> {
    let mut state = vec![
        ("subclass", global("numpy", "ndarray")),
        ("shape", sizes),
        ("order", text(order)),
        ("dtype", dtype),
        ("allow_mmap", TRUE.to_vec()),
    ];
    state.extend(alignment.map(|bytes| ("numpy_array_alignment_bytes", int(bytes))));
    build(&new("joblib.numpy_pickle", "NumpyArrayWrapper"), &dict(&state))
}
