//! How a Kafka cluster is reached, as the pipeline file says it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rdkafka::config::ClientConfig;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::error;
use crate::login::{self, Tokens};
use foretell_connect::secret::Secret;
use foretell_flow::StageError;
use foretell_registry::Grant;

/// Where the cluster is: `host:port`, several by commas or as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(pub(crate) String);

impl<'de> Deserialize<'de> for Brokers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Brokers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`host:port`, several by commas or as a list")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Brokers, E> {
                match text.trim() {
                    "" => Err(E::custom("is empty; name at least one broker as `host:port`")),
                    text => Ok(Brokers(text.to_owned())),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Brokers, A::Error> {
                let mut all: Vec<String> = Vec::new();
                while let Some(broker) = list.next_element()? {
                    all.push(broker);
                }
                self.visit_str(&all.join(","))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Brokers {
    fn schema_name() -> Cow<'static, str> {
        "Brokers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where the cluster is: `host:port`, several by commas or as a list.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }],
        })
    }
}

/// How the connection is protected. Neither: plain text, no login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Encrypt with TLS; `{}` trusts the authorities of the system.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Log in with SASL.
    #[serde(default)]
    pub sasl: Option<Sasl>,
}

/// TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the authorities to trust (PEM). Default: those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// File with the client's certificate (PEM), where the brokers ask for one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// File with the client's private key (PEM).
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The private key's password.
    #[serde(default)]
    pub key_password: Option<Secret>,
    /// Whether the broker's name must be the one in its certificate. Default: true.
    #[serde(default)]
    pub verify_hostname: Option<bool>,
}

/// SASL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How to log in.
    pub mechanism: Mechanism,
    /// The user; not with `OAUTHBEARER` and `GSSAPI`.
    #[serde(default)]
    pub username: Option<String>,
    /// The password; not with `OAUTHBEARER` and `GSSAPI`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// With `OAUTHBEARER`: where tokens come from. They are renewed while the pipeline runs.
    #[serde(default)]
    pub oauth: Option<OAuth>,
    /// With `GSSAPI`: the first part of the brokers' principals, `kafka` of `kafka/host@REALM`. Default: `kafka`.
    #[serde(default)]
    pub service: Option<String>,
}

/// Tokens for `OAUTHBEARER`: of a token server by client credentials, or from a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// The token server's address, e.g. `https://idp/realms/kafka/protocol/openid-connect/token`.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Who asks it.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The secret of who asks, by reference.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// What the token shall be good for, as the server names it.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whom the token shall be shown to, where the server asks for it.
    #[serde(default)]
    pub audience: Option<String>,
    /// File with authorities to trust beside those of the system (PEM).
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Instead of all these: a file with the token, which something else keeps fresh (in Kubernetes, a projected service
    /// account's). It is read anew for each renewal.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub enum Mechanism {
    /// User and password as they are; use it with TLS.
    #[schemars(rename = "PLAIN")]
    Plain,
    /// Salted challenge, SHA-256.
    #[schemars(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge, SHA-512.
    #[schemars(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// Tokens, from where `oauth` says.
    #[schemars(rename = "OAUTHBEARER")]
    OAuthBearer,
    /// Kerberos, with the ticket or keytab of who runs foretell.
    #[schemars(rename = "GSSAPI")]
    Gssapi,
}

impl Mechanism {
    const ALL: [Mechanism; 5] =
        [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512, Mechanism::OAuthBearer, Mechanism::Gssapi];

    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::Gssapi => "GSSAPI",
        }
    }
}

impl<'de> Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if let Some(found) = Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name) {
            return Ok(found);
        }
        let names = Mechanism::ALL.map(|mechanism| format!("`{}`", mechanism.name())).join(", ");
        Err(D::Error::custom(format!("`{name}` is not supported; use one of {names}, or certificates (`tls`)")))
    }
}

/// Further properties of the Kafka client (librdkafka), by their own names.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Options(BTreeMap<String, Scalar>);

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Flag(value) => value.fmt(f),
            Scalar::Whole(value) => value.fmt(f),
            Scalar::Real(value) => value.fmt(f),
            Scalar::Text(value) => value.fmt(f),
        }
    }
}

impl Options {
    /// The value of a property, as text.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(Scalar::to_string)
    }
}

