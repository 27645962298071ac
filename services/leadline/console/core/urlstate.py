"""What a page shows stands in its query, and nothing else does.

`parse(query(view)) == view` for every view; what cannot be understood is left out, so that an old
or mistyped link still opens the page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from leadline.console.core.words import moment

WINDOWS = (
    ("1h", "Last hour"),
    ("6h", "Last 6 hours"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("all", "Everything"),
)
NORMS = ("count", "true", "predicted")
SCALES = ("log", "linear")
ORDERS = ("class", "errors", "support", "predicted", "precision", "recall", "f1", "auc", "ap")
NEED_FIGURES = ("recall", "precision", "flagged")
"""What a constraint may bound; "flagged" from above, the others from below."""
NEED_GOALS = ("precision", "recall", "f1", "cost")
"""What is best among the thresholds that satisfy it."""
TOPS = ("15", "30", "64")
SLICES_MAX = 3
VALUE_LENGTH_MAX = 200
COST_MAX = 1e6
PART_MAX = 9999
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Need:
    """A constraint on a threshold, and what is best among those that satisfy it.

    Attributes:
        figure: one of NEED_FIGURES.
        bound: share from 0 to 1; at most so much is flagged, or at least so much is reached.
        goal: one of NEED_GOALS.
    """

    figure: str
    bound: float
    goal: str


@dataclass(frozen=True, slots=True)
class View:
    """The state of a model's page.

    Attributes:
        window: "24h", "30m", "7d" or "all"; ignored while start_us is set.
        start_us: inclusive start of a fixed window, whole minutes; None for a moving window.
        end_us: its exclusive end.
        slices: (column, value) pairs, at most one value a column; all must hold.
        true: true class of the selected cell.
        pred: predicted class of the selected cell.
        case: id of the selected case.
        norm: what a cell says: "count", or its share of "true" or of "predicted".
        scale: colour scale, "log" or "linear".
        order: order of the classes, one of ORDERS.
        top: how many classes are shown where there are many.
        find: part of a class name, in the table of classes.
        part: which hundred of the classes, from 1.
        label: the class that curves and calibration are shown of; `class` in the query.
        threshold: the score that is judged, 0 to 1.
        cost: what a missed positive and a false alarm cost.
        need: a constraint on the threshold.
        vs: the version that is compared.
        at: vector at which a link was copied, "SHARD:P:L" joined by commas.
    """

    window: str = "24h"
    start_us: int | None = None
    end_us: int | None = None
    slices: tuple[tuple[str, str], ...] = ()
    true: int | None = None
    pred: int | None = None
    case: str = ""
    norm: str = "count"
    scale: str = "log"
    order: str = "class"
    top: str = "15"
    find: str = ""
    part: int = 1
    label: int | None = None
    threshold: float | None = None
    cost: tuple[float, float] | None = None
    need: Need | None = None
    vs: str = ""
    at: str = ""

    @property
    def fixed(self) -> bool:
        """Whether the window has a fixed start and end."""
        return self.start_us is not None and self.end_us is not None

    @property
    def cell(self) -> bool:
        """Whether anything of a cell is selected."""
        return self.true is not None or self.pred is not None

    def window_seconds(self) -> int | None:
        """Length of a moving window; None means everything."""
        return None if self.window == "all" else _seconds(self.window)

    def window_words(self) -> str:
        """The window as its menu names it."""
        if self.start_us is not None and self.end_us is not None:
            start, end = moment(self.start_us), moment(self.end_us)
            if start.date() == end.date():
                return f"{start.day} {start:%b %H:%M}\u2013{end:%H:%M}"
            return f"{start.day} {start:%b %H:%M}\u2013{end.day} {end:%b %H:%M}"
        known = dict(WINDOWS).get(self.window)
        return known or f"Last {self.window}"


DEFAULT = View()


def parse(pairs: Iterable[tuple[str, str]]) -> View:
    """The view of a query; unknown names and values are left out."""
    many = list(pairs)
    one = dict(reversed(many))
    start, end = _minute(one.get("from", "")), _minute(one.get("to", ""))
    fixed = start is not None and end is not None and start < end
    window = one.get("window", DEFAULT.window)
    return View(
        window=DEFAULT.window if fixed or not _window(window) else window,
        start_us=start if fixed else None,
        end_us=end if fixed else None,
        slices=_slices(v for k, v in many if k == "slice"),
        true=_class(one.get("true", "")),
        pred=_class(one.get("pred", "")),
        case=_hex(one.get("case", "")),
        norm=_choice(one.get("norm", ""), NORMS),
        scale=_choice(one.get("scale", ""), SCALES),
        order=_choice(one.get("order", ""), ORDERS),
        top=_choice(one.get("top", ""), TOPS),
        find=_short(one.get("find", "")),
        part=_part(one.get("part", "")),
        label=_class(one.get("class", "")),
        threshold=_number(one.get("threshold", ""), 1.0),
        cost=_cost(one),
        need=_need(one),
        vs=_short(one.get("vs", "")),
        at=one.get("at", "") if re.fullmatch(r"[\w./:,-]{1,2000}", one.get("at", "")) else "",
    )


def query(view: View) -> str:
    """The query that parses to this view, "" for the default one; defaults are left out."""
    return urlencode(pairs_of(view), safe=":/,")


def pairs_of(view: View) -> list[tuple[str, str]]:
    """The names and values of a view's query."""
    pairs: list[tuple[str, str]] = []
    if view.start_us is not None and view.end_us is not None:
        pairs += [("from", minute_text(view.start_us)), ("to", minute_text(view.end_us))]
    elif view.window != DEFAULT.window:
        pairs.append(("window", view.window))
    pairs += [("slice", f"{column}:{value}") for column, value in view.slices]
    for name, number in (("true", view.true), ("pred", view.pred), ("class", view.label)):
        if number is not None:
            pairs.append((name, str(number)))
    for name in ("case", "norm", "scale", "order", "top", "find"):
        value = getattr(view, name)
        if value != getattr(DEFAULT, name):
            pairs.append((name, value))
    if view.part != DEFAULT.part:
        pairs.append(("part", str(view.part)))
    pairs += _choices_of(view)
    return [*pairs, ("at", view.at)] if view.at else pairs


