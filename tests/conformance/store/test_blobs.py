"""Blobs: by their content, written in one step, never outside their root."""

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.records.errors import NotFoundError, TransientError, UsageError
from leadline.runtime.store.blob import EXTENSIONS, blob_key, open_blobs


@pytest.fixture(params=["folder", "memory"])
def blobs_url(request, tmp_path):
    """A folder, and an object store without real folders."""
    if request.param == "folder":
        return str(tmp_path / "blobs")
    return f"memory://{secrets.token_hex(8)}"


@pytest.fixture
def blobs(blobs_url):
    return open_blobs(blobs_url)


def test_a_blob_comes_back_with_its_media_type(blobs):
    key = blobs.put(b"picture", "image/png")
    digest = hashlib.sha256(b"picture").hexdigest()
    assert key == f"{digest[:2]}/{digest}.png"
    assert blobs.get(key) == (b"picture", "image/png")


@pytest.mark.parametrize("media_type", [*EXTENSIONS.values(), "text/plain", "image/x-odd; a=b"])
def test_every_media_type_is_kept(blobs, media_type):
    assert blobs.get(blobs.put(b"", media_type)) == (b"", media_type)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(media_type=st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1))
def test_a_media_type_never_leads_elsewhere(blobs, media_type):
    key = blobs.put(b"x", media_type)
    expected = media_type if len(media_type) <= 100 else "application/octet-stream"
    assert blobs.get(key) == (b"x", expected)
    assert key.count("/") == 1


@pytest.mark.parametrize("media_type", ["", "a" * 101, "bild/ä"])
def test_a_media_type_that_is_none_becomes_plain_bytes(blobs, media_type):
    assert blobs.get(blobs.put(b"x", media_type)) == (b"x", "application/octet-stream")


def test_equal_content_is_stored_once(blobs, blobs_url):
    keys = {blobs.put(b"same", "image/png") for _ in range(3)}
    assert len(keys) == 1
    files, root = fsspec.core.url_to_fs(blobs_url)
    assert len(files.find(root)) == 1


def test_many_at_once_leave_one_blob_and_nothing_else(blobs, blobs_url):
    content = b"z" * 1_000_000
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: blobs.put(content, "image/png"), range(16)))
    assert blobs.get(keys.pop()) == (content, "image/png")
    files, root = fsspec.core.url_to_fs(blobs_url)
    assert len(files.find(root)) == 1


def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs):
    keep, drop = blobs.put(b"keep", "text/plain"), blobs.put(b"drop", "text/plain")
    blobs.delete([drop, drop, blob_key(b"never", "text/plain")])
    with pytest.raises(NotFoundError):
        blobs.get(drop)
    assert blobs.get(keep)[0] == b"keep"
    assert blobs.put(b"drop", "text/plain") == drop
    assert blobs.get(drop)[0] == b"drop"


DIGEST = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../../etc/passwd",
        f"../{DIGEST}.png",
        f"{DIGEST[:2]}/../{DIGEST}.png",
        f"{DIGEST}.png",
        f"00/{DIGEST}.png",
        f"{DIGEST[:2]}/{DIGEST}.png/..",
        f"{DIGEST[:2]}/{DIGEST}.png\n",
        f"{DIGEST[:2]}/{DIGEST}.PNG",
        f"{DIGEST[:2]}/{DIGEST}.exe",
        f"{DIGEST[:2]}/{DIGEST}",
        f"{DIGEST[:2]}/{DIGEST}.t-1",
        f"{DIGEST[:2]}/{DIGEST}.t-a",
        f"{DIGEST[:2]}/{DIGEST}.t-7777",
        "\0",
        "s3://bucket/key",
    ],
)
def test_what_is_no_key_is_not_found(blobs, key):
    with pytest.raises(NotFoundError):
        blobs.get(key)
    with pytest.raises(NotFoundError):
        blobs.delete([key])


def test_damaged_content_is_not_given_out(blobs, blobs_url):
    key = blobs.put(b"right", "text/plain")
    files, root = fsspec.core.url_to_fs(blobs_url)
    files.pipe_file(f"{root}/{key}", b"wrong")
    with pytest.raises(NotFoundError, match="damaged"):
        blobs.get(key)


def test_a_store_that_answers_is_alive(blobs):
    blobs.ping()
    blobs.put(b"x", "text/plain")
    blobs.ping()


def test_a_folder_that_is_gone_is_said(tmp_path):
    blobs = open_blobs(str(tmp_path / "blobs"))
    (tmp_path / "blobs").rmdir()
    with pytest.raises(TransientError, match="blob_url"):
        blobs.ping()


@pytest.mark.parametrize("url", ["nothing://x", "s3nothing://bucket"])
def test_a_url_that_nothing_serves_is_a_matter_for_people(url):
    with pytest.raises(UsageError) as raised:
        open_blobs(url)
    assert "blob_url" in raised.value.remedy


def test_a_file_where_the_folder_should_be_is_a_matter_for_people(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as raised:
        open_blobs(str(tmp_path / "file" / "blobs"))
    assert "blob_url" in raised.value.remedy


class Broken(fsspec.AbstractFileSystem):
    """A file system that does not answer: each has exceptions of its own."""

    protocol = "broken"

    def cat_file(self, *args, **kwargs):
        raise KeyError("its own kind of error")

    info = exists = ls = pipe_file = rm_file = cat_file


def test_any_error_of_a_file_system_is_one_of_ours():
    fsspec.register_implementation("broken", Broken, clobber=True)
    blobs = open_blobs("broken://x")
    key = blob_key(b"x", "text/plain")
    for call in (
        blobs.ping,
        lambda: blobs.get(key),
        lambda: blobs.put(b"x", "text/plain"),
        lambda: blobs.delete([key]),
    ):
        with pytest.raises(TransientError, match="blob_url"):
            call()
