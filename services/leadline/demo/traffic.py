"""The demo's traffic: digits seen by kiosks, and what people later say they were.

    one request --85 %--> a label by "clicks" (rank 1), some seconds later
                              |-- 5 % name a wrong class; "annotator" (rank 2) corrects them later
                              |-- 2 % are taken back by their source
                              '-- 2 % arrive twice
               --15 %--> no label at all

From a given time the camera of one kiosk is worse (`leadline.demo.degrade`). Time is counted in
seconds from the start of the stream; nothing here waits or reads a clock.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leadline.demo.degrade import degrade

CLICKS, CLICKS_RANK = "clicks", 1
ANNOTATOR, ANNOTATOR_RANK = "annotator", 2
ENDLESS_HALF_SECONDS = 30.0


@dataclass(frozen=True)
class Request:
    """One digit that a kiosk asks the model about.

    Attributes:
        at_seconds: when it is sent.
        index: its place among the requests, from 0.
        row: the row of the held-out digits that it shows.
        image: uint8 [28, 28], as the kiosk's camera sees it.
        true_class: what it is, 0 to 9; the model is not told.
        device: the kiosk.
        degraded: whether its camera is the bad one.
    """

    at_seconds: float
    index: int
    row: int
    image: NDArray[np.uint8]
    true_class: int
    device: str
    degraded: bool


@dataclass(frozen=True)
class LabelEvent:
    """What one source says that a request showed.

    Attributes:
        at_seconds: when it arrives; always after its request.
        request_index: `Request.index`.
        class_: 0 to 9, or None, which takes the source's label back.
        source: who says so.
        rank: the higher one wins; among equal ranks the later one.
        time_offset: seconds from the request to the moment it was decided, which is when it
            first arrives. The copy of a label that arrives twice has the first one's.
    """

    at_seconds: float
    request_index: int
    class_: int | None
    source: str
    rank: int
    time_offset: float


Event: TypeAlias = Request | LabelEvent


@dataclass(frozen=True)
class LabelHabits:
    """How people label. Shares are in [0, 1]; delays are log-normal.

    Attributes:
        labelled: of the requests, those that get a label.
        wrong: of the first labels, those that name a wrong class and are corrected later.
        retracted: of the right first labels, those that are taken back.
        repeated: of the first labels, those that arrive twice.
        median_delay_seconds: half of the delays are shorter.
        delay_spread: standard deviation of the delay's logarithm.
    """

    labelled: float = 0.85
    wrong: float = 0.05
    retracted: float = 0.02
    repeated: float = 0.02
    median_delay_seconds: float = 3.0
    delay_spread: float = 0.6

    def delay_seconds(self, rng: np.random.Generator) -> float:
        """Draws one delay, above 0."""
        return float(self.median_delay_seconds * rng.lognormal(0.0, self.delay_spread))


@dataclass(frozen=True)
class Traffic:
    """A stream of requests and labels in the order of their time.

    The events depend on the arguments and the state of `rng` alone. Iterating draws from `rng`,
    so a second pass is a different stream; for the same one start with an equally seeded `rng`.

    Attributes:
        images: uint8 [N, 28, 28], N at least 1. Each is shown once, in random order, before any
            is shown again.
        labels: their true classes [N], 0 to 9.
        rng: source of everything random.
        devices: each request comes from one of them, equally likely.
        rate_per_second: mean rate of requests; they arrive independently of each other (Poisson).
        duration_seconds: requests stop then, and the labels still to come follow; None never ends.
        degraded_devices: whose camera gets worse.
        degrade_at_seconds: when it does; None is half the duration, or 30 s if it never ends.
        strength: how much worse; 1.0 is the accident of `leadline.demo.degrade`.
        habits: how people label.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.integer]
    rng: np.random.Generator
    devices: tuple[str, ...] = ("kiosk-a", "kiosk-b", "kiosk-c")
    rate_per_second: float = 50.0
    duration_seconds: float | None = 60.0
    degraded_devices: tuple[str, ...] = ("kiosk-b",)
    degrade_at_seconds: float | None = None
    strength: float = 1.0
    habits: LabelHabits = LabelHabits()

    def __post_init__(self) -> None:
        """Refuses what makes no traffic.

        Raises:
            ValueError: no images, unequal lengths, no devices, or a rate that is not above 0.
        """
        if len(self.images) == 0 or len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images and {len(self.labels)} labels")
        if not self.devices or not self.rate_per_second > 0:
            raise ValueError(f"{len(self.devices)} devices, {self.rate_per_second} requests/s")

    @property
    def degrades_at_seconds(self) -> float:
        """When the bad cameras turn bad."""
        if self.degrade_at_seconds is not None:
            return self.degrade_at_seconds
        if self.duration_seconds is None:
            return ENDLESS_HALF_SECONDS
        return self.duration_seconds / 2

    def __iter__(self) -> Iterator[Event]:
        # The number between time and label keeps equal times in the order they were made.
        waiting: list[tuple[float, int, LabelEvent]] = []
        serial = count()
        for request in self._requests():
            while waiting and waiting[0][0] <= request.at_seconds:
                yield heapq.heappop(waiting)[2]
            yield request
            for label in labels_of(request, self.habits, self.rng):
                heapq.heappush(waiting, (label.at_seconds, next(serial), label))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _requests(self) -> Iterator[Request]:
        at = 0.0
        for index, row in enumerate(self._rows()):
            at += float(self.rng.exponential(1 / self.rate_per_second))
            if self.duration_seconds is not None and at >= self.duration_seconds:
                return
            device = self.devices[int(self.rng.integers(len(self.devices)))]
            degraded = device in self.degraded_devices and at >= self.degrades_at_seconds
            image = self.images[row]
            if degraded:
                image = degrade(image[None], self.strength, self.rng)[0]
            yield Request(at, index, row, image, int(self.labels[row]), device, degraded)

    def _rows(self) -> Iterator[int]:
        while True:
            yield from self.rng.permutation(len(self.images)).tolist()


def labels_of(
    request: Request, habits: LabelHabits, rng: np.random.Generator
) -> Iterator[LabelEvent]:
    """Draws what is said about one request, in no particular order; often one label, or none."""
    if rng.random() >= habits.labelled:
        return
    wrong = bool(rng.random() < habits.wrong)
    said = _other_class(request.true_class, rng) if wrong else request.true_class
    first = _label(request, said, CLICKS, CLICKS_RANK, habits.delay_seconds(rng))
    yield first
    if rng.random() < habits.repeated:
        again = first.at_seconds + habits.delay_seconds(rng)
        yield LabelEvent(again, request.index, said, CLICKS, CLICKS_RANK, first.time_offset)
    if wrong:
        later = first.time_offset + habits.delay_seconds(rng)
        yield _label(request, request.true_class, ANNOTATOR, ANNOTATOR_RANK, later)
    elif rng.random() < habits.retracted:
        later = first.time_offset + habits.delay_seconds(rng)
        yield _label(request, None, CLICKS, CLICKS_RANK, later)


def _label(
    request: Request, class_: int | None, source: str, rank: int, time_offset: float
) -> LabelEvent:
    """Returns a label that arrives at the moment it is decided."""
    at = request.at_seconds + time_offset
    return LabelEvent(at, request.index, class_, source, rank, time_offset)


def _other_class(true_class: int, rng: np.random.Generator) -> int:
    return (true_class + int(rng.integers(1, 10))) % 10
