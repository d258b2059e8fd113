//! Each attack on the reader, with the text it is refused with.

use foretell_pickle::Limits;

use crate::asm::{
    FALSE, NONE, TRUE, array, build, call, cat, dict, dtype, global, good, int, list, new, raw, record, refused,
    refused_with, shape, stream, text, tuple, wrapper,
};

// -- names

#[test]
fn names_that_are_not_listed() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "exec"),
        ("subprocess", "Popen"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.f2py.crackfortran", "getlincoef"),
        ("sklearn.utils", "shuffle"),
        ("joblib.numpy_pickle", "load"),
        ("numpy", "load"),
        ("numpy", "dtype.__init__"),
        ("pathlib", "os.system"),
        ("shop", "Basket.pay"),
        ("shop.Basket", "pay"),
        ("", ""),
    ] {
        let expected = format!("global `{module}.{name}` is not allowed");
        assert_eq!(refused(stream(global(module, name))), format!("byte 2 (GLOBAL): {expected}"));
        let stacked = cat![text(module), text(name), b"\x93"];
        let at = stacked.len() + 1;
        assert_eq!(refused(stream(stacked)), format!("byte {at} (STACK_GLOBAL): {expected}"));
    }
}

#[test]
fn stack_global_from_the_memo() {
    let memo = cat![text("system"), b"q\x00", text("os"), b"q\x01", b"00h\x01h\x00\x93"];
    assert_eq!(refused(stream(memo)), "byte 30 (STACK_GLOBAL): global `os.system` is not allowed");
}

#[test]
fn stack_global_from_a_join() {
    // What builds texts at run time is not listed itself; what is listed gives bytes, which are not a name.
    let join = cat![call("builtins", "getattr", &[text(""), text("join")])];
    assert_eq!(refused(stream(join)), "byte 2 (GLOBAL): global `builtins.getattr` is not allowed");
    let encoded = cat![text("os"), call("_codecs", "encode", &[text("system"), text("latin1")]), b"\x93"];
    assert_eq!(refused(stream(encoded)), "byte 50 (STACK_GLOBAL): expected a text, found bytes");
}

#[test]
fn a_call_whose_result_is_dropped() {
    let dropped = cat![b"(", global("os", "system"), text("true"), b"o0N"];
    assert_eq!(refused(stream(dropped)), "byte 3 (GLOBAL): global `os.system` is not allowed");
    let dropped = cat![b"(", text("true"), b"ios\nsystem\n0N"];
    assert_eq!(refused(stream(dropped)), "byte 12 (INST): global `os.system` is not allowed");
}

#[test]
fn stack_global_of_old_strings() {
    // Python 3 takes the `str` of Python 2 for a name too.
    let old = cat![b"U\x02os", b"U\x06system", b"\x93"];
    assert_eq!(refused(stream(old)), "byte 14 (STACK_GLOBAL): global `os.system` is not allowed");
    good(stream(cat![b"U\x04shop", b"U\x06Basket", b"\x93)\x81"]));
}

#[test]
fn a_name_of_any_length() {
    let long = "x".repeat(600);
    let expected = "more than 512 bytes in the name of a global";
    assert_eq!(refused(stream(global(&long, "y"))), format!("byte 2 (GLOBAL): {expected}"));
    let stacked = cat![text("y"), text(&long), b"\x93"];
    assert_eq!(refused(stream(stacked)), format!("byte 613 (STACK_GLOBAL): {expected}"));
}

// -- calls

#[test]
fn calls_of_what_may_only_be_named() {
    let call_it = |module: &str, name: &str| call(module, name, &[text("x")]);
    let expected = |name: &str| format!("`{name}` may be named here, but not called in this way");
    assert_eq!(refused(stream(call_it("shop", "inert"))), format!("byte 22 (REDUCE): {}", expected("shop.inert")));
    assert_eq!(
        refused(stream(call_it("numpy", "float64"))),
        format!("byte 25 (REDUCE): {}", expected("numpy.float64"))
    );
    assert_eq!(refused(stream(new("shop", "make"))), format!("byte 14 (NEWOBJ): {}", expected("shop.make")));
    assert_eq!(refused(stream(new("numpy", "dtype"))), format!("byte 16 (NEWOBJ): {}", expected("numpy.dtype")));
    let obj = cat![b"(", global("builtins", "bytearray"), raw(b"x"), b"o"];
    assert_eq!(refused(stream(obj)), format!("byte 29 (OBJ): {}", expected("builtins.bytearray")));
}

