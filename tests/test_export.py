"""`nba export`: what stands in the Parquet file, beside what the engine that made the decisions knows of them."""

from __future__ import annotations

import json
import os
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import nba_engine as nba
from nba_engine import cli, exporting
from nba_engine.exporting import Exported, export
from tests import shop
from tests.shop import ADULT, DAY, HOUR, MINUTE, NOON

LEARNED = ["subject", "channel", "at", "action", "treatment", "label", "reason", "rank", "selection_probability"]


def exported(folder: Path, out: Path) -> tuple[Exported, pa.Table]:
    counts = export(folder, out)
    return counts, pq.read_table(out)


def rows_of(table: pa.Table, decision: nba.Decision) -> list[dict[str, Any]]:
    return table.filter(pc.field("decision_id") == decision.id).to_pylist()


def test_a_row_holds_what_was_known_and_what_came_of_it(tmp_path):
    with shop.engine(store=tmp_path / "store", clock=shop.HandClock()) as engine:
        facts = {**ADULT, "since": "2026-03-01T12:00:00+01:00", "intent": None}
        decision = engine.decide("anna", channel="call", facts=facts, limit=2, request_id="r1", interaction="visit")
        first, second = decision.offers
        engine.record(decision.id, "declined", action=second.action, reason="too_expensive", value=-2.5, at=NOON + HOUR, agent="desk", event_id="e1")
        empty = engine.decide("anna", channel="call", limit=0, at=NOON + DAY)
    counts, table = exported(tmp_path / "store", tmp_path / "out.parquet")
    assert counts == Exported(n_decisions=2, n_offers=2, n_answered=1, n_unfit_facts=0)
    known = {"decision_id": decision.id, "request_id": "r1", "interaction": "visit", "subject": "anna", "channel": "call", "asked_channel": "call",
             "at": NOON, "slate_probability": decision.slate_probability, "control_group": None, "catalog_version": "1", "beliefs_version": 0,
             **ADULT, "since": NOON - timedelta(hours=25), "intent": None}  # fmt: skip

    def placed(offer: nba.Offer) -> dict[str, Any]:
        names = ("rank", "action", "treatment", "propensity", "value", "context_weight", "lever", "cost", "priority", "selection_probability")
        return {name: getattr(offer, name) for name in names}

    unanswered = {"presented": False, "label": None, "reason": None, "reward": None, "outcome_at": None, "outcome_value": None,
                  "agent": None, "event_id": None}  # fmt: skip
    answered = {"presented": True, "label": "declined", "reason": "too_expensive", "reward": 0.0, "outcome_at": NOON + HOUR, "outcome_value": -2.5,
                "agent": "desk", "event_id": "e1"}  # fmt: skip
    assert rows_of(table, decision) == [known | placed(first) | unanswered, known | placed(second) | answered]
    [row] = rows_of(table, empty)
    assert (row["subject"], row["channel"], row["at"], row["action"], row["rank"], row["label"]) == ("anna", "call", NOON + DAY, None, None, None)
    assert (row["catalog_version"], row["age"]) == ("1", None)


