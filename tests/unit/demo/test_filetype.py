"""The file example: what the model is fed, which files are chosen, what is told."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from leadline.demo.filetype_data import (
    HALF,
    PADDING,
    READ_BYTES,
    LabelledFile,
    choose,
    features,
    read_features,
    read_model,
    walk,
)
from leadline.demo.filetype_report import report, worst
from leadline.testing.servers.process import MissingProgramError
from leadline.v1 import evaluation_pb2 as pb


def slowly(content):
    """Byte by byte."""
    head = list(content[:READ_BYTES].lstrip()[:HALF])
    tail = list(content[-READ_BYTES:].rstrip()[-HALF:])
    return head + [PADDING] * (HALF - len(head)) + [PADDING] * (HALF - len(tail)) + tail


@pytest.mark.parametrize("size", [8, 100, HALF, HALF + 1, READ_BYTES - 1, READ_BYTES, 9_000])
@pytest.mark.parametrize("edge", [b"", b" \n\t"])
def test_features_are_the_ends_of_the_file(tmp_path, size, edge):
    content = edge + np.random.default_rng(size).integers(33, 256, size, np.uint8).tobytes() + edge
    path = tmp_path / "file"
    path.write_bytes(content)
    found = read_features(path)
    assert found.dtype == np.int32
    assert found.tolist() == slowly(content)


@pytest.mark.parametrize("content", [b"", b"short", b"   \n      \n", b" 1234567"])
def test_what_tells_nothing_is_not_asked(content):
    assert features(content, content) is None
    assert features(content + b"12345678", content) is not None


def test_a_file_that_cannot_be_read_is_left_out(tmp_path):
    assert read_features(tmp_path / "gone") is None
    assert read_features(tmp_path) is None


def test_files_with_a_telling_extension_are_found(tmp_path):
    for name in ("a.py", "B.PY", "sub/c.json", "none", "d.unheard", "e.tar.gz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("0123456789")
    (tmp_path / "small.py").write_text("1")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    found = walk([tmp_path], {"py": "python", "json": "json", "gz": "gzip"})
    assert {(each.path.name, each.true_type, each.size) for each in found} == {
        ("a.py", "python", 10),
        ("B.PY", "python", 10),
        ("c.json", "json", 10),
        ("e.tar.gz", "gzip", 10),
    }


def some(name, number):
    return [LabelledFile(Path(f"{name}{at}"), name, 10) for at in range(number)]


def test_types_take_turns():
    files = [*some("often", 100), *some("rare", 3), *some("once", 1)]
    chosen = choose(files, 14, np.random.default_rng(1))
    assert Counter(each.true_type for each in chosen) == {"often": 10, "rare": 3, "once": 1}
    assert len(set(chosen)) == 14
    assert chosen == choose(files, 14, np.random.default_rng(1))
    assert chosen != choose(files, 14, np.random.default_rng(2))
    assert set(choose(files, 1_000, np.random.default_rng(1))) == set(files)
    assert choose([], 5, np.random.default_rng(1)) == []


def test_the_model_is_read_out_of_its_package(tmp_path):
    with pytest.raises(MissingProgramError):
        read_model(tmp_path)
    package = tmp_path / "magika" / "magika"
    (package / "models" / "one").mkdir(parents=True)
    (package / "config").mkdir()
    (package / "models" / "one" / "model.onnx").write_bytes(b"")
    (package / "models" / "one" / "config.min.json").write_text(
        json.dumps({"target_labels_space": ["perl", "prolog", "xml", "none"]})
    )
    known = {"perl": ["pl", "pm"], "prolog": ["pl"], "xml": ["XML"], "other": ["xyz"]}
    (package / "config" / "content_types_kb.min.json").write_text(
        json.dumps({name: {"extensions": each} for name, each in known.items()})
    )
    found = read_model(tmp_path)
    assert found.classes == ("perl", "prolog", "xml", "none")
    assert found.type_of == {"pm": "perl", "xml": "xml"}  # two types have .pl


def figures(name, right, of):
    rate = pb.Rate(successes=right, trials=of, value=right / of, lower=0.1, upper=0.9)
    return pb.ClassFigures(class_name=name, support=of, recall=rate)


def test_the_worst_types_have_enough_files():
    classes = [figures("few", 0, 9), figures("good", 20, 20), figures("bad", 2, 20)]
    assert [each.class_name for each in worst(classes)] == ["bad", "good"]


def test_the_report_names_pairs_and_intervals():
    rate = pb.Rate(successes=9, trials=10, value=0.9, lower=0.6, upper=0.98)
    matrix = pb.GetConfusionMatrixResponse()
    pair = matrix.confused_pairs.add(
        true_class_name="crt", predicted_class_name="pem", reverse_count=4
    )
    pair.share_of_true.CopyFrom(rate)
    text = "\n".join(report(pb.Summary(accuracy=rate), matrix))
    assert "90.0% (60.0% to 98.0%) of 10" in text
    assert "crt              as pem" in text
    assert "the other way round 4" in text
    assert "not known" in "\n".join(report(pb.Summary(), matrix))
