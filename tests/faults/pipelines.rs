//! The pipelines of a run, side by side over one topic, and their workers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::checker::{Place, SinkCheck, consumer};
use super::fleet::Worker;
use super::proxy::Proxy;
use super::read::{execute, s3 as s3_client};
use super::records;
use super::replicas::Pair;
use super::services::Services;

/// Where rows come from; the columns of all but one pipeline.
const BEGIN: &str = "pipeline: NAME
source: { kafka: { brokers: { env: BROKERS }, topic: in, options: { session.timeout.ms: 6000, topic.metadata.refresh.interval.ms: 5000 } } }
decode: { csv: { columns: [id: int64, word: utf8] } }
state: state-NAME
progress: 5s
";
const QUERY: &str = "query: SELECT id, id * 2 AS twice, CAST(_partition AS BIGINT) AS part, _offset AS off, CAST(now() AS BIGINT) AS at FROM records\n";
/// A sink with a plan for the others leads; bad records are set aside by one of the pipelines.
const SQL: &str = "sinks:
  pg: { sql: { url: { env: POSTGRES_URL }, table: rows_sql, create: true } }
  my: { sql: { url: { env: MARIADB_URL }, table: rows_sql, create: true } }
  out: { kafka: { brokers: { env: BROKERS }, topic: out, value: '{part},{off},{id},{twice},{at}' } }
dead_letters: { kafka: { brokers: { env: BROKERS }, topic: bad } }
trigger: { mode: continuous, max_rows: 200 }
";
const FILES: &str = "sinks:
  hdfs: { file: { path: HDFS/files, format: jsonl } }
  pg: { sql: { url: { env: POOLED_URL }, table: rows_files, create: true } }
trigger: { every: 300ms }
";
const SINGLE: &str = "sinks:
  local: { file: { path: DISK/local.csv, mode: append, columns: [part, off, id, twice, at] } }
  hdfs: { file: { path: HDFS/single.csv, mode: append, columns: [part, off, id, twice, at] } }
  lite: { sql: { url: 'sqlite://DISK/lite.db', table: rows_single, create: true } }
trigger: { every: 300ms }
";
/// Beside the time, which model it was.
const SCORED: &str = "models: { twofold: { file: MODEL, refresh: 1s } }
query: |
  SELECT id, CAST(twofold(*) AS BIGINT) / 16 * 2 AS twice, CAST(_partition AS BIGINT) AS part, _offset AS off,
    CAST(now() AS BIGINT) * 16 + CAST(twofold(*) AS BIGINT) % 16 AS at FROM records
sinks:
  s3: { file: { path: 's3://foretell/scored', format: jsonl, s3: { region: us-east-1, endpoint: 'S3', access_key_id: { env: S3_KEY }, secret_access_key: { env: S3_SECRET } } } }
  pg: { sql: { url: { env: POSTGRES_URL }, table: rows_scored, create: true } }
trigger: { every: 1s }
";
const SUMS: &str = "query: |
  SELECT CAST(_partition AS BIGINT) AS part, count(*) AS n, sum(id) AS ids, min(_offset) AS lo, max(_offset) AS hi FROM records GROUP BY _partition
sinks:
  galera: { sql: { url: { env: GALERA_URL }, table: sums, create: true } }
  pg: { sql: { url: { env: POSTGRES_URL }, table: sums, create: true } }
trigger: { every: 500ms }
";

/// On databases with a replica.
const COPIED: &str = "sinks:
  pg: { sql: { url: { env: COPIED_POSTGRES_URL }, table: rows_copied, create: true } }
  my: { sql: { url: { env: COPIED_MARIADB_URL }, table: rows_copied, create: true } }
  out: { kafka: { brokers: { env: BROKERS }, topic: copied, value: '{part},{off},{id},{twice},{at}' } }
trigger: { mode: continuous, max_rows: 200 }
";

/// Everything that runs.
pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) sinks: Vec<SinkCheck>,
    pub(crate) dir: PathBuf,
    /// A small disk of its own, where this machine grants one.
    pub(crate) disk: PathBuf,
    pub(crate) small: bool,
    pub(crate) brokers: String,
    /// Each by its name.
    cluster: &'static [&'static str],
    pub(crate) postgres: String,
    pub(crate) mariadb: String,
    /// PostgreSQL and MariaDB, each with a replica, where a fault is about them.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) partitions: usize,
    /// Pipeline, partition and offsets that were planned again, because a backup was put back: there sinks may have
    /// other batch times.
    pub(crate) replanned: Vec<(&'static str, i32, i64, i64)>,
    /// How many models there were.
    models: u32,
}

