"""Profiles in a table (or view) of a SQLite file, read only."""

from __future__ import annotations

import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nba_engine.adapters.profiles import unknown_name
from nba_engine.errors import RequestError, StoreError

BUSY_WAIT_S = 5.0
"""How long a lookup waits for a program that is writing the file."""


def _truth(value: Any) -> bool:
    """Whatever a BOOLEAN column holds, which SQLite does not check: a number, or a text that says it; ValueError for what is neither."""
    word = value.lower() if isinstance(value, str) else value
    if word in (1, "1", "true"):
        return True
    if word in (0, "0", "false"):
        return False
    raise ValueError(f"no BOOLEAN (came {value!r}, needed 0 or 1, true or false)")


def _json(value: Any) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueError(f"no JSON ({error})") from error


_READERS: dict[str, Callable[[Any], Any]] = {"JSON": _json, "BOOLEAN": _truth, "BOOL": _truth}


class SqliteProfiles:
    """One row per subject; every other column is a fact under the column's name.

    NULL is None. SQLite has neither truth values nor lists, so the type a column was declared with decides: BOOLEAN is True or False
    (held as 1 or 0 or the words true and false; what is neither is refused), JSON is parsed (a list, a mapping, a value), anything else is
    given as SQLite holds it. Timestamps are RFC 3339 text with a zone or epoch microseconds. A changed row is seen at once, a new
    column after reopening.

    Parameters
    ----------
    path : the file; it is never written.
    table, subject : the table or view, and the column that names the row; it needs an index.
    json : columns to parse as JSON besides those declared so; a view's columns often have no declared type.

    Raises
    ------
    RequestError : no such table or column, or a lookup would read the whole table; by `profile`, a subject that is no valid Unicode.
    StoreError : the file cannot be read; `profile` raises it too, where a row cannot be read.

    Notes
    -----
    Any number of threads may ask; there are as many connections as there are lookups at one moment. **Cost**: 12 us a lookup at 5 columns,
    25 us at 40, from 100,000 rows in the machine's file cache.
    """

    def __init__(self, path: str | Path, table: str = "profiles", subject: str = "subject", json: Sequence[str] = ()) -> None:
        self._path = Path(path)
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)  # whoever forgets to close it leaves no connection behind
        if not self._path.is_file():
            raise StoreError(f"{path} is no file; name the SQLite file that holds the profiles")
        try:
            columns = self._columns(table)
            for argument, name in (("subject", subject), *(("json", name) for name in json)):
                if name not in columns:
                    raise unknown_name(argument, name, columns, f"table {table!r} of {path}")
            facts = {name: "JSON" if name in json else kind for name, kind in columns.items() if name != subject}
            self._names = list(facts)
            self._readers = [(i, _READERS[kind]) for i, kind in enumerate(facts.values()) if kind in _READERS]
            # A column of numbers equals '042' and '42.0' to 42; these are other subjects.
            self._select = (f"SELECT {', '.join(map(_quoted, facts)) or 'NULL'} FROM {_quoted(table)} WHERE {_quoted(subject)} = ? "
                            f"AND CAST({_quoted(subject)} AS TEXT) = ? LIMIT 2")
            if any(step[3].startswith("SCAN") for step in self._rows(f"EXPLAIN QUERY PLAN {self._select}", ("", ""))):
                raise RequestError(f"column {subject!r} of table {table!r} in {path} has no index, so a lookup would read the whole table; "
                                   f"CREATE UNIQUE INDEX one ON {_quoted(table)} ({_quoted(subject)})", "subject")
        except BaseException:
            self.close()
            raise

    def profile(self, subject: str) -> dict[str, Any] | None:
        """The subject's row as facts; None where there is none."""
        rows = self._rows(self._select, (subject, subject))
        if not rows:
            return None
        if len(rows) > 1:
            raise StoreError(f"{self._path} has more than one row for subject {subject!r}; make the index on that column unique")
        facts = dict(zip(self._names, rows[0], strict=False))
        for i, read in self._readers:
            name = self._names[i]
            if facts[name] is not None:
                try:
                    facts[name] = read(facts[name])
                except ValueError as error:
                    raise StoreError(f"{self._path}: column {name!r} of subject {subject!r} is {error}; mend the row") from error
        return facts

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self._closed = True
        _close_all(self._idle)

    def __enter__(self) -> SqliteProfiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _columns(self, table: str) -> dict[str, str]:
        """Declared type of every column, in capitals and without its length; RequestError where there is no such table."""
        columns = {name: kind.partition("(")[0].strip().upper() for _, name, kind, *_ in self._rows(f"PRAGMA table_info({_quoted(table)})")}
        if not columns:
            tables = [name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
            raise unknown_name("table", table, tables, str(self._path))
        return columns

    def _rows(self, statement: str, parameters: tuple[str, ...] = ()) -> list[Any]:
        """All rows, on a connection that nobody else uses meanwhile."""
        if self._closed:
            raise StoreError(f"the profiles of {self._path} are closed; open them again")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            rows = connection.execute(statement, parameters).fetchall()
        except UnicodeEncodeError as error:
            self._idle.append(connection)
            raise RequestError(f"came {error.object!r}, which is no valid Unicode; give a text without lone surrogates", "subject") from error
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"the profiles of {self._path} cannot be read ({error}); check that it is a sound SQLite file with its table, "
                             "that no program keeps it locked, and open it again") from error
        self._idle.append(connection)
        if self._closed:  # by another thread, meanwhile
            self.close()
        return rows

    def _connect(self) -> sqlite3.Connection:
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            return sqlite3.connect(uri, uri=True, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be opened ({error}); check that it may be read") from error


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
