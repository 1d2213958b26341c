"""Stored profiles behind the seam `ProfileStore` of ports.py: a SQLite table, a Parquet or Arrow file. A plain mapping needs no adapter.

What a store gives is checked as every fact is: by its declared type, when it is read. Columns that the catalog does not declare are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from nba_engine.errors import RequestError
from nba_engine.ports import ProfileStore

SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")
ARROW_SUFFIXES = (".parquet", ".arrow", ".feather")


def open_profiles(path: str | Path) -> ProfileStore:
    """The profiles in a file, by its suffix: a SQLite table `profiles`, or a Parquet, Arrow or Feather file; the column `subject` names the row.

    Raises
    ------
    RequestError : another suffix, or no such table or column. StoreError : the file cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SQLITE_SUFFIXES:
        from nba_engine.adapters.profiles.sqlite import SqliteProfiles

        return SqliteProfiles(path)
    if suffix in ARROW_SUFFIXES:
        from nba_engine.adapters.profiles.arrow import ArrowProfiles

        return ArrowProfiles(path)
    known = ", ".join((*SQLITE_SUFFIXES, *ARROW_SUFFIXES))
    raise RequestError(f"{path}: profiles are not read from {suffix or 'a file without a suffix'!r}; supported are {known}", "path")


def unknown_name(argument: str, name: str, known: Iterable[str], where: str) -> RequestError:
    """The refusal of a table or column that is not there, with the nearest that is."""
    names = sorted(known)
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
    return RequestError(f"{where} has no {argument} {name!r}; {hint}", argument)
