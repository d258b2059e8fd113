//! What is said at start of what is wrong.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use foretell_flow::{Fault, StageError};
use serde_json::{Value, json};

use crate::target::{Server, Target, batch, claim, context, parse};

async fn refusal(target: &Target, columns: &[&str], more: Value) -> StageError {
    let column = |name| (name, Arc::new(Int64Array::from(vec![1])) as ArrayRef);
    let rows = batch(columns.iter().copied().map(column).collect());
    let error = target.open(&rows.schema(), more).await.err().expect("the settings are refused");
    assert_eq!(error.fault, Fault::Settings, "{error}");
    error
}

fn engine(target: &Target) -> &'static str {
    if target.server == Server::MariaDb { " ENGINE=InnoDB" } else { "" }
}

async fn table(target: &mut Target) {
    let sql = format!("CREATE TABLE result (pno INT, pretime INT){}", engine(target));
    target.run(&sql).await;
}

pub async fn a_missing_table(target: &mut Target) {
    table(target).await;
    let error = refusal(target, &["pno"], json!({ "table": "resutl" })).await.to_string();
    assert!(error.starts_with("table `resutl` ("), "{error}");
    assert!(
        error.ends_with("the table does not exist; did you mean `result`? create it, or set `create: true`"),
        "{error}"
    );
}

pub async fn a_missing_column(target: &mut Target) {
    table(target).await;
    let error = refusal(target, &["pno", "pretmie"], json!({})).await;
    assert_eq!(
        error.to_string(),
        "table `result` has no column `pretmie`; it has `pno`, `pretime`; did you mean `pretime`? rename the column \
         in the query (`AS`), or name the sink's `columns`"
    );
}

pub async fn a_column_of_another_type(target: &mut Target) {
    table(target).await;
    let rows = batch(vec![("pretime", Arc::new(Float64Array::from(vec![1.5])))]);
    let error = target.open(&rows.schema(), json!({})).await.err().unwrap();
    let int = match target.server {
        Server::MariaDb => "int(11)",
        Server::Postgres => "integer",
        Server::Sqlite => "INT",
    };
    assert_eq!(
        error.to_string(),
        format!(
            "column `pretime` of the result is Float64, column `pretime` of table `result` is {int}; its fraction \
             would be lost: round it in the query (`CAST(… AS BIGINT)`)"
        )
    );
}

pub async fn a_column_that_must_be_given(target: &mut Target) {
    let sql = format!(
        "CREATE TABLE result (pno INT, needed INT NOT NULL, filled INT NOT NULL DEFAULT 7, free INT){}",
        engine(target)
    );
    target.run(&sql).await;
    let error = refusal(target, &["pno"], json!({})).await.to_string();
    let text = "column `needed` of table `result` is NOT NULL, has no default and is not in the result";
    assert!(error.starts_with(text), "{error}");
}

pub async fn an_upsert_without_its_index(target: &mut Target) {
    table(target).await;
    let upsert = json!({ "mode": "upsert", "key": ["pno"] });
    let error = refusal(target, &["pno", "pretime"], upsert).await.to_string();
    assert!(error.starts_with("`key`: table `result` has no unique index on just pno"), "{error}");
    let error = refusal(target, &["pno"], json!({ "mode": "upsert", "key": ["pretime"] })).await.to_string();
    assert!(error.starts_with("`key`: column `pretime` is not in the result"), "{error}");
    if target.server == Server::MariaDb {
        target.run("ALTER TABLE result ADD UNIQUE (pno), ADD UNIQUE (pretime)").await;
        let upsert = json!({ "mode": "upsert", "key": ["pno"] });
        let error = refusal(target, &["pno", "pretime"], upsert).await.to_string();
        assert!(error.contains("has another unique index, on pretime"), "{error}");
    }
}

