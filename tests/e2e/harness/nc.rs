//! Netcat, as a user has it: `nc -lk PORT` and `nc HOST PORT`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A running nc; dropped, it is killed.
pub(crate) struct Nc(Child);

/// A port that is free.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(args: &[&str]) -> Nc {
    let command = Command::new("nc").args(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    Nc(command.expect("nc is there: `dev/install` gets it"))
}

/// `nc -lk`: a server that sends what it is given to whoever is connected.
pub(crate) fn server(port: u16) -> Nc {
    start(&["-lk", "127.0.0.1", &port.to_string()])
}

/// `nc HOST PORT`, which closes the connection at the end of its input.
pub(crate) fn client(port: u16) -> Nc {
    start(&["-N", "127.0.0.1", &port.to_string()])
}

impl Nc {
    /// Gives it bytes; false when it has ended.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(bytes.as_ref()).and_then(|()| input.flush()).is_ok()
    }

    /// Ends its input and waits for its end.
    pub(crate) fn finish(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Nc {
    fn drop(&mut self) {
        // It may have ended; nothing else can go wrong here.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
