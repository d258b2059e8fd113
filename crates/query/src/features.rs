//! `model(*)`: the model's own feature names, looked up in the columns of the enclosing FROM.
//!
//! Rewritten in the query's text tree before planning, one SELECT at a time, innermost first: a FROM can only be asked
//! for its columns when it has no `(*)` left inside.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SetExpr, TableWithJoins,
    VisitMut, VisitorMut,
};

use crate::Error;
use crate::function::ModelCall;
use crate::parse::{function_name, nearest, only_query};
use crate::plan::logical_plan;

/// What expanding needs to know.
pub(crate) struct Features<'a> {
    pub(crate) session: &'a SessionState,
    /// The models' functions by their lower-case names.
    pub(crate) models: &'a BTreeMap<String, ModelCall>,
    /// Columns of the main table that are not decoded from the record, such as `_key`: no model takes them unnamed.
    pub(crate) metadata: &'a BTreeSet<String>,
}

/// A column of a FROM.
struct FromColumn {
    table: Option<TableReference>,
    name: String,
}

impl Features<'_> {
    /// Replaces every `model(*)` and `model(table.*)` in `query` by the call with its columns.
    pub(crate) fn expand(&self, query: &mut Query) -> Result<(), Error> {
        self.query(query, &[])
    }

    fn query(&self, query: &mut Query, outer: &[Cte]) -> Result<(), Error> {
        let mut scope = outer.to_vec();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                self.query(&mut cte.query, &scope)?;
                scope.retain(|other| other.alias.name != cte.alias.name);
                scope.push(cte.clone());
            }
        }
        let from = self.body(&mut query.body, &scope)?;
        if let Some(order_by) = &mut query.order_by {
            nested(order_by, &mut |query| self.query(query, &scope))?;
            self.calls(order_by, &from, &scope)?;
        }
        Ok(())
    }

    /// Gives the FROM that an ORDER BY sees.
    fn body(&self, body: &mut SetExpr, scope: &[Cte]) -> Result<Vec<TableWithJoins>, Error> {
        match body {
            SetExpr::Select(select) => {
                nested(select.as_mut(), &mut |query| self.query(query, scope))?;
                let from = select.from.clone();
                self.calls(select.as_mut(), &from, scope)?;
                Ok(from)
            }
            SetExpr::Query(query) => {
                self.query(query, scope)?;
                Ok(Vec::new())
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, scope)?;
                self.body(right, scope)?;
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Expands the calls that belong to this SELECT itself.
    fn calls<T: VisitMut>(&self, node: &mut T, from: &[TableWithJoins], scope: &[Cte]) -> Result<(), Error> {
        let mut found: Option<Vec<FromColumn>> = None;
        own_calls(node, &mut |function| {
            let Some(call) = function_name(function).and_then(|name| self.models.get(&name)) else { return Ok(()) };
            // Models are registered in lower case; a quoted name keeps its case.
            function.name = vec![Ident::new(call.function.as_str())].into();
            let Some(table) = wildcard(function, &call.function)? else { return Ok(()) };
            if found.is_none() {
                found = Some(self.columns(from, scope)?);
            }
            let columns = found.as_deref().unwrap_or_default();
            let columns: Vec<&FromColumn> = match &table {
                None => columns.iter().collect(),
                Some(table) => of_table(columns, table)?,
            };
            self.fill(function, call, &columns)
        })
    }

    /// The columns of a FROM, as `SELECT *` would list them.
    fn columns(&self, from: &[TableWithJoins], scope: &[Cte]) -> Result<Vec<FromColumn>, Error> {
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let plan = logical_plan(self.session, select_all(from.to_vec(), scope.to_vec())?)?;
        Ok(plan
            .schema()
            .iter()
            .map(|(table, field)| FromColumn { table: table.cloned(), name: field.name().clone() })
            .collect())
    }

    fn fill(&self, function: &mut Function, call: &ModelCall, columns: &[&FromColumn]) -> Result<(), Error> {
        let arguments = match call.scorer.signature().names() {
            Some(names) => {
                let signature = call.scorer.signature();
                let own = |name| {
                    let place = signature.column(name, columns.iter().map(|column| column.name.as_str()));
                    place.and_then(|place| columns.get(place)).map_or(name, |column| column.name.as_str())
                };
                names.into_iter().map(|name| by_name(&call.model, own(name), columns)).collect::<Result<Vec<_>, _>>()?
            }
            None => {
                let columns: Vec<_> = columns.iter().filter(|column| !self.metadata.contains(&column.name)).collect();
                let expected = call.scorer.signature().inputs.len();
                if columns.len() != expected {
                    let columns = columns.iter().map(|column| column.name.clone()).collect();
                    return Err(Error::FeatureCount { model: call.model.clone(), expected, columns });
                }
                columns.iter().map(|column| column.expr()).collect()
            }
        };
        if let FunctionArguments::List(list) = &mut function.args {
            list.args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
        }
        Ok(())
    }
}

impl FromColumn {
    fn is_of(&self, table: &str) -> bool {
        self.table.as_ref().is_some_and(|found| found.table() == table)
    }

    fn expr(&self) -> Expr {
        let name = Ident::with_quote('"', self.name.as_str());
        match &self.table {
            None => Expr::Identifier(name),
            Some(table) => {
                let mut parts: Vec<Ident> =
                    table.to_vec().into_iter().map(|part| Ident::with_quote('"', part)).collect();
                parts.push(name);
                Expr::CompoundIdentifier(parts)
            }
        }
    }
}

fn of_table<'a>(columns: &'a [FromColumn], table: &str) -> Result<Vec<&'a FromColumn>, Error> {
    let found: Vec<&FromColumn> = columns.iter().filter(|column| column.is_of(table)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let tables: BTreeSet<&str> = columns.iter().filter_map(|column| Some(column.table.as_ref()?.table())).collect();
    Err(Error::UnknownTable {
        line: 0,
        position: 0,
        table: table.to_owned(),
        nearest: nearest(table, tables.iter().copied()),
        tables: tables.into_iter().map(str::to_owned).collect(),
    })
}

