//! New columns made of others: by arithmetic, as sines and cosines of a cycle, by trees.

use foretell_pickle::View;

use super::numbers::tree;
use super::{demand_numbers, raises, variables};
use crate::Error;
use crate::attributes::{flag, some_attr};
use crate::families::shared::acts::{Builder, text, texts};
use crate::loader::Loader;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder, class: &str) -> Result<(), Error> {
    let columns = variables(view, build)?;
    let mut dropped = columns.clone();
    match class {
        "MathFeatures" => {
            demand_numbers(loader, build, &columns, raises(view, "raise")?);
            math(view, build, &columns)?;
        }
        "RelativeFeatures" => {
            let reference = build.places(&view.attr("reference")?)?;
            let both: Vec<usize> = columns.iter().chain(&reference).copied().collect();
            demand_numbers(loader, build, &both, raises(view, "ignore")?);
            relative(view, build, &columns, &reference)?;
            dropped = both;
        }
        "DecisionTreeFeatures" => {
            demand_numbers(loader, build, &columns, true);
            let estimators = view.attr("estimators_")?.items()?;
            for (features, estimator) in view.attr("input_features_")?.items()?.iter().zip(&estimators) {
                let name = if features.as_str().is_ok() {
                    text(features)?
                } else {
                    let quoted: Vec<String> = texts(features)?.iter().map(|name| format!("'{name}'")).collect();
                    format!("[{}]", quoted.join(", "))
                };
                let of = build.places(features)?;
                let to = build.len();
                tree(loader, view, build, estimator, (of, to))?;
                build.assign(format!("tree({name})"));
            }
        }
        _ => {
            demand_numbers(loader, build, &columns, true);
            let all = view.attr("max_values_")?;
            for at in &columns {
                let name = build.name(*at).to_string();
                let found = all.pairs()?.into_iter().find(|(key, _)| text(key).is_ok_and(|key| key == name));
                let Some((_, most)) = found else {
                    return Err(Error::state(all.path(), format!("there is no largest `{name}`")));
                };
                build.assign(format!("{name}_sin"));
                build.assign(format!("{name}_cos"));
                build.act(run::Cycle { at: *at, most: most.as_f64()? });
            }
        }
    }
    if flag(view, "drop_original", false)? {
        dropped.into_iter().for_each(|at| build.drop(at));
    }
    Ok(())
}

fn math(view: &View<'_>, build: &mut Builder, columns: &[usize]) -> Result<(), Error> {
    let function = view.attr("func")?;
    let words = match function.as_str() {
        Ok(word) => vec![word.to_string()],
        Err(_) => texts(&function)?,
    };
    let joined = columns.iter().map(|at| build.name(*at)).collect::<Vec<_>>().join("_");
    let names = match some_attr(view, "new_variables_names")? {
        Some(names) => texts(&names)?,
        None => words.iter().map(|word| format!("{word}_{joined}")).collect(),
    };
    if names.len() != words.len() {
        return Err(Error::counts(view.path(), (names.len(), "names"), (words.len(), "functions")));
    }
    for (word, name) in words.iter().zip(names) {
        let how = match word.as_str() {
            "sum" => run::Math::Sum,
            "mean" => run::Math::Mean,
            "prod" => run::Math::Product,
            "min" => run::Math::Least,
            "max" => run::Math::Largest,
            "median" => run::Math::Median,
            "std" => run::Math::Deviation,
            "var" => run::Math::Variance,
            other => {
                let supported = "sum, mean, prod, min, max, median, std, var";
                return Err(Error::unsupported(function.path(), format!("func={other}"), supported));
            }
        };
        build.assign(name);
        build.act(run::OfRow { columns: columns.to_vec(), how });
    }
    Ok(())
}

fn relative(view: &View<'_>, build: &mut Builder, columns: &[usize], reference: &[usize]) -> Result<(), Error> {
    let instead = some_attr(view, "fill_value")?.map(|value| value.as_f64()).transpose()?;
    for word in texts(&view.attr("func")?)? {
        let how = match word.as_str() {
            "add" => run::Relation::Sum,
            "sub" => run::Relation::Difference,
            "mul" => run::Relation::Product,
            "div" | "truediv" => run::Relation::Quotient,
            "floordiv" => run::Relation::Floor,
            "mod" => run::Relation::Rest,
            "pow" => run::Relation::Power,
            other => {
                let supported = "add, sub, mul, div, truediv, floordiv, mod, pow";
                return Err(Error::unsupported(view.path(), format!("func={other}"), supported));
            }
        };
        for to in reference {
            for of in columns {
                let name = format!("{}_{word}_{}", build.name(*of), build.name(*to));
                build.assign(name);
                build.act(run::Relative { of: *of, to: *to, how, instead });
            }
        }
    }
    Ok(())
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]
mod run {
    use arrow_schema::DataType;

    use crate::families::shared::acts::{Act, Columns};
    use crate::math::float32;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::round;
    use crate::step::Run;

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Math {
        Sum,
        Mean,
        Product,
        Least,
        Largest,
        Median,
        Deviation,
        Variance,
    }

    /// The sum in order, rounded to float32 after each where `narrow`.
    fn sum(all: &[f64], narrow: bool) -> f64 {
        all.iter().fold(0.0, |sum, one| round(sum + one, narrow))
    }

