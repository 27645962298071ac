"""The counting rules on plain lists and dicts, written from docs/counting.md alone.

Shares no code with the services. `join` takes the records of one partition pair as they stand in
the log, in any split of rows into records, and gives the truth at a vector (p, l):

    truth = join(prediction_records, label_records, rules, exceptions, p, l)
    truth.cells    {(kind, series, minute, index): count}, all kinds but ADDED and RETRACTED
    truth.cases    what each kept prediction should say

A series is (model, version, task, slices). The index of PAIR names B by its series without slices
where the service has a number: (true class, B's series, A right, B right).
"""

import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from operator import attrgetter

RETRACTED = 0xFFFFFFFF
RANKS = 7  # ranks that are told apart; also the rank of what is beyond them
DENSE_CLASSES = 64  # up to so many classes every score is kept
SCORES = 10  # else so many
EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
MINUTE_MS = 60_000
MINUTE_US = 60_000_000
NOBODY = ("", "", "", ())


# ---------------------------------------------------------------------------------- what goes in


@dataclass(frozen=True, slots=True)
class Rule:
    """Rules from a place of the log on; times in milliseconds."""

    from_p: int = 0
    from_l: int = 0
    label_window_ms: int = 30 * 86_400_000
    prediction_window_ms: int = 3_600_000
    pair_window_ms: int = 3_600_000
    event_time_bound_ms: int = 86_400_000
    slices_per_version_max: int = 1_000
    pairs_max: int = 4
    default_labels: dict = field(default_factory=dict)  # task -> class
    kinds: frozenset = frozenset({"pairs", "scores", "strata"})


@dataclass(frozen=True, slots=True)
class Exempt:
    """Records [from_offset, to_offset) of a side (0 predictions, 1 labels) with a wrong time."""

    side: int
    from_offset: int
    to_offset: int
    append_ms: int


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One prediction. Dense `scores` by class, or `top` classes as given with their scores."""

    id: bytes
    event_us: int
    predicted: int
    scores: tuple = ()
    top: tuple = ()
    top_scores: tuple = ()
    slices: tuple = ()  # ((column, value), ...)
    kept: bool = False


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One record of predictions; without rows it is a tick.

    `refused` holds the reason's number of each dead letter that the record leads to; refused rows
    are left out of `rows`. `unobserved` holds (reason, count).
    """

    offset: int
    append_ms: int  # as the log stamped it; -1: of the wrong type
    model: str = ""
    version: str = ""
    task: str = ""
    rows: tuple = ()
    imported: bool = False
    unobserved: tuple = ()
    refused: tuple = ()


