//! Files whose form is right and whose meaning is hostile, each with the text that it is refused with.

use foretell_fixtures::Case;
use foretell_model::{LoadOptions, Model};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Case::named(name).model()).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    Model::load(bytes, &LoadOptions::default()).map(|_| "it loads".to_owned()).unwrap_or_else(|error| error.to_string())
}

/// Where `what` stands first.
fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

/// With the bytes at `at` replaced.
fn put(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at..at + new.len()].copy_from_slice(new);
    changed
}

#[test]
fn xgboost_json_with_wrong_lengths() {
    let text = String::from_utf8(fixture("xgboost-3.2/saved-json")).unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refusal(text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(replaced("\"tree_info\":[0,", "\"tree_info\":["), "XGBoost JSON: 6 trees, but `tree_info` has 5");
    assert_eq!(
        replaced("\"split_indices\":[", "\"split_indices\":[0,"),
        "XGBoost JSON: tree 0: its lists have different lengths"
    );
    assert_eq!(
        replaced("\"num_feature\":\"7\",\"num_target", "\"num_feature\":\"99999999\",\"num_target"),
        "XGBoost model: 99999999 features and 1 outputs; at most 16777216 and 65536 are read"
    );
    assert_eq!(
        replaced("\"num_feature\":\"7\",\"num_target", "\"num_feature\":\"-7\",\"num_target"),
        "XGBoost JSON: `num_feature` is missing or no whole number"
    );
    assert_eq!(
        replaced("\"num_target\":\"1\"", "\"num_target\":\"4000000000\""),
        "XGBoost model: 7 features and 4000000000 outputs; at most 16777216 and 65536 are read"
    );
    assert_eq!(
        replaced("\"iteration_indptr\":[0,1", "\"iteration_indptr\":[0,9"),
        "XGBoost model: the trees of the iterations are not the trees that are there"
    );
    assert_eq!(
        replaced("\"split_indices\":[", "\"split_indices\":[7,0,0,0,0,0,0,0,0,0,0],\"x\":["),
        "XGBoost JSON: tree 0: its lists have different lengths"
    );
    assert_eq!(refusal(&text.as_bytes()[..text.len() - 1]), "XGBoost JSON: byte 11660: the document ends too early");
    assert_eq!(
        refusal(format!("{{\"learner\":{}", "[".repeat(100_000)).as_bytes()),
        "XGBoost JSON: byte 74: more than 64 levels of nesting"
    );
}

#[test]
fn xgboost_ubjson_with_wrong_lengths() {
    let bytes = fixture("xgboost-3.2/saved-ubj");
    // `[$l#L` and eight bytes of length: a typed array.
    let at = find(&bytes, b"left_children") + 13;
    assert_eq!(&bytes[at..at + 5], b"[$l#L");
    let with = |length: i64| refusal(&put(&bytes, at + 5, &length.to_be_bytes()));
    assert_eq!(with(-1), "XGBoost UBJSON: byte 1148: the length -1 is negative");
    assert_eq!(with(i64::MAX), "XGBoost UBJSON: byte 1135: the document needs more memory than its size allows");
    assert_eq!(with(1 << 40), "XGBoost UBJSON: byte 1135: the document needs more memory than its size allows");
    assert_eq!(with(1), "XGBoost UBJSON: byte 1153: a whole number cannot start with the byte 0x00");
    assert_eq!(refusal(&put(&bytes, at + 1, b"$Z")), "XGBoost UBJSON: byte 1148: arrays of the type 0x5a are not read");
    assert_eq!(refusal(&bytes[..bytes.len() - 1]), "XGBoost UBJSON: byte 11218: 1 bytes are needed, 0 are left");
    let node = at + 13;
    assert_eq!(refusal(&put(&bytes, node, &0i32.to_be_bytes())), "tree 0: node 0: has two parents");
    assert_eq!(
        refusal(&put(&bytes, node, &9001i32.to_be_bytes())),
        "tree 0: node 0: left child 9001 is out of range (31 nodes)"
    );
    // Empty objects inside of each other, by the million.
    assert_eq!(
        refusal(&b"{L\0\0\0\0\0\0\0\x01a".repeat(100_000)),
        "XGBoost UBJSON: byte 704: more than 64 levels of nesting"
    );
}

#[test]
fn xgboost_binaries_with_wrong_counts() {
    let bytes = fixture("xgboost-0.90/booster-saved-raw");
    // After the names of objective and booster: how many trees.
    let at = find(&bytes, b"gbtree") + 6;
    let with = |at: usize, value: i32| refusal(&put(&bytes, at, &value.to_le_bytes()));
    assert_eq!(with(at, -1), "XGBoost binary: byte 176: `num_trees` is -1");
    assert_eq!(with(at, i32::MAX), "XGBoost binary: byte 9956: 124 bytes are needed, 72 are left");
    assert_eq!(with(at, 7), "tree 1: node 0: output 7 is out of range (3 outputs)");
    assert_eq!(
        with(4, i32::MAX),
        "XGBoost model: 2147483647 features and 3 outputs; at most 16777216 and 65536 are read"
    );
    assert_eq!(
        with(8, i32::MAX),
        "XGBoost model: 7 features and 2147483647 outputs; at most 16777216 and 65536 are read"
    );
    // Few enough for a booster, and yet they would take hundreds of megabytes.
    assert_eq!(with(4, 0x0039_0007), "model: 3735559 features; at most 131072 are read of a file of its size");
    // The first tree's number of nodes, then its first node: parent, left, right.
    let tree = at + 160;
    assert_eq!(
        with(tree + 4, i32::MAX),
        "XGBoost binary: byte 480: tree 0: 2147483647 nodes need 77309411292 bytes, 9548 are left"
    );
    let node = tree + 148;
    assert_eq!(with(node + 4, 0), "tree 0: node 0: has two parents");
    assert_eq!(with(node + 8, 9001), "tree 0: node 0: right child 9001 is out of range (7 nodes)");
    assert_eq!(
        refusal(&bytes[..bytes.len() / 2]),
        "XGBoost binary: byte 4880: tree 11: 7 nodes need 252 bytes, 134 are left"
    );
    let offset = [b"CONFIG-offset:".as_slice(), &u64::MAX.to_le_bytes(), &bytes].concat();
    assert_eq!(refusal(&offset), "XGBoost binary: byte 22: the model is said to have 18446744073709551615 bytes");
}

#[test]
fn classifiers_of_xgboost_with_other_outputs_than_classes() {
    // The header of a raw binary in a pickle: the number of classes, and what later became that of targets.
    let bytes = fixture("xgboost-1.2/classes");
    let header = find(&bytes, b"binf") + 4;
    let with = |at: usize, value: u8| refusal(&put(&bytes, header + at, &[value]));
    assert_eq!(with(8, 5), "3 class labels for 5 classes");
    assert_eq!(with(28, 16), "16 outputs for 3 classes");
}

#[test]
fn trees_of_scikit_learn_that_never_end() {
    let bytes = fixture("sklearn-1.9/tree");
    // The first node: the children, then the feature.
    let number = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let is_node =
        |at: &usize| number(*at) == 1 && (2..99).contains(&number(at + 8)) && (0..7).contains(&number(at + 16));
    let at = (0..bytes.len() - 24).find(is_node).unwrap();
    let with = |at: usize, value: i64| refusal(&put(&bytes, at, &value.to_le_bytes()));
    assert_eq!(with(at, 0), "tree 0: node 0: has two parents");
    assert_eq!(with(at, 9001), "tree 0: node 0: left child 9001 is out of range (15 nodes)");
    assert_eq!(with(at, -5), "tree 0: node 0: left child -2 is out of range (15 nodes)");
    assert_eq!(with(at + 8, 1), "tree 0: node 1: has two parents");
    assert_eq!(with(at + 16, 99), "tree 0: node 0: feature 99 is out of range (7 features)");
}

#[test]
fn trees_of_histogram_boosting_that_never_end() {
    let bytes = fixture("sklearn-1.9/histogram-classes");
    // In the first node: the feature, the threshold, where missing values go, the children.
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let is_node = |at: &usize| {
        number(*at + 17) == 1 && (2..99).contains(&number(*at + 21)) && number(*at) < 7 && number(*at + 4) == 0
    };
    let at = (0..bytes.len() - 25).find(is_node).unwrap();
    let left = |value: u32| refusal(&put(&bytes, at + 17, &value.to_le_bytes()));
    assert_eq!(left(0), "tree 0: node 0: has two parents");
    assert_eq!(left(9001), "tree 0: node 0: left child 9001 is out of range (11 nodes)");
    let feature = refusal(&put(&bytes, at, &99u64.to_le_bytes()));
    assert!(
        feature.starts_with("tree 0: node 0: feature ") && feature.ends_with(" is out of range (7 features)"),
        "{feature}"
    );
}

/// `BINUNICODE` of a text.
fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
}

