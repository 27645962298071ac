"""What training promises can be checked without training."""

import subprocess
import sys

import numpy as np
import pytest

from leadline.demo import assets
from leadline.demo.train import HELDOUT_PER_CLASS, SEED, require, split_digits


def numbered_digits():
    """5,000 pictures, 500 of a class in order, whose first two pixels are their row."""
    images = np.zeros((5000, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(5000), 256)
    return images, np.repeat(np.arange(10, dtype=np.uint8), 500)


def rows_of(images):
    return images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]


def test_no_digit_is_in_both_parts_and_none_is_lost():
    images, labels = numbered_digits()
    split = split_digits(images, labels, np.random.default_rng(1))
    train, heldout = rows_of(split.train_images), rows_of(split.heldout_images)
    assert sorted([*train, *heldout]) == list(range(5000))
    assert (heldout == split.heldout_rows).all()
    assert (split.train_labels == labels[train]).all()
    assert (split.heldout_labels == labels[heldout]).all()
    assert np.bincount(split.heldout_labels).tolist() == [HELDOUT_PER_CLASS] * 10


def test_the_recorded_split_is_that_of_the_seed():
    split = split_digits(*numbered_digits(), np.random.default_rng(SEED))
    record = assets.load_record()
    assert record["seed"] == SEED
    assert record["split"]["heldout_source_rows"] == split.heldout_rows.tolist()
    assert (assets.load_heldout()[1] == split.heldout_labels).all()


def test_a_missing_library_is_named_with_its_remedy():
    with pytest.raises(SystemExit, match="training needs no_such_library: pip install torch"):
        require("no_such_library")


def test_its_help_needs_no_training_library():
    command = [sys.executable, "-m", "leadline.demo.train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--out" in done.stdout
