//! From text to one checked SELECT: everything that a query may not have is refused here, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor,
    Value, Visit, Visitor, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::Error;

/// The names that a query may use.
pub(crate) struct Names {
    /// Tables from outside.
    pub(crate) tables: Vec<String>,
    /// SQL functions and models' functions, in lower case.
    pub(crate) functions: BTreeSet<String>,
    /// Models' functions alone, in lower case.
    pub(crate) models: BTreeSet<String>,
    /// SQL functions that give other values at a replay.
    pub(crate) volatile: BTreeSet<String>,
    /// Functions that a model could have but has not: the function, its model, what it would give.
    pub(crate) absent: Vec<(String, String, &'static str)>,
}

/// The engine walks expressions by recursion at each run, unoptimised with some kilobytes a level: this fits the 2 MiB of
/// a worker's thread.
const DEEPEST: usize = 200;

/// Words that look like functions but have a syntax of their own.
const SYNTAX: &[&str] =
    &["case", "cast", "try_cast", "safe_cast", "convert", "extract", "position", "exists", "array", "row", "interval"];

/// Functions that the planner knows without their being registered.
const SPECIAL: &[&str] = &["unnest", "make_map", "map", "grouping", "struct"];

/// One SELECT, with unnamed output columns named by their own text.
pub(crate) fn parse(sql: &str, names: &Names) -> Result<Query, Error> {
    let mut query = only_query(sql)?;
    let mut check = Check { names, tables: vec![BTreeSet::new()], depth: 0 };
    if let ControlFlow::Break(error) = query.visit(&mut check) {
        return Err(*error);
    }
    name_columns(&mut query.body, &names.models)?;
    Ok(query)
}

/// Whether `name` (in lower case) is free to be called as a function: `select`, `cast` and `unnest` are not.
pub(crate) fn is_callable(name: &str) -> bool {
    let reserved = Token::make_keyword(name);
    let reserved = matches!(&reserved, Token::Word(word) if RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword)
        || RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword));
    if reserved || SYNTAX.contains(&name) || SPECIAL.contains(&name) {
        return false;
    }
    let Ok(query) = only_query(&format!("SELECT {name}(1)")) else { return false };
    let SetExpr::Select(select) = *query.body else { return false };
    let [SelectItem::UnnamedExpr(Expr::Function(function))] = select.projection.as_slice() else { return false };
    function_name(function).as_deref() == Some(name)
}

/// The name of a function in lower case, or `None` where it has several parts.
pub(crate) fn function_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
        _ => None,
    }
}

/// The name most similar to `name`, if any is similar.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    foretell_suggest::nearest(name, names).map(str::to_owned)
}

/// Parses one query and nothing else.
pub(crate) fn only_query(sql: &str) -> Result<Query, Error> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().map_err(|error| syntax(error.into()))?;
    let first = tokens.iter().find(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon));
    match first {
        None => return Err(Error::Empty),
        Some(Token::Word(word)) if !matches!(word.value.to_uppercase().as_str(), "SELECT" | "WITH") => {
            return Err(Error::Statement { statement: word.value.to_uppercase() });
        }
        Some(_) => {}
    }
    let parsed = Parser::new(&dialect).try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| match syntax(error) {
        // The parser gives no place for the end of the text.
        Error::Syntax { line: 0, message, .. } if message.ends_with("EOF") => {
            let last = sql.trim_end().lines().last().unwrap_or_default();
            let (line, column) = (sql.trim_end().lines().count() as u64, last.chars().count() as u64 + 1);
            Error::Syntax { line, column, message: message.replace("EOF", "the end of the query") }
        }
        other => other,
    })?;
    match (statements.pop(), statements.len()) {
        (Some(Statement::Query(query)), 0) => Ok(*query),
        (Some(other), 0) => {
            let text = other.to_string();
            Err(Error::Statement { statement: text.split_whitespace().next().unwrap_or_default().to_owned() })
        }
        (_, others) => Err(Error::Statements { count: others + 1 }),
    }
}

/// The parser's messages end with ` at Line: 1, Column: 5`.
fn syntax(error: ParserError) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "the query is nested too deeply".into(),
    };
    let place = message.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, line.trim().parse().ok()?, column.trim().parse().ok()?))
    });
    match place {
        Some((message, line, column)) => Error::Syntax { line, column, message: lower_first(message) },
        None => Error::Syntax { line: 0, column: 0, message: lower_first(&message) },
    }
}

/// Messages begin in lower case, and `Expected: X, found: Y` reads without colons.
fn lower_first(message: &str) -> String {
    let message = message.trim_start_matches("sql parser error: ");
    let message = message.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1);
    let mut letters = message.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Refuses what a query over batches cannot have. `tables` holds the WITH names in scope, innermost last.
struct Check<'a> {
    names: &'a Names,
    tables: Vec<BTreeSet<String>>,
    depth: usize,
}

