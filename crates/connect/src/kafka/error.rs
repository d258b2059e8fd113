//! Whose fault an error of the Kafka client is, and what can be done.

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaConfRes, RDKafkaErrorCode as Code};

use foretell_flow::{Fault, StageError};

use crate::kafka::raw;

/// The name among these that was probably meant.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::osa_distance(&name.to_lowercase(), &other.to_lowercase());
    let best = names.into_iter().map(|other| (distance(other), other)).min()?;
    (best.0 <= 1 + name.chars().count() / 3).then_some(best.1)
}

/// `did you mean …?`, where a near name is there.
pub(crate) fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, names).map(|found| format!("did you mean `{found}`?")).unwrap_or_default()
}

/// An error from settings that librdkafka does not take. Values are not shown: they may be secrets.
pub(crate) fn config(error: KafkaError) -> StageError {
    match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            let error = StageError::settings(format!("`options`: there is no property `{name}`"));
            error.remedy(meant(&name, raw::properties().iter().map(String::as_str)))
        }
        KafkaError::ClientConfig(_, _, name, _) => {
            StageError::settings(format!("`options`: the Kafka client does not take this value of `{name}`"))
                .remedy("see https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md")
        }
        KafkaError::ClientCreation(text) => StageError::settings(format!("the Kafka client does not start: {text}")),
        error => StageError::settings(format!("the Kafka client does not start: {error}")),
    }
}

/// Whose fault a code is.
pub(crate) fn fault(code: Code) -> Fault {
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Fault::Fenced,
        Code::Authentication
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::InvalidTopic
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::InvalidSessionTimeout
        | Code::InvalidGroupId
        | Code::FencedInstanceId
        | Code::MessageSizeTooLarge => Fault::Settings,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Fault::State,
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => Fault::State,
        _ => Fault::Unavailable,
    }
}

/// What librdkafka says of a code, e.g. `Broker: Producer attempted a transactional operation in an invalid state`.
pub(crate) fn text(code: Code) -> String {
    let full = code.to_string();
    // The code's own name comes first, its text in brackets.
    full.split_once(" (").and_then(|(_, text)| text.strip_suffix(')')).unwrap_or(&full).to_owned()
}

/// An error of `doing`, e.g. ``topic `x`: commit``.
pub(crate) fn of(doing: &str, error: &KafkaError) -> StageError {
    let code = error.rdkafka_error_code();
    let text = match error {
        KafkaError::Transaction(error) => error.string(),
        error => code.map_or_else(|| error.to_string(), text),
    };
    StageError {
        fault: code.map_or(Fault::Unavailable, fault),
        message: format!("{doing}: {text}"),
        remedy: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("Pdate", ["Pdata", "utime", "_x"]), Some("Pdata"));
        assert_eq!(nearest("pdata", ["Pdata"]), Some("Pdata"));
        assert_eq!(nearest("Pdata", ["utime", "orders"]), None);
    }

    #[test]
    fn texts_are_for_people() {
        assert_eq!(text(Code::UnknownTopicOrPartition), "Broker: Unknown topic or partition");
        let error = of("topic `x`", &KafkaError::MetadataFetch(Code::BrokerTransportFailure));
        assert_eq!(error.message, "topic `x`: Local: Broker transport failure");
        assert_eq!(error.fault, Fault::Unavailable);
    }
}
