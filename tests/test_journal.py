"""The journal: what was acknowledged is there, in order, whatever fails; and what is there comes back as it was."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine.errors import StoreError
from nba_engine.journal import Entry, Store, pack, unpack
from nba_engine.journal.codec import pieces

_PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary(),
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)), st.timedeltas(timedelta(-100_000), timedelta(100_000)),
)  # fmt: skip
_RECORDS = st.dictionaries(st.text(), st.recursive(_PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))


@given(_RECORDS)
@settings(max_examples=100, deadline=None)
def test_records_come_back_as_they_were(record: dict[str, object]) -> None:
    again = unpack(pack(record))
    assert repr(again) == repr(record)
    assert repr(unpack(b"".join(pieces(record)))) == repr(record)


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "<i4", ">i8", "u8", "f4", "f8", "U5", "S3", "M8[us]", "m8[s]"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_back_with_type_shape_and_bytes(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).astype("i8").reshape(shape).astype(dtype)
    again = unpack(pack({"a": array}))["a"]
    assert again.dtype == array.dtype and again.shape == array.shape and again.tobytes() == array.tobytes()
    assert again.flags.writeable and again.flags.aligned and again.flags.c_contiguous


def test_a_strided_array_is_stored_in_c_order() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(unpack(pack({"a": array.T, "b": array[::2, 1:]}))["a"], array.T)
    assert np.array_equal(unpack(pack({"b": array[::2, 1:]}))["b"], array[::2, 1:])


@pytest.mark.parametrize("n", [0, 1, 50_000])
def test_in_pieces_arrays_are_not_copied_and_all_comes_back(n: int) -> None:
    record = {"large": np.arange(n, dtype="i8"), "inner": {"turned": np.ones((3, n)).T, "names": [["a", "b"]] * 3}, "none": None}
    made = list(pieces(record))
    np.testing.assert_equal(unpack(b"".join(made)), unpack(pack(record)))
    assert sum(len(piece) for piece in made if isinstance(piece, bytes)) < 2_000
    with pytest.raises(StoreError, match="record.inner.odd"):
        list(pieces({"inner": {"odd": object()}}))


def test_numpy_numbers_become_plain_ones_and_times_utc() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=2)))
    again = unpack(pack({"f": np.float64(0.5), "i": np.int32(-3), "b": np.bool_(True), "t": noon, "s": (1, 2)}))
    assert again == {"f": 0.5, "i": -3, "b": True, "t": noon, "s": [1, 2]}
    assert [type(value) for value in again.values()] == [float, int, bool, datetime, list]


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), {1, 2}, object(), 2**64, -(2**63) - 1, "\ud800", {1: 2}, np.array([object()]), 1j])
def test_what_would_not_come_back_is_refused(value: object) -> None:
    with pytest.raises(StoreError):
        pack({"a": [value]})


_WRONG_TYPE = pack({"a": np.arange(3, dtype="u1")}).replace(b"|u1", b"<u4")
_DAMAGED = [b"", b"\xc1", b"\x93\x01\x02\x03", pack({"a": 1})[:-1], b"\x81\xa1a\xd4\x07\x00", _WRONG_TYPE]


@pytest.mark.parametrize("payload", _DAMAGED)
def test_damaged_bytes_are_an_error(payload: bytes) -> None:
    with pytest.raises(StoreError, match="damaged"):
        unpack(payload)


def test_importing_the_journal_loads_neither_sqlite_nor_msgspec() -> None:
    code = "import sys, nba_engine.journal; sys.exit('sqlite3' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The store.


def test_entries_come_back_in_order_and_by_key(tmp_path: Path) -> None:
    with_kinds = [("decision", "a"), ("outcome", "a"), ("decision", "b"), ("outcome", "a")]
    store = Store(tmp_path, "os")
    for position, (kind, key) in enumerate(with_kinds):
        assert store.append(kind, key, position * 10, bytes([position])) == position + 1
    assert store.find("outcome", "a") == b"\x03" and store.find("outcome", "b") is None
    expected = [Entry(i + 1, kind, key, i * 10, bytes([i])) for i, (kind, key) in enumerate(with_kinds)]
    assert list(store.read()) == expected
    assert list(store.read(2)) == expected[2:]
    assert list(store.read(0, {"outcome"})) == [expected[1], expected[3]] and list(store.read(4)) == []
    assert store.find("outcome", "a") == b"\x03"
    store.close()
    store.close()
    again = Store(tmp_path)
    assert list(again.read()) == expected and again.last_sequence == 4 and again.append("decision", "c", 0, b"") == 5
    assert again.find("decision", "c") == b""
    again.close()


def test_reading_crosses_pages_and_stops_where_it_began(tmp_path: Path) -> None:
    store = Store(tmp_path, "os")
    for i in range(2_500):
        store.append("decision", str(i), i, b"")
    reading = store.read()
    first = next(reading)
    store.commit(store.append("decision", "later", 0, b""))
    assert [first.sequence, *(entry.sequence for entry in reading)] == list(range(1, 2_501))
    store.close()


def test_a_decision_that_nobody_answers_is_committed_soon(tmp_path: Path) -> None:
    store = Store(tmp_path, "os")
    store.append("decision", "a", 0, b"x")
    deadline = time.monotonic() + 10.0
    while store._committed == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store._committed == 1
    store.close()


def test_eight_threads_commit_in_groups_and_lose_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, "disk")
    n_transactions = _count_transactions(store)
    acknowledged: list[int] = []

    def work(worker: int) -> None:
        for i in range(100):
            sequence = store.append("outcome", f"{worker}-{i}", i, f"{worker}-{i}".encode())
            store.commit(sequence)
            acknowledged.append(sequence)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acknowledged) == list(range(1, 801))
    assert len(n_transactions) < 800  # others found their entry committed already
    entries = list(store.read())
    store.close()
    assert [entry.sequence for entry in entries] == list(range(1, 801)) and all(entry.key.encode() == entry.payload for entry in entries)


def _count_transactions(store: Store) -> list[int]:
    counted: list[int] = []
    transaction = store._transaction

    def counting(statements: list[tuple[str, object]]) -> None:
        counted.append(len(statements))
        transaction(statements)

    store._transaction = counting
    return counted


_VICTIM = """
import sys, threading
from nba_engine.journal import Store
store = Store(sys.argv[1], "os")
print_lock = threading.Lock()
def work(worker):
    for i in range(1_000_000):
        store.append("decision", f"{worker}-{i}", i, b"d" * 300)
        sequence = store.append("outcome", f"{worker}-{i}", i, b"x" * 200)
        store.commit(sequence)
        with print_lock:
            sys.stdout.write(f"{sequence} {worker}-{i}\\n"); sys.stdout.flush()
