"""Leadline: how good each deep-learning model is right now, on live traffic, and why it errs."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from leadline.evaluation import Evaluation, VersionComparison, compare, evaluate
    from leadline.querying import query

__all__ = ["Evaluation", "VersionComparison", "__version__", "compare", "evaluate", "query"]

_MODULES = {
    "Evaluation": "leadline.evaluation",
    "VersionComparison": "leadline.evaluation",
    "compare": "leadline.evaluation",
    "evaluate": "leadline.evaluation",
    "query": "leadline.querying",
}


def __getattr__(name: str) -> object:
    """`leadline.evaluate` and the like on first use: importing alone stays light."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see above

    return getattr(importlib.import_module(_MODULES[name]), name)
