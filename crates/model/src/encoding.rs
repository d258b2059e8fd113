//! A column's labels and their codes: what a notebook's encoding step learned, without the rest of a model.
//!
//! Read from a fitted `LabelEncoder` or `OrdinalEncoder`, or given as pairs. Raw labels become codes by
//! [`Encoding::score`], and codes labels again by its [`Reverse`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;

use crate::categories::{Categories, MISSING};
use crate::labels::Labels;
use crate::matrix::{ArrayRule, Frame, Matrix};
use crate::step::Run;
use crate::{Columns, Error, Input, InputKind, Output, Outputs, Signature};

/// What a label becomes that the encoding does not have, a missing one included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unknown {
    /// The row is refused, as the encoder would raise.
    Refuse,
    /// NULL.
    Null,
    /// This code.
    Code(f64),
}

/// The codes by label, in the type that they have.
#[derive(Debug, Clone)]
pub(crate) enum Codes {
    Int(Vec<i64>),
    Float(Vec<f64>),
}

/// Labels of one column, and a code for each.
#[derive(Debug, Clone)]
pub struct Encoding {
    step: &'static str,
    categories: Categories,
    labels: Option<Labels>,
    codes: Codes,
    unknown: Unknown,
    signature: Signature,
}

impl Encoding {
    /// Pairs of label and code; the codes are integers where all of them are whole.
    ///
    /// # Errors
    /// No pair, a label that is there twice, or `unknown` is not a whole number where the codes are.
    pub fn lookup(pairs: &[(String, f64)], unknown: Unknown) -> Result<Encoding, Error> {
        let labels: Vec<String> = pairs.iter().map(|(label, _)| label.clone()).collect();
        let categories = Categories::texts(labels.iter().cloned().map(Some).collect());
        if categories.distinct() < labels.len() {
            return Err(Error::At { message: "a label is there twice".to_string() });
        }
        let whole = pairs.iter().all(|(_, code)| code.trunc() == *code && code.abs() < 9e15);
        let codes = match whole {
            true => Codes::Int(pairs.iter().map(|(_, code)| *code as i64).collect()),
            false => Codes::Float(pairs.iter().map(|(_, code)| *code).collect()),
        };
        Encoding::new("lookup", categories, Some(Labels::Text(labels)), codes, unknown)
    }

    pub(crate) fn new(
        step: &'static str,
        categories: Categories,
        labels: Option<Labels>,
        codes: Codes,
        unknown: Unknown,
    ) -> Result<Encoding, Error> {
        if categories.len() == 0 {
            return Err(Error::At { message: "it has no label".to_string() });
        }
        let data_type = match (&codes, unknown) {
            (Codes::Int(_), Unknown::Code(code)) if code.trunc() != code => {
                let message = format!("codes are whole numbers, and `unknown: {code}` is not one");
                return Err(Error::At { message });
            }
            (Codes::Int(_), _) => DataType::Int64,
            (Codes::Float(_), _) => DataType::Float64,
        };
        let signature = one_column(categories.kind(), "code", data_type);
        Ok(Encoding { step, categories, labels, codes, unknown, signature })
    }

    /// One input without a name, and one output: `transform`.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What it is: `LabelEncoder`, `OrdinalEncoder` or `lookup`.
    pub fn class(&self) -> &'static str {
        self.step
    }

    /// How many labels it has.
    pub fn labels(&self) -> usize {
        self.categories.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.categories.bytes().saturating_mul(2)
    }

    /// Labels to codes. A row is refused with `unseen label` or `missing value`; never with the value.
    pub fn score(&self, columns: &Columns<'_>) -> Outputs {
        let mut run = Run::default();
        let columns = columns.arrays().iter().take(1).map(|column| self.encode(column, &mut run)).collect();
        Outputs { columns, ..run.told() }
    }

    /// One column; refused rows are NULL.
    pub(crate) fn encode(&self, column: &ArrayRef, run: &mut Run) -> ArrayRef {
        let places = self.categories.codes(column);
        let known = |place: &u32| (*place as usize) < self.categories.len();
        let nulls = match self.unknown {
            Unknown::Code(_) => None,
            Unknown::Null | Unknown::Refuse => places
                .iter()
                .any(|place| !known(place))
                .then(|| NullBuffer::new(BooleanBuffer::from_iter(places.iter().map(known)))),
        };
        if self.unknown == Unknown::Refuse && nulls.is_some() {
            for (row, place) in places.iter().enumerate().filter(|(_, place)| !known(place)) {
                let reason = if *place == MISSING { "missing value" } else { "unseen label" };
                run.refuse(row, self.step, None, reason);
            }
        }
        let unknown = if let Unknown::Code(code) = self.unknown { code } else { 0.0 };
        match &self.codes {
            Codes::Int(codes) => {
                let code = |place: &u32| codes.get(*place as usize).copied().unwrap_or(unknown as i64);
                Arc::new(Int64Array::new(places.iter().map(code).collect(), nulls))
            }
            Codes::Float(codes) => {
                let code = |place: &u32| codes.get(*place as usize).copied().unwrap_or(unknown);
                Arc::new(Float64Array::new(places.iter().map(code).collect(), nulls))
            }
        }
    }

    /// The way back, where each label has a code of its own.
    pub fn reverse(&self) -> Option<Reverse> {
        let labels = self.labels.clone()?;
        let codes: Vec<f64> = match &self.codes {
            Codes::Int(codes) => codes.iter().map(|code| *code as f64).collect(),
            Codes::Float(codes) => codes.clone(),
        };
        let places: HashMap<u64, u32> = codes.iter().map(|code| (code + 0.0).to_bits()).zip(0..).collect();
        if places.len() != labels.len() {
            return None;
        }
        let signature = one_column(InputKind::Number, "label", labels.data_type());
        Some(Reverse { step: self.step, places, labels, unknown: self.unknown, signature })
    }
}

