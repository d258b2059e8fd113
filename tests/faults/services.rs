//! The services of a run, which nobody else uses meanwhile, since it kills them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A folder of `dev/services`.
pub(crate) struct Services {
    pub(crate) dir: PathBuf,
    /// Whether they were started for this run, and end with it.
    own: bool,
    /// How many DataNodes there are.
    copies: usize,
    env: HashMap<String, String>,
}

impl Services {
    /// Started in this folder, but where `FORETELL_FAULTS_SERVICES` names another one: those run already.
    pub(crate) fn up(dir: &Path, names: &[&str]) -> Services {
        let given = std::env::var_os("FORETELL_FAULTS_SERVICES").map(PathBuf::from);
        let (dir, own) = (given.as_deref().unwrap_or(dir), given.is_none());
        std::fs::create_dir_all(dir).unwrap();
        let copies = names.iter().filter(|name| name.starts_with("datanode")).count();
        let mut services = Services { dir: dir.to_path_buf(), own, copies, env: HashMap::new() };
        services.run("up", names);
        for line in std::fs::read_to_string(dir.join("env")).unwrap().lines() {
            for pair in line.trim_start_matches("export ").split(' ') {
                if let Some((name, value)) = pair.split_once('=') {
                    services.env.insert(name.to_string(), value.trim_matches('\'').to_string());
                }
            }
        }
        services
    }

    /// A variable of its environment.
    pub(crate) fn at(&self, variable: &str) -> String {
        self.env.get(variable).unwrap_or_else(|| panic!("{variable} is not in {}/env", self.dir.display())).clone()
    }

    fn run(&self, verb: &str, names: &[&str]) {
        let out = Command::new(root().join("dev/services"))
            .arg("--dir")
            .arg(&self.dir)
            .arg(verb)
            .args(names)
            .env("HDFS_REPLICATION", self.copies.to_string())
            .output()
            .unwrap();
        assert!(out.status.success(), "dev/services {verb} {names:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, name: &str) {
        self.run("kill", &[name]);
    }

    /// Starts what is not running, with the data that is there; those that need each other at once.
    pub(crate) fn start(&self, names: &[&str]) {
        self.run("up", names);
    }

    pub(crate) fn freeze(&self, name: &str) {
        self.run("freeze", &[name]);
    }

    pub(crate) fn thaw(&self, name: &str) {
        self.run("thaw", &[name]);
    }

    /// NameNode's safe mode: `enter` or `leave`.
    pub(crate) fn safe_mode(&self, verb: &str) {
        let conf = self.dir.join("hdfs/conf");
        let cache = std::env::var("FORETELL_SERVICES_CACHE").unwrap_or_else(|_| {
            format!("{}/.cache/foretell-services", std::env::var("HOME").unwrap_or_else(|_| "/root".into()))
        });
        let jars = format!("{}:{cache}/hdfs-3.4.3/*", conf.display());
        let main = "org.apache.hadoop.hdfs.tools.DFSAdmin";
        let out = Command::new("java").args(["-Xmx128m", "-cp", &jars, main, "-safemode", verb]).output().unwrap();
        assert!(out.status.success(), "safe mode {verb}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if !self.own {
            return;
        }
        let down = Command::new(root().join("dev/services")).arg("--dir").arg(&self.dir).arg("down").output();
        drop(down);
    }
}
