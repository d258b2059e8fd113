//! A table in a database: MariaDB, MySQL, PostgreSQL or SQLite.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use foretell_flow::StageError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::sink::databases;
use crate::sink::read::{self, What};
use crate::sink::schema::Texts;
use foretell_connect::kind::{Kind, SettingsError, TableSettings, schema_of, settings_of};
use foretell_connect::secret::SecretUrl;
use foretell_connect::table::{Places, Rows};
use foretell_decode::{MOST_DIGITS, parse_decimal};

/// The kind `sql`.
pub const KIND: Kind<dyn TableSettings> = Kind { name: "sql", inherits: &[], schema: schema_of::<Settings>, parse };

/// A table or a query of MariaDB, MySQL, PostgreSQL or SQLite, read in a transaction that cannot write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database, as a `sql` sink writes it: `mysql://user:password@host:3306/database`, `postgres://…`,
    /// `sqlite://path`.
    pub url: SecretUrl,
    /// All rows of this table: `table` or `schema.table`.
    #[serde(default)]
    pub table: Option<String>,
    /// Instead of `table`: one SELECT in the database's own SQL.
    #[serde(default)]
    pub query: Option<String>,
}

fn parse(value: Value) -> Result<Box<dyn TableSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
    if settings.table.is_some() == settings.query.is_some() {
        return Err(SettingsError { path: Vec::new(), message: "either `table` or `query` is needed".to_string() });
    }
    Ok(Box::new(settings))
}

impl Settings {
    /// Where the rows are, without secrets.
    pub fn describe(&self) -> String {
        let what = self.table.as_ref().map_or_else(|| "a query".to_string(), |table| format!("table {table}"));
        format!("{what} ({})", databases::scheme(&self.url))
    }
}

#[async_trait]
impl TableSettings for Settings {
    fn takes_types(&self) -> Result<(), &'static str> {
        Err("leave it out: cast in a `query` instead")
    }

    /// The rows are put in order, so that the same rows are the same table however the database gives them.
    async fn read(&self, base: &Path, _types: &Map<String, Value>) -> Result<Rows, StageError> {
        let what = match (&self.table, &self.query) {
            (Some(table), None) => What::Table(table.clone()),
            (None, Some(query)) => What::Query(query.clone()),
            _ => return Err(StageError::settings("either `table` or `query` is needed")),
        };
        let batch = typed(&read::read(&self.url, base, &what).await?)?;
        Ok(Rows { batch: in_order(&batch)?, places: Places::Rows(self.describe()) })
    }
}

/// The type of a column by its type's name in the database.
fn type_of(name: &str) -> DataType {
    let name = name.to_ascii_uppercase();
    let bare = name.trim_end_matches(" UNSIGNED");
    match bare {
        "BOOL" => DataType::Boolean,
        "DATE" => DataType::Date32,
        "DATETIME" | "TIMESTAMP" | "TIMESTAMPTZ" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        // MariaDB's BOOLEAN is a small integer, and so is SQLite's.
        "BOOLEAN" | "INTEGER" | "YEAR" | "OID" => DataType::Int64,
        "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "REAL" => DataType::Float64,
        // How many digits stand behind the point, the values tell.
        "DECIMAL" | "NUMERIC" => DataType::Decimal128(MOST_DIGITS, 0),
        "INT" | "INT2" | "INT4" | "INT8" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "BIGINT" => DataType::Int64,
        _ => DataType::Utf8,
    }
}

fn typed(texts: &Texts) -> Result<RecordBatch, StageError> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (index, (name, type_name)) in texts.columns.iter().enumerate() {
        if name.is_empty() || fields.iter().any(|field| field.name() == name) {
            let message = format!("column {} has no name, or the name of another", index.saturating_add(1));
            return Err(StageError::settings(message).remedy("give it one in the query (`AS`)"));
        }
        let data_type = type_of(type_name);
        // PostgreSQL writes UTC as `+00`.
        let is_time = matches!(data_type, DataType::Timestamp(..));
        let text = |row: &Vec<Option<String>>| {
            let text = row.get(index).cloned().flatten();
            text.map(|text| if is_time { text.trim_end_matches("+00").to_string() } else { text })
        };
        let values: StringArray = texts.rows.iter().map(text).collect();
        let read = match data_type {
            DataType::Decimal128(..) => decimals(&values),
            _ => exact(&values, &data_type),
        };
        let values = read.map_err(|why| {
            StageError::settings(format!("column `{name}` ({type_name}): {why}")).remedy("cast it in the query")
        })?;
        fields.push(Field::new(name, values.data_type().clone(), true));
        columns.push(values);
    }
    if columns.is_empty() {
        return Err(StageError::settings("the query gives no column"));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    batch.map_err(|_| StageError::settings("the rows have several lengths"))
}

