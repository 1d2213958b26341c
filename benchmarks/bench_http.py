"""One worker of `nba serve` on loopback: decisions per second, and p50 and p99 at 1,000 a second; 1,000 actions, 40 facts, slate of 3, a store.

The server is a process of its own, started through the command line; the client is one thread with keep-alive connections and no pipelining.
`closed loop`: every connection asks again as soon as it is answered; what that gives is the most one worker does. `open loop`: requests fall due at a
fixed rate whatever the server does, and a request's time runs from when it was due, so that a server that stalls is charged for all who waited.
One request in ten of the mixed load records an answer (sync "os"), which waits for the store.

Beside it `GET /live`, the same stack with nothing to decide: the difference is JSON and the decision, and its rate is what this client can ask at
most. Processor time per request is that of the server's process and of the client's; `waited` is how long the server's threads were ready to run and
had no core, which is the rest of the machine's doing. Where it loses: a decision holds the
interpreter, so that one process decides on one core however many connections there are; and client and server share the machine, so that on two
cores each takes time from the other. Somebody who decides in process (bench_decide) pays none of it.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import world

N_ACTIONS, N_CONNECTIONS, N_OPEN, RATE = 1_000, 8, 32, 1_000
READY_S_MAX = 300
LIVE = b"GET /live HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second and their times in milliseconds, from when they were due (open loop) or sent (closed loop)."""

    n: int
    per_s: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.per_s:6.0f}/s  p50 {self.p50_ms:5.2f} ms  p99 {self.p99_ms:5.2f} ms"


@dataclass(slots=True, eq=False)
class Connection:
    """One keep-alive connection with one request under way at most."""

    port: int
    sock: socket.socket = field(init=False)
    came: bytes = b""

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, request: bytes) -> None:
        self.came = b""
        self.sock.sendall(request)

    def close(self) -> None:
        self.sock.close()

    def received(self) -> bytes | None:
        """The body once it is whole."""
        self.came += self.sock.recv(65536)
        head, separator, body = self.came.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return None
        assert head.startswith(b"HTTP/1.1 200"), self.came
        return body


