"""What survives: closing, dropping, killing, a failing journal. An acknowledged outcome is never lost, and engine and journal agree."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nba_engine as nba
from nba_engine.journal.store import Store
from tests.shop import ADULT, DAY, HOUR, MINUTE, NOON, NO_NAGGING, actions, beliefs, catalog, engine, everything, written

FEW = 3
"""Decisions at hand where the journal must answer for the rest."""


def shown(shop, subject="ann", channel="call", **more):
    return shop.decide(subject, channel=channel, facts=ADULT, limit=9, **more)


def a_busy_hour(shop):
    """Every kind of outcome, several channels, history, time-outs; returns the decisions by name."""
    made = {}
    for n, (subject, channel) in enumerate([("ann", "call"), ("bob", "web"), ("cyd", "mail"), ("ann", "web"), ("dan", None), ("bob", "call")]):
        made[f"{subject} {channel}"] = shown(shop, subject, channel, at=NOON + n * MINUTE, request_id=f"r{n}", interaction="i" if n < 4 else None)
    shop.record(made["ann call"].id, "declined", action="sport", event_id="e1", at=NOON + MINUTE)
    shop.record(made["bob web"].id, "accepted", action="film", at=NOON + MINUTE)
    shop.record(made["bob web"].id, "skipped", action="stay", at=NOON + MINUTE)
    shop.record(made["cyd mail"].id, "presented", action="stay", at=NOON + MINUTE)
    shop.record(made["ann call"].id, "accepted", action="film", event_id="e2", at=NOON + MINUTE)
    shop.record(made["ann call"].id, "declined", action="film", reason="too_expensive", at=NOON + MINUTE)
    shop.learn({"subject": ["eve", "eve"], "channel": ["call"] * 2, "at": [NOON - DAY, NOON - 2 * DAY], "action": ["stay", "film"],
                "label": ["declined", "accepted"], "tariff": ["silver", "lead"]})  # fmt: skip
    assert shop.advance(NOON + 31 * MINUTE) == 2
    shop.record(made["dan None"].id, "accepted", action="stay", at=NOON + HOUR)
    return made


def check_memory(shop, made):
    """What must be known of that hour after any restart."""
    for n, (name, decision) in enumerate(made.items()):
        subject, channel = name.split()
        assert shown(shop, subject, None if channel == "None" else channel, request_id=f"r{n}") == decision
        assert shop.explain(decision.id).decision == decision
        assert [a.action for a in shop.explain(decision.id).actions if a.offered] == actions(decision)
    assert shop.record(made["ann call"].id, "declined", action="sport", event_id="e1") == nba.Receipt(
        made["ann call"].id, "sport", "declined", "e1", True, False, 0.0)  # fmt: skip
    assert shop.record(made["ann call"].id, "accepted", action="film", event_id="e2").reward == 1.0
    assert shop.record(made["bob web"].id, "accepted", action="film").duplicate
    assert set(actions(shown(shop, "ann", at=NOON + HOUR))) == {"fibre", "stay"}
    assert shown(shop, "ann", interaction="i").repeat_of == made["ann call"].id
    assert shown(shop, "eve", at=NOON + HOUR).interaction == "#1" and shown(shop, "bob").interaction == "#3"


@pytest.mark.parametrize("how", ["close", "drop", "copy"])
@pytest.mark.parametrize("kept", [10_000, FEW, 0])
def test_nothing_is_lost(tmp_path, how, kept):
    live = engine(store=tmp_path / "a", sync="os", explained_decisions_max=kept)
    made = a_busy_hour(live)
    before = everything(live)
    live.flush()
    folder = tmp_path / "a"
    if how == "close":
        live.close()
    elif how == "copy":
        folder = shutil.copytree(tmp_path / "a", tmp_path / "b")
    else:
        live._memory._journal._release()
    again = engine(store=folder, sync="os", explained_decisions_max=kept)
    assert everything(again) == before
    again.close()
    again = engine(store=folder, sync="os", explained_decisions_max=kept)
    assert everything(again) == before
    check_memory(again, made)
    again.close()


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("kept", [10_000, 1])
def test_after_a_restart_outcomes_do_what_they_would_have_done(tmp_path, clean, kept):
    def finish(shop, made):
        shop.record(made["ann call"].id, "accepted", action="sport", at=NOON + 2 * HOUR)  # takes back a decline
        shop.record(made["ann call"].id, "declined", action="sport", at=NOON + 2 * HOUR)
        shop.record(made["bob web"].id, "cancelled", action="film", at=NOON + 2 * HOUR)
        shop.record(made["bob web"].id, "accepted", action="sport", at=NOON + 2 * HOUR)  # was timed out
        shop.record(made["cyd mail"].id, "accepted", action="sport", at=NOON + 2 * HOUR)
        assert shop.advance(NOON + 5 * DAY) == 5  # the mail's presented one, the four of ann's page
        shop.record(made["cyd mail"].id, "accepted", action="stay", at=NOON + 6 * DAY)
        return everything(shop)

    def unnamed(state, made):
        names = {d.id: n for n, d in made.items()}
        subjects = [[subject, n, {key: names.get(first) for key, first in seen.items()}] for subject, n, seen in state["subjects"]]
        return {**state, "subjects": subjects}

    stays = engine(store=tmp_path / "a", sync="os")
    made = a_busy_hour(stays)
    expected = unnamed(finish(stays, made), made)
    stays.close()
    goes = engine(store=tmp_path / "b", sync="os", explained_decisions_max=kept)
    made = a_busy_hour(goes)
    goes.flush()
    if clean:
        goes.close()
    else:
        goes._memory._journal._release()
    again = engine(store=tmp_path / "b", sync="os", explained_decisions_max=kept)
    found = unnamed(finish(again, made), made)
    assert found["beliefs"] == expected["beliefs"] and found["subjects"] == expected["subjects"] and found["waiting"] == expected["waiting"]
    again.close()
    assert unnamed(everything(engine(store=tmp_path / "b", sync="os")), made)["beliefs"] == expected["beliefs"]


def test_an_outcome_after_a_snapshot_and_before_a_kill_is_learned(tmp_path):
    shop = engine(store=tmp_path, sync="os")
    web = shown(shop, channel="web")
    shop.close()
    shop = engine(store=tmp_path, sync="os")
    assert shop.record(web.id, "declined", action="sport").learned  # its offers wait for their time-out in the snapshot
    before = everything(shop)
    shop._memory._journal._release()
    shop = engine(store=tmp_path, sync="os")
    assert everything(shop) == before
    assert shop.advance(NOON + HOUR) == 3


def test_the_same_answer_told_twice_can_still_be_taken_back_after_a_restart(tmp_path):
    shop = engine(store=tmp_path, sync="os")
    decision = shown(shop)
    shop.record(decision.id, "declined", action="sport", event_id="e1")
    shop.record(decision.id, "declined", action="sport", event_id="e2")
    shop.close()
    shop = engine(store=tmp_path, sync="os")
    shop.record(decision.id, "accepted", action="sport")
    assert shop.record(decision.id, "declined", action="sport", event_id="e1").reward == 0.0
    straight = engine()
    straight.record(shown(straight).id, "accepted", action="sport")
    assert beliefs(shop)["models.probit.state.sums"] == beliefs(straight)["models.probit.state.sums"]


OTHER = {"version": "2", "actions": [{"id": "radio", "issue": "sales", "group": "tv", "eligibility": ["tariff == 'tin'"]}, *written()["actions"]]}


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("reopened", [{}, OTHER, {"version": "3", "facts": {**written()["facts"], "tariff": "int"}}])
def test_reloads_are_remembered(tmp_path, clean, reopened):
    """Names are numbered in the order of the catalogs; receipts and contact events of old decisions keep their meaning."""
    shop = engine(store=tmp_path, sync="os", explained_decisions_max=1)
    first = shown(shop, "ann")
    shop.record(first.id, "declined", action="sport")
    shop.reload(catalog(**OTHER))
    second = shop.decide("ann", channel="call", facts={**ADULT, "tariff": "zinc"}, limit=9)
    shop.record(second.id, "declined", action="stay")
    with pytest.raises(nba.CatalogError):
        shop.reload(catalog(actions=[{"id": "x", "eligibility": ["nonsense >"]}]))
    shop.reload(catalog())
    for n in range(3):
        shown(shop, f"s{n}")
    before = everything(shop)
    shop.flush()
    if clean:
        shop.close()
    else:
        shop._memory._journal._release()
    shop = engine(store=tmp_path, sync="os", catalog=catalog(**reopened), explained_decisions_max=1)
    if not reopened:
        assert everything(shop) == before
    names = {a.action: [r.name for r in a.reasons] for a in shop.explain(second.id).actions}
    assert names["sport"][-1] == "no-nagging" and shop.explain(second.id).decision.catalog_version == "2"
    # Only ann's two answers taught anything: taken back, nothing is left.
    shop.record(second.id, "skipped", action="stay")
    shop.record(first.id, "skipped", action="sport")
    if "facts" not in reopened:
        assert set(beliefs(shop)["models.probit.state.sums"]) == {0}


def waits(no_response):
    """The shop with another time-out on the web; None: without that channel."""
    channels = {**written()["channels"], "web": {"presented": "on_return", "no_response": no_response}}
    if no_response is None:
        del channels["web"]
    return catalog(channels=channels, version=str(no_response))


@pytest.mark.parametrize("how", ["stays", "drop", "close", "with the last catalog"])
@pytest.mark.parametrize("changes", [["1h"], ["10m"], ["never", "1h"], [None, "1h"], ["1h", None, "20m", "1h"]])
def test_what_waits_for_a_time_out_waits_as_the_present_catalog_says(tmp_path, how, changes):
    shop = engine(store=tmp_path, sync="os")
    decisions = [shown(shop, subject, "web", at=NOON) for subject in ("ann", "bob", "cyd")]
    shop.record(decisions[0].id, "accepted", action="film", at=NOON)
    if how == "with the last catalog":
        shop.close()
        for change in changes:
            engine(store=tmp_path, sync="os", catalog=waits(change)).close()
        shop = engine(store=tmp_path, sync="os", catalog=waits(changes[-1]))
    for change in changes if how != "with the last catalog" else ():
        shop.reload(waits(change))
    before = everything(shop)
    if how in ("drop", "close"):
        shop.flush()
        if how == "close":
            shop.close()
        else:
            shop._memory._journal._release()
        shop = engine(store=tmp_path, sync="os", catalog=waits(changes[-1]))
        assert everything(shop) == before
    due = 10 * MINUTE if changes[-1] == "10m" else HOUR
    assert (shop.advance(NOON + due - MINUTE), shop.advance(NOON + due), shop.advance(NOON + DAY)) == (0, 11, 0)


def test_facts_of_other_libraries_and_forms_can_be_stored(tmp_path):
    import numpy as np

    shop = engine(store=tmp_path, sync="os")
    odd = {"age": np.int64(41), "bill": np.float32(45.5), "tariff": np.str_("gold"), "products": {"tv", "radio"}, "mail_ok": np.bool_(True),
           "since": "2020-01-01T00:00:00Z"}  # fmt: skip
    decision = shop.decide("ann", channel="call", facts=odd, limit=9)
    assert len(decision.offers) == 4
    shop.record(decision.id, "accepted", action="sport")
    before = everything(shop)
    shop._memory._journal._release()
    assert everything(engine(store=tmp_path, sync="os")) == before


def test_a_second_engine_on_the_folder_is_refused(tmp_path):
    with engine(store=tmp_path):
        with pytest.raises(nba.StoreError, match="open already"):
            engine(store=tmp_path)
    engine(store=tmp_path).close()


def test_an_engine_that_cannot_begin_lets_the_folder_go(tmp_path, monkeypatch):
    engine(store=tmp_path).close()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "latest_snapshot", lambda self: (_ for _ in ()).throw(nba.StoreError("damaged")))
        with pytest.raises(nba.StoreError, match="damaged"):
            engine(store=tmp_path)
    engine(store=tmp_path).close()


class Faulty:
    """Makes the nth call of a method of the store fail."""

    def __init__(self, monkeypatch, method, n):
        self.n_calls, real = 0, getattr(Store, method)

        def failing(store, *arguments):
            self.n_calls += 1
            if self.n_calls == n:
                raise nba.StoreError("the disk is full")
            return real(store, *arguments)

        monkeypatch.setattr(Store, method, failing)


def a_small_run(shop):
    """Acknowledged outcomes by (subject, action), each tried once; failures of the journal are survived by going on."""
    acknowledged = {}
    for n in range(4):
        try:
            web = n % 2 == 1
            decision = shown(shop, f"s{n}", "web" if web else "call", request_id=f"r{n}", at=NOON + n * HOUR)
            for action, label in (("sport", "declined"), ("film", "accepted"), ("film", "declined")):
                acknowledged.pop((f"s{n}", action), None)
                receipt = shop.record(decision.id, label, action=action, at=NOON + n * HOUR)
                acknowledged[f"s{n}", action] = (decision.id, receipt)
            if web:
                shop.advance(NOON + n * HOUR + 31 * MINUTE)
        except nba.StoreError as error:
            assert "disk is full" in str(error)
    return acknowledged


@pytest.mark.parametrize("method", ["append", "commit"])
def test_a_failing_journal_loses_nothing_acknowledged(tmp_path, monkeypatch, method):
    with monkeypatch.context() as patched:
        counter = Faulty(patched, method, -1)
        a_small_run(engine(store=tmp_path / "all", sync="os"))
    for n in range(2, counter.n_calls + 1):  # the first call is that of opening
        with monkeypatch.context() as patched:
            shop = engine(store=tmp_path / str(n), sync="os")
            Faulty(patched, method, n - 1)
            acknowledged = a_small_run(shop)
        before = everything(shop)
        shop.flush()
        shop._memory._journal._release()
        again = engine(store=tmp_path / str(n), sync="os")
        after = everything(again)
        assert after["contacts"] == before["contacts"] and after["beliefs"] == before["beliefs"] and after["subjects"] == before["subjects"], n
        for (subject, action), (decision_id, receipt) in acknowledged.items():
            assert again.record(decision_id, receipt.label, action=action).duplicate, (n, subject, action)


def test_what_an_answer_taught_is_durable_with_it(tmp_path, monkeypatch):
    """Also where the answer alone was committed while it was being learned, by the thread that commits what nobody waits for."""
    shop = engine(store=tmp_path, sync="os")
    journal = shop._memory._journal
    take = nba.engine.take
    monkeypatch.setattr("nba_engine.engine.take", lambda *arguments: (journal.flush(), take(*arguments))[1])
    shop.record(shown(shop, at=NOON).id, "declined", action="sport", at=NOON)
    kinds = journal._reader.execute("SELECT kind FROM entries ORDER BY sequence").fetchall()
    assert [kind for (kind,) in kinds][-3:] == ["decision", "outcome", "taught"]


def test_an_outcome_that_fails_is_not_acknowledged_and_does_not_close_the_store(tmp_path, monkeypatch):
    """A defect of the models, say: it raises for one answer, then as now."""
    from nba_engine.beliefs import Beliefs

    real = Beliefs.update

    def failing(self, row, rank, candidate, reward):
        if reward == 0.25:
            raise ZeroDivisionError("a defect")
        return real(self, row, rank, candidate, reward)

    shop = engine(store=tmp_path, sync="os")
    decision = shown(shop)
    with monkeypatch.context() as defective:
        defective.setattr(Beliefs, "update", failing)
        for _ in range(2):  # the second time is no repeat of an answer
            with pytest.raises(ZeroDivisionError, match="a defect"):
                shop.record(decision.id, "maybe", action="film")
        shop.record(decision.id, "accepted", action="stay")
        before = everything(shop)
        shop._memory._journal._release()
        with pytest.warns(RuntimeWarning, match=r"entry \d+ of the store \(outcome .* left out \(ZeroDivisionError"):
            shop = engine(store=tmp_path, sync="os")
        assert everything(shop) == before
        assert shop.record(decision.id, "accepted", action="stay").duplicate
    assert shop.record(decision.id, "maybe", action="film").learned


KILLED = """
import sys
from tests.shop import ADULT, NOON, engine
shop = engine(store=sys.argv[1], sync="os")
print("open", flush=True)
n = 0
while True:
    decision = shop.decide(f"{sys.argv[2]} {n}", channel="web" if n % 3 else "call", facts=ADULT, limit=2)
    for offer in decision.offers:
        shop.record(decision.id, "accepted" if n % 2 else "declined", action=offer.action)
        print(decision.id, offer.action, "accepted" if n % 2 else "declined", flush=True)
    n += 1
