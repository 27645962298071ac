"""The cache of a shard: its segments on disk, and a manifest that says what they hold.

The manifest names a vector (p, l): its segments hold the waiting predictions below p and labels
below l, and the marks that those labels have set. It is replaced as a whole after what it names is
durable, and only after the truth has passed its vector. So at a start it is

    behind the truth     used; the topics are read from (p, l) to the truth without counting
    ahead of it          discarded: the truth was restored from an older backup, or is another one;
                         also when only what was forgotten, or a mark, is of a later vector
    of another history   discarded: the same, and the truth has been counted on since (history.py)
    of another epoch, topic or format, or damaged in any file: discarded

Nothing is lost with it but the time to read the topics again.
"""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from leadline.metrics.cache.files import CacheFiles
from leadline.metrics.cache.history import History, Mark, goes_on_from, mark_of
from leadline.metrics.cache.segment_file import decode_segment, encode_segment
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.rows import Form
from leadline.metrics.core.segment import Segment
from leadline.metrics.core.store import PendingStore, Side

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
FORMAT = 3
SIDES = ("predictions", "labels")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a cache belongs to: of another shard, epoch or topic it is worthless."""

    shard: str
    epoch: int
    topic_ids: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """What a cache holds.

    Attributes:
        p, l: its segments hold predictions below p and labels below l.
        clocks: log clocks there.
        groups: (task, source rank, source) of labels by number.
        history: the facts of the truth that the rows rest on.
    """

    p: int
    l: int
    clocks: Clocks
    groups: list[tuple[str, int, str]]
    history: History = field(default_factory=History)


@dataclass(slots=True)
class _File:
    """A segment's file in the manifest; marks are files of their own that change."""

    side: int
    number: int
    name: str
    checksum: int
    marks: str
    marks_checksum: int


@dataclass(slots=True)
class _Manifest:
    vector: list[int] = field(default_factory=lambda: [0, 0])
    as_of: list[int] = field(default_factory=lambda: [0, 0])  # by what was read when it was saved
    clocks: list[int] = field(default_factory=lambda: [0, 0])
    files: list[_File] = field(default_factory=list)
    next_number: int = 1