for worker in range(3):
    threading.Thread(target=work, args=(worker,), daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("n_lines", [1, 50, 400, 1500])
def test_a_killed_process_loses_nothing_acknowledged(tmp_path: Path, n_lines: int) -> None:
    for _ in range(2):  # the second round continues the store that the first one left
        with subprocess.Popen([sys.executable, "-c", _VICTIM, str(tmp_path)], stdout=subprocess.PIPE, text=True) as victim:
            said: Any = victim.stdout
            lines = [said.readline() for _ in range(n_lines)]
            victim.send_signal(signal.SIGKILL)
            lines += said.read().splitlines(keepends=True)
        acknowledged = dict(line.split() for line in lines if line.endswith("\n"))
        store = Store(tmp_path, "os")
        entries = {str(entry.sequence): entry for entry in store.read()}
        store.close()
        assert len(acknowledged) >= n_lines
        assert all(entries[sequence].key == key and entries[sequence].payload == b"x" * 200 for sequence, key in acknowledged.items())
        assert list(entries) == [str(i + 1) for i in range(len(entries))]  # no gap: what is there is a beginning of what was appended


class Failing:
    """A connection whose `execute` fails once, at call `n`."""

    def __init__(self, connection: sqlite3.Connection, n: int, error: BaseException, after: bool = False) -> None:
        self._connection, self._n, self._error, self._after = connection, n, error, after

    def execute(self, *arguments: object) -> object:
        self._n -= 1
        if self._n == 0 and not self._after:
            raise self._error
        result = self._connection.execute(*arguments)
        if self._n == 0:
            raise self._error
        return result

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("after", [False, True])
def test_what_is_acknowledged_is_what_is_there_whichever_call_fails(tmp_path: Path, n: int, after: bool) -> None:
    store = Store(tmp_path, "os")
    store._stop.set()  # only this test commits
    store._writer = Failing(store._writer, n, sqlite3.OperationalError("database or disk is full"), after)
    acknowledged: list[int] = []
    for i in range(3):
        for k in range(i * 3 + 1):  # groups of 1, 4 and 7 entries: one statement, and several
            sequence = store.append("outcome", f"{i}-{k}", 0, b"x")
        try:
            store.commit(sequence)
        except StoreError:
            break
        acknowledged.extend(range(len(acknowledged) + 1, sequence + 1))
    else:
        assert n > 6  # 1 + 1 + 4 calls
        store.close()
        return
    there = [sequence for (sequence,) in store._reader.execute("SELECT sequence FROM entries ORDER BY sequence")]
    assert there[: len(acknowledged)] == acknowledged
    assert after or there == acknowledged
    assert store.find("outcome", "0-0") == b"x"
    store.flush()  # the disk has room again: what waited is written, once and in order
    assert [entry.sequence for entry in store.read()] == list(range(1, store.last_sequence + 1))
    store.close()


def test_a_failing_background_commit_stops_appends_until_it_succeeds(tmp_path: Path) -> None:
    store = Store(tmp_path, "os")
    writer = store._writer
    store._writer = Failing(writer, 1, sqlite3.OperationalError("disk I/O error"))
    store.append("decision", "a", 0, b"x")
    _wait_until(lambda: store._failure is not None or store._committed == 1)
    if store._failure is not None:
        store._writer = Failing(writer, 0, sqlite3.OperationalError("never"))
    _wait_until(lambda: store._committed == 1)
    assert store.append("decision", "b", 0, b"y") == 2
    store._failure = StoreError("the disk is full")
    with pytest.raises(StoreError, match="the disk is full"):
        store.append("decision", "c", 0, b"z")
    store.flush()
    assert store.append("decision", "c", 0, b"z") == 3
    store.close()


def _wait_until(condition: object) -> None:
    deadline = time.monotonic() + 10.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_snapshots_commit_what_they_cover_and_two_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, "os")
    assert store.latest_snapshot() is None
    for i in range(1, 5):
        sequence = store.append("outcome", str(i), 0, b"")
        store.save_snapshot(sequence, [bytes([i])])
        store.append("decision", str(i), 0, b"")
    assert store.latest_snapshot() == (7, b"\x04")
    assert sorted(int(path.name.removeprefix("snapshot-")) for path in tmp_path.glob("snapshot-*")) == [5, 7]
    assert [entry.kind for entry in store.read(7)] == ["decision"]
    store.close()
    again = Store(tmp_path)
    assert again.latest_snapshot() == (7, b"\x04") and [entry.sequence for entry in again.read(7)] == [8]
    again.close()


