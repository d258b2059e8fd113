//! Why a query is not accepted, or stops.

use arrow::datatypes::DataType;

use crate::failure::{Reason, ScoreError};

/// What is wrong with a query (`prepare`) or why it stops (`run`).
///
/// No variant holds a value from a record: only names, types, counts and pieces of the query's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing but white space and comments.
    #[error("the query is empty: write one SELECT")]
    Empty,
    /// The text is not SQL.
    #[error("{}{message}", at(.line, .column))]
    Syntax {
        /// Line in the query's text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        column: u64,
        /// What was expected and what is there.
        message: String,
    },
    /// A statement that is not a query.
    #[error("`{statement}` is not accepted: a query is one SELECT, which may begin with WITH")]
    Statement {
        /// The statement's first word.
        statement: String,
    },
    /// Several statements.
    #[error("the query has {count} statements: a query is one SELECT")]
    Statements {
        /// How many.
        count: usize,
    },
    /// SQL that a query over batches cannot have.
    #[error("`{what}` is not accepted: {reason}")]
    Unsupported {
        /// The piece of SQL.
        what: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// An expression within expressions within expressions.
    #[error(
        "an expression is nested more than {most} deep (each AND, OR or + of a chain counts): use IN (…), CASE or a \
        joined table"
    )]
    TooDeep {
        /// The most that is accepted.
        most: usize,
    },
    /// The query does not read the table that it is about.
    #[error("the query does not read `{table}`: its rows would belong to no record")]
    ReadsNothing {
        /// The table that a query has to read.
        table: String,
    },
    /// A table that does not exist.
    #[error("{}there is no table `{table}`{}: {}", at(.line, .position), suggest(.nearest), those("table", .tables))]
    UnknownTable {
        /// Line in the query's text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        position: u64,
        /// As written.
        table: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All tables that exist.
        tables: Vec<String>,
    },
    /// A function that does not exist.
    #[error("{}there is no function `{function}`{}", at(.line, .position), suggest_function(.function, .nearest))]
    UnknownFunction {
        /// Line in the query's text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        position: u64,
        /// As written.
        function: String,
        /// The most similar name.
        nearest: Option<String>,
    },
    /// A column that does not exist.
    #[error("{}there is no column `{column}`{}{}: {}", at(.line, .position), suggest(.nearest), if *.quoted { " (a text stands in single quotes: `'…'`)" } else { "" }, those("column", .columns))]
    UnknownColumn {
        /// Line in the query's text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        position: u64,
        /// As written.
        column: String,
        /// The most similar name.
        nearest: Option<String>,
        /// Whether it stands in double quotes, as a text does elsewhere.
        quoted: bool,
        /// The columns that are there.
        columns: Vec<String>,
    },
    /// A column that two tables have.
    #[error("column `{column}` is in more than one table: write `table.{column}`")]
    AmbiguousColumn {
        /// As written.
        column: String,
    },
    /// Two output columns of one name.
    #[error("the query has two columns `{column}`: name one of them with AS")]
    DuplicateColumn {
        /// The name.
        column: String,
    },
    /// A column's name is kept for foretell itself.
    #[error("column `{column}` of `{table}` has a name that is reserved: rename it")]
    ReservedColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Two tables of one name.
    #[error("there are two tables `{table}`: rename one")]
    DuplicateTable {
        /// The name.
        table: String,
    },
    /// A model or an encoding cannot be called by this name.
    #[error("a function cannot be called `{model}`: {reason}")]
    ModelName {
        /// The name.
        model: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A feature that `model(*)` does not find.
    #[error("model `{model}` needs `{feature}`, which `{model}(*)` does not find{}: {}", suggest(.nearest),
        those("column", .columns))]
    MissingFeature {
        /// The model.
        model: String,
        /// The feature's name.
        feature: String,
        /// The most similar column.
        nearest: Option<String>,
        /// The columns that are there.
        columns: Vec<String>,
    },
    /// A feature that `model(*)` finds twice.
    #[error("model `{model}` needs `{feature}`, which {} have: write `{model}(table.*)` or the arguments one by one",
        list(.tables))]
    AmbiguousFeature {
        /// The model.
        model: String,
        /// The feature's name.
        feature: String,
        /// The tables that have it.
        tables: Vec<String>,
    },
    /// `model(*)` of a model that knows no names, over another number of columns.
    #[error("`{model}` takes {} and knows no names, but `{model}(*)` finds {}: {}", plural(.expected, "feature"),
        plural(&.columns.len(), "column"), list(.columns))]
    FeatureCount {
        /// The model.
        model: String,
        /// How many features it takes.
        expected: usize,
        /// The columns that are there, in order.
        columns: Vec<String>,
    },
    /// Another number of arguments than the model has features.
    #[error("`{function}` takes {}, but has {found}: {}", plural(.expected, "argument"), features(.names))]
    Arity {
        /// The function as called.
        function: String,
        /// How many features the model takes.
        expected: usize,
        /// How many arguments are given.
        found: usize,
        /// The features' names, where the model knows them.
        names: Vec<String>,
    },
    /// An argument of a type that the model does not take.
    #[error("`{function}`: argument {position}{} is {}, but it takes {wanted}{}", named(.feature),
        type_name(.found), if .wanted == &"numbers" { ": CAST it" } else { "" })]
    ArgumentType {
        /// The function as called.
        function: String,
        /// Which argument, from 1.
        position: usize,
        /// The feature's name, where the model knows it.
        feature: Option<String>,
        /// The argument's type.
        found: DataType,
        /// What the model takes: `numbers`, `text`.
        wanted: &'static str,
    },
    /// The model has no such output.
    #[error("`{function}`: model `{model}` gives no {output}")]
    NoOutput {
        /// The function as called.
        function: String,
        /// The model.
        model: String,
        /// `probabilities`, `decision values`, …
        output: &'static str,
    },
    /// The query engine does not accept the query, for another reason.
    #[error("{}{message}", at(.line, .position))]
    Plan {
        /// Line in the query's text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        position: u64,
        /// Its own words.
        message: String,
    },
    /// Columns handed in differ from those the query was prepared for.
    #[error("`{table}`: {difference}")]
    Schema {
        /// The table.
        table: String,
        /// What differs.
        difference: String,
    },
    /// The query fails on the whole batch.
    #[error("the query fails{}: {reason}", of(.expression))]
    Failed {
        /// The failing expression, where it is known.
        expression: Option<String>,
        /// What kind of failure.
        reason: Reason,
    },
    /// A model refuses a row that does not come from one record, such as a group of an aggregate.
    #[error("`{model}` refuses a row that comes from no single record: step `{step}`{}: {reason}", column_of(.column))]
    Refused {
        /// The model.
        model: String,
        /// The step of the model that refuses.
        step: String,
        /// The feature.
        column: Option<String>,
        /// Why.
        reason: String,
    },
    /// A model broke its contract: a bug in it, not in the data.
    #[error("model `{model}` answers wrongly: {difference}")]
    Model {
        /// The model.
        model: String,
        /// What differs from its signature.
        difference: String,
    },
    /// The query engine stopped for a reason that is not in the data.
    #[error("the query engine stopped{}: {reason}", of(.expression))]
    Engine {
        /// Where, when known.
        expression: Option<String>,
        /// The kind of the failure.
        reason: &'static str,
    },
}