/// Properties that are not for `options`, and where they belong or why not. A name that ends in `.` means all below it.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("security.protocol", "it follows from `security`"),
    ("sasl.", "use `security: { sasl: … }`"),
    ("ssl.ca.location", "use `security: { tls: { ca: … } }`"),
    ("ssl.certificate.location", "use `security: { tls: { certificate: … } }`"),
    ("ssl.key.", "use `security: { tls: { key: …, key_password: … } }`"),
    ("ssl.keystore.password", "use `security: { tls: { key: …, key_password: … } }`"),
    ("group.id", "use `group`"),
    ("group.instance.id", "it is made of the group and the worker's id, so that a restart is quick"),
    ("group.protocol", "the assignment must be given up as a whole before it changes"),
    ("enable.auto.commit", "positions are stored with the results; the group's offset follows them"),
    ("enable.auto.offset.store", "positions are stored with the results; the group's offset follows them"),
    ("auto.offset.reset", "use `start`; a position out of range stops the pipeline, loudly"),
    ("enable.partition.eof", "positions past transaction markers need it"),
    ("check.crcs", "it is on: what was damaged on a disk must not pass for a record"),
    ("transactional.id", "it names the source's partition, so that an earlier owner is fenced"),
    ("enable.idempotence", "use `delivery`"),
    ("acks", "results must be on all replicas in sync"),
    ("request.required.acks", "results must be on all replicas in sync"),
    ("partitioner", "records go where Java's producer would put them (`murmur2_random`)"),
    ("delivery.report.only.error", "it is set already"),
    ("log.queue", "logs go to foretell's own"),
];

/// A cluster and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) brokers: Brokers,
    pub(crate) security: Security,
    pub(crate) options: Options,
    /// What relative paths are relative to.
    pub(crate) base: PathBuf,
    /// Of all clients of this connection.
    tokens: OnceLock<Arc<Tokens>>,
}

impl Connection {
    pub(crate) fn new(brokers: &Brokers, security: &Security, options: &Options, base: &Path) -> Self {
        let (brokers, security, options) = (brokers.clone(), security.clone(), options.clone());
        Connection { brokers, security, options, base: base.to_owned(), tokens: OnceLock::new() }
    }

    /// Where a client's tokens come from, if it logs in with any.
    pub(crate) fn tokens(&self) -> Option<Arc<Tokens>> {
        let sasl = self.security.sasl.as_ref().filter(|sasl| sasl.mechanism == Mechanism::OAuthBearer)?;
        let oauth = sasl.oauth.as_ref()?;
        Some(self.tokens.get_or_init(|| Arc::new(Tokens::new(source(oauth, &self.base)))).clone())
    }

    /// The client's settings: `own` first, then the user's options.
    ///
    /// # Errors
    /// An option that is not for the user to set, or that librdkafka does not know.
    pub(crate) fn config(&self, own: &[(&str, &str)]) -> Result<ClientConfig, StageError> {
        // What stands before it may be a password, which nobody shall look up or show.
        if self.brokers.0.contains('@') {
            let error = StageError::settings("`brokers`: a broker is written `host:port`, without a user");
            return Err(error.remedy("user and password go into `security: { sasl: … }`"));
        }
        let mut config = ClientConfig::new();
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Info);
        config.set("bootstrap.servers", &self.brokers.0);
        self.secure(&mut config)?;
        for (name, value) in own {
            config.set(*name, *value);
        }
        for (name, value) in &self.options.0 {
            let owner = |(owned, _): &&(&str, &str)| match owned.strip_suffix('.') {
                Some(_) => name.starts_with(owned),
                None => name == owned,
            };
            if let Some((_, why)) = OWNED.iter().find(owner) {
                return Err(StageError::settings(format!("`options` cannot set `{name}`")).remedy(*why));
            }
            let value = value.to_string();
            if name == "partition.assignment.strategy" && value.contains("cooperative") {
                let error = StageError::settings("`partition.assignment.strategy` cannot be cooperative");
                return Err(error.remedy("the assignment must be given up as a whole before it changes"));
            }
            config.set(name, value);
        }
        // Reads every property, and creates nothing.
        config.create_native_config().map_err(error::config)?;
        Ok(config)
    }

    fn secure(&self, config: &mut ClientConfig) -> Result<(), StageError> {
        let path = |path: &Path| self.base.join(path).to_string_lossy().into_owned();
        if let Some(tls) = &self.security.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    config.set(name, path(file));
                }
            }
            if tls.ca.is_none() {
                // OpenSSL is built in, so it does not know where this system keeps its authorities.
                config.set("ssl.ca.location", "probe");
            }
            if let Some(password) = &tls.key_password {
                config.set("ssl.key.password", password.reveal());
            }
            if tls.verify_hostname == Some(false) {
                config.set("ssl.endpoint.identification.algorithm", "none");
            }
        }
        if let Some(sasl) = &self.security.sasl {
            config.set("sasl.mechanism", sasl.mechanism.name());
            check(sasl)?;
            if let (Some(username), Some(password)) = (&sasl.username, &sasl.password) {
                config.set("sasl.username", username);
                config.set("sasl.password", password.reveal());
            }
            if let Some(tokens) = self.tokens() {
                tokens.check()?;
            }
            if sasl.mechanism == Mechanism::Gssapi {
                config.set("sasl.kerberos.service.name", sasl.service.as_deref().unwrap_or("kafka"));
                // No `kinit` is run: the Kerberos library fetches and renews tickets from a keytab itself.
                config.set("sasl.kerberos.min.time.before.relogin", "0");
            }
        }
        let protocol = match (&self.security.tls, &self.security.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        Ok(())
    }
}

