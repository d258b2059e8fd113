//! Encoders read as encodings give the codes that the library gave, column by column.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, StringArray};
use foretell_fixtures::{Case, text};
use foretell_model::{Columns, Encoding, LoadOptions, Unknown};

/// The first rows of the encoders' input are told by hand.
const FIRST: usize = 8;

fn fixture(name: &str) -> (Vec<u8>, Case) {
    saved("sklearn-1.9", name)
}

fn saved(library: &str, name: &str) -> (Vec<u8>, Case) {
    let case = Case::named(&format!("{library}/{name}"));
    (std::fs::read(case.model()).unwrap(), case)
}

fn first(case: &Case, index: usize) -> ArrayRef {
    case.columns()[index].1.slice(0, FIRST)
}

/// The codes as the case writes them: integers, or the bits of float64.
fn codes(array: &ArrayRef) -> Vec<String> {
    (0..array.len()).map(|row| text(array, row)).collect()
}

fn load(bytes: &[u8], column: Option<&str>, unknown: Option<Unknown>) -> Encoding {
    Encoding::load(bytes, &LoadOptions::default(), column, unknown).unwrap()
}

#[test]
fn codes_are_the_librarys() {
    for library in ["sklearn-1.9", "skops-0.16"] {
        for (name, column_name, index) in [
            ("encoder-labels", None, 0),
            ("encoder-labels-numbers", None, 0),
            ("encoder-ordinal-unknown", Some("DEPT"), 0),
            ("encoder-ordinal-unknown", Some("ITEM"), 1),
        ] {
            let (bytes, case) = saved(library, name);
            let input = [case.columns()[index].1.clone()];
            let outputs = load(&bytes, column_name, None).score(&Columns::new(&input, case.rows()));
            let answer = case.answer("transform").unwrap();
            assert_eq!(codes(&outputs.columns[0]), codes(&answer.columns[index]), "{library} {name}");
            let refused: Vec<usize> = outputs.refusals.iter().map(|refusal| refusal.row as usize).collect();
            assert_eq!(refused, answer.refused, "{library} {name}");
        }
    }
}

#[test]
fn one_column_refuses_its_own_labels_only_and_says_why() {
    let (bytes, case) = fixture("encoder-ordinal");
    let outputs = load(&bytes, Some("DEPT"), None).score(&Columns::new(&[first(&case, 0)], FIRST));
    let reasons: Vec<_> = outputs.refusals.iter().map(|refusal| (refusal.row, refusal.reason.as_str())).collect();
    assert_eq!(reasons, [(2, "missing value"), (3, "unseen label"), (6, "unseen label")]);
    let kinder = load(&bytes, Some("DEPT"), Some(Unknown::Null)).score(&Columns::new(&[first(&case, 0)], FIRST));
    assert!(kinder.refusals.is_empty());
    assert_eq!(codes(&kinder.columns[0]), codes(&outputs.columns[0]));
}

#[test]
fn codes_lead_back_to_the_labels() {
    let (bytes, case) = fixture("encoder-labels-numbers");
    let encoding = load(&bytes, None, Some(Unknown::Null));
    let there = encoding.score(&Columns::new(&[first(&case, 0)], FIRST)).columns;
    let back = encoding.reverse().unwrap().score(&Columns::new(&there, FIRST)).columns;
    let labels: Vec<_> = back[0].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(labels, [Some(30), Some(7), None, Some(-1), Some(30), Some(7), None, Some(1 << 40)]);
}

#[test]
fn numbers_by_label_are_an_encoding() {
    let labels: ArrayRef = std::sync::Arc::new(StringArray::from(vec![Some("NA"), Some("XX"), None]));
    let asked = |name: &str, at: &[&str]| {
        let bytes =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/containers/").to_string() + name)
                .unwrap();
        let options = LoadOptions { at: at.iter().map(ToString::to_string).collect(), ..LoadOptions::default() };
        let encoding = Encoding::load(&bytes, &options, None, Some(Unknown::Null)).unwrap();
        (codes(&encoding.score(&Columns::new(std::slice::from_ref(&labels), 3)).columns[0]), encoding)
    };
    // A Series of pandas, and a dict of whole numbers inside of another.
    let quarter = format!("{:016x}", 0.25f64.to_bits());
    assert_eq!(asked("shares.pickle", &[]).0, [quarter.as_str(), "-", "-"]);
    let (found, ranks) = asked("ranks.pickle", &["ranks"]);
    assert_eq!(found, ["2", "-", "-"]);
    assert_eq!(ranks.labels(), 3);
    assert!(ranks.reverse().is_some());
}

#[test]
fn what_is_not_an_encoding_says_what_would_be() {
    let error = |name: &str, column: Option<&str>| {
        Encoding::load(&fixture(name).0, &LoadOptions::default(), column, None).unwrap_err().to_string()
    };
    let several = "the encoder has several columns; give one as `column`: `DEPT`, `ITEM`";
    assert_eq!(error("encoder-ordinal", None), several);
    assert_eq!(error("encoder-ordinal", Some("SEX")), "there is no column `SEX`: the encoder has `DEPT`, `ITEM`");
    assert_eq!(
        error("encoder-labels", Some("DEPT")),
        "there is no column `DEPT`: a LabelEncoder has one, without a name"
    );
    let other = error("scaler-min-max", None);
    assert!(other.ends_with("is not supported; supported: LabelEncoder, OrdinalEncoder, numbers by label"), "{other}");
}