@dataclass(frozen=True, slots=True)
class LabelRow:
    id: bytes
    time_us: int
    true: int


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One record of labels; without rows it is a tick."""

    offset: int
    append_ms: int
    task: str = ""
    source: str = ""
    rank: int = 0
    rows: tuple = ()
    imported: bool = False
    refused: tuple = ()


# --------------------------------------------------------------------------------- what comes out


@dataclass(frozen=True, slots=True)
class CaseView:
    """What the case of a kept generation says.

    `label` is (true class, source, clamped time us, delay ms, offset); None where there is no
    pair. A default label's source is "default" and its offset -1.
    """

    series: tuple
    event_us: int
    predicted: int
    label: tuple | None


@dataclass(slots=True)
class Truth:
    """The truth at one vector.

    `cases` holds every kept generation by (model, version, task, id, clock).
    `needed` is how many predictions and labels may not be forgotten.
    """

    cells: Counter = field(default_factory=Counter)
    cases: dict = field(default_factory=dict)
    clocks: tuple = (0, 0)
    needed: tuple = (0, 0)

    def add(self, kind, series, minute, index, count=1):
        self.cells[kind, series, minute, index] += count


def difference(found, wanted):
    """Words for every cell in which two counters differ; empty when they are equal."""
    keys = {key for key in {*found, *wanted} if found.get(key, 0) != wanted.get(key, 0)}
    return [
        f"{key}: found {found.get(key, 0)}, wanted {wanted.get(key, 0)}"
        for key in sorted(keys, key=repr)
    ]


# -------------------------------------------------------------------------------------- the facts


@dataclass(slots=True)
class _P:
    """A prediction with its facts."""

    place: tuple  # (offset, row)
    clock: int
    rule: Rule
    record: PredictionRecord
    row: PredictionRow
    event_us: int
    series: tuple = NOBODY

    @property
    def minute(self):
        return self.event_us // MINUTE_US

    @property
    def version(self):
        return self.record.model, self.record.version


@dataclass(slots=True)
class _L:
    """A label with its facts."""

    place: tuple
    clock: int
    rule: Rule
    record: LabelRecord
    row: LabelRow
    time_us: int
    arrival_ms: int


class _Side:
    """Rules, append times and the log clock of one side, asked record by record in order."""

    def __init__(self, side, rules, exceptions):
        self._rules = rules
        self._starts = [rule.from_l if side else rule.from_p for rule in rules]
        self._exceptions = [one for one in exceptions if one.side == side]
        self.clock = 0

    def facts(self, record):
        """(append time as believed, clock, rule) of the next record."""
        append_ms = record.append_ms
        for one in self._exceptions:
            if one.from_offset <= record.offset < one.to_offset:
                append_ms = one.append_ms
                break
        else:
            assert append_ms >= 0, f"offset {record.offset}: no time and no exception"
            self.clock = max(self.clock, append_ms)
        return append_ms, self.clock, self._rules[bisect_right(self._starts, record.offset) - 1]


def clamp(time_us, append_ms, rule, imported):
    append_us, bound_us = append_ms * 1000, rule.event_time_bound_ms * 1000
    low = 0 if imported else max(append_us - bound_us, 0)
    return min(max(time_us, low), append_us + bound_us)


class _Slices:
    """The slice tuples of each version, in places by the order of their first appearance."""

    def __init__(self):
        self._places = defaultdict(dict)

    def series(self, record, slices, rule):
        if not slices:
            return (record.model, record.version, record.task, ())
        places = self._places[record.model, record.version]
        most = rule.slices_per_version_max
        if slices not in places and len(places) < most:
            places[slices] = len(places)
        if places.get(slices, most) >= most:
            slices = tuple((column, "(other)") for column, _ in slices)
        return (record.model, record.version, record.task, slices)


def _predictions(truth, records, side):
    """Every prediction row with its facts, by (task, id); counts what needs nothing else."""
    by_id = defaultdict(list)
    slices = _Slices()
    for record in records:
        append_ms, clock, rule = side.facts(record)
        minute = append_ms // MINUTE_MS
        for reason in record.refused:
            truth.add("DEAD", NOBODY, minute, reason)
        for reason, count in record.unobserved:
            series = (record.model, record.version, record.task, ())
            truth.add("UNOBSERVED", series, minute, reason, count)
        for number, row in enumerate(record.rows):
            event_us = clamp(row.event_us, append_ms, rule, record.imported)
            series = slices.series(record, row.slices, rule)
            p = _P((record.offset, number), clock, rule, record, row, event_us, series)
            if event_us != row.event_us:
                truth.add("CLAMPED", series, minute, 0)
            by_id[record.task, row.id].append(p)
    return by_id


def _labels(truth, records, side):
    """Every label row with its facts, by (task, id)."""
    by_id = defaultdict(list)
    for record in records:
        append_ms, clock, rule = side.facts(record)
        minute = append_ms // MINUTE_MS
        for reason in record.refused:
            truth.add("DEAD", NOBODY, minute, 1 << 32 | reason)
        for number, row in enumerate(record.rows):
            time_us = clamp(row.time_us, append_ms, rule, record.imported)
            if time_us != row.time_us:
                truth.add("CLAMPED", ("", "", record.task, ()), minute, 1)
            arrival_ms = time_us // 1000 if record.imported else append_ms
            label = _L((record.offset, number), clock, rule, record, row, time_us, arrival_ms)
            by_id[record.task, row.id].append(label)
    return by_id


# -------------------------------------------------------------------------------------- the rules


def join(predictions, labels, rules, exceptions=(), p=None, l=None):
    """The truth at (p, l) of records in the order of their offsets; None reads to the end."""
    truth = Truth()
    if p is not None:
        predictions = [record for record in predictions if record.offset < p]
    if l is not None:
        labels = [record for record in labels if record.offset < l]
    sides = _Side(0, rules, exceptions), _Side(1, rules, exceptions)
    predicted = _predictions(truth, predictions, sides[0])
    labelled = _labels(truth, labels, sides[1])
    truth.clocks = sides[0].clock, sides[1].clock
    for key, group in predicted.items():
        _count_id(truth, group, labelled.get(key, ()))
    for (task, id_), group in labelled.items():
        if (task, id_) not in predicted:
            for label in group:
                _unmatched(truth, label)
    truth.needed = _needed(truth.clocks, predicted, labelled, rules)
    return truth


def _count_id(truth, predictions, labels):
    """All of one (task, id)."""
    generations = _generations(truth, predictions)
    met = set()
    pairs = {}  # place of a generation -> true class of its pair
    for g in generations:
        truth.add("PREDICTED", g.series, g.minute, g.row.predicted)
        if "strata" in g.rule.kinds and g.row.predicted < 1 << 28:
            index = g.row.predicted << 32 | band(g.row)
            truth.add("STRATUM", g.series, g.minute - g.minute % 60, index)
        within = [label for label in labels if _in_window(label, g)]
        met.update(label.place for label in within)
        _count_labels(truth, g, within, pairs)
    for label in labels:
        if label.place not in met:
            _unmatched(truth, label)
    if len(generations) > 1:
        for b in generations:
            _count_versions(truth, b, generations, pairs)


def _generations(truth, predictions):
    """Those that are no duplicates."""
    found = []
    for at, this in enumerate(predictions):
        if any(
            former.version == this.version
            and this.clock - former.clock <= former.rule.label_window_ms
            for former in predictions[:at]
        ):
            truth.add("DUPLICATE", this.series, this.minute, 0)
        else:
            found.append(this)
    return found


def _in_window(label, g):
    late = label.clock - g.clock
    return -label.rule.prediction_window_ms <= late <= g.rule.label_window_ms


def _count_labels(truth, g, within, pairs):
    """The labels in the window of a generation."""
    label = None
    if within:
        winner = max(within, key=lambda one: (one.record.rank, one.time_us, _first(one.place)))
        if len(within) > 1:
            truth.add("SUPERSEDED", g.series, g.minute, 0, len(within) - 1)
        if winner.row.true != RETRACTED:
            delay_ms = winner.arrival_ms - g.event_us // 1000
            truth.add("DELAY", g.series, g.minute, delay_bin(delay_ms))
            place = winner.record.offset
            label = (winner.row.true, winner.record.source, winner.time_us, delay_ms, place)
    else:
        end_ms = g.clock + g.rule.label_window_ms
        default = g.rule.default_labels.get(g.record.task)
        if default is not None and min(truth.clocks) > end_ms:
            truth.add("DEFAULTED", g.series, g.minute, 0)
            label = (default, "default", end_ms * 1000, end_ms - g.event_us // 1000, -1)
    if label is not None:
        pairs[g.place] = label[0]
        _count_pair(truth, g, label[0])
    if g.row.kept:
        name = (*g.version, g.record.task, g.row.id, g.clock)
        truth.cases[name] = CaseView(g.series, g.event_us, g.row.predicted, label)


def _first(place):
    """Sorts earlier places higher."""
    return (-place[0], -place[1])


def _unmatched(truth, label):
    truth.add("UNMATCHED", ("", "", label.record.task, ()), label.time_us // MINUTE_US, 0)


def _count_pair(truth, g, true):
    truth.add("CONFUSION", g.series, g.minute, true << 32 | g.row.predicted)
    ranked = best_first(g.row)[:RANKS]
    rank = ranked.index(true) if true in ranked else RANKS
    truth.add("RANK", g.series, g.minute, true << 32 | rank)
    if "scores" in g.rule.kinds:
        hour = g.minute - g.minute % 60
        for class_, score in kept_scores(g.row):
            index = class_ << 32 | (class_ == true) << 16 | score_code(score)
            truth.add("SCORES", g.series, hour, index)
    if "strata" in g.rule.kinds and g.row.predicted < 1 << 28:
        index = true << 32 | g.row.predicted << 4 | band(g.row)
        truth.add("STRATUM_LABELLED", g.series, g.minute - g.minute % 60, index)


def _count_versions(truth, b, generations, pairs):
    """B with the earlier predictions of other versions."""
    earlier = [
        a
        for a in generations
        if a.place < b.place
        and a.version != b.version
        and b.clock - a.clock <= a.rule.pair_window_ms
        and "pairs" in a.rule.kinds
    ]
    taken = earlier[: b.rule.pairs_max]
    if len(earlier) > len(taken):
        truth.add("PAIR_OVERFLOW", b.series, b.minute, 0, len(earlier) - len(taken))
    plain = (*b.version, b.record.task, ())
    for a in taken:
        true = pairs.get(a.place)
        if true is not None:
            index = (true, plain, a.row.predicted == true, b.row.predicted == true)
            truth.add("PAIR", a.series, a.minute, index)


def _needed(clocks, predicted, labelled, rules):
    """How many rows may not be forgotten, by the largest windows of all rules."""
    lw, pw, pair = (
        max(map(attrgetter(name), rules), default=0)
        for name in ("label_window_ms", "prediction_window_ms", "pair_window_ms")
    )
    predictions = sum(
        min(clocks) <= p.clock + lw + max(pw, pair) for group in predicted.values() for p in group
    )
    labels = sum(
        min(clocks) <= label.clock + lw + pw for group in labelled.values() for label in group
    )
    return predictions, labels


# ------------------------------------------------------------------------------------ the indices


def best_first(row):
    """Classes of a prediction, best first; equal scores by class number."""
    if row.scores:
        return sorted(range(len(row.scores)), key=lambda c: (-row.scores[c], c))
    return list(row.top) or [row.predicted]


def kept_scores(row):
    """(class, score) of the scores that count in SCORES."""
    if row.scores:
        if len(row.scores) <= DENSE_CLASSES:
            return list(enumerate(row.scores))
        return [(c, row.scores[c]) for c in best_first(row)[:SCORES]]
    return list(zip(row.top, row.top_scores, strict=False))[:SCORES]


def band(row):
    """0 to 14 by the score of the predicted class; 15 where that is not kept."""
    for class_, score in kept_scores(row):
        if class_ == row.predicted:
            return sum(score_code(edge) <= score_code(score) for edge in EDGES)
    return 15


def float32(number):
    """The nearest float32, as a Python float."""
    return struct.unpack(">f", struct.pack(">f", number))[0]


def _bits(number):
    return struct.unpack(">I", struct.pack(">f", number))[0]


def score_code(score):
    """0 to 8065; grows with the score."""
    score = float32(score) + 0.0  # -0.0 becomes 0.0
    if score < 0.5:
        return _bits(score) >> 18
    return 2 * (_bits(0.5) >> 18) + 1 - (_bits(float32(1.0 - score)) >> 18)


def delay_bin(ms):
    """8 bins an octave of (ms + 1), by float32 bits; negative delays fall into bin 0."""
    return (_bits(float32(float(max(ms, 0))) + 1.0) >> 20) - 127 * 8
