//! Models as SQL functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt32Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use foretell_model::{Columns, Method, Outputs, Refusal};

use crate::failure::{Failure, ScoreError};
use crate::scored::Scored;
use crate::slot::RunState;
use crate::{Error, Role, Scorer};

/// A function that a model gives to SQL: `mri`, `mri_proba`, ….
#[derive(Clone)]
pub(crate) struct ModelCall {
    /// The model's name, as given.
    pub(crate) model: String,
    /// The function's name, in lower case.
    pub(crate) function: String,
    pub(crate) scorer: Arc<dyn Scorer>,
    pub(crate) want: Method,
}

/// What a suffix asks for, and how to say that a model has none.
const SUFFIXES: &[(&str, Method, &str)] = &[
    ("_proba", Method::Proba, "probabilities"),
    ("_decision", Method::Decision, "decision values"),
    ("_score_samples", Method::Samples, "scores of samples"),
    ("_transform", Method::Transform, "transformed columns"),
    ("_contribs", Method::Contribs, "contributions of its columns"),
    ("_reasons", Method::Reasons, "reasons"),
    ("_leaf", Method::Leaves, "numbered leaves"),
];

/// The functions of all models, and those that they could have but do not.
pub(crate) type Calls = (BTreeMap<String, ModelCall>, Vec<(String, String, &'static str)>);

/// The models' functions by their lower-case names: `mri` is `predict` (or `transform`, where that is all a model
/// does), `mri_proba` and so on are the rest.
pub(crate) fn calls(models: &BTreeMap<String, Arc<dyn Scorer>>, sql: &BTreeSet<String>) -> Result<Calls, Error> {
    let mut calls = BTreeMap::new();
    let mut absent = Vec::new();
    for (model, scorer) in models {
        let refuse = |reason: String| Err(Error::ModelName { model: model.clone(), reason });
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !model.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') || !model.chars().all(word) {
            return refuse("a name is letters, digits and `_`, and begins with a letter".into());
        }
        let signature = scorer.signature();
        let own = if signature.predict.is_empty() { Method::Transform } else { Method::Predict };
        let mut wants = vec![("", own, "predictions")];
        wants.extend_from_slice(SUFFIXES);
        for (suffix, want, output) in wants {
            let function = format!("{model}{suffix}").to_lowercase();
            if signature.outputs(want).is_empty() {
                absent.push((function, model.clone(), output));
                continue;
            }
            if sql.contains(&function) || !crate::parse::is_callable(&function) {
                return refuse(format!("`{function}` is a word of SQL; call it `{model}_{}`", scorer.role().name()));
            }
            let call = ModelCall { model: model.clone(), function, scorer: Arc::clone(scorer), want };
            if let Some(other) = calls.insert(call.function.clone(), call) {
                let both = other.function;
                return refuse(format!("`{}` gives a function `{both}`, too; case does not matter", other.model));
            }
        }
    }
    Ok((calls, absent))
}

/// The functions without arguments that give the SHA-256 of a model's file, by their lower-case names: `mri_sha256()`.
pub(crate) fn versions(models: &BTreeMap<String, Arc<dyn Scorer>>) -> BTreeMap<String, String> {
    let version = |(model, scorer): (&String, &Arc<dyn Scorer>)| {
        Some((format!("{model}_sha256").to_lowercase(), scorer.sha256()?.to_string()))
    };
    models.iter().filter_map(version).collect()
}

impl ModelCall {
    /// One output is a column of its own type; several are a STRUCT, and so are probabilities; leaves are a LIST.
    fn return_type(&self) -> DataType {
        if self.want == Method::Leaves {
            return DataType::List(leaf());
        }
        match self.scorer.signature().outputs(self.want) {
            [one] if self.want != Method::Proba => one.data_type.clone(),
            _ => DataType::Struct(self.fields()),
        }
    }

    /// By class where classes are known and differ, otherwise by the output's name.
    fn fields(&self) -> Fields {
        let outputs = self.scorer.signature().outputs(self.want);
        let classes: BTreeSet<_> = outputs.iter().filter_map(|output| output.class.as_deref()).collect();
        outputs
            .iter()
            .map(|output| {
                let name = match &output.class {
                    Some(class) if classes.len() == outputs.len() => class,
                    _ => &output.name,
                };
                Field::new(name, output.data_type.clone(), true)
            })
            .collect()
    }

    /// Scores rows; `rows` names each one's input row, NULL where it comes from none.
    /// `argument` names the first of the columns.
    fn score(
        &self,
        rows: &UInt32Array,
        columns: &[ArrayRef],
        argument: Option<&str>,
        run: &RunState,
    ) -> Result<ArrayRef, ScoreError> {
        let begun = Instant::now();
        let outputs = self.scorer.score(&Columns::new(columns, rows.len()), self.want);
        let took = begun.elapsed();
        let wrong = |difference: String| ScoreError::Wrong { model: self.model.clone(), difference };
        self.check(&outputs, rows.len()).map_err(wrong)?;
        let role = self.scorer.role();
        let mut refusals = Vec::with_capacity(outputs.refusals.len());
        for mut refusal in outputs.refusals {
            if role == Role::Encoding {
                refusal.column = refusal.column.or_else(|| argument.map(str::to_owned));
            }
            let row = usize::try_from(refusal.row).ok().filter(|row| *row < rows.len());
            let Some(row) = row else {
                return Err(wrong(format!("it refuses row {} of {}", refusal.row, rows.len())));
            };
            if rows.is_null(row) {
                return Err(ScoreError::Refused { model: self.model.clone(), refusal });
            }
            let Refusal { step, column, reason, .. } = refusal;
            let failure = Failure::Model { role, model: self.model.clone(), step, column, reason };
            refusals.push((rows.value(row), failure));
        }
        run.refuse(refusals);
        if run.watches(&self.model) {
            run.scored(Scored {
                model: self.model.clone(),
                want: self.want,
                rows: rows.clone(),
                columns: columns.to_vec(),
                answers: outputs.columns.clone(),
                took,
            });
        }
        let mut columns = outputs.columns;
        if self.want == Method::Leaves {
            return listed(&columns, rows.len()).ok_or_else(|| wrong("leaves that are not whole numbers".into()));
        }
        match columns.pop() {
            Some(one) if columns.is_empty() && self.want != Method::Proba => Ok(one),
            Some(last) => {
                columns.push(last);
                let array = StructArray::try_new(self.fields(), columns, None);
                array.map(|array| Arc::new(array) as ArrayRef).map_err(|_| wrong("columns of several lengths".into()))
            }
            None => Err(wrong("no column".into())),
        }
    }

    fn check(&self, outputs: &Outputs, rows: usize) -> Result<(), String> {
        let expected = self.scorer.signature().outputs(self.want);
        if outputs.columns.len() != expected.len() {
            return Err(format!("{} columns instead of {}", outputs.columns.len(), expected.len()));
        }
        for (column, output) in outputs.columns.iter().zip(expected) {
            if column.len() != rows {
                return Err(format!("`{}` has {} rows instead of {rows}", output.name, column.len()));
            }
            if *column.data_type() != output.data_type {
                return Err(format!("`{}` is {} instead of {}", output.name, column.data_type(), output.data_type));
            }
        }
        Ok(())
    }
}

/// What a list of leaves holds.
fn leaf() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

/// A list a row of its values in all columns; NULL where the first is.
fn listed(columns: &[ArrayRef], rows: usize) -> Option<ArrayRef> {
    let columns: Option<Vec<&Int64Array>> =
        columns.iter().map(|column| column.as_primitive_opt::<Int64Type>()).collect();
    let columns = columns?;
    let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column.value(row)));
    let values = Int64Array::from_iter_values(values);
    let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), rows));
    let nulls = columns.first().and_then(|column| column.nulls().cloned());
    Some(Arc::new(ListArray::try_new(leaf(), lengths, Arc::new(values), nulls).ok()?))
}

