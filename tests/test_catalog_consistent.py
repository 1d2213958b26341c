"""`Catalog.check` on generated catalogs: it has nothing to find in sound ones, and finds each fault that is planted in one, at its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import nba_engine as nba
from nba_engine.catalog.contradictions import Possible, implies, never_false, never_true
from nba_engine.rules import evaluate, parse
from nba_engine.rules.normal import Normalizer
from nba_engine.schema import BUILT_IN_FACTS
from tests.catalogs import FACTS as SHOP_FACTS
from tests.catalogs import condition, customer, random_catalog
from tests.expressions import FACTS, rules_and_rows

TYPES = {**FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}
Written = dict[str, Any]


def test_no_false_alarm_on_consistent_rules():
    """Up to six rules that are all true of one customer never count as contradictory, and what follows from some of them is true as well."""
    rng = random.Random(11)
    rules, rows = rules_and_rows(rng, FACTS, 1200, n_rows=40, depth=2)
    nodes = {text: parse(text) for text in rules}
    n_consistent = 0
    for facts in rows:
        holding = [text for text in rng.sample(rules, 300) if evaluate(nodes[text], facts, nullable=True) is True]
        failing = [text for text in rng.sample(rules, 60) if evaluate(nodes[text], facts, nullable=True) is not True]
        for _ in range(25):
            chosen = rng.sample(holding, min(len(holding), rng.randint(1, 6)))
            normalizer = Normalizer()
            assert Possible(TYPES).contradiction([(text, normalizer.formula(nodes[text], text)) for text in chosen]) is None, chosen
            wrongly = [text for text in failing[:5] if implies(TYPES, [nodes[c] for c in chosen], nodes[text])]
            assert wrongly == [], chosen
            n_consistent += 1
    assert n_consistent == 1000


def test_what_is_called_never_false_or_never_true_is_so_of_everybody():
    """Random rules of all kinds, among them some that repeat and negate a part of themselves."""
    rng = random.Random(3)
    rules, rows = rules_and_rows(rng, FACTS, 800, n_rows=60, depth=2)
    rules += [f"({a}) || !({a})" for a in rules[:100]] + [f"({a}) && ({b}) && !({a})" for a, b in zip(rules[:100], rules[100:], strict=False)]
    n_never = {True: 0, False: 0}
    for text in rules:
        node = parse(text)
        for called, answer in ((never_false(TYPES, node), False), (never_true(TYPES, node), True)):
            if called:
                n_never[answer] += 1
                assert not any(evaluate(node, facts, nullable=True) is answer for facts in rows), text
    assert n_never[False] > 80 and n_never[True] > 80


@pytest.mark.parametrize("part", range(4))
def test_no_false_alarm_on_whole_catalogs(part):
    """1,000 catalogs with everything a catalog can have, in four parts; each fact is asked about once on the way down to a treatment."""
    for seed in range(250 * part, 250 * (part + 1)):
        found = nba.Catalog.from_dict(random_catalog(random.Random(seed))).check()
        assert found == [], (seed, [str(finding) for finding in found])


def test_the_conditions_of_sound_catalogs_are_true_of_some_and_false_of_others():
    """What makes them sound: no generated condition is decided for everybody."""
    rng = random.Random(8)
    answers: dict[str, set[Any]] = {}
    customers = [customer(rng) for _ in range(400)]
    for fact in SHOP_FACTS:
        for _ in range(3):
            text = condition(rng, fact)
            answers[text] = {evaluate(parse(text), facts, nullable=True) for facts in customers}
    assert sum({True, False} <= found for found in answers.values()) > 0.85 * len(answers)


def _action(written: Written) -> Written:
    return written["actions"][0]


def _first(written: Written, key: str, value: Written) -> str:
    written[key] = [value, *written.get(key, [])]
    return f"{key}[0]"


def _rule(text: str, stage: str = "eligibility") -> Callable[[Written], str]:
    def plant(written: Written) -> str:
        _action(written)[stage] = [*_action(written)[stage], text]
        return f"actions[0].{stage}[{len(_action(written)[stage]) - 1}]"

    return plant


def _both(first: str, second: str) -> Callable[[Written], str]:
    def plant(written: Written) -> str:
        _rule(first)(written)
        _rule(second, "suitability")(written)
        return "actions[0]"

    return plant


def _above(above: str, own: str, place: str = "") -> Callable[[Written], str]:
    def plant(written: Written) -> str:
        action = _action(written)
        group = written["issues"][action["issue"]]["groups"][action["group"]]
        group["eligibility"] = [*group["eligibility"], above]
        return place or _rule(own)(written)

    return plant


def _policy(**keys: Any) -> Callable[[Written], str]:
    named = {"name": "planted", "scope": "action", "label": "declined", "within": "7d", **keys}
    return lambda written: _first(written, "contact_policies", named)


def _treatments(written: Written) -> str:
    _action(written)["treatments"] = [{"id": "t", "channel": "web"}, {"id": "u", "channel": "mail"}]
    _rule("!agreed_mail")(written)
    return "actions[0].treatments[1]"


def _closed_channel(written: Written) -> str:
    _action(written)["treatments"] = [{"id": "t", "channel": "web"}]
    _rule("channel == 'call'")(written)
    return "actions[0]"


def _outbound(written: Written) -> str:
    written["channels"]["post"] = {"direction": "outbound"}
    return "channels.post"


def _unused(written: Written) -> str:
    written["facts"]["idle"] = {"type": "int", "predictor": False}
    return "facts.idle"


def _value(value: Any) -> Callable[[Written], str]:
    def plant(written: Written) -> str:
        _action(written)["value"] = value
        return "actions[0].value"

    return plant


def _worthless(written: Written) -> str:
    _action(written)["value"] = "planted"
    _rule("planted < -1.0")(written)
    return "actions[0]"


def _table(*rows: Written, place: str, **keys: Any) -> Callable[[Written], str]:
    def plant(written: Written) -> str:
        made = [{"action": _action(written)["id"], **row} for row in rows]
        return _first(written, "tables", {"name": "planted", "rows": made, **keys}) + place

    return plant


def _group_dead(written: Written) -> str:
    action = _action(written)
    _above("planted > 5.0 && planted < 2.0", "", "x")(written)
    return f"issues.{action['issue']}.groups.{action['group']}"


PLANTED: dict[str, Callable[[Written], str]] = {
    "never true": _both("planted > 5.0 && planted < 2.0", "true || planted > 1.0"),
    "never false": _rule("planted_int > 3 || planted_int < 9"),
    "true": _rule("true"),
    "tiers that contradict each other": _both("planted_text == 'a'", "planted_text in ['b', 'c']"),
    "contradicts its group": lambda w: (_above("planted_int < 18", "planted_int >= 21")(w), "actions[0]")[1],
    "a group that nobody enters": _group_dead,
    "asked by the group already": _above("planted_int >= 18", "planted_int >= 18"),
    "follows from the group's": _above("planted_int >= 21", "planted_int > 18"),
    "a consent that the rule denies": _treatments,
    "no treatment on the channel": _closed_channel,
    "a negative value": _value(-3),
    "a value that is a negative number": _value("1.0 - 3.0"),
    "a value below 0 of everybody eligible": _worthless,
    "a window of 0": _policy(within="0d"),
    "suppresses for 0": _policy(suppress="0d"),
    "skipped is not counted": _policy(label="skipped"),
    "presented under another name": _policy(label="seen"),
    "silence where nobody waits": _policy(label="no_response", direction="inbound", name="quiet"),
    "outbound without consent": _outbound,
    "a fact that nothing reads": _unused,
    "a row that never holds": _table({"planted": "> 5 and < 2"}, {"planted": "> 7"}, place=".rows[0]"),
    "a row that another covers": _table({"planted_int": ">= 18"}, {"planted_int": ">= 21", "planted": "> 1"}, place=".rows[1]"),
    "a row that lets everybody through": _table({"planted": "> 1"}, {"planted_int": "not 1 and not 2", "planted": ""}, {}, place=".rows[2]"),
    "a gap": _table({"planted_int": ">= 18"}, {"planted_int": "< 16"}, place="", complete=True),
    "a weighing that never applies": lambda w: _first(w, "context_weights", {"when": "planted > 5.0 && planted < 2.0", "action": "action-0",
                                                                             "multiplier": 2.0}) + ".when",
    "a reason that closes nothing": lambda w: (w["reasons"].update(idle={}), "reasons.idle")[1],
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_at_its_place(fault):
    """In five sound catalogs each; and nothing is found anywhere that has nothing to do with it."""
    for seed in range(5):
        written = random_catalog(random.Random(seed))
        written["facts"] |= {"planted": "double", "planted_int": "int", "planted_text": "string"}
        written["outcomes"]["seen"] = {"exposure": "presented"}
        written["channels"]["web"].pop("no_response")
        assert nba.Catalog.from_dict(written).check() == [], seed
        place = PLANTED[fault](written)
        found = nba.Catalog.from_dict(written).check()
        assert place in {finding.place for finding in found}, (seed, place, [str(f) for f in found])
        assert all("planted" in str(f) or f.place.startswith(("actions[0]", place.split(".rows")[0])) for f in found), (seed, [str(f) for f in found])
