"""Snapshots of an engine's state while it goes on, so that the next start has few entries to play again.

One is due after so many entries. A thread first makes room for the beliefs; then, between two entries, they are copied there under the engine's lock,
and the thread reads the rest, packs and writes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.errors import StoreError
from nba_engine.journal import codec
from nba_engine.learning import State
from nba_engine.lessons import written

if TYPE_CHECKING:
    from nba_engine.journal.store import Store
    from nba_engine.models.contract import Copied

ENTRIES_MAX = 10_000
"""Entries after which a snapshot is due: an interaction leaves three, and some 3,500 a second are played again."""
BYTES_PER_ENTRY = 2_000
"""A snapshot of more than ENTRIES_MAX times as much is due less often, so that no more is written for snapshots than for entries."""
ROWS_PER_ENTRY = 30
"""Rows of history that are taken in again in the time of one entry."""


class Room:
    """Memory that was written to before: copying 14 MB there takes 1 ms, and 40 ms where the machine must find every page first.

    Cost: making it, those 40 ms, without the interpreter's lock.
    """

    def __init__(self, n_bytes: int) -> None:
        self._bytes, self._n_used = np.empty(n_bytes, np.uint8), 0
        self._bytes.fill(0)

    def copied(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A copy of an array in what is left; elsewhere where that is too little."""
        first, last = self._n_used, self._n_used + array.nbytes
        if last > len(self._bytes):
            return array.copy()
        self._n_used = -(-last // 64) * 64
        found = self._bytes[first:last].view(array.dtype).reshape(array.shape)
        found[...] = array
        return found


def cut(state: State, catalog_key: str, copied: Copied = np.copy) -> Callable[[], dict[str, Any]]:
    """What the state is now, as plain data. What takes long is told later, by any thread, while the state goes on: call it once.

    `catalog_key` names the catalog in use. Cost: copying the beliefs, and some 20 ns per subject and per offer that waits for its time-out.
    """
    models = written(state.beliefs, state.challenger)
    now = {"vocabulary": state.vocabulary.state(), "beliefs": state.beliefs.state(copied),
           "challenger": None if state.challenger is None else state.challenger.state(copied), "catalog": catalog_key,
           "lives": [one.life for one in models]}
    contacts, ledger, health, due = state.contacts.cut(), state.ledger.cut(), state.watch.cut(), list(state.due)

    def told() -> dict[str, Any]:
        waiting = [[kept.decision.id, position] for _, _, position, kept in sorted(due, key=lambda due: due[:2])]
        return {**now, "contacts": contacts(), "ledger": ledger(), "health": health(), "waiting": waiting}

    return told


class Snapshots:
    """Saves a snapshot whenever one is due. Called under the engine's lock, between two changes of the state."""

    def __init__(self, journal: Store, sequence: int) -> None:
        self._journal = journal
        self._due_at = sequence + ENTRIES_MAX
        self._thread: threading.Thread | None = None
        self._room: Room | None = None

    def count_rows(self, n: int) -> None:
        """So many rows of history were taken in by one entry."""
        self._due_at -= n // ROWS_PER_ENTRY

    def save_if_due(self, sequence: int, state: State, catalog_key: str) -> None:
        """Begin to save the state, which is what the entries up to `sequence` add up to, if it is time and the one before is saved."""
        if sequence < self._due_at or (self._thread is not None and self._thread.is_alive()):
            return
        room, self._room = self._room, None
        if room is None:
            self._start(self._make_room, state.beliefs.nbytes + (0 if state.challenger is None else state.challenger.beliefs.nbytes))
            return
        self._due_at = sequence + ENTRIES_MAX
        self._start(self._write, sequence, cut(state, catalog_key, room.copied))

    def save(self, sequence: int, state: State, catalog_key: str) -> None:
        """Save the state and return when it is saved; StoreError where it cannot be."""
        self.wait()
        self._journal.save_snapshot(sequence, codec.pieces(cut(state, catalog_key)()))

    def wait(self) -> None:
        """Return when nothing is being saved."""
        if self._thread is not None:
            self._thread.join()

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        self._thread = threading.Thread(target=work, args=args, name="nba-snapshot", daemon=True)
        self._thread.start()

    def _make_room(self, n_bytes: int) -> None:
        self._room = Room(n_bytes)

    def _write(self, sequence: int, told: Callable[[], dict[str, Any]]) -> None:
        try:
            n_bytes = self._journal.save_snapshot(sequence, codec.pieces(told()))
        except StoreError as error:  # nothing is lost: the entries stand, and the next one is due soon
            warnings.warn(f"no snapshot was saved, the next start will take longer: {error}", RuntimeWarning, stacklevel=2)
            return
        self._due_at = max(self._due_at, sequence + n_bytes // BYTES_PER_ENTRY)
