"""Snapshots of an engine's state while it goes on, so that the next start has few entries to play again.

One is due after so many entries; the engine's lock is held while beliefs are copied. The rest is read, packed and written by a thread of its own.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nba_engine.errors import StoreError
from nba_engine.journal import codec
from nba_engine.learning import State
from nba_engine.lessons import written

if TYPE_CHECKING:
    from nba_engine.journal.store import Store

ENTRIES_MAX = 10_000
"""Entries after which a snapshot is due: an interaction leaves three, and some 3,500 a second are played again."""
BYTES_PER_ENTRY = 2_000
"""A snapshot of more than ENTRIES_MAX times as much is due less often, so that no more is written for snapshots than for entries."""
ROWS_PER_ENTRY = 30
"""Rows of history that are taken in again in the time of one entry."""


def cut(state: State, catalog_key: str) -> Callable[[], dict[str, Any]]:
    """What the state is now, as plain data. What takes long is told later, by any thread, while the state goes on: call it once.

    `catalog_key` names the catalog in use. Cost: copying the beliefs, and some 20 ns per subject and per offer that waits for its time-out.
    """
    models = written(state.beliefs, state.challenger)
    now = {"vocabulary": state.vocabulary.state(), "beliefs": state.beliefs.state(),
           "challenger": None if state.challenger is None else state.challenger.state(), "catalog": catalog_key,
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

    def count_rows(self, n: int) -> None:
        """So many rows of history were taken in by one entry."""
        self._due_at -= n // ROWS_PER_ENTRY

    def save_if_due(self, sequence: int, state: State, catalog_key: str) -> None:
        """Begin to save the state, which is what the entries up to `sequence` add up to, if it is time and the one before is saved."""
        if sequence < self._due_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._due_at = sequence + ENTRIES_MAX
        self._thread = threading.Thread(target=self._write, args=(sequence, cut(state, catalog_key)), name="nba-snapshot", daemon=True)
        self._thread.start()

    def save(self, sequence: int, state: State, catalog_key: str) -> None:
        """Save the state and return when it is saved; StoreError where it cannot be."""
        self.wait()
        self._journal.save_snapshot(sequence, codec.pack(cut(state, catalog_key)()))

    def wait(self) -> None:
        """Return when nothing is being saved."""
        if self._thread is not None:
            self._thread.join()

    def _write(self, sequence: int, told: Callable[[], dict[str, Any]]) -> None:
        try:
            payload = codec.pack(told())
            self._journal.save_snapshot(sequence, payload)
        except StoreError as error:  # nothing is lost: the entries stand, and the next one is due soon
            warnings.warn(f"no snapshot was saved, the next start will take longer: {error}", RuntimeWarning, stacklevel=2)
            return
        self._due_at = max(self._due_at, sequence + len(payload) // BYTES_PER_ENTRY)