pub async fn settings_that_contradict(target: &mut Target) {
    table(target).await;
    let error = refusal(target, &["pno"], json!({ "mode": "upsert" })).await;
    assert_eq!(
        error.to_string(),
        "`mode: upsert` needs a `key`; name the columns of the table's unique index, e.g. `key: [PNO]`"
    );
    let error = refusal(target, &["pno"], json!({ "key": ["pno"] })).await.to_string();
    assert!(error.starts_with("`key` means nothing without `mode: upsert`"), "{error}");

    // A URL's faults are told without the URL: it holds a password.
    let option = if target.server == Server::Sqlite { "?mod=rw" } else { "?ssl-mod=REQUIRED" };
    let error = refusal(target, &["pno"], json!({ "url": format!("{}{option}", target.url) })).await.to_string();
    let known = if target.server == Server::Sqlite { "mode" } else { "ssl-mode" };
    assert!(error.contains(&format!("is not known; did you mean `{known}`?")), "{error}");
    for url in ["oracle://u:hunter2@db/x", "mysql://u:hunter2@127.0.0.1:99999/x", "postgres://u:hunter2@[/x"] {
        let error = refusal(target, &["pno"], json!({ "url": url })).await.to_string();
        assert!(error.starts_with("`url`: ") && !error.contains("hunter2"), "{error}");
    }
    let wrong =
        target.url.replacen("://root@", "://root:hunter2@", 1).replacen("://postgres@", "://nobody:hunter2@", 1);
    if target.server != Server::Sqlite {
        let error = refusal(target, &["pno"], json!({ "url": wrong })).await.to_string();
        assert!(error.contains("127.0.0.1") && !error.contains("hunter2"), "{error}");
        let port = target.url.split(['@', '/']).nth(3).unwrap();
        let away = target.url.replace(port, "127.0.0.1:1");
        let rows = batch(vec![("pno", Arc::new(Int64Array::from(vec![1])))]);
        let error = parse(target.settings(json!({ "url": away }))).open(&context(&rows.schema())).await.err().unwrap();
        assert_eq!(error.fault, Fault::Unavailable, "{error}");
        assert!(error.message.contains("127.0.0.1:1/") && error.message.contains("refused"), "{error}");
    }
    if target.server == Server::MariaDb {
        target.run("ALTER TABLE result ENGINE=MyISAM").await;
        let error = refusal(target, &["pno"], json!({})).await.to_string();
        assert!(error.contains("its engine is MyISAM, which has no transactions; `ALTER TABLE `result`"), "{error}");
        target.run("CREATE VIEW seen AS SELECT * FROM result").await;
        let error = refusal(target, &["pno"], json!({ "table": "seen" })).await.to_string();
        assert!(error.ends_with("name the table that the view is of, or set `delivery: at_least_once`"), "{error}");
        may_not_create(target, "GRANT SELECT, INSERT ON {db}.result TO {user}").await;
    } else if target.server == Server::Postgres {
        may_not_create(target, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT SELECT, INSERT ON result TO {user}")
            .await;
    }
}

/// A user who may write to the table and no more.
async fn may_not_create(target: &mut Target, grant: &str) {
    let user = target.url.rsplit('/').next().unwrap().to_owned();
    let rows = batch(vec![("pno", Arc::new(Int64Array::from(vec![1])))]);
    let (create, account) = match target.server {
        Server::MariaDb => {
            target.run("ALTER TABLE result ENGINE=InnoDB").await;
            (format!("CREATE USER {user}@'%' IDENTIFIED BY 'hunter2'"), format!("{user}@'%'"))
        }
        _ => (format!("CREATE USER {user} PASSWORD 'hunter2'"), user.clone()),
    };
    target.run(&create).await;
    let url = target.url.replacen("://root@", &format!("://{user}:hunter2@"), 1);
    let url = url.replacen("://postgres@", &format!("://{user}:hunter2@"), 1);
    let settings = target.settings(json!({ "url": url.clone() }));

    // Without a right to write, the check says so.
    let grant_connect =
        if target.server == Server::MariaDb { "GRANT SELECT ON {db}.result TO {user}" } else { "SELECT 1" };
    let fill = |sql: &str| sql.replace("{db}", &user).replace("{user}", &account);
    target.run(&fill(grant_connect)).await;
    let error = parse(settings.clone()).open(&context(&rows.schema())).await.err().unwrap();
    assert_eq!(error.fault, Fault::Settings, "{error}");
    assert!(error.message.to_lowercase().contains("insert"), "{error}");

    target.run(&fill(grant)).await;
    let mut sink = parse(settings).open(&context(&rows.schema())).await.unwrap();
    let error = sink.claim(&[claim(0, 0)]).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings, "{error}");
    assert!(error.message.starts_with("table `foretell_plans` cannot be created: "), "{error}");
    for part in ["CREATE TABLE IF NOT EXISTS", "foretell_progress", "foretell_rejected", "`delivery: at_least_once`"] {
        assert!(error.remedy.contains(part), "{error}");
    }
    if target.server == Server::Postgres {
        let settings = json!({ "url": url, "table": "public.result" });
        let mut sink = parse(target.settings(settings)).open(&context(&rows.schema())).await.unwrap();
        let error = sink.claim(&[claim(0, 0)]).await.unwrap_err();
        assert!(error.remedy.contains("`progress_schema: public`"), "{error}");
        // Somebody else's are there already.
        let mut other = target.open(&rows.schema(), json!({})).await.unwrap();
        other.claim(&[claim(0, 0)]).await.unwrap();
        let error = sink.claim(&[claim(0, 0)]).await.unwrap_err();
        assert!(error.message.starts_with("table `foretell_plans`: the user may not "), "{error}");
        assert!(error.remedy.contains("`progress_schema: public`"), "{error}");
    }
    drop(sink);
    let drop = if target.server == Server::Postgres { format!("DROP OWNED BY {user}; ") } else { String::new() };
    target.run(&format!("{drop}DROP USER {account}")).await;
}

