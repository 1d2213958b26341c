"""A client of the service for tests: plain http.client, one connection a call; and a server in a thread of this process."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nba_engine.service import serving
from nba_engine.service.application import Application

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    port: int
    token: str | None = None

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """`body`: bytes as they are, an iterator of bytes in chunks, anything else as JSON."""
        told = dict(JSON if body is not None and headers is None else headers or {})
        if self.token is not None:
            told["authorization"] = f"Bearer {self.token}"
        sent = body if body is None or isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, sent, told, encode_chunked=isinstance(sent, Iterator))
            came = connection.getresponse()
            return Answer(came.status, {name.lower(): value for name, value in came.getheaders()}, came.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("POST", path, body, headers or None)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def decide(self, subject: str = "anna", **arguments: Any) -> Any:
        """A decision that must be made."""
        answer = self.post("/v1/decide", {"subject": subject, **arguments})
        assert answer.status == 200, answer.body
        return answer.json

    def wait_until_ready(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while (answer := self.get("/ready")).status == 503 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (answer.status, answer.json) == (200, {"ready": True})


@contextmanager
def running(application: Application, token: str | None = None, ready: bool = True) -> Iterator[Client]:
    """A client of `application`, served on a free port until the block ends."""
    listener = serving.listener("127.0.0.1", 0, None)
    client, server = Client(listener.getsockname()[1], token), serving.server(application)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        if ready:
            client.wait_until_ready()
        yield client
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
    assert not thread.is_alive()


def raw(port: int, sent: bytes, hangs_up: bool = False) -> bytes:
    """What comes back for bytes that no client library would send, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        if hangs_up:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))
