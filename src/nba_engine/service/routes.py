"""Every path of the service: what it takes, what it gives, how it refuses. The application answers by this table and OpenAPI is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nba_engine.records import Decision, Receipt
from nba_engine.service.bodies import CloudEvent, DecideBody, ExplanationBody, HealthBody, OutcomeData, Promoted, PromoteBody, RecordBody
from nba_engine.service.events import ATTRIBUTES, BATCH, EVENT, JSON

BODY_BYTES_MAX = 1_048_576
"""Longer bodies are refused: a request of 40 facts has some 1,000 bytes, a batch of 3,000 events fits."""


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is the operation's; `takes` is the type of the body by media type; `refuses` are the statuses besides those of every route."""

    method: str
    path: str
    name: str
    summary: str
    gives: Any
    takes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    refuses: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    open: bool = False
    """Whether it is answered without a token."""


_READING = (400, 413, 415, 422, 503)

ROUTES = (
    Route("POST", "/v1/decide", "decide", "The next best actions for one subject now.", Decision, {JSON: DecideBody}, (*_READING, 409)),
    Route("POST", "/v1/record", "record", "Tell what came back for an offer.", Receipt, {JSON: RecordBody}, (*_READING, 404)),
    Route("POST", "/v1/outcomes", "outcomes", "Tell what came back, as CloudEvents 1.0: structured, batch or binary mode.", Receipt | list[Receipt],
          {EVENT: CloudEvent, BATCH: list[CloudEvent], JSON: OutcomeData}, (*_READING, 404), tuple(f"ce-{name}" for name in ATTRIBUTES)),
    Route("GET", "/v1/explain/{decision_id}", "explain", "Every action of a decision: where it fell and why, or its terms and rank.",
          ExplanationBody, refuses=(404, 503)),
    Route("GET", "/v1/health", "health", "How the models do: answers beside predictions, alarms, groups.", HealthBody, refuses=(503,)),
    Route("POST", "/v1/promote", "promote", "Put the catalog's challenger in charge, or its model again.", Promoted, {JSON: PromoteBody}, _READING),
    Route("GET", "/live", "live", "The process answers.", dict[str, bool], open=True),
    Route("GET", "/ready", "ready", "Kernels are compiled and time-outs caught up: it decides.", dict[str, bool], refuses=(503,), open=True),
    Route("GET", "/openapi.json", "openapi", "This description.", dict[str, Any], refuses=(503,)),
)  # fmt: skip
