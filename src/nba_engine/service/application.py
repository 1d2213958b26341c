"""The ASGI application: finds the route, reads the body, calls the engine, encodes the answer.

`decide` runs on the event loop: it takes a fraction of a millisecond and waits for nothing, unless it must look up stored profiles. What may wait
for a disk (`record`, `explain`, `advance`) or takes long (`warm`) runs in threads, so that answers that wait share a commit.
Routing is a dictionary: what a framework adds per request is more than all of this file does (docs/decisions/0010-http-stack.md).
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

from nba_engine.engine import Engine
from nba_engine.errors import NbaError
from nba_engine.records import Decision, Receipt
from nba_engine.service import events, problems
from nba_engine.service.bodies import CloudEvent, DecideBody, ExplanationBody, Problem, RecordBody, RefusedEvent
from nba_engine.service.describing import PROBLEM, describe
from nba_engine.service.problems import Refusal
from nba_engine.service.routes import BODY_BYTES_MAX, ROUTES, Route

ADVANCE_INTERVAL_S = 1.0
"""How often time-outs are applied."""
THREADS_MAX = 16
"""Answers that may wait for the disk at once; they share its commits."""

T = TypeVar("T")
Headers = Sequence[tuple[bytes, bytes]]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_DECIDE, _RECORD = msgspec.json.Decoder(DecideBody), msgspec.json.Decoder(RecordBody)


class Call(NamedTuple):
    """One request: its headers, the last part of its path, and where its body comes from."""

    headers: Mapping[bytes, bytes]
    last: str
    receive: Receive


class Reply(NamedTuple):
    """One answer."""

    status: int
    media_type: str
    body: bytes
    headers: Headers = ()


class Application:
    """One engine over HTTP. With a token, all but `/live` and `/ready` ask for it; `decide_may_wait` where the engine's profiles are in a file."""

    def __init__(self, engine: Engine, *, token: str | None = None, decide_may_wait: bool = False) -> None:
        self._engine = engine
        self._token = None if token is None else token.encode()
        self._decide_may_wait = decide_may_wait
        self._threads = ThreadPoolExecutor(THREADS_MAX, "nba-serve")
        self._ready = False
        self._description = describe(secured=token is not None)
        answers: dict[str, Callable[[Call], Awaitable[Any]]] = {
            "decide": self._decide, "record": self._record, "outcomes": self._outcomes, "explain": self._explain,
            "live": self._say_live, "ready": self._say_ready, "openapi": self._say_openapi,
        }  # fmt: skip
        self._routes = {route.path.partition("{")[0]: (route, answers[route.name]) for route in ROUTES}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        status, media_type, body, more = await self._replied(scope, receive)
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end; what is under way in threads is finished."""
        await receive()
        clock = asyncio.create_task(self._keep_time())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        clock.cancel()
        with suppress(asyncio.CancelledError):
            await clock
        await asyncio.to_thread(self._threads.shutdown)
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep_time(self) -> None:
        """Make ready, then apply time-outs for as long as the service lives."""
        try:
            await self._in_thread(self._engine.warm)
        except Exception:
            _log.exception("kernels could not be compiled; the service stays not ready")
            return
        while True:
            try:
                await self._in_thread(self._engine.advance)
            except NbaError as error:
                _log.warning("time-outs are late, tried again in %s s: %s", ADVANCE_INTERVAL_S, error)
            except Exception:
                _log.exception("time-outs are late, tried again in %s s", ADVANCE_INTERVAL_S)
            if not self._ready:
                # What the start made lives as long as the process: a full collection no longer walks it (19 ms instead of 100, 1,000 actions).
                gc.collect()
                gc.freeze()
                self._ready = True
            await asyncio.sleep(ADVANCE_INTERVAL_S)

    async def _replied(self, scope: Mapping[str, Any], receive: Receive) -> Reply:
        try:
            headers = dict(scope["headers"])
            route, answer, last = self._found(scope["method"], scope["path"], headers)
            if not self._ready and not route.open:
                raise _not_ready()
            return Reply(200, events.JSON, _encode(await answer(Call(headers, last, receive))))
        except NbaError as error:
            problem, more = problems.problem_of(error), problems.headers_of(error)
        except RecursionError:
            problem, more = problems.problem_of(Refusal(400, "the facts are nested too deeply; send them flatter", "facts")), ()
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            problem, more = Problem("Internal Server Error", 500, "the service failed; its log says why"), ()
        return Reply(problem.status, PROBLEM, _encode(problem), more)

    def _found(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> tuple[Route, Callable[[Call], Awaitable[Any]], str]:
        last = ""
        found = self._routes.get(path)
        if found is None or path.endswith("/"):
            head, slash, last = path.rpartition("/")
            found = self._routes.get(head + slash) if last else None
        if self._token is not None and (found is None or not found[0].open):
            self._require_token(headers)
        if found is None:
            raise Refusal(404, f"there is no path {path}; GET /openapi.json describes those there are")
        wanted = found[0].method
        if method != wanted and not (method == "HEAD" and wanted == "GET"):
            raise Refusal(405, f"{path} came with {method}; use {wanted}", headers=[(b"allow", wanted.encode())])
        return *found, last

    def _require_token(self, headers: Mapping[bytes, bytes]) -> None:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        assert self._token is not None
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Refusal(401, "this service asks for its token; send the header `Authorization: Bearer` and the token", "authorization",
                          headers=[(b"www-authenticate", b"Bearer")])

    async def _decide(self, call: Call) -> Decision:
        asked = problems.decoded(_DECIDE, await _json_body(call))
        return await self._in_thread(lambda: self._decided(asked)) if self._decide_may_wait else self._decided(asked)

    def _decided(self, asked: DecideBody) -> Decision:
        return self._engine.decide(asked.subject, facts=asked.facts, channel=asked.channel, limit=asked.limit, interaction=asked.interaction,
                                   request_id=asked.request_id, at=asked.at)

    async def _record(self, call: Call) -> Receipt:
        told = problems.decoded(_RECORD, await _json_body(call))
        return await self._in_thread(lambda: self._engine.record(**msgspec.structs.asdict(told)))

    async def _outcomes(self, call: Call) -> Receipt | list[Receipt]:
        media_type = _media_type(call)
        came = events.read(media_type, call.headers, await _body(call))
        if isinstance(came, CloudEvent):
            given = events.arguments(came)
            return await self._in_thread(lambda: self._engine.record(**given))
        return await self._in_thread(lambda: self._record_batch(came, [events.arguments(event) for event in came]))

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

    async def _explain(self, call: Call) -> msgspec.Raw:
        def explained() -> msgspec.Raw:
            explanation = self._engine.explain(call.last)
            return msgspec.Raw(_encode(ExplanationBody(explanation.decision, explanation.decision.funnel, explanation.actions)))

        return await self._in_thread(explained)

    async def _say_live(self, call: Call) -> dict[str, bool]:
        return {"live": True}

    async def _say_ready(self, call: Call) -> dict[str, bool]:
        if not self._ready:
            raise _not_ready()
        return {"ready": True}

    async def _say_openapi(self, call: Call) -> dict[str, Any]:
        return self._description

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _media_type(call: Call) -> str:
    return events.media_type_of(call.headers.get(b"content-type", b"").decode("latin-1"))


async def _json_body(call: Call) -> bytes:
    if call.headers.get(b"content-type") != b"application/json" and not events.is_json(media_type := _media_type(call)):
        raise Refusal(415, f"came {media_type or 'no content type'}; send {events.JSON}", "content-type")
    return await _body(call)


async def _body(call: Call) -> bytes:
    """The whole body; refused as soon as it is known to be too long, or where the client went away before its end."""
    if int(call.headers.get(b"content-length", b"0")) > BODY_BYTES_MAX:
        raise _too_long()
    message = await call.receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await call.receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise _too_long()
    if message["type"] != "http.request":
        raise Refusal(400, "the connection was closed before the whole body had come")
    return body


def _too_long() -> Refusal:
    return Refusal(413, f"the body is longer than {BODY_BYTES_MAX} bytes; send less at once")


def _not_ready() -> Refusal:
    return Refusal(503, "kernels are being compiled or loaded; ask GET /ready and come back when it answers 200", headers=[(b"retry-after", b"1")])
