"""Facts that an encoded row holds no number of: uint, lists of anything but texts; and durations beyond all time."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

import numpy as np
import pyarrow as pa
import pytest

import nba_engine as nba


def catalog(facts: dict[str, str], eligibility: str = "true", value: str | float = 1.0) -> nba.Catalog:
    return nba.Catalog.from_dict({"facts": facts, "actions": [{"id": "x", "value": value, "eligibility": eligibility}]})


@pytest.mark.parametrize(("value", "worth"), [("u", 7.0), ("7u", 7.0), ("uint(i)", 3.0), ("u * 2u", 14.0), ("u > 5u ? u : 1u", 7.0)])
def test_a_value_may_be_a_uint(value, worth):
    facts = {"u": 7, "i": 3}
    with nba.Engine(catalog({"u": "uint", "i": "int"}, value=value)) as engine:
        assert [offer.value for offer in engine.decide("s", facts=facts).offers] == [worth]
        table = {"subject": ["s"], "u": pa.array([7], pa.uint64()), "i": [3]}
        assert engine.decide_batch(table).column("value").to_pylist() == [worth]


@pytest.mark.parametrize("u", [7, nba.UInt(7), 2**64 - 1])
@pytest.mark.parametrize("rule", ["u + 0u > 5u", "u / 2u >= 3u", "u % 4u == 3u", "u > 3u", "u > 3", "[u].exists(n, n == u)"])
def test_rules_compute_with_uints(rule, u):
    with nba.Engine(catalog({"u": "uint"}, rule)) as engine:
        assert engine.decide("s", facts={"u": u}).offers
        assert not engine.decide("s", facts={"u": 0}).offers or "exists" in rule


def test_uints_come_back_from_the_store(tmp_path):
    made = catalog({"u": "uint", "us": "list<uint>", "by": "map<string, uint>"}, "u in us && by['a'] > 3u")
    facts = {"u": 2**64 - 1, "us": [1, 2**64 - 1], "by": {"a": 4}}
    with nba.Engine(made, store=tmp_path) as engine:
        decision = engine.decide("s", facts=facts)
        told = str(engine.explain(decision.id))
        assert decision.offers
    with nba.Engine(made, store=tmp_path) as engine:
        engine.record(decision.id, "accepted")
        assert "x" in str(engine.explain(decision.id)) and "x" in told


@pytest.mark.parametrize(("kind", "items"), [("double", ["x"]), ("double", [1.0, None]), ("int", [True]), ("bool", [1]), ("timestamp", [[]])])
def test_items_of_lists_are_of_their_type_whatever_the_rules_ask(kind, items):
    with nba.Engine(catalog({"l": f"list<{kind}>", "age": "int"}, "age > 18")) as engine:
        with pytest.raises(nba.FactsError, match="fact 'l'"):
            engine.decide("s", facts={"l": items, "age": 30})
        with pytest.raises(nba.FactsError, match="fact 'l'"):
            engine.decide_batch({"subject": ["s"], "l": [items], "age": [30]})


def test_lists_of_numbers_are_the_decisions_own():
    with nba.Engine(catalog({"l": "list<double>"}, "size(l) == 2 && 1.5 in l")) as engine:
        given = [1.5, 2]
        decision = engine.decide("s", facts={"l": given})
        given.clear()
        assert decision.offers and engine.decide_batch({"subject": ["s"], "l": [[1.5, 2.0]]}).column("action").to_pylist() == ["x"]


def test_a_duration_beyond_all_time_is_refused():
    with nba.Engine(catalog({"w": "duration"}, "w > duration('1h')")) as engine, pytest.raises(nba.FactsError, match="fact 'w'"):
        engine.decide("s", facts={"w": "99999999999999999h"})


@pytest.mark.parametrize("others", [{}, {"m": "map<string, int>"}, {"d": "double", "m": "map<string, int>"}])
def test_a_duration_beyond_64_bits_is_named(others):
    with nba.Engine(catalog({"w": "duration"} | others)) as engine:
        with pytest.raises(nba.FactsError, match="fact 'w': .* does not fit into 64 bits") as told:
            engine.decide("s", facts={"w": timedelta.max})
        assert told.value.fact == "w"


def test_a_table_of_numbers_that_arrow_cannot_hold_is_refused():
    with nba.Engine(catalog({"u": "uint"})) as engine, pytest.raises(nba.RequestError, match="the table"):
        engine.decide_batch({"subject": ["s"], "u": [2**64]})


class Tariff(str, Enum):
    GOLD = "gold"


@pytest.mark.parametrize("gold", ["gold", Tariff.GOLD, np.str_("gold")])
def test_a_text_of_another_type_is_the_text_it_holds(gold, tmp_path):
    """`str` of a member says its name, `Tariff.GOLD`, in place of the text."""
    made = catalog({"tariff": "string", "tags": "list<string>"}, "tariff == 'gold' && 'gold' in tags")
    with nba.Engine(made, store=tmp_path) as engine:
        decision = engine.decide("s", facts={"tariff": gold, "tags": [gold]})
        assert [offer.action for offer in decision.offers] == ["x"]
        engine.record(decision.id, "accepted")
    with nba.Engine(made, store=tmp_path) as engine:
        assert engine.explain(decision.id).decision.offers
