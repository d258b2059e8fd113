//! sklearn2pmml's own transformers: categories as numbers, tables to look up in, texts made alike, sums of columns.

use std::collections::HashMap;

use foretell_pickle::{Value, View};

use super::simple_imputer::{Fill, fill};
use crate::attributes::{feature_names, flag, some_attr, word};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "transformers of sklearn2pmml",
    classes: &[
        ("sklearn2pmml.postprocessing", "FeatureExporter"),
        ("sklearn2pmml.preprocessing", "AggregateTransformer"),
        ("sklearn2pmml.preprocessing", "Aggregator"),
        ("sklearn2pmml.preprocessing", "FilterLookupTransformer"),
        ("sklearn2pmml.preprocessing", "IdentityTransformer"),
        ("sklearn2pmml.preprocessing", "LookupTransformer"),
        ("sklearn2pmml.preprocessing", "PMMLLabelBinarizer"),
        ("sklearn2pmml.preprocessing", "PMMLLabelEncoder"),
        ("sklearn2pmml.preprocessing", "PowerFunctionTransformer"),
        ("sklearn2pmml.preprocessing", "StringLengthTransformer"),
        ("sklearn2pmml.preprocessing", "StringNormalizer"),
        ("sklearn2pmml.preprocessing", "SubstringTransformer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let names = feature_names(view)?;
    let is_wide = matches!(
        class.as_str(),
        "Aggregator" | "AggregateTransformer" | "IdentityTransformer" | "FeatureExporter" | "PowerFunctionTransformer"
    );
    let count = if is_wide { loader.width(view, given, names.as_ref().map(Vec::len))? } else { 1 };
    let sources = loader.sources(view, given, count, names)?;
    let job = job(view, &class)?;
    for source in &sources {
        match &job {
            run::Job::Pass => {}
            run::Job::Power(_) | run::Job::Together(_) => loader.demand(source, InputKind::Number),
            run::Job::Code { categories, .. } | run::Job::Columns { categories, .. } => {
                loader.demand(source, categories.kind());
            }
            run::Job::LookUp { texts, numbers, .. } => loader.demand(
                source,
                match (texts.is_empty(), numbers.is_empty()) {
                    (false, true) => InputKind::Text,
                    (true, false) => InputKind::Number,
                    _ => InputKind::Any,
                },
            ),
            run::Job::Normal { .. } | run::Job::Part(..) | run::Job::Length => loader.demand(source, InputKind::Text),
        }
    }
    let of_one = |index: usize| sources.first().map(|one| format!("{}{index}", one.label)).unwrap_or_default();
    let out = match &job {
        run::Job::Pass => sources.clone(),
        run::Job::Together(_) => vec![Source::made_of(class.to_ascii_lowercase(), &sources)],
        run::Job::Columns { categories, .. } => {
            (0..categories.len()).map(|index| Source::made(of_one(index))).collect()
        }
        _ => sources.iter().cloned().map(Source::changed).collect(),
    };
    loader.charge(view, out.len())?;
    let labels = sources.into_iter().map(|source| source.label).collect();
    let step = run::Transformer { class, labels, job };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn job(view: &View<'_>, class: &str) -> Result<run::Job, Error> {
    Ok(match class {
        "IdentityTransformer" | "FeatureExporter" => run::Job::Pass,
        "PowerFunctionTransformer" => run::Job::Power(view.attr("power")?.as_i64()?),
        "Aggregator" | "AggregateTransformer" => run::Job::Together(match view.attr("function")?.as_str()? {
            "avg" | "mean" => run::Together::Mean,
            "max" => run::Together::Most,
            "min" => run::Together::Least,
            "product" | "prod" => run::Together::Product,
            "sum" => run::Together::Sum,
            other => {
                let what = format!("function={other}");
                return Err(Error::unsupported(view.path(), what, "avg, mean, max, min, product, prod, sum"));
            }
        }),
        "PMMLLabelEncoder" => {
            let missing = match some_attr(view, "missing_values")? {
                Some(value) => value.as_f64()?,
                None => f64::NAN,
            };
            run::Job::Code { categories: Categories::read(&view.attr("classes_")?)?, missing }
        }
        "PMMLLabelBinarizer" => run::Job::Columns {
            categories: Categories::read(&view.attr("classes_")?)?,
            sparse: flag(view, "sparse_output", false)?,
        },
        "LookupTransformer" | "FilterLookupTransformer" => look_up(view, class == "FilterLookupTransformer")?,
        "StringLengthTransformer" => run::Job::Length,
        "StringNormalizer" => {
            let upper = match word(view, "function", "none")? {
                "none" => None,
                "lower" | "lowercase" => Some(false),
                "upper" | "uppercase" => Some(true),
                other => {
                    return Err(Error::unsupported(view.path(), format!("function={other}"), "lowercase, uppercase"));
                }
            };
            run::Job::Normal { upper, trims: flag(view, "trim_blanks", true)? }
        }
        _ => run::Job::Part(view.attr("begin")?.as_usize()?, view.attr("end")?.as_usize()?),
    })
}

fn look_up(view: &View<'_>, keeps: bool) -> Result<run::Job, Error> {
    if let Some(dtype) = some_attr(view, "dtype")? {
        return Err(Error::unsupported(dtype.path(), "a table with dtype", "tables without dtype"));
    }
    let (mut texts, mut numbers, mut gives_text) = (HashMap::new(), HashMap::new(), false);
    let mut read = |view: &View<'_>| -> Result<Fill, Error> {
        let value = fill(view)?;
        gives_text |= matches!(value, Fill::Text(_));
        Ok(value)
    };
    for (key, value) in view.attr("mapping")?.pairs()? {
        let value = read(&value)?;
        match key.value() {
            Value::Str(_) | Value::OldStr(_) => drop(texts.insert(key.as_str()?.to_string(), value)),
            // 0.0 finds -0.0 too.
            _ => drop(numbers.insert((key.as_f64()? + 0.0).to_bits(), value)),
        }
    }
    let default = match some_attr(view, "default_value")? {
        Some(value) => Some(read(&value)?),
        None => None,
    };
    // Where a number is looked up and texts are given, a number that stays would have to be one.
    if keeps && gives_text == texts.is_empty() && !(texts.is_empty() && numbers.is_empty()) {
        return Err(Error::state(view.path(), "a table whose keys and values are not of one type"));
    }
    Ok(run::Job::LookUp { texts, numbers, default, keeps, gives_text })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, Float64Array, StringArray};

    use crate::categories::{Categories, MISSING, UNSEEN, texts};
    use crate::families::simple_imputer::Fill;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::{Csr, Dense, Frame, Matrix, read};
    use crate::step::{Run, Transform};
    use crate::text::is_space;
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) enum Together {
        Mean,
        Most,
        Least,
        Product,
        Sum,
    }

    #[derive(Debug)]
    pub(super) enum Job {
        Pass,
        Power(i64),
        /// A number of all columns.
        Together(Together),
        Code {
            categories: Categories,
            missing: f64,
        },
        Columns {
            categories: Categories,
            sparse: bool,
        },
        LookUp {
            texts: HashMap<String, Fill>,
            /// By the bits of a float64.
            numbers: HashMap<u64, Fill>,
            default: Option<Fill>,
            /// Whether what is not in the table stays as it is.
            keeps: bool,
            gives_text: bool,
        },
        Normal {
            upper: Option<bool>,
            trims: bool,
        },
        /// From this letter to before that one.
        Part(usize, usize),
        Length,
    }

    #[derive(Debug)]
    pub(super) struct Transformer {
        pub(super) class: String,
        pub(super) labels: Vec<String>,
        pub(super) job: Job,
    }

    /// The first column, whatever the table is.
    fn first(x: &Matrix) -> ArrayRef {
        match x {
            Matrix::Frame(frame) => frame.columns[0].clone(),
            other => Arc::new(Float64Array::from(other.numbers(0).unwrap_or_default())),
        }
    }

    impl Transformer {
        fn column(&self, x: Matrix, column: ArrayRef) -> Matrix {
            let rows = column.len();
            let rule = match &x {
                Matrix::Frame(frame) => frame.rule,
                _ => Default::default(),
            };
            Matrix::Frame(Frame { columns: vec![column], rows, rule })
        }

        /// A text for each text; what is missing stays so.
        fn texts(&self, x: Matrix, make: impl Fn(&str) -> String) -> Matrix {
            let column = first(&x);
            let mut out: Vec<Option<String>> = vec![None; column.len()];
            texts(&column, |row, text| out[row] = text.map(&make));
            self.column(x, Arc::new(StringArray::from(out)))
        }

        fn codes(&self, x: &Matrix, categories: &Categories) -> Vec<Option<u32>> {
            let known = |code: u32| (code != UNSEEN && code != MISSING).then_some(code);
            categories.codes(&first(x)).into_iter().map(known).collect()
        }

        fn looked_up(&self, x: Matrix, run: &mut Run) -> Matrix {
            let Job::LookUp { texts: by_text, numbers: by_number, default, keeps, gives_text } = &self.job else {
                return x;
            };
            let column = first(&x);
            let rows = column.len();
            let mut found: Vec<Option<Fill>> = vec![None; rows];
            if is_text(column.data_type()) {
                texts(&column, |row, text| {
                    let own = || if *keeps { text.map(|text| Fill::Text(text.to_string())) } else { default.clone() };
                    // What is missing stays missing.
                    found[row] = text.and_then(|text| by_text.get(text).cloned().or_else(own));
                });
            } else {
                let mut numbers = vec![0.0; rows];
                if !read(&column, 0..rows, &mut numbers) {
                    run.refuse_all(
                        rows,
                        &self.class,
                        self.labels.first().map(String::as_str),
                        "neither a number nor a text",
                    );
                }
                for (found, number) in found.iter_mut().zip(&numbers).filter(|(_, number): &(_, &f64)| !number.is_nan())
                {
                    let own = || if *keeps { Some(Fill::Number(*number)) } else { default.clone() };
                    *found = by_number.get(&(number + 0.0).to_bits()).cloned().or_else(own);
                }
            }
            if *gives_text {
                let text = |one: Option<Fill>| match one {
                    Some(Fill::Text(text)) => Some(text),
                    _ => None,
                };
                return self.column(x, Arc::new(found.into_iter().map(text).collect::<StringArray>()));
            }
            let number = |one: Option<Fill>| match one {
                Some(Fill::Number(number)) => number,
                _ => f64::NAN,
            };
            self.column(x, Arc::new(found.into_iter().map(number).collect::<Float64Array>()))
        }
    }

    /// What of the numbers that are there.
    fn together(how: &Together, row: &[f64]) -> f64 {
        let there: Vec<f64> = row.iter().copied().filter(|value| !value.is_nan()).collect();
        // numpy puts a neutral number where none is.
        let neutral =
            |neutral: f64| -> Vec<f64> { row.iter().map(|x| if x.is_nan() { neutral } else { *x }).collect() };
        match how {
            Together::Sum => pairwise_sum(&neutral(0.0)),
            Together::Product => neutral(1.0).iter().product(),
            Together::Mean => pairwise_sum(&neutral(0.0)) / there.len() as f64,
            Together::Most => there.into_iter().reduce(f64::max).unwrap_or(f64::NAN),
            Together::Least => there.into_iter().reduce(f64::min).unwrap_or(f64::NAN),
        }
    }

    impl Transform for Transformer {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            match &self.job {
                Job::Pass => x,
                Job::LookUp { .. } => self.looked_up(x, run),
                Job::Normal { upper, trims } => self.texts(x, |text| {
                    let text = match upper {
                        Some(true) => text.to_uppercase(),
                        Some(false) => text.to_lowercase(),
                        None => text.to_string(),
                    };
                    if *trims { text.trim_matches(is_space).to_string() } else { text }
                }),
                Job::Part(begin, end) => self.texts(x, |text| text.chars().take(*end).skip(*begin).collect()),
                Job::Length => {
                    let column = first(&x);
                    let mut out = vec![f64::NAN; column.len()];
                    texts(&column, |row, text| match text {
                        Some(text) => out[row] = text.chars().count() as f64,
                        None => run.refuse(row, &self.class, self.labels.first().map(String::as_str), "missing value"),
                    });
                    self.column(x, Arc::new(Float64Array::from(out)))
                }
                Job::Code { categories, missing } => {
                    let codes = self.codes(&x, categories).into_iter();
                    let out: Vec<f64> = codes.map(|code| code.map_or(*missing, f64::from)).collect();
                    self.column(x, Arc::new(Float64Array::from(out)))
                }
                Job::Columns { categories, sparse } => {
                    let codes = self.codes(&x, categories);
                    let mut csr = Csr::empty(categories.len(), codes.len());
                    for code in codes {
                        code.into_iter().for_each(|code| csr.push(code, 1.0));
                        csr.end_row();
                    }
                    if *sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
                }
                Job::Power(power) => {
                    let (rows, cols) = (x.rows(), x.cols());
                    let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                    let power = *power as f64;
                    // numpy multiplies a square, and divides for an inverse.
                    let raised = |value: f64| match power {
                        2.0 => value * value,
                        -1.0 => 1.0 / value,
                        _ => value.powf(power),
                    };
                    dense.data.iter_mut().for_each(|value| *value = raised(*value));
                    Matrix::Dense(dense)
                }
                Job::Together(how) => {
                    let (rows, cols) = (x.rows(), x.cols());
                    let dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                    let row = |row: usize| (0..cols).map(|col| dense.data[col * rows + row]).collect::<Vec<f64>>();
                    let data = (0..rows).map(|at| together(how, &row(at))).collect();
                    Matrix::Dense(Dense { data, rows, cols: 1, narrow: dense.narrow })
                }
            }
        }
    }
}
