//! ONNX and PMML files that are not as they should be: each is refused with the place and the way on.

use std::path::Path;

use foretell_model::{LoadOptions, Model};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    Model::load(bytes, &LoadOptions::default()).unwrap_err().to_string()
}

/// The bytes with another text of the same length wherever a text stands.
fn changed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut changed = bytes.to_vec();
    let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes()));
    places.for_each(|at| changed[at..at + to.len()].copy_from_slice(to.as_bytes()));
    assert_ne!(changed, bytes);
    changed
}

/// A field of Protocol Buffers that is told by its length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
    field(1, &inputs.chain(field(2, output.as_bytes())).chain(field(4, op.as_bytes())).collect::<Vec<_>>())
}

/// A table of float32: `x`, of some columns.
fn table(name: &str, columns: u8) -> Vec<u8> {
    let dims = [field(1, &field(2, b"N")), field(1, &[8, columns])].concat();
    let tensor = [vec![8, 1], field(2, &dims)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

fn graph(parts: &[Vec<u8>]) -> Vec<u8> {
    let graph = [parts.concat(), field(11, &table("x", 2)), field(12, &table("y", 2))].concat();
    [vec![8, 8], field(2, b"test"), field(7, &graph), field(8, &[16, 17])].concat()
}

#[test]
fn graphs_are_refused_by_what_is_in_them() {
    let forest = fixture("onnx-1.32/forest/model.onnx");
    let told = refusal(&changed(&forest, "TreeEnsembleClassifier", "GrowEnsembleClassifier"));
    assert!(told.contains("`ai.onnx.ml.GrowEnsembleClassifier` is not supported"), "{told}");
    let told = refusal(&changed(&forest, "BRANCH_LEQ", "BRANCH_XYZ"));
    assert!(told.contains("`BRANCH_XYZ` is not supported"), "{told}");
    assert!(refusal(&graph(&[node("Conv", &["x", "x"], "y")])).starts_with("node 0 (Conv): `Conv` is not supported"));
    for (parts, wanted) in [
        (vec![node("Add", &["x", "z"], "y")], "node 0 (Add): nothing before it gives `z`"),
        (vec![node("Neg", &["x"], "y"), node("Neg", &["x"], "y")], "`y` is given twice"),
        (vec![node("Neg", &["x"], "x")], "`x` is given twice"),
        (vec![node("Not", &["x"], "y")], "node 0 (Not): an input is of a type that is not taken here"),
        (vec![node("ReduceSum", &["x"], "y")], "output `y` has not one row for each of the input"),
        (vec![node("CumSum", &["x"], "y")], "node 0 (CumSum): an input is missing"),
    ] {
        let told = refusal(&graph(&parts));
        assert!(told.starts_with(wanted), "{told}");
    }
    // A constant in another file.
    let elsewhere = [field(8, b"w"), vec![16, 1], field(13, b"x")].concat();
    let told = refusal(&graph(&[node("Neg", &["x"], "y"), field(5, &elsewhere)]));
    assert!(told.ends_with("a constant in another file: save the model with all its data in one file"), "{told}");
    // What is told of a row may not hang on the others.
    let turned =
        [node("Softmax", &["x"], "s"), node("Transpose", &["s"], "t"), node("MatMul", &["s", "t"], "m")].concat();
    let told = refusal(&graph(&[turned, node("MatMul", &["m", "s"], "y")]));
    assert_eq!(told, "output `y` of a row depends on the other rows");
}

#[test]
fn a_graph_cannot_ask_for_more_than_its_size_allows() {
    let shape = [vec![0x08, 1], vec![16, 7], field(8, b"n"), field(7, &[0xff, 0xff, 0xff, 0xff, 0x07])].concat();
    let told = refusal(&graph(&[node("ConstantOfShape", &["n"], "c"), node("Neg", &["x"], "y"), field(5, &shape)]));
    assert!(
        told.contains("(ConstantOfShape): it makes more values than are allowed for a file of this size"),
        "{told}"
    );
}

const FIELDS: &str = "<DataDictionary><DataField name='x' optype='continuous' dataType='double'/></DataDictionary>";
const SCHEMA: &str = "<MiningSchema><MiningField name='x'/></MiningSchema>";

fn document(inside: &str) -> String {
    format!("<PMML version='4.4'>{FIELDS}{inside}</PMML>")
}

#[test]
fn documents_are_refused_by_what_is_in_them() {
    let lol = "<!DOCTYPE PMML [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><PMML >&b;</PMML>";
    assert!(refusal(lol.as_bytes()).contains("it is no well-formed XML"), "{}", refusal(lol.as_bytes()));
    let cases = [
        (String::new(), "PMML: it has no model; supported: TreeModel"),
        (
            format!("<RuleSetModel functionName='classification'>{SCHEMA}</RuleSetModel>"),
            "`RuleSetModel` is not supported",
        ),
        (
            format!(
                "<TreeModel functionName='regression' missingValueStrategy='weightedConfidence'>{SCHEMA}</TreeModel>"
            ),
            "`missingValueStrategy='weightedConfidence'` is not supported",
        ),
        (
            format!(
                "<TreeModel functionName='regression'>{SCHEMA}<Node score='1'><SimplePredicate field='z' operator='equal' \
                 value='1'/></Node></TreeModel>"
            ),
            "SimplePredicate: there is no field `z`",
        ),
        (
            format!(
                "<RegressionModel functionName='regression'>{SCHEMA}<LocalTransformations><DerivedField name='a' \
                 dataType='double'><FieldRef field='b'/></DerivedField><DerivedField name='b' dataType='double'><FieldRef \
                 field='a'/></DerivedField></LocalTransformations><RegressionTable/></RegressionModel>"
            ),
            "FieldRef: there is no field `b`",
        ),
        (
            format!(
                "<RegressionModel functionName='regression'>{SCHEMA}<LocalTransformations><DerivedField name='a' \
                 dataType='double'><Apply function='os.system'><FieldRef field='x'/></Apply></DerivedField>\
                 </LocalTransformations><RegressionTable/></RegressionModel>"
            ),
            "`os.system` is not supported",
        ),
    ];
    for (inside, wanted) in cases {
        let told = refusal(document(&inside).as_bytes());
        assert!(told.contains(wanted), "{told}");
    }
    let deep = "<CompoundPredicate booleanOperator='and'>".repeat(100) + &"</CompoundPredicate>".repeat(100);
    let told = refusal(
        document(&format!("<TreeModel functionName='regression'>{SCHEMA}<Node score='1'>{deep}</Node></TreeModel>"))
            .as_bytes(),
    );
    assert!(told.contains("more than 48 predicates in each other"), "{told}");
}

#[test]
fn trees_may_be_as_deep_as_their_document() {
    let node = "<Node score='1'><True/>";
    let deep = node.repeat(2_000) + &"</Node>".repeat(2_000);
    let model = document(&format!("<TreeModel functionName='regression'>{SCHEMA}{deep}</TreeModel>"));
    assert_eq!(Model::load(model.as_bytes(), &LoadOptions::default()).unwrap().describe().nodes, 2_000);
}
