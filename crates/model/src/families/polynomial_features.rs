//! `PolynomialFeatures`: products of features up to a degree, in the library's order of columns and of multiplications.

use foretell_pickle::{Value, View};

use crate::attributes::{feature_names, flag, some_attr, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "PolynomialFeatures",
    classes: &[
        ("sklearn.preprocessing._data", "PolynomialFeatures"),
        ("sklearn.preprocessing._polynomial", "PolynomialFeatures"),
        ("sklearn.preprocessing.data", "PolynomialFeatures"),
    ],
    globals: &[],
    load,
};

/// A few hundred features squared; a small file must not ask for more memory than that.
const OUTPUTS: usize = 1 << 18;
/// Products of more factors are an attack on time.
const DEGREE: usize = 64;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let learned = some_attr(view, "n_input_features_")?.map(|count| count.as_usize()).transpose()?;
    let names = feature_names(view)?;
    let count = loader.width(view, given, learned)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let degree = view.attr("degree")?;
    let (lowest, highest) = match degree.value() {
        Value::Tuple(_) | Value::List(_) => (degree.item(0)?.as_usize()?, degree.item(1)?.as_usize()?),
        _ => (0, degree.as_usize()?),
    };
    if highest > DEGREE {
        return Err(Error::unsupported(view.path(), format!("degree={highest}"), format!("degrees up to {DEGREE}")));
    }
    let once = flag(view, "interaction_only", false)?;
    let bias = flag(view, "include_bias", true)?;
    let Some(plan) = run::Plan::new(sources.len(), lowest, highest, once, OUTPUTS) else {
        let what = format!("degree={highest} of {} features", sources.len());
        return Err(Error::unsupported(view.path(), what, format!("up to {OUTPUTS} products")));
    };
    loader.hold(plan.bytes());
    let labels: Vec<&str> = sources.iter().map(|source| source.label.as_str()).collect();
    let mut out: Vec<Source> = Vec::with_capacity(plan.width(bias));
    if bias {
        out.push(Source::made_of("1".to_string(), &sources));
    }
    out.extend(plan.labels(&labels).into_iter().map(|label| Source::made_of(label, &sources)));
    let finite = Finite::new("PolynomialFeatures", &sources, false, false);
    let forwards = version(view)?.is_none_or(|version| version < (0, 22));
    let step = run::Polynomial { plan, bias, forwards, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Run, Transform};

    /// All products of one degree or more: each is a feature times a product of one degree less.
    #[derive(Debug)]
    pub(super) struct Plan {
        features: usize,
        lowest: usize,
        highest: usize,
        /// Whether no feature meets itself.
        once: bool,
        /// From degree 2 on: the feature, and the place of the product that it is multiplied with.
        steps: Vec<(u32, u32)>,
        /// Where each degree starts among all products, from degree 1 on, and where the last one ends.
        starts: Vec<usize>,
    }

    impl Plan {
        /// `None` where there are more than `limit` products.
        pub(super) fn new(features: usize, lowest: usize, highest: usize, once: bool, limit: usize) -> Option<Self> {
            let mut plan = Plan { features, lowest, highest, once, steps: Vec::new(), starts: vec![0] };
            if highest == 0 {
                return Some(plan);
            }
            if features > limit {
                return None;
            }
            plan.starts.push(features);
            // Where the products that begin with each feature start in the last degree.
            let mut firsts: Vec<usize> = (0..=features).collect();
            for _ in 2..=highest {
                let end = firsts[features];
                let mut next = Vec::with_capacity(features + 1);
                for feature in 0..features {
                    next.push(features + plan.steps.len());
                    let start = firsts[if once { feature + 1 } else { feature }];
                    if features + plan.steps.len() + (end - start) > limit {
                        return None;
                    }
                    plan.steps.extend((start..end).map(|other| (feature as u32, other as u32)));
                }
                next.push(features + plan.steps.len());
                plan.starts.push(features + plan.steps.len());
                firsts = next;
            }
            Some(plan)
        }

        pub(super) fn bytes(&self) -> usize {
            self.steps.len() * 8
        }

        /// The first product that is an output.
        fn first(&self) -> usize {
            self.starts.get(self.lowest.max(1) - 1).copied().unwrap_or_else(|| self.count())
        }

        fn count(&self) -> usize {
            if self.highest == 0 { 0 } else { self.features + self.steps.len() }
        }

        pub(super) fn width(&self, bias: bool) -> usize {
            self.count() - self.first() + usize::from(bias)
        }

        /// The names of the outputs without the bias.
        pub(super) fn labels(&self, features: &[&str]) -> Vec<String> {
            let label = |place: usize| {
                let mut parts = Vec::new();
                let mut place = place;
                while let Some(step) = place.checked_sub(self.features) {
                    let (feature, other) = self.steps[step];
                    parts.push(feature as usize);
                    place = other as usize;
                }
                parts.push(place);
                let runs = parts.chunk_by(|a, b| a == b);
                let texts: Vec<String> = runs
                    .map(|run| match run.len() {
                        1 => features[run[0]].to_string(),
                        power => format!("{}^{power}", features[run[0]]),
                    })
                    .collect();
                texts.join(" ")
            };
            (self.first()..self.count()).map(label).collect()
        }

        /// How many ways there are to pick `size` of the features from `from` on.
        fn ways(&self, from: usize, size: usize) -> usize {
            let left = self.features - from;
            let pool = if self.once { left } else { left + size - 1 };
            if size > pool {
                return 0;
            }
            // The shorter way round: no number on it is larger than the last.
            (0..size.min(pool - size)).fold(1, |ways: usize, step| ways * (pool - step) / (step + 1))
        }
    }

    #[derive(Debug)]
    pub(super) struct Polynomial {
        pub(super) plan: Plan,
        pub(super) bias: bool,
        /// Until 0.21 the factors were multiplied from the first to the last.
        pub(super) forwards: bool,
        pub(super) finite: Finite,
    }

    impl Polynomial {
        fn dense(&self, x: &Dense) -> Dense {
            let plan = &self.plan;
            let mut all = x.data.clone();
            all.reserve(plan.steps.len() * x.rows);
            for (feature, other) in &plan.steps {
                let (feature, other) = (*feature as usize, *other as usize);
                for row in 0..x.rows {
                    let value = if self.forwards {
                        self.product(x, row, feature, other)
                    } else {
                        all[other * x.rows + row] * x.data[feature * x.rows + row]
                    };
                    all.push(round(value, x.narrow));
                }
            }
            let mut data = Vec::with_capacity(plan.width(self.bias) * x.rows);
            if self.bias {
                data.resize(x.rows, 1.0);
            }
            data.extend_from_slice(&all[plan.first() * x.rows..plan.count() * x.rows]);
            Dense { data, rows: x.rows, cols: plan.width(self.bias), narrow: x.narrow }
        }

        fn product(&self, x: &Dense, row: usize, feature: usize, other: usize) -> f64 {
            let mut value = x.data[feature * x.rows + row];
            let mut place = other;
            while let Some(step) = place.checked_sub(x.cols) {
                let (feature, other) = self.plan.steps[step];
                value = round(value * x.data[feature as usize * x.rows + row], x.narrow);
                place = other as usize;
            }
            round(value * x.data[place * x.rows + row], x.narrow)
        }

        /// Products of stored entries only.
        fn sparse(&self, x: &Csr) -> Csr {
            let plan = &self.plan;
            let rows = x.rows();
            let mut out = Csr::empty(plan.width(self.bias), rows);
            out.narrow = x.narrow;
            let bias = usize::from(self.bias);
            for row in 0..rows {
                if self.bias {
                    out.push(0, 1.0);
                }
                let mut entries: Vec<(usize, f64)> = x.row(row).map(|(col, value)| (col as usize, value)).collect();
                entries.sort_by_key(|entry| entry.0);
                for degree in plan.lowest.max(1)..=plan.highest {
                    let first = plan.starts[degree - 1] - plan.first() + bias;
                    self.picks(&entries, degree, x.narrow, |rank, value| out.push((first + rank) as u32, value));
                }
                out.end_row();
            }
            out
        }

        /// Every pick of `degree` entries in order, with its place among all picks of features and its product.
        fn picks(&self, entries: &[(usize, f64)], degree: usize, narrow: bool, mut each: impl FnMut(usize, f64)) {
            // By depth: the entry, the rank of the features before it, the product up to it.
            let mut stack: Vec<(usize, usize, f64)> = Vec::with_capacity(degree);
            let mut next = 0;
            loop {
                if next < entries.len() {
                    let (rank, product, from) = match stack.last() {
                        None => (0, 1.0, 0),
                        Some((entry, rank, product)) => {
                            (*rank, *product, entries[*entry].0 + usize::from(self.plan.once))
                        }
                    };
                    let (col, value) = entries[next];
                    let left = degree - stack.len();
                    let rank = rank + self.plan.ways(from, left) - self.plan.ways(col, left);
                    let product = if stack.is_empty() { value } else { round(product * value, narrow) };
                    if left == 1 {
                        each(rank, product);
                        next += 1;
                    } else {
                        stack.push((next, rank, product));
                        next += usize::from(self.plan.once);
                    }
                } else {
                    let Some((entry, ..)) = stack.pop() else { return };
                    next = entry + 1;
                }
            }
        }
    }

    impl Transform for Polynomial {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            if let Matrix::Csr(csr) = &x {
                return Matrix::Csr(self.sparse(csr));
            }
            let dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            Matrix::Dense(self.dense(&dense))
        }
    }
}
