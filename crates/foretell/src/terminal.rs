//! What people read. Names and values from data and model files go to a terminal through here, so that nothing in them
//! can control it.

use std::io::{self, IsTerminal, Write};

use foretell_connect::human::printable;

/// Lines as they are, with everything else that a terminal would obey as escapes.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// As the standard library's, through [`lines`].
macro_rules! say {
    ($($part:tt)*) => { $crate::terminal::say(&::std::format!($($part)*)) };
}
pub(crate) use say as println;

/// A line on standard output. Whoever reads it may have enough (`| head`): what the command does goes on without a reader.
pub(crate) fn say(line: &str) {
    match writeln!(io::stdout(), "{}", lines(line)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Standard output: as it is into a file or a pipe, through [`lines`] to a terminal.
pub(crate) fn output() -> Box<dyn Write + Send> {
    let out = io::stdout();
    if out.is_terminal() { Box::new(Shown { out, rest: Vec::new() }) } else { Box::new(out) }
}

struct Shown<W: Write> {
    out: W,
    /// The beginning of a character whose end is still to come.
    rest: Vec<u8>,
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let complete = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(complete);
        let text = std::mem::replace(&mut self.rest, rest);
        self.out.write_all(lines(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_escapes_and_whole_characters() {
        let mut out = Vec::new();
        let mut shown = Shown { out: &mut out, rest: Vec::new() };
        let text = "a,\u{1b}[31mré\u{9b}d\nb\r\n";
        // Byte by byte, as a buffer may cut it.
        text.as_bytes().chunks(1).for_each(|byte| shown.write_all(byte).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "a,\\u{1b}[31mré\\u{9b}d\nb\\r\n");
    }
}