/// That a login has what its mechanism needs, and nothing else.
fn check(sasl: &Sasl) -> Result<(), StageError> {
    let name = sasl.mechanism.name();
    let wrong = |what: &str, remedy: &str| Err(StageError::settings(format!("`sasl`: {what}")).remedy(remedy));
    let (user, oauth) = ((&sasl.username, &sasl.password), &sasl.oauth);
    if sasl.service.is_some() && sasl.mechanism != Mechanism::Gssapi {
        return wrong(&format!("`service` means nothing with `{name}`"), "leave it out, or set `mechanism: GSSAPI`");
    }
    match (sasl.mechanism, user, oauth) {
        (Mechanism::Gssapi, (None, None), None) => Ok(()),
        (Mechanism::Gssapi, ..) => wrong(
            "`GSSAPI` logs in with the ticket of who runs foretell",
            "leave out user, password and `oauth`; run `kinit`, or set KRB5_CLIENT_KTNAME to a keytab",
        ),
        (Mechanism::OAuthBearer, (None, None), Some(oauth)) => {
            match (&oauth.token_file, &oauth.token_url, &oauth.client_id, &oauth.client_secret) {
                (Some(_), None, None, None) | (None, Some(_), Some(_), Some(_)) => Ok(()),
                _ => wrong(
                    "`oauth` does not say where tokens come from",
                    "give `token_url`, `client_id` and `client_secret`, or a `token_file` alone",
                ),
            }
        }
        (Mechanism::OAuthBearer, ..) => wrong(
            "`OAUTHBEARER` logs in with tokens",
            "write `oauth: { token_url: …, client_id: …, client_secret: { env: … } }` in place of user and password",
        ),
        (_, (Some(_), Some(_)), None) => Ok(()),
        (_, (Some(_), Some(_)), Some(_)) => {
            wrong(&format!("`oauth` means nothing with `{name}`"), "leave it out, or set `mechanism: OAUTHBEARER`")
        }
        _ => wrong(&format!("`{name}` needs a user"), "give `username` and `password: { env: NAME }`"),
    }
}

