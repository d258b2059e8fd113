//! Support vector machines of libsvm: `SVC`, `NuSVC`, `SVR`, `NuSVR`, `OneClassSVM`.
//!
//! Products run over the features in order; the library's go through BLAS: within 1e-12 of the terms, and what a kernel
//! makes of that.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self, feature_names, flag, some_attr, version, word};
use crate::families::shared::sparse::sparse_rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets, decisions};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Output};

pub(crate) const FAMILY: Family = Family {
    name: "support vector machines",
    classes: &[
        ("sklearn.svm._classes", "NuSVC"),
        ("sklearn.svm._classes", "NuSVR"),
        ("sklearn.svm._classes", "OneClassSVM"),
        ("sklearn.svm._classes", "SVC"),
        ("sklearn.svm._classes", "SVR"),
        ("sklearn.svm.classes", "NuSVC"),
        ("sklearn.svm.classes", "NuSVR"),
        ("sklearn.svm.classes", "OneClassSVM"),
        ("sklearn.svm.classes", "SVC"),
        ("sklearn.svm.classes", "SVR"),
    ],
    globals: &[],
    load,
};

/// More classes are an attack on memory: a number for each pair of them is told.
const CLASSES: usize = 1 << 10;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let labels = match class.as_str() {
        "SVC" | "NuSVC" => Some(attributes::labels(&view.attr("classes_")?)?),
        _ => None,
    };
    if let Some(labels) = &labels
        && !(2..=CLASSES).contains(&labels.len())
    {
        return Err(Error::state(view.path(), format!("{} classes", labels.len())));
    }
    let machine = Machine::read(view, labels.as_ref().map(Labels::len))?;
    let Machine { vectors, features, coefs, intercepts, starts } = machine;
    let kernel = kernel(view)?;
    let width = match kernel {
        // Rows of kernel values with all rows of the training.
        run::Kernel::Precomputed => training(view)?,
        _ => features,
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, width, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(vectors.bytes().saturating_add(coefs.len().saturating_mul(8)));
    let finite = Finite::new(&class, &sources, false, false);
    let (form, targets) = match labels {
        Some(labels) => {
            let platt = platt(view, labels.len())?;
            let by_pair = match word(view, "decision_function_shape", "ovr")? {
                "ovr" => false,
                "ovo" => true,
                other => {
                    let what = format!("decision_function_shape={other}");
                    return Err(Error::unsupported(view.path(), what, "ovr, ovo"));
                }
            };
            let mut targets = Targets::classes(vec![labels.clone()], DataType::Float64);
            if platt.is_none() {
                targets.proba.clear();
            }
            targets.decision = decisions(&labels);
            if by_pair && labels.len() > 2 {
                let pairs = pairs(labels.len());
                let name = |(first, second): (usize, usize)| {
                    format!("decision_{}_{}", labels.text(first), labels.text(second))
                };
                let pairs = pairs.map(name).map(|name| Output { name, data_type: DataType::Float64, class: None });
                targets.decision = pairs.collect();
            }
            let breaks_ties = flag(view, "break_ties", false)? && !by_pair && labels.len() > 2;
            (run::Form::Classes { count: labels.len(), by_pair, breaks_ties, platt }, targets)
        }
        None if class == "OneClassSVM" => {
            let mut targets = Targets::classes(vec![Labels::Int(vec![-1, 1])], DataType::Float64);
            targets.proba.clear();
            let output =
                |name: &str| vec![Output { name: name.to_string(), data_type: DataType::Float64, class: None }];
            (targets.decision, targets.samples) = (output("decision"), output("score"));
            let offset = match some_attr(view, "offset_")? {
                Some(offset) => match offset.array() {
                    Ok(array) => array.f64s()?.first().copied(),
                    Err(_) => Some(offset.as_f64()?),
                },
                None => None,
            };
            if offset.is_none() || version(view)?.is_some_and(|version| version < (0, 20)) {
                targets.samples.clear();
            }
            (run::Form::Outliers { offset: offset.unwrap_or(0.0) }, targets)
        }
        None => (run::Form::Number, Targets::numbers(1, DataType::Float64)),
    };
    let takes_sparse = flag(view, "_sparse", false)?;
    let step = run::Svm { kernel, vectors, coefs, intercepts, starts, form, features: width, takes_sparse, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// The pairs of classes in libsvm's order.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |first| (first.saturating_add(1)..count).map(move |second| (first, second)))
}

/// How many rows the training had.
fn training(view: &View<'_>) -> Result<usize, Error> {
    let shape = view.attr("shape_fit_")?;
    Ok(shape.item(1)?.as_usize()?)
}

/// A number that is its own attribute, under one of two names.
fn either<'a>(view: &View<'a>, names: [&str; 2]) -> Result<Option<View<'a>>, Error> {
    match some_attr(view, names[0])? {
        Some(found) => Ok(Some(found)),
        None => some_attr(view, names[1]),
    }
}