impl Visitor for Check<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut scope = BTreeSet::new();
        if let Some(with) = &query.with {
            if with.recursive {
                return refuse("WITH RECURSIVE", "a batch is read once: write the steps one by one");
            }
            scope.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
        }
        self.tables.push(scope);
        if !query.locks.is_empty() {
            return refuse("FOR UPDATE", "a query reads batches, there is nothing to lock");
        }
        if !query.pipe_operators.is_empty() {
            return refuse("|>", "write the query as one SELECT");
        }
        check_body(&query.body)
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Self::Break> {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            return refuse("SELECT INTO", "where rows go is said under `sinks`");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table { args: Some(_), name, .. } | TableFactor::Function { name, .. } => {
                refuse(&format!("FROM {name}(…)"), "there are no table functions, only tables")
            }
            TableFactor::TableFunction { .. } => refuse("FROM TABLE(…)", "there are no table functions, only tables"),
            TableFactor::Table { sample: Some(_), .. } => {
                refuse("TABLESAMPLE", "a replay of the batch must give the same bytes")
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        if let [part] = relation.0.as_slice()
            && let Some(ident) = part.as_ident()
            && (self.names.tables.contains(&ident.value)
                || self.tables.iter().any(|scope| scope.contains(&ident.value)))
        {
            return ControlFlow::Continue(());
        }
        let table = relation.to_string();
        let tables = self.names.tables.clone();
        let nearest = nearest(&table, tables.iter().map(String::as_str));
        let (line, position) = begin(relation);
        ControlFlow::Break(Box::new(Error::UnknownTable { line, position, table, nearest, tables }))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return ControlFlow::Break(Box::new(Error::TooDeep { most: DEEPEST }));
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let written = function.name.to_string();
        let (line, position) = begin(&function.name);
        let Some(name) = function_name(function) else {
            return ControlFlow::Break(Box::new(Error::UnknownFunction {
                line,
                position,
                function: written,
                nearest: None,
            }));
        };
        if self.names.volatile.contains(&name) {
            return refuse(
                &format!("{name}()"),
                "it gives another value at each call, but a replay of the batch must give the same bytes",
            );
        }
        if self.names.functions.contains(&name) || SPECIAL.contains(&name.as_str()) {
            return ControlFlow::Continue(());
        }
        if let Some((_, model, output)) = self.names.absent.iter().find(|(absent, _, _)| *absent == name) {
            return ControlFlow::Break(Box::new(Error::NoOutput { function: name, model: model.clone(), output }));
        }
        let candidates = self.names.models.iter().chain(&self.names.functions);
        let nearest = nearest(&name, candidates.map(String::as_str));
        ControlFlow::Break(Box::new(Error::UnknownFunction { line, position, function: written, nearest }))
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Where a name begins: line and column, or zeros.
fn begin(name: &ObjectName) -> (u64, u64) {
    let first = name.0.first().and_then(|part| part.as_ident());
    first.map(|ident| (ident.span.start.line, ident.span.start.column)).unwrap_or_default()
}

/// Replaces `mri_sha256()` by the text that it is.
pub(crate) fn fill_versions(query: &mut Query, versions: &BTreeMap<String, String>) -> Result<(), Error> {
    let filled = visit_expressions_mut(query, |expr| {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Some(version) = function_name(function).and_then(|name| versions.get(&name)) else {
            return ControlFlow::Continue(());
        };
        let empty = match &function.args {
            FunctionArguments::List(list) => list.args.is_empty(),
            FunctionArguments::None => true,
            FunctionArguments::Subquery(_) => false,
        };
        if !empty {
            let reason = "it takes no arguments".to_string();
            return ControlFlow::Break(Error::Unsupported { what: function.to_string(), reason });
        }
        *expr = Expr::Value(Value::SingleQuotedString(version.clone()).with_empty_span());
        ControlFlow::Continue(())
    });
    match filled {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Set operations are walked here, because the visitor shows only whole queries.
fn check_body(body: &SetExpr) -> ControlFlow<Box<Error>> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            check_body(left)?;
            check_body(right)
        }
        SetExpr::Insert(_) => statement("INSERT"),
        SetExpr::Update(_) => statement("UPDATE"),
        SetExpr::Delete(_) => statement("DELETE"),
        SetExpr::Merge(_) => statement("MERGE"),
        SetExpr::Table(_) => refuse("TABLE", "write `SELECT * FROM …`"),
    }
}

fn statement(statement: &str) -> ControlFlow<Box<Error>> {
    ControlFlow::Break(Box::new(Error::Statement { statement: statement.into() }))
}

fn refuse(what: &str, reason: &str) -> ControlFlow<Box<Error>> {
    ControlFlow::Break(Box::new(Error::Unsupported { what: what.into(), reason: reason.into() }))
}

/// `SELECT AGE + 1` gives the column `AGE + 1`, and `SELECT mri(*)` the column `mri`.
fn name_columns(body: &mut SetExpr, models: &BTreeSet<String>) -> Result<(), Error> {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::Query(query) => return name_columns(&mut query.body, models),
        SetExpr::SetOperation { left, .. } => return name_columns(left, models),
        _ => return Ok(()),
    };
    let mut used = BTreeSet::new();
    for item in &mut select.projection {
        let column = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(column)) => column.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().map(|part| part.value.clone()).unwrap_or_default()
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    Expr::Function(function) => function_name(function),
                    _ => None,
                };
                let name = match name {
                    Some(name) if name == "unnest" => continue,
                    Some(name) if models.contains(&name) && !used.contains(&name) => name,
                    _ => expr.to_string(),
                };
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name.as_str()) };
                name
            }
            _ => continue,
        };
        if !used.insert(column.clone()) {
            return Err(Error::DuplicateColumn { column });
        }
    }
    Ok(())
}