#[test]
fn calls_of_what_a_call_gave() {
    let twice = cat![call("shop", "make", &[]), b")R"];
    assert_eq!(
        refused(stream(twice)),
        "byte 17 (REDUCE): expected a class or function, found an object of `shop.make`"
    );
}

#[test]
fn built_in_constructors_with_arguments_that_they_do_not_take() {
    for (module, name, args, expected) in [
        ("builtins", "bytearray", vec![int(1 << 30)], "(an integer)"),
        ("builtins", "bytearray", vec![text("x"), text("utf-16")], "(a text, a text)"),
        ("_codecs", "encode", vec![text("x"), text("rot13")], "(a text, a text)"),
        ("_codecs", "encode", vec![text("東"), text("latin1")], "(a text, a text)"),
        ("builtins", "set", vec![text("abc")], "(a text)"),
        ("builtins", "complex", vec![text("1")], "(a text)"),
        ("builtins", "slice", vec![int(1)], "(an integer)"),
        ("collections", "OrderedDict", vec![list(&[list(&[int(1)])])], "(a list)"),
        ("numpy", "dtype", vec![list(&[])], "(a list)"),
        (
            "numpy.core.multiarray",
            "_reconstruct",
            vec![global("shop", "Basket"), shape(&[0]), raw(b"b")],
            "(the name `shop.Basket`, a tuple of 1, bytes)",
        ),
        (
            "copyreg",
            "_reconstructor",
            vec![global("shop", "Basket"), global("builtins", "list"), NONE.into()],
            "(the name `shop.Basket`, the name `builtins.list`, None)",
        ),
        ("copyreg", "__newobj__", vec![], "()"),
    ] {
        let text = refused(stream(call(module, name, &args)));
        let (_, text) = text.split_once("(REDUCE): ").unwrap();
        assert_eq!(text, format!("`{module}.{name}` is not called with {expected}"));
    }
    let unlisted = call("copyreg", "_reconstructor", &[text("os"), global("builtins", "object"), NONE.into()]);
    assert_eq!(refused(stream(unlisted)), "byte 53 (REDUCE): expected a class or function, found a text");
}

#[test]
fn partials_of_what_may_not_be_called() {
    let partial = |function: &[u8]| cat![global("functools", "partial"), function, b"\x85R", NONE, b"\x85R"];
    let made = good(stream(partial(&global("shop", "make"))));
    assert!(made.root().is("shop", "make"));
    for (function, found) in [
        (global("shop", "inert"), "expected a class or function, found an object of `functools.partial`"),
        (global("numpy", "dtype"), "expected a class or function, found an object of `functools.partial`"),
        (cat![global("functools", "partial"), global("shop", "make"), b"\x85R"], "expected a class or function"),
    ] {
        let text = refused(stream(partial(&function)));
        assert!(text.contains(&format!("(REDUCE): {found}")), "{text}");
    }
    let evil = refused(stream(partial(&global("os", "system"))));
    assert!(evil.ends_with("(GLOBAL): global `os.system` is not allowed"), "{evil}");
}

// -- states

#[test]
fn states_of_a_shape_that_the_class_does_not_take() {
    let ends = |class: &str, state: &[u8], found: &str| {
        let made = new("shop", class);
        let at = 2 + made.len() + state.len();
        let expected = format!("byte {at} (BUILD): `shop.{class}` does not take a state that is {found}");
        assert_eq!(refused(stream(build(&made, state))), expected);
    };
    ends("Basket", &list(&[]), "a list");
    ends("Basket", NONE, "None");
    ends("Basket", &tuple(&[int(1), dict(&[])]), "a tuple of 2");
    ends("Basket", &text("x"), "a text");
    ends("Pair", b"}", "a dict");
    ends("Fixed", b"}", "a dict");
}

#[test]
fn a_second_state() {
    let twice = cat![build(&new("shop", "Basket"), b"}"), b"}b"];
    assert_eq!(refused(stream(twice)), "byte 20 (BUILD): `shop.Basket` already has a state");
}

