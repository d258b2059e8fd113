//! Views: what they give, and the places that their errors name.

use foretell_pickle::Document;

use crate::asm::{array, build, cat, dict, dtype, good, int, list, new, raw, record, shape, stream, text, tuple};

fn basket() -> Document {
    let state = dict(&[
        ("count", int(3)),
        ("price", cat![b"G", 2.5f64.to_be_bytes()]),
        ("items", list(&[text("pear"), int(-1), tuple(&[int(1), b"N".to_vec()])])),
        ("name", text("étude")),
        ("open", b"\x88".to_vec()),
        ("rest", b"N".to_vec()),
        ("prices", dict(&[("pear", int(1)), ("plum", int(2)), ("pear", int(3))])),
        ("large", b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00".to_vec()),
        ("halves", array(dtype("f4"), shape(&[2]), b"\x89", raw(&[0, 0, 0, 0x3f, 0, 0, 0x80, 0xbf]))),
    ]);
    good(stream(build(&new("shop", "Basket"), &state)))
}

#[test]
fn values() {
    let document = basket();
    let root = document.root();
    let attr = |name: &str| root.attr(name).unwrap();
    assert!(root.is("shop", "Basket"));
    assert_eq!(root.describe(), "an object of `shop.Basket`");
    assert_eq!(attr("count").as_i64().unwrap(), 3);
    assert_eq!(attr("count").as_usize().unwrap(), 3);
    assert_eq!(attr("count").as_f64().unwrap(), 3.0);
    assert_eq!(attr("price").as_f64().unwrap(), 2.5);
    assert_eq!(attr("name").as_str().unwrap(), "étude");
    assert!(attr("open").as_bool().unwrap());
    assert!(attr("rest").is_none() && attr("rest").some().is_none());
    assert_eq!(attr("large").as_u64().unwrap(), u64::MAX);
    assert_eq!(attr("large").as_f64().unwrap(), u64::MAX as f64);
    assert_eq!(attr("halves").array().unwrap().f32s().unwrap(), [0.5, -1.0]);
    assert_eq!(root.attrs().unwrap().len(), 9);
    assert!(root.get_attr("colour").unwrap().is_none());
    let prices: Vec<(String, i64)> = attr("prices")
        .pairs()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.as_str().unwrap().to_owned(), value.as_i64().unwrap()))
        .collect();
    assert_eq!(prices, [("pear".to_owned(), 3), ("plum".to_owned(), 2)]);
    assert_eq!(attr("prices").get("pear").unwrap().unwrap().as_i64().unwrap(), 3);
    assert_eq!(attr("prices").len().unwrap(), 2);
}

