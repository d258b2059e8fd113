//! `DictionaryLearning`, `MiniBatchDictionaryLearning`, `SparseCoder`: a row as a few of the dictionary's atoms, chosen one by
//! one (`omp`) or all that are above a threshold.

use foretell_pickle::{Kind, View};

use crate::attributes::{feature_names, flag, some_attr, version, word};
use crate::families::shared::kernels::Held;
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "dictionaries",
    classes: &[
        ("sklearn.decomposition._dict_learning", "DictionaryLearning"),
        ("sklearn.decomposition._dict_learning", "MiniBatchDictionaryLearning"),
        ("sklearn.decomposition._dict_learning", "SparseCoder"),
        ("sklearn.decomposition.dict_learning", "DictionaryLearning"),
        ("sklearn.decomposition.dict_learning", "MiniBatchDictionaryLearning"),
        ("sklearn.decomposition.dict_learning", "SparseCoder"),
    ],
    globals: &[],
    load,
};

/// More atoms than these would take long for each row.
const ATOMS: usize = 1 << 12;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let atoms = match some_attr(view, "components_")? {
        Some(atoms) => atoms,
        None => view.attr("dictionary")?,
    };
    if atoms.array()?.dtype().kind != Kind::Float {
        return Err(Error::unsupported(atoms.path(), "a dictionary of whole numbers", "one of floats"));
    }
    let atoms = Held::read(&atoms)?;
    let count = atoms.count();
    if count > ATOMS {
        return Err(Error::Limit { place: view.path(), what: "atoms", limit: ATOMS });
    }
    let how = match word(view, "transform_algorithm", "omp")? {
        "threshold" => {
            let alpha = match some_attr(view, "transform_alpha")? {
                Some(alpha) => alpha.as_f64()?,
                None => some_attr(view, "alpha")?.map_or(Ok(1.0), |alpha| alpha.as_f64())?,
            };
            run::How::Threshold { alpha, positive: flag(view, "positive_code", false)? }
        }
        "omp" => {
            let most = match some_attr(view, "transform_n_nonzero_coefs")? {
                Some(most) => most.as_usize()?,
                None => (atoms.features / 10).max(1),
            };
            if most == 0 {
                return Err(Error::state(view.path(), "a code of no atom"));
            }
            run::How::Pursuit { most: most.min(count), gram: run::gram(&atoms), casts: casts(view)? }
        }
        other => {
            let what = format!("transform_algorithm={other}, whose numbers depend on where its iterations stop");
            return Err(Error::unsupported(view.path(), what, "omp, threshold"));
        }
    };
    let splits = flag(view, "split_sign", false)?;
    let sources = loader.sources(view, given, atoms.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(atoms.points.len().saturating_mul(8));
    let width = if splits { count.saturating_mul(2) } else { count };
    let out = numbered(&class.to_ascii_lowercase(), width, &sources);
    let finite = Finite::new(&class, &sources, false, false);
    let step = Rows { inner: run::Code { atoms, how, splits }, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// Whether the products of the atoms are brought to the type of the rows.
fn casts(view: &View<'_>) -> Result<bool, Error> {
    Ok(version(view)?.is_some_and(|version| version >= CASTS))
}

/// The first version of scikit-learn that does so.
const CASTS: (u32, u32) = (1, 8);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::{Held, dot};
    use crate::families::shared::rows::OfRow;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) enum How {
        Threshold {
            alpha: f64,
            positive: bool,
        },
        Pursuit {
            most: usize,
            gram: Vec<Vec<f64>>,
            /// Whether it is brought to the type of the rows.
            casts: bool,
        },
    }

    #[derive(Debug)]
    pub(super) struct Code {
        pub(super) atoms: Held,
        pub(super) how: How,
        pub(super) splits: bool,
    }

    fn atoms(held: &Held) -> impl Iterator<Item = &[f64]> {
        held.points.chunks_exact(held.features)
    }

    /// The product of each atom with each.
    pub(super) fn gram(held: &Held) -> Vec<Vec<f64>> {
        let product = |one, other| round(dot(one, other), held.narrow);
        atoms(held).map(|one| atoms(held).map(|other| product(one, other)).collect()).collect()
    }

    /// The atoms that tell most of a row, one by one, and how much of each: all are solved for again with each that is added.
    /// Where the products of the atoms are float32 (`narrow`), so are the factors and parts.
    fn pursue(gram: &[Vec<f64>], products: &[f64], most: usize, narrow: bool) -> Vec<f64> {
        let least = if narrow { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let gram = |a: usize, b: usize| round(gram[a][b], narrow);
        let count = products.len();
        let mut code = vec![0.0; count];
        let mut chosen: Vec<usize> = Vec::new();
        let mut lower: Vec<Vec<f64>> = Vec::new();
        let mut rest = products.to_vec();
        let mut parts = Vec::new();
        while chosen.len() < most {
            let best = (0..rest.len()).fold(0, |best, at| if rest[at].abs() > rest[best].abs() { at } else { best });
            if chosen.contains(&best) || rest[best] * rest[best] < least {
                break;
            }
            let mut row: Vec<f64> = Vec::with_capacity(chosen.len() + 1);
            for (place, atom) in chosen.iter().enumerate() {
                let left = without(gram(best, *atom), row.iter().zip(&lower[place]), narrow);
                row.push(round(left / lower[place][place], narrow));
            }
            let length = round(dot(&row, &row).sqrt(), narrow);
            let left = round(gram(best, best) - round(length * length, narrow), narrow);
            if !chosen.is_empty() && left <= least {
                break;
            }
            row.push(round(left.sqrt(), narrow));
            lower.push(row);
            chosen.push(best);
            parts = solve(&lower, chosen.iter().map(|atom| round(products[*atom], narrow)), narrow);
            for (atom, rest) in rest.iter_mut().enumerate() {
                let told: f64 = chosen.iter().zip(&parts).map(|(other, part)| gram(atom, *other) * part).sum();
                *rest = products[atom] - round(told, narrow);
            }
        }
        chosen.iter().zip(parts).for_each(|(atom, part)| code[*atom] = part);
        code
    }

    /// A number without the products of others, one after the other.
    fn without<'n>(from: f64, pairs: impl Iterator<Item = (&'n f64, &'n f64)>, narrow: bool) -> f64 {
        pairs.fold(from, |left, (a, b)| round(left - round(a * b, narrow), narrow))
    }

    /// `L Lᵀ x = b`, as OpenBLAS solves it: the diagonal is turned over once, and multiplied with.
    fn solve(lower: &[Vec<f64>], b: impl Iterator<Item = f64>, narrow: bool) -> Vec<f64> {
        let over = |at: usize| round(1.0 / lower[at][at], narrow);
        let mut x: Vec<f64> = Vec::with_capacity(lower.len());
        for (row, b) in lower.iter().zip(b) {
            let left = without(b, row.iter().zip(&x), narrow);
            x.push(round(left * over(x.len()), narrow));
        }
        for at in (0..x.len()).rev() {
            let column: Vec<f64> = lower[at + 1..].iter().map(|row| row[at]).collect();
            let left = without(x[at], column.iter().zip(&x[at + 1..]), narrow);
            x[at] = round(left * over(at), narrow);
        }
        x
    }

    impl Code {
        /// Whether it is found in float32, of rows that are float32 or are not.
        fn is_narrow(&self, rows: bool) -> bool {
            match &self.how {
                How::Threshold { .. } => rows && self.atoms.narrow,
                How::Pursuit { casts: true, .. } => rows,
                How::Pursuit { .. } => self.atoms.narrow,
            }
        }
    }

    impl OfRow for Code {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let both = narrow && self.atoms.narrow;
            let products: Vec<f64> = atoms(&self.atoms).map(|atom| round(dot(atom, row), both)).collect();
            let code = match &self.how {
                How::Threshold { alpha, positive } => {
                    let one = |product: f64| {
                        let part = product.signum() * round(product.abs() - alpha, both).max(0.0);
                        if *positive { part.max(0.0) } else { part }
                    };
                    products.into_iter().map(one).collect()
                }
                How::Pursuit { most, gram, .. } => pursue(gram, &products, *most, self.is_narrow(narrow)),
            };
            if self.splits {
                out.extend(code.iter().map(|part| part.max(0.0)));
                out.extend(code.iter().map(|part| -part.min(0.0)));
            } else {
                out.extend(code);
            }
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.atoms.count() * if self.splits { 2 } else { 1 }
        }

        fn makes_narrow(&self, rows: bool) -> bool {
            !self.splits && self.is_narrow(rows)
        }
    }
}
