"""Words and small pieces of HTML that the sections of a report share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from leadline.console.core import words
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

FEW = 30
"""With fewer labels a share is shown as counts: 2 of 4."""


def share(rate: ev.Rate) -> str:
    """A share in percent, or as counts where they are few."""
    if not rate.HasField("value"):
        return words.NONE
    if rate.trials < FEW:
        return f"{rate.successes:,} of {rate.trials:,}"
    return percent(rate.value)


def percent(value: float | None, places: int = 1) -> str:
    """A share in percent with its sign; a dash for none."""
    return words.NONE if value is None else f"{words.percent(value, places)}{words.NARROW}%"


def span(rate: ev.Rate) -> str:
    """The interval of a share in percent; empty without one."""
    return words.span((rate.lower, rate.upper)) if rate.HasField("lower") else ""


def bounds(found: Any, field: str) -> tuple[float, float] | None:  # noqa: ANN401 - messages
    """An interval of a message; None where it is absent."""
    if not found.HasField(field):
        return None
    interval = getattr(found, field)
    return interval.lower, interval.upper


def optional(found: Any, field: str) -> Any:  # noqa: ANN401 - as the field is
    """A field; None where it is absent."""
    return getattr(found, field) if found.HasField(field) else None


def figure(value: float | None, places: int = 3) -> str:
    """A figure that is no share."""
    return words.NONE if value is None else f"{value:.{places}f}"


def certain(found: an.Bounded | None) -> str:
    """How far a figure of coded scores is certain."""
    return "" if found is None else words.within(found.value, found.lower, found.upper)


def section(name: str, title: str, body: str, note: str = "") -> str:
    """A section with its heading."""
    said = f'<p class="note">{note}</p>' if note else ""
    return f'<section id="{name}"><h2>{title}</h2>{said}{body}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], css: str = "") -> str:
    """A table of cells that are HTML already; the first of a row is its heading."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        f"<tr><th>{row[0]}</th>{''.join(_cell(cell) for cell in row[1:])}</tr>" for row in rows
    )
    named = f' class="{css}"' if css else ""
    return (
        f'<div class="scroll"><table{named}><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: str) -> str:
    return cell if cell.startswith("<td") else f"<td>{cell}</td>"


def name_of(found: Any) -> str:  # noqa: ANN401 - messages with a class
    """The name of a class, safe in HTML."""
    return escape(found.class_name or str(found.class_number))


def version_of(name: str) -> str:
    """The version out of "models/NAME/versions/VERSION", safe in HTML."""
    return escape(name.rpartition("/versions/")[2])
