"""One process per store: an advisory lock on a file in its folder, freed by the system when the process ends however it ends."""

from __future__ import annotations

import os
from pathlib import Path

from nba_engine.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks still keep the file whole, two processes are merely not told so early.
    fcntl = None

_FILE = "lock"


class FolderLock:
    """Holds `folder` (made where missing) until `close`; StoreError where somebody else holds it or the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(folder / _FILE, "a+")
        except (OSError, ValueError) as error:  # no name of a folder: it holds a null byte, or half a character
            why = error.strerror if isinstance(error, OSError) else error
            raise StoreError(f"the store cannot be kept in {ascii(str(folder))} ({why}); choose a folder that can be written") from error
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreError(f"{folder} is open already (process {holder}); close that engine first, or choose another folder") from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def close(self) -> None:
        """Let go; a second call does nothing."""
        self._file.close()
