//! A test's own sandbox: a folder, and names for topics, tables and paths that no other test has.

use std::path::PathBuf;

use super::database::Database;
use super::foretell::{self, Ended, Running};
use super::{kafka, orders, root, service};

/// Where a test's pipeline lives. In its texts `${id}` is a name of its own (letters, digits, `_`), `${kafka}` the
/// broker, `${hdfs}` a folder of its own on HDFS, `${root}` the checkout. The databases' URLs are in the environment as
/// `MARIADB_URL` and `POSTGRES_URL`.
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) env: Vec<(String, String)>,
}

impl Sandbox {
    pub(crate) fn new(name: &str) -> Sandbox {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let env = [("MARIADB_URL", Database::MariaDb.url()), ("POSTGRES_URL", Database::Postgres.url())];
        Sandbox {
            id: format!("{}_{}", name.replace('-', "_"), &unique[..10]),
            dir: tempfile::tempdir().unwrap(),
            env: env.map(|(name, value)| (name.to_string(), value)).to_vec(),
        }
    }

    /// The test's folder on HDFS, without the address.
    pub(crate) fn hdfs(&self) -> String {
        format!("/foretell-tests/{}", self.id)
    }

    /// `NAME_ID`: what `NAME_${id}` becomes.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}_{}", self.id)
    }

    /// A text with its places filled in.
    pub(crate) fn text(&self, text: &str) -> String {
        let hdfs = format!("{}{}", service("FORETELL_HDFS"), self.hdfs());
        let text = text.replace("${id}", &self.id).replace("${hdfs}", &hdfs);
        text.replace("${kafka}", &service("FORETELL_KAFKA")).replace("${root}", &root().display().to_string())
    }

    /// Writes `pipeline.yaml`.
    pub(crate) fn pipeline(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("pipeline.yaml");
        std::fs::write(&path, self.text(text)).unwrap();
        path
    }

    /// Creates every topic that a pipeline names.
    pub(crate) fn topics(&self, text: &str) {
        let mut named: Vec<String> = Vec::new();
        for part in self.text(text).split("topic: ").skip(1) {
            let name = part.split([',', ' ', '}', '\n']).next().unwrap().to_string();
            if !named.contains(&name) {
                kafka::create(&name, 3);
                named.push(name);
            }
        }
    }

    /// A pipeline that is ready to run: written, its topics made, and the table `result_${id}` in MariaDB.
    pub(crate) fn ready(name: &str, text: &str) -> Sandbox {
        let sandbox = Sandbox::new(name);
        sandbox.pipeline(text);
        sandbox.topics(text);
        sandbox.table();
        sandbox
    }

    /// The example's table.
    pub(crate) fn table(&self) {
        let table = self.name("result");
        let columns = "PNO VARCHAR(64) NOT NULL, PRETIME BIGINT NOT NULL, Time DATETIME NOT NULL";
        Database::MariaDb.execute(&format!("CREATE TABLE {table} ({columns})"));
    }

    /// Writes the orders of made-up patients to `in_${id}`.
    pub(crate) fn orders(&self, numbers: std::ops::Range<usize>) {
        let record = |number: usize| (None, Some(format!("p{number}")), Some(orders::order(number).features.clone()));
        kafka::produce(&self.name("in"), numbers.map(record));
    }

    fn args<'a>(&self, args: &[&'a str], pipeline: &'a str) -> Vec<&'a str> {
        let mut args = args.to_vec();
        args.push(pipeline);
        args
    }

    /// Starts `foretell ARGS pipeline.yaml`.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let pipeline = self.dir.path().join("pipeline.yaml").display().to_string();
        foretell::start(&self.args(args, &pipeline), &self.env)
    }

    /// Runs `foretell ARGS pipeline.yaml` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let pipeline = self.dir.path().join("pipeline.yaml").display().to_string();
        foretell::run(&self.args(args, &pipeline), &self.env)
    }
}