fn kernel(view: &View<'_>) -> Result<run::Kernel, Error> {
    let kernel = view.attr("kernel")?;
    let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
    let gamma = || -> Result<f64, Error> {
        match either(view, ["_gamma", "gamma"])? {
            Some(gamma) => Ok(gamma.as_f64()?),
            None => Err(Error::state(view.path(), "`_gamma` is missing")),
        }
    };
    Ok(match kernel.as_str().unwrap_or("a function") {
        "linear" => run::Kernel::Linear,
        "poly" => {
            let degree = number("degree")?;
            let degree = if degree.fract() == 0.0 && (0.0..=1e4).contains(&degree) { degree as u32 } else { u32::MAX };
            if degree == u32::MAX {
                return Err(Error::unsupported(view.path(), "such a degree", "whole numbers from 0"));
            }
            run::Kernel::Poly { gamma: gamma()?, coef0: number("coef0")?, degree }
        }
        "rbf" => run::Kernel::Rbf { gamma: gamma()? },
        "sigmoid" => run::Kernel::Sigmoid { gamma: gamma()?, coef0: number("coef0")? },
        "precomputed" => run::Kernel::Precomputed,
        other => {
            let what = format!("kernel={other}");
            return Err(Error::unsupported(kernel.path(), what, "linear, poly, rbf, sigmoid, precomputed"));
        }
    })
}

/// The two numbers of each pair's logistic function; `None` where none were learned.
fn platt(view: &View<'_>, classes: usize) -> Result<Option<Vec<(f64, f64)>>, Error> {
    // From 1.9 on its default is a text.
    if !some_attr(view, "probability")?.is_some_and(|probability| probability.as_bool().is_ok_and(|it| it)) {
        return Ok(None);
    }
    let numbers = |names: [&str; 2]| -> Result<Vec<f64>, Error> {
        match either(view, names)? {
            Some(found) => Ok(found.array()?.f64s()?),
            None => Ok(Vec::new()),
        }
    };
    let (a, b) = (numbers(["_probA", "probA_"])?, numbers(["_probB", "probB_"])?);
    let count = pairs(classes).count();
    if a.is_empty() {
        return Ok(None);
    }
    if a.len() != count || b.len() != count {
        let message = format!("{} and {} numbers of probabilities for {count} pairs", a.len(), b.len());
        return Err(Error::state(view.path(), message));
    }
    Ok(Some(a.into_iter().zip(b).collect()))
}

/// The support vectors and what is learned of them.
struct Machine {
    vectors: run::Vectors,
    features: usize,
    coefs: Vec<f64>,
    intercepts: Vec<f64>,
    /// Where each class's vectors begin, and the end of the last.
    starts: Vec<usize>,
}

impl Machine {
    fn read(view: &View<'_>, classes: Option<usize>) -> Result<Self, Error> {
        let wrong = |message: String| Error::state(view.path(), message);
        // What libsvm itself said: scikit-learn turns the sign of two classes around for who looks at it.
        let coef_view = match some_attr(view, "_dual_coef_")? {
            Some(coef) => coef,
            None => view.attr("dual_coef_")?,
        };
        let intercept = match some_attr(view, "_intercept_")? {
            Some(intercept) => intercept,
            None => view.attr("intercept_")?,
        };
        let intercepts = intercept.array()?.f64s()?;
        let is_precomputed = view.attr("kernel")?.as_str().is_ok_and(|kernel| kernel == "precomputed");
        let is_sparse = flag(view, "_sparse", false)?;
        let (coefs, rows, count) = full_table(&coef_view)?;
        let (vectors, features) = if is_precomputed {
            let places = view.attr("support_")?.array()?.u64s()?;
            let most = training(view)?;
            let place = |place: u64| usize::try_from(place).ok().filter(|place| *place < most);
            let places: Option<Vec<usize>> = places.into_iter().map(place).collect();
            (run::Vectors::Places(places.ok_or_else(|| wrong("a support vector is out of range".into()))?), most)
        } else {
            let vectors = view.attr("support_vectors_")?;
            let (vectors, rows, features) = if is_sparse && vectors.array().is_err() {
                let (rows, features) = sparse_rows(&vectors)?;
                let count = rows.len();
                (run::Vectors::Sparse(rows), count, features)
            } else {
                let (values, rows, features) = table(&vectors)?;
                (run::Vectors::Dense(values), rows, features)
            };
            if rows != count {
                return Err(wrong(format!("{rows} support vectors with {count} coefficients")));
            }
            (vectors, features)
        };
        let starts = match classes {
            None => vec![0, count],
            Some(classes) => {
                let of_class = match either(view, ["_n_support", "n_support_"])? {
                    Some(counts) => counts.array()?.u64s()?,
                    None => return Err(wrong("`n_support_` is missing".into())),
                };
                if of_class.len() != classes {
                    return Err(wrong(format!("support vectors of {} classes for {classes}", of_class.len())));
                }
                let mut starts = vec![0usize];
                for count in of_class {
                    let last = starts.last().copied().unwrap_or(0);
                    starts.push(last.saturating_add(usize::try_from(count).unwrap_or(usize::MAX)));
                }
                starts
            }
        };
        let classes = classes.unwrap_or(2);
        let fits = rows == classes.saturating_sub(1)
            && intercepts.len() == pairs(classes).count()
            && starts.last() == Some(&count)
            && (features > 0)
            && match &vectors {
                run::Vectors::Places(places) => places.len() == count,
                run::Vectors::Dense(_) | run::Vectors::Sparse(_) => true,
            };
        if !fits {
            let message = format!("{rows} rows of {count} coefficients with {} intercepts", intercepts.len());
            return Err(wrong(message));
        }
        Ok(Machine { vectors, features, coefs, intercepts, starts })
    }
}