def test_a_folder_in_use_is_refused_and_freed_by_close_or_by_forgetting(tmp_path: Path) -> None:
    store = Store(tmp_path)
    if os.name == "posix":
        with pytest.raises(StoreError, match=f"is open already \\(process {os.getpid()}\\)"):
            Store(tmp_path)
    store.close()
    forgotten = Store(tmp_path)
    forgotten.commit(forgotten.append("decision", "a", 0, b""))
    del forgotten
    gc.collect()
    again = Store(tmp_path)
    assert again.last_sequence == 1
    again.close()


def test_an_entry_that_sqlite_would_refuse_never_enters_the_buffer(tmp_path: Path) -> None:
    store = Store(tmp_path, "os")
    for key, at_us in (("\ud800", 0), ("a", 2**63), ("a", -(2**63) - 1)):
        with pytest.raises(StoreError):
            store.append("decision", key, at_us, b"")
    store.commit(store.append("decision", "Zürich\x00", -(2**63), b""))
    assert list(store.read()) == [Entry(1, "decision", "Zürich\x00", -(2**63), b"")]
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    for call in (lambda: store.append("decision", "a", 0, b""), lambda: store.find("decision", "a")):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_a_foreign_database_and_an_unwritable_place_are_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute("CREATE TABLE cats(name)")
    other.close()
    before = (tmp_path / "journal.sqlite").read_bytes()
    with pytest.raises(StoreError, match="not one of nba_engine"):
        Store(tmp_path)
    assert (tmp_path / "journal.sqlite").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose a folder"):
        Store(tmp_path / "file" / "store")


@pytest.mark.parametrize("damage", ["head", "middle", "short"])
def test_a_damaged_file_is_a_store_error(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, "os")
    for i in range(3_000):
        store.append("outcome", str(i), i, b"x" * 300)
    store.close()
    path = tmp_path / "journal.sqlite"
    data = bytearray(path.read_bytes())
    if damage == "head":
        data[:100] = b"\xa5" * 100
    elif damage == "middle":
        data[100_000:600_000] = b"\xa5" * 500_000
    else:
        del data[300_000:]
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        broken = Store(tmp_path)
        try:
            list(broken.read())
        finally:
            broken.close()


def test_a_torn_log_loses_only_what_was_torn(tmp_path: Path) -> None:
    """The write-ahead log ends in the middle of a commit, as after a loss of power: the commits before it are there."""
    code = '''
import os, sys
from nba_engine.journal import Store
store = Store(sys.argv[1], "os")
for i in range(50):
    store.commit(store.append("outcome", str(i), i, b"x" * 300))
os._exit(0)
'''
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    log = tmp_path / "journal.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-1_000])
    store = Store(tmp_path, "os")
    assert [entry.sequence for entry in store.read()] == list(range(1, 50))
    store.close()