"""


def test_a_killed_process_loses_nothing_acknowledged(tmp_path):
    told = []
    for round_ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(round_)], stdout=subprocess.PIPE, text=True,
                                   cwd=Path(__file__).parents[1])  # fmt: skip
        assert process.stdout.readline() == "open\n"
        told += [process.stdout.readline().split() for _ in range(40 + 37 * round_)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines()
        told += [line.split() for line in rest if len(line.split()) == 3 and line.split()[2] in ("accepted", "declined")]
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    with engine(store=tmp_path, sync="os") as shop:
        for decision_id, action, label in told:
            assert shop.record(decision_id, label, action=action).duplicate
        assert len(told) <= shop.beliefs_version <= len(told) + 3 * 2
        assert NO_NAGGING["name"] in str(shop.explain(shown(shop, "0 0").id))


def test_a_long_recovery_need_not_be_repeated(tmp_path, monkeypatch):
    live = engine(store=tmp_path / "a", sync="os")
    a_busy_hour(live)
    before = everything(live)
    live.flush()
    live._memory._journal._release()
    monkeypatch.setattr("nba_engine.memory.REPLAYED_ENTRIES_MAX", 3)
    recovered = engine(store=tmp_path / "a", sync="os")
    sequence, _ = recovered._memory._journal.latest_snapshot()
    assert sequence == recovered._memory.last_sequence
    recovered._memory._journal._release()
    monkeypatch.setattr("nba_engine.memory.Memory._replay_outcome", lambda *_: pytest.fail("an entry before the snapshot was played again"))
    again = engine(store=tmp_path / "a", sync="os")
    assert everything(again) == before
    again.close()