impl Error {
    /// Where in the query's text: line and column, both from 1.
    pub fn place(&self) -> Option<(usize, usize)> {
        let (line, column) = match self {
            Error::Syntax { line, column, .. } => (line, column),
            Error::UnknownTable { line, position, .. }
            | Error::UnknownFunction { line, position, .. }
            | Error::UnknownColumn { line, position, .. }
            | Error::Plan { line, position, .. } => (line, position),
            _ => return None,
        };
        Some((usize::try_from(*line).ok()?, usize::try_from(*column).ok()?)).filter(|(line, _)| *line > 0)
    }

    /// The same, where the query's text tells more: what stands in double quotes is a column.
    pub(crate) fn of_text(mut self, sql: &str) -> Error {
        if let Error::UnknownColumn { column, quoted, .. } = &mut self {
            *quoted = sql.contains(&format!("\"{column}\""));
        }
        self
    }

    /// Its text without the place in it.
    pub fn without_place(&self) -> String {
        let text = self.to_string();
        let Some((line, column)) = self.place() else { return text };
        text.strip_prefix(&at(&(line as u64), &(column as u64))).map(str::to_string).unwrap_or(text)
    }
}

impl From<&ScoreError> for Error {
    fn from(error: &ScoreError) -> Self {
        match error {
            ScoreError::Refused { model, refusal } => Error::Refused {
                model: model.clone(),
                step: refusal.step.clone(),
                column: refusal.column.clone(),
                reason: refusal.reason.clone(),
            },
            ScoreError::Wrong { model, difference } => {
                Error::Model { model: model.clone(), difference: difference.clone() }
            }
        }
    }
}

