"""Whether the truth is right: every cell against the oracle; and the ids behind what is not."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from independent import RETRACTED
from oracle_full import clamp, join

HISTORY = ("ADDED", "RETRACTED")
CELLS_LOOKED_AT = 200
HOURLY = ("SCORES", "STRATUM", "STRATUM_LABELLED")
LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Facts:
    """All that one shard's truth is a function of.

    Attributes:
        predictions, labels: the oracle's records below the vector.
        rules, exceptions: the oracle's.
    """

    predictions: list
    labels: list
    rules: list
    exceptions: list = field(default_factory=list)

    def truth(self):
        """{(kind, series, minute, index): count} by the oracle, zeros left out."""
        cells = join(self.predictions, self.labels, self.rules, self.exceptions).cells
        return {key: count for key, count in cells.items() if count}


@dataclass(frozen=True, order=True)
class Difference:
    """One cell that is not what it should be."""

    key: tuple
    found: int
    wanted: int

    def __str__(self):
        kind, series, minute, index = self.key
        place = f"{kind} {series} minute {minute} index {_words(index)}"
        return f"{place}: {self.found}, not {self.wanted}"


def compare(found, wanted, kinds=None):
    """The cells that differ, the history kinds left out.

    Args:
        found, wanted: {(kind, series, minute, index): count}.
        kinds: names of the kinds that are compared; None: all.
    """
    keys = {
        key
        for key in {*found, *wanted}
        if key[0] not in HISTORY and (kinds is None or key[0] in kinds)
    }
    pairs = [(key, found.get(key, 0), wanted.get(key, 0)) for key in keys]
    return sorted((Difference(*one) for one in pairs if one[1] != one[2]), key=repr)


def history_problems(found):
    """Where ADDED - RETRACTED is not the sum of CONFUSION; {(series, index): difference}."""
    sums = Counter()
    for (kind, series, _, index), count in found.items():
        sign = {"ADDED": 1, "RETRACTED": -1, "CONFUSION": -1}.get(kind, 0)
        sums[series, index] += sign * count
    return {key: count for key, count in sums.items() if count}


def translated(cells, series, names):
    """The store's cells of a shard by names.

    Args:
        cells: columns kind, series, minute, index, count.
        series: {number: (model, version, task, slices)}.
        names: {kind's number: its name}.
    """
    found = {}
    columns = (cells.kind, cells.series, cells.minute, cells.index, cells.count)
    for kind, number, minute, index, count in zip(*(c.tolist() for c in columns), strict=True):
        name = names[kind]
        if name == "PAIR":
            right = bool(index & 2), bool(index & 1)
            index = (index >> 32, series[(index & LOW) >> 2], *right)  # noqa: PLW2901
        found[name, series[number], minute, index] = count
    return found


def suspects(differences, facts, most=5):
    """[(task, id, share of the blame)] of the ids that could explain the cells, likeliest first.

    A guess: an id is suspected of a cell where a row of it has the cell's version, minute and
    classes; a cell's blame is shared by all that fit.
    """
    trues = defaultdict(set)
    for record in facts.labels:
        for row in record.rows:
            trues[record.task, row.id].add(row.true)
    places = _places(facts)
    blame = Counter()
    for difference in differences[:CELLS_LOOKED_AT]:
        kind, series, minute, index = difference.key
        fitting = {
            (task, id_bytes)
            for task, id_bytes, said in places.get((*series[:3], kind in HOURLY, minute), ())
            if _fits(kind, index, said, trues[task, id_bytes])
        }
        for one in fitting:
            blame[one] += 1 / len(fitting)
    return [(task, id_bytes, share) for (task, id_bytes), share in blame.most_common(most)]


def _places(facts):
    """{(model, version, task, by hour, minute): {(task, id, predicted class or None)}}."""
    found = defaultdict(set)
    rule = facts.rules[0]
    for record in facts.predictions:
        for row in record.rows:
            time_us = clamp(row.event_us, max(record.append_ms, 0), rule, record.imported)
            minute = time_us // 60_000_000
            of = (record.model, record.version, record.task)
            for hourly, place in ((False, minute), (True, minute - minute % 60)):
                found[*of, hourly, place].add((record.task, row.id, row.predicted))
    for record in facts.labels:
        for row in record.rows:
            time_us = clamp(row.time_us, max(record.append_ms, 0), rule, record.imported)
            found["", "", record.task, False, time_us // 60_000_000].add(
                (record.task, row.id, None)
            )
    return found


def _fits(kind, index, said, trues):
    if kind == "PREDICTED":
        return index == said
    if kind == "CONFUSION":
        return index & LOW == said and (index >> 32 in trues or not trues)
    if kind == "RANK":
        return index >> 32 in trues or not trues
    if kind == "PAIR":
        return index[0] in trues or not trues
    return True


def history_of(facts, task, id_bytes):
    """Lines about all rows of an id, in the order of each side's log."""
    lines = []
    for record in facts.predictions:
        for at, row in enumerate(record.rows):
            if row.id == id_bytes and record.task == task:
                lines.append(
                    f"prediction {record.offset}/{at} appended {record.append_ms} "
                    f"{record.model} {record.version} class {row.predicted} at {row.event_us}"
                )
    for record in facts.labels:
        for at, row in enumerate(record.rows):
            if row.id == id_bytes and record.task == task:
                true = "retracted" if row.true == RETRACTED else f"class {row.true}"
                lines.append(
                    f"label {record.offset}/{at} appended {record.append_ms} "
                    f"rank {record.rank} {true} at {row.time_us}"
                )
    return lines


def withhold(facts):
    """(facts without one label, its task and id): the control.

    The label is the only one of its id, of a class, and the id has one prediction: without it the
    truth is another one for certain.
    """
    rows = Counter((r.task, row.id) for r in facts.labels for row in r.rows)
    predicted = Counter((r.task, row.id) for r in facts.predictions for row in r.rows)
    for at, record in reversed(list(enumerate(facts.labels))):
        for row in record.rows:
            key = (record.task, row.id)
            if rows[key] == predicted[key] == 1 and row.true != RETRACTED:
                labels = list(facts.labels)
                labels[at] = _without(record, row)
                return Facts(facts.predictions, labels, facts.rules, facts.exceptions), key
    raise ValueError("no label to withhold")


def _without(record, row):
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    rows = tuple(one for one in record.rows if one is not row)
    return type(record)(**{**fields, "rows": rows})


def _words(index):
    if isinstance(index, tuple) or index <= LOW:
        return str(index)
    return f"({index >> 32}, {index & LOW})"