fn source(oauth: &OAuth, base: &Path) -> login::Source {
    if let Some(file) = &oauth.token_file {
        return login::Source::File(base.join(file));
    }
    let members = [("scope", &oauth.scope), ("audience", &oauth.audience)];
    login::Source::Server(Grant {
        url: oauth.token_url.clone().unwrap_or_default(),
        client_id: oauth.client_id.clone().unwrap_or_default(),
        client_secret: oauth.client_secret.as_ref().map(|secret| secret.reveal().to_owned()).unwrap_or_default(),
        members: members.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
        ca: oauth.ca.as_ref().map(|file| base.join(file)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_connect::kind::settings_of;
    use serde_json::json;

    fn connection(options: serde_json::Value) -> Connection {
        let brokers = Brokers("localhost:9092".into());
        Connection::new(&brokers, &Security::default(), &settings_of(options).unwrap(), Path::new(""))
    }

    #[test]
    fn options_are_passed_through_but_for_those_that_the_protocol_owns() {
        let config = connection(json!({ "fetch.min.bytes": 7, "socket.keepalive.enable": true })).config(&[]).unwrap();
        assert_eq!(config.get("fetch.min.bytes"), Some("7"));
        assert_eq!(config.get("socket.keepalive.enable"), Some("true"));

        for (name, _) in OWNED {
            let name = if name.ends_with('.') { format!("{name}x") } else { (*name).to_owned() };
            let error = connection(json!({ name.clone(): "x" })).config(&[]).unwrap_err();
            assert_eq!(error.message, format!("`options` cannot set `{name}`"));
            assert!(!error.remedy.is_empty());
        }
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_nearest_name() {
        let error = connection(json!({ "fetch.min.byte": 7 })).config(&[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`options`: there is no property `fetch.min.byte`; did you mean `fetch.min.bytes`?"
        );
        let error = connection(json!({ "fetch.min.bytes": "many" })).config(&[]).unwrap_err();
        assert!(error.message.starts_with("`options`: "), "{error}");
    }

    #[test]
    fn kerberos_has_a_service_and_runs_no_command() {
        let mut connection = connection(json!({}));
        connection.security.sasl = Some(settings_of(json!({ "mechanism": "GSSAPI" })).unwrap());
        let config = connection.config(&[]).unwrap();
        assert_eq!(config.get("sasl.mechanism"), Some("GSSAPI"));
        assert_eq!(config.get("sasl.kerberos.service.name"), Some("kafka"));
        assert_eq!(config.get("sasl.kerberos.min.time.before.relogin"), Some("0"));
        connection.security.sasl = Some(settings_of(json!({ "mechanism": "GSSAPI", "service": "broker" })).unwrap());
        assert_eq!(connection.config(&[]).unwrap().get("sasl.kerberos.service.name"), Some("broker"));
        let error = settings_of::<Mechanism>(json!("NTLM")).unwrap_err();
        assert!(error.message.contains("`NTLM` is not supported; use one of `PLAIN`"), "{}", error.message);
    }

    #[test]
    fn the_protocol_follows_from_what_is_there_and_secrets_do_not_print() {
        let mut connection = connection(json!({}));
        let sasl = json!({ "mechanism": "SCRAM-SHA-512", "username": "u", "password": "hidden" });
        connection.security.sasl = Some(settings_of(sasl).unwrap());
        assert_eq!(connection.config(&[]).unwrap().get("security.protocol"), Some("sasl_plaintext"));
        connection.security.tls = Some(Tls { ca: Some("ca.pem".into()), ..Tls::default() });
        connection.base = "/etc/foretell".into();
        let config = connection.config(&[]).unwrap();
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(config.get("ssl.ca.location"), Some("/etc/foretell/ca.pem"));
        assert!(!format!("{connection:?}").contains("hidden"));
        connection.brokers = Brokers("a:1,SASL_SSL://app:secret@b:2".into());
        let error = connection.config(&[]).err().unwrap().to_string();
        assert!(error.contains("`security: { sasl: … }`") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_login_has_what_its_mechanism_needs() {
        let refused = |sasl: serde_json::Value| {
            let mut connection = connection(json!({}));
            connection.security.sasl = Some(settings_of(sasl).unwrap());
            connection.config(&[]).map(drop).map_err(|error| error.to_string())
        };
        let oauth = json!({ "token_url": "https://idp/token", "client_id": "c", "client_secret": "hidden" });
        assert_eq!(refused(json!({ "mechanism": "OAUTHBEARER", "oauth": oauth })), Ok(()));
        let file = json!({ "token_file": "token" });
        assert_eq!(refused(json!({ "mechanism": "OAUTHBEARER", "oauth": file })), Ok(()));
        for (sasl, expected) in [
            (json!({ "mechanism": "PLAIN" }), "`PLAIN` needs a user"),
            (json!({ "mechanism": "PLAIN", "username": "u" }), "needs a user"),
            (json!({ "mechanism": "GSSAPI", "username": "u", "password": "p" }), "the ticket of who runs foretell"),
            (
                json!({ "mechanism": "PLAIN", "username": "u", "password": "p", "service": "kafka" }),
                "`service` means nothing with `PLAIN`",
            ),
            (json!({ "mechanism": "PLAIN", "username": "u", "password": "p", "oauth": file }), "means nothing"),
            (json!({ "mechanism": "OAUTHBEARER", "username": "u", "password": "p" }), "logs in with tokens"),
            (json!({ "mechanism": "OAUTHBEARER", "oauth": { "token_url": "https://idp" } }), "where tokens come from"),
            (
                json!({ "mechanism": "OAUTHBEARER", "oauth": {
                    "token_url": "https://u:hidden@idp/", "client_id": "c", "client_secret": "hidden"
                } }),
                "is not the address of a token server",
            ),
        ] {
            let error = refused(sasl).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn brokers_are_a_text_or_a_list() {
        assert_eq!(settings_of::<Brokers>(json!("a:1,b:2")), Ok(Brokers("a:1,b:2".into())));
        assert_eq!(settings_of::<Brokers>(json!(["a:1", "b:2"])), Ok(Brokers("a:1,b:2".into())));
        assert!(settings_of::<Brokers>(json!([])).unwrap_err().message.contains("at least one"));
    }
}
