"""Topics in Kafka: how they are made, and what about existing ones would make figures wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as k
from kafka.admin import ConfigResource, ConfigResourceType

from leadline.records.errors import UsageError
from leadline.runtime.log.kafka_errors import errors
from leadline.runtime.log.port import TopicSpec, TopicState
from leadline.runtime.log.topics import MAX_MESSAGE_BYTES

# What a record's key and the batch around it add to a message.
_ENVELOPE_BYTES = 64 * 1024
# From this many replicas on one may be lost without losing what was acknowledged.
_SAFE_REPLICAS = 3


def configs_of(spec: TopicSpec) -> dict[str, str]:
    """The settings of a topic that is made here."""
    configs = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": str(spec.retention_ms),
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(MAX_MESSAGE_BYTES + _ENVELOPE_BYTES),
    }
    if spec.replication_factor >= _SAFE_REPLICAS:
        configs["min.insync.replicas"] = "2"
    return configs


def create_missing(admin: Any, topics: Sequence[TopicSpec]) -> list[str]:  # noqa: ANN401
    """Makes those that do not exist, waits until they can be used; returns their names."""
    found = {row["name"] for row in _metadata(admin, [spec.name for spec in topics])}
    missing = {spec.name: spec for spec in topics if spec.name not in found}
    if not missing:
        return []
    answer = admin.create_topics(
        {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication_factor,
                "configs": configs_of(spec),
            }
            for spec in missing.values()
        },
        raise_errors=False,
    )
    made = []
    for row in answer["topics"]:
        error = k.for_code(row["error_code"])
        if error is k.NoError:
            made.append(row["name"])
        elif error is not k.TopicAlreadyExistsError:  # somebody else was faster
            with errors(f"creating topic {row['name']!r}"):
                raise error(row.get("error_message") or "refused")
    admin.wait_for_topics(list(missing))
    return [name for name in missing if name in made]


def describe(admin: Any, topic: str) -> TopicState | None:  # noqa: ANN401
    """The topic as it is, with its problems; None when it does not exist."""
    rows = _metadata(admin, [topic])
    if not rows:
        return None
    row = rows[0]
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], config_filter="all")["topic"].get(topic, {})
    settings = {name: entry["value"] for name, entry in found.items()}
    replicas = min((len(part["replica_nodes"]) for part in row["partitions"]), default=0)
    retention = settings.get("retention.ms")
    return TopicState(
        name=topic,
        partitions=len(row["partitions"]),
        topic_id=str(row["topic_id"]),
        problems=tuple(problems_of(settings, replicas)),
        retention_ms=None if retention is None else int(retention),
    )


def commit_hint(admin: Any, group: str, positions: Mapping[tuple[str, int], int]) -> None:  # noqa: ANN401
    """Commits offsets for a group without joining it; raises the first refusal."""
    offsets = {
        TopicPartition(topic, partition): OffsetAndMetadata(position, "", -1)
        for (topic, partition), position in positions.items()
    }
    for place, error in admin.alter_group_offsets(group, offsets).items():
        if error is k.UnknownMemberIdError:  # only an empty group takes offsets from outside
            raise UsageError(
                f"a consumer has joined the group {group!r}, which is only for lag tools",
                "let that consumer use another group.id",
            )
        if error is not k.NoError:
            raise error(f"{place.topic}/{place.partition}")


def problems_of(settings: dict[str, str], replicas: int) -> list[str]:
    """Settings that would make figures wrong, each with its remedy.

    Args:
        settings: the topic's, by Kafka's names; one that is not told has no problem.
        replicas: the smallest number of replicas of its partitions.
    """
    wanted = (
        (
            "message.timestamp.type",
            "LogAppendTime",
            "producers, not the log, say when a record came",
        ),
        ("cleanup.policy", "delete", "records would vanish by their key"),
        ("retention.bytes", "-1", "records that still wait would be cut by size"),
        ("unclean.leader.election.enable", "false", "an election could cut acknowledged records"),
    )
    problems = [
        f"{name} is {settings[name]}: {why}; set {name}={value}"
        for name, value, why in wanted
        if settings.get(name, value) != value
    ]
    in_sync = settings.get("min.insync.replicas")
    if replicas >= _SAFE_REPLICAS and in_sync is not None and int(in_sync) < 2:
        problems.append(
            f"min.insync.replicas is {in_sync} of {replicas} replicas: one broker's loss could cut "
            "acknowledged records; set min.insync.replicas=2"
        )
    return problems


def _metadata(admin: Any, names: list[str]) -> list[dict[str, Any]]:  # noqa: ANN401
    """Rows of the topics that exist."""
    rows = []
    for row in admin.describe_topics(names):
        error = k.for_code(row["error_code"])
        if error is k.NoError:
            rows.append(row)
        elif error is not k.UnknownTopicOrPartitionError:
            with errors(f"looking up topic {row['name']!r}"):
                raise error("refused")
    return rows