const MODEL: &str = "twofold.pmml";

/// A model that answers with 16 times what it is given, and a number of its own below that.
fn model(number: u32) -> String {
    format!(
        r#"<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">
<Header/>
<DataDictionary>
<DataField name="id" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/>
</DataDictionary>
<RegressionModel functionName="regression">
<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="id"/></MiningSchema>
<RegressionTable intercept="{}"><NumericPredictor name="id" coefficient="16"/></RegressionTable>
</RegressionModel>
</PMML>
"#,
        number % 16
    )
}

const CLUSTER: [&str; 3] = ["broker1", "broker2", "broker3"];

/// A database that nobody else has, since the services may have more to do; its URL.
fn of_its_own(url: &str) -> String {
    execute(url, &["CREATE DATABASE faults"]).expect("services that no run of faults has had before");
    format!("{}/faults", url.rsplit_once('/').unwrap().0)
}

/// A service's URL by way of a proxy.
pub(crate) fn by(url: &str, proxy: &Proxy) -> String {
    let (before, rest) = url.split_once('@').unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    format!("{before}@127.0.0.1:{}/{path}", proxy.port)
}

pub(crate) fn authority(url: &str) -> String {
    let rest = url.rsplit_once('@').map_or_else(|| url.split_once("://").unwrap().1, |(_, rest)| rest);
    rest.split('/').next().unwrap().to_string()
}

/// A URL with a password, which no log may tell.
fn with_password(url: &str) -> String {
    let (before, rest) = url.split_once('@').unwrap();
    format!("{before}:{}@{rest}", super::PASSWORD)
}

