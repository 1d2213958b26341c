"""The application behind ASGI, as uvicorn calls it: heads, bodies, threads, start and end. What is asked and answered stands in `application`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nba_engine.service.application import Application, Reply, refused, too_long
from nba_engine.service.problems import Refusal
from nba_engine.service.routes import BODY_BYTES_MAX

THREADS_MAX = 16
"""Answers that may wait for the disk at once; they share its commits."""

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Asgi:
    """An ASGI callable that lets `application` answer: on the event loop what waits for nothing, in threads what may wait."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(THREADS_MAX, "nba-serve")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        reply = await self._replied(scope, receive)
        headers = [(b"content-type", reply.media_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end; what is under way in threads is finished."""
        await receive()
        self._application.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._application.stop)
        await asyncio.to_thread(self._threads.shutdown)
        await send({"type": "lifespan.shutdown.complete"})

    async def _replied(self, scope: Mapping[str, Any], receive: Receive) -> Reply:
        call = self._application.admit(scope["method"], scope["path"], dict(scope["headers"]))
        if isinstance(call, Reply):
            return call
        body = await _body(receive)
        if isinstance(body, Reply):
            return body
        call.body = body
        if not call.may_wait:
            return self._application.answer(call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._application.answer, call)


async def _body(receive: Receive) -> bytes | Reply:
    """The whole body; refused as soon as it is too long, or where the client went away before its end."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return refused(too_long())
    if message["type"] != "http.request":
        return refused(Refusal(400, "the connection was closed before the whole body had come"))
    return body
