"""What a decision and an outcome cost on this machine, on the catalog of the call: single calls, one thread, memory store."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from nba_engine.demo.call import FACTS, experienced_engine

N_CALLS = 1000
N_CALLS_BEFORE = 100
"""Calls whose time is not counted: the first ones of a process meet cold caches."""


class Latency(NamedTuple):
    """Microseconds per call."""

    decide_us_p50: float
    decide_us_p99: float
    record_us_p50: float
    record_us_p99: float


def latency() -> Latency:
    """Time `decide` (slate of 3) and `record` for `N_CALLS` new subjects each; every kernel is compiled before."""
    engine = experienced_engine()
    decide_us, record_us = np.empty(N_CALLS_BEFORE + N_CALLS), np.empty(N_CALLS_BEFORE + N_CALLS)
    for i in range(len(decide_us)):
        subject = f"subject-{i}"
        started = time.perf_counter_ns()
        decision = engine.decide(subject, channel="call", facts=FACTS, limit=3)
        decided = time.perf_counter_ns()
        engine.record(decision.id, "declined", action=decision.offers[0].action, reason="not_now")
        decide_us[i], record_us[i] = (decided - started) / 1000, (time.perf_counter_ns() - decided) / 1000
    return Latency(*(float(np.percentile(times[N_CALLS_BEFORE:], q)) for times in (decide_us, record_us) for q in (50, 99)))