def _choices_of(view: View) -> list[tuple[str, str]]:
    pairs = []
    if view.threshold is not None:
        pairs.append(("threshold", number_text(view.threshold)))
    if view.cost is not None:
        pairs.append(("cost", ":".join(map(number_text, view.cost))))
    if view.need is not None:
        need = view.need
        pairs.append(("need", f"{need.figure}:{number_text(need.bound)}:{need.goal}"))
    if view.vs:
        pairs.append(("vs", view.vs))
    return pairs


def number_text(value: float) -> str:
    """A number as it stands in a query, to six digits: "0.05"."""
    return f"{value:.6g}"


def link(path: str, view: View) -> str:
    """The URL of a page in a state."""
    text = query(view)
    return f"{path}?{text}" if text else path


def with_slice(view: View, column: str, value: str | None) -> View:
    """The view with one slice column set, or dropped when value is None."""
    kept = tuple(pair for pair in view.slices if pair[0] != column)
    added = () if value is None else ((column, value),)
    return replace(view, slices=tuple(sorted(kept + added)), case="")


def minute_text(at_us: int) -> str:
    """A minute as it stands in a query: "2026-11-22T18:00Z"."""
    return moment(at_us).strftime("%Y-%m-%dT%H:%MZ")


def _minute(text: str) -> int | None:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(Z|\+00:00)?", text)
    if not match:
        return None
    try:
        when = datetime.strptime(match[1], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp()) * 1_000_000


def _window(text: str) -> bool:
    seconds = _seconds(text)
    return text == "all" or (seconds is not None and 60 <= seconds <= 400 * 86400)


def _seconds(text: str) -> int | None:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else None


def _slices(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for text in texts:
        column, colon, value = text.partition(":")
        if colon and column and len(text) <= VALUE_LENGTH_MAX:
            found.setdefault(column, value)
    return tuple(sorted(found.items())[:SLICES_MAX])


def _class(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,6}", text) else None


def _number(text: str, largest: float) -> float | None:
    """A number from 0 to `largest`, to the digits that a query keeps; None for any other text."""
    if not re.fullmatch(r"\d{0,9}(\.\d{0,12})?(e-?\d{1,2})?", text) or not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return float(number_text(value)) if math.isfinite(value) and 0 <= value <= largest else None


def _cost(one: dict[str, str]) -> tuple[float, float] | None:
    """From `cost=MISSED:FALSE_ALARM`, or from the two fields of the form."""
    text = one.get("cost") or f"{one.get('missed', '')}:{one.get('false_alarm', '')}"
    first, _, second = text.partition(":")
    missed, false_alarm = _number(first, COST_MAX), _number(second, COST_MAX)
    if missed is None or false_alarm is None or missed + false_alarm <= 0:
        return None
    return missed, false_alarm


def _need(one: dict[str, str]) -> Need | None:
    """From `need=FIGURE:BOUND:GOAL`, or from the three fields of the form."""
    fields = (one.get(name, "") for name in ("need_figure", "need_bound", "need_goal"))
    figure, bound, goal = [*(one.get("need") or ":".join(fields)).split(":"), "", ""][:3]
    value = _number(bound, 1.0)
    if value is None or figure not in NEED_FIGURES or goal not in NEED_GOALS:
        return None
    return Need(figure, value, goal)


def _part(text: str) -> int:
    return int(text) if re.fullmatch(r"[1-9]\d{0,3}", text) else 1


def _short(text: str) -> str:
    return text if len(text) <= VALUE_LENGTH_MAX else ""


def _hex(text: str) -> str:
    return text if re.fullmatch(r"[0-9a-f]{1,64}", text) else ""


def _choice(text: str, allowed: tuple[str, ...]) -> str:
    return text if text in allowed else allowed[0]
