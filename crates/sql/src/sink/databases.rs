//! Every kind of database. A new one is its own file and a line here.

use std::path::Path;

use foretell_connect::secret::SecretUrl;
use foretell_flow::{Sharing, StageError};

use super::address::{Address, DatabaseKind, wrong};
use super::{mariadb, odbc, postgres, sqlite};

pub(super) const DATABASES: &[DatabaseKind] = &[mariadb::KIND, postgres::KIND, sqlite::KIND, odbc::KIND];

/// The kind of database that a URL names, and its scheme's name in texts.
fn kind(url: &SecretUrl) -> Option<(&'static DatabaseKind, &'static str)> {
    let scheme = url.reveal().split(':').next().unwrap_or_default().to_lowercase();
    DATABASES.iter().find_map(|kind| {
        let (_, shown) = kind.schemes.iter().find(|(name, _)| *name == scheme)?;
        Some((kind, *shown))
    })
}

/// The scheme of a URL, for texts: it holds no secret.
pub(crate) fn scheme(url: &SecretUrl) -> &'static str {
    kind(url).map_or("sql", |(_, shown)| shown)
}

/// Who may write to a database at the same time.
pub(super) fn sharing(url: &SecretUrl) -> Sharing {
    kind(url).map_or(Sharing::Shared, |(kind, _)| kind.sharing)
}

/// Reads a URL; the paths in it are relative to `base`.
pub(super) fn address(url: &SecretUrl, base: &Path) -> Result<Box<dyn Address>, StageError> {
    let text = url.reveal();
    if let Some((kind, _)) = kind(url) {
        return (kind.address)(text, base);
    }
    let names: Vec<&str> = DATABASES.iter().flat_map(|kind| kind.name.split(", ")).collect();
    let error = wrong(format!("it is not a URL of {}", any_of(&names)));
    Err(match variable(text) {
        Some(name) => error.remedy(format!("write `url: {{ env: {name} }}` for what a variable holds")),
        None => {
            let forms: Vec<&str> = DATABASES.iter().map(|kind| kind.form).collect();
            error.remedy(format!("write {}", any_of(&forms)))
        }
    })
}

/// `a, b or c`.
fn any_of(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => words.concat(),
    }
}

/// The name in `$NAME` or `${NAME}`, as other tools write what a variable holds.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, base: &Path) -> Result<Box<dyn Address>, String> {
        address(&SecretUrl::new(url), base).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_of_a_password_is_taken_for_a_host() {
        // The password is one of these, as it is.
        let passwords =
            ["se/cret", "12/cret", "se#cret", "se?cret", "se@c/ret", "se@c?r=et", "se@c#ret", "se/cr@et", "//cret"];
        for scheme in ["mysql", "mariadb", "postgres", "postgresql"] {
            for password in passwords {
                let error = read(&format!("{scheme}://app:{password}@db.example:5432/prod"), Path::new("/")).err();
                let error = error.unwrap_or_else(|| panic!("{scheme} {password} is taken"));
                assert!(error.contains("%2F") && error.starts_with("`url`: "), "{error}");
                for part in ["cret", "app", "example", "se@", "12"] {
                    assert!(!error.contains(part), "{password}: {error}");
                }
            }
            for url in ["app:secret@host/db", "/app:secret@host/db", "///app:secret@host/db"] {
                let error = read(&format!("{scheme}:{url}"), Path::new("/")).err().unwrap();
                assert!(!error.contains("secret") && !error.contains("app"), "{error}");
            }
            // In a database's name, too.
            assert!(read(&format!("{scheme}://app:x@host/pro@d"), Path::new("/")).is_err());
            assert!(read(&format!("{scheme}://app:x@host/prod?sslmode=disable&user=a@b"), Path::new("/")).is_err());
        }
        let error = read("postgres://h/db?password=se&cret=1", Path::new("/")).err().unwrap();
        assert!(!error.contains("cret") && error.contains("%26"), "{error}");
    }

    #[test]
    fn an_encoded_password_is_read() {
        let address = read("postgres://app:a%40%2F%3A%3F%23%25@db.example:6432/pro%40d", Path::new("/")).unwrap();
        assert_eq!(address.place(), "db.example:6432/pro@d");
        // Others stand for themselves.
        let address = read("mysql://user@server:p:w@d@db.example/prod", Path::new("/")).unwrap();
        assert_eq!(address.place(), "db.example:3306/prod");
    }

    #[test]
    fn a_variable_as_other_tools_write_it_is_told_how_it_is_written_here() {
        for url in ["${DATABASE_URL}", "$DATABASE_URL"] {
            assert!(read(url, Path::new("/")).err().unwrap().contains("write `url: { env: DATABASE_URL }`"));
        }
        assert!(!read("$ecret!", Path::new("/")).err().unwrap().contains("ecret"));
    }

    #[test]
    fn files_are_relative_to_the_pipeline_file_and_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
        std::fs::write(folder.path().join("ca.der"), b"\x30\x82").unwrap();
        let error = read("mysql://h/db?ssl-ca=ca.der", folder.path()).err().unwrap();
        assert!(error.contains("ca.der: it holds no PEM"), "{error}");
        let error = read("postgres://h/db?sslrootcert=none.pem", folder.path()).err().unwrap();
        assert!(
            error.contains(&format!("`sslrootcert`: {}/none.pem: No such file", folder.path().display())),
            "{error}"
        );
        for (option, key) in [("ssl-ca", "mysql"), ("ssl-cert", "mysql"), ("ssl-key", "mysql"), ("sslkey", "postgres")]
        {
            let error = read(&format!("{key}://h/db?{option}=none.pem"), folder.path()).err().unwrap();
            assert!(error.contains("none.pem"), "{error}");
        }
        let postgres = |options: &str| {
            let options = postgres::options(&format!("postgres://h/db?{options}"), folder.path()).unwrap();
            format!("{:?}", options.get_ssl_mode())
        };
        assert_eq!(postgres("sslrootcert=ca.pem"), "VerifyCa");
        assert_eq!(postgres("sslmode=require&sslrootcert=ca.pem"), "VerifyCa");
        assert_eq!(postgres("sslmode=verify-full&sslrootcert=ca.pem"), "VerifyFull");
        assert_eq!(postgres("sslmode=disable&sslrootcert=ca.pem"), "Disable");
        assert_eq!(postgres("sslmode=require"), "Require");
        let mariadb = |options: &str| {
            let options = mariadb::options(&format!("mysql://h/db?{options}"), folder.path()).unwrap();
            format!("{:?}", options.get_ssl_mode())
        };
        assert_eq!(mariadb("ssl-ca=ca.pem"), "VerifyCa");
        assert_eq!(mariadb("ssl-mode=REQUIRED&ssl-ca=ca.pem"), "VerifyCa");
        assert_eq!(mariadb("ssl-mode=VERIFY_IDENTITY&ssl-ca=ca.pem"), "VerifyIdentity");
        assert_eq!(mariadb("ssl-mode=PREFERRED&ssl-ca=ca.pem"), "Preferred");
    }

    #[test]
    fn texts_go_as_utf8() {
        assert!(read("mysql://h/db?charset=latin1", Path::new("/")).err().unwrap().contains("sent as utf8mb4"));
        assert!(read("mysql://h/db?charset=utf8mb4&collation=utf8mb4_bin", Path::new("/")).is_ok());
    }
}
