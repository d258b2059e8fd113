//! General regression models: parameters that are products of covariates and of levels of factors, their sums, and what
//! a link makes of these. `glm` of R writes them.

use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::value::Val;
use super::xml::Element;
use crate::Error;
use crate::math::normal::share_below;

/// What a parameter is multiplied by.
#[derive(Debug)]
enum Factor {
    /// A number, to a power.
    Covariate(usize, f64),
    /// 1 where the field has the value, else 0.
    Level(usize, Val),
}

/// A coefficient and what it is multiplied by.
#[derive(Debug)]
struct Term {
    factors: Vec<Factor>,
    beta: f64,
}

#[derive(Debug, Clone, Copy)]
enum Link {
    Identity,
    Log,
    Logc,
    Logit,
    Probit,
    Cloglog,
    Loglog,
    Cauchit,
    Negbin(f64),
    OddsPower(f64),
    Power(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The sum behind the link.
    Number,
    /// The first class behind the link, the second what it leaves.
    Binomial,
    /// An exponential for each class but the last, which has 1.
    Multinomial,
    /// The link gives how likely a class or one before it is.
    Ordinal,
}

#[derive(Debug)]
pub(super) struct General {
    form: Form,
    link: Link,
    /// The one of a number, or those of each class but the last.
    sums: Vec<Vec<Term>>,
    classes: Vec<Arc<str>>,
    offset: Offset,
}

#[derive(Debug)]
enum Offset {
    Number(f64),
    Field(usize),
}

impl Link {
    fn of(element: Element<'_>, name: &str) -> Result<Link, Error> {
        let parameter = || element.number_or("linkParameter", f64::NAN);
        Ok(match element.get(name).unwrap_or("identity") {
            "identity" => Link::Identity,
            "log" => Link::Log,
            "logc" => Link::Logc,
            "logit" => Link::Logit,
            "probit" => Link::Probit,
            "cloglog" => Link::Cloglog,
            "loglog" => Link::Loglog,
            "cauchit" => Link::Cauchit,
            "negbin" => Link::Negbin(element.number_or("distParameter", f64::NAN)?),
            "oddspower" => Link::OddsPower(parameter()?),
            "power" => Link::Power(parameter()?),
            other => return Err(element.error(format!("there is no link `{other}`"))),
        })
    }

    /// The way back from a sum.
    fn back(self, x: f64) -> f64 {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Link::Identity => x,
            Link::Log => x.exp(),
            Link::Logc => 1.0 - x.exp(),
            Link::Logit => logistic(x),
            Link::Probit => share_below(x),
            Link::Cloglog => 1.0 - (-x.exp()).exp(),
            Link::Loglog => (-(-x).exp()).exp(),
            Link::Cauchit => 0.5 + x.atan() / std::f64::consts::PI,
            Link::Negbin(d) => 1.0 / (d * ((-x).exp() - 1.0)),
            Link::OddsPower(0.0) => logistic(x),
            Link::OddsPower(d) => 1.0 / (1.0 + (1.0 + d * x).powf(-1.0 / d)),
            Link::Power(0.0) => x.exp(),
            Link::Power(d) => x.powf(1.0 / d),
        }
    }
}

