"""The topics of a stream: which they are, how they are made, and what would make figures wrong.

| topic        | partitions    | kept                                                          |
|--------------|---------------|---------------------------------------------------------------|
| predictions  | the stream's  | as long as a rebuild and the longest outage need               |
| labels       | the stream's  | the same                                                      |
| dead-letters | 1             | 30 days by default                                            |
| cases        | 1             | 30 days by default                                            |
| policies     | 1             | for ever: the last policy of every model is read at each start |
| rules        | 1             | for ever: with the two topics above it is the whole truth     |
"""

from __future__ import annotations

from dataclasses import dataclass

from leadline.records.errors import StoppedError, UsageError
from leadline.records.rules import Rules
from leadline.runtime.log.port import (
    CASES,
    DEAD_LETTERS,
    LABELS,
    POLICIES,
    PREDICTIONS,
    RULES,
    Log,
    Stream,
    TopicSpec,
    TopicState,
)

FOREVER = -1
DAY_MS = 86_400_000

# A batch of some thousand rows with scores is 200 kB, one with embeddings a few MB. Beyond this a
# producer must cut its batch: brokers and readers hold whole messages in memory.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the topics keep their records, milliseconds; -1 is for ever.

    Attributes:
        events_ms: predictions and labels.
        dead_letters_ms: refused records, by reference.
        cases_ms: cases for attribution; their rows stay in the truth store.
    """

    events_ms: int = 90 * DAY_MS
    dead_letters_ms: int = 30 * DAY_MS
    cases_ms: int = 30 * DAY_MS


def needed_events_ms(rules: Rules, longest_outage_ms: int) -> int:
    """Retention of predictions and labels without which a shard could not be rebuilt, milliseconds.

    A rebuild reads back from the older of the two log clocks: predictions from two label windows
    and the larger of the prediction window and the pair window, labels from one label window and
    one prediction window. After an outage that clock is as much older as the outage was long.

    Args:
        rules: with the largest windows of any rules that records still live by.
        longest_outage_ms: the longest time that an owner may be down, >= 0.
    """
    ahead_ms = max(rules.prediction_window_ms, rules.pair_window_ms)
    predictions_ms = 2 * rules.label_window_ms + ahead_ms
    labels_ms = rules.label_window_ms + rules.prediction_window_ms
    return max(predictions_ms, labels_ms) + longest_outage_ms


def topics_of(
    stream: Stream, retention: Retention | None = None, replication_factor: int = 1
) -> tuple[TopicSpec, ...]:
    """Every topic that the stream needs, in the order of the table above."""
    kept = retention or Retention()
    rows = (
        (PREDICTIONS, stream.partitions, kept.events_ms),
        (LABELS, stream.partitions, kept.events_ms),
        (DEAD_LETTERS, 1, kept.dead_letters_ms),
        (CASES, 1, kept.cases_ms),
        (POLICIES, 1, FOREVER),
        (RULES, 1, FOREVER),
    )
    return tuple(
        TopicSpec(stream.topic(base), partitions, keep_ms, replication_factor)
        for base, partitions, keep_ms in rows
    )


def ensure_topics(
    log: Log,
    stream: Stream,
    retention: Retention | None = None,
    replication_factor: int = 1,
) -> list[str]:
    """Creates the stream's missing topics and returns their names; may block on the log.

    Existing topics are left as they are: `check_topics` tells what is wrong with them.

    Raises:
        TransientError: the log does not answer.
        UsageError: the log refuses, for instance a replication factor above the brokers' number.
    """
    return log.create(topics_of(stream, retention, replication_factor))


def check_topics(
    log: Log, stream: Stream, retention: Retention | None = None, needed_ms: int = 0
) -> list[str]:
    """Everything about the stream's topics that would make figures wrong, with its remedy.

    Args:
        log: is asked for every topic; may block.
        stream: whose topics.
        retention: what was configured; only topics that must be kept for ever are compared by it.
        needed_ms: shortest retention with which a shard can be rebuilt (`needed_events_ms`).

    Returns:
        An empty list when a service may start.

    Raises:
        TransientError: the log does not answer.
    """
    problems: list[str] = []
    states: dict[str, TopicState] = {}
    for spec in topics_of(stream, retention):
        state = log.describe(spec.name)
        if state is None:
            problems.append(
                f"topic {spec.name!r} does not exist; create it with {spec.partitions} partition(s)"
            )
            continue
        states[spec.name] = state
        problems += [f"topic {spec.name!r}: {problem}" for problem in state.problems]
        problems += _retention_problems(spec, state, needed_ms)
    return problems + _partition_problems(stream, states)


def require_topics(
    log: Log, stream: Stream, retention: Retention | None = None, needed_ms: int = 0
) -> None:
    """Like `check_topics`, for the start of a service.

    Raises:
        UsageError: naming every problem.
        TransientError: the log does not answer.
    """
    problems = check_topics(log, stream, retention, needed_ms)
    if problems:
        raise UsageError(
            f"stream {stream.name!r} cannot be counted: " + "; ".join(problems),
            "`leadline topics create` makes what is missing; `leadline topics check` looks again",
        )


def check_partitions(
    log: Log, stream: Stream, topic_ids: tuple[str, str] = ("", "")
) -> StoppedError | None:
    """Whether the stream's two topics still are the ones that its shards were made for.

    Asks the log about two topics, some milliseconds: for a look every 30 s or so while counting.

    Args:
        log: is asked; may block.
        stream: with the number of partitions that the shards were made for.
        topic_ids: of predictions and labels as they were counted; a topic that was made anew and
            filled past the position would be read on without an error. Empty: any.

    Returns:
        What to stop the stream's shards with; None when all is as it was.

    Raises:
        TransientError: the log does not answer.
    """
    names = (stream.topic(PREDICTIONS), stream.topic(LABELS))
    for name, known in zip(names, topic_ids, strict=True):
        state = log.describe(name)
        if state is None:
            return StoppedError(
                f"Topic {name!r} does not exist any more.",
                "Restore it from its mirror, or create it anew: `leadline rebuild --reset`.",
            )
        if known and state.topic_id != known:
            return StoppedError(
                f"Topic {name!r} was re-created: its id was {known} and is {state.topic_id}.",
                "Restore the topic from its mirror, or count on: `leadline rebuild --reset`.",
            )
        if state.partitions != stream.partitions:
            return StoppedError(
                f"Topic {name!r} has {state.partitions} partitions, and stream {stream.name!r} was "
                f"made with {stream.partitions}: ids go to other partitions now, and a label does "
                "not meet its prediction.",
                "Stop the producers, and make a stream of another name with as many partitions as "
                "wanted (`leadline topics create --stream NAME --partitions N`) for producers and "
                "owners. Partitions cannot be taken away again; to count the old stream to its "
                "end, copy both topics into ones with the old number.",
            )
    return None


def _retention_problems(spec: TopicSpec, state: TopicState, needed_ms: int) -> list[str]:
    """Retention shorter than the topic's use needs; none when the log does not tell."""
    kept = state.retention_ms
    if kept is None or kept == FOREVER:
        return []
    if spec.retention_ms == FOREVER and spec.name.endswith((POLICIES, RULES)):
        return [
            f"topic {spec.name!r} forgets after {kept} ms, and it must never; set retention.ms=-1"
        ]
    if spec.name.endswith((PREDICTIONS, LABELS)) and kept < needed_ms:
        return [
            f"topic {spec.name!r} is kept for {kept} ms, and a rebuild needs {needed_ms} ms; "
            f"raise retention.ms to that, or shorten label_window"
        ]
    return []


def _partition_problems(stream: Stream, states: dict[str, TopicState]) -> list[str]:
    """Partition numbers that would keep the two halves of an event apart."""
    problems = []
    predictions = states.get(stream.topic(PREDICTIONS))
    labels = states.get(stream.topic(LABELS))
    if predictions and labels and predictions.partitions != labels.partitions:
        problems.append(
            f"topics {predictions.name!r} and {labels.name!r} have {predictions.partitions} and "
            f"{labels.partitions} partitions, and an id would meet its label in none; make both "
            f"anew with equal numbers (partitions are never added in place)"
        )
    elif predictions and labels and predictions.partitions != stream.partitions:
        problems.append(
            f"stream {stream.name!r} is configured with {stream.partitions} partition(s) and its "
            f"topics have {predictions.partitions}; set `partitions` to {predictions.partitions}"
        )
    for base in (DEAD_LETTERS, CASES, POLICIES, RULES):
        state = states.get(stream.topic(base))
        if state and state.partitions != 1:
            problems.append(
                f"topic {state.name!r} has {state.partitions} partitions, and its order needs one; "
                f"make it anew with 1"
            )
    return problems
