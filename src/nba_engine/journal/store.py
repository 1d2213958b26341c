"""Durable memory on SQLite: one append-only table of entries, one writer; snapshots stand in files beside it.

A decision is appended to a buffer and never waits for the disk. An acknowledgement (`commit`) returns when everything up to its entry is
committed; whoever holds the writer commits all that is waiting (group commit). A small thread commits what nobody waits for.

SQLite 3.7.0 to 3.51.2 can lose committed data when two connections write and checkpoint together: there is one writing connection; a second
one only reads, so that looking up an old decision does not wait behind an fsync.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nba_engine.errors import StoreError
from nba_engine.journal import snapshots
from nba_engine.journal.folder_lock import FolderLock

FORMAT, FORMAT_MIN = 6, 5
"""Version of the tables and their entries, and the earliest that can be read; a store with a higher one was written by a newer release."""
COMMIT_INTERVAL_S = 0.1
"""How long a decision that nobody answers may stay in the buffer."""

_FILE = "journal.sqlite"
_PAGE_ROWS = 1_000
_INT64 = 2**63
_ROWS_PER_STATEMENT = (256, 64, 16, 4, 3, 2, 1)
_TABLES = """
CREATE TABLE entries(sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, at_us INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX entries_by_key ON entries(key, kind);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# By key first: a decision and what became of it stand on one page of the index, so a commit writes one where it wrote three.
# An entry whose commit failed halfway is written again under its own sequence: REPLACE makes that harmless.
_INSERT = {n: "INSERT OR REPLACE INTO entries VALUES " + ",".join(["(?,?,?,?,?)"] * n) for n in _ROWS_PER_STATEMENT}
_Row = tuple[int, str, str, int, bytes]
_ENTRIES_OF = "SELECT * FROM entries WHERE key = ? AND kind IN ('decision', 'outcome', 'taught') ORDER BY sequence"
_FIND = "SELECT payload FROM entries WHERE kind = ? AND key = ? ORDER BY sequence DESC LIMIT 1"


class Entry(NamedTuple):
    """One remembered thing: `kind` and `key` as `entries` names them, `at_us` UTC microseconds; what the payload means is not known here."""

    sequence: int
    kind: str
    key: str
    at_us: int
    payload: bytes


class Store:
    """A folder that remembers entries in order. Any thread may call; one process at a time.

    Parameters
    ----------
    folder
        Made where it does not exist; holds one SQLite database, the last two snapshots and a lock file.
    sync
        What `commit` promises: "disk" survives loss of power (synchronous=FULL), "os" a killed process (NORMAL).

    Raises
    ------
    StoreError
        Another process has the folder open, a newer release wrote it, or it is damaged; the text says what to do. Every method raises it
        where SQLite fails, and `append` for as long as the background commit fails.

    Notes
    -----
    **Cost** `append` about 1 us; `append` and `commit` 15 us with "os", one fsync with "disk", shared by all who wait.
    """

    def __init__(self, folder: str | Path, sync: Literal["disk", "os"] = "disk") -> None:
        if sync not in ("disk", "os"):
            raise StoreError(f"sync is {sync!r}; use 'disk' (survives loss of power) or 'os' (survives a killed process)")
        self.folder = Path(folder)
        self._closed = True
        self._queue: list[_Row] = []
        self._newest: dict[tuple[str, str], bytes] = {}
        self._writing: dict[tuple[str, str], bytes] = {}
        self._queue_lock, self._commit_lock, self._read_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._failure: StoreError | None = None
        # The reader is closed first: the last connection to close checkpoints, and that must be the writer.
        opened: list[Any] = []
        self._release = weakref.finalize(self, _close_in_reverse, opened)
        self._release.atexit = False
        try:
            opened.append(FolderLock(self.folder))
            self._writer = _connect(self.folder / _FILE)
            opened.append(self._writer)
            self._committed = _prepare(self._writer, self.folder, sync)
            self._is_earlier = _format(self._writer) != str(FORMAT)
            self._reader = _connect(self.folder / _FILE)
            opened.append(self._reader)
            self._reader.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            self._release()
            raise _store_error(error, self.folder) from error
        except StoreError:
            self._release()
            raise
        self._last = self._committed
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=_commit_regularly, args=(weakref.ref(self), self._stop), name="nba-journal", daemon=True)
        self._thread.start()

    @property
    def last_sequence(self) -> int:
        """The newest entry's sequence, committed or not; 0 where there is none."""
        return self._last

    def append(self, kind: str, key: str, at_us: int, payload: bytes) -> int:
        """Put an entry into the buffer and return its sequence; touches no disk. `key` is valid Unicode, `at_us` an int64."""
        if self._failure is not None or self._closed:
            self._raise_unusable()
        if not key.isascii() or not -_INT64 <= at_us < _INT64:
            _check_storable(key, at_us)
        with self._queue_lock:
            self._last = sequence = self._last + 1
            self._queue.append((sequence, kind, key, at_us, payload))
            self._newest[kind, key] = payload
        return sequence

    def commit(self, sequence: int) -> None:
        """Return once every entry up to `sequence` is committed; on StoreError they stay in the buffer and are tried again later."""
        if self._committed >= sequence:
            return
        with self._commit_lock:
            if self._committed < sequence:
                self._commit_queue()

    def flush(self) -> None:
        """Commit everything appended so far."""
        self.commit(self._last)

    def find(self, kind: str, key: str) -> bytes | None:
        """The newest payload under (`kind`, `key`), buffered or committed; None where there is none."""
        with self._queue_lock:
            payload = self._newest.get((kind, key), self._writing.get((kind, key)))
        if payload is not None:
            return payload
        rows = self._select(_FIND, (kind, key))
        return rows[0][0] if rows else None

    def read(self, after_sequence: int = 0, kinds: Collection[str] | None = None) -> Iterator[Entry]:
        """Entries after `after_sequence` up to the newest one at this call, in order; commits the buffer first.

        It reads page by page, so that a long reading keeps neither a lock nor a transaction.
        """
        self.flush()
        return self._pages(after_sequence, self._committed, None if kinds is None else list(kinds))

    def entries_of(self, key: str) -> list[Entry]:
        """Every entry under `key`, in order; commits the buffer first."""
        self.flush()
        return [Entry._make(row) for row in self._select(_ENTRIES_OF, (key,))]

    def save_snapshot(self, sequence: int, payload: Iterable[bytes | memoryview]) -> int:
        """Keep what the entries up to `sequence` add up to, given in pieces; those entries are committed first, and older snapshots but one are
        dropped. Returns how many bytes were written."""
        self.commit(sequence)
        try:
            return snapshots.save(self.folder, sequence, payload)
        except OSError as error:
            raise StoreError(f"no snapshot can be kept in {self.folder} ({error.strerror}); free some space, or see to the folder") from error

    def latest_snapshot(self, before: int | None = None) -> tuple[int, bytes] | None:
        """(sequence, payload) of the newest snapshot, of those before a sequence if one is given, or None."""
        found = snapshots.latest(self.folder, before)
        return None if found is None else (found[0], found[1].read_bytes())

    def close(self) -> None:
        """Commit the buffer and let go of the folder, also where the last commit fails (it then raises). A second call does nothing."""
        with self._queue_lock:
            if self._closed:
                return
            self._closed = True
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        try:
            with self._commit_lock:
                self._commit_queue()
        finally:
            self._release()

    def _commit_queue(self) -> None:
        """Write all that waits, in one transaction. The caller holds the commit lock."""
        with self._queue_lock:
            entries, self._queue = self._queue, []
            self._writing, self._newest = self._newest, {}
        if not entries:
            return
        statements = _insert_statements(entries)
        if self._is_earlier:  # from its first new entry on, releases that cannot read what this one writes refuse it
            statements.insert(0, ("UPDATE meta SET value = ? WHERE name = 'format'", (str(FORMAT),)))
        try:
            self._transaction(statements)
        except BaseException:
            with self._queue_lock:
                self._queue = entries + self._queue
                self._newest = self._writing | self._newest
                self._writing = {}
            raise
        self._committed = entries[-1][0]
        self._failure, self._is_earlier = None, False
        with self._queue_lock:
            self._writing = {}

    def _transaction(self, statements: list[tuple[str, Any]]) -> None:
        writer = self._writer
        try:
            if writer.in_transaction:  # an interrupt has cut off what was to end the one before
                writer.rollback()
            if len(statements) == 1:
                writer.execute(*statements[0])
                return
            writer.execute("BEGIN IMMEDIATE")
            for statement in statements:
                writer.execute(*statement)
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):  # what failed first is what the caller hears
                writer.rollback()
            raise _store_error(error, self.folder) from error

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        try:
            with self._read_lock:
                return self._reader.execute(statement, parameters).fetchall()
        except UnicodeEncodeError:  # no entry can stand under a key that is no valid Unicode
            return []
        except sqlite3.Error as error:
            raise _store_error(error, self.folder) from error

    def _pages(self, after: int, last: int, kinds: list[str] | None) -> Iterator[Entry]:
        chosen = "" if kinds is None else f" AND kind IN ({','.join('?' * len(kinds))})"
        statement = f"SELECT * FROM entries WHERE sequence > ? AND sequence <= ?{chosen} ORDER BY sequence LIMIT {_PAGE_ROWS}"
        while rows := self._select(statement, (after, last, *(kinds or ()))):
            yield from map(Entry._make, rows)
            after = rows[-1][0]

    def _raise_unusable(self) -> None:
        if self._closed:
            raise StoreError(f"the store in {self.folder} is closed; open it again")
        raise StoreError(str(self._failure)) from self._failure


