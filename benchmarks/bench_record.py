"""One `record`: the answer to an offer of a decision just made, 1,000 actions; in memory, and durable against a killed process or loss of power.

The number is contact history, the model's update, the ledger and, with a store, the entries of the decision and of its answer on the disk of the
temporary folder. Beside it the least one could do: a line of JSON with the same facts and answer, appended to a file, flushed and, for "disk",
fsynced. Where it loses: with sync="disk" and one thread every record waits for the disk alone; the plain line is neither found again by its
decision nor learned from. What the store costs alone stands in bench_journal.py, the update's kernel in bench_models.py (`test_update`).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nba_engine as nba
from benchmarks import setting, world


@pytest.mark.parametrize("sync", [None, "os", "disk"], ids=["memory", "os", "disk"])
def test_record(benchmark: Any, tmp_path: Path, sync: Any) -> None:
    with nba.Engine(setting.catalog(1_000), **({} if sync is None else {"store": tmp_path, "sync": sync})) as engine:
        engine.warm()
        decide, number = setting.deciding(engine, setting.customers()), itertools.count()

        def before() -> tuple[tuple[str, str], dict[str, str]]:
            decision = decide(next(number))
            return (decision.id, "declined"), {"action": decision.offers[0].action}

        benchmark.pedantic(engine.record, setup=before, rounds=600, warmup_rounds=100)


@pytest.mark.parametrize("sync", ["os", "disk"])
def test_line_of_json(benchmark: Any, tmp_path: Path, sync: str) -> None:
    customers: Iterator[dict[str, Any]] = itertools.cycle(world.customers(setting.N_CUSTOMERS))
    with open(tmp_path / "answers.jsonl", "a", encoding="utf-8") as file:

        def write() -> None:
            json.dump({"subject": "subject-1", "action": "action-1", "label": "declined", "facts": next(customers)}, file)
            file.write("\n")
            file.flush()
            if sync == "disk":
                os.fsync(file.fileno())

        benchmark.pedantic(write, rounds=600, warmup_rounds=100)
