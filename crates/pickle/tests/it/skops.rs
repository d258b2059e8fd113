//! skops files, good and hostile, each with the text that it is refused with.

use foretell_pickle::{Container, Limits, scan};

use crate::asm::{cat, good, refused, refused_with};
use crate::zip::{File, NONE, array, deflated, end, file, list, local, node, npy, only, schema, zip};

const TWO: &str = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n";

#[test]
fn good_files() {
    let document = good(only(NONE));
    assert_eq!((document.container(), document.protocol()), (Container::Zip, 2));
    let packed = deflated(file("1.npy", npy(TWO, &[0; 16])));
    let document = good(zip(&[packed, schema(&array("1.npy"))]));
    assert_eq!(document.root().array().unwrap().f64s().unwrap(), [0.0, 0.0]);
    let text = r#", "content": "\"\\u00e9\\ud83d\\ude00 \\\\\"""#;
    let document = good(only(&node("JsonNode", "builtins", "str", text)));
    assert_eq!(document.root().as_str().unwrap(), "é😀 \\");
    let state = r#", "content": {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode",
        "key_types": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [
            {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}]},
        "content": {"count": {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "3"}}}"#;
    let document = good(only(&node("ObjectNode", "shop", "Basket", state)));
    assert_eq!(document.root().attr("count").unwrap().as_i64().unwrap(), 3);
}

// -- the zip

#[test]
fn archives_that_are_cut_or_longer_than_they_say() {
    let honest = only(NONE);
    assert_eq!(refused(honest[..honest.len() - 1].to_vec()), "the zip file has no directory at its end");
    assert_eq!(refused(cat![honest, b"\0"]), "the zip file has no directory at its end");
    let mut parts = honest.clone();
    let count = parts.len() - 14;
    parts[count] = 2;
    assert_eq!(refused(parts.clone()), "the zip file is one of several parts");
    parts[count + 2] = 2;
    parts[count] = 2;
    let text = refused(cat![&parts[..count], [2, 0, 2, 0], &parts[count + 4..]]);
    assert_eq!(text, "the zip file has fewer entries than its directory says");
    let none = cat![&honest[..count], [0, 0, 0, 0], &honest[count + 4..]];
    assert_eq!(refused(none), "the zip file has more entries than its directory says");
    let huge = cat![&honest[..honest.len() - 6], [0xff; 4], [0; 2]];
    assert_eq!(refused(huge), "the zip file is larger than 4 GiB");
    let moved = cat![&honest[..honest.len() - 6], [1, 0, 0, 0], [0; 2]];
    assert_eq!(refused(moved), "the zip file has an end that is not where its directory ends");
}

#[test]
fn entries_that_overlap_or_leave_gaps() {
    let first = schema(NONE);
    let overlapping = [first.clone(), File { at: Some(0), ..file("other", b"x") }];
    assert_eq!(refused(zip(&overlapping)), "zip entry `other` overlaps another");
    let far = [first.clone(), File { at: Some(4_000_000), ..file("other", b"x") }];
    assert_eq!(refused(zip(&far)), "zip entry `other` has bytes before it that belong to none");
    // A quine would have the data of one entry hold the header of the next.
    let inner = file("inner", b"x");
    let outer = file("outer", cat![local(&inner), b"x"]);
    let at = local(&first).len() + first.data.len() + local(&outer).len();
    let nested = zip(&[first.clone(), outer, File { at: Some(at as u32), ..inner }]);
    assert_eq!(refused(nested), "zip entry `inner` overlaps another");
    let mut body = cat![local(&first), first.data, b"gap"];
    let directory = &zip(std::slice::from_ref(&first))[body.len() - 3..];
    let directory = directory[..directory.len() - 22].to_vec();
    assert_eq!(
        refused(end(body.clone(), &directory, 1)),
        "the zip file has bytes before its directory that belong to no entry"
    );
    body.truncate(body.len() - 9);
    assert_eq!(refused(end(body, &directory, 1)), "zip entry `schema.json` reaches into the directory");
}

