//! Where the database is: the URL, read.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use foretell_flow::StageError;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use super::database::{Database, Dialect, Failure};
use super::table::nearest;
use super::{mariadb, postgres, sqlite};
use foretell_connect::secret::SecretUrl;

const MYSQL_OPTIONS: &[&str] = &[
    "ssl-mode",
    "sslmode",
    "ssl-ca",
    "sslca",
    "ssl-cert",
    "sslcert",
    "ssl-key",
    "sslkey",
    "charset",
    "collation",
    "socket",
    "statement-cache-capacity",
];

const POSTGRES_OPTIONS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

const SQLITE_OPTIONS: &[&str] = &["mode", "cache", "immutable", "vfs"];

/// A database's address.
pub(super) enum Address {
    MariaDb(Box<MySqlConnectOptions>),
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Address {
    /// Reads a URL; the paths in it are relative to `base`. No message shows the URL, nor a part of one that cannot be
    /// read: it may hold a password.
    pub(super) fn read(url: &SecretUrl, base: &Path) -> Result<Self, StageError> {
        let text = url.reveal();
        let scheme = text.split(':').next().unwrap_or_default().to_lowercase();
        match scheme.as_str() {
            "mysql" | "mariadb" => {
                let url = parse(text)?;
                check_options(&url, MYSQL_OPTIONS)?;
                let options = MySqlConnectOptions::from_str(text).map_err(|e| wrong(reason(e)))?;
                if options.get_database().is_none_or(str::is_empty) {
                    return Err(wrong("it names no database").remedy(FORMS));
                }
                mysql_files(options, &url, base).map(Box::new).map(Address::MariaDb)
            }
            "postgres" | "postgresql" => {
                let url = parse(text)?;
                check_options(&url, POSTGRES_OPTIONS)?;
                let options = PgConnectOptions::from_str(text).map_err(|e| wrong(reason(e)))?;
                postgres_files(options, &url, base).map(Box::new).map(Address::Postgres)
            }
            "sqlite" => {
                let query = text.split_once('?').map(|(_, query)| query).unwrap_or_default();
                let keys = query.split('&').filter_map(|p| p.split('=').next()).filter(|k| !k.is_empty());
                check_keys(keys.map(str::to_owned), SQLITE_OPTIONS)?;
                let options = SqliteConnectOptions::from_str(text).map_err(|e| wrong(reason(e)))?;
                let path = options.get_filename().to_owned();
                if path.as_os_str().is_empty() || text.contains(":memory:") || query.contains("mode=memory") {
                    return Err(wrong("it names no file")
                        .remedy("write sqlite://path: what is in memory alone is gone with its connection"));
                }
                Ok(Address::Sqlite(Box::new(options.filename(base.join(path)))))
            }
            _ => {
                let error = wrong("it is not a URL of MariaDB, MySQL, PostgreSQL or SQLite");
                Err(match variable(text) {
                    Some(name) => error.remedy(format!("write `url: {{ env: {name} }}` for what a variable holds")),
                    None => error.remedy(FORMS),
                })
            }
        }
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        match self {
            Address::MariaDb(_) => &mariadb::DIALECT,
            Address::Postgres(_) => &postgres::DIALECT,
            Address::Sqlite(_) => &sqlite::DIALECT,
        }
    }

    /// Where it is, for texts: no user, no password.
    pub(super) fn place(&self) -> String {
        match self {
            Address::MariaDb(o) => {
                format!("{}:{}/{}", o.get_host(), o.get_port(), o.get_database().unwrap_or_default())
            }
            Address::Postgres(o) => {
                format!("{}:{}/{}", o.get_host(), o.get_port(), o.get_database().unwrap_or_default())
            }
            Address::Sqlite(o) => o.get_filename().display().to_string(),
        }
    }

    /// Whether it is a file that is not there.
    pub(super) fn absent(&self) -> bool {
        matches!(self, Address::Sqlite(options) if !options.get_filename().exists())
    }

    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Address::Sqlite(options) => Some(options.get_filename()),
            Address::MariaDb(_) | Address::Postgres(_) => None,
        }
    }

    /// Connects. With `create`, a SQLite file that is not there is made.
    pub(super) async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure> {
        Ok(match self {
            Address::MariaDb(options) => Box::new(mariadb::MariaDb::connect(options).await?),
            Address::Postgres(options) => Box::new(postgres::Pg::connect(options).await?),
            Address::Sqlite(options) if create => {
                Box::new(sqlite::Sqlite::connect(&options.as_ref().clone().create_if_missing(true)).await?)
            }
            Address::Sqlite(options) => Box::new(sqlite::Sqlite::connect(options).await?),
        })
    }
}

const FORMS: &str = "write mysql://user:password@host:3306/database, postgres://user:password@host:5432/database or \
                     sqlite://path";

const ENCODE: &str = "in a user, a password or a database's name write `%40` for `@`, `%2F` for `/`, `%3A` for `:`, `%3F` \
                      for `?`, `%23` for `#`, `%25` for `%`";

fn wrong(why: impl Into<String>) -> StageError {
    StageError::settings(format!("`url`: {}", why.into()))
}

