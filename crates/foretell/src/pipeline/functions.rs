//! The SQL functions that models and encodings give to a query: `risk(…)`, `risk_shadow(…)` of its challenger, `dept(DEPT)`
//! and, where an encoding can be inverted, `dept_label(DEPT_n)`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use foretell_model::{Columns, Encoding, Limits, Method, Outputs, Reverse, Signature};
use foretell_query::{Role, Scorer};

use super::error::{PlanError, SpecPart};
use super::spec::PipelineSpec;

/// The SQL functions that a model or an encoding gives, by name.
pub(crate) type Functions = Vec<(String, Arc<dyn Scorer>)>;

/// Models and encodings as queries call them, by name.
pub(super) type Scorers = BTreeMap<String, Arc<dyn Scorer>>;

/// All functions of a spec: these, and those of the encodings that stand in it.
pub(super) fn scorers(spec: &PipelineSpec, functions: Functions) -> Result<Scorers, PlanError> {
    let mut scorers = Scorers::new();
    let mut all = functions;
    for (name, encoding) in spec.encodings.iter().filter(|(_, encoding)| !encoding.has_file()) {
        let loaded = encoding.load(&[], Limits::default());
        let loaded = loaded.map_err(|cause| PlanError { part: SpecPart::Encoding(name.clone()), cause })?;
        all.extend(of_encoding(name, loaded));
    }
    for (champion, challenger) in &spec.shadows {
        let found = all.iter().find(|(name, _)| name == challenger).map(|(_, scorer)| scorer.clone());
        all.extend(found.map(|scorer| (format!("{champion}_shadow"), Arc::new(Beside(scorer)) as Arc<dyn Scorer>)));
    }
    for (name, scorer) in all {
        if scorers.contains_key(&name) {
            let cause = anyhow!("two functions are called `{name}`: rename the model or the encoding");
            return Err(PlanError { part: SpecPart::Query, cause });
        }
        scorers.insert(name, scorer);
    }
    Ok(scorers)
}

/// The functions that an encoding gives to the query.
pub(super) fn of_encoding(name: &str, encoding: Encoding) -> Functions {
    let reverse =
        encoding.reverse().map(|reverse| (format!("{name}_label"), Arc::new(Inverse(reverse)) as Arc<dyn Scorer>));
    let mut functions: Functions = vec![(name.to_string(), Arc::new(Forward(encoding)))];
    functions.extend(reverse);
    functions
}

/// A challenger in its champion's query: a row that it refuses is NULL, and no bad record.
struct Beside(Arc<dyn Scorer>);

impl Scorer for Beside {
    fn sha256(&self) -> Option<&str> {
        self.0.sha256()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs {
        let mut outputs = self.0.score(columns, want);
        outputs.refusals.clear();
        outputs
    }
}

/// From label to code.
struct Forward(Encoding);

impl Scorer for Forward {
    fn role(&self) -> Role {
        Role::Encoding
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn score(&self, columns: &Columns<'_>, _: Method) -> Outputs {
        self.0.score(columns)
    }
}

/// From code to label.
struct Inverse(Reverse);

impl Scorer for Inverse {
    fn role(&self) -> Role {
        Role::Encoding
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn score(&self, columns: &Columns<'_>, _: Method) -> Outputs {
        self.0.score(columns)
    }
}