#[test]
fn places() {
    let document = basket();
    let root = document.root();
    let attr = |name: &str| root.attr(name).unwrap();
    let item = |index: usize| attr("items").item(index).unwrap();
    for (error, expected) in [
        (root.attr("colour").unwrap_err(), "`colour` is missing"),
        (root.items().map(drop).and_then(|()| root.item(0)).unwrap_err(), "`item 0` is missing"),
        (root.arg(0).unwrap_err(), "`argument 0` is missing"),
        (attr("items").attr("x").unwrap_err(), "items: expected an object, found a list"),
        (attr("items").item(9).unwrap_err(), "items: `item 9` is missing"),
        (item(0).as_i64().unwrap_err(), "items[0]: expected an integer, found a text"),
        (item(1).as_usize().unwrap_err(), "items[1]: the integer is out of range"),
        (item(2).item(1).unwrap().as_str().unwrap_err(), "items[2][1]: expected a text, found None"),
        (item(2).pairs().unwrap_err(), "items[2]: expected a dict, found a tuple of 2"),
        (
            attr("prices").get("plum").unwrap().unwrap().as_bool().unwrap_err(),
            "prices.plum: expected a bool, found an integer",
        ),
        (attr("large").as_i64().unwrap_err(), "large: the integer is out of range"),
        (
            attr("halves").array().unwrap().dims::<2>().unwrap_err(),
            "halves: expected an array of 2 dimensions, found an array of f4 with shape (2)",
        ),
        (attr("halves").array().unwrap().field("x").unwrap_err(), "halves: `x` is missing"),
        (attr("name").array().unwrap_err(), "name: expected an array, found a text"),
        (attr("name").as_bytes().unwrap_err(), "name: expected bytes, found a text"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn attributes_of_slots_and_states_of_tuples() {
    let both = tuple(&[dict(&[("a", int(1))]), dict(&[("b", int(2))])]);
    let document = good(stream(build(&new("shop", "Basket"), &both)));
    assert_eq!(document.root().attr("a").unwrap().as_i64().unwrap(), 1);
    assert_eq!(document.root().attr("b").unwrap().as_i64().unwrap(), 2);
    let document = good(stream(build(&new("shop", "Pair"), &tuple(&[int(1), int(2), text("x")]))));
    let state = document.root().state().unwrap();
    assert_eq!(state.item(1).unwrap().as_i64().unwrap(), 2);
    assert_eq!(state.item(2).unwrap().as_i64().unwrap_err().to_string(), "state[2]: expected an integer, found a text");
}

#[test]
fn too_many_attributes() {
    let many: Vec<String> = (0..4097).map(|i| format!("a{i}")).collect();
    let pairs: Vec<(&str, Vec<u8>)> = many.iter().map(|name| (name.as_str(), b"N".to_vec())).collect();
    let document = good(stream(build(&new("shop", "Basket"), &dict(&pairs))));
    let error = document.root().attr("a0").unwrap_err();
    assert_eq!(error.to_string(), "more than 4096 attributes of one object");
}

#[test]
fn more_items_than_a_small_file_has_room_for() {
    let document = good(cat![b"\x80\x02](", vec![b'N'; 3_000_000], b"e."]);
    let error = document.root().items().unwrap_err();
    assert_eq!(error.to_string(), "more than 2273103 items of one value in so small a file");
    assert!(document.root().item(2_999_999).unwrap().is_none());
    let document = good(cat![b"\x80\x02](", b"K\x07".repeat(1_500_000), b"e."]);
    assert_eq!(document.root().items().unwrap().len(), 1_500_000);
}

#[test]
fn places_behind_keys_that_are_no_texts() {
    let document = good(stream(cat![b"}", int(-7), text("x"), b"s", text("a"), list(&[int(1)]), b"s"]));
    let pairs = document.root().pairs().unwrap();
    assert_eq!(pairs[0].1.as_i64().unwrap_err().to_string(), "[-7]: expected an integer, found a text");
    assert_eq!(pairs[1].1.item(0).unwrap().path(), "a[0]");
    let document = good(stream(cat![b"}", text("St. Gallen"), dict(&[("b", text("x"))]), b"s"]));
    let (key, value) = document.root().pairs().unwrap().pop().unwrap();
    assert_eq!(value.pairs().unwrap()[0].1.path(), r#"["St. Gallen"].b"#);
    assert_eq!((key.as_step().unwrap(), key.as_key().unwrap()), (r#"["St. Gallen"]"#.into(), r#""St. Gallen""#.into()));
    assert_eq!(pairs[1].0.as_i64().unwrap_err().to_string(), "[1]: expected an integer, found a text");
}

#[test]
fn integers_that_do_not_fit() {
    let document = good(stream(array(dtype("u8"), shape(&[1]), b"\x89", raw(&[0xff; 8]))));
    let numbers = document.root().array().unwrap();
    assert_eq!(numbers.u64s().unwrap(), [u64::MAX]);
    assert_eq!(numbers.i64s().unwrap_err().to_string(), "an integer of the array is out of range");
    let document = good(stream(array(dtype("i1"), shape(&[2]), b"\x89", raw(&[1, 0xff]))));
    let numbers = document.root().array().unwrap();
    assert_eq!(numbers.u64s().unwrap_err().to_string(), "an integer of the array is out of range");
    assert_eq!(numbers.bools().unwrap_err().to_string(), "a bool of the array is out of range");
    assert_eq!(
        numbers.f32s().unwrap_err().to_string(),
        "expected an array of float32, found an array of i1 with shape (2)"
    );
}

#[test]
fn fields_of_records_in_either_order() {
    let data: Vec<u8> = (0..6u8).flat_map(|i| [i, 0, 0, 10 + i]).collect();
    let dtype = || record(4, &[("left", "i2", 0), ("flag", "u1", 3)]);
    let read = |fortran: &[u8]| {
        let document = good(stream(array(dtype(), shape(&[2, 3]), fortran, raw(&data))));
        let nodes = document.root().array().unwrap();
        assert_eq!(nodes.dims::<2>().unwrap(), [2, 3]);
        (nodes.field("left").unwrap().i64s().unwrap(), nodes.field("flag").unwrap().i64s().unwrap())
    };
    assert_eq!(read(b"\x89"), (vec![0, 1, 2, 3, 4, 5], vec![10, 11, 12, 13, 14, 15]));
    assert_eq!(read(b"\x88"), (vec![0, 2, 4, 1, 3, 5], vec![10, 12, 14, 11, 13, 15]));
}

#[test]
fn python_2_texts_are_texts_and_bytes() {
    let document = good(b"(U\x03abcU\x01\xffS'it\\'s \\x41\\n'\nV\\u00e9\\U0001F680\nt.".to_vec());
    let root = document.root();
    assert_eq!(root.item(0).unwrap().as_str().unwrap(), "abc");
    assert_eq!(root.item(0).unwrap().as_bytes().unwrap(), b"abc");
    assert_eq!(root.item(1).unwrap().as_bytes().unwrap(), b"\xff");
    assert_eq!(root.item(1).unwrap().as_str().unwrap_err().to_string(), "[1]: expected a text, found a text");
    assert_eq!(root.item(2).unwrap().as_str().unwrap(), "it's A\n");
    assert_eq!(root.item(3).unwrap().as_str().unwrap(), "é🚀");
}

#[test]
fn a_document_moves_between_threads_and_drops_flat() {
    let deep = good(cat![b"\x80\x02", vec![b']'; 400], vec![b'a'; 399], b"."]);
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(deep)).unwrap().join().unwrap();
}
