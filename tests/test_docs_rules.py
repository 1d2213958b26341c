"""Every example of docs/rules.md is run: what it says an expression gives is what it gives, and no function of the language is left out."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from nba_engine import CatalogError, Engine
from nba_engine.catalog import Catalog
from nba_engine.rules import UNKNOWN, ErrorValue, check, evaluate, parse, plain, walk
from nba_engine.rules.deciding import shown
from nba_engine.rules.functions import VARIADIC, overloads
from nba_engine.rules.syntax import Call, Macro
from nba_engine.schema import BOOL, BUILT_IN_FACTS, DURATION, INT, STRING, TIMESTAMP, list_of, map_of, parse_type, struct_of

TEXT = (Path(__file__).parents[1] / "docs" / "rules.md").read_text("utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
BLOCKS = [text for language, text in FENCED if not language]
TYPES = {
    **dict.fromkeys(("age", "children", "open_complaints"), INT), **dict.fromkeys(("monthly_bill", "credit_limit"), parse_type("double")),
    **dict.fromkeys(("tariff", "email", "phone", "intent"), STRING), **dict.fromkeys(("products", "lines"), list_of(STRING)), "vip": BOOL,
    **dict.fromkeys(("contract_end", "last_call", "customer_since"), TIMESTAMP), "waiting_time": DURATION,
    "address": struct_of({"city": STRING, "zip": STRING, "street": STRING}), "usage_gb": map_of(STRING, INT),
    **{fact.name: fact.type for fact in BUILT_IN_FACTS},
}  # fmt: skip


def blocks(first: str) -> list[str]:
    return [block.removeprefix(first) for block in BLOCKS if block.startswith(first)]


def customer() -> dict[str, Any]:
    [written] = blocks("facts:\n")
    facts = yaml.safe_load(written)
    hours, minutes, seconds = map(int, facts["waiting_time"].split(":"))
    return {**facts, "waiting_time": timedelta(hours=hours, minutes=minutes, seconds=seconds)}


def answer(expression: str, facts: dict[str, Any]) -> str:
    """What the expression gives, spelt as the document spells it; it must fit the declared facts."""
    check(parse(expression), TYPES, expression)
    value = plain.cel_value(parse(expression), facts, nullable=True)
    return "unknown" if value is UNKNOWN else f"error: {value.message}" if isinstance(value, ErrorValue) else shown(value)


def pairs(block: str) -> list[tuple[str, str]]:
    return [(left.strip(), right) for left, right in re.findall(r"^(.+?) +-> (.*)$", block, re.MULTILINE)]


EXAMPLES = [pair for block in BLOCKS if not block.startswith(("facts:", "1. ", "catalog.yaml:", "faults:")) for pair in pairs(block)]


@pytest.mark.parametrize(("expression", "told"), EXAMPLES)
def test_examples_give_what_is_told(expression, told):
    assert answer(expression, customer()) == told


def test_every_function_and_macro_has_an_example():
    nodes = [node for expression, _ in EXAMPLES for node in walk(parse(expression))]
    used = {node.function for node in nodes if isinstance(node, Call)}
    assert {*overloads(), *VARIADIC, "_&&_", "_||_", "_?_:_"} - used == set()
    assert {node.kind for node in nodes if isinstance(node, Macro)} == {"all", "exists", "exists_one", "filter", "map", "transform_map"}


def worked() -> list[tuple[str, str, dict[str, Any], str]]:
    """Number, rule, facts and answer of each worked case."""
    found = []
    [block] = [block for block in BLOCKS if block.startswith("1. ")]
    for written in block.split("\n\n"):
        head, *lines = written.strip().splitlines()
        rule = "\n".join(line for line in lines if not line.startswith("  {"))
        found += [(head.split(".")[0], rule, yaml.safe_load(left), told) for left, told in pairs("\n".join(lines)) if left.startswith("{")]
    return found


@pytest.mark.parametrize(("number", "rule", "facts", "told"), worked())
def test_worked_rules(number, rule, facts, told):
    assert answer(rule, {"now": customer()["now"], **facts}) == told


def test_worked_rules_decide_as_they_are_told():
    rules = {f"rule {number}": rule for number, rule, _, _ in worked()}
    built_in = {fact.name for fact in BUILT_IN_FACTS}
    facts = {name: str(type_) for name, type_ in TYPES.items() if name not in built_in and not type_.fields}
    engine = Engine(Catalog.from_dict({"facts": facts, "actions": [{"id": name, "eligibility": [rule]} for name, rule in rules.items()]}))
    for number, _, given, told in worked():
        at = given.pop("now", customer()["now"])
        decision = engine.decide("anybody", facts=given, at=at, limit=len(rules))
        assert (f"rule {number}" in {offer.action for offer in decision.offers}) == (told == "true"), (number, given)


def test_there_are_ten_and_each_is_shown_both_ways():
    answers = {number: {told for n, *_, told in worked() if n == number} for number, *_ in worked()}
    assert len(answers) == 10 and all({"true", "false"} <= told for told in answers.values())


def test_the_table_of_three_values():
    values = {"true": True, "false": False}
    rows = re.findall(r"^\| (true|false|unknown) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", TEXT, re.MULTILINE)
    assert len({row[:2] for row in rows}) == 9
    for a, b, both, either, negated in rows:
        facts = {name: values[told] for name, told in (("a", a), ("b", b)) if told in values}
        found = [evaluate(parse(text), facts, nullable=True) for text in ("a && b", "a || b", "!a")]
        assert found == [values.get(told, UNKNOWN) for told in (both, either, negated)]


def fault_of(expression: str) -> str:
    facts = {name: type_.kind if not type_.parameters else str(type_) for name, type_ in TYPES.items() if name not in ("now", "channel", "direction")}
    facts["address"] = {"type": {"city": "string", "zip": "string"}}
    with pytest.raises(CatalogError) as caught:
        Catalog.from_dict({"facts": facts, "actions": [{"id": "a", "eligibility": [expression]}]})
    [fault] = caught.value.faults
    return fault.message


def test_typical_faults_say_what_is_told():
    [block] = blocks("faults:\n")
    told = pairs(block)
    assert len(told) == 13 and [(text, fault_of(text)) for text, _ in told] == told


def test_the_catalog_at_fault_prints_what_is_shown(tmp_path, monkeypatch):
    [block] = blocks("catalog.yaml:\n")
    written, said = block.split("says:\n")
    (tmp_path / "catalog.yaml").write_text(written)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CatalogError) as caught:
        Catalog.load("catalog.yaml")
    assert [line.rstrip() for line in str(caught.value).splitlines()] == [line.rstrip() for line in said.splitlines()]


def test_the_table_as_a_file_means_the_same(tmp_path):
    [block] = blocks("action, age")
    [written] = [text for language, text in FENCED if language == "yaml"]
    (tmp_path / "who.csv").write_text("action, age" + block)
    sections = yaml.safe_load(written)
    sections["tables"] = [{"name": "who-may-have-what", "file": "who.csv"}]
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(sections))
    inline, filed = Catalog.from_dict(yaml.safe_load(written)), Catalog.load(tmp_path / "catalog.yaml")
    assert [set(re.split(r" && ", text)) for a in inline.definition.actions for text in a.eligibility] == [
        set(re.split(r" && ", text)) for a in filed.definition.actions for text in a.eligibility]  # fmt: skip
    assert filed.definition.actions[1].eligibility == ("age >= 18 && age <= 65 && tariff in ['gold', 'silver']",)
