"""What a page needs, asked in parallel; each part is there or says why it is not.

When the reader does not answer, the last good data of the same page are handed out again, marked
with the time at which they were good.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TypeVar

from leadline.console.analysis_loader import Analysis, ask_analysis
from leadline.console.core import figures as f
from leadline.console.core.analysis import AdviceItem
from leadline.console.core.pane import selected_case
from leadline.console.core.urlstate import DEFAULT, View, link
from leadline.console.reader import Reader, ReaderError, settle
from leadline.console.settings import ConsoleSettings
from leadline.runtime.clock import Clock

KEPT_PAGES = 64
"""Last good data kept, by page; one is about 100 kB for 1,000 classes."""
SPARKS_AT_ONCE = 4
SPARKS_MAX = 100
"""Small timelines are drawn for so many models; the others have figures only."""
TEXT_SHOWN = 1500


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page."""

    models: tuple[f.Model, ...] | f.Failure
    summaries: tuple[f.Summary, ...] | f.Failure
    status: f.Status | f.Failure
    loaded_us: int

    def model(self, name: str) -> f.Model | None:
        """The model of that name."""
        if isinstance(self.models, f.Failure):
            return None
        return next((m for m in self.models if m.name == name), None)


@dataclass(frozen=True, slots=True)
class OverviewData:
    """Data of the list of models."""

    frame: Frame
    summaries: tuple[f.Summary, ...] | f.Failure
    sparks: dict[str, f.Timeline] = field(default_factory=dict)
    lost: f.Failure | None = None

    def failure(self) -> f.Failure | None:
        """Why there is nothing to show, or None."""
        return self.summaries if isinstance(self.summaries, f.Failure) else None


@dataclass(frozen=True, slots=True)
class VersionData:
    """Data of one version's page."""

    frame: Frame
    summary: f.Summary | f.Failure
    matrix: f.Matrix | f.Failure
    timeline: f.Timeline | f.Failure
    slices: tuple[f.SliceFigures, ...] | f.Failure
    cases: f.Cases | f.Failure
    case: f.Case | f.Failure | None = None
    text: str = ""
    advice: tuple[AdviceItem, ...] | f.Failure = ()
    lost: f.Failure | None = None

    def failure(self) -> f.Failure | None:
        """Why there is nothing to show, or None."""
        return self.summary if isinstance(self.summary, f.Failure) else None


@dataclass(frozen=True, slots=True)
class AnalysisData:
    """Data of one of the other pages of a version."""

    frame: Frame
    slices: tuple[f.SliceFigures, ...] | f.Failure
    parts: Analysis
    lost: f.Failure | None = None

    @property
    def summary(self) -> f.Summary | f.Failure:
        """The version's headline figures."""
        return self.parts.summary

    def failure(self) -> f.Failure | None:
        """Why there is nothing to show, or None."""
        return self.parts.summary if isinstance(self.parts.summary, f.Failure) else None


D = TypeVar("D", OverviewData, VersionData, AnalysisData)


