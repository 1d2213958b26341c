"""The application: finds the route, reads the body, calls the engine, encodes the answer. It knows no sockets.

A request is taken in two steps, so that nobody's body is read for a request that will be refused: `admit` reads the head, `answer` what came whole.
`decide` takes a fraction of a millisecond and waits for nothing, unless it must look up stored profiles; what may wait for a disk says so by
`Call.may_wait`. Routing is a dictionary: a framework would add more per request than all of this file (docs/decisions/0010-http-stack.md).
"""

from __future__ import annotations

import gc
import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from nba_engine.engine import Engine
from nba_engine.errors import NbaError
from nba_engine.records import Decision, Receipt
from nba_engine.service import events, problems
from nba_engine.service.bodies import (
    CloudEvent,
    DecideBody,
    ExplanationBody,
    HealthBody,
    Problem,
    Promoted,
    PromoteBody,
    RecordBody,
    RefusedEvent,
)
from nba_engine.service.describing import PROBLEM, describe
from nba_engine.service.problems import Refusal
from nba_engine.service.routes import BODY_BYTES_MAX, ROUTES, Route

ADVANCE_INTERVAL_S = 1.0
"""How often time-outs are applied."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_DECIDE, _RECORD, _PROMOTE = msgspec.json.Decoder(DecideBody), msgspec.json.Decoder(RecordBody), msgspec.json.Decoder(PromoteBody)
_JSON, _PROBLEM = events.JSON.encode(), PROBLEM.encode()


class Call(msgspec.Struct):
    """A request whose head is in order: what answers it, its headers, the last part of its path, and its body once that has come."""

    route: Route
    work: Callable[[Call], Any]
    headers: Mapping[bytes, bytes]
    last: str
    may_wait: bool
    body: bytes = b""


class Reply(msgspec.Struct):
    """One answer."""

    status: int
    media_type: bytes
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


class Application:
    """One engine over HTTP. With a token, all but `/live` and `/ready` ask for it; `decide_may_wait` where the engine's profiles are in a file."""

    def __init__(self, engine: Engine, *, token: str | None = None, decide_may_wait: bool = False) -> None:
        self._engine = engine
        self._token = None if token is None else token.encode()
        self._ready = False
        self._description = describe(secured=token is not None)
        answers: dict[str, Callable[[Call], Any]] = {
            "decide": self._decide, "record": self._record, "outcomes": self._outcomes, "explain": self._explain,
            "health": self._health, "promote": self._promote, "live": self._say_live, "ready": self._say_ready, "openapi": self._say_openapi,
        }  # fmt: skip
        may_wait = {"record", "outcomes", "explain", "health", "promote", *(["decide"] if decide_may_wait else [])}
        self._routes = {route.path.partition("{")[0]: (route, answers[route.name], route.name in may_wait) for route in ROUTES}
        self._promoting = threading.Lock()
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._keep_time, name="nba-clock", daemon=True)  # a server that is made to end does not call stop

    def start(self) -> None:
        """Make ready, then apply time-outs, both in a thread."""
        self._clock.start()

    def stop(self) -> None:
        """End that thread, once what it is doing is done."""
        self._stopped.set()
        self._clock.join()

    def admit(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Call | Reply:
        """A request's head, names in small letters: the call to be answered, or the refusal."""
        try:
            found = self._found(method, path, headers)
            if not self._ready and not found.route.open:
                raise _not_ready()
            if int(headers.get(b"content-length", b"0")) > BODY_BYTES_MAX:
                raise too_long()
            return found
        except NbaError as error:
            return refused(error)

    def answer(self, call: Call) -> Reply:
        """What the engine says, or the refusal."""
        try:
            return Reply(200, _JSON, _encode(call.work(call)))
        except NbaError as error:
            return refused(error)
        except RecursionError:
            return refused(Refusal(400, "the facts are nested too deeply; send them flatter", "facts"))
        except Exception:
            _log.exception("%s %s failed", call.route.method, call.route.path)
            return Reply(500, _PROBLEM, _encode(Problem("Internal Server Error", 500, "the service failed; its log says why")))

    def _keep_time(self) -> None:
        try:
            self._engine.warm()
        except Exception:
            _log.exception("kernels could not be compiled; the service stays not ready")
            return
        while not self._stopped.is_set():
            try:
                self._engine.advance()
            except NbaError as error:
                _log.warning("time-outs are late, tried again in %s s: %s", ADVANCE_INTERVAL_S, error)
            except Exception:
                _log.exception("time-outs are late, tried again in %s s", ADVANCE_INTERVAL_S)
            else:
                if not self._ready:
                    # What the start made lives as long as the process: a full collection no longer walks it (19 ms instead of 100, 1,000 actions).
                    gc.collect()
                    gc.freeze()
                    self._ready = True
            self._stopped.wait(ADVANCE_INTERVAL_S)

    def _found(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Call:
        last = ""
        found = self._routes.get(path)
        if found is None or path.endswith("/"):
            head, slash, last = path.rpartition("/")
            found = self._routes.get(head + slash) if last else None
        if self._token is not None and (found is None or not found[0].open):
            self._require_token(headers)
        if found is None:
            raise Refusal(404, f"there is no path {path}; GET /openapi.json describes those there are")
        route, work, may_wait = found
        if method != route.method and not (method == "HEAD" and route.method == "GET"):
            raise Refusal(405, f"{path} came with {method}; use {route.method}", headers=[(b"allow", route.method.encode())])
        return Call(route, work, headers, last, may_wait)

    def _require_token(self, headers: Mapping[bytes, bytes]) -> None:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        assert self._token is not None
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Refusal(401, "this service asks for its token; send the header `Authorization: Bearer` and the token", "authorization",
                          headers=[(b"www-authenticate", b"Bearer")])

    def _decide(self, call: Call) -> Decision:
        asked = problems.decoded(_DECIDE, _json_body(call))
        return self._engine.decide(asked.subject, facts=asked.facts, channel=asked.channel, limit=asked.limit, interaction=asked.interaction,
                                   request_id=asked.request_id, at=asked.at)

    def _record(self, call: Call) -> Receipt:
        return self._engine.record(**msgspec.structs.asdict(problems.decoded(_RECORD, _json_body(call))))

    def _outcomes(self, call: Call) -> Receipt | list[Receipt]:
        came = events.read(_media_type(call), call.headers, call.body)
        if isinstance(came, CloudEvent):
            return self._engine.record(**events.arguments(came))
        return self._record_batch(came, [events.arguments(event) for event in came])

    def _record_batch(self, batch: list[CloudEvent], given: list[dict[str, Any]]) -> list[Receipt]:
        """One after the other, as they came; those that can be taken are taken, and the refusal names the others."""
        receipts: list[Receipt] = []
        refused: list[RefusedEvent] = []
        for index, (event, arguments) in enumerate(zip(batch, given, strict=True)):
            try:
                receipts.append(self._engine.record(**arguments))
            except NbaError as error:
                problem = problems.problem_of(error)
                refused.append(RefusedEvent(index, event.id, event.source, problem.status, problem.detail, problem.field))
        if refused:
            raise Refusal(max(event.status for event in refused),
                          f"{len(refused)} of {len(batch)} events were refused, the others were taken; mend those named under `refused`, or send all "
                          "again later: what was taken counts once", refused=refused)
        return receipts

    def _explain(self, call: Call) -> ExplanationBody:
        explanation = self._engine.explain(call.last)
        return ExplanationBody(explanation.decision, explanation.decision.funnel, explanation.actions)

    def _health(self, call: Call) -> HealthBody:
        return HealthBody(**self._engine.health().to_dict())

    def _promote(self, call: Call) -> Promoted:
        """`Engine.promote` swaps, so that a request sent again would undo itself; this says who shall be in charge."""
        asked = problems.decoded(_PROMOTE, _json_body(call))
        with self._promoting:
            if (self._engine.health().promoted_at is not None) != asked.challenger:
                self._engine.promote()
            health = self._engine.health()
        return Promoted(health.model, health.challenger, health.promoted_at)

    def _say_live(self, call: Call) -> dict[str, bool]:
        return {"live": True}

    def _say_ready(self, call: Call) -> dict[str, bool]:
        if not self._ready:
            raise _not_ready()
        return {"ready": True}

    def _say_openapi(self, call: Call) -> dict[str, Any]:
        return self._description


def refused(error: NbaError) -> Reply:
    """The answer to what is refused."""
    problem = problems.problem_of(error)
    return Reply(problem.status, _PROBLEM, _encode(problem), problems.headers_of(error))


def too_long() -> Refusal:
    return Refusal(413, f"the body is longer than {BODY_BYTES_MAX} bytes; send less at once")


def _media_type(call: Call) -> str:
    return events.media_type_of(call.headers.get(b"content-type", b"").decode("latin-1"))


def _json_body(call: Call) -> bytes:
    if call.headers.get(b"content-type") != b"application/json" and not events.is_json(media_type := _media_type(call)):
        raise Refusal(415, f"came {media_type or 'no content type'}; send {events.JSON}", "content-type")
    return call.body


def _not_ready() -> Refusal:
    return Refusal(503, "kernels are being compiled or loaded, or overdue time-outs could not be applied yet; ask GET /ready and come back when it "
                   "answers 200", headers=[(b"retry-after", b"1")])
