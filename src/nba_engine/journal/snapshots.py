"""Snapshots as files beside the database, so that writing one holds up no commit.

A file gets its name when all of it is on the disk: a process that is killed at any moment, or a loss of power, leaves the snapshots before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SNAPSHOTS_KEPT = 2

_PREFIX, _DIGITS = "snapshot-", 19
_UNFINISHED = "snapshot.unfinished"


def save(folder: Path, sequence: int, payload: Iterable[bytes | memoryview]) -> int:
    """Keep what the entries up to `sequence` add up to, and drop older ones but one; how many bytes. OSError where the disk fails. One at a time."""
    unfinished = folder / _UNFINISHED
    with open(unfinished, "wb") as file:
        n_bytes = sum(map(file.write, payload))
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, folder / f"{_PREFIX}{sequence:0{_DIGITS}}")
    _make_names_last(folder)
    for older in _files(folder)[:-SNAPSHOTS_KEPT]:
        older.unlink()
    return n_bytes


def latest(folder: Path, before: int | None = None) -> tuple[int, Path] | None:
    """(sequence, file) of the newest snapshot, of those before a sequence if one is given, or None."""
    numbered = [(int(file.name.removeprefix(_PREFIX)), file) for file in _files(folder)]
    return next((found for found in reversed(numbered) if before is None or found[0] < before), None)


def _files(folder: Path) -> list[Path]:
    """Oldest first: the names are as long as each other."""
    return sorted(folder.glob(_PREFIX + "[0-9]" * _DIGITS))


def _make_names_last(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the file system sees to it
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
