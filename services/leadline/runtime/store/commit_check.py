"""What every commit must fulfil, whoever made it: a commit that does not is a bug."""

from __future__ import annotations

from leadline.runtime.store.port import Commit


def check_commit(commit: Commit) -> None:
    """Returns when the commit can be right.

    Raises:
        ValueError: the vector falls, the delta could be added twice, or rules or exceptions do
            not belong to the place where they are written.
    """
    before, after = commit.before, commit.after
    if before.shard != after.shard or before.epoch != after.epoch:
        raise ValueError("A commit stays within one shard and epoch.")
    if after.p < before.p or after.l < before.l:
        raise ValueError("A vector only grows.")
    if len(commit.delta) and (after.p, after.l) == (before.p, before.l):
        raise ValueError("A delta without a move of the vector could be added twice.")
    _check_rules(commit)
    _check_exceptions(commit)


def _check_rules(commit: Commit) -> None:
    before, after, row = commit.before, commit.after, commit.new_rules
    if row is None:
        if after.rules != before.rules:
            raise ValueError("The number of rules changes with a new row only.")
        return
    if len(commit.delta) or (after.p, after.l) != (before.p, before.l):
        raise ValueError("New rules come alone: without a delta, at a vector that stays.")
    if after.rules != before.rules + 1 or row.number != before.rules:
        raise ValueError("New rules have the next number.")
    if (row.from_p, row.from_l) != (before.p, before.l):
        raise ValueError("New rules begin at the vector that holds.")


def _check_exceptions(commit: Commit) -> None:
    before, after = commit.before, commit.after
    read = ((before.p, after.p), (before.l, after.l))
    for row in commit.exceptions:
        if row.side not in (0, 1):
            raise ValueError("The side of an exception is 0 or 1.")
        begin, end = read[row.side]
        if not begin <= row.from_offset < row.to_offset <= end:
            raise ValueError("Exceptions are of records that this batch reads.")
