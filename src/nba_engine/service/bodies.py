"""What comes in and goes out over HTTP. The structs decode, refuse and describe themselves; decisions and receipts are those of `records`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nba_engine.records import ActionExplanation, Decision

Moment = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with its zone."""


class DecideBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The arguments of `Engine.decide`: who is asked for, this interaction's facts, the channel (all compete without one), how many offers at most.

    A repeated `request_id` returns the same decision. `at` is RFC 3339 or epoch microseconds, the service's clock by default.
    """

    subject: str
    facts: dict[str, Any] | None = None
    channel: str | None = None
    limit: int = 1
    interaction: str | None = None
    request_id: str | None = None
    at: Moment | int | None = None


class OutcomeData(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of `Engine.record` that say what came back: which offer (`action` may be left out where the slate has one), a label and a
    reason of the catalog, money in `value`, who handled it. `at` is RFC 3339 or epoch microseconds, the service's clock by default.
    """

    decision_id: str
    label: str
    action: str | None = None
    treatment: str | None = None
    reason: str | None = None
    value: float | None = None
    agent: str | None = None
    at: Moment | int | None = None


class RecordBody(OutcomeData, forbid_unknown_fields=True):
    """An outcome with the id that makes a repeated delivery harmless."""

    event_id: str | None = None


class CloudEvent(msgspec.Struct):
    """A CloudEvents 1.0 event that carries one outcome; extension attributes are ignored. Source and id together are the outcome's event id,
    `time` is when it happened unless the data says so itself.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(pattern=r"^\S+$")]
    type: Literal["nba.outcome.v1"]
    time: Moment | None = None
    datacontenttype: str | None = None
    data: OutcomeData | None = None
    data_base64: bytes | None = None


class ExplanationBody(msgspec.Struct):
    """Every action of one decision: where it fell and why, or its terms and rank; the same as `Explanation.to_dict()`."""

    decision: Decision
    funnel: Mapping[str, int]
    actions: Sequence[ActionExplanation]


Row = Mapping[str, str | float | bool | None]
"""One row of a table; times are RFC 3339. Rates of nothing and bounds that are not known yet are null."""


class HealthBody(msgspec.Struct):
    """How the models do; the same as `Health.to_dict()`, whose fields docs/health.md explains."""

    actions: Sequence[Row]
    groups: Sequence[Row]
    comparisons: Sequence[Row]
    model: str
    challenger: str | None
    promoted_at: datetime | None
    crosses: Sequence[Row]


class PromoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """Who shall be in charge: the catalog's challenger, or with false its own model again. Sent twice it changes nothing more."""

    challenger: bool


class Promoted(msgspec.Struct):
    """The models in charge and in the shadow, as sections of a catalog, and since when the challenger is in charge."""

    model: str
    challenger: str | None
    promoted_at: datetime | None


class RefusedEvent(msgspec.Struct, omit_defaults=True):
    """One event of a batch that was not taken, by its place in the batch, from 0."""

    index: int
    id: str
    source: str
    status: int
    detail: str
    field: str | None = None


class Problem(msgspec.Struct, omit_defaults=True):
    """Why a request was refused (RFC 9457): what came, what is needed, what to do; `field` names the part of the request that is meant."""

    title: str
    status: int
    detail: str
    field: str | None = None
    refused: Sequence[RefusedEvent] = ()
