"""Leadline: how good each deep-learning model is right now, on live traffic, and why it errs."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from leadline.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "__version__", "evaluate"]


def __getattr__(name: str) -> object:
    """`leadline.evaluate` and `leadline.Evaluation` on first use: importing alone stays light."""
    if name not in {"Evaluation", "evaluate"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see above

    return getattr(importlib.import_module("leadline.evaluation"), name)
