//! A MariaDB and a replica of it, both of one test.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};

use super::{until, wait};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Primary,
    Replica,
}

/// Ended when it is dropped.
pub(crate) struct Replicated {
    servers: [(Child, u16); 2],
    _dir: tempfile::TempDir,
}

/// A user that a server which is read only refuses.
const USER: &str = "app";

impl Replicated {
    /// Both run; the replica takes what the primary does, and nothing else.
    pub(crate) fn start() -> Replicated {
        let dir = tempfile::tempdir().unwrap();
        let install = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", dir.path().join("Primary").display()))
            .output();
        let installed = install.unwrap();
        assert!(installed.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&installed.stderr));
        let copied =
            Command::new("cp").arg("-a").args(["Primary", "Replica"]).current_dir(dir.path()).status().unwrap();
        assert!(copied.success());
        let servers = [launch(dir.path(), Server::Primary), launch(dir.path(), Server::Replica)];
        let replicated = Replicated { servers, _dir: dir };
        for server in [Server::Primary, Server::Replica] {
            let there = || wait(MySqlConnection::connect(&replicated.root(server))).is_ok();
            until("MariaDB is there", there);
        }
        let port = replicated.port(Server::Primary);
        replicated.execute(
            Server::Replica,
            &format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
                 MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE; SET GLOBAL read_only = 1"
            ),
        );
        replicated.execute(
            Server::Primary,
            &format!("CREATE DATABASE foretell; CREATE USER {USER}; GRANT ALL ON foretell.* TO {USER}"),
        );
        replicated
    }

    fn port(&self, server: Server) -> u16 {
        self.servers[server as usize].1
    }

    pub(crate) fn address(&self, server: Server) -> String {
        format!("127.0.0.1:{}", self.port(server))
    }

    /// The database by way of an address.
    pub(crate) fn url(address: &str) -> String {
        format!("mysql://{USER}@{address}/foretell")
    }

    fn root(&self, server: Server) -> String {
        format!("mysql://root@{}", self.address(server))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, server: Server) {
        let (child, _) = &mut self.servers[server as usize];
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Statements, separated by semicolons.
    pub(crate) fn execute(&self, server: Server, sql: &str) {
        wait(async {
            let mut connection = MySqlConnection::connect(&self.root(server)).await.unwrap();
            connection.execute(AssertSqlSafe(sql.to_string())).await.unwrap();
        });
    }

    /// Two columns of a table, as texts; none as long as the table is not there.
    pub(crate) fn rows(&self, server: Server, columns: [&str; 2], table: &str) -> Vec<String> {
        let [one, other] = columns;
        let sql = format!("SELECT CAST({one} AS CHAR), CAST({other} AS CHAR) FROM foretell.{table}");
        wait(async {
            let mut connection = MySqlConnection::connect(&self.root(server)).await.unwrap();
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap_or_default();
            rows.iter().map(|row| format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1))).collect()
        })
    }
}

impl Drop for Replicated {
    fn drop(&mut self) {
        for (child, _) in &mut self.servers {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn launch(dir: &Path, server: Server) -> (Child, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (data, id) = (dir.join(format!("{server:?}")), server as usize + 1);
    let log = File::create(dir.join(format!("{server:?}.log"))).unwrap();
    let temporary = dir.join(format!("{id}.tmp"));
    std::fs::create_dir(&temporary).unwrap();
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let child = Command::new("mariadbd")
        .env("PATH", path)
        .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"])
        .args(["--log-bin=binlog", "--binlog-format=ROW", "--log-slave-updates"])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", temporary.display()))
        .arg(format!("--socket={}", dir.join(format!("{id}.sock")).display()))
        .arg(format!("--pid-file={}", dir.join(format!("{id}.pid")).display()))
        .args([format!("--server-id={id}"), format!("--port={port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    (child, port)
}