fn table(view: &View<'_>) -> Result<(Vec<f64>, usize, usize), Error> {
    let array = view.array()?;
    let [rows, columns] = array.dims()?;
    Ok((array.f64s()?, rows, columns))
}

/// The same of a table in which every number is stored.
fn full_table(view: &View<'_>) -> Result<(Vec<f64>, usize, usize), Error> {
    if view.array().is_ok() {
        return table(view);
    }
    let (rows, columns) = sparse_rows(view)?;
    if rows.iter().any(|row| row.len() != columns) {
        return Err(Error::state(view.path(), "a sparse table that does not store every number"));
    }
    let count = rows.len();
    Ok((rows.into_iter().flatten().map(|(_, value)| value).collect(), count, columns))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use super::pairs;
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Kernel {
        Linear,
        Poly { gamma: f64, coef0: f64, degree: u32 },
        Rbf { gamma: f64 },
        Sigmoid { gamma: f64, coef0: f64 },
        Precomputed,
    }

    impl Kernel {
        /// Of two rows whose numbers come in pairs.
        fn of<I: Iterator<Item = (f64, f64)>>(self, pairs: impl Fn() -> I) -> f64 {
            let product = || pairs().map(|(x, y)| x * y).sum::<f64>();
            match self {
                Kernel::Linear | Kernel::Precomputed => product(),
                Kernel::Poly { gamma, coef0, degree } => power(gamma * product() + coef0, degree),
                Kernel::Sigmoid { gamma, coef0 } => (gamma * product() + coef0).tanh(),
                Kernel::Rbf { gamma } => (-gamma * pairs().map(|(x, y)| (x - y) * (x - y)).sum::<f64>()).exp(),
            }
        }
    }

    /// The numbers of two sparse rows in pairs, by column, with 0 where one of them has none.
    fn merged<'r>(left: &'r [(usize, f64)], right: &'r [(usize, f64)]) -> impl Iterator<Item = (f64, f64)> + 'r {
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        std::iter::from_fn(move || {
            let column = |entry: Option<&&(usize, f64)>| entry.map_or(usize::MAX, |entry| entry.0);
            let (a, b) = (column(left.peek()), column(right.peek()));
            let x = if a <= b { left.next() } else { None };
            let y = if b <= a { right.next() } else { None };
            (x.is_some() || y.is_some()).then(|| (x.map_or(0.0, |x| x.1), y.map_or(0.0, |y| y.1)))
        })
    }

    /// The numbers that are stored of a row, by column.
    use crate::families::shared::sparse::SparseRow;

    #[derive(Debug)]
    pub(super) enum Vectors {
        /// One after the other.
        Dense(Vec<f64>),
        /// The numbers of each that are not zero, by column.
        Sparse(Vec<SparseRow>),
        /// Where they stand among the rows of the training.
        Places(Vec<usize>),
    }

    impl Vectors {
        pub(super) fn bytes(&self) -> usize {
            8 * match self {
                Vectors::Dense(values) => values.len(),
                Vectors::Sparse(rows) => rows.iter().map(|row| 2 * row.len() + 3).sum(),
                Vectors::Places(places) => places.len(),
            }
        }
    }

    #[derive(Debug)]
    pub(super) enum Form {
        Number,
        Outliers {
            offset: f64,
        },
        Classes {
            count: usize,
            /// Whether a score is told of each pair of classes, instead of each class.
            by_pair: bool,
            /// Whether the class of the highest score is told, instead of the one with the most votes.
            breaks_ties: bool,
            platt: Option<Vec<(f64, f64)>>,
        },
    }

    #[derive(Debug)]
    pub(super) struct Svm {
        pub(super) kernel: Kernel,
        pub(super) vectors: Vectors,
        /// A row for each class but one, a column for each vector.
        pub(super) coefs: Vec<f64>,
        /// By pair of classes.
        pub(super) intercepts: Vec<f64>,
        /// Where each class's vectors begin, and the end of the last.
        pub(super) starts: Vec<usize>,
        pub(super) form: Form,
        pub(super) features: usize,
        /// Whether it was trained on a sparse table: the others take none.
        pub(super) takes_sparse: bool,
        pub(super) finite: Finite,
    }

    /// A power as libsvm takes it.
    fn power(base: f64, mut exponent: u32) -> f64 {
        let (mut square, mut result) = (base, 1.0);
        while exponent > 0 {
            if exponent % 2 == 1 {
                result *= square;
            }
            square *= square;
            exponent /= 2;
        }
        result
    }

    impl Svm {
        /// The kernel's value of a row with each vector.
        fn values(&self, row: &[f64], out: &mut Vec<f64>) {
            out.clear();
            match &self.vectors {
                Vectors::Places(places) => out.extend(places.iter().map(|place| row[*place])),
                Vectors::Dense(values) => {
                    for vector in values.chunks_exact(row.len().max(1)) {
                        let pairs = || row.iter().copied().zip(vector.iter().copied());
                        out.push(self.kernel.of(pairs));
                    }
                }
                Vectors::Sparse(vectors) => {
                    let entries = row.iter().copied().enumerate().filter(|(_, value)| *value != 0.0);
                    let entries: SparseRow = entries.collect();
                    out.extend(vectors.iter().map(|vector| self.kernel.of(|| merged(&entries, vector))));
                }
            }
        }

        /// The score of each pair of classes: above zero for the first of them.
        fn scores(&self, x: Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            self.finite.check(&x, run);
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) && !self.takes_sparse {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            let vectors = self.starts[self.starts.len() - 1];
            let pairs: Vec<(usize, usize)> = pairs(self.starts.len().saturating_sub(1).max(2)).collect();
            let mut scores = vec![Vec::with_capacity(rows); pairs.len()];
            let (mut row, mut values) = (vec![0.0; x.cols], Vec::with_capacity(vectors));
            for at in 0..rows {
                row.iter_mut().enumerate().for_each(|(col, value)| *value = x.data[col * rows + at]);
                self.values(&row, &mut values);
                if self.starts.len() == 2 {
                    let sum: f64 = self.coefs.iter().zip(&values).map(|(coef, value)| coef * value).sum();
                    scores[0].push(sum + self.intercepts[0]);
                    continue;
                }
                for (pair, (first, second)) in pairs.iter().enumerate() {
                    let mut sum = 0.0;
                    // The vectors of each class have a coefficient against each other class.
                    for (class, against) in [(*first, second - 1), (*second, *first)] {
                        let range = self.starts[class]..self.starts[class + 1];
                        let coefs = &self.coefs[against * vectors..][range.clone()];
                        coefs.iter().zip(&values[range]).for_each(|(coef, value)| sum += coef * value);
                    }
                    scores[pair].push(sum + self.intercepts[pair]);
                }
            }
            scores
        }
    }

    /// How many votes each class has, of equal ones the first.
    fn most_votes(scores: &[Vec<f64>], count: usize, row: usize) -> u32 {
        let mut votes = vec![0u32; count];
        for (column, (first, second)) in scores.iter().zip(pairs(count)) {
            votes[if column[row] > 0.0 { first } else { second }] += 1;
        }
        let mut best = 0;
        for (class, has) in votes.iter().enumerate() {
            if *has > votes[best] {
                best = class;
            }
        }
        best as u32
    }

    /// A score for each class: its votes, and within one vote how surely it won.
    fn by_class(scores: &[Vec<f64>], count: usize) -> Vec<Vec<f64>> {
        let rows = scores.first().map_or(0, Vec::len);
        let mut votes = vec![vec![0.0; rows]; count];
        let mut sums = vec![vec![0.0; rows]; count];
        for (column, (first, second)) in scores.iter().zip(pairs(count)) {
            for (row, score) in column.iter().enumerate() {
                let (winner, confidence) = (if *score < 0.0 { second } else { first }, -score);
                sums[first][row] -= confidence;
                sums[second][row] += confidence;
                votes[winner][row] += 1.0;
            }
        }
        for (votes, sums) in votes.iter_mut().flatten().zip(sums.iter().flatten()) {
            *votes += sums / (3.0 * (sums.abs() + 1.0));
        }
        votes
    }

    /// Platt's logistic function of a score, as libsvm computes it.
    fn sigmoid(score: f64, (a, b): (f64, f64)) -> f64 {
        let x = score * a + b;
        if x >= 0.0 { (-x).exp() / (1.0 + (-x).exp()) } else { 1.0 / (1.0 + x.exp()) }
    }

    /// Shares of the classes from those of each pair: the second method of Wu, Lin and Weng, as far as libsvm goes.
    fn shares(pairwise: &[Vec<f64>]) -> Vec<f64> {
        let k = pairwise.len();
        let most = 100.max(k);
        let epsilon = 0.005 / k as f64;
        let mut p = vec![1.0 / k as f64; k];
        let mut q = vec![vec![0.0; k]; k];
        for t in 0..k {
            for j in 0..t {
                q[t][t] += pairwise[j][t] * pairwise[j][t];
                q[t][j] = q[j][t];
            }
            for j in t + 1..k {
                q[t][t] += pairwise[j][t] * pairwise[j][t];
                q[t][j] = -pairwise[j][t] * pairwise[t][j];
            }
        }
        let mut qp = vec![0.0; k];
        for _ in 0..most {
            let mut pqp = 0.0;
            for t in 0..k {
                qp[t] = (0..k).map(|j| q[t][j] * p[j]).sum();
                pqp += p[t] * qp[t];
            }
            let error = qp.iter().map(|value| (value - pqp).abs()).fold(0.0, f64::max);
            if error < epsilon {
                break;
            }
            for t in 0..k {
                let change = (-qp[t] + pqp) / q[t][t];
                p[t] += change;
                pqp = (pqp + change * (change * q[t][t] + 2.0 * qp[t])) / (1.0 + change) / (1.0 + change);
                for j in 0..k {
                    qp[j] = (qp[j] + change * q[t][j]) / (1.0 + change);
                    p[j] /= 1.0 + change;
                }
            }
        }
        p
    }

    fn probabilities(scores: &[Vec<f64>], count: usize, platt: &[(f64, f64)]) -> Vec<Vec<f64>> {
        /// What libsvm keeps from 0 and 1.
        const LEAST: f64 = 1e-7;
        let rows = scores.first().map_or(0, Vec::len);
        let mut out = vec![vec![0.0; rows]; count];
        for row in 0..rows {
            let mut pairwise = vec![vec![0.0; count]; count];
            for ((column, numbers), (first, second)) in scores.iter().zip(platt).zip(pairs(count)) {
                let share = sigmoid(column[row], *numbers).clamp(LEAST, 1.0 - LEAST);
                pairwise[first][second] = share;
                pairwise[second][first] = 1.0 - share;
            }
            out.iter_mut().zip(shares(&pairwise)).for_each(|(column, share)| column[row] = share);
        }
        out
    }

    impl Predict for Svm {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let mut scores = self.scores(x, run);
            let (count, by_pair, breaks_ties, platt) = match &self.form {
                Form::Number => return Answer::F64(scores),
                Form::Outliers { offset } => {
                    if want == Method::Samples {
                        scores.iter_mut().flatten().for_each(|score| *score += offset);
                        return Answer::F64(scores);
                    }
                    if want == Method::Decision {
                        return Answer::F64(scores);
                    }
                    return Answer::Class(vec![scores[0].iter().map(|score| u32::from(*score > 0.0)).collect()]);
                }
                Form::Classes { count, by_pair, breaks_ties, platt } => (*count, *by_pair, *breaks_ties, platt),
            };
            match (want, platt) {
                (Method::Proba, Some(platt)) => Answer::F64(probabilities(&scores, count, platt)),
                (Method::Decision, _) if count == 2 => {
                    scores.iter_mut().flatten().for_each(|score| *score = -*score);
                    Answer::F64(scores)
                }
                (Method::Decision, _) if by_pair => Answer::F64(scores),
                (Method::Decision, _) => Answer::F64(by_class(&scores, count)),
                _ if breaks_ties => Answer::Class(vec![scores::first_largest(&by_class(&scores, count), rows)]),
                _ => Answer::Class(vec![(0..rows).map(|row| most_votes(&scores, count, row)).collect()]),
            }
        }
    }
}
