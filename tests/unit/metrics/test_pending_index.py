"""The key index against a plain dictionary, through growth, chains and what is taken back."""

import numpy as np
import pytest

from leadline.metrics.core.index import KeyIndex
from leadline.metrics.core.keys import Keys, ids_of, keys_of
from leadline.records.ids import pack_ids


def keys(pairs):
    return Keys(
        np.array([one for one, _ in pairs], np.uint64),
        np.array([other for _, other in pairs], np.uint64),
    )


def draw(rng, count, pool):
    """Keys that collide in their hash, in its upper half or its lower one, and as a whole."""
    numbers = rng.integers(0, pool, count).astype(np.uint64)
    shift = rng.choice([0, 20, 32, 50])
    hashes = (numbers << np.uint64(shift)) | (numbers if rng.random() < 0.5 else np.uint64(0))
    return list(zip(hashes.tolist(), rng.integers(0, 2, count).tolist(), strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_it_is_a_dictionary_with_chains(seed):
    rng = np.random.default_rng(seed)
    index, model, marks = KeyIndex(), [], [0]
    for _ in range(10):
        new = draw(
            rng, int(rng.integers(0, rng.choice([3, 30, 3_000]))), rng.choice([2, 50, 10**6])
        )
        seen = index.add(keys(new)).tolist()
        known = set(model)
        for pair, was_there in zip(new, seen, strict=True):
            assert was_there == (pair in known)
            known.add(pair)
        model += new
        marks.append(len(model))
        if rng.random() < 0.3:  # as if the last rows had never come
            marks.pop()
            index.cut(marks[-1])
            del model[marks[-1] :]
        if rng.random() < 0.05:
            index.clear()
            model, marks = [], [0]
        last = {pair: row for row, pair in enumerate(model)}
        asked = [*list(last)[:500], (5, 7), (2**63, 1)]
        assert index.find(keys(asked)).tolist() == [last.get(pair, -1) for pair in asked]
        before, chain = {}, []
        for row, pair in enumerate(model):
            chain.append(before.get(pair, -1))
            before[pair] = row
        assert index.before.tolist() == chain


def test_a_key_is_the_id():
    ids = pack_ids([bytes(16), b"\xff" * 16, bytes(range(16)), b"\x00" * 8 + b"\xff" * 8])
    assert ids_of(keys_of(ids)).tolist() == ids.tolist()


def test_no_key_is_found_in_an_empty_index():
    assert KeyIndex().find(keys([(0, 0), (1, 1)])).tolist() == [-1, -1]
    assert KeyIndex().find(keys([])).tolist() == []