impl World {
    /// Starts services, topics and workers; `whole` with all that there is, but for databases with `replicas`.
    pub(crate) fn begin(dir: &Path, whole: bool, replicas: bool) -> World {
        let mut names = vec!["namenode", "datanode", "mariadb", "postgres", "s3"];
        let (cluster, kafka) =
            if whole { (&CLUSTER[..], "FORETELL_BROKERS") } else { (&["kafka"][..], "FORETELL_KAFKA") };
        names.extend(cluster);
        if whole {
            names.extend(["datanode2", "pgbouncer", "galera1", "galera2", "galera3"]);
        }
        const REPLICATED: [[&str; 2]; 2] = [["postgres1", "postgres2"], ["mariadb1", "mariadb2"]];
        if replicas {
            names.extend(REPLICATED.as_flattened());
        }
        let services = Services::up(&dir.join("services"), &names);
        let pairs: Vec<Pair> =
            REPLICATED.into_iter().filter(|_| replicas).map(|names| Pair::new(&services, names)).collect();
        let brokers = services.at(kafka);
        let mut proxies = Vec::new();
        let (ports, behind) = (services.at(&format!("{kafka}_PROXY")), services.at(&format!("{kafka}_PROXIED")));
        for ((name, to), port) in cluster.iter().zip(behind.split(',')).zip(ports.split(',')) {
            proxies.push(Proxy::new(name, to, port.rsplit_once(':').unwrap().1.parse().unwrap()));
        }
        let [postgres, mariadb] = ["FORETELL_POSTGRES_URL", "FORETELL_MARIADB_URL"].map(|name| {
            let url = services.at(name);
            if whole { url } else { of_its_own(&url) }
        });
        let namenode = services.at("FORETELL_HDFS");
        proxies.push(Proxy::new("postgres", &authority(&postgres), 0));
        proxies.push(Proxy::new("mariadb", &authority(&mariadb), 0));
        proxies.push(Proxy::new("namenode", &authority(&namenode), 0));
        let s3 = services.at("FORETELL_S3");
        proxies.push(Proxy::new("s3", &authority(&s3), 0));
        let proxy = |name: &str| proxies.iter().find(|proxy| proxy.name == name).unwrap();
        let disk = dir.join("disk");
        std::fs::create_dir_all(&disk).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=96m", "tmpfs"];
        let small =
            std::process::Command::new("mount").args(mount).arg(&disk).status().is_ok_and(|done| done.success());
        records::create(&brokers, "out", 1);
        records::create(&brokers, "bad", 1);
        let pooled = if whole { services.at("FORETELL_PGBOUNCER_URL") } else { postgres.clone() };
        let mut workers = Vec::new();
        let mut pipelines = vec![
            ("sql", format!("{QUERY}{SQL}"), vec!["a", "b", "c"]),
            ("files", format!("{QUERY}{FILES}"), vec!["a", "b"]),
            ("single", format!("{QUERY}{SINGLE}"), vec!["a"]),
            ("scored", SCORED.to_string(), vec!["a", "b"]),
        ];
        if whole {
            pipelines.push(("sums", SUMS.to_string(), vec!["a", "b", "c"]));
        }
        if replicas {
            pipelines.push(("copied", format!("{QUERY}{COPIED}"), vec!["a", "b"]));
            records::create(&brokers, "copied", 1);
        }
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        for (name, text, ids) in pipelines {
            for id in ids {
                // The second worker of each pipeline reaches every service by way of a proxy.
                let proxied = id == "b";
                let hdfs = if proxied { format!("hdfs://{}", proxy("namenode").address()) } else { namenode.clone() };
                let text = format!("{BEGIN}{text}").replace("NAME", name);
                let text = text.replace("HDFS", &format!("{hdfs}/faults")).replace("DISK", &disk.display().to_string());
                let endpoint = if proxied { format!("http://{}", proxy("s3").address()) } else { s3.clone() };
                let text = text.replace("MODEL", &dir.join(MODEL).display().to_string()).replace("'S3'", &endpoint);
                let file = dir.join(format!("{name}-{id}.yaml"));
                std::fs::write(&file, text).unwrap();
                let mut worker = Worker::new(name, id, file, &logs);
                let through = |url: &str, name: &str| if proxied { by(url, proxy(name)) } else { url.to_string() };
                worker.set("BROKERS", if proxied { &ports } else { &brokers });
                worker.set("POSTGRES_URL", &with_password(&through(&postgres, "postgres")));
                worker.set("MARIADB_URL", &through(&mariadb, "mariadb"));
                let pooled = if whole { pooled.clone() } else { through(&pooled, "postgres") };
                worker.set("POOLED_URL", &with_password(&pooled));
                worker.set("HADOOP_USER_NAME", "faults");
                worker.set("S3_KEY", &services.at("FORETELL_S3_KEY"));
                worker.set("S3_SECRET", &services.at("FORETELL_S3_SECRET"));
                if let [postgres, mariadb] = &pairs[..] {
                    worker.set("COPIED_POSTGRES_URL", &with_password(&postgres.url));
                    worker.set("COPIED_MARIADB_URL", &mariadb.url);
                }
                // One of them tells all that it knows.
                if id == "a" {
                    worker.set("RUST_LOG", "info,foretell=debug,rdkafka=debug,sqlx=debug,hdfs_native=debug");
                }
                if whole {
                    let node = ["FORETELL_GALERA_URL", "FORETELL_GALERA2_URL", "FORETELL_GALERA3_URL"];
                    let node = node[["a", "b", "c"].iter().position(|other| *other == id).unwrap()];
                    worker.set("GALERA_URL", &services.at(node));
                }
                workers.push(worker);
            }
        }
        let sql = |url: &str| Place::Sql(url.to_string(), "foretell_progress".to_string());
        let store = s3_client(&s3, &services.at("FORETELL_S3_KEY"), &services.at("FORETELL_S3_SECRET"));
        let lite = format!("sqlite://{}/lite.db", disk.display());
        let mut sinks = vec![
            SinkCheck::new("sql", "pg", "rows_sql", sql(&postgres)),
            SinkCheck::new("sql", "my", "rows_sql", sql(&mariadb)),
            SinkCheck::new("sql", "out", "out", Place::Topic(consumer(&brokers, "out"))),
            SinkCheck::new("sql", "bad", "bad", Place::DeadLetters(consumer(&brokers, "bad"))),
            SinkCheck::new("files", "hdfs", "/faults/files", Place::Hdfs(namenode.clone(), BTreeSet::new())),
            SinkCheck::new("files", "pg", "rows_files", sql(&postgres)),
            SinkCheck::new("single", "local", "local.csv", Place::Append(disk.join("local.csv"))),
            SinkCheck::new("single", "hdfs", "/faults/single.csv", Place::AppendHdfs(namenode)),
            SinkCheck::new("single", "lite", "rows_single", sql(&lite)),
            SinkCheck::new("scored", "s3", "scored", Place::S3(Box::new(store), BTreeSet::new())),
            SinkCheck::new("scored", "pg", "rows_scored", sql(&postgres)),
        ];
        if whole {
            let sums = |url: &str| Place::Sums(url.to_string(), "foretell_progress".to_string());
            sinks.push(SinkCheck::new("sums", "galera", "sums", sums(&services.at("FORETELL_GALERA_URL"))));
            sinks.push(SinkCheck::new("sums", "pg", "sums", sums(&postgres)));
        }
        if let [postgres, mariadb] = &pairs[..] {
            sinks.push(SinkCheck::new("copied", "pg", "rows_copied", sql(&postgres.url)));
            sinks.push(SinkCheck::new("copied", "my", "rows_copied", sql(&mariadb.url)));
            sinks.push(SinkCheck::new("copied", "out", "copied", Place::Topic(consumer(&brokers, "copied"))));
        }
        let (dir, replanned) = (dir.to_path_buf(), Vec::new());
        let mut world = World {
            services,
            proxies,
            workers,
            sinks,
            dir,
            disk,
            small,
            brokers,
            cluster,
            postgres,
            mariadb,
            pairs,
            partitions: 6,
            replanned,
            models: 0,
        };
        world.new_model();
        world
    }

