"""Files of a machine as labelled traffic: which files, what the model is fed, which label each has.

The model is magika's: it names a file's type, one of 214, from the first and last 1,024 bytes. The
label is what the file's extension says. Extensions are often right and not always, so the figures
are those of the model against extensions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leadline.testing.servers.process import MissingProgramError

HALF = 1_024
"""Bytes of each end that the model sees."""
READ_BYTES = 4_096
"""Bytes of each end that are read; white space at the very ends is not shown to the model."""
PADDING = 256
"""Stands where a file has no byte."""
MEANINGFUL_BYTES = 8
"""Files with fewer bytes than this, after white space, tell nothing."""
SEEN_MAX = 400_000
"""Files looked at: on a large disk the walk would take longer than the example."""
SIZES = ((1_000, "below 1 kB"), (10_000, "1 to 10 kB"), (100_000, "10 to 100 kB"))


@dataclass(frozen=True, slots=True)
class FileModel:
    """What the package `magika` holds.

    Attributes:
        onnx: the network: `bytes` int32 [n, 2048] in, `target_label` float32 [n, 214] out.
        classes: names of the types, in the order of the outputs.
        type_of: the type of each extension that only one type has, in lower case without the dot.
    """

    onnx: Path
    classes: tuple[str, ...]
    type_of: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A file and what its extension says it is."""

    path: Path
    true_type: str
    size: int


def read_model(tools: Path) -> FileModel:
    """The model in `<tools>/magika`.

    Raises:
        MissingProgramError: it is not there.
    """
    package = tools / "magika" / "magika"
    networks = sorted(package.glob("models/*/model.onnx"))
    if not networks:
        raise MissingProgramError(f"magika is not in {tools}: run `make example-filetype`.")
    onnx = networks[-1]
    config = json.loads((onnx.parent / "config.min.json").read_text("utf-8"))
    known = json.loads((package / "config" / "content_types_kb.min.json").read_text("utf-8"))
    classes = tuple(config["target_labels_space"])
    types: dict[str, list[str]] = {}
    for name in classes:
        for extension in known.get(name, {}).get("extensions", []):
            types.setdefault(extension.lower(), []).append(name)
    return FileModel(onnx, classes, {ext: of[0] for ext, of in types.items() if len(of) == 1})


def features(begin: bytes, end: bytes) -> NDArray[np.int32] | None:
    """What the model is fed, int32 [2048]; None when a file tells nothing.

    Args:
        begin: the first `READ_BYTES` of the file, or all of it.
        end: the last `READ_BYTES` of the file, or all of it.
    """
    head, tail = begin.lstrip()[:HALF], end.rstrip()[-HALF:]
    if len(head) < MEANINGFUL_BYTES:
        return None
    found = np.full(2 * HALF, PADDING, np.int32)
    found[: len(head)] = np.frombuffer(head, np.uint8)
    found[2 * HALF - len(tail) :] = np.frombuffer(tail, np.uint8)
    return found


def read_features(path: Path) -> NDArray[np.int32] | None:
    """The features of a file; None when it tells nothing or cannot be read."""
    try:
        with path.open("rb") as file:
            begin = file.read(READ_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - READ_BYTES))
            return features(begin, file.read(READ_BYTES))
    except OSError:
        return None


def walk(roots: Iterable[Path], type_of: Mapping[str, str]) -> Iterator[LabelledFile]:
    """Regular files whose extension names one type; links are not followed."""
    seen = 0
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                seen += 1
                if seen > SEEN_MAX:
                    return
                true_type = type_of.get(name.rpartition(".")[2].lower()) if "." in name else None
                path = Path(folder, name)
                if true_type is None or path.is_symlink():
                    continue
                try:
                    size = path.stat().st_size
                except OSError:
                    continue
                if size >= MEANINGFUL_BYTES and path.is_file():
                    yield LabelledFile(path, true_type, size)


def choose(
    files: Iterable[LabelledFile], most: int, rng: np.random.Generator
) -> list[LabelledFile]:
    """At most `most` files in random order, in turn of each type, so that rare types take part."""
    by_type: dict[str, list[LabelledFile]] = {}
    for each in files:
        by_type.setdefault(each.true_type, []).append(each)
    for own in by_type.values():
        rng.shuffle(own)
    chosen: list[LabelledFile] = []
    for turn in range(max(map(len, by_type.values()), default=0)):
        chosen += [own[turn] for own in by_type.values() if turn < len(own)]
        if len(chosen) >= most:
            break
    chosen = chosen[:most]
    order: Sequence[int] = rng.permutation(len(chosen)).tolist()
    return [chosen[at] for at in order]


def size_band(size: int) -> str:
    """The slice of a file's size in bytes.

    >>> size_band(10), size_band(1000), size_band(10**9)
    ('below 1 kB', '1 to 10 kB', '100 kB and more')
    """
    for bound, name in SIZES:
        if size < bound:
            return name
    return "100 kB and more"