/// Numbers with as many digits behind the point as that with the most has.
fn decimals(values: &StringArray) -> Result<ArrayRef, String> {
    let behind = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end().len());
    let Some(most) = values.iter().flatten().map(behind).max() else {
        return Ok(Arc::new(Decimal128Array::new_null(values.len()).with_data_type(EMPTY)));
    };
    let scale = u8::try_from(most).ok().filter(|scale| *scale <= MOST_DIGITS);
    let read = |text: Option<&str>| match (text, scale) {
        (None, _) => Some(None),
        (Some(text), Some(scale)) => parse_decimal(text.trim(), scale).map(Some),
        (Some(_), None) => None,
    };
    let numbers: Option<Vec<Option<i128>>> = values.iter().map(read).collect();
    let numbers = numbers.ok_or_else(|| {
        format!(
            "a value is not a number of at most {MOST_DIGITS} digits, {most} of them behind the point as others have"
        )
    })?;
    let data_type = DataType::Decimal128(MOST_DIGITS, i8::try_from(most).unwrap_or_default());
    Ok(Arc::new(Decimal128Array::from(numbers).with_data_type(data_type)))
}

/// Of a column without a value, to which later ones are brought.
const EMPTY: DataType = DataType::Decimal128(MOST_DIGITS, 10);

/// Values of another type, none of which is changed.
fn exact(values: &StringArray, data_type: &DataType) -> Result<ArrayRef, String> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let read = cast_with_options(values, data_type, &strict);
    let read = read.map_err(|_| format!("a value cannot be read as {data_type}"))?;
    let infinite = |row: usize| {
        let digits = values.value(row).bytes().any(|byte| byte.is_ascii_digit());
        digits && read.as_primitive::<Float64Type>().value(row).is_infinite()
    };
    if *data_type == DataType::Float64 && (0..read.len()).any(|row| read.is_valid(row) && infinite(row)) {
        return Err("a value is out of the range of a float64".to_string());
    }
    Ok(read)
}

/// The rows of a table that was read again in the columns that it had: decimals with fewer digits behind the point than
/// then get zeros. `None` where it has other columns.
pub fn refit(batch: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let same = |(a, b): (&FieldRef, &FieldRef)| a.name() == b.name();
    let (found, wished) = (batch.schema(), schema.fields());
    if found.fields().len() != wished.len() || !found.fields().iter().zip(wished).all(same) {
        return None;
    }
    let column = |(column, field): (&ArrayRef, &FieldRef)| match (column.data_type(), field.data_type()) {
        (found, wished) if found == wished => Some(column.clone()),
        (DataType::Decimal128(_, found), DataType::Decimal128(_, wished)) if found < wished => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(column, field.data_type(), &strict).ok()
        }
        _ => None,
    };
    let columns: Option<Vec<ArrayRef>> = batch.columns().iter().zip(wished).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns?).ok()
}

