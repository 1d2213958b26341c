"""Times of single calls, cases taking turns, so that a machine that slows down slows all of them: ratios are what counts."""

from __future__ import annotations

import gc
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """`run` is timed, with what `prepare` made of the number of the call; the clock's own 0.1 us is in the time."""

    run: Callable[[Any], Any]
    prepare: Callable[[int], Any] = int


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds; each the median over rounds of the round's own percentile."""

    p50: float
    p99: float


def alternating(cases: Mapping[str, Case], n_rounds: int, n_calls: int, n_warm: int = 200) -> dict[str, Timing]:
    """Time every case `n_rounds` times `n_calls` single calls, after `n_warm` that do not count."""
    number = 0
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(n_rounds + 1):
        for name, case in cases.items():
            n = n_calls if turn else n_warm
            times = []
            gc.collect()
            for k in range(number, number + n):
                given = case.prepare(k)
                started = time.perf_counter_ns()
                case.run(given)
                times.append((time.perf_counter_ns() - started) / 1e3)
            if turn:
                found[name].append((statistics.median(times), sorted(times)[int(0.99 * n)]))
        number += n
    return {name: Timing(*(statistics.median(column) for column in zip(*pairs, strict=True))) for name, pairs in found.items()}


def machine() -> tuple[str, str]:
    """A name for files and one for people: the processor's model and how many of its cores there are."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*:\s*(.+)", info.read_text("utf-8")) if info.exists() else []
    name = f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), name
