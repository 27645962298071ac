"""A log in memory with virtual append times, and what one owner sees of it."""

from dataclasses import dataclass, field

from simulation import records

from leadline.records.errors import StoppedError
from leadline.runtime.log.port import LABELS, PREDICTIONS, Record, TopicState

SIDES = (PREDICTIONS, LABELS)


@dataclass(slots=True)
class SimLog:
    """Topics as lists; offsets may have gaps, append times are whatever the schedule says.

    Attributes:
        topics: records by topic; only one partition of each is ever looked at.
        facts: the oracle's records of predictions and of labels.
    """

    topics: dict = field(default_factory=lambda: {PREDICTIONS: [], LABELS: []})
    facts: tuple = field(default_factory=lambda: ([], []))

    def end(self, topic):
        found = self.topics.get(topic)
        return found[-1].offset + 1 if found else 0

    def append(self, topic, append_ms, value, gap=0):
        offset = self.end(topic) + gap
        self.topics.setdefault(topic, []).append(Record(offset, append_ms, value))
        return offset

    def put(self, side, append_ms, build, gap=0):
        """Appends what `build(offset, append_ms)` makes, with the oracle's record."""
        offset = self.end(SIDES[side]) + gap
        value, fact = build(offset, append_ms)
        self.append(SIDES[side], append_ms, value, gap)
        self.facts[side].append(fact)

    def tick(self, side, append_ms):
        self.put(side, append_ms, lambda offset, at: records.tick(side, offset, at))

    def from_owner(self, topic, append_ms, value):
        """What an owner writes; on the counted topics that may be ticks alone."""
        if topic not in SIDES:
            self.append(topic, append_ms, value)
            return
        side = SIDES.index(topic)
        assert value == records.tick(side, 0, 0)[0], f"an owner wrote {value!r} to {topic}"
        self.tick(side, append_ms)


class OwnersLog:
    """The log port of one owner; every call is an effect of it."""

    def __init__(self, owner, log):
        self._owner, self._log = owner, log

    def reader(self, topic, partition):
        del partition
        return OwnersReader(self._owner, self._log, topic)

    def writer(self):
        return OwnersWriter(self._owner, self._log)

    def create(self, topics):
        raise AssertionError("owners create no topics")

    def describe(self, topic):
        return self._owner.effect(
            "log.describe",
            lambda: TopicState(topic, records.PARTITIONS, f"id of {topic}", (), -1),
        )

    def ping(self, timeout_seconds):
        self._owner.effect("log.ping", lambda: None)

    def hint(self, group, positions):
        self._owner.effect("log.hint", lambda: None)

    def close(self):
        pass


class OwnersReader:
    """Reads one partition; how much one poll gives is the schedule's matter."""

    def __init__(self, owner, log, topic):
        self._owner, self._log, self._topic = owner, log, topic
        self._position = 0
        self.recreated = 0

    def seek(self, position):
        self._position = position

    def poll(self, max_records, timeout_seconds):
        return self._owner.effect(f"log.poll {self._topic}", lambda: self._take(max_records))

    def _take(self, max_records):
        found = self._log.topics.get(self._topic, ())
        if self._position > self._log.end(self._topic):
            raise StoppedError(f"{self._topic} ends before {self._position}.")
        most = self._owner.share_of(self._topic, max_records)
        if not most and self._position < self._log.end(self._topic):
            self._owner.starve()
            return []
        first = _first_from(found, self._position)
        taken = found[first : first + most]
        if taken:
            self._position = taken[-1].offset + 1
        self._owner.took(self._topic, len(taken))
        return taken

    def position(self):
        return self._position

    def begin(self):
        return self._owner.effect("log.begin", lambda: 0)

    def end(self):
        return self._owner.effect("log.end", lambda: self._log.end(self._topic))

    def offset_at(self, append_time_ms):
        def find():
            for record in self._log.topics.get(self._topic, ()):
                if record.append_time_ms >= append_time_ms:
                    return record.offset
            return self._log.end(self._topic)

        return self._owner.effect("log.offset_at", find)

    def close(self):
        pass


def _first_from(found, position):
    """Index of the first record at the position or later."""
    at = min(position, len(found))  # without gaps the offset is the index
    while at > 0 and found[at - 1].offset >= position:
        at -= 1
    while at < len(found) and found[at].offset < position:
        at += 1
    return at


class OwnersWriter:
    """Queues, and makes durable when it is flushed."""

    def __init__(self, owner, log):
        self._owner, self._log = owner, log
        self._queue = []

    def append(self, topic, partition, value, key=None):
        del partition, key
        self._owner.effect(f"log.append {topic}", lambda: self._queue.append((topic, value)))

    def flush(self, timeout_seconds):
        self._owner.effect("log.flush", self._write)

    def _write(self):
        for topic, value in self._queue:
            self._log.from_owner(topic, self._owner.broker_ms(), value)
        self._queue.clear()

    def close(self):
        pass
