"""The errors of Leadline.

    LeadlineError
    ├── InputError              bad input of a producer: dead-letter it, go on
    ├── TransientError          the world did not answer: try again, nothing is lost
    │   └── FencedError         another owner has moved the shard on: read the vector again
    └── UsageError              a person can mend it: the message names the setting and the remedy
        ├── StoppedError        a shard must not count on: cause and remedy
        └── NotFoundError       nothing of that name

Everything else that is raised is a bug and may crash the process; the truth survives that.
Foreign errors (kafka, sqlite3, psycopg, grpc) are mapped once, in the adapter that meets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class DeadLetterReason(IntEnum):
    """Why a record or row was refused; the numbers are those of events.proto."""

    UNPARSABLE = 1
    COLUMN_LENGTH = 2
    HEADER = 3
    UNKNOWN_ENUM = 4
    SCORE_NAN = 5
    SCORE_RANGE = 6
    CLASS_RANGE = 7
    WRONG_PARTITION = 8
    SLICE_CODE = 9
    TOO_LARGE = 10
    KIND_UNSUPPORTED = 11


class LeadlineError(Exception):
    """Base of all errors that Leadline raises on purpose."""


class InputError(LeadlineError):
    """A producer's record or row is refused.

    Attributes:
        reason: the stable cause, counted and written to the dead letter.
    """

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TransientError(LeadlineError):
    """The log, the store or a server did not answer; the same call may succeed later."""


class FencedError(TransientError):
    """The compare-and-set touched no row: another owner has moved the shard on."""


class UsageError(LeadlineError):
    """A person can mend it.

    Attributes:
        remedy: what to do, one sentence; empty when the message says it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class StoppedError(UsageError):
    """Counting on would give wrong figures: the shard stops, the others go on."""


class NotFoundError(UsageError):
    """Nothing of that name exists."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record (row = -1) or row, as it goes to `dead-letters`.

    Attributes:
        row: row in the batch, or -1 for the whole record.
        reason: stable cause.
        detail: in words, with what to do.
    """

    row: int
    reason: DeadLetterReason
    detail: str
