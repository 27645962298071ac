"""The part of EvaluationService that lists kept cases, page by page.

By time, newest first, a page goes on below the event time of its last row: cases that arrive
meanwhile are newer and shift nothing. By score, the first page fixes the newest event time that
takes part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from leadline.metrics.api import pages
from leadline.metrics.api.names import parse_unmerged
from leadline.metrics.core.scope import EVERYTHING, MINUTE_US, Scope, resolve
from leadline.metrics.reader import Reader
from leadline.records.cases import Case
from leadline.runtime.store.port import CaseQuery
from leadline.v1 import evaluation_pb2 as messages

PAGE_DEFAULT = 36
"""Pictures of the console's side pane."""
PAGE_MAX = 500
TIME_END_US = 2**62
PLACE = {"version": str, "from": int, "to": int, "below": int, "skip": int}


@dataclass(frozen=True, slots=True)
class CasePage:
    """Cases of one page, how many fit in all, and the token of the next page, empty at the end."""

    cases: list[Case]
    total: int
    next_token: str


def list_cases(reader: Reader, request: messages.ListCasesRequest, now_us: int) -> CasePage:
    """The cases that a request asks for.

    Raises:
        FieldError: the request cannot be meant, or its token belongs to another one.
        NotFoundError: unknown model or version.
    """
    scope = parse_unmerged(request.scope, "Cases")
    size = pages.page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
    question = pages.question_digest(request)
    place = pages.read_token(request.page_token, question, PLACE) or _first(
        scope, reader.version(scope.model, scope.version), now_us, by_score=request.by_score
    )
    query = _query(request, scope, place)
    page = replace(query, to_us=int(place["below"]), limit=size + 1, offset=int(place["skip"]))
    found, total = reader.cases(page, query)
    shown = found[:size]
    if len(found) <= size:
        return CasePage(shown, total, "")
    after = _after(place, shown, by_score=request.by_score)
    return CasePage(shown, total, pages.write_token(question, after))


def _first(scope: Scope, version: str, now_us: int, *, by_score: bool) -> pages.Place:
    window = resolve(scope.window, now_us)
    start, end = window.from_minute * MINUTE_US, window.to_minute * MINUTE_US
    if window == EVERYTHING:
        end = (now_us // MINUTE_US + 1) * MINUTE_US if by_score else TIME_END_US
    return {"version": version, "from": start, "to": end, "below": end, "skip": 0}


def _query(request: messages.ListCasesRequest, scope: Scope, place: pages.Place) -> CaseQuery:
    return CaseQuery(
        model=scope.model,
        version=str(place["version"]),
        from_us=int(place["from"]),
        to_us=int(place["to"]),
        true_class=request.true_class if request.HasField("true_class") else None,
        predicted=request.predicted_class if request.HasField("predicted_class") else None,
        errors_only=request.errors_only,
        slices=scope.slices,
        by_score=request.by_score,
    )


def _after(place: pages.Place, shown: list[Case], *, by_score: bool) -> pages.Place:
    """Where the next page starts: below the last time, less what was shown at that very time."""
    if by_score:
        return {**place, "skip": int(place["skip"]) + len(shown)}
    last_us = shown[-1].event_time_us
    same = sum(1 for each in shown if each.event_time_us == last_us)
    if place["below"] == last_us + 1:
        same += int(place["skip"])
    return {**place, "below": last_us + 1, "skip": same}
