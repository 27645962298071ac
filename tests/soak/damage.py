"""Harm to an owner's cache folder, as a torn disk or a careless restore does it.

The cache may be lost at any time: the owner must notice, or not need it, and count right.
"""

import shutil

TRUNCATE, FLIP, DELETE, RESTORE = "truncate", "flip", "delete", "restore"


def files_of(folder):
    """Its files, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage(kind, folder, older, rng):
    """Does one harm; returns words about it.

    Args:
        kind: TRUNCATE, FLIP or DELETE one file, or RESTORE the folder from its older copy.
        folder: the cache; need not exist.
        older: the folder of the copy; need not exist.
        rng: chooses file and place.
    """
    if kind == RESTORE:
        return _restore(folder, older)
    files = [path for path in files_of(folder) if path.stat().st_size or kind == DELETE]
    if not files:
        return "no file to harm"
    path = rng.choice(files)
    size = path.stat().st_size
    if kind == DELETE:
        path.unlink()
        return f"deleted {path.name}"
    place = rng.randrange(size)
    if kind == TRUNCATE:
        with path.open("r+b") as file:
            file.truncate(place)
        return f"cut {path.name} from {size} to {place} bytes"
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    return f"flipped a bit of byte {place} of {path.name}"


def _restore(folder, older):
    if not older.is_dir():
        return "no older copy yet"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(older, folder)
    return f"restored {len(files_of(folder))} older files"


def copy(folder, older):
    """Keeps a copy to be restored later, instead of the one before."""
    shutil.rmtree(older, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, older)