def _commit_regularly(reference: weakref.ref[Store], stop: threading.Event) -> None:
    """The background thread. It holds the store only while it commits, so that a forgotten store can be collected."""
    while not stop.wait(COMMIT_INTERVAL_S):
        store = reference()
        if store is None:
            return
        try:
            store.flush()
        except StoreError as error:
            store._failure = error  # pyright: ignore[reportPrivateUsage]
        del store


def _check_storable(key: str, at_us: int) -> None:
    """Refuse what SQLite would refuse later, when it would hold up every other entry."""
    if not -_INT64 <= at_us < _INT64:
        raise StoreError(f"at_us is {at_us}; an entry's time is an int64 of microseconds since 1970")
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the key {key!r} is not valid Unicode ({error.reason}); use text without lone surrogates") from error


def _close_in_reverse(opened: list[Any]) -> None:
    while opened:
        opened.pop().close()


def _insert_statements(entries: list[_Row]) -> list[tuple[str, Any]]:
    """Few statements of many rows: each statement gives up the interpreter lock, and getting it back can cost 5 ms beside a busy thread."""
    statements: list[tuple[str, Any]] = []
    start = 0
    for n in _ROWS_PER_STATEMENT:
        while len(entries) - start >= n:
            rows = entries[start : start + n]
            statements.append((_INSERT[n], tuple(chain.from_iterable(rows))))
            start += n
    return statements


