//! Whose fault an error of the Kafka client is, and what can be done.

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaConfRes, RDKafkaErrorCode as Code};

use foretell_flow::{Fault, StageError};
use foretell_suggest::nearest;

use crate::raw;

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

/// What a code says can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It passes, or a new claim mends it.
    Moment,
    /// Single records of those that were written are at fault: the others would be taken.
    Row,
    /// Settings, permissions or the topic's configuration: a person's business.
    Settings,
    /// What the log holds is not what was expected, or cannot be read.
    State,
    /// Another producer has the id now.
    Fenced,
}

/// What a code says can be done. One that is not known passes, so that a newer broker ends no pipeline.
pub(crate) fn cause(code: Code) -> Cause {
    listed(code).unwrap_or(Cause::Moment)
}

/// Whose fault a code is.
pub(crate) fn fault(code: Code) -> Fault {
    match cause(code) {
        Cause::Moment => Fault::Unavailable,
        // Where nobody can set the record aside.
        Cause::Row | Cause::Settings => Fault::Settings,
        Cause::State => Fault::State,
        Cause::Fenced => Fault::Fenced,
    }
}

/// Every code that librdkafka has; a test holds it.
fn listed(code: Code) -> Option<Cause> {
    Some(match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Cause::Fenced,

        Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp
        | Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::KeySerialization
        | Code::ValueSerialization => Cause::Row,

        Code::BadMessage
        | Code::BadCompression
        | Code::NotImplemented
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::OffsetOutOfRange
        | Code::AutoOffsetReset
        | Code::LogTruncation
        | Code::NoOffset => Cause::State,

        Code::InvalidArgument
        | Code::InvalidType
        | Code::ReadOnly
        | Code::ExistingSubscription
        | Code::UnknownProtocol
        | Code::NotConfigured
        | Code::FileSystem
        | Code::SSL
        | Code::UnsupportedFeature
        | Code::InvalidMessageSize
        | Code::OffsetMetadataTooLarge
        | Code::InvalidTopic
        | Code::InvalidRequiredAcks
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InvalidCommitOffsetSize
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::UnsupportedVersion
        | Code::TopicAlreadyExists
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::InvalidRequest
        | Code::UnsupportedForMessageFormat
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::TransactionalIdAuthorizationFailed
        | Code::SecurityDisabled
        | Code::SaslAuthenticationFailed
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::InvalidPrincipalType
        | Code::NonEmptyGroup
        | Code::TopicDeletionDisabled
        | Code::UnsupportedCompressionType
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId
        | Code::GroupSubscribedToTopic
        | Code::ResourceNotFound
        | Code::DuplicateResource
        | Code::UnacceptableCredential
        | Code::InconsistentVoterSet
        | Code::InvalidUpdateVersion
        | Code::FeatureUpdateFailed
        | Code::PrincipalDeserializationFailure
        | Code::UnsupportedAssignor => Cause::Settings,

        Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::Fail
        | Code::BrokerTransportFailure
        | Code::CriticalSystemResource
        | Code::Resolve
        | Code::MessageTimedOut
        | Code::PartitionEOF
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::QueueFull
        | Code::ISRInsufficient
        | Code::NodeUpdate
        | Code::WaitingForCoordinator
        | Code::UnknownGroup
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::AssignPartitions
        | Code::RevokePartitions
        // A ticket or token that has just run out is renewed. One that never was good is told of when it is first shown,
        // before anything runs ([`crate::inspect`]).
        | Code::Authentication
        | Code::Conflict
        | Code::State
        | Code::Outdated
        | Code::TimedOutQueue
        | Code::WaitCache
        | Code::Interrupted
        | Code::Partial
        | Code::NoEnt
        | Code::Underflow
        | Code::Retry
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::Fatal
        | Code::Inconsistent
        | Code::GaplessGuarantee
        | Code::PollExceeded
        | Code::UnknownBroker
        | Code::Application
        | Code::AssignmentLost
        | Code::Noop
        | Code::Unknown
        | Code::NoError
        // A producer's batch that was damaged on its way is sent again; of a batch in the log, see [`breaks`].
        | Code::InvalidMessage
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::NotController
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidTransactionalState
        | Code::InvalidProducerIdMapping
        | Code::ConcurrentTransactions
        | Code::TransactionCoordinatorFenced
        | Code::OperationNotAttempted
        | Code::KafkaStorageError
        | Code::LogDirNotFound
        | Code::UnknownProducerId
        | Code::ReassignmentInProgress
        | Code::GroupIdNotFound
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::MemberIdRequired
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress
        | Code::UnstableOffsetCommit
        | Code::ThrottlingQuotaExceeded
        | Code::FencedMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::StaleMemberEpoch
        | Code::UnknownSubscriptionId
        | Code::TelemetryTooLarge
        | Code::RebootstrapRequired => Cause::Moment,

        _ => return None,
    })
}

/// Whether an error that came among a partition's records says that reading it cannot go on by itself.
pub(crate) fn breaks(code: Code) -> bool {
    match code {
        Code::InvalidMessage => true,
        // A broker that does not know it any more, or not yet: whether it is gone is another question.
        Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => false,
        code => !matches!(cause(code), Cause::Moment | Cause::Fenced),
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
    StageError::new(code.map_or(Fault::Unavailable, fault), format!("{doing}: {text}"))
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
    fn every_code_of_librdkafka_is_listed() {
        use rdkafka::types::RDKafkaRespErr;
        let between = [Code::Begin, Code::End, Code::EndAll];
        let known = (-200..=200).filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(Code::from);
        let known: Vec<Code> = known.filter(|code| !between.contains(code)).collect();
        assert!(known.len() > 140, "{}", known.len());
        let missing: Vec<&Code> = known.iter().filter(|code| listed(**code).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn what_is_permanent_does_not_pass_for_a_moment() {
        for (code, wanted) in [
            (Code::InvalidRecord, Cause::Row),
            (Code::MessageSizeTooLarge, Cause::Row),
            (Code::TopicAuthorizationFailed, Cause::Settings),
            (Code::PolicyViolation, Cause::Settings),
            (Code::UnknownTopicOrPartition, Cause::State),
            (Code::BadCompression, Cause::State),
            (Code::NotLeaderForPartition, Cause::Moment),
            (Code::SaslAuthenticationFailed, Cause::Settings),
            (Code::Authentication, Cause::Moment),
        ] {
            assert_eq!(cause(code), wanted, "{code}");
        }
        assert!([Code::BadMessage, Code::NotImplemented, Code::InvalidMessage].into_iter().all(breaks));
        let passing =
            [Code::LeaderNotAvailable, Code::KafkaStorageError, Code::UnknownTopicOrPartition, Code::PartitionEOF];
        assert!(!passing.into_iter().any(breaks));
    }

    #[test]
    fn texts_are_for_people() {
        assert_eq!(text(Code::UnknownTopicOrPartition), "Broker: Unknown topic or partition");
        let error = of("topic `x`", &KafkaError::MetadataFetch(Code::BrokerTransportFailure));
        assert_eq!(error.message, "topic `x`: Local: Broker transport failure");
        assert_eq!(error.fault, Fault::Unavailable);
    }
}
