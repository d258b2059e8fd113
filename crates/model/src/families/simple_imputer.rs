//! `SimpleImputer`, and `Imputer` before it: what is missing becomes what was learned.

use foretell_pickle::{Kind, Value, View};

use crate::attributes::{feature_names, flag, some_attr};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "SimpleImputer",
    classes: &[
        ("sklearn.impute", "SimpleImputer"),
        ("sklearn.impute._base", "SimpleImputer"),
        ("sklearn.preprocessing.imputation", "Imputer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let is_old = view.class().is_some_and(|class| class.name == "Imputer");
    if is_old && some_attr(view, "axis")?.is_some_and(|axis| axis.as_i64() == Ok(1)) {
        return Err(Error::unsupported(view.path(), "axis=1", "axis=0"));
    }
    let statistics = view.attr("statistics_")?;
    let array = statistics.array()?;
    let fills: Vec<Fill> = match array.dtype().kind {
        Kind::Object => array.objects()?.iter().map(fill).collect::<Result<_, _>>()?,
        Kind::Text | Kind::Bytes => array.strings()?.into_iter().map(|t| Fill::Text(t.into_owned())).collect(),
        _ => array.f64s()?.into_iter().map(Fill::Number).collect(),
    };
    let missing = match fill(&view.attr("missing_values")?)? {
        Fill::Text(text) if is_old && text == "NaN" => Fill::Number(f64::NAN),
        other => other,
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, fills.len(), names)?;
    let keeps_empty = flag(view, "keep_empty_features", false)?;
    let mut out = Vec::new();
    let mut columns = Vec::with_capacity(fills.len());
    for (source, fill) in sources.iter().zip(fills) {
        let kind = if matches!(fill, Fill::Text(_)) { InputKind::Text } else { InputKind::Number };
        loader.demand(source, kind);
        let is_empty = matches!(fill, Fill::Number(number) if number.is_nan()) && !keeps_empty;
        if !is_empty {
            out.push(source.clone());
        }
        columns.push((!is_empty).then_some(fill));
    }
    let mut indicated = Vec::new();
    if flag(view, "add_indicator", false)?
        && let Some(indicator) = some_attr(view, "indicator_")?
    {
        for feature in indicator.attr("features_")?.array()?.u64s()? {
            let feature = usize::try_from(feature).unwrap_or(usize::MAX);
            let Some(source) = sources.get(feature) else {
                return Err(Error::state(view.path(), format!("the indicator looks at feature {feature}")));
            };
            out.push(Source::made_of(format!("missing {}", source.label), &sources));
            indicated.push(feature);
        }
    }
    let nan = matches!(missing, Fill::Number(number) if number.is_nan());
    // Where NaN is missing, None is not, and an encoder that has learned it was given it by a table of objects.
    let takes_none = nan && !view.attr("missing_values")?.is_none();
    let keeps_none = std::mem::take(&mut loader.none_passes).into_iter().map(|passes| passes && takes_none).collect();
    let finite = Finite::new("SimpleImputer", &sources, nan, false);
    // From 1.8 on what fills is of the type that was learned from.
    let narrow = some_attr(view, "_fill_dtype")?.is_some_and(
        |dtype| matches!(dtype.value(), Value::Dtype(dtype) if dtype.kind == Kind::Float && dtype.size == 4),
    );
    let step = run::Imputer { columns, missing, keeps_none, indicated, finite, narrow, checks: !is_old };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// A value that fills in, or that counts as missing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fill {
    Number(f64),
    Text(String),
}

impl Fill {
    /// Whether a number is the one that counts as missing.
    pub(super) fn is_number(&self, value: f64) -> bool {
        match self {
            Fill::Number(missing) if missing.is_nan() => value.is_nan(),
            Fill::Number(missing) => value == *missing,
            Fill::Text(_) => false,
        }
    }

    /// Whether a text, or NULL, is.
    pub(super) fn is_text(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Fill::Number(missing), None) => missing.is_nan(),
            (Fill::Text(missing), Some(text)) => missing == text,
            _ => false,
        }
    }
}

