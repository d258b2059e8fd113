//! What every client of ours does with librdkafka's logs and errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::StageError;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::login::{Token, Tokens};

/// So long a login that was refused may take to succeed, as where a token has just run out; and so long the client is
/// silent of one that is refused again.
pub(crate) const LOGIN: Duration = Duration::from_secs(3);
pub(crate) const SILENCE: Duration = Duration::from_secs(35);

/// Hands logs to `tracing` and remembers the last error of each kind. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    errors: Arc<Mutex<Vec<Report>>>,
    tokens: Option<Arc<Tokens>>,
}

/// What librdkafka reported.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) at: Instant,
}

impl Context {
    /// Of a client that logs in with these tokens, if it does.
    pub(crate) fn of(tokens: Option<Arc<Tokens>>) -> Self {
        Context { errors: Arc::default(), tokens }
    }

    /// A token to log in with, where that is how the client does it. It may have to be fetched.
    pub(crate) fn token(&self) -> Option<Result<Token, StageError>> {
        self.tokens.as_ref().map(|tokens| tokens.token())
    }

    /// The last error of each kind, oldest first.
    pub(crate) fn errors(&self) -> Vec<Report> {
        self.errors.lock().clone()
    }

    /// Why brokers let nobody in, where that is what they said within this time. The client says it once, and then, as
    /// long as nothing else happens, every half minute.
    pub(crate) fn refused(&self, within: Duration) -> Option<String> {
        let errors = self.errors.lock();
        let refused = errors.iter().find(|report| is_login(report.code) && report.at.elapsed() < within);
        refused.map(|report| report.reason.clone())
    }

    /// Why there is no token to log in with, which the client is not always asked for.
    pub(crate) fn no_token(&self, why: &StageError) {
        self.remember(Code::Authentication, &why.message);
    }

    fn remember(&self, code: Code, reason: &str) {
        // How long a connection took, and how often that was.
        let reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
        let mut errors = self.errors.lock();
        // One of each kind: `1/1 brokers are down` comes many times a second.
        errors.retain(|earlier| earlier.code != code);
        errors.push(Report { code, reason: reason.to_owned(), at: Instant::now() });
    }

    /// Forgets them.
    pub(crate) fn forget(&self) {
        self.errors.lock().clear();
    }

    /// Forgets what is no refused login: that is not said again for a while.
    pub(crate) fn forget_others(&self) {
        self.errors.lock().retain(|report| is_login(report.code));
    }
}

/// Whether a code says that a login is refused.
pub(crate) fn is_login(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed)
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let Token { text: token, principal: principal_name, until: lifetime_ms } =
            self.token().ok_or("no tokens are set")??;
        Ok(OAuthToken { token, principal_name, lifetime_ms })
    }

    // librdkafka's logs name brokers, topics, offsets and protocol errors, never the content of a record. It
    // repeats every few seconds what it tries to solve itself: who runs a pipeline is told of an outage by the pipeline.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // Why a connection fails is only said here.
        if facility == "FAIL" {
            let reason = text.split_once("]: ").map_or(text, |(_, reason)| reason);
            let code = match reason {
                reason if reason.contains("SASL") || reason.contains("uthentication") => Code::Authentication,
                reason if reason.contains("SSL") => Code::SSL,
                reason if reason.contains("Failed to resolve") => Code::Resolve,
                _ => Code::BrokerTransportFailure,
            };
            self.remember(code, reason);
        }
        tracing::debug!(target: "foretell::kafka", facility, ?level, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "foretell::kafka", %error, "{reason}");
        self.remember(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_is_refused_is_known_for_a_while() {
        let context = Context::default();
        let long = Duration::from_secs(60);
        context.log(RDKafkaLogLevel::Error, "FAIL", "[thrd:x]: x/1: Connect to x failed (after 3ms in state CONNECT)");
        assert_eq!(context.refused(long), None);
        let text = "[thrd:x]: x/1: SASL authentication error: Authentication failed (after 9ms in state AUTH_REQ)";
        context.log(RDKafkaLogLevel::Error, "FAIL", text);
        let why = context.refused(long).unwrap();
        assert!(why.contains("SASL authentication error: Authentication failed") && !why.contains("after"), "{why}");
        assert_eq!(context.refused(Duration::ZERO), None);
        context.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        context.forget_others();
        assert_eq!(context.refused(long), Some(why), "it is not said again for a while");
        assert_eq!(context.errors().len(), 1);
        context.forget();
        assert_eq!(context.refused(long), None);
    }
}