/// A new object, without its state.
fn object(module: &str, class: &str) -> Vec<u8> {
    [b"c".as_slice(), module.as_bytes(), b"\n", class.as_bytes(), b"\n)\x81"].concat()
}

/// The state of a pipeline with these steps, built into it.
fn steps(steps: &[&[u8]]) -> Vec<u8> {
    let steps: Vec<Vec<u8>> = steps.iter().map(|step| [&text("step"), *step, b"\x86"].concat()).collect();
    [b"}".as_slice(), &text("steps"), b"](", &steps.concat(), b"esb"].concat()
}

fn stream(pieces: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02".as_slice(), &pieces.concat(), b"."].concat()
}

#[test]
fn estimators_inside_of_themselves() {
    let pipeline = object("sklearn.pipeline", "Pipeline");
    let own = stream(&[&pipeline, b"q\x00", &steps(&[b"h\x00"])]);
    assert_eq!(refusal(&own), "steps[0][1]: contains itself");
    let deep: Vec<u8> = (0..60).fold(b"N".to_vec(), |inner, _| [&pipeline, &*steps(&[&inner])].concat());
    let text = refusal(&stream(&[&deep]));
    assert!(text.ends_with("more than 48 estimators inside each other"), "{text}");
}

#[test]
fn estimators_that_hold_each_other_twice() {
    // A step that passes everything on, then forty pipelines of the one before twice: 2⁴⁰ steps.
    let pass = object("sklearn.preprocessing._function_transformer", "FunctionTransformer");
    let state =
        [b"}(".as_slice(), &text("func"), b"N", &text("validate"), b"\x89", &text("n_features_in_"), b"K\x01ub"];
    let mut bytes = [pass, state.concat(), b"q\x00".to_vec()].concat();
    for level in 0..40u8 {
        let below = [b'h', level];
        let above = object("sklearn.pipeline", "Pipeline");
        bytes.extend([b"0".as_slice(), &above, &steps(&[&below, &below]), &[b'q', level + 1]].concat());
    }
    let text = refusal(&stream(&[&bytes]));
    assert!(text.ends_with("more than 65536 estimators"), "{text}");
}
