//! The processes of foretell under test: started, killed, frozen, watched.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Beside the folder of the test binary, where cargo puts it.
fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let binary = here.parent().and_then(Path::parent).unwrap().join("foretell");
    assert!(binary.exists(), "{} is missing: run `cargo build -p foretell`", binary.display());
    binary
}

/// What a worker says when it has claimed its sinks.
const CLAIMED: &str = " claimed ";

/// One worker: a process that is started again whenever it is gone, unless it is to be gone.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) pipeline: &'static str,
    file: PathBuf,
    log: PathBuf,
    env: BTreeMap<String, String>,
    child: Option<Child>,
    /// Whether it is to run.
    pub(crate) wanted: bool,
    pub(crate) frozen: bool,
    started: Instant,
    /// Where this life's part of the log begins.
    from: u64,
    /// Where its next life ends, if at a point.
    pub(crate) crash_at: Option<String>,
    limits: Option<u64>,
    /// What it says when it ends by itself, as often as it did, and when that life began.
    pub(crate) ended: Vec<(Instant, String)>,
    pub(crate) kills: usize,
    /// By point, how often it died there.
    pub(crate) crashes: BTreeMap<String, usize>,
    crashing: Option<String>,
    /// The most memory (KiB) and descriptors of any of its lives.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    /// What these descriptors were.
    pub(crate) open: BTreeMap<String, usize>,
}

impl Worker {
    pub(crate) fn new(pipeline: &'static str, id: &str, file: PathBuf, logs: &Path) -> Worker {
        let name = format!("{pipeline}-{id}");
        Worker {
            log: logs.join(format!("{name}.log")),
            name,
            pipeline,
            file,
            env: BTreeMap::new(),
            child: None,
            wanted: false,
            frozen: false,
            started: Instant::now(),
            from: 0,
            crash_at: None,
            limits: None,
            ended: Vec::new(),
            kills: 0,
            crashes: BTreeMap::new(),
            crashing: None,
            memory: 0,
            descriptors: 0,
            open: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.env.remove(name);
    }

    /// How many descriptors its next lives may have.
    pub(crate) fn limit(&mut self, descriptors: Option<u64>) {
        self.limits = descriptors;
    }

    pub(crate) fn start(&mut self) {
        self.wanted = true;
        if self.child.is_some() {
            return;
        }
        let log = || -> File { OpenOptions::new().create(true).append(true).open(&self.log).unwrap() };
        let id = self.name.rsplit_once('-').unwrap().1.to_string();
        // `ulimit` is the shell's; `exec` keeps the process.
        let limit = self.limits.map_or_else(String::new, |most| format!("ulimit -n {most}; "));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -c 0; {limit}exec \"$@\"")).arg("sh").arg(binary());
        command.args(["run", "--wait", "10m", "--worker-id", &id]).arg(&self.file);
        command.envs(&self.env).stdin(Stdio::null()).stdout(log()).stderr(log());
        self.crashing = self.crash_at.take();
        if let Some(point) = &self.crashing {
            command.env("FORETELL_CRASH_AT", point);
        }
        self.from = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.child = Some(command.spawn().unwrap());
        self.started = Instant::now();
    }

    fn signal(&self, signal: i32) -> bool {
        let Some(child) = &self.child else { return false };
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        sent.is_ok_and(|status| status.success())
    }

    pub(crate) fn freeze(&mut self) {
        self.frozen = self.signal(19);
    }

    pub(crate) fn thaw(&mut self) {
        self.signal(18);
        self.frozen = false;
    }

    /// `kill -9`. Whether it was there.
    pub(crate) fn kill(&mut self) -> bool {
        self.look();
        let Some(mut child) = self.child.take() else { return false };
        child.kill().unwrap();
        child.wait().unwrap();
        self.kills += 1;
        self.frozen = false;
        true
    }

    /// It is told to stop, and must do so. What it says if it does not.
    pub(crate) fn stop(&mut self) -> Option<String> {
        self.wanted = false;
        self.look();
        if self.child.is_none() || !self.signal(15) {
            return None;
        }
        let since = Instant::now();
        let mut child = self.child.take()?;
        while since.elapsed() < Duration::from_secs(30) {
            if let Ok(Some(status)) = child.try_wait() {
                let asked = status.success() || status.signal() == Some(15);
                return (!asked)
                    .then(|| format!("{}: told to stop, it ended with {status}: {}", self.name, self.last()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        Some(format!("{}: told to stop, it ran for another 30 s", self.name))
    }

    /// Whether it runs; what became of it otherwise is noted.
    pub(crate) fn look(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let id = child.id();
        let Some(status) = child.try_wait().unwrap() else {
            self.measure(id);
            return true;
        };
        self.child = None;
        if status.signal() == Some(6) && self.crashing.is_some() {
            let point = self.crashing.take().unwrap();
            *self.crashes.entry(point.split(':').next().unwrap().to_string()).or_default() += 1;
        } else {
            let after = self.started.elapsed().as_secs();
            let what = format!("{} ended with {status} after {after} s: {}", self.name, self.last());
            self.ended.push((self.started, what));
        }
        false
    }

    fn measure(&mut self, id: u32) {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        self.memory = self.memory.max(rss);
        let entries = std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        let open: Vec<PathBuf> = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
        if open.len() > self.descriptors {
            self.descriptors = open.len();
            self.open.clear();
            for target in open {
                // `socket:[1234]`, `pipe:[1234]`, `anon_inode:[eventpoll]`, or a path.
                let text = target.display().to_string();
                let kind = text.split(":[").next().filter(|kind| !kind.starts_with('/')).unwrap_or("files");
                *self.open.entry(kind.to_string()).or_default() += 1;
            }
        }
    }

    /// Lines of its log that have this in them.
    pub(crate) fn says(&self, what: &[&str]) -> Vec<(usize, String)> {
        let Ok(log) = File::open(&self.log) else { return Vec::new() };
        let mut found = Vec::new();
        for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            found.extend(what.iter().enumerate().filter(|(_, what)| line.contains(**what)).map(|(at, _)| {
                let line: String = line.chars().take(300).collect();
                (at, line)
            }));
        }
        found
    }

    /// Whether this life has claimed its sinks.
    pub(crate) fn has_claimed(&self) -> bool {
        let log = || -> std::io::Result<bool> {
            let mut log = File::open(&self.log)?;
            log.seek(SeekFrom::Start(self.from))?;
            Ok(BufReader::new(log)
                .split(b'\n')
                .map_while(Result::ok)
                .any(|line| line.windows(CLAIMED.len()).any(|window| window == CLAIMED.as_bytes())))
        };
        log().unwrap_or(false)
    }

    /// The last error that it told.
    fn last(&self) -> String {
        let end = || -> std::io::Result<Vec<u8>> {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(256 << 10)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = end().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let told = |line: &&str| line.starts_with("error: ") || line.contains("ERROR");
        text.lines().rev().find(told).unwrap_or_default().into()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