impl General {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
    ) -> Result<General, Error> {
        let kind = element.attribute("modelType")?;
        let form = match (kind, is_classifier) {
            ("regression" | "generalLinear" | "generalizedLinear", false) => Form::Number,
            ("generalizedLinear", true) => Form::Binomial,
            ("multinomialLogistic", true) => Form::Multinomial,
            ("ordinalMultinomial", true) => Form::Ordinal,
            (other, _) => {
                let known = "regression, generalLinear, generalizedLinear, multinomialLogistic, ordinalMultinomial";
                return Err(element.unsupported(format!("modelType='{other}' of this function"), known));
            }
        };
        for unread in ["trialsVariable", "trialsValue"] {
            if element.get(unread).is_some() {
                return Err(element.unsupported(unread, "a model of single trials"));
            }
        }
        let link = match form {
            Form::Ordinal => {
                Link::of(element, "cumulativeLinkFunction").or_else(|_| Link::of(element, "cumulativeLink"))?
            }
            Form::Multinomial => Link::Identity,
            _ if kind == "generalizedLinear" => Link::of(element, "linkFunction")?,
            _ => Link::Identity,
        };
        let offset = match element.get("offsetVariable") {
            Some(_) => Offset::Field(compiler.scope.find(element, "offsetVariable")?.slot),
            None => Offset::Number(element.number_or("offsetValue", 0.0)?),
        };
        let cells: Vec<(Option<&str>, &str, f64)> = element
            .needed("ParamMatrix")?
            .all("PCell")
            .map(|cell| {
                let beta = cell.number("beta")?.ok_or_else(|| cell.error("it has no `beta`"))?;
                Ok((cell.get("targetCategory"), cell.attribute("parameterName")?, beta))
            })
            .collect::<Result<_, Error>>()?;
        let classes = if form == Form::Number { Vec::new() } else { classes(element, compiler, form, &cells)? };
        let mut sums = Vec::new();
        for class in 0..classes.len().saturating_sub(1).max(1) {
            let mut terms = Vec::new();
            for (target, parameter, beta) in &cells {
                // What names no class counts for each of them.
                if form == Form::Number
                    || target.is_none_or(|target| classes.get(class).is_some_and(|one| &**one == target))
                {
                    terms.push(Term { factors: factors(element, compiler, parameter)?, beta: *beta });
                }
            }
            sums.push(terms);
        }
        Ok(General { form, link, sums, classes, offset })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let offset = match self.offset {
            Offset::Number(offset) => Some(offset),
            Offset::Field(slot) => row.get(slot).and_then(Val::number),
        };
        let sum = |terms: &Vec<Term>| -> Option<f64> {
            let sum = terms.iter().try_fold(0.0, |sum, term| Some(sum + term.beta * term.product(row)?));
            Some(sum? + offset?)
        };
        let sums: Option<Vec<f64>> = self.sums.iter().map(sum).collect();
        let Some(sums) = sums else { return Told::value(Val::Missing) };
        let mut shares: Vec<f64> = match self.form {
            Form::Number => return Told::number(sums.first().map(|sum| self.link.back(*sum))),
            Form::Multinomial => sums.iter().map(|sum| sum.exp()).chain([1.0]).collect(),
            Form::Binomial | Form::Ordinal => sums.iter().map(|sum| self.link.back(*sum)).chain([1.0]).collect(),
        };
        if self.form == Form::Multinomial {
            let all: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share /= all);
        } else {
            // Each is what it adds to those before it.
            let mut before = 0.0;
            for share in &mut shares {
                let up_to = *share;
                *share = up_to - before;
                before = up_to;
            }
        }
        Told::likeliest(self.classes.iter().cloned().zip(shares).collect())
    }
}

impl Term {
    /// What its coefficient is multiplied by; `None` where a value is missing.
    fn product(&self, row: &[Val]) -> Option<f64> {
        self.factors.iter().try_fold(1.0, |product, factor| {
            let at = |slot: usize| row.get(slot).unwrap_or(&Val::Missing);
            Some(match factor {
                Factor::Covariate(slot, 1.0) => product * at(*slot).number()?,
                Factor::Covariate(slot, power) => product * at(*slot).number()?.powf(*power),
                Factor::Level(slot, _) if at(*slot).is_missing() => return None,
                Factor::Level(slot, value) => product * f64::from(u8::from(at(*slot).same(value))),
            })
        })
    }
}

/// The classes, that of reference last.
fn classes(
    element: Element<'_>,
    compiler: &mut Compiler<'_>,
    form: Form,
    cells: &[(Option<&str>, &str, f64)],
) -> Result<Vec<Arc<str>>, Error> {
    let reference = element.get("targetReferenceCategory");
    for class in cells.iter().filter_map(|(target, ..)| *target).chain(reference) {
        compiler.class(class);
    }
    let mut classes = compiler.classes.clone();
    let named = |class: &str| cells.iter().any(|(target, ..)| *target == Some(class));
    let last = match reference {
        Some(reference) => classes.iter().position(|class| &**class == reference),
        // The one that no coefficient is of; or the last one.
        None => classes
            .iter()
            .position(|class| !named(class))
            .filter(|_| form != Form::Ordinal && cells.iter().any(|(target, ..)| target.is_some())),
    };
    if let Some(last) = last {
        let class = classes.remove(last);
        classes.push(class);
    }
    if classes.len() < 2 || (form == Form::Binomial && classes.len() > 2) {
        return Err(element.error(format!("{} classes", classes.len())));
    }
    Ok(classes)
}

