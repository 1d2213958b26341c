"""Arguments that cannot be meant: every one is an error of the project that names the argument, and nothing has changed."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from enum import Enum

import numpy as np
import pytest

import nba_engine as nba
from nba_engine.arbitration.exploration import Exploration
from nba_engine.arbitration.winning import win_probability
from nba_engine.catalog import definition
from nba_engine.moments import epoch_us
from tests.shop import ADULT, NOON, engine

NOON_US = epoch_us(NOON)
CLUB = {"facts": {"worth": "double"}, "actions": [{"id": "club", "value": "worth"}, {"id": "gym", "value": "worth * 0.9"}]}


@pytest.mark.parametrize(("name", "made"), [
    ("catalog", lambda: nba.Engine("catalog.yaml")),
    ("catalog", lambda: nba.Engine({})),
    ("catalog", lambda: nba.Engine(nba.Catalog.from_dict(CLUB)).reload("catalog.yaml")),
    ("store", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), store=5)),
    ("seed", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), seed=0.5)),
    ("clock", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), clock=lambda: 5)),
    ("sync", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), sync="often")),
    ("explained_decisions_max", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), explained_decisions_max=-1)),
    ("profiles", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), profiles=5)),
    ("profiles", lambda: nba.Engine(nba.Catalog.from_dict(CLUB), profiles={"ann": 5}).decide("ann")),
])
def test_an_engine_of_something_else(name, made):
    with pytest.raises(nba.RequestError) as raised:
        made()
    assert raised.value.argument == name


@pytest.mark.parametrize(("error", "made", "words"), [
    (nba.ParseError, lambda: nba.evaluate(5, {}), "came 5 of type int, needed the text of an expression"),
    (nba.CatalogError, lambda: nba.Catalog.load(None), "came None of type NoneType, needed the name of a file"),
    (nba.ReplayError, lambda: nba.replay.run("log.csv"), "the log is a str; give what Log.read makes of"),
    (nba.ReplayError, lambda: nba.replay.estimate("ips", reward=None, p_log=[0.5], p_target=[0.5]), "reward"),
    (nba.ReplayError, lambda: nba.replay.estimate("ips", reward=[1], p_log=None, p_target=[0.5]), "p_log"),
    (nba.ReplayError, lambda: nba.replay.Log.read({"reward": [1], "p_log": [0.5], "decision_id": [{"a": 1}]}).table, "decision_id.*holds struct"),
])
def test_functions_of_something_else(error, made, words):
    with pytest.raises(error, match=words):
        made()


class Word(str, Enum):
    ANN = "ann"
    CALL = "call"
    VISIT = "visit"
    DECLINED = "declined"


def test_texts_of_another_type_are_the_texts_they_hold(tmp_path):
    """A member of an enumeration is no text to a store: the snapshot of such a subject could not be written."""
    with engine(store=tmp_path) as shop:
        decision = shop.decide(Word.ANN, channel=Word.CALL, facts=ADULT, limit=3, interaction=Word.VISIT, request_id=Word.VISIT)
        shop.record(decision.id, Word.DECLINED, action=decision.offers[0].action, agent=Word.ANN, event_id=Word.VISIT)
        assert {type(text) for text in (decision.subject, decision.channel, decision.interaction, decision.request_id)} == {str}
    with engine(store=tmp_path) as shop:
        assert shop.decide("ann", channel="call", request_id="visit") == decision


@pytest.mark.parametrize(("name", "given"), [
    ("subject", {"subject": 5}), ("subject", {"subject": None}), ("channel", {"channel": ["call"]}), ("interaction", {"interaction": 5}),
    ("request_id", {"request_id": [5]}), ("limit", {"limit": 1.5}), ("limit", {"limit": True}), ("facts", {"facts": ["age"]}),
    ("at", {"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}), ("at", {"at": 1.5}),
])
def test_a_request_of_something_else(name, given):
    with engine() as shop:
        with pytest.raises(nba.RequestError) as raised:
            shop.decide(**{"subject": "ann", **given})
        assert raised.value.argument == name
        assert shop.decide("ann").interaction == "#1"


@pytest.mark.parametrize(("name", "given"), [
    ("label", {"label": None}), ("label", {"label": []}), ("reason", {"reason": 5}), ("event_id", {"event_id": [1]}), ("agent", {"agent": 7}),
    ("action", {"action": 3}), ("value", {"value": "ten"}), ("value", {"value": math.nan}), ("value", {"value": True}),
    ("decision_id", {"decision_id": 5}),
])
def test_an_outcome_of_something_else(name, given):
    with engine() as shop:
        decision = shop.decide("ann", channel="call", facts=ADULT)
        told = {"decision_id": decision.id, "label": "accepted"}
        with pytest.raises(nba.RequestError) as raised:
            shop.record(**{**told, **given})
        assert raised.value.argument == name
        assert not shop.record(**told).duplicate


def test_numbers_of_other_libraries_are_numbers():
    """As a row of a data frame hands them over; the same holds for facts."""
    with engine() as shop:
        decision = shop.decide("ann", channel="call", facts=ADULT, limit=np.int64(2), at=np.int64(NOON_US))
        assert len(decision.offers) == 2 and decision.at == NOON
        for value in (np.int64(3), np.float32(2.5), 4):
            shop.record(decision.id, "accepted", action=decision.offers[0].action, value=value, at=np.int64(NOON_US))
        assert shop.advance(np.int64(NOON_US)) == 0
        assert shop.decide_batch({"subject": ["ann"]}, limit=np.int64(1)).num_rows == 1


def test_a_decision_in_place_of_its_id():
    with engine() as shop, pytest.raises(nba.RequestError, match="decision_id"):
        shop.explain(shop.decide("ann"))


def test_texts_that_no_store_could_write(tmp_path):
    """A lone surrogate is refused by the name of its argument, and what comes behind it is served and kept."""
    lone = "a\ud800"
    with engine(store=tmp_path) as shop:
        decision = shop.decide("ann", channel="call", facts=ADULT)
        for name, given in (("subject", {"subject": lone}), ("interaction", {"interaction": lone}), ("request_id", {"request_id": lone})):
            with pytest.raises(nba.RequestError, match="no valid Unicode") as raised:
                shop.decide(**{"subject": "ben", **given})
            assert raised.value.argument == name
        for facts in ({"tariff": lone}, {"products": ["tv", lone]}):
            with pytest.raises(nba.FactsError, match="no valid Unicode") as odd:
                shop.decide("ben", facts=facts)
            assert odd.value.fact == next(iter(facts))
        for name in ("event_id", "agent"):
            with pytest.raises(nba.RequestError, match="no valid Unicode") as raised:
                shop.record(decision.id, "accepted", **{name: lone})
            assert raised.value.argument == name
        for ask in (lambda: shop.record(lone, "accepted"), lambda: shop.explain(lone)):
            with pytest.raises(nba.UnknownDecisionError):
                ask()
        assert shop.decide("ben").interaction == "#1" and shop.record(decision.id, "accepted").learned
    with engine(store=tmp_path) as shop:
        assert shop.explain(decision.id).decision == decision


@pytest.mark.parametrize("table", [{"subject": ["\ud800"]}, {"subject": ["ann", 5]}, {"subject": ["ann"], "age": [1, 2]}, "ann", None, 5])
def test_a_table_that_is_none(table):
    with engine() as shop:
        for ask in (shop.decide_batch, shop.learn):
            with pytest.raises(nba.RequestError, match="give a pyarrow Table") as raised:
                ask(table)
            assert raised.value.argument == "table"


def test_words_that_the_catalog_does_not_know_are_no_duplicates():
    with engine() as shop:
        decision = shop.decide("ann", channel="call", facts=ADULT)
        shop.record(decision.id, "presented")
        shop.record(decision.id, "accepted", event_id="e")
        with pytest.raises(nba.OutcomeError, match="bogus"):
            shop.record(decision.id, "presented", reason="bogus")
        with pytest.raises(nba.OutcomeError, match="bogus"):
            shop.record(decision.id, "bogus", event_id="e")


def test_a_request_that_was_answered_is_answered_again_whatever_its_facts_are_now():
    with engine() as shop:
        first = shop.decide("ann", channel="call", facts=ADULT, request_id="r")
        assert shop.decide("ann", channel="call", facts={"age": "many"}, request_id="r") is first
        with pytest.raises(nba.FactsError):
            shop.decide("ann", channel="call", facts={"age": "many"}, request_id="s")
    with pytest.raises(nba.StoreError, match="closed"):
        shop.decide("ann", channel="call", facts={"age": "many"}, request_id="r")


@pytest.mark.parametrize("kind", ["thompson", "squarecb", "epsilon", "greedy"])
@pytest.mark.parametrize("worth", [1e15, 1.1e15, 1e40, 1e60, 1.7e308, math.inf, math.nan])
def test_a_worth_beyond_all_money_falls_instead_of_bringing_the_process_down(kind, worth):
    with nba.Engine(nba.Catalog.from_dict({**CLUB, "exploration": {"kind": kind}})) as shop:
        decision = shop.decide("ann", facts={"worth": worth}, limit=2)
        assert len(decision.offers) == (2 if worth <= 1e15 else 1 if worth * 0.9 <= 1e15 else 0)
        stages = {action.action: action.stage for action in shop.explain(decision.id).actions if not action.offered}
        assert set(stages.values()) <= {"value"} and shop.explain(decision.id).arrays().num_rows == 2


def test_numbers_that_leave_the_range_never_read_beside_the_table():
    for mean, deviation in (([1e40, -1e40, 3.0], [1e39, 1e39, 1.0]), ([math.nan] * 40, [1.0] * 40), ([1e300] * 50 + [0.0], [1e300] * 51)):
        p = win_probability(np.array(mean), np.array(deviation))
        assert ((p >= 0.0) & (p <= 1.0)).all() and p.sum() <= 1.0 + 1e-9


def test_the_catalogs_defaults_are_those_that_were_decided():
    assert (definition.EPSILON_DEFAULT, definition.GAMMA_DEFAULT) == (Exploration().epsilon, Exploration().gamma)
    assert (definition.POSTERIOR_SCALE_DEFAULT, definition.UNIFORM_SHARE_DEFAULT) == (Exploration().posterior_scale, Exploration().uniform_share)


@pytest.mark.parametrize(("outcomes", "words"), [
    ({"presented": {"reward": 0}}, "needed exposure: presented"),
    ({"seen": {"exposure": "presented", "reward": 1}}, "reward beside exposure presented"),
    ({"yes": {"reward": 1}, "no": {"revokes": "yes", "exposure": "skipped"}}, "revokes beside exposure skipped"),
    ({"no_response": {"exposure": "presented"}}, "a time-out is an answer"),
])
def test_labels_that_contradict_themselves_are_faults(outcomes, words):
    with pytest.raises(nba.CatalogError, match=words):
        nba.Catalog.from_dict({**CLUB, "outcomes": outcomes})


@pytest.mark.parametrize("written", [{"lever": 1e16}, {"cost": 2e15}])
def test_factors_beyond_all_money_are_faults(written):
    with pytest.raises(nba.CatalogError, match="1e|1000000000000000"):
        nba.Catalog.from_dict({"actions": [{"id": "club", **written}]})
