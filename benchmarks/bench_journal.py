"""Durable memory: what an acknowledgement costs, 300-byte entries, on the disk of the temporary folder.

`append` is what a decision pays, `append and commit` what `record` pays on top of its arithmetic. It loses where every entry waits for its
own fsync ("disk", one thread): there the disk decides. Beside it a file that is written, flushed and, for "disk", fsynced: the least one could do.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nba_engine.journal import Store, pack, unpack

_PAYLOAD = b"x" * 300


@pytest.fixture(params=["os", "disk"])
def sync(request: Any) -> Any:
    return request.param


@pytest.fixture
def store(tmp_path: Path, sync: Any) -> Any:
    with_store = Store(tmp_path, sync)
    yield with_store
    with_store.close()


def test_append(benchmark: Any, store: Store) -> None:
    benchmark.pedantic(store.append, ("decision", "key", 0, _PAYLOAD), iterations=1, rounds=20_000, warmup_rounds=1_000)


def test_append_and_commit(benchmark: Any, store: Store) -> None:
    benchmark.pedantic(lambda: store.commit(store.append("outcome", "key", 0, _PAYLOAD)), rounds=3_000, warmup_rounds=300)


def test_decision_and_outcome(benchmark: Any, store: Store) -> None:
    """A decision's entry is written with its outcome's, in one statement."""

    def both() -> None:
        store.append("decision", "key", 0, _PAYLOAD)
        store.commit(store.append("outcome", "key", 0, _PAYLOAD))

    benchmark.pedantic(both, rounds=3_000, warmup_rounds=300)


def test_find_committed(benchmark: Any, store: Store) -> None:
    for i in range(10_000):
        store.append("decision", str(i), i, _PAYLOAD)
    store.flush()
    benchmark.pedantic(store.find, ("decision", "5000"), rounds=3_000, warmup_rounds=300)


def test_plain_file(benchmark: Any, tmp_path: Path, sync: str) -> None:
    with open(tmp_path / "plain", "ab") as file:

        def write() -> None:
            file.write(_PAYLOAD)
            file.flush()
            if sync == "disk":
                os.fsync(file.fileno())

        benchmark.pedantic(write, rounds=3_000, warmup_rounds=300)


def test_pack_a_flat_record(benchmark: Any) -> None:
    benchmark(pack, {f"fact_{i}": float(i) for i in range(64)})


def test_pack_and_unpack_a_snapshot_of_50_megabytes(benchmark: Any) -> None:
    record = {"mean": np.zeros(4_000_000), "precision": np.zeros(2_500_000)}
    benchmark.pedantic(lambda: unpack(pack(record)), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("system", ["unix", "unix-excl"])
@pytest.mark.parametrize("page_size", [1024, 2048, 4096, 8192])
def test_sqlite_alone(benchmark: Any, tmp_path: Path, page_size: int, system: str) -> None:
    """One entry a commit with sync "os", in plain sqlite3: what the page size and the way of locking are worth."""
    database = sqlite3.connect((tmp_path / "plain.sqlite").as_uri() + f"?vfs={system}", uri=True, isolation_level=None)
    database.executescript(f"PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
    database.execute("CREATE TABLE entries(sequence INTEGER PRIMARY KEY, kind TEXT, key TEXT, at_us INTEGER, payload BLOB)")
    database.execute("CREATE INDEX entries_by_key ON entries(key, kind)")
    statement, number = "INSERT INTO entries VALUES (?, 'outcome', 'key', 0, ?)", iter(range(10**9))
    benchmark.pedantic(lambda: database.execute(statement, (next(number), _PAYLOAD)), rounds=5_000, warmup_rounds=500)
    database.close()


@pytest.mark.parametrize("page_size", [1024, 2048, 4096, 8192])
@pytest.mark.parametrize("columns", ["kind, key", "key, kind"])
def test_sqlite_interaction(benchmark: Any, tmp_path: Path, columns: str, page_size: int) -> None:
    """A decision, its answer and what that taught in one commit with sync "os", in plain sqlite3: what page size and order of the index are worth."""
    database = sqlite3.connect((tmp_path / "plain.sqlite").as_uri() + "?vfs=unix-excl", uri=True, isolation_level=None)
    database.executescript(
        f"PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 2000; PRAGMA synchronous = NORMAL;")
    database.execute("CREATE TABLE entries(sequence INTEGER PRIMARY KEY, kind TEXT, key TEXT, at_us INTEGER, payload BLOB)")
    database.execute(f"CREATE INDEX entries_by_key ON entries({columns})")
    statement, number = "INSERT INTO entries VALUES (?,?,?,0,?),(?,?,?,0,?),(?,?,?,0,?)", iter(range(10**9))

    def commit() -> None:
        n = next(number)
        sizes = ("decision", 1_200), ("outcome", 75), ("taught", 2_500)
        rows = [(3 * n + k, kind, f"{'f' * 16}-{n:x}", bytes(size)) for k, (kind, size) in enumerate(sizes)]
        database.execute(statement, [field for row in rows for field in row])

    benchmark.pedantic(commit, rounds=3_000, warmup_rounds=500)
    database.close()