class Cache:
    """Keeps one shard's segments.

    Args:
        files: the shard's folder.
    """

    def __init__(self, files: CacheFiles) -> None:
        self._files = files
        self._manifest = _Manifest()
        self._identity = Identity("", 0, ("", ""))
        self._history = History()
        self._marked: dict[int, int] = {}  # marks that were written, by segment

    def load(
        self,
        identity: Identity,
        store: PendingStore,
        p: int,
        l: int,
        history: History | None = None,
    ) -> Held:
        """Fills an empty store with what the cache holds for the truth at (p, l).

        Deletes all files that do not belong to it. Without a usable cache (0, 0) is held.
        """
        self._identity, self._history = identity, history or History()
        self._manifest = _Manifest()
        groups: list[tuple[str, int, str]] = []
        try:
            found = self._read()
            if found is not None:
                manifest, groups, forms = self._usable(found, p, l)
                self._fill(store, manifest, forms)
                self._manifest = manifest
        except (ValueError, KeyError, TypeError, IndexError) as error:
            logger.warning("shard %s: the cache is discarded: %s", identity.shard, error)
            store.empty()
            groups = []
        self._sweep()
        vector, clocks = self._manifest.vector, self._manifest.clocks
        return Held(vector[0], vector[1], Clocks(*clocks), groups)

    def cut(self, store: PendingStore, side: int, held: Held) -> None:
        """Turns the head of one side into a segment, and says so in the manifest.

        Args:
            store: its head moves to disk.
            side: 0 for predictions, 1 for labels.
            held: what the store holds now, which the truth has passed.
        """
        number = self._manifest.next_number
        cut = store.cut_labels if side else store.cut_predictions
        segment = cut(number)
        name = f"{SIDES[side]}-{number}.segment"
        checksum = self._files.write(name, encode_segment(segment))
        content = self._files.read(name)
        if content is None:
            raise OSError(f"{name} was written and is gone.")
        mine = store.labels if side else store.predictions
        store.install(mine, decode_segment(content, SIDES[side], segment.labelled))
        self._manifest.files.append(_File(side, number, name, checksum, "", 0))
        self._manifest.next_number += 1
        self._manifest.vector[side] = (held.p, held.l)[side]
        self._manifest.clocks[side] = held.clocks[side]
        self._save(store, held)
        self._files.relax()

    def drop(self, store: PendingStore, held: Held, gone: list[Segment]) -> None:
        """Forgets segments that have left the store: the manifest first, then the files."""
        numbers = {segment.number for segment in gone}
        names = [
            name
            for file in self._manifest.files
            if file.number in numbers
            for name in (file.name, file.marks)
            if name
        ]
        self._manifest.files = [f for f in self._manifest.files if f.number not in numbers]
        self._save(store, held)
        for name in names:
            self._files.delete(name)

    def _save(self, store: PendingStore, held: Held) -> None:
        """Writes marks that have changed, then the manifest, then deletes what it left behind."""
        old = self._write_marks(store.predictions)
        manifest, self._history = self._manifest, held.history
        manifest.as_of = [held.p, held.l]
        body = {
            "format": FORMAT,
            "identity": asdict(self._identity),
            "vector": manifest.vector,
            "as_of": manifest.as_of,
            "history": mark_of(self._history, manifest.as_of),
            "clocks": manifest.clocks,
            "next_number": manifest.next_number,
            "forms": [list(form) for form in store.forms],
            "groups": held.groups,
            "files": [asdict(file) for file in manifest.files],
        }
        text = json.dumps(body, sort_keys=True)
        checked = json.dumps({"checksum": zlib.crc32(text.encode()), "body": text})
        self._files.replace(MANIFEST, checked.encode())
        for name in old:
            self._files.delete(name)

    def _write_marks(self, side: Side) -> list[str]:
        """Writes changed marks under new names; returns the files they replace."""
        old = []
        segments = {segment.number: segment for segment in side.segments}
        for file in self._manifest.files:
            segment = segments.get(file.number)
            if file.side != 0 or segment is None:
                continue
            marked = int(np.count_nonzero(segment.labelled))
            if file.marks and self._marked.get(file.number) == marked:
                continue
            former = file.marks
            file.marks = f"predictions-{file.number}-{marked}.marks"
            if file.marks != former:
                packed = np.packbits(segment.labelled).tobytes()
                file.marks_checksum = self._files.write(file.marks, [packed])
                old += [former] if former else []
            self._marked[file.number] = marked
        return old

    def _read(self) -> dict[str, Any] | None:
        content = self._files.read(MANIFEST)
        if content is None:
            return None
        checked = json.loads(bytes(content))
        if zlib.crc32(checked["body"].encode()) != checked["checksum"]:
            raise ValueError("the manifest is damaged")
        found: dict[str, Any] = json.loads(checked["body"])
        return found

    def _usable(
        self, found: dict[str, Any], p: int, l: int
    ) -> tuple[_Manifest, list[tuple[str, int, str]], list[Form]]:
        """The parts of a manifest that belongs to this shard and is not ahead of the truth."""
        if found["format"] != FORMAT:
            raise ValueError(f"it has format {found['format']}")
        identity = found["identity"] | {"topic_ids": tuple(found["identity"]["topic_ids"])}
        if Identity(**identity) != self._identity:
            raise ValueError(f"it belongs to {identity}")
        if found["as_of"][0] > p or found["as_of"][1] > l:
            raise ValueError(f"it is at {found['as_of']}, ahead of the truth at ({p}, {l})")
        if not goes_on_from(self._history, Mark(*found["history"]), found["as_of"]):
            raise ValueError("it belongs to another history of the truth")
        manifest = _Manifest(
            found["vector"],
            found["as_of"],
            found["clocks"],
            [_File(**file) for file in found["files"]],
            found["next_number"],
        )
        groups = [(task, rank, source) for task, rank, source in found["groups"]]
        return manifest, groups, [Form(*form) for form in found["forms"]]

    def _fill(self, store: PendingStore, manifest: _Manifest, forms: list[Form]) -> None:
        for form in forms:
            store.form(form)
        for file in manifest.files:
            side = store.labels if file.side else store.predictions
            side.segments.append(self._segment(file))

    def _segment(self, file: _File) -> Segment:
        for name, checksum in ((file.name, file.checksum), (file.marks, file.marks_checksum)):
            if name and self._files.checksum(name) != checksum:
                raise ValueError(f"{name} is damaged or missing")
        content = self._files.read(file.name)
        if content is None:
            raise ValueError(f"{file.name} is missing")
        segment = decode_segment(content, SIDES[file.side], np.zeros(0, np.uint8))
        marks = np.zeros(len(segment), np.uint8)
        if file.side == 0:
            packed = np.frombuffer(bytes(self._files.read(file.marks) or b""), np.uint8)
            marks = np.unpackbits(packed, count=len(segment))
            self._marked[file.number] = int(np.count_nonzero(marks))
        return decode_segment(content, SIDES[file.side], marks)

    def _sweep(self) -> None:
        """Deletes the files that the manifest does not name."""
        named = {MANIFEST} if self._manifest.files else set()
        for file in self._manifest.files:
            named |= {file.name, file.marks}
        for name in self._files.names():
            if name not in named:
                self._files.delete(name)
