"""What an HTTP stack costs per request before anything is decided: `python -m benchmarks.http_stacks`, for docs/decisions 0010 and 0016.

Every stack decodes the same request of 40 facts into a struct and encodes the same decision of three offers; nothing is decided. Each is a process
of its own on loopback, the stacks take turns. CPU is that of the server's processes per request; rates depend on who else uses the machine.
A stack that is not installed is left out: pip install starlette falcon blacksheep granian.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop

from benchmarks.bench_http import Load, closed_loop, cpu_and_wait_us, decide_requests
from nba_engine.records import Decision, Offer
from nba_engine.service.bodies import DecideBody

N_ROUNDS, SECONDS = 7, 0.5
HEADERS = [(b"content-type", b"application/json")]
_decoder, _encode = msgspec.json.Decoder(DecideBody), msgspec.json.Encoder().encode


def answer(body: bytes) -> bytes:
    """A request in, a decision out, nothing decided."""
    asked = _decoder.decode(body)
    offers = tuple(Offer(f"action-{i}", None, "call", i + 1, 0.123456789, 7.0, 1.0, 1.0, 0.0, 0.87654, 0.234567) for i in range(3))
    funnel = {"actions": 1_000, "available": 1_000, "eligibility": 200, "contact": 200, "value": 200, "offered": 3}
    return _encode(Decision("5a2f-1", None, "#1", asked.subject, "call", datetime.now(timezone.utc), offers, 0.01, funnel, None, "1", 0))


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI callable and nothing else."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    out = answer(body)
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, (b"content-length", str(len(out)).encode())]})
    await send({"type": "http.response.body", "body": out})


async def rsgi(scope: Any, protocol: Any) -> None:
    """The same for granian's own protocol."""
    protocol.response_bytes(200, [("content-type", "application/json")], answer(await protocol()))


class Bare(asyncio.Protocol):
    """A protocol on httptools' parser, good for these requests alone: what is left when there is no server around (docs/decisions 0016)."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.parser, self.body = transport, httptools.HttpRequestParser(self), b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        out, self.body = answer(self.body), b""
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(out), out))


async def serve_bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    await server.serve_forever()


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def decide(request: Any) -> Any:
        return Response(answer(await request.body()), media_type="application/json")

    return Starlette(routes=[Route("/v1/record", decide, methods=["POST"]), Route("/v1/decide", decide, methods=["POST"])])


def falcon() -> Any:
    from falcon.asgi import App

    class Decide:
        async def on_post(self, request: Any, response: Any) -> None:
            response.data, response.content_type = answer(await request.stream.read()), "application/json"

    app = App()
    app.add_route("/v1/decide", Decide())
    return app


def blacksheep() -> Any:
    from blacksheep import Application, Content, Response

    app = Application()

    @app.router.post("/v1/decide")
    async def decide(request: Any) -> Any:
        return Response(200, content=Content(b"application/json", answer(await request.read())))

    return app


def _uvicorn(app: str, *options: str) -> list[str]:
    return ["uvicorn", f"benchmarks.http_stacks:{app}", "--port", "PORT", "--no-access-log", "--log-level", "warning", *options]


def _granian(app: str, interface: str) -> list[str]:
    return ["granian", f"benchmarks.http_stacks:{app}", "--port", "PORT", "--interface", interface, "--log-level", "error"]


FAST = ("--loop", "uvloop", "--http", "httptools")
STACKS = {
    "uvloop and httptools, no server": ("uvloop", ["benchmarks.http_stacks", "PORT"]),
    "uvicorn (uvloop, httptools), bare ASGI": ("uvicorn", _uvicorn("bare", *FAST)),
    "the same on asyncio's own loop": ("uvicorn", _uvicorn("bare", "--loop", "asyncio", "--http", "httptools")),
    "the same with h11": ("uvicorn", _uvicorn("bare", "--loop", "uvloop", "--http", "h11")),
    "uvicorn, Starlette": ("starlette", _uvicorn("starlette", *FAST, "--factory")),
    "uvicorn, Falcon": ("falcon", _uvicorn("falcon", *FAST, "--factory")),
    "uvicorn, BlackSheep": ("blacksheep", _uvicorn("blacksheep_once", *FAST, "--factory")),
    "granian, bare RSGI": ("granian", _granian("rsgi", "rsgi")),
    "granian, bare ASGI": ("granian", _granian("bare", "asgi")),
}
blacksheep_once = functools.cache(blacksheep)  # its routes may be registered once only, and the server calls the factory twice


@contextmanager
def running(command: list[str]) -> Iterator[tuple[int, int]]:
    """Port and process id of a stack that answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", *(str(port) if word == "PORT" else word for word in command)], cwd=Path(__file__).parents[1])
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def sample(port: int, pid: int, requests: list[bytes]) -> tuple[Load, float]:
    """A load, and the CPU of one request."""
    before, _ = cpu_and_wait_us(pid)
    load = closed_loop(port, requests, SECONDS)
    return load, (cpu_and_wait_us(pid)[0] - before) / load.n


def main() -> int:
    requests = decide_requests()
    stacks = {name: stack for name, stack in STACKS.items() if importlib.util.find_spec(stack[0])}
    found: dict[str, list[tuple[Load, float]]] = {name: [] for name in stacks}
    with ExitStack() as all_of_them:
        served = {name: all_of_them.enter_context(running(command)) for name, (_, command) in stacks.items()}
        for turn in range(N_ROUNDS + 1):
            for name, (port, pid) in served.items():
                got = sample(port, pid, requests)
                if turn:  # the first turn warms
                    found[name].append(got)
    for name, samples in found.items():
        load = statistics.median(load.per_s for load, _ in samples)
        cpu = sorted(cpu for _, cpu in samples)
        print(f"{name:40} {cpu[0]:4.0f} us CPU a request at least, {cpu[len(cpu) // 2]:4.0f} in the median, {load:6.0f}/s, "
              f"{os.cpu_count()} cores shared with the client")
    return 0


if __name__ == "__main__":
    if sys.argv[1:]:
        uvloop.run(serve_bare(int(sys.argv[1])))
    else:
        sys.exit(main())