/// Codes back to labels.
#[derive(Debug, Clone)]
pub struct Reverse {
    step: &'static str,
    places: HashMap<u64, u32>,
    labels: Labels,
    unknown: Unknown,
    signature: Signature,
}

impl Reverse {
    /// One input without a name, and one output: `transform`.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Codes to labels. A code that no label has refuses its row, or is NULL where unknown labels are not refused.
    pub fn score(&self, columns: &Columns<'_>) -> Outputs {
        let frame = Frame { columns: columns.arrays().to_vec(), rows: columns.rows(), rule: ArrayRule::default() };
        let codes = Matrix::Frame(frame).numbers(0).unwrap_or_else(|| vec![f64::NAN; columns.rows()]);
        let mut run = Run::default();
        let places: Vec<Option<u32>> =
            codes.iter().map(|code| self.places.get(&(code + 0.0).to_bits()).copied()).collect();
        if self.unknown == Unknown::Refuse {
            for (row, code) in codes.iter().enumerate().filter(|(row, _)| places.get(*row) == Some(&None)) {
                let reason = if code.is_nan() { "missing value" } else { "no label has this code" };
                run.refuse(row, self.step, None, reason);
            }
        }
        let known = || NullBuffer::new(BooleanBuffer::from_iter(places.iter().map(Option::is_some)));
        let nulls = places.contains(&None).then(known);
        let places: Vec<u32> = places.into_iter().map(Option::unwrap_or_default).collect();
        Outputs { columns: vec![self.labels.array(&places, nulls)], ..run.told() }
    }
}

fn one_column(kind: InputKind, output: &str, data_type: DataType) -> Signature {
    let output = Output { name: output.to_string(), data_type, class: None };
    Signature::transformer(vec![Input { name: None, kind }], vec![output])
}

#[cfg(test)]
mod tests {
    use arrow_array::StringArray;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};

    use super::*;

    fn pairs(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|(label, code)| (label.to_string(), *code)).collect()
    }

    fn texts() -> ArrayRef {
        Arc::new(StringArray::from(vec![Some("MRI"), Some("PET"), None, Some("CT")]))
    }

    fn refused(outputs: &Outputs) -> Vec<(u32, &str)> {
        outputs.refusals.iter().map(|refusal| (refusal.row, refusal.reason.as_str())).collect()
    }

    #[test]
    fn labels_become_codes_and_codes_labels() {
        let encoding = Encoding::lookup(&pairs(&[("CT", 3.0), ("MRI", 1.0)]), Unknown::Refuse).unwrap();
        let outputs = encoding.score(&Columns::new(&[texts()], 4));
        let codes: Vec<_> = outputs.columns[0].as_primitive::<Int64Type>().iter().collect();
        assert_eq!(codes, [Some(1), None, None, Some(3)]);
        assert_eq!(refused(&outputs), [(1, "unseen label"), (2, "missing value")]);

        let codes: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(2), None]));
        let outputs = encoding.reverse().unwrap().score(&Columns::new(&[codes], 3));
        assert_eq!(outputs.columns[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("CT"), None, None]);
        assert_eq!(refused(&outputs), [(1, "no label has this code"), (2, "missing value")]);
    }

    #[test]
    fn unknown_labels_are_what_was_asked_for() {
        for (unknown, expected) in [(Unknown::Null, None), (Unknown::Code(-1.0), Some(-1.0))] {
            let encoding = Encoding::lookup(&pairs(&[("CT", 0.5), ("MRI", 1.0)]), unknown).unwrap();
            let outputs = encoding.score(&Columns::new(&[texts()], 4));
            let codes: Vec<_> = outputs.columns[0].as_primitive::<Float64Type>().iter().collect();
            assert_eq!(codes, [Some(1.0), expected, expected, Some(0.5)]);
            assert!(outputs.refusals.is_empty());
            let back = encoding.reverse().unwrap().score(&Columns::new(&outputs.columns, 4));
            let labels: Vec<_> = back.columns[0].as_string::<i32>().iter().collect();
            assert_eq!(labels, [Some("MRI"), None, None, Some("CT")]);
        }
    }

    #[test]
    fn pairs_that_contradict_each_other_are_refused() {
        let error = |given: &[(&str, f64)], unknown| Encoding::lookup(&pairs(given), unknown).unwrap_err().to_string();
        assert_eq!(error(&[], Unknown::Refuse), "it has no label");
        assert_eq!(error(&[("a", 1.0), ("a", 2.0)], Unknown::Refuse), "a label is there twice");
        let text = "codes are whole numbers, and `unknown: 0.5` is not one";
        assert_eq!(error(&[("a", 1.0)], Unknown::Code(0.5)), text);
        let twice = Encoding::lookup(&pairs(&[("a", 1.0), ("b", 1.0)]), Unknown::Refuse).unwrap();
        assert!(twice.reverse().is_none(), "two labels with one code have no way back");
    }
}
