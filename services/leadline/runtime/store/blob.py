"""The blob store: inputs of kept predictions, by their content.

A blob's key is "ab/ab12...ef.png": the first two hex digits of its SHA-256, all 64 of them, and an
extension that stands for the media type. So equal content is stored once, a blob never changes, and
a key says all there is to say about it. Where it lies is fsspec's business: a folder, S3 or others.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from leadline.records.errors import LeadlineError, NotFoundError, TransientError, UsageError

MEDIA_TYPE_MAX = 100
"""Characters; a longer media type is stored as DEFAULT_TYPE (file names have an end)."""
DEFAULT_TYPE = "application/octet-stream"
EXTENSIONS = {
    "bin": DEFAULT_TYPE,
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "json": "application/json",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
    "wav": "audio/wav",
    "webp": "image/webp",
}
"""Extension -> media type. Others are spelled out: "t-" and their base32 in lower case."""
_TYPES = {media_type: extension for extension, media_type in EXTENSIONS.items()}
_KEY = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.([a-z]{3,4}|t-[a-z2-7]{1,200})")
_REMEDY = "Set blob_url to a folder that may be written, or to a URL such as s3://bucket/prefix."


class BlobStore:
    """Blobs below one root. Safe to use from several threads.

    Args:
        files: where blobs are stored.
        root: all keys are below it.
        url: what to call it in messages.
    """

    def __init__(self, files: fsspec.AbstractFileSystem, root: str, url: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._url = url

    def put(self, content: bytes, media_type: str) -> str:
        """Stores content; returns its key. Content that is there already is not written again.

        A reader finds all of a blob or nothing of it. In a folder the file is on the disk when this
        returns.

        Raises:
            TransientError: the store did not answer, or is full.
            UsageError: the store must not be written.
        """
        key = blob_key(content, media_type)
        path = self._path(key)
        with self._mapped_errors():
            if isinstance(self._files, LocalFileSystem):
                _write_file(Path(path), content)
            elif not self._files.exists(path):
                self._files.pipe_file(path, content)
        return key

    def get(self, key: str) -> tuple[bytes, str]:
        """Content and media type.

        Raises:
            NotFoundError: there is no such blob, it is damaged, or the key is none.
            TransientError: the store did not answer.
        """
        path = self._path(key)
        try:
            with self._mapped_errors():
                content = self._files.cat_file(path)
        except FileNotFoundError as error:
            raise NotFoundError(f"There is no blob {key}; it may have been trimmed.") from error
        if hashlib.sha256(content).hexdigest() != _parts(key)[0]:
            raise NotFoundError(f"The blob {key} is damaged: its content has another digest.")
        return content, _parts(key)[1]

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes blobs; those that are not there are passed over.

        Raises:
            NotFoundError: a key is none; the ones before it are deleted.
            TransientError: the store did not answer; some may be deleted.
        """
        for key in keys:
            path = self._path(key)
            try:
                with self._mapped_errors():
                    self._files.rm_file(path)
            except FileNotFoundError:
                continue

    def ping(self) -> None:
        """Returns when the store answers.

        Raises:
            TransientError: it does not.
        """
        try:
            with self._mapped_errors():
                self._files.invalidate_cache()
                self._files.ls(self._root or "/", detail=False)
        except FileNotFoundError as error:
            if isinstance(self._files, LocalFileSystem):
                raise TransientError(f"The folder of {self._url} (blob_url) is gone.") from error
            # In an object store a prefix without objects does not exist, and is healthy.

    def _path(self, key: str) -> str:
        _parts(key)
        return f"{self._root}/{key}"

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Maps everything but FileNotFoundError: each file system has errors of its own."""
        try:
            yield
        except (FileNotFoundError, LeadlineError):
            raise
        except PermissionError as error:
            raise UsageError(
                f"The blob store {self._url} refuses access: {error}.", _REMEDY
            ) from error
        except Exception as error:
            raise TransientError(
                f"The blob store {self._url} (blob_url) did not answer: {error}"
            ) from error


def open_blobs(url: str, options: Mapping[str, object] | None = None) -> BlobStore:
    """The blob store in a folder (made if missing) or at any URL that fsspec knows.

    Args:
        url: a path, or for example "s3://bucket/prefix".
        options: of the file system, for example an endpoint and keys.

    Raises:
        UsageError: the URL's kind is unknown, its package is missing, or the folder cannot be made.
    """
    try:
        files, root = fsspec.core.url_to_fs(url, **(options or {}))
    except (ImportError, ValueError) as error:
        raise UsageError(f"The blob store {url!r} cannot be opened: {error}.", _REMEDY) from error
    if isinstance(files, LocalFileSystem):
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder of the blob store {url!r} cannot be made: {error.strerror}.", _REMEDY
            ) from error
    return BlobStore(files, root, url)


def blob_key(content: bytes, media_type: str) -> str:
    """The key under which this content is stored."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}.{_extension(media_type)}"


def _extension(media_type: str) -> str:
    if media_type in _TYPES:
        return _TYPES[media_type]
    if not media_type or len(media_type) > MEDIA_TYPE_MAX or not media_type.isascii():
        return _TYPES[DEFAULT_TYPE]
    return "t-" + base64.b32encode(media_type.encode()).decode().rstrip("=").lower()


def _parts(key: str) -> tuple[str, str]:
    """Digest and media type of a key.

    Raises:
        NotFoundError: it is no key; so no key leads out of the root.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise NotFoundError(f"{key[:100]!r} is no key of a blob.")
    digest, extension = match[2], match[3]
    if extension in EXTENSIONS:
        return digest, EXTENSIONS[extension]
    try:
        padded = extension[2:].upper() + "=" * (-len(extension[2:]) % 8)
        return digest, base64.b32decode(padded).decode("ascii")
    except ValueError as error:
        raise NotFoundError(f"{key!r} is no key of a blob.") from error


def _write_file(path: Path, content: bytes) -> None:
    """Writes a file in one step, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
