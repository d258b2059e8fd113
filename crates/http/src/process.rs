//! What the system says of this process; nothing where there is no `/proc`.

/// The process as the kernel accounts for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    /// Bytes of memory in use.
    pub(crate) resident: u64,
    /// Seconds of processor time, of all threads.
    pub(crate) cpu: f64,
    /// Open files and connections.
    pub(crate) files: u64,
}

/// Linux counts processor time in hundredths of a second, and memory in pages of 4 KiB, on what foretell is built for.
const TICKS: f64 = 100.0;

pub(crate) fn read() -> Option<Process> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let (resident, cpu) = (resident(&status)?, cpu(&stat)?);
    Some(Process { resident, cpu, files })
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The name of the program stands in parentheses and may hold anything.
fn cpu(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 100 1000 200 0";
        assert_eq!(cpu(stat), Some(2.0));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        if cfg!(target_os = "linux") {
            let process = read().unwrap();
            assert!(process.resident > 100_000 && process.files > 0, "{process:?}");
        }
    }
}