def _connect(path: Path) -> sqlite3.Connection:
    # unix-excl: SQLite keeps the file's lock and its index of the log within this process, which saves a fifth of each commit.
    system = "?vfs=unix-excl" if os.name == "posix" else ""
    return sqlite3.connect(path.absolute().as_uri() + system, uri=True, isolation_level=None, check_same_thread=False)


def _prepare(writer: sqlite3.Connection, folder: Path, sync: str) -> int:
    """Make or check the tables; returns the newest sequence that entries or snapshots know."""
    tables = {name for (name,) in writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables:
        _check_format(writer, tables, folder)
    elif snapshots.latest(folder) is not None:
        raise StoreError(f"{folder} has snapshots and no entries: {_FILE} is empty or was taken away; restore the folder from a copy")
    writer.execute("PRAGMA page_size = 4096")  # a commit writes whole pages: a fifth less time than with 2048 at 4 kB an interaction
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 2000")
    writer.execute(f"PRAGMA synchronous = {'FULL' if sync == 'disk' else 'NORMAL'}")
    if not tables:
        writer.executescript(f"BEGIN IMMEDIATE; {_TABLES} INSERT INTO meta VALUES ('format', '{FORMAT}'); COMMIT;")
    (newest,) = writer.execute("SELECT max(sequence) FROM entries").fetchone()
    found = snapshots.latest(folder)
    return max(newest or 0, found[0] if found else 0)


def _format(writer: sqlite3.Connection) -> str:
    row = writer.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return "" if row is None else row[0]


def _check_format(writer: sqlite3.Connection, tables: set[str], folder: Path) -> None:
    """Refuse a database that this release must not touch, before anything in it changes."""
    if "meta" not in tables:
        raise StoreError(f"{folder / _FILE} is a database, but not one of nba_engine; choose another folder")
    written = _format(writer)
    if not written.isdigit():
        raise StoreError(f"{folder / _FILE} does not say its format; it is damaged: restore the folder from a copy")
    if not FORMAT_MIN <= int(written) <= FORMAT:
        raise StoreError(f"{folder} was written in format {written}, this release reads formats {FORMAT_MIN} to {FORMAT}; install the release that "
                         "wrote it")


def _store_error(error: sqlite3.Error, folder: Path) -> StoreError:
    """What SQLite said, and what to do about it."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        cure = "the disk is full; free some space, what waits is then written"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        cure = "another program holds the database; close it, what waits is then written"
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        cure = "the file is damaged; restore the folder from a copy"
    elif isinstance(error, sqlite3.ProgrammingError):
        cure = "the store is closed; open it again"
    else:
        cure = "check that the folder can be written and that its disk is sound"
    return StoreError(f"the store in {folder} failed ({error}): {cure}")