/// None is NaN, the way a NULL reads.
pub(super) fn fill(view: &View<'_>) -> Result<Fill, Error> {
    Ok(match view.value() {
        Value::None => Fill::Number(f64::NAN),
        Value::Str(_) | Value::OldStr(_) => Fill::Text(view.as_str()?.to_string()),
        _ => match view.as_f64() {
            Ok(number) => Fill::Number(number),
            Err(_) => Fill::Text(view.as_str()?.to_string()),
        },
    })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, Float64Array, StringArray};

    use super::Fill;
    use crate::categories::texts;
    use crate::finite::Finite;
    use crate::matrix::{ArrayRule, Csr, Dense, Frame, Matrix, read, round};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Imputer {
        /// What fills each column; `None` where the column is left out because it was empty.
        pub(super) columns: Vec<Option<Fill>>,
        pub(super) missing: Fill,
        /// The columns in which NULL stands for None, which is no missing value.
        pub(super) keeps_none: Vec<bool>,
        /// The columns that say whether a value was missing.
        pub(super) indicated: Vec<usize>,
        pub(super) finite: Finite,
        /// Whether the fills are float32 whatever the numbers are.
        pub(super) narrow: bool,
        /// Whether infinity is refused, as the old one did not.
        pub(super) checks: bool,
    }

    impl Imputer {
        fn text_column(
            &self,
            column: &ArrayRef,
            fill: Option<&Fill>,
            keeps_none: bool,
            missing: &mut [bool],
        ) -> ArrayRef {
            let mut out: Vec<Option<&str>> = vec![None; column.len()];
            let number;
            let fill = match fill {
                Some(Fill::Text(text)) => Some(text.as_str()),
                Some(Fill::Number(value)) => {
                    number = value.to_string();
                    Some(number.as_str())
                }
                None => None,
            };
            texts(column, |row, text| {
                missing[row] = self.missing.is_text(text) && !(keeps_none && text.is_none());
                out[row] = if missing[row] { fill } else { text };
            });
            Arc::new(StringArray::from(out))
        }

        /// A sparse table stays one: what is not stored is 0 and there.
        fn sparse(&self, csr: Csr, run: &mut Run) -> Matrix {
            let x = Matrix::Csr(csr);
            if self.checks {
                self.finite.check(&x, run);
            }
            let Matrix::Csr(mut csr) = x else { return x };
            let mut missing = vec![Vec::new(); csr.rows()];
            for (row, missing) in missing.iter_mut().enumerate() {
                for place in csr.starts[row]..csr.starts[row + 1] {
                    let col = csr.indices[place] as usize;
                    if !self.missing.is_number(csr.data[place]) {
                        continue;
                    }
                    if let Some(Fill::Number(fill)) = &self.columns[col] {
                        csr.data[place] = round(*fill, csr.narrow || self.narrow);
                    }
                    missing.extend(self.indicated.iter().position(|feature| *feature == col));
                }
                missing.sort_unstable();
            }
            let kept: Vec<usize> = (0..self.columns.len()).filter(|col| self.columns[*col].is_some()).collect();
            let all_kept = kept.len() == self.columns.len();
            if all_kept && self.indicated.is_empty() {
                return Matrix::Csr(csr);
            }
            let Matrix::Csr(csr) = Matrix::Csr(csr).select(&kept) else { return Matrix::Dense(Dense::zeros(0, 0)) };
            let mut out = Csr::empty(kept.len() + self.indicated.len(), csr.rows());
            out.narrow = csr.narrow;
            for (row, missing) in missing.iter().enumerate() {
                csr.row(row).for_each(|(col, value)| out.push(col, value));
                missing.iter().for_each(|index| out.push((kept.len() + index) as u32, 1.0));
                out.end_row();
            }
            Matrix::Csr(out)
        }
    }

    impl Transform for Imputer {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            if let Matrix::Csr(csr) = x {
                return self.sparse(csr, run);
            }
            let (rows, narrow) = (x.rows(), x.is_narrow());
            let mut columns: Vec<ArrayRef> = Vec::new();
            let mut masks = Vec::with_capacity(self.columns.len());
            for (index, fill) in self.columns.iter().enumerate() {
                let mut missing = vec![false; rows];
                let one = x.select(&[index]);
                let column = match &one {
                    Matrix::Frame(frame) if is_text(frame.columns[0].data_type()) => {
                        let keeps_none = self.keeps_none.get(index).copied().unwrap_or(false);
                        self.text_column(&frame.columns[0], fill.as_ref(), keeps_none, &mut missing)
                    }
                    _ => {
                        let labels = vec![self.finite.labels[index].clone()];
                        if self.checks {
                            Finite { labels, ..self.finite.clone() }.check(&one, run);
                        }
                        let mut numbers = one.numbers(0).unwrap_or_else(|| vec![f64::NAN; rows]);
                        for (value, missing) in numbers.iter_mut().zip(&mut missing) {
                            *missing = self.missing.is_number(*value);
                            if *missing && let Some(Fill::Number(fill)) = fill {
                                *value = round(*fill, narrow || self.narrow);
                            }
                        }
                        Arc::new(Float64Array::from(numbers))
                    }
                };
                if fill.is_some() {
                    columns.push(column);
                }
                masks.push(missing);
            }
            for feature in &self.indicated {
                let mask = masks[*feature].iter().map(|missing| f64::from(u8::from(*missing)));
                columns.push(Arc::new(Float64Array::from_iter_values(mask)));
            }
            if columns.iter().any(|column| is_text(column.data_type())) {
                return Matrix::Frame(Frame { columns, rows, rule: ArrayRule::default() });
            }
            let mut dense = Dense::zeros(rows, columns.len());
            dense.narrow = narrow;
            for (index, column) in columns.iter().enumerate() {
                read(column, 0..rows, dense.column_mut(index));
            }
            Matrix::Dense(dense)
        }
    }
}
