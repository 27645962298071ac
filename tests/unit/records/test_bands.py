"""Bands of confidence against a loop over the edges."""

import numpy as np
import pytest

from leadline.records.scores import (
    BAND_NONE,
    CONFIDENCE_EDGES,
    band_bounds,
    confidence_bands,
    score_codes,
)


def test_a_band_is_the_number_of_edges_at_or_below_the_code():
    scores = np.concatenate(
        [np.linspace(0, 1, 4001), np.nextafter(CONFIDENCE_EDGES, 0), CONFIDENCE_EDGES]
    ).astype(np.float32)
    codes = score_codes(scores)
    edges = score_codes(np.array(CONFIDENCE_EDGES, np.float32)).tolist()
    assert confidence_bands(codes).tolist() == [sum(e <= c for e in edges) for c in codes.tolist()]


def test_the_bounds_hold_every_score_of_the_band_and_leave_no_gap():
    scores = np.random.default_rng(0).random(20_000).astype(np.float32)
    bands = confidence_bands(score_codes(scores))
    for band in range(15):
        low, high = band_bounds(band)
        mine = scores[bands == band].astype(np.float64)
        assert len(mine)
        assert (low <= mine).all()
        assert (mine <= high).all()
        assert band == 0 or low == band_bounds(band - 1)[1]
    assert (band_bounds(0)[0], band_bounds(14)[1]) == (0.0, 1.0)
    assert band_bounds(BAND_NONE) == (0.0, 1.0)


def test_the_bounds_are_within_a_code_of_the_edges():
    for band, edge in enumerate(CONFIDENCE_EDGES):
        low = band_bounds(band + 1)[0]
        assert edge - min(edge, 1 - edge) / 16 <= low <= edge


@pytest.mark.parametrize("band", [-1, 16])
def test_there_is_no_other_band(band):
    with pytest.raises(ValueError, match="from 0 to 14"):
        band_bounds(band)