fn by_name(model: &str, feature: &str, columns: &[&FromColumn]) -> Result<Expr, Error> {
    let mut found = columns.iter().filter(|column| column.name == feature);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column.expr()),
        (None, _) => Err(Error::MissingFeature {
            model: model.to_owned(),
            feature: feature.to_owned(),
            nearest: nearest(feature, columns.iter().map(|column| column.name.as_str())),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
        }),
        (Some(_), Some(_)) => Err(Error::AmbiguousFeature {
            model: model.to_owned(),
            feature: feature.to_owned(),
            tables: columns
                .iter()
                .filter(|column| column.name == feature)
                .map(|column| column.table.as_ref().map(|table| table.table().to_owned()).unwrap_or_default())
                .collect(),
        }),
    }
}

/// `Some(None)` for `(*)`, `Some(Some(table))` for `(table.*)`, `None` for arguments.
fn wildcard(function: &Function, name: &str) -> Result<Option<Option<String>>, Error> {
    let FunctionArguments::List(list) = &function.args else { return Ok(None) };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok(Some(None)),
        [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table))] => {
            let table = table.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
            Ok(Some(Some(table.unwrap_or_default())))
        }
        arguments => {
            let plain = |argument: &FunctionArg| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
            if arguments.iter().all(plain) {
                return Ok(None);
            }
            Err(Error::Unsupported {
                what: function.to_string(),
                reason: format!("write `{name}(*)`, `{name}(table.*)` or the arguments one by one"),
            })
        }
    }
}

/// `WITH … SELECT * FROM …`, which is only planned, never run.
fn select_all(from: Vec<TableWithJoins>, ctes: Vec<Cte>) -> Result<Query, Error> {
    let mut query = only_query("WITH a AS (SELECT 1) SELECT * FROM a")?;
    match &mut query.with {
        Some(with) if !ctes.is_empty() => with.cte_tables = ctes,
        _ => query.with = None,
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = from;
    }
    Ok(query)
}

/// Calls `act` on each query directly inside `node`, not on those inside them.
fn nested<T: VisitMut>(node: &mut T, act: &mut dyn FnMut(&mut Query) -> Result<(), Error>) -> Result<(), Error> {
    walk(node, act, &mut |_| Ok(()))
}

/// Calls `act` on each function call in `node`, not on those in queries inside it.
fn own_calls<T: VisitMut>(node: &mut T, act: &mut dyn FnMut(&mut Function) -> Result<(), Error>) -> Result<(), Error> {
    walk(node, &mut |_| Ok(()), act)
}

fn walk<T: VisitMut>(
    node: &mut T,
    query: &mut dyn FnMut(&mut Query) -> Result<(), Error>,
    call: &mut dyn FnMut(&mut Function) -> Result<(), Error>,
) -> Result<(), Error> {
    match node.visit(&mut Walk { depth: 0, query, call }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Walk<'a> {
    depth: usize,
    query: &'a mut dyn FnMut(&mut Query) -> Result<(), Error>,
    call: &'a mut dyn FnMut(&mut Function) -> Result<(), Error>,
}

impl VisitorMut for Walk<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let result = if self.depth == 0 { (self.query)(query) } else { Ok(()) };
        self.depth += 1;
        flow(result)
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function) if self.depth == 0 => flow((self.call)(function)),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn flow(result: Result<(), Error>) -> ControlFlow<Box<Error>> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}