/// What a parameter is multiplied by: none for an intercept.
fn factors(element: Element<'_>, compiler: &Compiler<'_>, parameter: &str) -> Result<Vec<Factor>, Error> {
    let list = |name: &'static str, predictor: &str| {
        let predictors = element.child(name).into_iter().flat_map(|list| list.all("Predictor"));
        predictors.filter(|one| one.get("name") == Some(predictor)).last()
    };
    let mut factors = Vec::new();
    for cell in element.child("PPMatrix").into_iter().flat_map(|matrix| matrix.all("PPCell")) {
        if cell.get("parameterName") != Some(parameter) {
            continue;
        }
        let predictor = cell.attribute("predictorName")?;
        let field = compiler.scope.find(cell, "predictorName")?;
        factors.push(match list("FactorList", predictor) {
            Some(factor) if factor.child("Matrix").is_some() => {
                return Err(factor.unsupported("a contrast matrix", "levels of factors"));
            }
            Some(_) => {
                let value = field.kind.parse(cell.attribute("value")?);
                Factor::Level(field.slot, value.ok_or_else(|| cell.error("its value is not of the field's type"))?)
            }
            None if list("CovariateList", predictor).is_some() => {
                Factor::Covariate(field.slot, cell.number_or("value", 1.0)?)
            }
            None => return Err(cell.error(format!("`{predictor}` is neither a factor nor a covariate"))),
        });
    }
    Ok(factors)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    use arrow_array::{ArrayRef, Float64Array, StringArray};

    use crate::{Columns, LoadOptions, Method, Model};

    /// A model over `age` and `sex` with these attributes, parameters by predictor, and coefficients.
    fn model(attributes: &str, parameters: &str, betas: &str) -> Model {
        let text = format!(
            "<PMML version='4.4'><DataDictionary><DataField name='age' optype='continuous' dataType='double'/>\
             <DataField name='sex' optype='categorical' dataType='string'/><DataField name='y' optype='categorical' \
             dataType='string'><Value value='no'/><Value value='maybe'/><Value value='yes'/></DataField></DataDictionary>\
             <GeneralRegressionModel {attributes}><MiningSchema><MiningField name='age'/><MiningField name='sex'/>\
             <MiningField name='y' usageType='target'/></MiningSchema><FactorList><Predictor name='sex'/></FactorList>\
             <CovariateList><Predictor name='age'/></CovariateList><PPMatrix>{parameters}</PPMatrix>\
             <ParamMatrix>{betas}</ParamMatrix></GeneralRegressionModel></PMML>"
        );
        Model::load(text.as_bytes(), &LoadOptions::default()).unwrap()
    }

    fn ask(model: &Model, want: Method) -> (Vec<Vec<f64>>, Vec<u32>) {
        let age = Float64Array::from(vec![Some(40.0), Some(20.0), None]);
        let sex = StringArray::from(vec!["f", "m", "f"]);
        let columns: [ArrayRef; 2] = [Arc::new(age), Arc::new(sex)];
        let told = model.score(&Columns::new(&columns, 3), want);
        let numbers = told.columns.iter().map(|column| column.as_primitive::<Float64Type>().values()[..2].to_vec());
        (numbers.collect(), told.refusals.iter().map(|refusal| refusal.row).collect())
    }

    const PARAMETERS: &str = "<PPCell parameterName='b' predictorName='age' value='1'/><PPCell parameterName='c' \
                              predictorName='sex' value='f'/><PPCell parameterName='d' predictorName='age' value='2'/>\
                              <PPCell parameterName='d' predictorName='sex' value='f'/>";

    #[test]
    fn a_number_is_the_sum_of_products_behind_its_link() {
        let betas = "<PCell parameterName='a' beta='0.5'/><PCell parameterName='b' beta='0.01'/>\
                     <PCell parameterName='c' beta='-0.25'/><PCell parameterName='d' beta='0.001'/>";
        let attributes = "functionName='regression' modelType='generalizedLinear' linkFunction='log' offsetValue='0.1'";
        let (told, refused) = ask(&model(attributes, PARAMETERS, betas), Method::Predict);
        let sums = [0.5f64 + 0.4 - 0.25 + 0.001 * 1600.0 + 0.1, 0.5 + 0.2 + 0.1];
        assert_eq!(refused, [2]);
        told[0].iter().zip(sums).for_each(|(told, sum)| assert!((told - sum.exp()).abs() < 1e-12, "{told}"));
    }

    #[test]
    fn classes_share_what_their_sums_give() {
        let betas = "<PCell targetCategory='no' parameterName='a' beta='0.5'/><PCell targetCategory='no' \
                     parameterName='b' beta='0.01'/><PCell targetCategory='maybe' parameterName='c' beta='2'/>";
        let (told, refused) = ask(
            &model("functionName='classification' modelType='multinomialLogistic'", PARAMETERS, betas),
            Method::Proba,
        );
        let (no, maybe) = (0.9f64.exp(), 2f64.exp());
        let all = no + maybe + 1.0;
        assert_eq!(refused, [2]);
        for (column, wanted) in told.iter().zip([no / all, maybe / all, 1.0 / all]) {
            assert!((column[0] - wanted).abs() < 1e-12, "{told:?}");
        }
    }

    #[test]
    fn an_order_of_classes_is_cut_at_thresholds() {
        let betas = "<PCell targetCategory='no' parameterName='a' beta='-1'/><PCell targetCategory='maybe' \
                     parameterName='a' beta='0.5'/><PCell parameterName='b' beta='0.01'/>";
        let attributes = "functionName='classification' modelType='ordinalMultinomial' cumulativeLinkFunction='logit'";
        let (told, _) = ask(&model(attributes, PARAMETERS, betas), Method::Proba);
        let up_to = [-0.6f64, 0.9].map(|x| 1.0 / (1.0 + (-x).exp()));
        for (column, wanted) in told.iter().zip([up_to[0], up_to[1] - up_to[0], 1.0 - up_to[1]]) {
            assert!((column[0] - wanted).abs() < 1e-12, "{told:?}");
        }
    }
}
