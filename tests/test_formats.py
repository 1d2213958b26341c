"""What other releases have written, or will: earlier formats are read, later ones are refused and left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from nba_engine.errors import StoreError
from nba_engine.journal import Store
from nba_engine.journal.store import FORMAT, FORMAT_MIN
from nba_engine.models.contract import Receipt


@pytest.mark.parametrize("written", [FORMAT_MIN - 1, FORMAT + 1])
def test_another_format_is_refused_and_left_alone(tmp_path: Path, written: int) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute("UPDATE meta SET value = ? WHERE name = 'format'", (str(written),))
    other.close()
    before = (tmp_path / "journal.sqlite").read_bytes()
    with pytest.raises(StoreError, match=f"format {written}, this release reads formats {FORMAT_MIN} to {FORMAT}"):
        Store(tmp_path)
    assert (tmp_path / "journal.sqlite").read_bytes() == before


def test_an_earlier_format_is_read_and_becomes_the_present_one_with_its_first_new_entry(tmp_path: Path) -> None:
    def meta(statement: str = "SELECT value FROM meta WHERE name = 'format'") -> list[tuple[str]]:
        with sqlite3.connect(tmp_path / "journal.sqlite") as other:
            found = other.execute(statement).fetchall()
        other.close()
        return found

    store = Store(tmp_path)
    store.append("decision", "a", 1, b"one")
    store.close()
    meta(f"UPDATE meta SET value = '{FORMAT_MIN}' WHERE name = 'format'")
    store = Store(tmp_path)
    assert store.find("decision", "a") == b"one"
    store.close()
    assert meta() == [(str(FORMAT_MIN),)]  # who only looks changes nothing
    store = Store(tmp_path)
    store.commit(store.append("decision", "b", 1, b"two"))
    assert meta() == [(str(FORMAT),)]
    store.close()
    store = Store(tmp_path)
    assert [entry.key for entry in store.read()] == ["a", "b"]
    store.close()


def test_a_receipt_as_earlier_stores_hold_it_is_read():
    """Those told what is the same on all levels once for each level."""
    deltas = [[[10, 10, 10], [11, 11, 11]], [[20, 30, 40], [21, 31, 41]]]
    for when in ((), (2 << 24, 5, 1)):
        receipt = Receipt.from_bytes(np.array([2, 3, 7, 0, 4, 0, 2, 5, *np.ravel(deltas), *when], "<i4").tobytes())
        assert receipt.table.tolist() == [[0, 4], [10, 11], [20, 21], [30, 31], [40, 41]]
        assert (receipt.entities.tolist(), receipt.model) == ([0, 2, 5], 7)
        assert (receipt.counted, receipt.epoch) == ((2 << 24, (1 << 31) + 5) if when else (1 << 24, 0))
        again = Receipt.from_bytes(receipt.to_bytes())
        assert again.to_bytes() == receipt.to_bytes() and again.table.tolist() == receipt.table.tolist()
