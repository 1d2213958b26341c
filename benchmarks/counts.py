"""What does not depend on how fast the machine is: calls made, memory asked for and memory kept by one `decide` and one `record`.

`calls`: calls of Python and C functions that the interpreter sees (`sys.setprofile`); a loop in Python over actions, facts or offers shows here.
`bytes at once`: the most memory alive during the call over what was alive before it (`tracemalloc`, numpy's arrays included); an array more per
action shows here. `blocks kept`: objects still alive afterwards (`sys.getallocatedblocks`), with room for 100 kept decisions, all taken: a leak
shows here. All three are the same on every run, and nearly so on every Python. They say nothing about time spent inside a kernel.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import nba_engine as nba
from benchmarks import setting, world

N_CALLS, N_KEPT, N_SUBJECTS = 200, 100, 50
Call = Callable[[int], Any]


def measure() -> dict[str, float]:
    """Per call, the mean over customers taking turns; 1,000 actions, 40 facts, beliefs taught, no store."""
    with nba.Engine(setting.catalog(1_000), explained_decisions_max=N_KEPT) as engine:
        engine.warm()
        facts = setting.customers()
        setting.teach(engine, facts, 300, "subject", N_SUBJECTS)
        decide = setting.deciding(engine, facts, n_subjects=N_SUBJECTS)
        decisions: list[nba.Decision] = []

        def record(k: int) -> nba.Receipt:
            return engine.record(decisions[k].id, "declined", action=decisions[k].offers[0].action, at=world.AT)

        found: dict[str, float] = {}
        for what, count in (("calls", calls), ("bytes at once", bytes_at_once)):
            found[f"decide, {what}"] = count(decide, N_CALLS)
            decisions[:] = [decide(k) for k in range(N_KEPT)]
            found[f"record, {what}"] = count(record, N_KEPT)
        found["decide, blocks kept"] = blocks_kept(decide, 4 * N_CALLS)
        return found


def calls(call: Call, n: int) -> float:
    """Function calls below one `call`."""
    seen = [0]

    def count(_frame: Any, event: str, _argument: Any) -> None:
        seen[0] += event in ("call", "c_call")

    for k in range(n):
        sys.setprofile(count)
        call(k)
        sys.setprofile(None)
    return seen[0] / n - 2  # `call` itself and setprofile


def bytes_at_once(call: Call, n: int) -> float:
    """Bytes alive at the worst moment of one `call`, over those before it."""
    tracemalloc.start()
    total = 0
    for k in range(n):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call(k)
        total += tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return total / n


def blocks_kept(call: Call, n: int) -> float:
    """Objects that stay alive, per `call`, after as many that did the same."""
    for k in range(n):
        call(k)
    gc.collect()
    before = sys.getallocatedblocks()
    for k in range(n):
        call(k)
    gc.collect()
    return (sys.getallocatedblocks() - before) / n
