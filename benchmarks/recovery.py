"""What a snapshot costs those who decide and record, and what it saves at the next start. `python -m benchmarks.recovery [OUTCOMES] [ACTIONS]`.

Twice the same calls on a store with `sync="os"`, once without snapshots and once with one whenever it is due: one decision, then its answer. Printed
are microseconds of each call, how long the engine's lock was held for a snapshot, its size, and the seconds to open the store after a kill.
Where it misleads: one caller without a pause, who meets a snapshot every few seconds; customers in their millions would make it larger.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import numpy as np

import nba_engine as nba
from benchmarks import setting, world
from nba_engine import snapshots
from tests.kernel_cache import use_own_folder

_NEVER = 10**9


def play(folder: str, n_outcomes: int, n_actions: int, entries_max: int) -> None:
    """The calls, told of; the store is left as a kill leaves it."""
    snapshots.ENTRIES_MAX = entries_max
    facts, held = setting.customers(), list[float]()
    engine = nba.Engine(setting.catalog(n_actions), store=folder, sync="os")
    engine.warm()
    real = snapshots.cut

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        found = real(*arguments)
        held.append(1e3 * (time.perf_counter() - began))
        return found

    snapshots.cut = timed
    decide, times = setting.deciding(engine, facts), {"decide": list[float](), "record": list[float]()}
    k = 0
    while len(times["record"]) < n_outcomes:
        began = time.perf_counter_ns()
        decision = decide(k)
        times["decide"].append((time.perf_counter_ns() - began) / 1e3)
        if decision.offers:
            began = time.perf_counter_ns()
            engine.record(decision.id, "declined" if k % 5 else "accepted", action=decision.offers[0].action, at=world.AT)
            times["record"].append((time.perf_counter_ns() - began) / 1e3)
        k += 1
    snapshots.cut = real
    for name, taken in times.items():
        _tell(f"  {name}: p50 {{:,.0f}} us, p99 {{:,.0f}} us, p99.9 {{:,.0f}} us, longest {{:,.0f}} us", *np.percentile(taken, [50, 99, 99.9, 100]))
    engine.flush()
    memory = engine._memory  # pyright: ignore[reportPrivateUsage]
    memory._snapshots.wait()  # pyright: ignore[reportPrivateUsage]
    found = memory._journal.latest_snapshot()  # type: ignore[union-attr]
    memory._journal._release()  # type: ignore[union-attr]
    if held and found is not None:
        _tell("  {:d} snapshots, the last of {:.1f} MB; the lock was held {:.0f} ms at the least, {:.0f} at the most", len(held), len(found[1]) / 1e6,
              min(held), max(held))


def main(n_outcomes: int = 20_000, n_actions: int = 1_000) -> int:
    use_own_folder()
    for name, entries_max in (("without snapshots", _NEVER), ("with snapshots", snapshots.ENTRIES_MAX)):
        with tempfile.TemporaryDirectory() as folder:
            _tell("{}, {:,d} outcomes, {:,d} actions", name, n_outcomes, n_actions)
            play(folder, n_outcomes, n_actions, entries_max)
            began = time.perf_counter()
            engine = nba.Engine(setting.catalog(n_actions), store=folder, sync="os")
            _tell("  open again after a kill: {:.2f} s", time.perf_counter() - began)
            engine.close()
    return 0


def _tell(text: str, *numbers: Any) -> None:
    sys.stdout.write(text.format(*numbers) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