def test_columns_are_typed_and_a_taken_name_gets_a_prefix(tmp_path):
    facts = {"value": "double", "seen": "timestamp", "wait": "duration", "scores": "map<string, double>", "raw": "bytes", "flags": "list<bool>",
             "any": "list", "address": {"type": {"city": "string", "geo": {"lat": "double"}}}, "count": "uint"}  # fmt: skip
    given = {"value": 7, "seen": 1_000_000, "wait": "36h", "scores": {"x": 1}, "raw": b"\x01", "flags": [True], "any": [1, "b"],
             "address": {"city": "Bern", "geo": {"lat": 46.9}}, "count": 2**63}  # fmt: skip
    catalog = nba.Catalog.from_dict({"facts": facts, "actions": [{"id": "a"}]})
    with nba.Engine(catalog, store=tmp_path / "store") as engine:
        engine.decide("anna", facts=given)
        engine.decide("bert", facts={"address": None})
        engine.decide("carl", facts={"address": {"city": "Thun"}})
    _, table = exported(tmp_path / "store", tmp_path / "out.parquet")
    types = {field.name: field.type for field in table.schema}
    assert types["at"] == types["seen"] == types["outcome_at"] == pa.timestamp("us", "UTC")
    assert (types["fact.value"], types["wait"], types["count"], types["raw"]) == (pa.float64(), pa.duration("us"), pa.uint64(), pa.binary())
    assert types["address"] == pa.struct([("city", pa.string()), ("geo", pa.struct([("lat", pa.float64())]))]) and types["any"] == pa.string()
    anna, bert, carl = table.to_pylist()
    assert (anna["value"], anna["fact.value"], anna["seen"].timestamp(), anna["wait"]) == (1.0, 7.0, 1.0, timedelta(hours=36))
    assert (anna["scores"], anna["raw"], anna["flags"], json.loads(anna["any"]), anna["count"]) == ([("x", 1.0)], b"\x01", [True], [1, "b"], 2**63)
    assert [row["address"] for row in (anna, bert, carl)] == [given["address"], None, {"city": "Thun", "geo": None}]


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_stand_as_the_engine_sees_them(tmp_path, seed):
    """Replaced, taken back, skipped, silent, late, repeated: 300 decisions with random outcomes, over a restart, offer by offer."""
    chance, clock = random.Random(seed), shop.HandClock()
    store, decisions, alive = tmp_path / "store", list[nba.Decision](), dict[tuple[str, int], tuple[Any, ...]]()
    catalog = shop.catalog(outcomes={**shop.written()["outcomes"], "no_response": {"reward": 0}, "accepted": {"reward": 1, "value": 3.0}},
                           contact_policies=[])  # fmt: skip
    for _ in range(2):
        with shop.engine(catalog=catalog, store=store, clock=clock, sync="os") as engine:
            for _ in range(150):
                clock.now += MINUTE * chance.randint(1, 20)
                channel = chance.choice(["call", "web", "mail", None])
                decisions.append(engine.decide(f"s{chance.randint(0, 20)}", channel=channel, facts=ADULT, limit=2))
                for _ in range(chance.randint(0, 3)):
                    meant = chance.choice(decisions[-30:])
                    if meant.offers:
                        answer_somehow(engine, meant, chance)
                engine.advance()
            for decision in decisions:
                kept = engine._memory.find(decision.id)
                for i, offer in enumerate(kept.offers):
                    alive[decision.id, i + 1] = offer.label, offer.reason, offer.reward, offer.presented_at_us is not None
    counts, table = exported(store, tmp_path / "out.parquet")
    offers = [row for row in table.to_pylist() if row["rank"]]
    found = {(row["decision_id"], row["rank"]): (row["label"], row["reason"], row["reward"], row["presented"]) for row in offers}
    assert found == alive and counts.n_answered == sum(label is not None for label, *_ in alive.values())
    labels = {label for label, *_ in found.values()}
    assert labels == {None, "accepted", "declined", "maybe", "skipped", "cancelled", "no_response"}
    worth = {row["label"]: row["outcome_value"] for row in offers}
    assert worth["accepted"] == 3.0 and worth["declined"] is None


def answer_somehow(engine: nba.Engine, decision: nba.Decision, chance: random.Random) -> None:
    label = chance.choice(["accepted", "declined", "maybe", "presented", "skipped", "cancelled"])
    reason = chance.choice(["too_expensive", "already_have", None]) if label == "declined" else None
    event = chance.choice([None, None, f"e{chance.randint(0, 10**9)}"])
    try:
        engine.record(decision.id, label, action=chance.choice(decision.offers).action, reason=reason, event_id=event)
    except nba.OutcomeError as error:
        assert "takes back" in str(error)


def test_all_that_was_ever_committed_is_there_after_snapshots_and_under_new_catalogs(tmp_path):
    changed = {**shop.written()["facts"], "bill": "string"}
    del changed["tariff"]
    rules = [{"id": "sport", "issue": "sales", "group": "tv", "eligibility": ["age >= 18"]}]
    made = list[nba.Decision]()
    for catalog, bill in ((shop.catalog(), 45.5), (shop.catalog(), 46), (shop.catalog(facts=changed, actions=rules, version="2"), "high")):
        with shop.engine(catalog=catalog, store=tmp_path / "store") as engine:  # each closing saves a snapshot; two are kept
            made.append(engine.decide("anna", channel="call", facts={**ADULT, "bill": bill}))
    counts, table = exported(tmp_path / "store", tmp_path / "out.parquet")
    rows = table.to_pylist()
    assert [row["decision_id"] for row in rows] == [decision.id for decision in made] and counts.n_unfit_facts == 2
    assert [(row["bill"], row["tariff"], row["catalog_version"]) for row in rows] == [(None, "gold", "1"), (None, "gold", "1"), ("high", None, "2")]


def test_a_killed_process_leaves_a_store_that_can_be_exported(tmp_path):
    engine = shop.engine(store=tmp_path / "store")
    decision = engine.decide("anna", channel="call", facts=ADULT)
    engine.record(decision.id, "accepted")
    shutil.copytree(tmp_path / "store", tmp_path / "left")  # what a kill would leave: no snapshot, the log not folded in
    engine.close()
    counts, table = exported(tmp_path / "left", tmp_path / "out.parquet")
    assert counts.n_answered == 1 and table["label"].to_pylist() == ["accepted"] and table["reward"].to_pylist() == [1.0]
    with shop.engine(store=tmp_path / "left") as again:
        assert again._memory.find(decision.id).offers[0].label == "accepted"


def test_an_export_changes_nothing_in_the_store(tmp_path):
    with shop.engine(store=tmp_path / "store") as engine:
        decision = engine.decide("anna", channel="call", facts=ADULT)
        engine.record(decision.id, "accepted")
        before = shop.everything(engine)
        sequence = engine._memory.last_sequence
    export(tmp_path / "store", tmp_path / "out.parquet")
    with shop.engine(store=tmp_path / "store") as engine:
        assert shop.everything(engine) == before and engine._memory.last_sequence == sequence