/// Reads a URL with a host. Where an `@` comes after the host, or anything after a `#`, a password was not encoded and the
/// host is none: nothing of it may be looked up or shown.
fn parse(text: &str) -> Result<Url, StageError> {
    let Some((_, rest)) =
        text.split_once(':').and_then(|(_, rest)| rest.split_once("//")).filter(|(s, _)| s.is_empty())
    else {
        return Err(wrong("two slashes are missing after its scheme").remedy(FORMS));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let after = rest.get(end..).unwrap_or_default();
    // Line ends and tabs are passed over by readers of URLs.
    if after.contains(['@', '#']) || text.contains(['\t', '\n', '\r']) {
        return Err(wrong("it holds a character that must be percent-encoded").remedy(ENCODE));
    }
    Url::parse(text).map_err(|error| wrong(error.to_string()).remedy(format!("{FORMS}; {ENCODE}")))
}

/// The name in `$NAME` or `${NAME}`, as other tools write what a variable holds.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// A file of certificates or of a key that an option names. The drivers' errors do not say which one is at fault.
fn file(option: &str, path: &str, base: &Path) -> Result<PathBuf, StageError> {
    let path = base.join(path);
    let place = format!("`{option}`: {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) if bytes.windows(11).any(|part| part == b"-----BEGIN ") => Ok(path),
        Ok(_) => {
            Err(wrong(format!("{place}: it holds no PEM")).remedy("write it as text that begins with `-----BEGIN`"))
        }
        Err(error) => Err(wrong(format!("{place}: {error}")).remedy("the path is relative to the pipeline file")),
    }
}

fn mysql_files(mut options: MySqlConnectOptions, url: &Url, base: &Path) -> Result<MySqlConnectOptions, StageError> {
    let (mut ca, mut mode) = (false, false);
    for (key, value) in url.query_pairs() {
        options = match &*key {
            "ssl-ca" | "sslca" => {
                ca = true;
                options.ssl_ca(file(&key, &value, base)?)
            }
            "ssl-cert" | "sslcert" => options.ssl_client_cert(file(&key, &value, base)?),
            "ssl-key" | "sslkey" => options.ssl_client_key(file(&key, &value, base)?),
            "socket" => options.socket(base.join(&*value)),
            "charset" if value != "utf8mb4" => {
                return Err(
                    wrong("`charset`: texts are sent as utf8mb4").remedy("leave `charset` out; the server converts")
                );
            }
            "collation" if !value.starts_with("utf8mb4_") => {
                return Err(
                    wrong("`collation`: texts are sent as utf8mb4").remedy("name one of utf8mb4, or leave it out")
                );
            }
            "ssl-mode" | "sslmode" => {
                mode = true;
                options
            }
            _ => options,
        };
    }
    // Whoever names an authority wants it asked.
    let unverified = match options.get_ssl_mode() {
        MySqlSslMode::Required => true,
        MySqlSslMode::Preferred => !mode,
        _ => false,
    };
    Ok(if ca && unverified { options.ssl_mode(MySqlSslMode::VerifyCa) } else { options })
}

fn postgres_files(mut options: PgConnectOptions, url: &Url, base: &Path) -> Result<PgConnectOptions, StageError> {
    let (mut ca, mut mode) = (false, false);
    for (key, value) in url.query_pairs() {
        options = match &*key {
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                ca = true;
                options.ssl_root_cert(file(&key, &value, base)?)
            }
            "sslcert" | "ssl-cert" => options.ssl_client_cert(file(&key, &value, base)?),
            "sslkey" | "ssl-key" => options.ssl_client_key(file(&key, &value, base)?),
            "sslmode" | "ssl-mode" => {
                mode = true;
                options
            }
            _ => options,
        };
    }
    // As libpq takes `require` beside an authority.
    let unverified = match options.get_ssl_mode() {
        PgSslMode::Require => true,
        PgSslMode::Prefer => !mode,
        _ => false,
    };
    Ok(if ca && unverified { options.ssl_mode(PgSslMode::VerifyCa) } else { options })
}

/// What the driver says of a URL it cannot read: only the reason, which quotes one option at most.
fn reason(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(error) => error.to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

/// The drivers pass over options that they do not know: a misspelt `ssl-mode` would mean no TLS.
fn check_options(url: &Url, known: &[&str]) -> Result<(), StageError> {
    let keys = || url.query_pairs().map(|(k, _)| k.into_owned()).filter(|k| !k.starts_with("options["));
    // What follows an `&` in a password is no option.
    if keys().any(|key| key == "password") && !keys().all(|key| known.contains(&key.as_str())) {
        return Err(wrong("an option beside `password` is not known").remedy("write `%26` for `&` in a password"));
    }
    check_keys(keys(), known)
}

fn check_keys(keys: impl Iterator<Item = String>, known: &[&str]) -> Result<(), StageError> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            let hint = nearest(&key, known.iter().copied()).map(|n| format!("did you mean `{n}`? "));
            let remedy = format!("{}there are {}", hint.unwrap_or_default(), known.join(", "));
            return Err(wrong(format!("the option `{key}` is not known")).remedy(remedy));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, base: &Path) -> Result<Address, String> {
        Address::read(&SecretUrl::new(url), base).map_err(|error| error.to_string())
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
        let postgres = |options: &str| match read(&format!("postgres://h/db?{options}"), folder.path()).unwrap() {
            Address::Postgres(options) => format!("{:?}", options.get_ssl_mode()),
            _ => unreachable!(),
        };
        assert_eq!(postgres("sslrootcert=ca.pem"), "VerifyCa");
        assert_eq!(postgres("sslmode=require&sslrootcert=ca.pem"), "VerifyCa");
        assert_eq!(postgres("sslmode=verify-full&sslrootcert=ca.pem"), "VerifyFull");
        assert_eq!(postgres("sslmode=disable&sslrootcert=ca.pem"), "Disable");
        assert_eq!(postgres("sslmode=require"), "Require");
        let mariadb = |options: &str| match read(&format!("mysql://h/db?{options}"), folder.path()).unwrap() {
            Address::MariaDb(options) => format!("{:?}", options.get_ssl_mode()),
            _ => unreachable!(),
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
