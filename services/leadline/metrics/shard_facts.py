"""The facts of a shard that stand beside the log: its rules and its exceptions."""

from __future__ import annotations

import logging
from dataclasses import replace

from leadline.metrics.world import World
from leadline.records.cells import empty_cells
from leadline.records.errors import FencedError, StoppedError, TransientError
from leadline.records.rules import Rules, RulesHistory, RulesRow
from leadline.records.rules_json import fact_to_json
from leadline.runtime.log.port import RULES
from leadline.runtime.store.port import Commit, ShardState

logger = logging.getLogger(__name__)
ATTEMPTS_MAX = 100
"""Looks at the rules while other owners move the shard on; then the shard tries again later."""


def agree_on_rules(world: World, shard: str) -> tuple[ShardState, RulesHistory]:
    """The state of a shard and its rules, after this owner has added its own where they are newer.

    Raises:
        StoppedError: the settings differ from the rules of the same revision.
        TransientError: others moved the shard on all the time.
    """
    wanted = world.settings.rules()
    for _ in range(ATTEMPTS_MAX):
        state = world.store.shard(shard)
        rows = world.store.shard_rules(shard)
        if len(rows) != state.rules:
            continue  # another owner added some between the two reads
        if rows and not _newer(wanted, rows[-1].rules):
            return state, RulesHistory(rows)
        row = RulesRow(state.rules, state.p, state.l, wanted)
        after = replace(state, rules=state.rules + 1, committed_us=world.clock.now_us())
        try:
            world.store.commit(
                Commit(before=state, after=after, delta=empty_cells(), new_series={}, new_rules=row)
            )
        except FencedError:
            logger.info("shard %s: another owner moved on; looking at the rules again", shard)
    raise TransientError(f"the rules of shard {shard} were never read at one moment")


def _newer(wanted: Rules, known: Rules) -> bool:
    """Whether the rules of the settings replace those of the shard."""
    if wanted.revision != known.revision:
        return wanted.revision > known.revision
    if wanted == known:
        return False
    raise StoppedError(
        f"The rules in the settings differ from those of the stream, and both have revision "
        f"{known.revision}.",
        "Set rules_revision one higher to change the rules from now on, or set back what differs: "
        "windows, bounds, default_labels or optional_kinds.",
    )


def publish_facts(world: World, shard: str) -> bool:
    """Writes rules and exceptions that the topic `rules` may not have; at least once each.

    Returns whether all of them are there; if not, it is to be tried again later.
    """
    try:
        rows = world.store.unpublished(shard)
        if rows:
            topic = world.stream.topic(RULES)
            for row in rows:
                world.writer.append(topic, 0, fact_to_json(shard, row))
            world.writer.flush(world.settings.dead_letter_flush_seconds)
            world.store.mark_published(shard, rows)
    except TransientError as error:
        logger.warning("shard %s: rules are not published yet: %s", shard, error)
        return False
    return True
