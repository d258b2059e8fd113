//! The binary, as a user runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Beside the folder of the test binary, where cargo puts it.
pub(crate) fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let binary = here.parent().and_then(Path::parent).unwrap().join("foretell");
    assert!(binary.exists(), "{} is missing: run `cargo build -p foretell`", binary.display());
    binary
}

/// A running foretell; dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    output: tempfile::TempDir,
    command: String,
}

/// How a run ended.
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Starts `foretell ARGS`.
pub(crate) fn start(args: &[&str], env: &[(String, String)]) -> Running {
    let output = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(output.path().join(name)).unwrap();
    let child = Command::new(binary())
        .args(args)
        .env_remove("RUST_LOG")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap();
    Running { child, output, command: args.join(" ") }
}

/// Runs `foretell ARGS` to its end.
pub(crate) fn run(args: &[&str], env: &[(String, String)]) -> Ended {
    start(args, env).ended(Duration::from_secs(90))
}

impl Running {
    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.output.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Standard error so far: the log.
    pub(crate) fn log(&self) -> String {
        self.text("err")
    }

    /// Standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.text("out")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "foretell {} had ended before {name}: {}", self.command, self.log());
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    pub(crate) fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`; panics if it was gone already.
    pub(crate) fn kill(mut self) {
        assert!(self.alive(), "foretell {} had ended before kill -9: {}", self.command, self.log());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(mut self, within: Duration) -> Ended {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (out, err) = (self.text("out"), self.text("err"));
                return Ended { code: status.code(), out, err };
            }
            assert!(since.elapsed() < within, "foretell {} runs after {within:?}: {}", self.command, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; nothing else can go wrong here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ended {
    /// It must have gone well.
    #[track_caller]
    pub(crate) fn well(self) -> Ended {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// It must have ended with exit code 1 and one line that says all of `texts`; gives the line.
    #[track_caller]
    pub(crate) fn says(&self, texts: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.err);
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        let [line] = errors[..] else { panic!("one line must tell the error:\n{}", self.err) };
        for text in texts {
            assert!(line.contains(text), "`{text}` is not in: {line}");
        }
        line.to_string()
    }
}