#[test]
fn items_for_a_class_that_takes_none() {
    let appended = cat![new("shop", "Basket"), b"Na"];
    assert_eq!(refused(stream(appended)), "byte 18 (APPEND): expected a list, found an object of `shop.Basket`");
    let set = cat![new("shop", "Basket"), b"NNs"];
    assert_eq!(refused(stream(set)), "byte 19 (SETITEM): expected a dict, found an object of `shop.Basket`");
    good(stream(cat![new("shop", "Bunch"), b"NaNNs"]));
}

#[test]
fn a_dict_given_to_the_reconstructor() {
    let made = |class: &str, given: Vec<u8>| {
        stream(call("copyreg", "_reconstructor", &[global("shop", class), global("builtins", "dict"), given]))
    };
    let filled = good(made("Bunch", dict(&[("one", int(1)), ("two", NONE.into())])));
    assert_eq!(filled.root().pairs().unwrap().len(), 2);
    let basket = refused(made("Basket", dict(&[("one", int(1))])));
    assert!(basket.ends_with("(REDUCE): expected a dict, found an object of `shop.Basket`"), "{basket}");
    let list = refused(made("Bunch", list(&[])));
    assert!(list.ends_with("is not called with (the name `shop.Bunch`, the name `builtins.dict`, a list)"), "{list}");
}

#[test]
fn a_tuple_given_to_the_reconstructor() {
    let made = |base: &str, given: Vec<u8>| {
        stream(call("copyreg", "_reconstructor", &[global("shop", "Basket"), global("builtins", base), given]))
    };
    let triplet = good(made("tuple", tuple(&[int(1), NONE.into()])));
    assert_eq!(triplet.root().args().unwrap().len(), 2);
    let other = refused(made("tuple", list(&[])));
    assert!(
        other.ends_with("is not called with (the name `shop.Basket`, the name `builtins.tuple`, a list)"),
        "{other}"
    );
}

// -- frames

#[test]
fn frames_that_straddle() {
    let frame = |len: u64| cat![b"\x95", len.to_le_bytes()];
    let inside = cat![b"\x80\x04", frame(12), frame(2), b"N0N."];
    assert_eq!(refused(inside), "byte 11 (FRAME): a frame begins 3 bytes before the end of another");
    let crossing = cat![b"\x80\x04", frame(4), text("abc"), b"."];
    assert_eq!(refused(crossing), "byte 11 (BINUNICODE): 4 bytes are needed and 3 are left in the frame");
    let line = cat![b"\x80\x04", frame(3), b"I12\n."];
    assert_eq!(refused(line), "byte 11 (INT): the line has no end");
    let early = cat![b"\x80\x04", frame(4), b"N.NN"];
    assert_eq!(refused(early), "byte 12 (STOP): the stream stops 2 bytes before the end of the frame");
    let huge = cat![b"\x80\x04", frame(u64::MAX), b"N."];
    assert_eq!(refused(huge), "byte 2 (FRAME): 18446744073709551615 bytes are needed and 2 are left in the file");
    let wrapped = cat![wrapper(dtype("u1"), shape(&[1]), "C", None), b"\x07"];
    let in_frame = cat![b"\x80\x04", frame(wrapped.len() as u64), wrapped, b"."];
    assert!(refused(in_frame).ends_with("(BUILD): array bytes begin 1 bytes before the end of the frame"));
}

// -- lengths

