"""Explanations: arrays and words say the same of every candidate, what is asked for is all that is read, and tables are named as written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import nba_engine as nba
from nba_engine.explaining.asked import STAGES
from nba_engine.explaining.reading import DecisionReading
from tests import shop
from tests.catalogs import customer, random_catalog
from tests.expressions import FACTS, NOW, boolean_rule, row


def told(explanation: nba.Explanation) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each action in words beside the row of the candidate that speaks for it."""
    rows = explanation.arrays().to_pylist()
    for action in explanation.to_dict()["actions"]:
        own = [row for row in rows if row["action"] == action["action"]]
        yield action, max(own, key=lambda row: STAGES.index(row["stage"]))


def assert_told_alike(explanation: nba.Explanation) -> None:
    for action, row in told(explanation):
        assert {k: row[k] for k in ("treatment", "channel", "offered", "rank", "stage")} == {
            k: action[k] for k in ("treatment", "channel", "offered", "rank", "stage")}, action
        assert row["reasons"] == [{k: r[k] for k in ("kind", "name", "verdict")} for r in action["reasons"]], action
        assert {k: row[k] for k in action["terms"] or ()} == (action["terms"] or {})
        assert action["terms"] is not None or row["priority"] is None


def test_arrays_and_words_say_the_same():
    """Whole random catalogs, sound ones and ones with rules of any kind; histories with declines and reasons."""
    stages = set()
    for seed in range(10):
        rng = random.Random(seed)
        written = random_catalog(rng, None if seed % 2 else lambda left: boolean_rule(rng, FACTS, depth=1))
        written["facts"] |= {name: {"type": dict((n, str(t)) for n, t in type_.fields)} if type_.fields else str(type_)
                             for name, type_ in FACTS.items()}  # fmt: skip
        with nba.Engine(nba.Catalog.from_dict(written), seed=seed) as engine:
            for k in range(20):
                known = {name: value for name, value in row(rng, FACTS).items() if name in FACTS}
                facts = {**customer(rng), **known, "agreed_mail": rng.random() < 0.8, "agreed_sms": None}
                at = NOW + timedelta(days=k)
                decision = engine.decide(f"s-{k % 3}", channel=rng.choice(("call", "web", "mail", "sms", None)), facts=facts, limit=2, at=at)
                explanation = engine.explain(decision.id)
                assert_told_alike(explanation)
                stages |= set(explanation.arrays()["stage"].to_pylist())
                for offer in decision.offers[:1]:
                    label = rng.choice(("accepted", "declined", "presented", "declined"))
                    reason = rng.choice(("later", "dear", "mute", "away", None)) if label == "declined" else None
                    engine.record(decision.id, label, action=offer.action, treatment=offer.treatment, reason=reason, at=at)
    assert stages >= set(STAGES) - {"value"}  # which the test by hand has


def test_every_stage_is_told_alike(tmp_path):
    """By hand: a window, a channel, rules, consent, a contact policy, a value, a null action, a control group; then from the store, and
    under a catalog that no longer has the group."""
    changes: dict[str, Any] = {"actions": [
        *shop.written()["actions"], {"id": "old", "issue": "keep", "group": "loyalty", "valid": {"until": "2020-01-01"}},
        {"id": "post", "issue": "keep", "group": "loyalty", "treatments": [{"id": "m", "channel": "mail"}, {"id": "w", "channel": "web"}]},
        {"id": "owing", "issue": "keep", "group": "loyalty", "value": "bill - 100.0"}, {"id": "nothing", "null_action": True}]}  # fmt: skip
    seen = set()
    for options in ({}, {"control_groups": [{"name": "random", "share": 1.0, "kind": "uniform"}]}):
        with shop.engine(catalog=shop.catalog(**changes, **options), store=tmp_path / str(len(options)), seed=3) as engine:
            ids = []
            for channel in ("call", "mail", "web", None):
                facts = {**shop.ADULT, "mail_ok": None if channel is None else channel != "mail"}
                first = engine.decide("ann", channel=channel, facts=facts, limit=2)
                ids.append(first.id)
                for offer in first.offers[:1]:
                    engine.record(first.id, "declined", action=offer.action, treatment=offer.treatment)
                ids.append(engine.decide("ann", channel=channel, facts={}, limit=2).id)
            for name in ids:
                assert_told_alike(engine.explain(name))
                seen |= {r["kind"] for row in engine.explain(name).arrays()["reasons"].to_pylist() for r in row}
        for later in (options, {}):
            with shop.engine(catalog=shop.catalog(**changes, **later), store=tmp_path / str(len(options)), seed=3) as engine:
                for name in ids:
                    assert_told_alike(engine.explain(name))
    assert seen == {"channel", "valid", "rule", "consent", "contact_policy", "value", "priority", "control_group"}