    impl Math {
        /// Of the numbers of a row, those that are missing left out; as float32 where they are.
        fn of(self, mut all: Vec<f64>, narrow: bool) -> f64 {
            all.retain(|one| !one.is_nan());
            let count = all.len() as f64;
            let value = match self {
                Math::Sum => sum(&all, narrow),
                Math::Product => all.iter().fold(1.0, |product, one| round(product * one, narrow)),
                _ if all.is_empty() => f64::NAN,
                Math::Mean => sum(&all, narrow) / count,
                Math::Least => all.iter().copied().fold(f64::INFINITY, f64::min),
                Math::Largest => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Math::Median => {
                    all.sort_by(f64::total_cmp);
                    let half = all.len() / 2;
                    match all.len() % 2 {
                        1 => all[half],
                        _ => round(all[half - 1] + all[half], narrow) / 2.0,
                    }
                }
                Math::Variance if all.len() < 2 => f64::NAN,
                Math::Variance => {
                    // In float64 whatever they are.
                    let mean = pairwise_sum(&all) / count;
                    let squares: Vec<f64> = all.iter().map(|one| (mean - one) * (mean - one)).collect();
                    pairwise_sum(&squares) / (count - 1.0)
                }
                Math::Deviation => Math::Variance.of(all, narrow).sqrt(),
            };
            round(value, narrow)
        }
    }

    #[derive(Debug)]
    pub(super) struct OfRow {
        pub(super) columns: Vec<usize>,
        pub(super) how: Math,
    }

    impl Act for OfRow {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            // Beside a bool numpy makes objects of them.
            let narrow = table.are_narrow(&self.columns)
                && !self.columns.iter().any(|at| table.all[*at].data_type() == &DataType::Boolean);
            let columns: Vec<Vec<f64>> = self.columns.iter().map(|at| table.numbers(*at, run)).collect();
            let row = |row: usize| self.how.of(columns.iter().map(|column| column[row]).collect(), narrow);
            let numbers = (0..table.rows).map(row).collect();
            let behind = table.all.len();
            table.put_as(behind, numbers, narrow);
        }
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Relation {
        Sum,
        Difference,
        Product,
        Quotient,
        Floor,
        Rest,
        Power,
    }

    impl Relation {
        fn divides(self) -> bool {
            matches!(self, Relation::Quotient | Relation::Floor | Relation::Rest)
        }

        /// In float32 where `narrow`.
        fn of(self, x: f64, y: f64, narrow: bool) -> f64 {
            let value = match self {
                Relation::Sum => x + y,
                Relation::Difference => x - y,
                Relation::Product => x * y,
                Relation::Quotient => x / y,
                Relation::Floor => floored(x, y, narrow).0,
                Relation::Rest => floored(x, y, narrow).1,
                Relation::Power if y == 2.0 => x * x,
                Relation::Power if narrow => (x as f32).powf(y as f32).into(),
                Relation::Power => x.powf(y),
            };
            round(value, narrow)
        }
    }

    /// The whole quotient and the rest, whose sign is the divisor's, as numpy has them.
    fn floored(x: f64, y: f64, narrow: bool) -> (f64, f64) {
        let rest = x % y;
        if y == 0.0 {
            return (x / y, rest);
        }
        let mut whole = round(round(x - rest, narrow) / y, narrow);
        let mut rest = rest;
        if rest == 0.0 {
            rest = 0.0f64.copysign(y);
        } else if (y < 0.0) != (rest < 0.0) {
            rest = round(rest + y, narrow);
            whole = round(whole - 1.0, narrow);
        }
        let floor = if whole == 0.0 {
            0.0f64.copysign(x / y)
        } else {
            let floor = whole.floor();
            if whole - floor > 0.5 { floor + 1.0 } else { floor }
        };
        (floor, rest)
    }

    #[derive(Debug)]
    pub(super) struct Relative {
        pub(super) of: usize,
        pub(super) to: usize,
        pub(super) how: Relation,
        /// What stands where it would be divided by zero.
        pub(super) instead: Option<f64>,
    }

    impl Act for Relative {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let narrow = table.are_narrow(&[self.of, self.to]);
            let (x, y) = (table.numbers(self.of, run), table.numbers(self.to, run));
            let mut out = Vec::with_capacity(table.rows);
            for (row, (x, y)) in x.into_iter().zip(y).enumerate() {
                out.push(match self.instead {
                    _ if y != 0.0 || !self.how.divides() => self.how.of(x, y, narrow),
                    Some(instead) => instead,
                    None => {
                        table.refuse(row, self.to, "zero", run);
                        0.0
                    }
                });
            }
            let behind = table.all.len();
            // pandas widens a column for a number that float32 does not hold.
            let fits = self.instead.is_none_or(|instead| round(instead, true) == instead);
            table.put_as(behind, out, narrow && fits);
        }
    }

    #[derive(Debug)]
    pub(super) struct Cycle {
        pub(super) at: usize,
        pub(super) most: f64,
    }

    impl Act for Cycle {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let turn = std::f64::consts::TAU / self.most;
            let numbers = table.numbers(self.at, run);
            let narrow = table.is_narrow(self.at);
            for (function, short) in
                [(f64::sin as fn(f64) -> f64, float32::sin as fn(f32) -> f32), (f64::cos, float32::cos)]
            {
                let of =
                    |one: &f64| if narrow { short(*one as f32 * turn as f32).into() } else { function(one * turn) };
                let behind = table.all.len();
                table.put_as(behind, numbers.iter().map(of).collect(), narrow);
            }
        }
    }
}