/// A model as the engine sees it. Until it is `bound`, its arguments are the query's own; then the number of the input
/// row comes first.
pub(crate) struct ModelFunction {
    pub(crate) call: ModelCall,
    pub(crate) bound: bool,
    /// What the query gives as the first argument.
    argument: Option<String>,
    run: Arc<RunState>,
    signature: Signature,
}

impl ModelFunction {
    pub(crate) fn new(call: ModelCall, run: Arc<RunState>) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        ModelFunction { call, bound: false, argument: None, run, signature }
    }

    /// The same function with the number of the input row as its first argument.
    pub(crate) fn bind(&self, argument: Option<String>) -> Self {
        ModelFunction {
            call: self.call.clone(),
            bound: true,
            argument,
            run: Arc::clone(&self.run),
            signature: self.signature.clone(),
        }
    }
}

impl fmt::Debug for ModelFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call.function)
    }
}

impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.call.function == other.call.function && self.bound == other.bound
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.function.hash(state);
        self.bound.hash(state);
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        &self.call.function
    }

    /// The row's number is not part of what a user sees.
    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        let own = arguments.get(usize::from(self.bound)..).unwrap_or_default();
        let own: Vec<String> = own.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(format!("{}({})", self.call.function, own.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.call.return_type())
    }

    /// Arguments are checked and cast when the function is bound, where errors can name the feature.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&self.call.return_type())));
        }
        let mut columns = arguments.args.into_iter().map(|argument| argument.into_array(rows));
        let numbers = match columns.next() {
            Some(numbers) if self.bound => numbers?,
            _ => return Err(DataFusionError::Internal("a model's function is not bound".into())),
        };
        let Some(numbers) = numbers.as_primitive_opt::<UInt32Type>() else {
            return Err(DataFusionError::Internal("row numbers have another type".into()));
        };
        let columns = columns.collect::<Result<Vec<_>>>()?;
        // A model that panics is broken: it stops this query, whatever the row, and not the process.
        let scoring = AssertUnwindSafe(|| self.call.score(numbers, &columns, self.argument.as_deref(), &self.run));
        match std::panic::catch_unwind(scoring) {
            Ok(Ok(array)) => Ok(ColumnarValue::Array(array)),
            Ok(Err(error)) => Err(DataFusionError::External(Box::new(error))),
            Err(_) => Err(DataFusionError::Internal("a panic".into())),
        }
    }
}
