"""Looks at inference calls as they pass, and hands over what may be logged.

Everything here runs on the way of a request: it scans a head, makes an id, appends to a queue, and
does nothing that can wait. Whatever goes wrong here, the call goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import grpc

from leadline.gateway.core.identity import (
    ID_HEADER,
    LOG_HEADER,
    canonical,
    id_text,
    returned,
)
from leadline.gateway.core.observe import Declaration, Exchange, Missed
from leadline.gateway.core.scan import Parameter, RequestHead, ScanError, parameters, scan_request
from leadline.gateway.handover import Handover
from leadline.gateway.models import ModelSource
from leadline.gateway.observer import wants_input
from leadline.gateway.telemetry import Telemetry
from leadline.records.batches import UnobservedReason
from leadline.records.errors import UsageError
from leadline.records.ids import fresh_id, id_from_text
from leadline.runtime.clock import Clock

DECLARATIONS_MAX = 4096
"""Remembered declarations; names come from callers. Beyond it all are looked up anew."""

_log = logging.getLogger(__name__)

Pair = tuple[str, str | bytes]
Randomness = Callable[[int], bytes]


class Plan(NamedTuple):
    """What is known of a request before it is answered.

    Attributes:
        shown: the id as it goes back to the caller.
        logged: False: the caller asked not to be logged.
    """

    head: RequestHead
    declaration: Declaration
    identity: bytes
    text: str
    shown: str
    received_us: int
    logged: bool


class Tee:
    """See above.

    Args:
        models: declarations.
        handover: where answered requests go.
        telemetry: what is counted.
        clock: the time of requests and of fresh ids.
        randomness: n random bytes, for fresh ids.
    """

    def __init__(
        self,
        models: ModelSource,
        handover: Handover,
        telemetry: Telemetry,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._models = models
        self._handover = handover
        self._telemetry = telemetry
        self._clock = clock
        self._randomness = randomness
        self._declarations: dict[str, Declaration] = {}

    def plan(self, request: bytes, metadata: tuple[Pair, ...]) -> Plan | None:
        """Reads a request's head and decides its id; None: it cannot be logged."""
        try:
            return self._plan(request, metadata)
        except (ScanError, UsageError):
            return None
        except Exception:
            _log.exception("a request could not be read for the log; it is passed on")
            self._telemetry.failures.inc()
            return None

    def _plan(self, request: bytes, metadata: tuple[Pair, ...]) -> Plan:
        head = scan_request(request)
        declaration = self._declaration(head.model)
        named = {key: value for key, value in metadata if isinstance(value, str)}
        found: dict[str, Parameter] = {}
        id_from = declaration.spec.id_from
        if head.parameters and id_from.startswith("parameter:"):
            found = parameters([request[start:stop] for start, stop in head.parameters])
        now = self._clock.now_us()
        logged = named.get(LOG_HEADER, "").lower() != "off"
        if text := id_text(id_from, head.id, found, named):
            return Plan(head, declaration, id_from_text(text), text, returned(text), now, logged)
        identity = fresh_id(now // 1000, self._randomness(10))
        return Plan(head, declaration, identity, "", canonical(identity), now, logged)

    def _declaration(self, model: str) -> Declaration:
        spec = self._models.get(model)
        known = self._declarations.get(model)
        if known is not None and (known.spec is spec or (spec is None and not known.declared)):
            return known
        if len(self._declarations) >= DECLARATIONS_MAX:
            self._declarations.clear()
        fresh = Declaration.of(model, spec)
        self._declarations[model] = fresh
        return fresh

    def answered(self, plan: Plan | None, request: bytes, answer: bytes) -> tuple[Pair, ...]:
        """Hands an answered request over; returns the metadata that tells the caller its id."""
        if plan is None:
            return ()
        head, declaration = plan.head, plan.declaration
        if not plan.logged:
            self._miss(declaration, UnobservedReason.OPTED_OUT)
            return ()
        exchange = Exchange(
            declaration=declaration,
            identity=plan.identity,
            id_text=plan.text,
            received_us=plan.received_us,
            parameters=tuple([request[start:stop] for start, stop in head.parameters]),
            requested=tuple([request[start:stop] for start, stop in head.outputs]),
            request=request if wants_input(declaration.spec.input.form) else None,
            answer=answer,
        )
        if not self._handover.offer(exchange):
            self._miss(declaration, UnobservedReason.QUEUE_FULL)
        return ((ID_HEADER, plan.shown),)

    def refused(self, plan: Plan | None, code: grpc.StatusCode) -> None:
        """Counts a request that the inference server did not answer."""
        model, version = (plan.head.model, plan.head.version) if plan else ("", "")
        self._telemetry.refused(model, version, code.name)

    def streamed(self, request: bytes) -> None:
        """Counts a request of a stream, which passes unread."""
        try:
            declaration = self._declaration(scan_request(request).model)
        except (ScanError, UsageError):
            return
        self._miss(declaration, UnobservedReason.STREAM)

    def added(self, seconds: float) -> None:
        """Notes the time that the gateway's own work took."""
        self._telemetry.added.observe(seconds)

    def _miss(self, declaration: Declaration, reason: UnobservedReason) -> None:
        self._handover.miss(Missed(declaration, "", reason, 1, ""))
