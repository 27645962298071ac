"""An owner as simple as can be: it keeps all records and commits differences of the oracle.

It shows that the simulator itself is right, and what its faults are worth, apart from the service.
"""

from dataclasses import replace

import oracle_full as oracle
from simulation.check import HISTORY, rule_of
from simulation.log import SIDES

from leadline.records.batches import InputAbsence
from leadline.records.cases import Case, CaseLabel
from leadline.records.cells import CellKind, Series
from leadline.records.errors import DeadLetterReason, Refusal
from leadline.records.rules import ExceptionRow, RulesRow
from leadline.runtime.store.port import Commit
from leadline.testing.memory_truth import cells_of
from leadline.wire.dead_letters import encode_dead_letter

SHARD = "main/0"


class PlainRun:
    """Reads, asks the oracle, commits.

    Args:
        owner: whose ports are used.
        log, store: as the owner sees them.
        facts: the oracle's records of both sides, standing in for decoding.
        rules: of the owner's settings.
    """

    def __init__(self, owner, log, store, facts, rules):
        self._owner, self._store, self._facts, self._rules = owner, store, facts, rules
        self._readers = [log.reader(topic, 0) for topic in SIDES]
        self._writer = log.writer()

    def recover(self):
        self._state = self._store.shard(SHARD)
        if not self._state.rules or self._newest().revision < self._rules.revision:
            self._change_rules()
        self._rows = self._store.shard_rules(SHARD)
        self._exceptions = self._store.shard_exceptions(SHARD)
        self._series = self._store.shard_series(SHARD)

    def _newest(self):
        return self._store.shard_rules(SHARD)[-1].rules

    def _change_rules(self):
        state = self._state
        row = RulesRow(state.rules, state.p, state.l, self._rules)
        after = replace(state, rules=state.rules + 1)
        self._store.commit(Commit(state, after, cells_of({}), {}, new_rules=row))
        self._state = after

    def round(self):
        for reader, position in zip(self._readers, (self._state.p, self._state.l), strict=True):
            reader.seek(position)  # what was read before and not committed is read again
        batches = [reader.poll(self._owner.rows_max, 0.0) for reader in self._readers]
        if not any(batches):
            return True
        exceptions = self._strange(batches)
        after_p, after_l = (reader.position() for reader in self._readers)
        truth = self._truth(after_p, after_l, [*self._exceptions, *exceptions])
        before = self._truth(self._state.p, self._state.l, self._exceptions)
        self._dead_letters(batches)
        self._commit(before, truth, exceptions, (after_p, after_l))
        return True

    def close(self):
        pass

    def _strange(self, batches):
        limit_ms = self._owner.now_us() // 1000 + self._owner.sim.clock_skew_ms
        return [
            ExceptionRow(side, one.offset, one.offset + 1, self._owner.now_us() // 1000)
            for side, batch in enumerate(batches)
            for one in batch
            if not 0 <= one.append_time_ms <= limit_ms
        ]

    def _truth(self, p, l, exceptions):
        rules = [rule_of(row) for row in self._rows]
        exempt = [
            oracle.Exempt(one.side, one.from_offset, one.to_offset, one.append_ms)
            for one in exceptions
        ]
        return oracle.join(*self._facts, rules, exempt, p, l)

    def _dead_letters(self, batches):
        for side, batch in enumerate(batches):
            refused = {fact.offset: fact.refused for fact in self._facts[side]}
            for record in batch:
                for reason in refused[record.offset]:
                    letter = encode_dead_letter(
                        topic=SIDES[side],
                        partition=0,
                        offset=record.offset,
                        append_time_ms=record.append_time_ms,
                        value=record.value,
                        refusal=Refusal(0, DeadLetterReason(reason), ""),
                    )
                    self._writer.append("dead-letters", 0, letter)
        self._writer.flush(1.0)

    def _commit(self, before, truth, exceptions, vector):
        delta = truth.cells.copy()
        delta.subtract(before.cells)
        new = {}
        rows = {}
        for (kind, series, minute, index), count in delta.items():
            if kind == "PAIR":
                true, other, left, right = index
                index = true << 32 | self._number(other, new) << 2 | left << 1 | right  # noqa: PLW2901
            rows[int(CellKind[kind]), self._number(series, new), minute, index] = count
            if kind == "CONFUSION" and count:
                side = int(HISTORY[0] if count > 0 else HISTORY[1])
                key = (side, self._number(series, new), 0, index)
                rows[key] = rows.get(key, 0) + abs(count)
        after = replace(
            self._state,
            p=vector[0],
            l=vector[1],
            predictions_clock_ms=truth.clocks[0],
            labels_clock_ms=truth.clocks[1],
            dead_letters=sum(n for (kind, *_), n in truth.cells.items() if kind == "DEAD"),
        )
        if vector == (self._state.p, self._state.l):
            return
        self._store.commit(
            Commit(
                self._state,
                after,
                cells_of(rows),
                new,
                [
                    _case(*item)
                    for item in truth.cases.items()
                    if before.cases.get(item[0]) != item[1]
                ],
                exceptions=exceptions,
            )
        )
        self._state = after
        self._exceptions += exceptions
        self._series |= new

    def _number(self, series, new):
        key = Series(*series)
        known = self._series.get(key, new.get(key))
        if known is None:
            known = new[key] = len(self._series) + len(new)
        return known


def _case(name, view):
    model, version, task, id_, clock_ms = name
    return Case(
        id=id_,
        model=model,
        version=version,
        task=task,
        clock_ms=clock_ms,
        hash=0,
        event_time_us=view.event_us,
        predicted=view.predicted,
        top_classes=(),
        top_scores=(),
        keep_probability=0.5,
        input_ref="",
        input_uri="",
        absence=InputAbsence.NOT_STORED,
        id_text="",
        slices=view.series[3],
        label=view.label and CaseLabel(*view.label),
    )
