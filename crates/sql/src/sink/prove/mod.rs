//! Whether a database keeps what is promised of it, tried on itself: the suite that every sink runs in its tests, and what
//! else the protocol rests on, in tables with names of their own, which go in the end.

mod cut;
mod more;
mod scratch;

use std::sync::Arc;

use chrono_tz::Tz;
use foretell_connect::kind::Proof;
use foretell_flow::StageError;
use foretell_flow::testing::sinks::Check;

use super::address::Address;
use scratch::Scratch;

/// Tries everything. A check that does not hold panics, as a test does; the next one begins anew.
pub(super) async fn prove(address: Arc<dyn Address>, schema: Option<&str>, zone: Tz) -> Result<Vec<Proof>, StageError> {
    let scratch = Scratch::new(address, schema, zone).await?;
    let mut proofs = Vec::new();
    for check in Check::ALL.iter().copied().filter(|check| *check != Check::Slices) {
        let mut subject = scratch.clone();
        let work = tokio::spawn(async move { check.run(&mut subject).await });
        proofs.push(Proof { what: check.holds().to_owned(), outcome: outcome(work.await) });
    }
    for (what, check) in more::CHECKS {
        let work = tokio::spawn(check(scratch.clone()));
        proofs.push(Proof { what: (*what).to_owned(), outcome: outcome(work.await) });
    }
    scratch.remove().await.map_err(|failure| failure.at("the tables of the proof cannot be removed"))?;
    Ok(proofs)
}

fn outcome(ended: Result<(), tokio::task::JoinError>) -> Result<(), String> {
    let Err(error) = ended else { return Ok(()) };
    let Ok(panic) = error.try_into_panic() else { return Err("it was given up".to_owned()) };
    let text = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.as_str(),
        (_, Some(text)) => text,
        _ => "it ended",
    };
    Err(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use async_trait::async_trait;
    use foretell_connect::secret::SecretUrl;

    use super::super::database::{Database, Failure, Value};
    use super::super::databases;
    use super::super::dialect::Dialect;
    use super::super::insert::Insert;
    use super::super::schema::{Name, Table, Texts};
    use super::super::values::Data;
    use super::*;

    /// A database whose transactions are none: each statement is committed.
    struct Loose(Box<dyn Address>);

    #[async_trait]
    impl Address for Loose {
        fn dialect(&self) -> &'static dyn Dialect {
            self.0.dialect()
        }

        fn place(&self) -> String {
            self.0.place()
        }

        fn file(&self) -> Option<&Path> {
            self.0.file()
        }

        async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure> {
            Ok(Box::new(LooseDatabase(self.0.connect(create).await?)))
        }
    }

    struct LooseDatabase(Box<dyn Database>);

    #[async_trait]
    impl Database for LooseDatabase {
        fn dialect(&self) -> &'static dyn Dialect {
            self.0.dialect()
        }

        async fn command(&mut self, sql: &str) -> Result<(), Failure> {
            if sql == "COMMIT" || Some(sql) == self.0.dialect().begin() || sql.contains("SAVEPOINT") {
                return Ok(());
            }
            self.0.command(sql).await
        }

        async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
            self.0.execute(sql, values).await
        }

        async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
            self.0.fetch(sql, values).await
        }

        async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
            self.0.texts(sql).await
        }

        async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
            self.0.describe(name).await
        }

        async fn tables(&mut self) -> Result<Vec<String>, Failure> {
            self.0.tables().await
        }

        async fn probe(&mut self, _: &Insert, _: &[Data]) -> Result<(), Failure> {
            Ok(())
        }

        fn chunk(&self, columns: usize) -> (usize, usize) {
            self.0.chunk(columns)
        }

        async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
            self.0.insert(insert, columns, rows).await
        }

        async fn close(self: Box<Self>) {
            self.0.close().await;
        }
    }

    #[tokio::test]
    async fn a_database_without_transactions_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let url = SecretUrl::new(format!("sqlite://{}/x.db?mode=rwc", folder.path().display()));
        let address = Loose(databases::address(&url, folder.path()).unwrap());
        let proofs = prove(Arc::new(address), None, Tz::UTC).await.unwrap();
        let broken: Vec<&str> =
            proofs.iter().filter(|proof| proof.outcome.is_err()).map(|proof| proof.what.as_str()).collect();
        for what in ["a process that dies at any statement", "what is not committed is not seen"] {
            assert!(broken.iter().any(|broken| broken.starts_with(what)), "{what}: {broken:?}");
        }
        assert!(proofs.iter().any(|proof| proof.outcome.is_ok()), "what needs no transaction holds");
    }
}
