"""Any answer of a reader as a pandas DataFrame or an Arrow table, for notebooks and scripts.

import leadline

leadline.query("digits", "classes", window="7d")
leadline.query("digits", "thresholds", of="3", need="recall>=0.95", as_="arrow")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from leadline.evaluation.goals import goal
from leadline.evaluation.plain import need_pandas
from leadline.metrics.measures.thresholds import Figure
from leadline.query_tables import TABLES, Question, plain_of
from leadline.records.errors import UsageError
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

READER = "127.0.0.1:8431"
_FIGURES = {
    Figure.F1: an.Objective.FIGURE_F1,
    Figure.COST: an.Objective.FIGURE_COST,
    Figure.PRECISION: an.Objective.FIGURE_PRECISION,
    Figure.RECALL: an.Objective.FIGURE_RECALL,
    Figure.FLAGGED: an.Objective.FIGURE_FLAGGED_SHARE,
}


def query(  # noqa: PLR0913 - options
    model: str,
    what: str = "summary",
    *,
    version: str = "",
    window: str = "",
    slices: Mapping[str, str] | None = None,
    of: str | int | None = None,
    need: str | Sequence[str] = (),
    cost: tuple[float, float] | None = None,
    challengers: Sequence[str] = (),
    limit: int = 1_000,
    as_: Literal["pandas", "arrow"] = "pandas",
    reader: str = READER,
    timeout_seconds: float = 10.0,
) -> Any:  # noqa: ANN401 - a DataFrame or a Table
    """One answer of a reader, as a table.

    Times are UTC. An undefined figure is missing, never 0. Where the answer holds (vector, window,
    coverage) stands in `attrs["basis"]` of a DataFrame, and in the metadata of an Arrow table.

    Args:
        model: "digits", "models/digits" or "models/digits/versions/7".
        what: "summary", "classes", "confusion", "timeline", "slices", "areas", "curves",
            "thresholds", "calibration", "comparison", "advice" or "cases".
        version: else the champion.
        window: up to now: "30m", "24h", "7d", "4w"; else everything.
        slices: values by column; all must hold.
        of: one class, for curves, thresholds and calibration.
        need: constraints of the best threshold, "recall>=0.95".
        cost: of a missed one and of a false alarm, for the best threshold.
        challengers: whom to compare; else all others.
        limit: at most so many cases.
        as_: "pandas" or "arrow".
        reader: host:port.
        timeout_seconds: of each question.

    Raises:
        NotFoundError, UsageError, TransientError: as the reader says; or an argument cannot be
            meant, or a library is not installed.
    """
    if what not in TABLES:
        raise UsageError(f"{what!r} is no table", f"There are: {', '.join(TABLES)}")
    library = _library(as_)
    scope = _scope_of(model, version, window, slices or {})
    with _open(reader, timeout_seconds) as client:
        question = Question(client, scope, of, objective_of(need, cost), tuple(challengers), limit)
        answer = TABLES[what](question)
    basis = {} if answer.basis is None else plain_of(answer.basis)
    if as_ == "arrow":
        table = library.Table.from_pylist(answer.rows)
        return table.replace_schema_metadata({"basis": json.dumps(basis)})
    frame = library.DataFrame(answer.rows)
    frame.attrs["basis"] = basis
    return frame


def _library(name: str) -> Any:  # noqa: ANN401 - a module
    if name == "pandas":
        return need_pandas()
    if name != "arrow":
        raise UsageError(f"as_={name!r}", 'Write as_="pandas" or as_="arrow"')
    try:
        import pyarrow as pa  # noqa: PLC0415 - not a dependency
    except ImportError:
        raise UsageError("pyarrow is not installed", "pip install 'leadline[imports]'") from None
    return pa


def _open(reader: str, timeout_seconds: float) -> Any:  # noqa: ANN401 - a context of ReaderClient
    try:
        from leadline.cli.reader_client import open_reader  # noqa: PLC0415 - brings gRPC
    except ImportError:
        raise UsageError("gRPC is not installed", "pip install 'leadline[service]'") from None
    return open_reader(reader, timeout_seconds)


def _scope_of(model: str, version: str, window: str, slices: Mapping[str, str]) -> ev.Scope:
    from leadline.cli.scopes import scope_of  # noqa: PLC0415 - brings the command line

    name, _, named = model.partition("/versions/")
    pairs = [f"{column}={value}" for column, value in slices.items()]
    return scope_of(name, version or named, window, pairs)


def objective_of(need: str | Sequence[str], cost: tuple[float, float] | None) -> an.Objective:
    """What a threshold shall achieve, as a message; see `evaluation.goals.goal`."""
    aim = goal(need, cost)
    found = an.Objective(figure=_FIGURES[aim.figure])
    if aim.costs is not None:
        found.false_positive_cost, found.false_negative_cost = aim.costs.fp, aim.costs.fn
    for each in aim.constraints:
        added = found.constraints.add(figure=_FIGURES[each.figure])
        if each.at_least:
            added.at_least = each.bound
        else:
            added.at_most = each.bound
    return found