    /// The next model takes the place of the one that is there, as it should: whole.
    pub(crate) fn new_model(&mut self) {
        self.models += 1;
        let (new, at) = (self.dir.join(format!(".{MODEL}")), self.dir.join(MODEL));
        std::fs::write(&new, model(self.models)).unwrap();
        std::fs::rename(new, at).unwrap();
    }

    /// The next model is written over the one that is there, and only half of it comes.
    pub(crate) fn half_a_model(&mut self) {
        self.models += 1;
        let text = model(self.models);
        std::fs::write(self.dir.join(MODEL), &text[..text.len() / 2]).unwrap();
    }

    /// Whether sinks may have an offset with other batch times.
    pub(crate) fn may_differ(&self, pipeline: &str, (part, off): (i32, i64)) -> bool {
        let holds = |(other, index, from, to): &(&str, i32, i64, i64)| {
            *other == pipeline && *index == part && (*from..*to).contains(&off)
        };
        self.replanned.iter().any(holds)
    }

    /// Names with each broker's own where all are meant.
    pub(crate) fn meant(&self, names: &[&'static str]) -> Vec<&'static str> {
        let all = |name: &&'static str| if *name == "brokers" { self.cluster.to_vec() } else { vec![*name] };
        names.iter().flat_map(all).collect()
    }

    pub(crate) fn proxy(&self, name: &str) -> &Proxy {
        self.proxies.iter().find(|proxy| proxy.name == name).unwrap()
    }

    pub(crate) fn worker(&mut self, name: &str) -> &mut Worker {
        self.workers.iter_mut().find(|worker| worker.name == name).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workers.clear();
        if self.small {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.disk).status();
        }
    }
}

/// A worker that reaches PostgreSQL by way of a pooler which gives each transaction another session.
pub(crate) fn pooled(world: &mut World, id: &str, url: &str) -> Worker {
    let sinks = "sinks: { pg: { sql: { url: { env: POSTGRES_URL }, table: rows_pooled, create: true } } }\n\
                 trigger: { mode: continuous, max_rows: 200 }\n";
    let file = world.dir.join(format!("pooled-{id}.yaml"));
    std::fs::write(&file, format!("{BEGIN}{QUERY}{sinks}").replace("NAME", "pooled")).unwrap();
    let mut worker = Worker::new("pooled", id, file, &world.dir.join("logs"));
    worker.set("BROKERS", &world.brokers);
    worker.set("POSTGRES_URL", &with_password(url));
    worker
}
