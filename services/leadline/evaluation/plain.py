"""Figures as plain values, and the optional libraries that show them."""

from __future__ import annotations

from typing import Any

from leadline.evaluation.scored import BestThreshold
from leadline.metrics.core.figures import Average, Rate
from leadline.metrics.measures.curves import Bounded
from leadline.metrics.measures.strata import Reweighted
from leadline.records.errors import UsageError

Plain = dict[str, Any]


def need_pandas() -> Any:  # noqa: ANN401 - a module
    """Pandas.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - not a dependency
    except ImportError:
        raise UsageError("pandas is not installed", "pip install pandas") from None
    return pd


def rate_dict(rate: Rate) -> Plain:
    """A share with its interval as plain values."""
    lower, upper = rate.interval or (None, None)
    return {
        "value": rate.value,
        "lower": lower,
        "upper": upper,
        "successes": rate.successes,
        "trials": rate.trials,
    }


def average_dict(average: Average) -> Plain:
    """Means over classes."""
    return {"precision": average.precision, "recall": average.recall, "f1": average.f1}


def bounded_dict(found: Bounded | None) -> Plain | None:
    """A figure with its certain bounds."""
    if found is None:
        return None
    return {"value": found.value, "lower": found.lower, "upper": found.upper}


def bounds_list(found: tuple[float, float] | None) -> list[float] | None:
    """An interval."""
    return None if found is None else [found[0], found[1]]


def reweighted_dict(found: Reweighted) -> Plain:
    """A rate of all rows beside that of the labelled."""
    return {
        "labelled": rate_dict(found.plain),
        "all": bounded_dict(found.rate),
        "interval": bounds_list(found.interval),
        "unlabelled_share": found.unlabelled_share,
        "differs": found.differs,
    }


def threshold_dict(found: BestThreshold) -> Plain:
    """A best threshold."""
    base: Plain = {"class_name": found.class_name, "goal": str(found.goal)}
    choice = found.choice
    if choice is None:
        return {**base, "threshold": None, "reason": found.reason}
    return {
        **base,
        "threshold": found.threshold,
        "precision": rate_dict(choice.precision),
        "recall": rate_dict(choice.recall),
        "flagged": rate_dict(choice.flagged),
        "f1": choice.f1,
        "cost": choice.cost,
        "optimism": found.optimism,
    }