def test_row_groups_are_bounded_and_progress_is_told(tmp_path, monkeypatch):
    with shop.engine(store=tmp_path / "store", sync="os") as engine:
        decisions = [engine.decide(f"s{i}", channel="call", facts={**ADULT, "age": 18 + i}, limit=2) for i in range(25)]
    _, whole = exported(tmp_path / "store", tmp_path / "whole.parquet")
    monkeypatch.setattr(exporting, "ROWS_PER_GROUP", 10)
    told: list[tuple[int, int]] = []
    counts = export(tmp_path / "store", tmp_path / "groups.parquet", lambda done, n: told.append((done, n)))
    file = pq.ParquetFile(tmp_path / "groups.parquet")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [10, 10, 10, 10, 10] and file.read().equals(whole) and counts.n_decisions == len(decisions)
    assert len(told) == 6 and told == sorted(told) and told[-1][0] == told[-1][1]


def test_a_store_without_decisions_gives_the_columns_alone(tmp_path):
    shop.engine(store=tmp_path / "store").close()
    counts, table = exported(tmp_path / "store", tmp_path / "out.parquet")
    assert counts == Exported(0, 0, 0, 0) and table.num_rows == 0 and set(LEARNED) | set(ADULT) < set(table.column_names)


def test_what_was_exported_teaches_a_fresh_engine(tmp_path):
    chance = random.Random(3)
    with shop.engine(store=tmp_path / "store", catalog=shop.catalog(contact_policies=[]), sync="os") as engine:
        for i in range(200):
            facts = {**ADULT, "tariff": chance.choice(["gold", "basic"]), "since": NOON - DAY * i}
            decision = engine.decide(f"s{i}", channel=chance.choice(["call", "mail"]), facts=facts, limit=2)
            engine.record(decision.id, "accepted" if facts["tariff"] == "gold" else "declined", action=decision.offers[0].action)
    _, table = exported(tmp_path / "store", tmp_path / "out.parquet")
    history = table.select([*LEARNED, *shop.written()["facts"]]).filter(pc.is_valid(table["label"]))
    fresh = shop.engine()
    assert fresh.learn(history) == 200

    def hoped(tariff: str) -> float:
        return fresh.decide("somebody", channel="call", facts={**ADULT, "tariff": tariff}).offers[0].propensity

    assert hoped("gold") > 0.8 and hoped("basic") < 0.2


def test_an_open_store_and_a_missing_one_are_refused_and_leave_nothing(tmp_path):
    with shop.engine(store=tmp_path / "store") as engine:
        with pytest.raises(nba.StoreError, match="is open already"):
            export(tmp_path / "store", tmp_path / "out.parquet")
        assert engine.decide("anna", channel="call", facts=ADULT).offers != ()
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(nba.StoreError, match="there is no store in"):
            export(folder, tmp_path / "out.parquet")
    with pytest.raises(nba.RequestError, match="cannot be written"):
        export(tmp_path / "store", tmp_path / "no-such-folder" / "out.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(nba.RequestError, match="cannot be written"):
        export(tmp_path / "store", tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(nba.RequestError, match="pipe is a folder or a device"):
        export(tmp_path / "store", tmp_path / "pipe")
    with pytest.raises(nba.RequestError, match="does not end in .parquet"):
        export(tmp_path / "store", tmp_path / "out.csv")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "pipe").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "store"]


def test_a_failing_export_keeps_the_file_of_before_and_lets_go_of_the_store(tmp_path, monkeypatch):
    with shop.engine(store=tmp_path / "store") as engine:
        engine.decide("anna", channel="call", facts=ADULT)
    out = tmp_path / "out.parquet"
    export(tmp_path / "store", out)
    before = out.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(nba.RequestError, match="No space left"):
        patch.setattr(pq.ParquetWriter, "write_batch", full)
        export(tmp_path / "store", out)
    assert out.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["out.parquet", "store"]
    assert export(tmp_path / "store", out).n_decisions == 1


def test_the_command_line_prints_counts(tmp_path):
    with shop.engine(store=tmp_path / "store") as engine:
        engine.record(engine.decide("anna", channel="call", facts=ADULT).id, "accepted")
    arguments = ["export", str(tmp_path / "store"), str(tmp_path / "out.parquet")]
    result = CliRunner().invoke(cli.app, arguments)
    assert (result.exit_code, result.stdout) == (0, f"{arguments[2]}: 1 decisions, 1 offers, 1 of them answered\n")
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert json.loads(result.stdout) == {"n_decisions": 1, "n_offers": 1, "n_answered": 1, "n_unfit_facts": 0}
    assert pq.read_table(arguments[2])["label"].to_pylist() == ["accepted"]
    result = CliRunner().invoke(cli.app, ["export", str(tmp_path / "none"), arguments[2], "--json"])
    assert result.exit_code == 2 and "there is no store in" in json.loads(result.stdout)["error"]