/// How many columns or tables an error lists.
const LISTED: usize = 40;

fn at(line: &u64, column: &u64) -> String {
    if *line == 0 { String::new() } else { format!("line {line}, column {column}: ") }
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Functions of other engines, and how the same is written here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("adddate", "d + INTERVAL '1' DAY"),
    ("curdate", "current_date()"),
    ("date_add", "d + INTERVAL '1' DAY"),
    ("date_sub", "d - INTERVAL '1' DAY"),
    ("date_subtract", "d - INTERVAL '1' DAY"),
    ("datediff", "CAST(a AS DATE) - CAST(b AS DATE)"),
    ("dateadd", "d + INTERVAL '1' DAY"),
    ("getdate", "now()"),
    ("hour", "date_part('hour', t)"),
    ("if", "CASE WHEN a THEN b ELSE c END"),
    ("iff", "CASE WHEN a THEN b ELSE c END"),
    ("isnull", "a IS NULL"),
    ("len", "length(s)"),
    ("month", "date_part('month', t)"),
    ("sysdate", "now()"),
    ("to_number", "CAST(s AS DOUBLE)"),
    ("unix_timestamp", "to_unixtime(t)"),
    ("year", "date_part('year', t)"),
];

fn suggest_function(function: &str, nearest: &Option<String>) -> String {
    let known = ELSEWHERE.iter().find(|(name, _)| name.eq_ignore_ascii_case(function));
    known.map_or_else(|| suggest(nearest), |(_, here)| format!(": write `{here}`"))
}

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

fn those(word: &str, names: &[String]) -> String {
    match names.len() {
        0 if word == "column" => "there are no columns: is `FROM records` missing?".to_string(),
        0 => format!("there are no {word}s"),
        1 => format!("the {word} is {}", list(names)),
        _ => format!("the {word}s are {}", list(names)),
    }
}

fn plural(count: &usize, word: &str) -> String {
    if *count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn features(names: &[String]) -> String {
    if names.is_empty() { "its features in their order".into() } else { list(names) }
}

fn named(feature: &Option<String>) -> String {
    feature.as_ref().map(|name| format!(" (`{name}`)")).unwrap_or_default()
}

fn of(expression: &Option<String>) -> String {
    expression.as_ref().map(|text| format!(" on `{text}`")).unwrap_or_default()
}

fn column_of(column: &Option<String>) -> String {
    column.as_ref().map(|name| format!(": column `{name}`")).unwrap_or_default()
}

/// A type as a person says it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "true or false".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytes".into()
        }
        DataType::Timestamp(..) => "a time".into(),
        DataType::Date32 | DataType::Date64 => "a date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "a time of day".into(),
        DataType::Duration(_) | DataType::Interval(_) => "an interval".into(),
        DataType::Struct(_) => "a struct".into(),
        DataType::Map(..) => "a map".into(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "a list".into(),
        DataType::Dictionary(_, values) => type_name(values),
        other if other.is_numeric() => "a number".into(),
        other => other.to_string(),
    }
}
