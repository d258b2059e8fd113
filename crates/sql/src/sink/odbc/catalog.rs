//! A table as ODBC's catalog has it.

use foretell_odbc::{CatalogColumn, Column as Found};

use super::super::schema::{Column, ColumnKind, Name, Table};

/// Types as ODBC numbers them.
fn kind(column: &CatalogColumn) -> ColumnKind {
    let name = column.type_name.to_lowercase();
    let digits = column.digits.and_then(|digits| u8::try_from(digits).ok()).unwrap_or(0).min(6);
    let unsigned = name.contains("unsigned");
    match (name.as_str(), column.code) {
        ("bool" | "boolean", _) => ColumnKind::Bool,
        ("json" | "jsonb", _) => ColumnKind::Json,
        ("year", _) => ColumnKind::Year,
        (name, _) if name.starts_with("enum") || name.starts_with("set") => ColumnKind::Other,
        (_, -7) => ColumnKind::Bool,
        (_, -6 | -5 | 4 | 5) if unsigned => ColumnKind::UInt,
        (_, -6 | -5 | 4 | 5) => ColumnKind::Int,
        (_, 7) => ColumnKind::Float { single: true },
        (_, 6 | 8) => ColumnKind::Float { single: false },
        // Of a number without limits, a scale below 0 or none is told.
        (_, 2 | 3) => {
            ColumnKind::Decimal { precision: 0, scale: column.digits.filter(|digits| (0..=127).contains(digits)) }
        }
        (_, 1 | 12 | -1 | -8 | -9 | -10) => ColumnKind::Text,
        (_, -4..=-2) => ColumnKind::Binary,
        (_, 9 | 91) => ColumnKind::Date,
        (name, 11 | 93 | -155) => {
            // `2026-11-24 01:02:03` has 19 characters, a point and digits come on top. Where neither is told, the column cuts.
            let size = column.size.and_then(|size| u8::try_from(size).ok());
            let digits = match (column.digits, size) {
                (Some(1..), _) | (Some(0), Some(19)) => digits,
                (_, Some(size @ 21..=29)) => size.saturating_sub(20).min(6),
                (None, Some(19)) => 0,
                _ => 6,
            };
            let instant = name.contains("zone") || name.contains("offset") || name == "timestamptz";
            ColumnKind::Time { digits, instant: instant && !name.contains("without") }
        }
        (_, 10 | 92 | -154) => ColumnKind::Clock { digits },
        _ => ColumnKind::Other,
    }
}

/// Characters of a longer type are not limited by what foretell can tell.
const LONGEST: i64 = 65_535;

fn column(column: &CatalogColumn, found: &[Found]) -> Column {
    let numbered = found.iter().any(|found| found.name == column.name && found.numbered);
    let size = column.size.filter(|size| (1..=LONGEST).contains(size)).and_then(|size| usize::try_from(size).ok());
    let name = column.type_name.to_lowercase();
    Column {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        kind: kind(column),
        needed: !column.nullable && !column.has_default && !numbered,
        computed: ["timestamp", "rowversion"].contains(&name.as_str()) && column.code == -2,
        // Fixed bytes are filled up, spaces at the end of a text are cut.
        limit: if matches!(column.code, -2 | 12 | -9) { size } else { None },
        by_number: name.starts_with("enum") || name.starts_with("set"),
        fills_null: numbered,
    }
}

/// What is known of a table; `found` are the columns of a query for all of it.
pub(super) fn table(name: &Name, columns: &[CatalogColumn], found: &[Found], unique: Vec<Vec<String>>) -> Table {
    Table {
        name: name.clone(),
        columns: columns.iter().map(|catalog| column(catalog, found)).collect(),
        unique,
        no_transactions: None,
        is_view: false,
        denied: Vec::new(),
    }
}

/// A type's name, as reference tables know it.
pub(super) fn type_name(found: &Found) -> String {
    match (found.type_name.to_lowercase().as_str(), found.code) {
        ("bool" | "boolean", _) | (_, -7) => "BOOL",
        (_, -6 | -5 | 4 | 5) => "BIGINT",
        (_, 6..=8) => "DOUBLE",
        (_, 2 | 3) => "DECIMAL",
        (_, 9 | 91) => "DATE",
        (_, 11 | 93) => "DATETIME",
        _ => "TEXT",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_number_and_name() {
        for (type_name, code, digits, expected) in [
            ("int unsigned", 4, None, ColumnKind::UInt),
            ("bit", -7, None, ColumnKind::Bool),
            ("NUMBER", 3, Some(2), ColumnKind::Decimal { precision: 0, scale: Some(2) }),
            ("NUMBER", 3, Some(-127), ColumnKind::Decimal { precision: 0, scale: None }),
            ("datetime2", 93, Some(7), ColumnKind::Time { digits: 6, instant: false }),
            ("datetimeoffset", -155, Some(7), ColumnKind::Time { digits: 6, instant: true }),
            ("DATE", 93, Some(0), ColumnKind::Time { digits: 0, instant: false }),
            ("datetime", 93, None, ColumnKind::Time { digits: 0, instant: false }),
            ("uniqueidentifier", -11, None, ColumnKind::Other),
            ("enum('a')", 1, None, ColumnKind::Other),
        ] {
            let column = CatalogColumn {
                schema: None,
                name: "c".into(),
                code,
                type_name: type_name.into(),
                size: Some(19),
                digits,
                nullable: true,
                has_default: false,
            };
            assert_eq!(kind(&column), expected, "{type_name}");
        }
    }
}
