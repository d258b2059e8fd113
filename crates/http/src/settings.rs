//! What the pipeline file says of it.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// The port that Prometheus' list of exporters keeps for programs that measure themselves.
const PORT: u16 = 9464;

/// Metrics for Prometheus (`/metrics`), `/livez`, `/readyz` and a page for people (`/`), on one address. Off where the
/// file has no `http`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address and port to listen on. By default `127.0.0.1:9464`, which this machine alone reaches: there is neither
    /// a password nor encryption. `0.0.0.0:9464` is every address of this machine; port 0 is any free one, which the log
    /// names.
    #[serde(default = "loopback", deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Whether the pipeline's models answer, too: `POST /predict` (of several models `/predict/NAME`) with rows in JSON, and
    /// KServe's protocol below `/v2`. Whoever reaches the address may ask. Default: false.
    #[serde(default)]
    pub predict: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { listen: loopback(), predict: false }
    }
}

/// An address as it is written.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads an address with its port.
///
/// # Errors
/// What is wrong with it, and how one is written.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let at_host = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let wrong = |_| "an address is written as an IP address and a port: `127.0.0.1:9464`".to_string();
    at_host.as_deref().unwrap_or(text).parse().map_err(wrong)
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_loopback_unless_told_otherwise() {
        let settings = |text| serde_json::from_str::<Settings>(text).unwrap();
        assert!(settings("{}").listen.ip().is_loopback());
        assert_eq!(settings(r#"{ "listen": "0.0.0.0:80" }"#).listen.to_string(), "0.0.0.0:80");
        assert_eq!(settings(r#"{ "listen": "localhost:80" }"#).listen.to_string(), "127.0.0.1:80");
        let wrong = serde_json::from_str::<Settings>(r#"{ "listen": "9464" }"#).unwrap_err().to_string();
        assert!(wrong.contains("`127.0.0.1:9464`"), "{wrong}");
    }
}
