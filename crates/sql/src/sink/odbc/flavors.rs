//! Every database that is known behind ODBC. A new one is its own file and a line here.

use super::flavor::{Flavor, STANDARD};
use super::{db2, familiar, oracle, sqlserver};

pub(super) const FLAVORS: &[&Flavor] =
    &[&sqlserver::FLAVOR, &oracle::FLAVOR, &db2::FLAVOR, &familiar::MARIADB, &familiar::POSTGRES];

/// The one of a database's name.
pub(super) fn flavor(name: &str) -> &'static Flavor {
    let name = name.to_lowercase();
    let known = FLAVORS.iter().find(|flavor| flavor.names.iter().any(|begin| name.starts_with(begin)));
    known.copied().unwrap_or(&STANDARD)
}

#[cfg(test)]
mod tests {
    use super::super::super::insert::Insert;
    use super::super::super::progress::{OwnTables, Statements};
    use super::super::super::schema::{Column, ColumnKind, Name};
    use super::*;

    fn column(name: &str, kind: ColumnKind) -> Column {
        Column {
            name: name.to_owned(),
            type_name: String::new(),
            kind,
            needed: false,
            computed: false,
            limit: None,
            by_number: false,
            fills_null: false,
        }
    }

    fn rows(key: Option<Vec<usize>>) -> Insert {
        let columns = vec![column("id", ColumnKind::Int), column("o\"k", ColumnKind::Text)];
        Insert { table: Name::read("app.T"), columns, key, deletes: false }
    }

    #[test]
    fn each_is_found_by_what_its_drivers_call_it() {
        for (name, dialect) in [
            ("Microsoft SQL Server", "SQL Server"),
            ("Oracle", "Oracle"),
            ("DB2/LINUXX8664", "Db2"),
            ("MariaDB", "MariaDB"),
            ("MySQL", "MariaDB"),
            ("PostgreSQL", "PostgreSQL"),
            ("Firebird", "ODBC"),
        ] {
            assert_eq!(flavor(name).dialect.name(), dialect, "{name}");
        }
    }

    #[test]
    fn rows_replace_those_of_their_key() {
        let sql = |name: &str, key: Option<Vec<usize>>| {
            let flavor = flavor(name);
            (flavor.insert)(flavor.dialect, &rows(key))
        };
        assert_eq!(sql("Firebird", None), r#"INSERT INTO "app"."T" ("id", "o""k") VALUES (?,?)"#);
        let rest = r#" WHEN MATCHED THEN UPDATE SET "o""k" = n."o""k" WHEN NOT MATCHED THEN INSERT ("id", "o""k") VALUES (n."id", n."o""k")"#;
        assert_eq!(
            sql("Microsoft SQL Server", Some(vec![0])),
            r#"MERGE INTO [app].[T] WITH (HOLDLOCK) t USING (SELECT ? AS [id], ? AS [o"k]) n ON (t.[id] = n.[id]) WHEN MATCHED THEN UPDATE SET [o"k] = n.[o"k] WHEN NOT MATCHED THEN INSERT ([id], [o"k]) VALUES (n.[id], n.[o"k]);"#
        );
        assert_eq!(
            sql("Oracle", Some(vec![0])),
            format!(
                r#"MERGE INTO "app"."T" t USING (SELECT ? AS "id", ? AS "o""k" FROM dual) n ON (t."id" = n."id"){rest}"#
            )
        );
        assert_eq!(
            sql("DB2/LINUXX8664", Some(vec![0])),
            format!(
                r#"MERGE INTO "app"."T" t USING (SELECT CAST(? AS BIGINT) AS "id", CAST(? AS VARCHAR(32000)) AS "o""k" FROM SYSIBM.SYSDUMMY1) n ON (t."id" = n."id"){rest}"#
            )
        );
        // A table of nothing but its key has nothing to replace.
        assert!(!sql("Oracle", Some(vec![0, 1])).contains("UPDATE"));
        assert!(sql("MySQL", Some(vec![0])).contains("ON DUPLICATE KEY UPDATE"));
        assert!(sql("PostgreSQL", Some(vec![0])).contains("ON CONFLICT"));
    }

    #[test]
    fn each_makes_the_tables_of_positions() {
        for flavor in FLAVORS.iter().copied().chain([&STANDARD]) {
            let tables = Statements::new(flavor.dialect, OwnTables::within(None)).tables(Some(&Name::read("rejected")));
            assert_eq!(tables.len(), 3);
            for (name, sql) in tables {
                assert!(sql.contains(&name.table) && sql.contains("PRIMARY KEY"), "{}: {sql}", flavor.dialect.name());
            }
        }
    }
}
