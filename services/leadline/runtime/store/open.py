"""Opens the truth store that the setting `store_url` names."""

from __future__ import annotations

from leadline.runtime.store.port import TruthKeeper
from leadline.runtime.store.sql import open_database
from leadline.runtime.store.truth import SqlTruthStore


def open_store(url: str) -> TruthKeeper:
    """The truth in "sqlite:PATH" or "postgresql://..."; connects on first use.

    Raises:
        UsageError: the URL has another form.
    """
    return SqlTruthStore(open_database(url))
