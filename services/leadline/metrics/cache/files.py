"""The folder of a shard's cache: a port, its adapter for disks, and one that forgets.

The cache is rebuildable, so the port promises little: what `write` and `replace` have returned from
survives a crash of the machine, `replace` is atomic, and everything else may be lost or torn. The
names are plain file names.
"""

from __future__ import annotations

import mmap
import os
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from leadline.records.errors import UsageError

CHUNK_BYTES = 1 << 20
LOCK = "lock"
FOLDERS_MAX = 8
"""Owners of one shard on one machine; more are a mistake."""
Buffer = bytes | memoryview


class CacheFiles(Protocol):
    """Named files of one shard. For one thread."""

    def names(self) -> list[str]:
        """All files, in no order."""

    def write(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Writes a new file, durable on return; returns its CRC-32."""

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file in the place of the one of that name, at once and durable on return."""

    def read(self, name: str) -> Buffer | None:
        """The content, mapped rather than copied where that is possible; None without the file."""

    def checksum(self, name: str) -> int | None:
        """CRC-32 of the content; None without the file."""

    def relax(self) -> None:
        """Gives back what memory mapped files take; they stay readable."""

    def delete(self, name: str) -> None:
        """Deletes the file, if it is there. What was read of it stays readable."""

    def close(self) -> None:
        """Ends; the files stay."""


def open_folder(folder: Path) -> CacheFiles:
    """The files of a folder, or of one beside it while another process uses it.

    Two owners of one shard may overlap on one machine; each has a cache of its own.
    """
    for number in range(FOLDERS_MAX):
        try:
            return DiskFiles(folder if number == 0 else folder.with_name(f"{folder.name}.{number}"))
        except BlockingIOError:
            continue
    raise UsageError(
        f"{FOLDERS_MAX} owners use the cache folder {folder}.", "Set cache_dir to another folder."
    )


class DiskFiles:
    """Files in a folder, which is made, and locked as long as this object lives.

    Args:
        folder: of this shard alone.

    Raises:
        BlockingIOError: another process has locked it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = (folder / LOCK).open("wb")
        try:
            _lock(self._lock.fileno())
        except BlockingIOError:
            self._lock.close()
            raise

    def names(self) -> list[str]:
        """All files, in no order."""
        return [
            path.name for path in self._folder.iterdir() if path.is_file() and path.name != LOCK
        ]

    def write(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Writes a new file, durable on return; returns its CRC-32."""
        checksum = 0
        with (self._folder / name).open("wb") as file:
            for chunk in chunks:
                checksum = zlib.crc32(chunk, checksum)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return checksum

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file in the place of the one of that name, at once and durable on return."""
        fresh = self._folder / f"{name}.new"
        self.write(fresh.name, [content])
        fresh.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, name: str) -> Buffer | None:
        """The content, mapped; None without the file."""
        try:
            with (self._folder / name).open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return b""
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            return None
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)  # lookups are scattered: reading ahead fills memory
        self._mapped.add(mapped)
        return memoryview(mapped)

    def relax(self) -> None:
        """Gives back the memory of mapped pages; the system keeps what it has room for."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._mapped:
                mapped.madvise(mmap.MADV_DONTNEED)

    def checksum(self, name: str) -> int | None:
        """CRC-32 of the content, read once and not kept; None without the file."""
        checksum = 0
        try:
            with (self._folder / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    checksum = zlib.crc32(chunk, checksum)
        except FileNotFoundError:
            return None
        return checksum

    def close(self) -> None:
        """Unlocks the folder."""
        self._lock.close()

    def delete(self, name: str) -> None:
        """Deletes the file, if it is there."""
        (self._folder / name).unlink(missing_ok=True)


class MemoryFiles:
    """Files in memory: a cache that ends with the process."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def names(self) -> list[str]:
        """All files, in no order."""
        return list(self._files)

    def write(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Keeps a new file; returns its CRC-32."""
        content = self._files[name] = b"".join(chunks)
        return zlib.crc32(content)

    def replace(self, name: str, content: bytes) -> None:
        """Keeps a file in the place of the one of that name."""
        self._files[name] = content

    def read(self, name: str) -> Buffer | None:
        """The content; None without the file."""
        return self._files.get(name)

    def checksum(self, name: str) -> int | None:
        """CRC-32 of the content; None without the file."""
        content = self._files.get(name)
        return None if content is None else zlib.crc32(content)

    def relax(self) -> None:
        """Nothing is mapped."""

    def delete(self, name: str) -> None:
        """Forgets the file, if it is there."""
        self._files.pop(name, None)

    def close(self) -> None:
        """Ends."""


def _lock(descriptor: int) -> None:
    """Locks a file for this process; where the system has no such locks, nothing is locked."""
    try:
        import fcntl  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
