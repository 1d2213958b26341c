"""Refusals: what the service or the engine will not take, as a status and a problem body that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec

from nba_engine.errors import FactsError, NbaError, OutcomeError, RequestError, StoreError, UnknownDecisionError
from nba_engine.service.bodies import Problem, RefusedEvent

T = TypeVar("T")

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_NAME = re.compile(r"field `([^`]*)`")


class Refusal(NbaError):
    """The service refuses a request before the engine sees it; `status` as HTTP numbers it, `field` the part that is meant."""

    def __init__(
        self, status: int, detail: str, field: str | None = None, *,
        headers: Sequence[tuple[bytes, bytes]] = (), refused: Sequence[RefusedEvent] = (),
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.field = field
        self.headers = headers
        self.refused = refused


def problem_of(error: NbaError) -> Problem:
    """The problem body of whatever the engine or the service refuses."""
    status, field = _status_and_field(error)
    refused = error.refused if isinstance(error, Refusal) else ()
    return Problem(HTTPStatus(status).phrase, status, str(error), field, refused)


def headers_of(error: NbaError) -> Sequence[tuple[bytes, bytes]]:
    """What the answer says besides its body."""
    if isinstance(error, Refusal):
        return error.headers
    return [(b"retry-after", b"1")] if isinstance(error, StoreError) else ()


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body as its struct; a Refusal that names the field where it does not fit."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON ({error}); send one JSON text in UTF-8, as GET /openapi.json describes it") from None


def misfit(error: msgspec.ValidationError) -> Refusal:
    """JSON that does not fit its struct, with the field that is at fault."""
    text = str(error)
    found = [match[1] for match in (_PLACE.search(text), _NAME.search(text)) if match]
    return Refusal(400, f"{text}; send the fields that GET /openapi.json describes", ".".join(filter(None, found)) or None)


def _status_and_field(error: NbaError) -> tuple[int, str | None]:
    match error:
        case Refusal():
            return error.status, error.field
        case UnknownDecisionError():
            return 404, "decision_id"
        case RequestError(argument="request_id"):
            return 409, "request_id"
        case RequestError() | OutcomeError():
            return 422, error.argument
        case FactsError():
            return 422, f"facts.{error.fact}" if error.fact else "facts"
        case StoreError():
            return 503, None
        case _:
            return 500, None
