//! What becomes of the records that a producer is given.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::client::Context;
use crate::error::{self, Cause};

/// Marks a record whose failure is not a row's.
pub(super) const NO_ROW: usize = usize::MAX;

/// A record that did not arrive.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) row: usize,
    pub(super) topic: String,
    pub(super) code: Code,
}

impl Failure {
    /// Whether a row is refused, and not all that is written now.
    pub(super) fn of_a_row(&self) -> bool {
        self.row != NO_ROW && error::cause(self.code) == Cause::Row
    }

    /// Whether it was given up because of another one.
    pub(super) fn dropped(&self) -> bool {
        matches!(self.code, Code::PurgeQueue | Code::PurgeInflight)
    }
}

/// A producer's context: who is told of failures.
#[derive(Debug, Clone)]
pub(super) struct Reports {
    pub(super) context: Context,
    failed: Arc<Mutex<Vec<Failure>>>,
}

impl Reports {
    pub(super) fn new(context: Context) -> Reports {
        Reports { context, failed: Arc::default() }
    }

    pub(super) fn failed(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failed.lock()
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.context.generate_oauth_token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.context.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, row: usize) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            self.failed().push(Failure { row, topic: message.topic().to_owned(), code });
        }
    }
}