#[test]
fn lengths_beyond_the_file_take_no_memory() {
    assert_eq!(
        refused(stream(b"\x8b\xff\xff\xff\x7f")),
        "byte 2 (LONG4): 2147483647 bytes are needed and 1 are left in the file"
    );
    assert_eq!(
        refused(stream(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff")),
        "byte 2 (BINBYTES8): 18446744073709551615 bytes are needed and 1 are left in the file"
    );
    assert_eq!(
        refused(stream(b"\x8d\x00\x00\x00\x00\x00\x00\x00\x01")),
        "byte 2 (BINUNICODE8): 72057594037927936 bytes are needed and 1 are left in the file"
    );
    assert_eq!(
        refused(stream(b"Nr\xff\xff\xff\x7f")),
        "byte 3 (LONG_BINPUT): memo entry 2147483647 is out of range: 3 opcodes have run"
    );
}

#[test]
fn integers_of_many_digits() {
    let expected = "more than 4300 digits in an integer";
    assert_eq!(refused(stream(cat![b"L", [b'9'; 4301], b"L\n"])), format!("byte 2 (LONG): {expected}"));
    assert_eq!(refused(stream(cat![b"I", [b'9'; 4301], b"\n"])), format!("byte 2 (INT): {expected}"));
    assert_eq!(refused(stream(cat![b"\x8b\x01\x07\x00\x00", [0x7f; 1793]])), format!("byte 2 (LONG4): {expected}"));
    good(stream(cat![b"L", [b'9'; 4300], b"L\n"]));
}

// -- floods

#[test]
fn floods() {
    let flood = |byte: u8, count: usize| cat![b"\x80\x02", vec![byte; count]];
    assert_eq!(refused(flood(b'N', 4_000_001)), "byte 4000002 (NONE): more than 4000000 values on the stack");
    assert_eq!(refused(flood(b'(', 10_001)), "byte 10002 (MARK): more than 10000 open marks");
    assert_eq!(
        refused(cat![flood(b'N', 1), vec![b'2'; 4_000_000]]),
        "byte 4000002 (DUP): more than 4000000 values on the stack"
    );
    // Lists take more memory than any honest file has bytes for.
    assert_eq!(
        refused(flood(b']', 3_000_000)),
        "byte 1294812 (EMPTY_LIST): more than 61165848 bytes of memory for values"
    );
    let opcodes = Limits { opcodes: 1000, ..Limits::default() };
    assert_eq!(refused_with(cat![b"\x80\x02", b"N0".repeat(600)], &opcodes), "byte 1001 (POP): more than 1000 opcodes");
    let memo = Limits { memo: 2, ..Limits::default() };
    assert_eq!(refused_with(stream(b"N\x94\x94\x94"), &memo), "byte 5 (MEMOIZE): more than 2 memo entries");
    let string = Limits { string: 2, ..Limits::default() };
    assert_eq!(refused_with(stream(text("abc")), &string), "byte 2 (BINUNICODE): more than 2 bytes in one text");
    let unpacked = Limits { unpacked: 2, ..Limits::default() };
    assert_eq!(refused_with(stream(NONE), &unpacked), "more than 2 bytes in the file");
}

#[test]
fn copies_of_one_long_list() {
    // Each call copies the list: 12 bytes of file for 400 kB of memory.
    let long = cat![b"](", vec![b'N'; 100_000], b"eq\x000"];
    let copy = cat![global("builtins", "list"), b"q\x010", b"h\x01h\x00\x85R0".repeat(1000), b"N"];
    let text = refused(stream(cat![long, copy]));
    assert_eq!(text, "byte 100472 (REDUCE): more than 26450160 bytes of memory for values");
}

#[test]
fn one_long_text_decoded_again_and_again() {
    // Checking that a text is latin-1 looks at all of it, for 10 bytes of file each time.
    let long =
        cat![text(&"x".repeat(4 << 20)), b"q\x000", text("latin1"), b"q\x010", global("_codecs", "encode"), b"q\x020"];
    let again = b"h\x02h\x00h\x01\x86R0".repeat(200_000);
    assert_eq!(refused(stream(cat![long, again, b"N"])), "byte 4195128 (REDUCE): more than 364345040 bytes handled");
}

// -- laughs, depth and circles

#[test]
fn billion_laughs() {
    // Each level holds the one below ten times: small to read, and a walk ends by its budget.
    let mut by_memo = cat![b"\x80\x02(", b"N".repeat(10), b"tq\x00"];
    for level in 0..30u8 {
        by_memo.extend(cat![b"0(", cat![b"h", [level]].repeat(10), b"tq", [level + 1]]);
    }
    by_memo.push(b'.');
    let mut by_dup = cat![b"\x80\x02N"];
    for _ in 0..60 {
        by_dup.extend(b"2\x86");
    }
    by_dup.push(b'.');
    for bytes in [by_memo, by_dup] {
        let document = good(bytes);
        assert!(document.len() < 400);
        let shown = crate::show::show(&document.root());
        let text = shown.unwrap_err().to_string();
        assert!(text.ends_with(" visits of the file's values"), "{text}");
    }
}

#[test]
fn deep_nesting() {
    let expected = "more than 500 levels of values inside values";
    let lists = cat![b"\x80\x02", vec![b']'; 10_000], vec![b'a'; 9_999], b"."];
    assert_eq!(refused(lists), format!("byte 20001 (STOP): {expected}"));
    let tuples = cat![b"\x80\x02N", vec![0x85; 100_000], b"."];
    assert_eq!(refused(tuples), format!("byte 100003 (STOP): {expected}"));
    let mut objects = cat![b"\x80\x02"];
    objects.extend(new("shop", "Pair").repeat(1000));
    objects.extend(b"\x85b".repeat(999));
    objects.push(b'.');
    assert!(refused(objects).ends_with(expected));
    good(cat![b"\x80\x02", vec![b']'; 500], vec![b'a'; 499], b"."]);
}

#[test]
fn circles() {
    let list = good(stream(b"]q\x00h\x00a"));
    assert_eq!(list.root().items().unwrap_err().to_string(), "[0]: contains itself");
    let dict = good(stream(cat![b"}q\x00", text("me"), b"h\x00s"]));
    assert_eq!(dict.root().pairs().unwrap_err().to_string(), "me: contains itself");
    let state = cat![new("shop", "Basket"), b"q\x00}", text("me"), b"h\x00sb"];
    let object = good(stream(state));
    assert_eq!(object.root().attr("me").unwrap_err().to_string(), "me: contains itself");
    let tuple = good(stream(b"]q\x00h\x00\x85a0h\x00"));
    assert_eq!(crate::show::show(&tuple.root()).unwrap_err().to_string(), "[0][0]: contains itself");
    let objects = array(dtype("O"), shape(&[1]), FALSE, cat![b"]q\x00"]);
    // An array whose list is filled with the array itself when it is too late.
    assert!(refused(stream(objects)).ends_with("(BUILD): the array needs 1 values and has 0"));
}

// -- arrays

#[test]
fn dtypes_outside_of_the_closed_list() {
    for code in ["M4", "m8[ns]", "c16", "f16", "i3", "x", "", "f", "U-1", "S99999999999", "V4294967296", "東"] {
        let text = refused(stream(dtype(code)));
        assert!(text.ends_with(&format!("(REDUCE): dtype `{code}` is not supported")), "{text}");
    }
    let subarray = tuple(&[
        int(3),
        text("|"),
        tuple(&[dtype("f8"), shape(&[3])]),
        NONE.into(),
        NONE.into(),
        int(24),
        int(1),
        int(0),
    ]);
    assert!(refused(stream(build(&dtype("V24"), &subarray))).ends_with("(BUILD): dtype `subarray` is not supported"));
}

#[test]
fn states_that_no_dtype_has() {
    let state = |endian: &str, names: Vec<u8>, fields: Vec<u8>, size: i32| {
        tuple(&[int(3), text(endian), NONE.into(), names, fields, int(size), int(1), int(0)])
    };
    let ends = |code: &str, state: Vec<u8>, what: &str| {
        let text = refused(stream(build(&dtype(code), &state)));
        assert!(text.ends_with(&format!("(BUILD): the dtype's {what} is not what numpy writes")), "{text}");
    };
    ends("f8", state("!", NONE.into(), NONE.into(), -1), "byte order");
    ends("f8", state("<", NONE.into(), NONE.into(), 4), "size");
    ends("U2", state("<", NONE.into(), NONE.into(), 7), "size");
    ends("S2", state("<", NONE.into(), NONE.into(), -5), "size");
    ends("f8", state("<", tuple(&[text("a")]), dict(&[("a", tuple(&[dtype("f4"), int(0)]))]), -1), "fields");
    ends("V8", state("|", tuple(&[text("a")]), dict(&[("b", tuple(&[dtype("f4"), int(0)]))]), 8), "fields");
    ends("V8", state("|", tuple(&[text("a")]), dict(&[("a", tuple(&[dtype("f4"), int(-4)]))]), 8), "offsets");
    ends("V8", tuple(&[int(3)]), "state");
}

#[test]
fn records_whose_fields_overlap() {
    let ends = |fields: &[(&str, &str, i32)], what: &str| {
        let text = refused(stream(record(16, fields)));
        assert!(text.ends_with(&format!("(BUILD): {what}")), "{text}");
    };
    ends(&[("a", "f8", 0), ("b", "f8", 4)], "field `b` overlaps another or leaves the record");
    ends(&[("a", "f8", 8), ("b", "i4", 12)], "field `b` overlaps another or leaves the record");
    ends(&[("a", "f8", 12)], "field `a` overlaps another or leaves the record");
    ends(&[("a", "f8", i32::MAX)], "field `a` overlaps another or leaves the record");
    ends(&[("a", "O", 0)], "dtype `record inside a record` is not supported");
    good(stream(record(16, &[("a", "f8", 8), ("b", "f4", 0), ("c", "f4", 4)])));
}

#[test]
fn shapes_that_are_negative_or_overflow() {
    let ends = |sizes: Vec<u8>, what: &str| {
        let text = refused(stream(array(dtype("f8"), sizes.clone(), FALSE, raw(b""))));
        assert!(text.ends_with(&format!("(BUILD): {what}")), "{text}");
        let text = refused(stream(wrapper(dtype("f8"), sizes, "C", None)));
        assert!(text.contains("(BUILD): "), "{text}");
    };
    let wrong = "the array's shape is negative or too large";
    let huge = i32::MAX;
    ends(shape(&[-1]), wrong);
    ends(shape(&[huge, huge, huge, huge]), wrong);
    ends(shape(&[huge, huge, 4]), wrong);
    ends(shape(&[huge, huge, huge, huge, 0]), wrong);
    ends(tuple(&[text("1")]), wrong);
    ends(shape(&[1; 65]), wrong);
    ends(tuple(&[cat![b"\x8a\x09", [0, 0, 0, 0, 0, 0, 0, 0x80, 0]]]), wrong);
    ends(shape(&[2]), "the array needs 16 bytes and has 0");
    let no_size = refused(stream(array(dtype("S"), shape(&[huge, huge]), FALSE, raw(b""))));
    assert!(no_size.ends_with("(BUILD): the dtype's size is not what numpy writes"), "{no_size}");
}

#[test]
fn array_data_of_another_size_or_type() {
    let ends = |array: Vec<u8>, what: &str| {
        let text = refused(stream(array));
        assert!(text.ends_with(&format!("(BUILD): {what}")), "{text}");
    };
    ends(array(dtype("f4"), shape(&[2]), FALSE, raw(b"1234567")), "the array needs 8 bytes and has 7");
    ends(array(dtype("f4"), shape(&[2]), FALSE, list(&[])), "expected bytes, found a list");
    ends(array(dtype("O"), shape(&[2]), FALSE, raw(b"12")), "expected a list, found bytes");
    ends(array(dtype("O"), shape(&[2]), FALSE, list(&[int(1)])), "the array needs 2 values and has 1");
    ends(array(text("f4"), shape(&[2]), FALSE, raw(b"")), "expected a dtype, found a text");
    ends(array(dtype("f4"), shape(&[0]), b"K\x05", raw(b"")), "expected a bool, found an integer");
    ends(
        cat![array(dtype("u1"), shape(&[0]), TRUE, raw(b"")), b"Nb"],
        "`numpy.ndarray` does not take a state that is None",
    );
}

#[test]
fn object_arrays_where_numbers_belong() {
    let document = good(stream(array(dtype("O"), shape(&[1]), FALSE, list(&[int(1)]))));
    let array = document.root().array().unwrap();
    let found = "found an array of O with shape (1)";
    assert_eq!(array.f64s().unwrap_err().to_string(), format!("expected an array of numbers, {found}"));
    assert_eq!(array.i64s().unwrap_err().to_string(), format!("expected an array of integers, {found}"));
    assert_eq!(array.bools().unwrap_err().to_string(), format!("expected an array of bools, {found}"));
    assert_eq!(array.strings().unwrap_err().to_string(), "[0]: expected a text, found an integer");
}

// -- joblib

#[test]
fn wrapped_arrays_whose_bytes_are_not_there() {
    let wrapped = |after: &[u8]| cat![b"\x80\x02", wrapper(dtype("f8"), shape(&[1000]), "C", None), after];
    assert!(refused(wrapped(b"12.")).ends_with("(BUILD): 8000 bytes are needed and 3 are left in the file"));
    let aligned = |after: &[u8]| cat![b"\x80\x02", wrapper(dtype("u1"), shape(&[1]), "C", Some(16)), after];
    assert!(refused(aligned(b"\x11")).ends_with("(BUILD): the array's padding is not shorter than the alignment"));
    assert!(refused(aligned(b"\x02\xff\x00\x07.")).ends_with("(BUILD): the array's padding is not made of 0xff"));
    assert!(refused(aligned(b"\x02\xff")).ends_with("(BUILD): 2 bytes are needed and 1 are left in the file"));
    good(aligned(b"\x02\xff\xff\x07."));
    let order = cat![b"\x80\x02", wrapper(dtype("u1"), shape(&[1]), "K", None), b"\x07."];
    assert!(refused(order).ends_with("(BUILD): expected `C` or `F`, found a text"));
    let empty = build(&new("joblib.numpy_pickle", "NumpyArrayWrapper"), b"}");
    assert!(refused(stream(empty)).ends_with("(BUILD): `dtype` is missing"));
}

#[test]
fn arrays_in_other_files() {
    for module in ["joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"] {
        for class in ["NDArrayWrapper", "ZNDArrayWrapper"] {
            let state = dict(&[("filename", text("../../etc/passwd")), ("subclass", global("numpy", "ndarray"))]);
            let refusal = refused(stream(build(&new(module, class), &state)));
            let (_, refusal) = refusal.split_once("(BUILD): ").unwrap();
            assert!(
                refusal.starts_with("an array of the model is in a file of its own, `../../etc/passwd`, as joblib"),
                "{refusal}"
            );
        }
    }
}

#[test]
fn nested_streams() {
    let wrapped =
        |sizes: &[i32], nested: Vec<u8>| cat![b"\x80\x02", wrapper(dtype("O"), shape(sizes), "C", None), nested, b"."];
    let objects = |items: &[Vec<u8>]| {
        stream(array(dtype("O"), shape(&[i32::try_from(items.len()).unwrap()]), FALSE, list(items)))
    };
    good(wrapped(&[1], objects(&[text("a")])));

    let expected = "(STOP): the nested pickle does not give the array of objects that was announced";
    assert!(refused(wrapped(&[2], objects(&[text("a")]))).ends_with(expected));
    assert!(refused(wrapped(&[1], stream(NONE))).ends_with(expected));
    let numbers = stream(array(dtype("u1"), shape(&[1]), FALSE, raw(b"1")));
    assert!(refused(wrapped(&[1], numbers)).ends_with(expected));

    let inner = cat![wrapper(dtype("u1"), shape(&[1]), "C", None), b"\x07"];
    let text = refused(wrapped(&[1], stream(inner)));
    assert!(text.ends_with("(BUILD): joblib writes no wrapped array inside a nested pickle"), "{text}");

    let evil = refused(wrapped(&[1], stream(global("os", "system"))));
    assert!(evil.ends_with("(GLOBAL): global `os.system` is not allowed"), "{evil}");

    // The memo and the stack of the outer stream are out of reach; the budgets are shared.
    let reach = cat![b"\x80\x02Nq\x000", wrapper(dtype("O"), shape(&[1]), "C", None), stream(b"h\x00"), b"."];
    assert!(refused(reach).ends_with("(BINGET): the memo has no entry 0"));
    let reach = cat![b"\x80\x02NN", wrapper(dtype("O"), shape(&[1]), "C", None), stream(b"\x86"), b"."];
    assert!(refused(reach).ends_with("(TUPLE2): the stack is empty"));
    let budget = Limits { opcodes: 1000, ..Limits::default() };
    let long = wrapped(&[1], stream(cat![b"N0".repeat(500), b"N"]));
    assert!(refused_with(long, &budget).ends_with("more than 1000 opcodes"));
}

#[test]
fn small_arrays_read_without_end() {
    let flags = array(dtype("u1"), shape(&[1 << 20]), FALSE, raw(&vec![1; 1 << 20]));
    let document = good(stream(cat![b"]", flags, b"q\x00a", b"h\x00a".repeat(100)]));
    let read: Result<Vec<_>, _> =
        document.root().items().unwrap().iter().map(|item| item.array().unwrap().f64s()).collect();
    assert_eq!(read.unwrap_err().to_string(), "[5]: more than 41946400 bytes read from arrays");
}
