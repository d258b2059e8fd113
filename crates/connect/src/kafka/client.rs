//! What every client of ours does with librdkafka's logs and errors.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Errors remembered: enough to say why a broker cannot be reached.
const REMEMBERED: usize = 16;

/// Hands logs to `tracing` and remembers the last errors. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    errors: Arc<Mutex<VecDeque<Report>>>,
}

/// What librdkafka reported.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) at: Instant,
}

impl Context {
    /// The errors so far, oldest first.
    pub(crate) fn errors(&self) -> Vec<Report> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Forgets them.
    pub(crate) fn forget(&self) {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ClientContext for Context {
    // librdkafka's logs name brokers, topics, offsets and protocol errors, never the content of a record; the levels
    // below are one lower than its own, since it repeats what it will solve itself.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "foretell::kafka", facility, "{text}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "foretell::kafka", facility, "{text}");
            }
            _ => tracing::debug!(target: "foretell::kafka", facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "foretell::kafka", %error, "{reason}");
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == REMEMBERED {
            errors.pop_front();
        }
        errors.push_back(Report { code, reason: reason.to_owned(), at: Instant::now() });
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Context {}