@contextmanager
def served(n_actions: int = N_ACTIONS) -> Iterator[tuple[int, int]]:
    """Port and process id of `nba serve` with a fresh store, once it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder) / "catalog.json"
        catalog.write_bytes(msgspec.json.encode(world.make(n_actions).catalog))
        command = [sys.executable, "-c", "from nba_engine.cli import main; main()", "serve", str(catalog),
                   "--store", f"{folder}/store", "--port", "0", "--sync", "os"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "NBA_TOKEN": ""}) as process:
            try:
                port = int(next(iter(process.stdout or ())).split()[0].rpartition(":")[2])
                _wait_until_ready(port)
                yield port, process.pid
            finally:
                process.terminate()
                assert process.wait(60) == 0


def decide_requests() -> list[bytes]:
    """200 customers, times as RFC 3339."""
    return [_post("/v1/decide", {"subject": f"subject-{k}", "channel": "call", "limit": 3, "facts": world.facts_of(customer), "at": world.AT})
            for k, customer in enumerate(world.customers(200))]


def closed_loop(port: int, requests: list[bytes], seconds: float, n_connections: int = N_CONNECTIONS) -> Load:
    """As many requests as `n_connections` get answered."""
    asked, times = itertools.cycle(requests), list[float]()
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(Connection(port))) for _ in range(n_connections)]
        started = time.perf_counter()
        sent = dict.fromkeys(connections, started)
        for connection in connections:
            connection.send(next(asked))
        while (now := time.perf_counter()) < started + seconds:
            for connection in select.select(connections, [], [], 1)[0]:
                if connection.received() is not None:
                    now = time.perf_counter()
                    times.append(now - sent[connection])
                    connection.send(next(asked))
                    sent[connection] = now
    return _load(times, now - started)


def open_loop(port: int, requests: list[bytes], seconds: float, rate: int = RATE, record_every: int = 0) -> tuple[Load, Load]:
    """Loads of decisions and of recorded answers, `rate` requests a second in all."""
    asked, waiting = itertools.cycle(requests), deque[tuple[float, bytes, bool]]()
    decided, told = deque[bytes](maxlen=100), (list[float](), list[float]())
    with ExitStack() as stack:
        free = [stack.enter_context(closing(Connection(port))) for _ in range(N_OPEN)]
        busy: dict[Connection, tuple[float, bool]] = {}
        started, k = time.perf_counter(), 0
        while (now := time.perf_counter()) < started + seconds:
            while started + k / rate <= now:
                record = record_every > 0 and k % record_every == 0 and len(decided) > 0
                waiting.append((started + k / rate, _answer(decided.popleft()) if record else next(asked), record))
                k += 1
            while free and waiting:
                due, request, record = waiting.popleft()
                connection = free.pop()
                connection.send(request)
                busy[connection] = due, record
            for connection in select.select(list(busy), [], [], max(0.0, started + k / rate - now))[0]:
                body = connection.received()
                if body is not None:
                    due, record = busy.pop(connection)
                    told[record].append(time.perf_counter() - due)
                    free.append(connection)
                    if not record:
                        decided.append(body)
    return _load(told[0], now - started), _load(told[1], now - started)


def cpu_and_wait_us(pid: int) -> tuple[float, float]:
    """Microseconds that a process and its children have run, and that they waited for a core."""
    children = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    tasks = [task for child in children for task in Path(f"/proc/{child}/task").iterdir()]
    ran, waited, _ = zip(*(map(int, (task / "schedstat").read_text().split()) for task in tasks), strict=True)
    return sum(ran) / 1e3, sum(waited) / 1e3


def costs(pid: int, run: Callable[[], Sequence[Load]]) -> str:
    """What `run` measured, and what each of its requests took of the processor."""
    before, own = cpu_and_wait_us(pid), time.process_time()
    loads = run()
    n, client = sum(load.n for load in loads), time.process_time() - own
    server, waited = ((now - then) / n for now, then in zip(cpu_and_wait_us(pid), before, strict=True))
    return f"{'; recorded '.join(map(str, loads))}; a request: server {server:4.0f} us, waited {waited:4.0f}, client {client / n * 1e6:4.0f}"


def _post(path: str, body: Any) -> bytes:
    encoded = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
    return head.encode() + encoded


def _answer(decision: bytes) -> bytes:
    made = msgspec.json.decode(decision)
    return _post("/v1/record", {"decision_id": made["id"], "label": "declined", "action": made["offers"][0]["action"]})


def _load(times: list[float], seconds: float) -> Load:
    ordered = sorted(times) or [float("nan")]
    return Load(len(times), len(times) / seconds, ordered[len(ordered) // 2] * 1e3, ordered[int(0.99 * len(ordered))] * 1e3)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").close()
            return
        except urllib.error.HTTPError as error:
            assert error.code == 503 and time.monotonic() < deadline, error
            time.sleep(0.1)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served() as (port, _):
        yield port


def test_round_trip(benchmark: Any, port: int) -> None:
    """One connection, one request after the other."""
    with closing(Connection(port)) as connection:
        _benchmarked(benchmark, connection, itertools.cycle(decide_requests()))
    benchmark.extra_info["requests/s"] = closed_loop(port, decide_requests(), 2.0).per_s
    benchmark.extra_info["p99 ms at 1,000/s"] = open_loop(port, decide_requests(), 3.0)[0].p99_ms


def test_round_trip_with_nothing_to_decide(benchmark: Any, port: int) -> None:
    with closing(Connection(port)) as connection:
        _benchmarked(benchmark, connection, itertools.repeat(LIVE))
    benchmark.extra_info["requests/s"] = closed_loop(port, [LIVE], 2.0).per_s


def _benchmarked(benchmark: Any, connection: Connection, asked: Iterator[bytes]) -> None:
    def one() -> None:
        connection.send(next(asked))
        while connection.received() is None:
            pass

    benchmark.pedantic(one, rounds=1_000, warmup_rounds=200)


def main() -> int:
    requests = decide_requests()
    with served() as (port, pid):
        closed_loop(port, requests, 1.0)
        for name, load in (
            ("decide, closed loop", lambda: [closed_loop(port, requests, 3.0)]),
            ("nothing to decide", lambda: [closed_loop(port, [LIVE], 2.0)]),
            (f"decide, {RATE:,}/s", lambda: [open_loop(port, requests, 4.0)[0]]),
            ("decide, one in ten records", lambda: open_loop(port, requests, 4.0, record_every=10)),
        ):
            print(f"{name:27}", costs(pid, load))
    return 0


if __name__ == "__main__":
    sys.exit(main())
