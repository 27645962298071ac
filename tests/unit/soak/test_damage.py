"""The soak's harm to cache folders: exactly what its name says."""

import random

import pytest
from soak.damage import DELETE, FLIP, RESTORE, TRUNCATE, copy, damage, files_of

BODY = bytes(range(200))


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    for name in ("a", "b/c"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BODY)
    (folder / "empty").touch()
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_of(folder)}


def harmed(before, after):
    (name,) = {name for name in before if before[name] != after.get(name)}
    return before[name], after.get(name)


@pytest.mark.parametrize("seed", range(20))
def test_one_file_is_cut(cache, tmp_path, seed):
    before = contents(cache)
    damage(TRUNCATE, cache, tmp_path / "older", random.Random(seed))
    old, new = harmed(before, contents(cache))
    assert len(new) < len(old)
    assert old.startswith(new)


@pytest.mark.parametrize("seed", range(20))
def test_one_bit_is_flipped(cache, tmp_path, seed):
    before = contents(cache)
    damage(FLIP, cache, tmp_path / "older", random.Random(seed))
    old, new = harmed(before, contents(cache))
    assert len(new) == len(old)
    assert sum((x ^ y).bit_count() for x, y in zip(old, new, strict=True)) == 1


def test_one_file_is_deleted(cache, tmp_path):
    before = contents(cache)
    damage(DELETE, cache, tmp_path / "older", random.Random(1))
    assert harmed(before, contents(cache))[1] is None


def test_an_older_copy_comes_back(cache, tmp_path):
    older = tmp_path / "older"
    before = contents(cache)
    assert damage(RESTORE, cache, older, random.Random(1)) == "no older copy yet"
    copy(cache, older)
    (cache / "a").write_bytes(b"newer")
    (cache / "new").touch()
    damage(RESTORE, cache, older, random.Random(1))
    assert contents(cache) == before


@pytest.mark.parametrize("kind", [TRUNCATE, FLIP, DELETE])
def test_a_cache_that_is_not_there_takes_no_harm(tmp_path, kind):
    missing = tmp_path / "missing"
    assert damage(kind, missing, tmp_path / "older", random.Random(1)) == "no file to harm"
    copy(missing, tmp_path / "older")
    assert not (tmp_path / "older").exists()