fn in_order(batch: &RecordBatch) -> Result<RecordBatch, StageError> {
    let failed = |_| StageError::settings("the rows cannot be compared");
    let fields = batch.columns().iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(batch.columns()));
    let rows = rows.map_err(failed)?;
    let mut order: Vec<u32> = (0..).take(batch.num_rows()).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    take_record_batch(batch, &UInt32Array::from(order)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;
    use arrow::util::pretty::pretty_format_batches;
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Executor};

    use super::*;

    async fn read(folder: &Path, settings: serde_json::Value) -> Result<Rows, String> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        settings.read(folder, &Map::new()).await.map_err(|error| error.message)
    }

    /// The first column's type and values.
    fn shown(rows: &Rows) -> (String, Vec<String>) {
        let column = rows.batch.column(0);
        let values = (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()).collect();
        (column.data_type().to_string(), values)
    }

    /// What needs services.
    mod services {
        use super::*;

        #[tokio::test]
        async fn decimals_of_real_databases_are_exact() {
            let service = |name: &str| {
                std::env::var(name).unwrap_or_else(|_| {
                    panic!("{name} is not set: start the services with `dev/services up` and use what it prints")
                })
            };
            let folder = tempfile::tempdir().unwrap();
            let numbers = ["12345678901234567890.123456789", "-0.000000001", "1.000000000"];
            let select = |of: &str| {
                let rows = numbers.map(|number| format!("SELECT CAST('{number}' AS {of}) AS d"));
                format!("{} UNION ALL SELECT NULL", rows.join(" UNION ALL "))
            };
            for (name, of) in [
                ("FORETELL_POSTGRES_URL", "NUMERIC(38,9)"),
                ("FORETELL_POSTGRES_URL", "NUMERIC"),
                ("FORETELL_MARIADB_URL", "DECIMAL(38,9)"),
            ] {
                let settings = serde_json::json!({ "url": service(name), "query": select(of) });
                let rows = read(folder.path(), settings).await.unwrap();
                let (data_type, mut values) = shown(&rows);
                values.sort();
                let mut expected = [&numbers[..], &[""]].concat();
                expected.sort_unstable();
                assert_eq!(
                    (data_type.as_str(), values),
                    ("Decimal128(38, 9)", expected.iter().map(ToString::to_string).collect())
                );

                let too_long = format!("SELECT CAST('{}' AS DECIMAL(50,0)) AS d", "9".repeat(40));
                let settings = serde_json::json!({ "url": service(name), "query": too_long });
                let error = read(folder.path(), settings).await.unwrap_err();
                assert!(error.contains("column `d`") && error.contains("at most 38 digits"), "{error}");
                assert!(!error.contains("999"), "{error}");
            }
        }
    }

    #[test]
    fn a_table_read_again_keeps_the_digits_that_it_had() {
        let decimals = |number: i128, behind: i8| {
            let array = Decimal128Array::from(vec![number]).with_precision_and_scale(MOST_DIGITS, behind).unwrap();
            RecordBatch::try_from_iter_with_nullable([("d", Arc::new(array) as ArrayRef, true)]).unwrap()
        };
        let before = decimals(125, 2).schema();
        assert_eq!(refit(&decimals(15, 1), &before), Some(decimals(150, 2)));
        assert_eq!(refit(&decimals(125, 2), &before), Some(decimals(125, 2)));
        assert_eq!(refit(&decimals(1255, 3), &before), None, "a digit would be lost");
    }

    #[tokio::test]
    async fn a_sqlite_table_keeps_its_types_and_digits_and_is_put_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("t.db")).create_if_missing(true);
        let mut database = options.connect().await.unwrap();
        let sql = "CREATE TABLE depts (id INTEGER, name TEXT, weight REAL, day DATE, at TIMESTAMP, open BOOLEAN, any); \
                   INSERT INTO depts VALUES (3, 'c', 0.1 + 0.2, '2024-02-29', '2024-02-29 12:00:00', 1, 7), \
                   (1, NULL, 2, NULL, NULL, NULL, 8), (2, 'b''b', 1e300, NULL, '2024-01-01 00:00:00.5', 0, NULL)";
        database.execute(sqlx::raw_sql(sql)).await.unwrap();
        let all = serde_json::json!({ "url": "sqlite://t.db", "table": "depts" });
        let rows = read(folder.path(), all.clone()).await.unwrap();
        let types: Vec<String> = rows.batch.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
        let time = "Timestamp(µs, \"UTC\")";
        assert_eq!(types, ["Int64", "Utf8", "Float64", "Date32", time, "Int64", "Int64"]);
        let table = pretty_format_batches(std::slice::from_ref(&rows.batch)).unwrap().to_string();
        let cells = |line: &str| line.split('|').map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join(",");
        let body: Vec<String> = table.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect();
        let last = "3,c,0.30000000000000004,2024-02-29,2024-02-29T12:00:00Z,1,7";
        assert_eq!(body, ["1,2.0,8", "2,b'b,1e300,2024-01-01T00:00:00.500Z,0", last]);
        assert_eq!(rows.place(1), "table depts (sqlite): row 2");

        let query = |query: &str| serde_json::json!({ "url": "sqlite://t.db", "query": query });
        database
            .execute(sqlx::raw_sql("CREATE TABLE prices (p NUMERIC); INSERT INTO prices VALUES (1), (2.5)"))
            .await
            .unwrap();
        let rows = read(folder.path(), serde_json::json!({ "url": "sqlite://t.db", "table": "prices" })).await.unwrap();
        assert_eq!(shown(&rows), ("Decimal128(38, 1)".to_string(), vec!["1.0".to_string(), "2.5".to_string()]));

        let rows = read(folder.path(), query("SELECT max(id) AS most, count(*) AS n FROM depts")).await.unwrap();
        assert_eq!(rows.batch.num_columns(), 2);
        assert_eq!(rows.batch.schema().field(0).data_type(), &DataType::Int64);
        let none = read(folder.path(), query("SELECT id, name FROM depts WHERE id > 9")).await.unwrap();
        assert_eq!((none.batch.num_rows(), none.batch.schema().field(0).data_type()), (0, &DataType::Int64));

        for (settings, says) in [
            (query("DELETE FROM depts"), "readonly"),
            (query("SELECT id, id FROM depts"), "column 2 has no name, or the name of another"),
            (query("SELECT x'00' AS b"), "column 1 is not text"),
            (serde_json::json!({ "url": "sqlite://t.db", "table": "dept" }), "there is no table `dept`"),
            (serde_json::json!({ "url": "sqlite://none.db", "table": "depts" }), "the file does not exist"),
        ] {
            let error = read(folder.path(), settings).await.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(read(folder.path(), all).await.unwrap().batch.num_rows(), 3, "nothing was deleted");
    }
}
