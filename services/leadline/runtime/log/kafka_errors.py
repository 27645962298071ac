"""What kafka-python raises, in our words: the one place where it is mapped.

| ours           | when                                                                    |
|----------------|-------------------------------------------------------------------------|
| StoppedError   | records that were counted on are gone or damaged                        |
| UsageError     | rights, addresses, settings, versions: a person can mend it             |
| TransientError | the cluster did not answer, or answered that it will later              |

A class is looked up along its bases, nearest first, so that a new retriable error of the client is
transient by itself. Classes of parts of Kafka that are not used here (groups, transactions, share
groups, quorum) stand in a list of their own: such an answer means a server or client that does not
do what was asked, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as k

from leadline.records.errors import LeadlineError, StoppedError, TransientError, UsageError

_SETTINGS = "correct the log's options (security_protocol, sasl_*, ssl_*)"
_RIGHTS = "give this service's user the right in Kafka's access lists"
_VERSION = "use Apache Kafka 2.8 or newer"
_TOPIC = "create the topic with ensure_topics, or correct its settings"

_STOPPED: dict[type[Exception], str] = {
    k.OffsetOutOfRangeError: "raise the topic's retention, then `leadline rebuild --reset`",
    k.LogTruncationError: "the topic lost records in an election: `leadline rebuild --reset`; set "
    "unclean.leader.election.enable=false and min.insync.replicas=2",
    k.NoOffsetForPartitionError: "seek before polling",
    k.CorruptRecordError: "a record fails its checksum: restore the partition from a replica",
    k.UnknownTopicIdError: "the topic was made anew: `leadline rebuild --reset`",
    k.InconsistentTopicIdError: "the topic was made anew: `leadline rebuild --reset`",
    k.OffsetMovedToTieredStorageError: "switch tiered storage off for the topic",
}

_USAGE: dict[type[Exception], str] = {
    k.AuthorizationError: _RIGHTS,
    k.SaslAuthenticationFailedError: _SETTINGS,
    k.UnsupportedSaslMechanismError: _SETTINGS,
    k.IllegalSaslStateError: _SETTINGS,
    k.SecurityDisabledError: _SETTINGS,
    k.UnacceptableCredentialError: _SETTINGS,
    k.PrincipalDeserializationFailureError: _SETTINGS,
    k.KafkaConfigurationError: _SETTINGS,
    k.IllegalArgumentError: _SETTINGS,
    k.IllegalStateError: "the connection is closed: open the log again",
    k.KafkaProtocolError: "check that log_url names Kafka's own listener",
    k.UnsupportedVersionError: _VERSION,
    k.UnrecognizedBrokerVersion: _VERSION,
    k.UnsupportedForMessageFormatError: _VERSION,
    k.MismatchedEndpointTypeError: "let log_url name brokers, not controllers",
    k.UnsupportedEndpointTypeError: "let log_url name brokers, not controllers",
    k.UnsupportedCodecError: "install the codec of the producer's compression.type",
    k.UnsupportedCompressionTypeError: "set the topic's compression.type=producer",
    k.InvalidTopicError: _TOPIC,
    k.TopicAlreadyExistsError: _TOPIC,
    k.TopicDeletionDisabledError: _TOPIC,
    k.InvalidPartitionsError: _TOPIC,
    k.InvalidReplicationFactorError: "use at most as many replicas as there are brokers",
    k.InvalidReplicationAssignmentError: "use at most as many replicas as there are brokers",
    k.InvalidConfigurationError: _TOPIC,
    k.PolicyViolationError: "ask the cluster's operator: its policy forbids these settings",
    k.InvalidRequiredAcksError: _TOPIC,
    k.InvalidTimestampError: "set message.timestamp.type=LogAppendTime",
    k.InvalidRecordError: "set cleanup.policy=delete: compacted topics refuse records without key",
    k.MessageSizeTooLargeError: "raise the topic's max.message.bytes, or write smaller batches",
    k.RecordListTooLargeError: "raise the topic's segment.bytes, or write smaller batches",
    k.InvalidRequestError: _VERSION,
    k.InvalidFetchRequestError: _VERSION,
}

_TRANSIENT: tuple[type[Exception], ...] = (
    k.RetriableError,
    k.OutOfOrderSequenceNumberError,
    k.DuplicateSequenceNumberError,
    k.InvalidProducerEpochError,
    k.InvalidProducerIdMappingError,
    k.UnknownProducerIdError,
    k.ProducerFencedError,
    k.UnknownError,
    k.UnknownBrokerIdError,
    k.BrokerNotAvailableError,
    k.StaleControllerEpochError,
    k.StaleBrokerEpochError,
    k.LogDirNotFoundError,
    k.QuotaViolationError,
    k.IneligibleReplicaError,
    k.NewLeaderElectedError,
    k.OperationNotAttemptedError,
    k.ReassignmentInProgressError,
    k.DuplicateBrokerRegistrationError,
    k.BrokerIdNotRegisteredError,
    k.UnknownControllerIdError,
    k.FeatureUpdateFailedError,
    k.TransactionAbortedError,
    OSError,
)

_NOT_USED = "check the server's version and that nothing rewrites Kafka's protocol on the way"
_FOREIGN: tuple[type[Exception], ...] = (
    k.NoError,  # success raised as an error
    k.CommitFailedError,
    k.OffsetMetadataTooLargeError,
    k.InvalidCommitOffsetSizeError,
    k.IllegalGenerationError,
    k.InconsistentGroupProtocolError,
    k.InvalidGroupIdError,
    k.UnknownMemberIdError,
    k.InvalidSessionTimeoutError,
    k.RebalanceInProgressError,
    k.NonEmptyGroupError,
    k.GroupIdNotFoundError,
    k.MemberIdRequiredError,
    k.GroupMaxSizeReachedError,
    k.FencedInstanceIdError,
    k.GroupSubscribedToTopicError,
    k.FencedMemberEpochError,
    k.UnreleasedInstanceIdError,
    k.UnsupportedAssignorError,
    k.StaleMemberEpochError,
    k.InvalidTxnStateError,
    k.InvalidTransactionTimeoutError,
    k.TransactionCoordinatorFencedError,
    k.TransactionalIdNotFoundError,
    k.TransactionAbortableError,
    k.DelegationTokenAuthDisabledError,
    k.DelegationTokenNotFoundError,
    k.DelegationTokenOwnerMismatchError,
    k.DelegationTokenRequestNotAllowedError,
    k.DelegationTokenExpiredError,
    k.InvalidPrincipalTypeError,
    k.NoReassignmentInProgressError,
    k.ResourceNotFoundError,
    k.DuplicateResourceError,
    k.InconsistentVoterSetError,
    k.InvalidUpdateVersionError,
    k.SnapshotNotFoundError,
    k.PositionOutOfRangeError,
    k.InconsistentClusterIdError,
    k.UnknownSubscriptionIdError,
    k.TelemetryTooLargeError,
    k.InvalidRegistrationError,
    k.InvalidRecordStateError,
    k.FencedStateEpochError,
    k.InvalidVoterKeyError,
    k.DuplicateVoterError,
    k.VoterNotFoundError,
)


def kind_of(error: type[BaseException]) -> tuple[type[LeadlineError], str] | None:
    """Our class and remedy for a foreign class; None when it is in no list (a bug)."""
    for base in error.__mro__:
        if base in _STOPPED:
            return StoppedError, _STOPPED[base]
        if base in _USAGE:
            return UsageError, _USAGE[base]
        if base in _TRANSIENT:
            return TransientError, ""
        if base in _FOREIGN:
            return UsageError, _NOT_USED
    return None


def mapped(error: BaseException, doing: str) -> LeadlineError | None:
    """Our error for a foreign one; None for a bug of ours.

    Args:
        error: as the client raised it.
        doing: what was tried: "reading main/0".
    """
    kind = kind_of(type(error))
    if kind is None:
        if not isinstance(error, k.KafkaError):
            return None
        kind = TransientError, ""  # an error code that this client does not know
    ours, remedy = kind
    text = f"{doing}: {type(error).__name__}: {', '.join(map(str, error.args)) or 'no detail'}"
    return ours(text, remedy) if issubclass(ours, UsageError) else ours(text)


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Maps what is raised inside.

    Raises:
        TransientError: see the table.
        UsageError: see the table.
    """
    try:
        yield
    except (k.KafkaError, OSError) as error:
        ours = mapped(error, doing)
        if ours is None:
            raise
        raise ours from error
