//! What hostile bytes are put through, in tests and by the fuzzer.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray};
use foretell_model::{Columns, InputKind, LoadOptions, Method, Model};

/// A model of more features is loaded and not asked.
const FEATURES: usize = 1000;

/// Loads, and where that works asks for everything that the model has, on rows of odd values.
pub(crate) fn try_out(bytes: &[u8]) -> bool {
    let Ok(model) = Model::load(bytes, &LoadOptions::default()) else { return false };
    let floats = vec![Some(0.0), None, Some(f64::INFINITY), Some(-1e300), Some(7.0), Some(f64::MAX)];
    let rows = floats.len();
    let texts = vec![Some("brain"), None, Some(""), Some("♥"), Some("knee"), Some("M")];
    let column = |kind: &InputKind| -> ArrayRef {
        match kind {
            InputKind::List => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                texts.iter().for_each(|text| lists.append_option(text.map(|text| [Some(text), None, Some("knee")])));
                Arc::new(lists.finish())
            }
            InputKind::Text | InputKind::Category(_) => Arc::new(StringArray::from(texts.clone())),
            _ => Arc::new(Float64Array::from(floats.clone())),
        }
    };
    if model.signature().inputs.len() > FEATURES {
        return true;
    }
    let columns: Vec<ArrayRef> = model.signature().inputs.iter().map(|input| column(&input.kind)).collect();
    for want in [Method::Predict, Method::Proba, Method::Decision, Method::Samples, Method::Transform] {
        let outputs = model.score(&Columns::new(&columns, rows), want);
        assert_eq!(outputs.columns.len(), model.signature().outputs(want).len());
        assert!(outputs.columns.iter().all(|column| column.len() == rows));
    }
    true
}
