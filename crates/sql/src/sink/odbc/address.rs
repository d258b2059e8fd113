//! Connection strings: `odbc:Driver={…};Server=…;UID=…;PWD=…`.

use std::path::Path;

use async_trait::async_trait;
use foretell_flow::StageError;

use super::super::address::{Address, wrong};
use super::super::database::{Database, Failure};
use super::super::dialect::Dialect;
use super::database::Odbc;
use super::flavor::STANDARD;

pub(super) const FORM: &str =
    "odbc:Driver={ODBC Driver 18 for SQL Server};Server=host;Database=name;UID=user;PWD=password";

/// What of a connection string is shown: where it leads, and nothing that could be a secret.
const SHOWN: &[&str] =
    &["driver", "dsn", "filedsn", "server", "servername", "host", "hostname", "port", "database", "db", "dbq"];

/// A connection string.
struct Connect {
    text: String,
    place: String,
    /// Values that no message may hold.
    secrets: Vec<String>,
}

pub(super) fn read(text: &str, _base: &Path) -> Result<Box<dyn Address>, StageError> {
    let text = text.split_once(':').map_or(text, |(_, text)| text);
    let remedy = format!("write {FORM}, or odbc:DSN=name;…");
    let Some(pairs) = pairs(text) else {
        return Err(wrong("it is not a connection string of `Key=value` parts with `;` between them").remedy(remedy));
    };
    let key = |wanted: &str| pairs.iter().any(|(key, _)| key.eq_ignore_ascii_case(wanted));
    if !key("driver") && !key("dsn") && !key("filedsn") {
        return Err(wrong("it names neither a `Driver` nor a `DSN`").remedy(remedy));
    }
    let is_shown = |key: &str| SHOWN.contains(&key.to_ascii_lowercase().as_str());
    let shown = pairs.iter().filter(|(key, _)| is_shown(key)).map(|(key, value)| format!("{key}={value}"));
    let place = shown.collect::<Vec<_>>().join(";");
    let secrets = pairs.iter().filter(|(key, value)| !is_shown(key) && value.len() > 2);
    let secrets = secrets.filter(|(key, _)| !["uid", "user"].contains(&key.to_ascii_lowercase().as_str()));
    let secrets = secrets.map(|(_, value)| value.clone()).collect();
    Ok(Box::new(Connect { place, secrets, text: text.to_owned() }))
}

/// The parts of a connection string; a value in braces may hold `;`, and a brace twice for one.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let (mut out, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('{') {
            Some(braced) => {
                let mut value = String::new();
                let mut left = braced;
                loop {
                    let (part, after) = left.split_once('}')?;
                    value.push_str(part);
                    match after.strip_prefix('}') {
                        Some(more) => {
                            value.push('}');
                            left = more;
                        }
                        None => break (value, after.trim_start().strip_prefix(';').unwrap_or(after.trim_start())),
                    }
                }
            }
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        let key = key.trim();
        if key.is_empty() || key.contains([';', '{', '}', '@', '/']) {
            return None;
        }
        out.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    (!out.is_empty()).then_some(out)
}

#[async_trait]
impl Address for Connect {
    fn dialect(&self) -> &'static dyn Dialect {
        STANDARD.dialect
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    async fn connect(&self, _create: bool) -> Result<Box<dyn Database>, Failure> {
        let mut outcome = Odbc::connect(self.text.clone()).await;
        if let Err(failure) = &mut outcome
            && self.secrets.iter().any(|secret| failure.text.contains(secret))
        {
            failure.text = "the driver refuses; its words hold a part of the connection string".to_owned();
        }
        Ok(Box::new(outcome?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text, Path::new("/")).err().expect("it is refused").to_string()
    }

    #[test]
    fn a_connection_string_is_shown_without_its_secrets() {
        let text = "odbc:Driver={ODBC Driver 18 for SQL Server};Server=tcp:db.example,1433;UID=app;PWD={se;cr}}et};\
                    Database=prod;Token=hidden";
        let address = read(text, Path::new("/")).unwrap();
        assert_eq!(address.place(), "Driver=ODBC Driver 18 for SQL Server;Server=tcp:db.example,1433;Database=prod");
        assert_eq!(
            pairs("PWD={se;cr}}et};DSN=a").unwrap(),
            [("PWD".into(), "se;cr}et".into()), ("DSN".into(), "a".into())]
        );
    }

    #[test]
    fn nothing_of_what_cannot_be_read_is_shown() {
        for text in ["odbc:secret", "odbc:UID=app;PWD=secret", "odbc:PWD={secret", "odbc://app:secret@host/db", "odbc:"]
        {
            let error = refused(text);
            assert!(!error.contains("secret") && error.contains("odbc:Driver={"), "{error}");
        }
    }
}
