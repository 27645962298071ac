"""The end: reads both topics by a plain consumer, and the truth, and compares them."""

from dataclasses import dataclass, field

from independent import messages
from kafka import KafkaConsumer, TopicPartition
from oracle_full import Exempt, Rule

from leadline.records.cells import CellKind
from leadline.runtime.store.open import open_store
from soak.readback import Reading, dead_letters, documents, read
from soak.verdict import (
    Facts,
    compare,
    history_of,
    history_problems,
    suspects,
    translated,
    withhold,
)

SHOWN = 12
NAMES = {int(kind): kind.name for kind in CellKind}
RULE_FIELDS = (
    "label_window_ms", "prediction_window_ms", "pair_window_ms", "event_time_bound_ms",
    "slices_per_version_max", "pairs_max", "default_labels",
)  # fmt: skip


@dataclass
class Outcome:
    """What the comparison found.

    Attributes:
        lines: for people.
        wrong: how many things are not as they must be.
        cells, rows, refused: compared.
        control: cells that differed when one label was withheld from the oracle.
    """

    lines: list = field(default_factory=list)
    wrong: int = 0
    cells: int = 0
    kinds: dict = field(default_factory=dict)
    predictions: int = 0
    labels: int = 0
    refused: int = 0
    rules: int = 0
    exceptions: int = 0
    control: int = 0

    def blame(self, count, *lines):
        """Notes something that is wrong."""
        self.wrong += count
        self.lines += lines


def ends_of(bootstrap, partitions):
    """{shard: (p, l)} of the topics' ends."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    try:
        places = {
            (base, p): TopicPartition(base, p)
            for base in ("predictions", "labels")
            for p in range(partitions)
        }
        ends = consumer.end_offsets(list(places.values()))
        return {
            f"main/{p}": (ends[places["predictions", p]], ends[places["labels", p]])
            for p in range(partitions)
        }
    finally:
        consumer.close(autocommit=False)


def facts_by_shard(found, without_windows):
    """({shard: rules}, {shard: exceptions}) of the topic `rules`, each once.

    Args:
        found: its documents.
        without_windows: the rules where the topic says nothing.

    Raises:
        ValueError: two documents say different things of the same place.
    """
    rules, exceptions = {}, {}
    for one in found:
        if one["kind"] == "rules":
            fields = {name: one["rules"][name] for name in RULE_FIELDS}
            kinds = frozenset(one["rules"]["kinds"])
            rule = Rule(one["from_p"], one["from_l"], kinds=kinds, **fields)
            _once(rules.setdefault(one["shard"], {}), one["number"], rule)
        else:
            exempt = Exempt(one["side"], one["from_offset"], one["to_offset"], one["append_ms"])
            place = (one["side"], one["from_offset"])
            _once(exceptions.setdefault(one["shard"], {}), place, exempt)
    ordered = {shard: [of[number] for number in sorted(of)] for shard, of in rules.items()}
    return (
        lambda shard: ordered.get(shard) or [without_windows],
        lambda shard: list(exceptions.get(shard, {}).values()),
    )


def _once(places, place, value):
    if places.setdefault(place, value) != value:
        raise ValueError(f"{place} is said twice: {places[place]} and {value}")


def check(bootstrap, store_url, partitions, without_windows, kinds=None):
    """Compares everything; the owners have ended.

    Args:
        without_windows: the oracle's rule of owners that write no rules.
        kinds: names of the cell kinds that are compared; None: all.
    """
    outcome, types = Outcome(), messages()
    rules, exceptions = facts_by_shard(documents(read(bootstrap, "rules", 0)), without_windows)
    letters = dead_letters(types, read(bootstrap, "dead-letters", 0))
    store = open_store(store_url)
    try:
        states, found = _truth(store)
    finally:
        store.close()
    for partition in range(partitions):
        shard = f"main/{partition}"
        state = states[shard]
        reading = Reading(types, partition, partitions)
        facts = Facts(
            reading.predictions(read(bootstrap, "predictions", partition, state.p)),
            reading.labels(read(bootstrap, "labels", partition, state.l)),
            rules(shard),
            exceptions(shard),
        )
        _check_facts(outcome, shard, state, facts)
        _check_cells(outcome, shard, facts, found[shard], kinds)
        _check_letters(outcome, shard, state, reading.refused, letters, partition)
    return outcome


def _truth(store):
    """({shard: state}, {shard: cells by name}) of one snapshot."""
    with store.snapshot() as snapshot:
        states = {state.shard: state for state in snapshot.shards()}
        series = {}
        for shard, number, one in snapshot.series():
            of = (one.model, one.version, one.task, one.slices)
            series.setdefault(shard, {})[number] = of
        cells = snapshot.cells(None, list(CellKind))
    found = {shard: translated(cells[shard], series[shard], NAMES) for shard in cells}
    return states, found


def _check_facts(outcome, shard, state, facts):
    outcome.predictions += sum(len(record.rows) for record in facts.predictions)
    outcome.labels += sum(len(record.rows) for record in facts.labels)
    outcome.rules = max(outcome.rules, len(facts.rules))
    outcome.exceptions += len(facts.exceptions)
    if state.rules > len(facts.rules):
        words = f"{shard}: the truth has {state.rules} rules, the topic {len(facts.rules)}"
        outcome.blame(1, words)
    if state.stopped:
        outcome.blame(1, f"{shard} is stopped: {state.stopped}")


def _check_cells(outcome, shard, facts, found, kinds):
    wanted = facts.truth()
    differences = compare(found, wanted, kinds)
    outcome.cells += len(wanted)
    for key in wanted:
        outcome.kinds[key[0]] = outcome.kinds.get(key[0], 0) + 1
    if differences:
        outcome.blame(len(differences), f"{shard}: {len(differences)} cells differ; the first:")
        outcome.lines += [f"    {one}" for one in differences[:SHOWN]]
        for task, id_bytes, share in suspects(differences, facts):
            outcome.lines.append(f"  suspected: {task} {id_bytes.hex()} of {share:.1f} cells")
            outcome.lines += [f"    {line}" for line in history_of(facts, task, id_bytes)]
    for (series, index), count in list(history_problems(found).items())[:SHOWN]:
        outcome.blame(1, f"{shard}: ADDED - RETRACTED is off by {count} at {series} {index}")
    _check_control(outcome, shard, facts, found, kinds)


def _check_control(outcome, shard, facts, found, kinds):
    """One label withheld from the oracle must show."""
    try:
        without, key = withhold(facts)
    except ValueError as error:
        outcome.lines.append(f"{shard}: no control: {error}")
        return
    differences = compare(found, without.truth(), kinds)
    outcome.control += len(differences)
    if not differences:
        outcome.blame(1, f"{shard}: a label of {key} was withheld, and nothing differs")


def _check_letters(outcome, shard, state, refused, letters, partition):
    below = {"predictions": state.p, "labels": state.l}
    written = {
        key: reason
        for key, reason in letters.items()
        if key[1] == partition and key[2] < below[key[0]]
    }
    outcome.refused += len(refused)
    for key in sorted({*refused, *written}):
        if refused.get(key) != written.get(key):
            words = f"{shard}: dead letter {key}: {written.get(key)}, not {refused.get(key)}"
            outcome.blame(1, words)
    if state.dead_letters != len(refused):
        words = f"{shard}: {state.dead_letters} dead letters counted, not {len(refused)}"
        outcome.blame(1, words)
