//! Naive Bayes: for each class a sum over the features of the logarithms of what training saw.
//!
//! Sums of products run over the features in order. The library's go through BLAS: within 1e-12 of the terms.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, feature_names, some_attr};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::math::scores::pairwise_sum;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "naive Bayes",
    classes: &[
        ("sklearn.naive_bayes", "BernoulliNB"),
        ("sklearn.naive_bayes", "CategoricalNB"),
        ("sklearn.naive_bayes", "ComplementNB"),
        ("sklearn.naive_bayes", "GaussianNB"),
        ("sklearn.naive_bayes", "MultinomialNB"),
    ],
    globals: &[
        Entry::class("sklearn.preprocessing._label", "LabelBinarizer"),
        Entry::class("sklearn.preprocessing.label", "LabelBinarizer"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    if count == 0 {
        return Err(Error::state(view.path(), "knows no class"));
    }
    let (form, features) = match class.as_str() {
        "GaussianNB" => gaussian(view, count)?,
        "CategoricalNB" => categorical(view, count)?,
        "BernoulliNB" => bernoulli(view, count)?,
        "ComplementNB" => {
            let (coef, features) = by_class(view, "feature_log_prob_", count)?;
            // Classes stand against each other: how frequent they are counts only where there is a single one.
            let prior = if count == 1 { numbers(view, "class_log_prior_", 1)? } else { vec![0.0; count] };
            (run::Form::Products { coef, constant: prior, threshold: None }, features)
        }
        _ => {
            let (coef, features) = by_class(view, "feature_log_prob_", count)?;
            let constant = numbers(view, "class_log_prior_", count)?;
            (run::Form::Products { coef, constant, threshold: None }, features)
        }
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(form.bytes());
    let finite = Finite::new(&class, &sources, false, false);
    let narrow = class == "GaussianNB" && view.attr("theta_")?.array()?.dtype().size == 4;
    // What was learned from float32 is asked for it again by a step before; a table may or may not bring it.
    let typed = narrow && labels.len() > 1 && sources.iter().all(|source| !source.follows);
    let step = run::NaiveBayes { form, features, narrow, typed, finite };
    let targets = Targets::classes(vec![labels], if typed { DataType::Float32 } else { DataType::Float64 });
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// A table with a row for each class, and how many columns it has.
fn by_class(view: &View<'_>, name: &str, count: usize) -> Result<(Vec<f64>, usize), Error> {
    let array = view.attr(name)?.array()?;
    let [rows, columns] = array.dims()?;
    if rows != count || columns == 0 {
        return Err(Error::state(view.path(), format!("`{name}` has {rows} rows of {columns} for {count} classes")));
    }
    Ok((array.f64s()?, columns))
}

fn numbers(view: &View<'_>, name: &str, count: usize) -> Result<Vec<f64>, Error> {
    let numbers = view.attr(name)?.array()?.f64s()?;
    if numbers.len() != count {
        return Err(Error::state(view.path(), format!("`{name}` holds {} numbers instead of {count}", numbers.len())));
    }
    Ok(numbers)
}

fn gaussian(view: &View<'_>, count: usize) -> Result<(run::Form, usize), Error> {
    let (means, features) = by_class(view, "theta_", count)?;
    // Its name before 1.0.
    let name = if some_attr(view, "var_")?.is_some() { "var_" } else { "sigma_" };
    let (variances, same) = by_class(view, name, count)?;
    if same != features {
        return Err(Error::state(view.path(), format!("variances of {same} features for {features}")));
    }
    let priors = numbers(view, "class_prior_", count)?;
    let constants = variances.chunks_exact(features).map(|variances| {
        let logarithms: Vec<f64> = variances.iter().map(|variance| (std::f64::consts::TAU * variance).ln()).collect();
        -0.5 * pairwise_sum(&logarithms)
    });
    let constants = constants.zip(priors).map(|(constant, prior)| (constant, prior.ln())).collect();
    Ok((run::Form::Gaussian { means, variances, constants }, features))
}

fn bernoulli(view: &View<'_>, count: usize) -> Result<(run::Form, usize), Error> {
    let (there, features) = by_class(view, "feature_log_prob_", count)?;
    let absent: Vec<f64> = there.iter().map(|log| (1.0 - log.exp()).ln()).collect();
    let priors = numbers(view, "class_log_prior_", count)?;
    let constants = absent.chunks_exact(features).zip(priors).map(|(absent, prior)| prior + pairwise_sum(absent));
    let constant = constants.collect();
    let coef = there.iter().zip(&absent).map(|(there, absent)| there - absent).collect();
    let threshold = some_attr(view, "binarize")?.map(|threshold| threshold.as_f64()).transpose()?;
    Ok((run::Form::Products { coef, constant, threshold }, features))
}

fn categorical(view: &View<'_>, count: usize) -> Result<(run::Form, usize), Error> {
    let mut tables = Vec::new();
    for table in view.attr("feature_log_prob_")?.items()? {
        let array = table.array()?;
        let [rows, categories] = array.dims()?;
        if rows != count || categories == 0 {
            let message = format!("{rows} rows of {categories} categories for {count} classes");
            return Err(Error::state(table.path(), message));
        }
        tables.push((array.f64s()?, categories));
    }
    let features = tables.len();
    let priors = numbers(view, "class_log_prior_", count)?;
    Ok((run::Form::Categories { tables, priors }, features))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::{self, Formula, Softmax};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum Form {
        Gaussian {
            /// By class, a number for each feature.
            means: Vec<f64>,
            variances: Vec<f64>,
            /// By class: what the variances add, and the logarithm of its share.
            constants: Vec<(f64, f64)>,
        },
        /// Products with logarithms.
        Products {
            coef: Vec<f64>,
            constant: Vec<f64>,
            /// What lies above it counts as 1, all else as 0.
            threshold: Option<f64>,
        },
        /// By feature: by class, a logarithm for each category.
        Categories { tables: Vec<(Vec<f64>, usize)>, priors: Vec<f64> },
    }

    impl Form {
        pub(super) fn bytes(&self) -> usize {
            8 * match self {
                Form::Gaussian { means, .. } => 2 * means.len(),
                Form::Products { coef, .. } => coef.len(),
                Form::Categories { tables, .. } => tables.iter().map(|(table, _)| table.len()).sum(),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct NaiveBayes {
        pub(super) form: Form,
        pub(super) features: usize,
        /// Whether what it learned is float32: then shares of rows in float32 are, too.
        pub(super) narrow: bool,
        /// Whether its answers are float32 as the signature tells them.
        pub(super) typed: bool,
        pub(super) finite: Finite,
    }

    impl NaiveBayes {
        fn dense(&self, x: Matrix) -> Dense {
            let rows = x.rows();
            x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features))
        }

        /// The logarithm of each class's share, up to a number that all classes have.
        fn likelihoods(&self, x: Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            let is_sparse = matches!(x, Matrix::Csr(_));
            match &self.form {
                Form::Gaussian { means, variances, constants } => {
                    if is_sparse {
                        run.refuse_all(x.rows(), &self.finite.step, None, "a sparse table");
                    }
                    let x = self.dense(x);
                    let one = |(class, (constant, prior)): (usize, &(f64, f64))| {
                        let mut sums = vec![0.0; x.rows];
                        for col in 0..self.features {
                            let place = class * self.features + col;
                            let (mean, variance) = (means[place], variances[place]);
                            for (sum, value) in sums.iter_mut().zip(x.column(col)) {
                                *sum += (value - mean) * (value - mean) / variance;
                            }
                        }
                        sums.iter_mut().for_each(|sum| *sum = prior + (constant - 0.5 * *sum));
                        sums
                    };
                    constants.iter().enumerate().map(one).collect()
                }
                Form::Products { coef, constant, threshold } => {
                    let there = |value: &mut f64| {
                        if let Some(threshold) = threshold {
                            *value = f64::from(u8::from(*value > *threshold));
                        }
                    };
                    let mut products = match x {
                        Matrix::Csr(mut csr) => {
                            csr.data.iter_mut().for_each(there);
                            scores::sparse_products(&csr, coef)
                        }
                        other => {
                            let mut x = self.dense(other);
                            x.data.iter_mut().for_each(there);
                            scores::products(&x, coef)
                        }
                    };
                    for (column, constant) in products.iter_mut().zip(constant) {
                        column.iter_mut().for_each(|value| *value += constant);
                    }
                    products
                }
                Form::Categories { tables, priors } => {
                    if is_sparse {
                        run.refuse_all(x.rows(), &self.finite.step, None, "a sparse table");
                    }
                    let x = self.dense(x);
                    let mut sums = vec![vec![0.0; x.rows]; priors.len()];
                    for (col, (table, categories)) in tables.iter().enumerate() {
                        for (row, value) in x.column(col).iter().enumerate() {
                            // As a whole number, cut off; what no whole number holds is negative.
                            let code = if *value > -1.0 && *value < *categories as f64 { *value as usize } else { 0 };
                            if code as f64 != value.trunc() {
                                let label = self.finite.labels.get(col).map(String::as_str);
                                run.refuse(row, &self.finite.step, label, "unseen category");
                            }
                            for (class, sums) in sums.iter_mut().enumerate() {
                                sums[row] += table[class * categories + code];
                            }
                        }
                    }
                    for (column, prior) in sums.iter_mut().zip(priors) {
                        column.iter_mut().for_each(|value| *value += prior);
                    }
                    sums
                }
            }
        }
    }

    impl Predict for NaiveBayes {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let (rows, narrow) = (x.rows(), self.narrow && x.is_narrow());
            let likelihoods = self.likelihoods(x, run);
            if want != Method::Proba {
                return Answer::Class(vec![scores::first_largest(&likelihoods, rows)]);
            }
            if let [only] = likelihoods.as_slice() {
                let share = |value: &f64| if value.is_finite() { 1.0 } else { f64::NAN };
                return Answer::F64(vec![only.iter().map(share).collect()]);
            }
            let mut shares = Softmax { formula: Formula::LogSumExp, side_by_side: false }.of(likelihoods);
            shares.iter_mut().flatten().for_each(|share| *share = round(*share, narrow));
            Answer::floats(shares, self.typed)
        }
    }
}
