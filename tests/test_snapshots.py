"""Snapshots while the engine goes on: they change nothing, are what the entries add up to, and a process killed during one loses nothing."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import nba_engine as nba
from nba_engine import snapshots
from nba_engine.contact.history import Contacts
from nba_engine.contact.names import Shown
from nba_engine.journal import entries
from nba_engine.journal import snapshots as files
from nba_engine.learning import State
from tests.shop import ADULT, HOUR, MINUTE, HandClock, engine, everything

KILLED_AT = {
    "while it is written": "files.os.fsync = die",
    "before it has its name": "files.os.replace = die",
    "after it has its name": "files._make_names_last = die",
}
WORK = """
import os, signal, sys
from nba_engine import snapshots
from nba_engine.journal import snapshots as files
from tests.test_snapshots import play
from tests.shop import engine

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

snapshots.ENTRIES_MAX = 20
shop = engine(store=sys.argv[1], sync="os", seed=5)
play(shop, 40, lambda number: print(number, flush=True))
shop._memory._snapshots.wait()
{how}
play(shop, 400, lambda number: print(number, flush=True), 40)
"""


def play(shop, n, acknowledged=lambda number: None, first=0):
    """`n` interactions on three channels, most of them answered; `acknowledged` hears the number of each answer."""
    clock = shop._clock
    for i in range(first, first + n):
        clock.now += MINUTE
        facts = {**ADULT, "age": 18 + i % 50, "tariff": f"t{i % 7}"}
        named, channel = f"i{i % 5}" if i % 2 else None, ("call", "web", None)[i % 3]
        decision = shop.decide(f"s{i % 23}", channel=channel, facts=facts, limit=1 + i % 2, interaction=named)
        for offer in decision.offers[: i % 3]:
            shop.record(decision.id, ("accepted", "declined", "skipped", "maybe")[i % 4], action=offer.action, event_id=f"{i} {offer.action}")
            acknowledged(i)
        if i % 30 == 29:
            clock.now += HOUR
            shop.advance()


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(snapshots, "ENTRIES_MAX", 7)


def test_snapshots_change_nothing_and_are_what_the_entries_add_up_to(tmp_path, monkeypatch):
    straight = engine(store=tmp_path / "a", sync="os", seed=5)
    play(straight, 150)
    before = everything(straight)
    straight.flush()
    straight._memory._journal._release()
    monkeypatch.setattr(snapshots, "ENTRIES_MAX", 7)
    monkeypatch.setattr(snapshots, "BYTES_PER_ENTRY", 1_000_000)  # however large: every ten interactions take one step of two at the least
    live = engine(store=tmp_path / "b", sync="os", seed=5)
    saved = []
    for first in range(0, 150, 10):
        play(live, 10, first=first)
        live._memory._snapshots.wait()
        if (latest := live._memory._journal.latest_snapshot()) is not None:  # first, room was made for it
            saved.append(latest[0])
    assert len(set(saved)) > 5 and saved == sorted(saved)
    assert without_ids(everything(live)) == without_ids(before)
    now = everything(live)
    live.flush()
    live._memory._journal._release()
    again = engine(store=tmp_path / "b", sync="os", seed=5)
    assert everything(again) == now
    again.close()


def test_room_holds_copies_until_it_is_full():
    room, array = snapshots.Room(1_000), np.arange(100, dtype=np.int64)
    first, second = room.copied(array), room.copied(array)
    array += 1
    assert first.base is not None and second.base is None
    assert first.tolist() == second.tolist() == list(range(100))


def without_ids(state):
    """Ids of decisions and what is keyed by them differ between engines; numbers of both are kept."""
    left = {name: value for name, value in state["contacts"].items() if name != "event_offer"}
    subjects = [[name, n, list(seen)] for name, n, seen in state["subjects"]]
    return {**state, "contacts": left, "subjects": subjects, "waiting": [(at, position) for at, _, position in state["waiting"]]}


def test_a_long_recovery_saves_on_its_way(tmp_path, monkeypatch):
    live = engine(store=tmp_path, sync="os")
    play(live, 60)
    before = everything(live)
    live.flush()
    live._memory._journal._release()
    monkeypatch.setattr(snapshots, "ENTRIES_MAX", 50)
    monkeypatch.setattr(snapshots.Snapshots, "_start", lambda self, work, *args: work(*args))  # no thread that may be too late
    again = engine(store=tmp_path, sync="os")
    again._memory._snapshots.wait()
    assert 50 <= again._memory._journal.latest_snapshot()[0] and everything(again) == before
    again._memory._journal._release()


@pytest.mark.parametrize("how", KILLED_AT)
def test_a_process_killed_at_any_moment_of_a_snapshot_loses_no_answer(tmp_path, how):
    done = subprocess.run([sys.executable, "-c", WORK.replace("{how}", KILLED_AT[how]), str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    told = [int(line) for line in done.stdout.split()]
    assert told[-1] >= 38  # the last answered of the first 40: it may die before another answer
    recovered = engine(store=tmp_path, sync="os", seed=5)
    told_of = [entries.unpack_outcome(entry.payload)[0].event_id for entry in recovered._memory._journal.read(0, (entries.OUTCOME,))]
    assert {int(event.split()[0]) for event in told_of if event} >= set(told)
    assert recovered._memory.state.watch.n_taught >= 1
    state = everything(recovered)
    recovered.close()
    for path in tmp_path.glob("snapshot*"):
        path.unlink()
    played = engine(store=tmp_path, sync="os", seed=5)
    assert everything(played) == state
    played.close()


def test_a_snapshot_that_cannot_be_written_is_told_of_and_loses_nothing(tmp_path, often, monkeypatch):
    told = []
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(snapshots.warnings, "warn", lambda text, *_, **__: told.append(text))
    live = engine(store=tmp_path, sync="os")
    for first in (0, 10):
        play(live, 10, first=first)
        live._memory._snapshots.wait()
    assert told and "No space left" in told[0] and live._memory._journal.latest_snapshot() is None
    before = everything(live)
    live.flush()
    live._memory._journal._release()
    monkeypatch.undo()
    again = engine(store=tmp_path, sync="os")
    assert everything(again) == before
    again.close()


def test_histories_that_change_while_they_are_read_are_told_as_they_were():
    contacts, shown = Contacts(), Shown("a", None, None, None)
    for i in range(50):
        contacts.present(f"s{i}", i, i, shown, i)
    before, told = contacts.state(), contacts.cut()
    for i in range(0, 50, 2):
        contacts.answer(f"s{i}", i, i, shown, "declined", None, 100)
        contacts.present(f"s{i}", 1000 + i, i, shown, 100)
    contacts.skip("s1", 1)
    contacts.present("new", 1, 1, shown, 100)
    found = told()
    names = [name for name in before if name.startswith("event_")]
    assert [found[name].tobytes() for name in ("offsets", *names)] == [before[name].tobytes() for name in ("offsets", *names)]
    assert found["subjects"] == before["subjects"] and len(contacts.state()["subjects"]) == 50
    assert contacts._before is None


def test_a_snapshot_is_cut_between_two_changes_while_others_decide(tmp_path, often):
    """Threads decide and record while snapshots are taken as often as they can be."""
    live = engine(store=tmp_path, sync="os", clock=HandClock())

    def crowd(k):
        for i in range(60):
            decision = live.decide(f"s{k} {i % 9}", channel="call", facts=ADULT)
            for offer in decision.offers:
                live.record(decision.id, "accepted" if i % 2 else "declined", action=offer.action)

    threads = [threading.Thread(target=crowd, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live._memory._snapshots.wait()
    before = everything(live)
    live.flush()
    live._memory._journal._release()
    again = nba.Engine(live.catalog, store=tmp_path, sync="os", clock=HandClock())
    assert everything(again) == before and isinstance(again._memory.state, State)
    again.close()


@pytest.mark.parametrize("n_damaged", [1, 2])
def test_a_damaged_snapshot_is_passed_over(tmp_path, n_damaged):
    """Entries are never thinned out: those after an older snapshot, or all of them, give the same state."""
    for _ in range(2):
        live = engine(store=tmp_path, sync="os")
        play(live, 20)
        before = everything(live)
        live.close()
    for path in sorted(tmp_path.glob("snapshot-*"))[-n_damaged:]:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="snapshot [0-9]+ of the store is passed over") as told:
        again = engine(store=tmp_path, sync="os")
    assert len(told) == n_damaged and everything(again) == before
    again.close()


def test_snapshots_without_their_entries_are_refused(tmp_path):
    live = engine(store=tmp_path)
    play(live, 3)
    live.close()
    (tmp_path / "journal.sqlite").unlink()
    with pytest.raises(nba.StoreError, match="has snapshots and no entries"):
        engine(store=tmp_path)


@pytest.mark.parametrize("name", ["null\0byte", "half\ud800character"])
def test_what_cannot_name_a_folder_is_refused(tmp_path, name):
    with pytest.raises(nba.StoreError, match="choose a folder that can be written"):
        engine(store=str(tmp_path / name))
