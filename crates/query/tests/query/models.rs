//! Models made by hand, whose answers can be told by looking.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use foretell_model::{Columns, Input, InputKind, Method, Output, Outputs, Refusal, Signature};
use foretell_query::Scorer;

/// One model: its signature, what it computes, and how many rows it was asked for.
pub(crate) struct Fake {
    signature: Signature,
    score: fn(&Columns<'_>, Method) -> Outputs,
    pub(crate) rows: AtomicUsize,
}

impl Scorer for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs {
        self.rows.fetch_add(columns.rows(), Ordering::Relaxed);
        (self.score)(columns, want)
    }
}

fn input(name: &str, kind: InputKind) -> Input {
    Input { name: (!name.is_empty()).then(|| name.to_owned()), kind }
}

fn output(name: &str, data_type: DataType, class: Option<&str>) -> Output {
    Output { name: name.into(), data_type, class: class.map(str::to_owned) }
}

fn signature(inputs: Vec<Input>, predict: Vec<Output>) -> Signature {
    Signature {
        inputs,
        predict,
        proba: vec![],
        decision: vec![],
        samples: vec![],
        transform: vec![],
        contribs: vec![],
        reasons: vec![],
        leaves: vec![],
        rewritten: false,
    }
}

fn fake(signature: Signature, score: fn(&Columns<'_>, Method) -> Outputs) -> Arc<Fake> {
    Arc::new(Fake { signature, score, rows: AtomicUsize::new(0) })
}

fn numbers(array: &ArrayRef) -> Vec<f64> {
    let array = cast(array, &DataType::Float64).unwrap();
    array.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// Knows its features `AGE` and `DUR`; gives `DUR`, refuses infinity.
pub(crate) fn mri() -> Arc<Fake> {
    let inputs = vec![input("AGE", InputKind::Number), input("DUR", InputKind::Number)];
    fake(signature(inputs, vec![output("prediction", DataType::Float32, None)]), |columns, _| {
        let values = numbers(&columns.arrays()[1]);
        let refusals = values.iter().enumerate().filter(|(_, value)| value.is_infinite()).map(|(row, _)| Refusal {
            row: row as u32,
            step: "XGBRegressor".into(),
            column: Some("DUR".into()),
            reason: "infinity".into(),
        });
        let prediction: Float32Array =
            values.iter().map(|value| (!value.is_infinite()).then_some(*value as f32)).collect();
        Outputs { columns: vec![Arc::new(prediction)], refusals: refusals.collect(), unseen: vec![] }
    })
}

/// Knows no names; gives its second feature times 100 plus its first, and the first twice.
pub(crate) fn two() -> Arc<Fake> {
    let inputs = vec![input("", InputKind::Number), input("", InputKind::Number)];
    let outputs =
        vec![output("prediction_0", DataType::Float64, None), output("prediction_1", DataType::Float64, None)];
    fake(signature(inputs, outputs), |columns, _| {
        let (first, second) = (numbers(&columns.arrays()[0]), numbers(&columns.arrays()[1]));
        let sum: Float64Array = first.iter().zip(&second).map(|(a, b)| Some(a + 100.0 * b)).collect();
        let twice: Float64Array = first.iter().map(|a| Some(2.0 * a)).collect();
        Outputs { columns: vec![Arc::new(sum), Arc::new(twice)], refusals: vec![], unseen: vec![] }
    })
}

/// A classifier of text: `F` is `yes` with 0.75, `M` is `no`; refuses all else, has a decision value and no name.
pub(crate) fn triage() -> Arc<Fake> {
    let mut signature =
        signature(vec![input("SEX", InputKind::Text)], vec![output("prediction", DataType::Utf8, None)]);
    signature.proba =
        vec![output("proba_no", DataType::Float64, Some("no")), output("proba_yes", DataType::Float64, Some("yes"))];
    signature.decision = vec![output("decision", DataType::Float64, None)];
    fake(signature, |columns, want| {
        let texts = columns.arrays()[0].as_string::<i32>();
        let yes: Vec<Option<bool>> = texts
            .iter()
            .map(|text| match text {
                Some("F") => Some(true),
                Some("M") => Some(false),
                _ => None,
            })
            .collect();
        let refusals = yes.iter().enumerate().filter(|(_, yes)| yes.is_none()).map(|(row, _)| Refusal {
            row: row as u32,
            step: "OneHotEncoder".into(),
            column: Some("SEX".into()),
            reason: if texts.is_null(row) { "missing value".into() } else { "unseen category".into() },
        });
        let each =
            |of: fn(bool) -> f64| -> ArrayRef { Arc::new(yes.iter().map(|yes| yes.map(of)).collect::<Float64Array>()) };
        let columns: Vec<ArrayRef> = match want {
            Method::Predict => {
                let label = |yes: bool| if yes { "yes" } else { "no" };
                vec![Arc::new(yes.iter().map(|yes| yes.map(label)).collect::<StringArray>())]
            }
            Method::Proba => vec![each(|yes| if yes { 0.25 } else { 1.0 }), each(|yes| if yes { 0.75 } else { 0.0 })],
            _ => vec![each(|yes| if yes { 1.5 } else { -1.5 })],
        };
        Outputs { columns, refusals: refusals.collect(), unseen: vec![] }
    })
}

/// Only transforms: an encoder.
pub(crate) fn code() -> Arc<Fake> {
    let mut signature = signature(vec![input("", InputKind::Any)], vec![]);
    signature.transform = vec![output("code", DataType::Float64, None)];
    fake(signature, |columns, _| {
        let texts = cast(&columns.arrays()[0], &DataType::Utf8).unwrap();
        let codes: Float64Array =
            texts.as_string::<i32>().iter().map(|text| text.map(|text| text.len() as f64)).collect();
        Outputs { columns: vec![Arc::new(codes)], refusals: vec![], unseen: vec![] }
    })
}

pub(crate) fn models() -> BTreeMap<String, Arc<dyn Scorer>> {
    let mut models: BTreeMap<String, Arc<dyn Scorer>> = BTreeMap::new();
    models.insert("mri".into(), mri());
    models.insert("two".into(), two());
    models.insert("Triage".into(), triage());
    models.insert("code".into(), code());
    models
}
