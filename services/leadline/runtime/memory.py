"""How the C library keeps freed memory, for processes that fill and free large arrays all the time.

By default glibc gives arrays above 128 kB back to the system when they are freed, and each thread's
memory apart: every micro-batch then pays a page fault for each 4 kB that it touches.
"""

from __future__ import annotations

import ctypes

TRIM_BYTES = 256 << 20
"""Freed memory up to this is kept."""
MAPPED_BYTES = 32 << 20
"""Larger arrays are mapped for themselves, and given back when they are freed."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


def keep_freed_memory() -> bool:
    """Lets this process use freed memory again; whether the C library knows how.

    Threads started later share one pool, so that what one has freed serves the others.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    options = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, MAPPED_BYTES), (_TRIM_THRESHOLD, TRIM_BYTES))
    kept: bool = all(mallopt(option, value) == 1 for option, value in options)
    return kept
