"""Class lists in files."""

from __future__ import annotations

from pathlib import Path

from leadline.records.errors import UsageError


def read_classes(file: Path) -> tuple[str, ...]:
    """Names by line, as in Triton's label files; blank lines at the end do not count.

    Raises:
        UsageError: the file cannot be read, or is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The class list {str(file)!r} cannot be read: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UsageError(f"The class list {str(file)!r} is empty", "One name a line")
    return tuple(line.strip() for line in lines)