#[test]
fn headers_that_lie() {
    let ends = |file: File, what: &str| {
        assert_eq!(refused(zip(&[schema(NONE), file])), format!("zip entry `x` {what}"));
    };
    let honest = deflated(file("x", vec![7; 5000]));
    ends(File { crc: 1, ..honest.clone() }, "has another checksum than its header says");
    let (packed, unpacked) = honest.sizes;
    let size = "does not unpack to the size that its header says";
    ends(File { sizes: (packed, unpacked - 1), ..honest.clone() }, size);
    ends(File { sizes: (packed, unpacked + 1), ..honest.clone() }, size);
    ends(File { sizes: (5, 4), ..file("x", b"12345") }, "is stored in another size than its own");
    ends(File { flags: 1, ..honest.clone() }, "is encrypted");
    ends(File { flags: 8, ..honest.clone() }, "has flags that Python does not write");
    ends(File { method: 9, ..honest.clone() }, "is packed in a way that Python does not write");
    // What the header and the directory tell apart: which of them a reader believes decides what it reads.
    for at in [6, 8, 14, 18, 22] {
        let mut bytes = zip(std::slice::from_ref(&schema(NONE)));
        bytes[at] ^= 2;
        let expected = "zip entry `schema.json` has a header that says something else than the directory";
        assert_eq!(refused(bytes), expected);
    }
}

#[test]
fn names_that_lead_elsewhere() {
    for name in ["../x", "/etc/passwd", "a/b", "a\\b", "C:x", "..", ".", ".x", "a\0b", "", "é", "a b"] {
        let text = refused(zip(&[schema(NONE), file(name, b"x")]));
        assert_eq!(text, "the zip file has an entry whose name is not a plain file name", "{name}");
    }
    let long = "x".repeat(256);
    let text = refused(zip(&[schema(NONE), file(&long, b"x")]));
    assert_eq!(text, "the zip file has an entry whose name is not a plain file name");
}

#[test]
fn two_entries_of_one_name() {
    let text = refused(zip(&[schema(NONE), schema(NONE)]));
    assert_eq!(text, "zip entry `schema.json` is there twice");
}

#[test]
fn bombs() {
    let zeros = deflated(file("x", vec![0; 6 << 20]));
    let small = Limits { ratio: 10, ..Limits::default() };
    let bytes = zip(&[schema(NONE), zeros.clone()]);
    let expected = format!(
        "the skops stream unpacks to more than 4194304 bytes ({} packed); raise `ratio` if it may",
        bytes.len()
    );
    assert_eq!(refused_with(bytes, &small), expected);
    // One that promises little gives no more than that.
    let lying = File { sizes: (zeros.sizes.0, 100), ..zeros };
    let text = refused(zip(&[schema(NONE), lying]));
    assert_eq!(text, "zip entry `x` does not unpack to the size that its header says");
}

#[test]
fn bombs_inside_of_archives() {
    // Each layer packs a thousandfold: what counts is the file that was given.
    let zeros = file("data.npy", vec![0; 64 << 20]);
    let inner = deflated(file("1.npz", zip(&[deflated(zeros)])));
    let bytes = zip(&[schema(NONE), inner]);
    assert!(bytes.len() < 2_000, "{}", bytes.len());
    let expected = format!(
        "the skops stream unpacks to more than 4194304 bytes ({} packed); raise `ratio` if it may",
        bytes.len()
    );
    assert_eq!(refused(bytes), expected);
}

