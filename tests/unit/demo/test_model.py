"""The shipped models are those of the record, and can be explained by their last layer."""

import hashlib
import time

import numpy as np
import onnxruntime
import pytest

from leadline.demo import assets
from leadline.demo.degrade import degrade
from leadline.demo.onnx_weights import read_weights
from leadline.records.intervals import wilson

# A model's figures may differ by a few digits on the edge between processors.
EDGE_CASES = 3


@pytest.fixture(scope="module")
def record():
    return assets.load_record()


@pytest.fixture(scope="module")
def heldout():
    return assets.load_heldout()


def run(version, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        assets.model_path(version), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["scores", "features"], {"image": images})


def right(version, images, labels):
    return int((run(version, images)[0].argmax(axis=1) == labels).sum())


def test_held_out_digits_are_what_the_record_says(record, heldout):
    images, labels = heldout
    assert images.shape == (1500, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [150] * 10
    rows = record["split"]["heldout_source_rows"]
    assert len(set(rows)) == len(rows) == 1500
    assert record["split"]["training"] + record["split"]["heldout"] == 5000
    assert len(np.unique(images.reshape(1500, -1), axis=0)) == 1500
    # The source holds 500 of each class, in order.
    assert (np.array(rows) // 500 == labels).all()


def test_the_files_are_those_that_were_measured(record):
    for version in assets.VERSIONS:
        content = assets.model_path(version).read_bytes()
        made = record["versions"][str(version)]
        assert hashlib.sha256(content).hexdigest() == made["sha256"]
        assert len(content) == made["bytes"] <= 250_000


@pytest.mark.parametrize("version", assets.VERSIONS)
def test_accuracy_is_as_recorded(record, heldout, version):
    images, labels = heldout
    made = record["versions"][str(version)]
    assert abs(right(version, images, labels) - made["heldout"]["right"]) <= EDGE_CASES
    for strength, figures in made["heldout_degraded"].items():
        worse = degrade(images, float(strength), np.random.default_rng(record["seed"]))
        assert abs(right(version, worse, labels) - figures["right"]) <= EDGE_CASES


def test_intervals_are_wilsons(record):
    for made in record["versions"].values():
        figures = made["heldout"]
        interval = wilson(figures["right"], figures["of"])
        assert figures["wilson95"] == pytest.approx(interval, abs=6e-5)


def test_the_second_version_is_better_and_the_accident_hurts(record):
    first, second = (record["versions"][v] for v in ("1", "2"))
    assert first["heldout"]["wilson95"][1] < second["heldout"]["wilson95"][0]
    assert 0.75 <= second["heldout_degraded"]["1.0"]["accuracy"] <= 0.85
    falling = [second["heldout_degraded"][s]["accuracy"] for s in ("0.25", "0.5", "0.75", "1.0")]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("version", assets.VERSIONS)
def test_scores_follow_from_features_by_the_last_layer(heldout, version):
    images = heldout[0][:100]
    scores, features = run(version, images)
    weights = read_weights(assets.model_path(version))
    weight, bias = weights["classifier.weight"], weights["classifier.bias"]
    assert scores.shape == (100, 10)
    assert features.shape == (100, weight.shape[1], 7, 7)
    assert scores.dtype == features.dtype == np.float32
    logits = features.mean(axis=(2, 3)) @ weight.T + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.allclose(powers / powers.sum(axis=1, keepdims=True), scores, atol=1e-5)


@pytest.mark.parametrize("version", assets.VERSIONS)
def test_a_row_does_not_depend_on_the_others(heldout, version):
    images = heldout[0][:8]
    together = run(version, images)[0]
    alone = np.concatenate([run(version, images[i : i + 1])[0] for i in range(8)])
    assert np.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("version", assets.VERSIONS)
def test_a_row_takes_less_than_a_third_of_a_millisecond(heldout, version):
    images = heldout[0][:256]
    session = onnxruntime.InferenceSession(
        assets.model_path(version), providers=["CPUExecutionProvider"]
    )
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        session.run(["scores"], {"image": images})
        best = min(best, time.perf_counter() - start)
    assert best / len(images) < 0.0003


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    content = assets.model_path(1).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut\.onnx is cut off or not ONNX"):
        read_weights(tmp_path / "cut.onnx")
