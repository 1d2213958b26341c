"""Four threads deciding as fast as they can while one records: p50 and p99 of one `decide`, 1,000 actions. `python -m benchmarks.threads`.

Five busy threads on two cores wait for each other whatever they do. So the same five threads also run, in turn with the load, (a) a kernel that
computes as long as one decision and holds no lock: what the machine's scheduler takes, and (b) a Python loop of that length: what the interpreter's
lock takes on top. The contract allows the first besides its multiple of the time alone.
Where decide loses: its parts in Python run one at a time; four threads decide little more in a second than one does.
`--reloads N` adds N reloads by a sixth thread under the same load (default 10; one reload of 1,000 actions compiles for half a second).
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np

import nba_engine as nba
from benchmarks import setting, world
from benchmarks.measuring import Case, Timing, alternating
from tests.kernel_cache import use_own_folder

N_DECIDING = 4
Work = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Load:
    """Microseconds of one call; `alone` is one thread without company, the rest four with a fifth beside them."""

    alone: Timing
    together: Timing
    kernel: Timing
    python: Timing
    reloading: Timing | None
    decisions_per_s: float
    records_per_s: float
    reload_ms: float

    @property
    def scheduler_us(self) -> float:
        """What the scheduler adds to the p99 of work that holds no lock."""
        return max(0.0, self.kernel.p99 - self.alone.p50)


def measure(seconds: float = 1.0, n_rounds: int = 3, n_reloads: int = 0) -> Load:
    """Rounds of decide, kernel and loop in turn, `seconds` each; then `n_reloads` under the load."""
    facts = setting.customers()
    with nba.Engine(setting.catalog(1_000)) as engine:
        engine.warm()
        setting.teach(engine, facts, 500)
        alone = alternating({"alone": Case(setting.deciding(engine, facts))}, 5, 300)["alone"]
        waiting: deque[nba.Decision] = deque(maxlen=1_000)
        spins = _lasting(_kernel, alone.p50), _lasting(_loop, alone.p50)
        found: list[tuple[Timing, Timing, Timing]] = []
        n_calls, n_recorded = 0, 0
        for _ in range(n_rounds):
            recorded: list[int] = []
            calls = together(_deciders(engine, facts, waiting), _recorder(engine, waiting, recorded), seconds)
            n_calls, n_recorded = n_calls + len(calls), n_recorded + len(recorded)
            others = [_timing(together([lambda _, spin=spin: spin()] * N_DECIDING, spin, seconds)) for spin in spins]
            found.append((_timing(calls), others[0], others[1]))
        reloading, took = _reloading(engine, facts, waiting, n_reloads)
        columns = [Timing(statistics.median(t.p50 for t in column), statistics.median(t.p99 for t in column)) for column in zip(*found, strict=True)]
        whole = seconds * n_rounds
        return Load(alone, *columns, reloading, n_calls / whole, n_recorded / whole, took)


def together(works: Sequence[Work], beside: Callable[[], Any], seconds: float, until: threading.Event | None = None) -> list[float]:
    """Microseconds of every call that `works` made, a thread each, while one more thread ran `beside` again and again."""
    start, stop = threading.Barrier(len(works) + 1), until or threading.Event()
    times: list[list[float]] = [[] for _ in works]

    def call(work: Work, own: list[float]) -> None:
        start.wait()
        k = 0
        while not stop.is_set():
            began = time.perf_counter_ns()
            work(k)
            own.append((time.perf_counter_ns() - began) / 1e3)
            k += 1

    def accompany() -> None:
        start.wait()
        while not stop.is_set():
            beside()

    threads = [threading.Thread(target=call, args=pair) for pair in zip(works, times, strict=True)] + [threading.Thread(target=accompany)]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return [t for own in times for t in own]


def _deciders(engine: nba.Engine, facts: list[dict[str, Any]], waiting: deque[nba.Decision]) -> list[Work]:
    def decider(number: int) -> Work:
        decide = setting.deciding(engine, facts, subjects=f"thread-{number}")
        return lambda k: waiting.append(decide(k * N_DECIDING + number))

    return [decider(number) for number in range(N_DECIDING)]


def _recorder(engine: nba.Engine, waiting: deque[nba.Decision], recorded: list[int]) -> Callable[[], None]:
    def record() -> None:
        try:
            decision = waiting.pop()
        except IndexError:
            time.sleep(0.001)
            return
        if decision.offers:
            engine.record(decision.id, "declined", action=decision.offers[0].action, at=world.AT)
            recorded.append(1)

    return record


def _reloading(engine: nba.Engine, facts: list[dict[str, Any]], waiting: deque[nba.Decision], n_reloads: int) -> tuple[Timing | None, float]:
    """The same load while another thread reloads, one after the other without a pause; milliseconds of one reload beside it."""
    if not n_reloads:
        return None, 0.0
    done, took = threading.Event(), list[float]()
    catalogs = [nba.Catalog.from_dict(engine.catalog.to_dict() | {"version": name}) for name in ("one", "other")]  # an equal one would change nothing

    def reload() -> None:
        for k in range(n_reloads):
            began = time.perf_counter()
            engine.reload(catalogs[k % 2])
            took.append(1e3 * (time.perf_counter() - began))
        done.set()

    thread = threading.Thread(target=reload)
    thread.start()
    calls = together(_deciders(engine, facts, waiting), _recorder(engine, waiting, []), 600.0, done)
    thread.join()
    return _timing(calls), statistics.median(took)


def _lasting(spin: Callable[[int], Any], us: float) -> Callable[[], Any]:
    """`spin` with a number of turns that takes about `us` microseconds alone."""
    n = 1_000
    spin(n)
    for _ in range(5):
        took = min(_us(spin, n) for _ in range(20))
        n = max(1, int(n * us / took))
    return partial(spin, n)


def _us(spin: Callable[[int], Any], n: int) -> float:
    began = time.perf_counter_ns()
    spin(n)
    return (time.perf_counter_ns() - began) / 1e3


@numba.njit(nogil=True)
def _kernel(n: int) -> float:
    total = 1.0
    for i in range(n):
        total = total * 0.5 + 1.0 / (i + 1.0)
    return total


def _loop(n: int) -> None:
    for _ in range(n):
        pass


def _timing(times: list[float]) -> Timing:
    return Timing(*np.percentile(times, [50, 99]).tolist())


def main() -> int:
    n_reloads = int(sys.argv[sys.argv.index("--reloads") + 1]) if "--reloads" in sys.argv else 10
    use_own_folder()
    load = measure(n_reloads=n_reloads)
    for name in ("alone", "together", "kernel", "python", "reloading"):
        timing: Timing | None = getattr(load, name)
        if timing is not None:
            sys.stdout.write(f"{name:10} p50 {timing.p50:9.1f} us   p99 {timing.p99:9.1f} us\n")
    sys.stdout.write(f"{load.decisions_per_s:,.0f} decisions and {load.records_per_s:,.0f} records a second; a reload took {load.reload_ms:.0f} ms; "
                     f"the scheduler's share of p99 is {load.scheduler_us:,.0f} us\n")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