#[test]
fn equal_files_compared_again_and_again() {
    // Two nodes of one id must be equal, and the files that they name too: a few bytes of JSON for megabytes.
    let bytes =
        |id: u32, file: &str| node("BytesNode", "builtins", "bytes", &format!(r#", "file": "{file}", "__id__": {id}"#));
    let files = || ["1.bin", "2.bin"].map(|name| deflated(file(name, vec![0; 1 << 20])));
    good(zip(&[&[schema(&list(&[bytes(1, "1.bin"), bytes(1, "2.bin")]))][..], &files()].concat()));
    let pairs: Vec<String> = (0..2_000).flat_map(|id| [bytes(id, "1.bin"), bytes(id, "2.bin")]).collect();
    let text = refused(zip(&[&[schema(&list(&pairs))][..], &files()].concat()));
    assert!(text.ends_with(" bytes handled"), "{text}");
}

#[test]
fn zips_that_are_something_else() {
    assert_eq!(refused(zip(&[file("a.npy", b"x")])), "the zip file has no `schema.json`, as skops files do");
    let text = refused(zip(&[schema(NONE), file("x.npz", b"PK")]));
    assert_eq!(text, "the zip file has no directory at its end");
}

// -- the schema

#[test]
fn schemas_that_are_not_what_skops_writes() {
    for (text, expected) in [
        ("", "byte 0 (schema.json): this is not JSON"),
        ("{\"protocol\": 2", "byte 14 (schema.json): this is not JSON"),
        ("{\"protocol\": 2} x", "byte 16 (schema.json): this is not JSON"),
        ("{\"protocol\": 2}\u{e9}", "byte 15 (schema.json): this is not JSON"),
        ("[]", "byte 0 (schema.json): `protocol` is not what skops writes"),
        ("{\"protocol\": true}", "byte 0 (schema.json): `protocol` is not what skops writes"),
        ("{\"protocol\": 2, \"protocol\": 1}", "byte 0 (schema.json): `protocol` is not what skops writes"),
        ("{\"protocol\": 3}", "byte 0 (schema.json): protocol 3 of skops is not known"),
        ("{\"protocol\": -1}", "byte 0 (schema.json): protocol -1 of skops is not known"),
        ("{\"protocol\": 2}", "byte 0 (schema.json): `__loader__` is not what skops writes"),
    ] {
        assert_eq!(refused(zip(&[file("schema.json", text)])), expected, "{text}");
    }
    assert_eq!(refused(zip(&[file("schema.json", b"\xff")])), "byte 0 (schema.json): the text is not valid UTF-8");
}

#[test]
fn nodes_of_no_kind() {
    let unknown = node("EvilNode", "builtins", "list", "");
    assert_eq!(refused(only(&unknown)), "byte 0 (?): `EvilNode` is not a kind of node");
    let twice = node("ListNode", "builtins", "list", r#", "content": [], "content": []"#);
    assert_eq!(refused(only(&twice)), "byte 0 (ListNode): `content` is not what skops writes");
    let raw = node("ListNode", "builtins", "list", r#", "content": [1]"#);
    assert_eq!(refused(only(&raw)), "byte 0 (ListNode): `content` is not what skops writes");
    let code = node("JsonNode", "builtins", "str", r#", "content": "__import__('os')""#);
    assert_eq!(refused(only(&code)), "byte 0 (JsonNode): this is not JSON");
    let method = node("MethodNode", "shop", "Basket", r#", "content": {"func": "pay"}"#);
    assert_eq!(refused(only(&method)), "byte 0 (MethodNode): methods and functions of `operator` are not allowed");
    let array = node("NdArrayNode", "numpy", "ndarray", r#", "type": "pickle""#);
    assert_eq!(refused(only(&array)), "byte 0 (NdArrayNode): `type` is not what skops writes");
}

#[test]
fn names_that_are_not_listed() {
    for loader in [
        "ObjectNode",
        "TypeNode",
        "FunctionNode",
        "DictNode",
        "ListNode",
        "NdArrayNode",
        "TreeNode",
        "ConstructorFromReduceNode",
        "PartialNode",
        "MethodNode",
        "RandomGeneratorNode",
        "BytesNode",
    ] {
        let text = refused(only(&node(loader, "os", "system", "")));
        assert_eq!(text, format!("byte 0 ({loader}): global `os.system` is not allowed"));
    }
    let inside = list(&[node("ObjectNode", "shop", "Basket.pay", "")]);
    assert!(refused(only(&inside)).ends_with("(ObjectNode): global `shop.Basket.pay` is not allowed"));
    // Functions of protocol 0 say it inside.
    let old = node("FunctionNode", "builtins", "list", r#", "content": {"module_path": "os", "function": "system"}"#);
    assert_eq!(refused(only(&old)), "byte 0 (FunctionNode): global `os.system` is not allowed");
    let found = scan(only(&list(&[node("ObjectNode", "os", "system", "")])), &Limits::default()).unwrap();
    let names: Vec<String> =
        found.globals.iter().map(|one| format!("{} {}.{}", one.at, one.module, one.name)).collect();
    assert_eq!(names, ["0 builtins.list", "101 os.system"]);
}

#[test]
fn calls_and_states_that_the_class_does_not_take() {
    let args = node("TupleNode", "builtins", "tuple", r#", "content": []"#);
    let called = |module: &str, class: &str| {
        node("ConstructorFromReduceNode", module, class, &format!(r#", "content": {args}"#))
    };
    let text = refused(only(&called("shop", "inert")));
    assert!(text.ends_with("`shop.inert` may be named here, but not called in this way"), "{text}");
    let made = node("ObjectNode", "joblib.numpy_pickle", "NumpyArrayWrapper", "");
    let text = refused(only(&made));
    assert!(text.ends_with("`joblib.numpy_pickle.NumpyArrayWrapper` may be named here, but not called in this way"));
    let state = node("ObjectNode", "shop", "Basket", &format!(r#", "content": {args}"#));
    let text = refused(only(&state));
    assert_eq!(text, "byte 0 (ObjectNode): `shop.Basket` does not take a state that is a tuple of 0");
}

#[test]
fn ids_that_stand_for_two_nodes() {
    let with = |value: &str, id: &str| {
        node("JsonNode", "builtins", "str", &format!(r#", "content": "{value}", "__id__": {id}"#))
    };
    good(only(&list(&[with("1", "5"), with("1", "5"), with("2", "6")])));
    let text = refused(only(&list(&[with("1", "5"), with("2", "5")])));
    assert!(text.ends_with("(JsonNode): `__id__` 5 stands for two different nodes"), "{text}");
    // A circle: the list's own id inside of it.
    let circle = node("ListNode", "builtins", "list", &format!(r#", "__id__": 5, "content": [{}]"#, with("1", "5")));
    assert_eq!(refused(only(&circle)), "byte 0 (ListNode): `__id__` 5 stands for two different nodes");
    for id in ["\"5\"", "5.5", "null", "99999999999999999999"] {
        assert_eq!(refused(only(&with("1", id))), "byte 0 (JsonNode): `__id__` is not what skops writes");
    }
}

#[test]
fn keys_that_do_not_fit() {
    let dict = |types: &str, content: &str| {
        let types = node("ListNode", "builtins", "list", &format!(r#", "content": [{types}]"#));
        node("DictNode", "builtins", "dict", &format!(r#", "key_types": {types}, "content": {content}"#))
    };
    let kind = |name: &str| node("TypeNode", "builtins", name, "");
    let one = format!(r#"{{"1": {NONE}}}"#);
    good(only(&dict(&kind("int"), &one)));
    let ends = |node: String, what: &str| assert_eq!(refused(only(&node)), format!("byte 0 (DictNode): {what}"));
    ends(dict("", &one), "`key_types` is not what skops writes");
    ends(dict(&kind("bool"), &one), "this is not a bool");
    ends(dict(&kind("list"), &one), "`key_types` is not what skops writes");
    ends(dict(&kind("int"), &format!(r#"{{"x": {NONE}}}"#)), "this is not an integer");
    ends(dict(NONE, &one), "`key_types` is not what skops writes");
}

#[test]
fn arrays_that_are_not_what_they_say() {
    let with = |data: Vec<u8>| refused(zip(&[schema(&array("1.npy")), file("1.npy", data)]));
    assert_eq!(with(npy(TWO, &[0; 15])), "byte 0 (NdArrayNode): the array needs 16 bytes and has 15");
    let object = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"\x80\x02N.");
    assert_eq!(with(object), "byte 0 (NdArrayNode): the numpy file's dtype is not what numpy writes");
    assert_eq!(with(b"\x80\x02N.".to_vec()), "byte 0 (NdArrayNode): the numpy file's version is not what numpy writes");
    assert_eq!(refused(only(&array("2.npy"))), "byte 0 (NdArrayNode): there is no file `2.npy`");
    assert_eq!(refused(only(&array("../x"))), "byte 0 (NdArrayNode): there is no file `../x`");
    let number = node("JsonNode", "builtins", "str", r#", "content": "3""#);
    let shape = node("TupleNode", "builtins", "tuple", &format!(r#", "content": [{number}]"#));
    let objects =
        node("NdArrayNode", "numpy", "ndarray", &format!(r#", "type": "json", "content": [{NONE}], "shape": {shape}"#));
    assert_eq!(refused(only(&objects)), "byte 0 (NdArrayNode): the array needs 3 values and has 1");
}

#[test]
fn floods_and_depth() {
    let mut deep = NONE.to_owned();
    for _ in 0..600 {
        deep = list(&[deep]);
    }
    assert_eq!(refused(only(&deep)), "byte 0 (schema.json): more than 500 levels of values inside values");
    let brackets = cat![b"{\"protocol\": 2, \"a\": ", vec![b'['; 4 << 20]];
    let text = refused(zip(&[file("schema.json", brackets)]));
    assert!(text.ends_with("(schema.json): more than 75497724 bytes of memory for values"), "{text}");
}
