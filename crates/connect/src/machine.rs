//! Which machine this is, and places on it: what tells one machine's folder from another's of the same name.

use std::path::Path;

/// The machine's name, for people.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string()
}

/// A path on this machine as a sink's home: a checksum of machine and path, and both as people know them.
pub fn home(path: &Path) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let host = host();
    format_home(&[machine.trim(), &host], &host, &real(path))
}

/// A place that is the same for all machines as a sink's home.
pub fn shared_home(url: &str) -> String {
    format_home(&[], "", url)
}

fn format_home(machine: &[&str], host: &str, place: &str) -> String {
    /// Of a longer path the end is shown: notes are short.
    const SHOWN: usize = 80;
    let mut sum = flate2::Crc::new();
    machine.iter().chain([&place]).for_each(|part| {
        sum.update(part.as_bytes());
        sum.update(&[0]);
    });
    let skipped = place.chars().count().saturating_sub(SHOWN);
    let shown: String = place.chars().skip(skipped).collect();
    let colon = if host.is_empty() { "" } else { ":" };
    format!("{:08x} {host}{colon}{}{shown}", sum.sum(), if skipped > 0 { "…" } else { "" })
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> String {
    let there = path.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    let path = match &there {
        Some((above, real)) => path.strip_prefix(above).map_or_else(|_| real.clone(), |rest| real.join(rest)),
        None => path.to_path_buf(),
    };
    path.display().to_string().trim_end_matches('/').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_home_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        let at = |name: &str| home(&folder.path().join(name));
        assert_eq!(at("real/out"), at("link/out"), "the folder that is to come is not there yet");
        assert_ne!(at("real/out"), at("real/other"));
        assert!(at("real/out").ends_with("/real/out"), "people read it: {}", at("real/out"));
        assert_ne!(home(&real), shared_home(&real.display().to_string()));
    }
}