def test_what_ranks_below_the_null_action_says_so():
    """`dear` costs more than it can bring in; without a null action it can only have been outdrawn."""
    actions: list[Any] = [{"id": "dear", "value": 1.0, "treatments": [{"id": "gold", "channel": "web", "cost": 9.5}]}, {"id": "cheap", "value": 1.0}]
    for nothing, name, text in (
        ([{"id": "nothing", "null_action": True}], "null_action", "worth less than offering nothing: it ranks below the null action"),
        ([], "priority", "not drawn; its probability for the first place was "),
    ):
        with nba.Engine(nba.Catalog.from_dict({"channels": {"web": {}}, "actions": actions + nothing})) as engine:
            explanation = engine.explain(engine.decide("ann").id)
            assert_told_alike(explanation)
            (reason,) = explanation.of("dear").reasons
            assert (reason.kind, reason.name) == ("priority", name) and reason.text.startswith(text)
            assert explanation.of("cheap").terms["priority"] >= 0.0 > explanation.of("dear").terms["priority"]


def test_of_a_decision_at_hand_no_term_is_called_lost(monkeypatch):
    """Were a rule read otherwise than it was decided, the explanation says so, and does not place the action in the arbitration."""
    with shop.engine() as engine:
        explanation = engine.explain(engine.decide("ann", channel="call", facts={**shop.ADULT, "age": 12, "bill": 104.5}).id)
        monkeypatch.setattr(DecisionReading, "_verdict", lambda self, text: "true")
        film = explanation.of("film")
        assert film.stage == "value" and [r.text for r in film.reasons] == [
            "stopped when it was decided, yet nothing that stops it is found now; please report this as a fault"]  # fmt: skip


def test_one_action_is_told_alone():
    with shop.engine() as engine:
        explanation = engine.explain(engine.decide("ann", channel="call", facts={**shop.ADULT, "age": 12, "bill": 104.5}).id)
        assert str(explanation.of("film")) == "-  film: suitability\n     rule actions[1].suitability[0]: bill < 90.0 is false; bill is 104.5"
        assert [explanation.of(a.action) for a in explanation.actions] == list(explanation.actions)
        with pytest.raises(nba.NbaError, match="action 'tv' is not in the catalog of this decision; known are sport, film"):
            explanation.of("tv")


def test_rows_of_tables_are_named_as_they_are_written(tmp_path):
    """An action falls by the cells of all its rows, each under its row and column; a CSV file's rows count from 1, its head."""
    rows = "action, age, tariff\n\nclub, >= 18, gold\nfibre, , silver\nclub, , silver\n, , \n"
    (tmp_path / "who.csv").write_text(rows)
    (tmp_path / "catalog.yaml").write_text(
        "facts: {age: int, tariff: string, vip: bool}\nactions: [{id: club, eligibility: [vip]}, {id: fibre}]\n"
        "tables: [{name: who, file: who.csv}, {name: more, stage: suitability, rows: [{action: club, age: '< 90'}]}]\n")
    catalog = nba.Catalog.load(tmp_path / "catalog.yaml")
    for made in (catalog, nba.Catalog.from_dict(catalog.to_dict())):
        with nba.Engine(made) as engine:
            explanation = engine.explain(engine.decide("ann", facts={"age": 12, "tariff": "tin"}).id)
            assert [(r.name, r.verdict, r.because) for r in explanation.of("club").reasons] == [
                ("actions[0].eligibility[0]", "unknown", "vip: vip was not given"),
                ("who.csv row 3, column age", "false", "age >= 18: age is 12"),
                ("who.csv row 3, column tariff", "false", "tariff == 'gold': tariff is 'tin'"),
                ("who.csv row 5, column tariff", "false", "tariff == 'silver': tariff is 'tin'")]  # fmt: skip
            other = engine.explain(engine.decide("eve", facts={"age": 95, "tariff": "silver"}).id)
            assert [(r.name, str(r)) for r in other.of("club").reasons][1:] == [
                ("tables[1].rows[0].age", "rule tables[1].rows[0].age: age < 90 is false; age is 95")]  # fmt: skip
            for one in (explanation, other):
                assert_told_alike(one)
    (tmp_path / "who.csv").write_text("action, age\nclub, > 'x'\nclubb, 3\n")
    with pytest.raises(nba.CatalogError) as caught:
        nba.Catalog.load(tmp_path / "catalog.yaml")
    assert {(f.place, f.line) for f in caught.value.faults} == {("who.csv row 2, column age", None), ("who.csv row 3, column action", None)}