class Loader:
    """Asks the reader; bounded memory of frames, small timelines and last good pages."""

    def __init__(self, reader: Reader, clock: Clock, settings: ConsoleSettings) -> None:
        self.reader = reader
        self._clock, self._settings = clock, settings
        self._frame: Frame | None = None
        self._frame_at = 0.0
        self._frame_lock = asyncio.Lock()
        self._sparks: dict[str, tuple[float, f.Timeline]] = {}
        self._spark_slots = asyncio.Semaphore(SPARKS_AT_ONCE)
        self._good: OrderedDict[str, OverviewData | VersionData | AnalysisData] = OrderedDict()

    async def frame(self) -> Frame:
        """The frame, asked at most once in refresh_seconds for all pages."""
        async with self._frame_lock:
            now = self._clock.monotonic_seconds()
            if self._frame is None or now - self._frame_at >= self._settings.refresh_seconds / 2:
                models, summaries, status = await asyncio.gather(
                    settle(self.reader.models),
                    settle(self.reader.summaries, DEFAULT),
                    settle(self.reader.status),
                )
                self._frame = Frame(models, summaries, status, self._clock.now_us())
                self._frame_at = now
            return self._frame

    async def overview(self, view: View) -> OverviewData:
        """Data of the list of models."""
        frame, summaries = await asyncio.gather(self.frame(), settle(self.reader.summaries, view))
        shown = () if isinstance(summaries, f.Failure) else summaries[:SPARKS_MAX]
        sparks = await asyncio.gather(*(self._spark(s, view) for s in shown))
        data = OverviewData(
            frame, summaries, {s.model: t for s, t in zip(shown, sparks, strict=True) if t}
        )
        return self._or_last(link("/", view), data)

    async def version(self, model: str, version: str, view: View) -> VersionData:
        """Data of one version's page."""
        name = f"models/{model}/versions/{version}"
        ask = self.reader
        figures = asyncio.gather(
            self.frame(),
            settle(ask.summary, name, view),
            settle(ask.matrix, name, view),
            settle(ask.timeline, name, view),
            settle(ask.slices, name, view),
            settle(ask.cases, name, view),
        )
        parts, advice = await asyncio.gather(figures, settle(ask.advice, name, view))
        frame, summary, matrix, timeline, slices, cases = parts
        case = await self._case(name, cases, view)
        text = await self._text(name, frame.model(model), case)
        data = VersionData(frame, summary, matrix, timeline, slices, cases, case, text, advice)
        return self._or_last(link(f"/{name}", view), data)

    async def analysis(self, tab: str, model: str, version: str, view: View) -> AnalysisData:
        """Data of a version's page named `tab`."""
        name = f"models/{model}/versions/{version}"
        frame, slices, parts = await asyncio.gather(
            self.frame(),
            settle(self.reader.slices, name, view),
            ask_analysis(self.reader, tab, name, view),
        )
        data = AnalysisData(frame, slices, parts)
        return self._or_last(link(f"/{name}/{tab}", view), data)

    async def _case(
        self, name: str, cases: f.Cases | f.Failure, view: View
    ) -> f.Case | f.Failure | None:
        chosen = selected_case(cases, view) if isinstance(cases, f.Cases) else None
        if chosen is None and view.case:
            return await settle(self.reader.case, name, view.case)
        return chosen

    async def _text(self, name: str, model: f.Model | None, case: f.Case | f.Failure | None) -> str:
        """The input of a case that is read rather than looked at; empty for images."""
        if model is None or model.form not in ("text", "numbers"):
            return ""
        if not isinstance(case, f.Case) or case.absence:
            return ""
        try:
            _, content = await self.reader.case_input(name, case.id)
        except ReaderError:
            return ""
        text = content[: 4 * TEXT_SHOWN].decode("utf-8", "replace")
        return text[:TEXT_SHOWN] + ("\u2026" if len(text) > TEXT_SHOWN else "")

    async def _spark(self, summary: f.Summary, view: View) -> f.Timeline | None:
        key = link(f"{summary.model}/{summary.version}", replace(view, case="", at=""))
        now = self._clock.monotonic_seconds()
        kept = self._sparks.get(key)
        if kept and now - kept[0] < self._settings.spark_seconds:
            return kept[1]
        name = f"models/{summary.model}/versions/{summary.version}"
        async with self._spark_slots:
            found = await settle(self.reader.timeline, name, view)
        if isinstance(found, f.Failure):
            return kept[1] if kept else None
        while len(self._sparks) >= 4 * SPARKS_MAX:
            del self._sparks[next(iter(self._sparks))]
        self._sparks[key] = (now, found)
        return found

    def _or_last(self, key: str, data: D) -> D:
        """The data, remembered if good; the last good ones, marked, if the reader is lost."""
        failure = data.failure()
        if failure is None:
            self._good[key] = data
            self._good.move_to_end(key)
            while len(self._good) > KEPT_PAGES:
                self._good.popitem(last=False)
            return data
        kept = self._good.get(key)
        if failure.kind == "lost" and isinstance(kept, type(data)):
            return replace(kept, lost=failure)
        return data
