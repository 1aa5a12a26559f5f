//! librdkafka's errors in the words of the port: what may pass, what cannot, what does not exist.
//! Used by all parts of the Kafka adapter.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::log::Error;

/// Of a record for `topic`.
#[must_use]
pub fn of_delivery(code: Code, topic: &str) -> Error {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition => Error::UnknownTopic(topic.to_owned()),
        Code::UnknownPartition => Error::Refused(format!("{topic} has no such partition")),
        code if is_permanent(code) => Error::Refused(format!("{topic}: {code}")),
        code => Error::Unavailable(format!("{topic}: {code}")),
    }
}

#[must_use]
pub fn of(error: &KafkaError) -> Error {
    match error {
        // The description tells a value that is wrong; any other may be a secret.
        KafkaError::ClientConfig(_, description, name, _) => {
            Error::Refused(format!("{name}: {description}"))
        }
        KafkaError::ClientCreation(_) | KafkaError::Nul(_) => Error::Refused(error.to_string()),
        _ => match error.rdkafka_error_code() {
            Some(code) if is_permanent(code) => Error::Refused(error.to_string()),
            _ => Error::Unavailable(error.to_string()),
        },
    }
}

/// Trying again with the same record, topic or rights cannot help.
fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::InvalidTimestamp
            | Code::InvalidArgument
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig
            | Code::InvalidRequest
            | Code::PolicyViolation
            | Code::UnsupportedVersion
            | Code::UnsupportedForMessageFormat
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TopicDeletionDisabled
            // The group has gone on without this member.
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
    )
}
