"""Numbers, times and sentences as the console writes them.

Units stand after a narrow no-break space, ranges have an en dash, a minus is a minus sign. The
number of decimals follows the interval: a digit that the interval makes meaningless is not shown.
"""

from __future__ import annotations

from datetime import UTC, datetime

from leadline.console.core.figures import Rate

NARROW = "\u202f"
DASH = "\u2013"
NONE = "\u2014"
MINUS = "\u2212"
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
WIDE_POINTS = 15.0
"""Intervals wider than this many points make tenths of a point meaningless."""


def count(n: int) -> str:
    """A whole number with thousands separators: "19,605"."""
    return f"{n:,}"


def compact(n: int) -> str:
    """A whole number in at most four characters and a unit: "25.8 k", "1.2 M"."""
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if n >= limit:
            value = n / limit
            return f"{value:.0f}{NARROW}{unit}" if value >= 100 else f"{value:.1f}{NARROW}{unit}"
    return str(n)


def short(n: int) -> str:
    """A count that fits a narrow cell: "1.4k"."""
    if n < 1000:
        return str(n)
    return compact(n).replace(NARROW, "")


def decimals(rate: Rate) -> int:
    """Decimals that a percentage of this interval deserves: 1, or 0 when it is wide."""
    if rate.lower is None or rate.upper is None:
        return 1
    return 0 if (rate.upper - rate.lower) * 100 > WIDE_POINTS else 1


def percent(value: float | None, places: int = 1) -> str:
    """A share in percent without its sign: "89.7"; 100 and 0 only when it is exactly that."""
    if value is None:
        return NONE
    text = f"{value * 100:.{places}f}"
    if value < 1 and float(text) >= 100:
        return f"{100 - 10**-places:.{places}f}"
    return text


def rate(value: Rate) -> str:
    """A rate in percent without its sign, with the decimals its interval deserves."""
    return percent(value.value, decimals(value))


def interval(value: Rate) -> str:
    """The 95 % interval in percent: "89.2-90.1"; empty without trials."""
    if value.lower is None or value.upper is None:
        return ""
    places = decimals(value)
    return f"{value.lower * 100:.{places}f}{DASH}{value.upper * 100:.{places}f}"


def share(value: float | None) -> str:
    """A share in whole percent, with "<1" for a positive one that would read 0: "76"."""
    if value is None:
        return NONE
    if 0 < value < 0.005:
        return "<1"
    return ">99" if 0.995 <= value < 1 else f"{value * 100:.0f}"


def cell_share(value: float) -> str:
    """A cell's share in percent: "11.0", "<0.1" for a smaller positive one."""
    return "<0.1" if 0 < value < 0.001 else f"{value * 100:.1f}"


def k_of_n(value: Rate) -> str:
    """A rate that deserves no percentage: "2 of 4"."""
    return f"{count(value.successes)} of {count(value.trials)}"


def duration(seconds: float | None) -> str:
    """A length of time in one unit: "0.3 s", "34 min", "3.1 h", "26 d"."""
    if seconds is None:
        return NONE
    if seconds < 90:
        return f"{seconds:.1f}{NARROW}s" if 0 < seconds < 1 else f"{seconds:.0f}{NARROW}s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f}{NARROW}min"
    value, unit = (seconds / 3600, "h") if seconds < 48 * 3600 else (seconds / 86400, "d")
    return f"{value:.1f}{NARROW}{unit}" if value < 10 else f"{value:.0f}{NARROW}{unit}"


def step_words(step_us: int) -> str:
    """A whole number of minutes, hours or days: "30 min", "1 h"."""
    minutes = max(step_us // MINUTE_US, 1)
    if minutes % 1440 == 0:
        return f"{minutes // 1440}{NARROW}d"
    if minutes % 60 == 0:
        return f"{minutes // 60}{NARROW}h"
    return f"{minutes}{NARROW}min"


def moment(at_us: int) -> datetime:
    """The instant as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def second(at_us: int | None) -> str:
    """Time of day to the second: "18:00:02"."""
    return NONE if at_us is None else moment(at_us).strftime("%H:%M:%S")


def minute(at_us: int | None) -> str:
    """Time of day to the minute: "18:00"."""
    return NONE if at_us is None else moment(at_us).strftime("%H:%M")


def day(at_us: int) -> str:
    """A day: "20 Nov"."""
    when = moment(at_us)
    return f"{when.day} {when.strftime('%b')}"


def near(at_us: int | None, now_us: int) -> str:
    """Time of day if it was within the last day, else the date with it: "20 Nov 13:50"."""
    if at_us is None:
        return NONE
    return minute(at_us) if 0 <= now_us - at_us < DAY_US else f"{day(at_us)} {minute(at_us)}"


def plural(n: int, one: str, many: str = "") -> str:
    """A count and its noun: "1 class", "10 classes"."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def one_in(probabilities: list[float], noun: str) -> str:
    """How many are kept: "1 error in 6 is kept"; a range where they were kept unequally."""
    if not probabilities or min(probabilities) <= 0:
        return ""
    least, most = (round(1 / p) for p in (max(probabilities), min(probabilities)))
    if most <= 1:
        return f"every {noun} is kept"
    if least == most:
        return f"1 {noun} in {count(most)} is kept"
    return f"1 {noun} in {count(max(least, 1))} to {count(most)} is kept"


def listing(words: list[str]) -> str:
    """Words joined for a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"


def points(difference: float | None, places: int = 1) -> str:
    """A difference of shares in points, signed: "+7.7", with a minus sign below zero."""
    if difference is None:
        return NONE
    value = round(difference * 100, places)
    sign = MINUS if value < 0 else "+" if value > 0 else "\u00b1"
    return f"{sign}{abs(value):.{places}f}"


def points_span(span: tuple[float, float] | None, places: int = 1) -> str:
    """An interval of a difference in points: "+6.9 to +8.5"."""
    return "" if span is None else f"{points(span[0], places)} to {points(span[1], places)}"


def score(value: float) -> str:
    """A score with the digits that its distance to 0 or 1 needs: "0.500", "0.99995"."""
    edge = min(value, 1 - value)
    if edge <= 0:
        return f"{value:.3f}"
    places = 3 if edge >= 0.01 else 4 if edge >= 0.001 else 5 if edge >= 0.0001 else 6
    return f"{value:.{places}f}"


def span(bounds: tuple[float, float] | None, places: int = 1) -> str:
    """An interval of a share in percent: "92.8-94.8"; empty for None."""
    if bounds is None:
        return ""
    return f"{bounds[0] * 100:.{places}f}{DASH}{bounds[1] * 100:.{places}f}"


def within(value: float, lower: float, upper: float) -> str:
    """How far a figure is certain: "±0.00002", or "exact" where its bounds meet."""
    half = max(upper - value, value - lower)
    if half < 1e-9:
        return "exact"
    return f"\u00b1{half:.1g}" if half >= 1e-4 else f"\u00b1{half:.{max(5, _places(half))}f}"


def _places(value: float) -> int:
    """Decimals at which a small positive number has its first digit."""
    return len(f"{value:.12f}".split(".")[1]) - len(f"{value:.12f}".split(".")[1].lstrip("0")) + 1
