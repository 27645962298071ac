"""What must hold at every moment: the truth is what the oracle says of its vector."""

from collections import Counter
from itertools import pairwise

import oracle_full as oracle
from simulation.log import SIDES

from leadline.records.cells import CellKind
from leadline.wire.dead_letters import decode_dead_letter

HISTORY = (CellKind.ADDED, CellKind.RETRACTED)


class Wrong(AssertionError):
    """The invariant does not hold."""


def rule_of(row):
    """A row of the rules in the oracle's words."""
    rules = row.rules
    return oracle.Rule(
        row.from_p,
        row.from_l,
        rules.label_window_ms,
        rules.prediction_window_ms,
        rules.pair_window_ms,
        rules.event_time_bound_ms,
        rules.slices_per_version_max,
        rules.pairs_max,
        rules.default_labels,
        rules.kinds,
    )


def told(facts, shard, p=None, l=None):
    """The oracle's truth of a shard's rows, at their own vector where none is given."""
    exempt = [
        oracle.Exempt(one.side, one.from_offset, one.to_offset, one.append_ms)
        for one in shard.exceptions
    ]
    state = shard.state
    rules = [rule_of(row) for row in shard.rules]
    at = (state.p if p is None else p, state.l if l is None else l)
    return oracle.join(*facts, rules, exempt, *at)


def named(total, numbers):
    """Cells by series' names, PAIR's index too; the history apart, as a difference."""
    names = {number: _name(series) for number, series in numbers.items()}
    cells, history = Counter(), Counter()
    for (kind, number, minute, index), count in total.items():
        if not count:
            continue
        series = names.get(number, number)
        if kind == CellKind.ADDED:
            history[series, index] += count
        elif kind == CellKind.RETRACTED:
            history[series, index] -= count
        elif kind == CellKind.PAIR:
            other = names.get((index & 0xFFFFFFFF) >> 2)
            both = (index >> 32, other, bool(index & 2), bool(index & 1))
            cells["PAIR", series, minute, both] += count
        else:
            cells[CellKind(kind).name, series, minute, index] += count
    return cells, history


def _name(series):
    return (series.model, series.version, series.task, series.slices)


def check_cells(total, numbers, wanted, where, rolled=None):
    """The cells, and that what was added and taken back differs by what stands."""
    found, history = named(total, numbers)
    cells = wanted.cells if rolled is None else bucketed(wanted.cells, rolled)
    if found != _nonzero(cells):
        raise Wrong(f"cells at {where}:\n" + "\n".join(oracle.difference(found, cells)))
    stands = Counter()
    for (kind, series, _, index), count in found.items():
        if kind == "CONFUSION":
            stands[series, index] += count
    if _nonzero(history) != stands:
        lines = oracle.difference(history, stands)
        raise Wrong(f"added - retracted at {where}:\n" + "\n".join(lines))


def bucketed(cells, rolled):
    """The oracle's cells at the resolution at which a store keeps them."""
    found = Counter()
    for (kind, series, minute, index), count in cells.items():
        begin = minute - minute % rolled.resolution(CellKind[kind], minute)
        found[kind, series, begin, index] += count
    return found


def _nonzero(counter):
    return {key: count for key, count in counter.items() if count}


def check_cases(cases, wanted, where):
    """Every kept generation with the label that counts."""
    found = {}
    for case in cases:
        label = case.label
        found[case.model, case.version, case.task, case.id, case.clock_ms] = oracle.CaseView(
            (case.model, case.version, case.task, wanted_slices(wanted, case)),
            case.event_time_us,
            case.predicted,
            label
            and (label.true_class, label.source, label.label_time_us, label.delay_ms, label.offset),
        )
    if found != wanted.cases:
        keys = [k for k in {*found, *wanted.cases} if found.get(k) != wanted.cases.get(k)]
        lines = [f"{k}: found {found.get(k)}, wanted {wanted.cases.get(k)}" for k in sorted(keys)]
        raise Wrong(f"cases at {where}:\n" + "\n".join(lines))


def wanted_slices(wanted, case):
    """A case keeps the slices as they were told, its cells may be those of the others."""
    name = (case.model, case.version, case.task, case.id, case.clock_ms)
    view = wanted.cases.get(name)
    return view.series[3] if view else case.slices


def check_dead_letters(log, facts, state):
    """Every refusal below the vector was written at least once, before the vector passed it."""
    written = Counter()
    for record in log.topics.get("dead-letters", ()):
        letter = decode_dead_letter(record.value)
        written[SIDES.index(letter.topic), letter.offset, letter.reason] += 1
    refused = 0
    for side, below in enumerate((state.p, state.l)):
        for fact in facts[side]:
            if fact.offset >= below or not fact.refused:
                continue
            refused += len(fact.refused)
            for reason, count in Counter(fact.refused).items():
                if written[side, fact.offset, reason] < count:
                    raise Wrong(f"no dead letter of {SIDES[side]} {fact.offset}")
    if state.dead_letters != refused:
        raise Wrong(f"{state.dead_letters} dead letters are told of, {refused} there are")


def check_facts(sim, shard, former):
    """Rules and exceptions are only added to, and only where there is a reason."""
    if shard.rules[: len(former.rules)] != former.rules:
        raise Wrong("rules of the past have changed")
    if set(former.exceptions) - set(shard.exceptions):
        raise Wrong("exceptions of the past have changed")
    rows = shard.rules
    for number, (one, next_one) in enumerate(pairwise(rows)):
        falls = next_one.from_p < one.from_p or next_one.from_l < one.from_l
        if one.number != number or falls or next_one.rules.revision <= one.rules.revision:
            raise Wrong(f"rules are out of order: {rows}")
    if shard.state.rules != len(rows):
        raise Wrong(f"the vector says {shard.state.rules} rules, there are {len(rows)}")
    for one in shard.exceptions:
        for record in sim.log.topics[SIDES[one.side]]:
            if one.from_offset <= record.offset < one.to_offset and not sim.strange(
                one.side, record
            ):
                raise Wrong(f"{record.append_time_ms} of {SIDES[one.side]} was no exception")
