"""An interrupt (Ctrl-C, a worker's time limit) in the middle of a commit: what is acknowledged later is there all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba_engine.journal import Store
from tests.test_journal import Failing


@pytest.mark.parametrize("n", range(1, 5))
def test_what_follows_an_interrupted_commit_is_committed(tmp_path: Path, n: int) -> None:
    store = Store(tmp_path, "os")
    store._stop.set()  # only this test commits
    whole = store._writer
    store._writer = Failing(whole, n, KeyboardInterrupt(), True)
    for k in range(5):  # BEGIN, two statements, COMMIT
        sequence = store.append("outcome", str(k), 0, b"x")
    with pytest.raises(KeyboardInterrupt):
        store.commit(sequence)
    for k in range(5, 16):  # with the five that wait sixteen, which are one statement
        sequence = store.append("outcome", str(k), 0, b"x")
    store.commit(sequence)
    assert not whole.in_transaction
    assert store._reader.execute("SELECT count(*) FROM entries").fetchone() == (16,)
    store.close()