pub async fn opening_writes_nothing(target: &mut Target) {
    let rows = batch(vec![("pno", Arc::new(Int64Array::from(vec![1])))]);
    let mut sink = target.open(&rows.schema(), json!({ "create": true })).await.unwrap();
    assert!(sink.positions().await.unwrap().is_empty());
    assert_eq!(parse(target.settings(json!({}))).columns(), None);
    let (columns, rest) = match target.server {
        Server::MariaDb => ("TABLE_NAME", "information_schema.tables WHERE table_schema = DATABASE()"),
        Server::Postgres => ("tablename", "pg_tables WHERE schemaname = 'public'"),
        Server::Sqlite => ("name", "sqlite_master"),
    };
    assert!(target.rows(&[columns], rest).await.is_empty());
}

/// Its own tables are where the settings say.
pub async fn own_tables_elsewhere(target: &mut Target) {
    table(target).await;
    let schema = match target.server {
        Server::MariaDb => format!("{}_own", target.url.rsplit('/').next().unwrap()),
        Server::Postgres => "own".to_owned(),
        Server::Sqlite => "main".to_owned(),
    };
    match target.server {
        Server::MariaDb => target.run(&format!("CREATE DATABASE {schema}")).await,
        Server::Postgres => target.run("CREATE SCHEMA own; CREATE UNIQUE INDEX u ON result (pno)").await,
        Server::Sqlite => {}
    }
    if target.server != Server::Postgres {
        target.run("CREATE UNIQUE INDEX u ON result (pno)").await;
    }
    let rows = batch(vec![("pno", Arc::new(Int64Array::from(vec![1, 1])))]);
    let mut sink = target.open(&rows.schema(), json!({ "progress_schema": schema })).await.unwrap();
    sink.claim(&[claim(0, 0)]).await.unwrap();
    assert_eq!(sink.write(&crate::target::write(0, 0, 2, rows)).await.unwrap().rejected, 1);
    for (name, count) in [("foretell_progress", 1), ("foretell_plans", 0), ("foretell_rejected", 1), ("result", 1)] {
        let here = if name == "result" { name.to_owned() } else { format!("{schema}.{name}") };
        assert_eq!(target.count(&here).await, count, "{here}");
    }
    drop(sink);
    if target.server == Server::MariaDb {
        target.run(&format!("DROP DATABASE {schema}")).await;
    }
}
