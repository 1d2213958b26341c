"""Random whole catalogs, as mappings for `Catalog.from_dict`: issues, groups, treatments, tables, contact policies, reasons and all the rest.

`random_catalog(rng)` is sound by construction: along the way from an issue down to a treatment each fact is asked about once, every condition
splits the values of its fact, and nothing is declared that could not have an effect, so that `check` has nothing to find in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.expressions import NOW

TYPES = {"int": 7, "double": 5, "string": 5, "bool": 5, "list<string>": 3, "timestamp": 3}
FACTS = {f"{kind.split('<')[0]}_{i}": kind for kind, n in TYPES.items() for i in range(n)}
WORDS = ("gold", "silver", "dsl", "tv", "")
LABELS = ("accepted", "declined", "presented")

Rule = Callable[[], str]


def random_catalog(rng: random.Random, rule: Callable[[list[str]], str] | None = None) -> dict[str, Any]:
    """`rule` writes a rule about some of the facts that the way down has not asked about yet, and removes those from the list."""
    return _Writer(rng, rule).catalog()


def condition(rng: random.Random, fact: str) -> str:
    """True of some values of the fact and false of others."""
    whole, part, word = rng.randint(-3, 90), round(rng.uniform(0.0, 90.0), 2), rng.choice(WORDS)
    match FACTS[fact]:
        case "int":
            forms = [f"{fact} >= {whole}", f"{fact} < {whole}", f"{whole} <= {fact} && {fact} <= {whole + 9}", f"!({fact} > {whole})",
                     f"{fact} in [{whole}, {whole + 3}, {whole + 7}]", f"{fact} % 2 == 0", f"!has({fact}) || {fact} != {whole}",
                     f"({fact} > {whole} ? {fact} < {whole + 20} : {fact} > {whole - 20})", f"{fact} < {part}"]  # fmt: skip
        case "double":
            forms = [f"{fact} >= {part}", f"{fact} < {part}", f"{fact} * 2.0 > {part}", f"{fact} > {part} && {fact} < {part + 7.5}",
                     f"!({fact} <= {part})", f"{fact} > {whole}", f"{fact} < 1.0 || {fact} > 2.0"]
        case "string":
            other = rng.choice([w for w in WORDS if w != word])
            forms = [f"{fact} == '{word}'", f"{fact} != '{word}'", f"{fact} in ['{word}', '{other}']", f"!({fact} in ['{word}', '{other}'])",
                     f"{fact}.startsWith('si')", f"{fact}.matches('^g.*')", f"{fact} == '{word}' || {fact} == '{other}'"]  # fmt: skip
        case "bool":
            forms = [fact, f"!{fact}", f"{fact} == true", f"has({fact}) && {fact}"]
        case "timestamp":
            moment = f"timestamp('{NOW + timedelta(days=whole):%Y-%m-%dT%H:%M:%SZ}')"
            forms = [f"now - {fact} > duration('{whole}h')", f"{fact} < {moment}", f"{fact} >= {moment}", f"{fact} + duration('24h') < now"]
        case _:
            forms = [f"'{word}' in {fact}", f"!('{word}' in {fact})", f"size({fact}) > {rng.randint(0, 3)}",
                     f"{fact}.exists(x, x.startsWith('t'))", f"{fact}.all(x, x != '{word}')"]
    return rng.choice(forms)


def customer(rng: random.Random) -> dict[str, Any]:
    """Values for most facts; null and missing among them."""
    found: dict[str, Any] = {}
    for fact, kind in FACTS.items():
        values: dict[str, Any] = {
            "int": rng.randint(-5, 99), "double": round(rng.uniform(-1.0, 99.0), 2), "string": rng.choice(WORDS), "bool": rng.random() < 0.5,
            "timestamp": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=rng.randint(0, 9999)),
            "list<string>": rng.sample(WORDS, rng.randint(0, 3)),
        }
        dice = rng.random()
        if dice > 0.1:
            found[fact] = values[kind] if dice > 0.2 else None
    return found


class _Writer:
    def __init__(self, rng: random.Random, rule: Callable[[list[str]], str] | None) -> None:
        self.rng = rng
        self.rule = rule or self._sound
        self.consents = {f"agreed_{name}": "bool" for name in ("mail", "sms")}

    def catalog(self) -> dict[str, Any]:
        rng = self.rng
        self.channels = {"call": {}, "web": {"presented": "on_return", "no_response": "30m"},
                         "mail": {"direction": "outbound", "no_response": "3d", "consent": "agreed_mail"},
                         "sms": {"direction": "outbound", "consent": "agreed_sms"}}  # fmt: skip
        self.issues: dict[str, Any] = {}
        self.free: dict[tuple[str, str], list[str]] = {}
        for i in range(rng.randint(1, 3)):
            left = rng.sample(list(FACTS), len(FACTS))
            self.issues[f"issue-{i}"] = self._ruled(left, 1) | {"lever": rng.choice((1.0, 1.2)), "groups": {}}
            for g in range(rng.randint(1, 3)):
                below = list(left)
                self.issues[f"issue-{i}"]["groups"][f"group-{i}-{g}"] = self._ruled(below, 1)
                self.free[f"issue-{i}", f"group-{i}-{g}"] = below
        self.left: dict[str, list[str]] = {}
        actions = [self._action(n) for n in range(rng.randint(2, 8))]
        tables = [self._table(t, actions) for t in range(rng.randint(0, 2))]
        if rng.random() < 0.5:
            actions.append({"id": "nothing", "null_action": True})
        return {
            "facts": {**FACTS, **self.consents}, "channels": self.channels, "issues": self.issues, "actions": actions, "tables": tables,
            "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}, "presented": {"exposure": "presented"},
                         "skipped": {"exposure": "skipped"}, "cancelled": {"revokes": "accepted"}},
            "reasons": {"later": {"suppress": "7d"}, "dear": {"suppress": "60d", "similar": "30d"}, "mute": {"suppress": "30d", "scope": "channel"},
                        "away": {"suppress": "forever", "scope": "subject", "direction": "outbound"}},
            "contact_policies": [self._contact_policy(i) for i in range(rng.randint(0, 4))],
            "context_weights": [{"when": condition(rng, rng.choice(list(FACTS))), "action": "action-0", "multiplier": 2.0}],
            "control_groups": [{"name": "some", "share": 0.1, "kind": "uniform"}] if rng.random() < 0.3 else [],
        }  # fmt: skip

    def _sound(self, left: list[str]) -> str:
        """One condition, or two about different facts, which say nothing about each other."""
        first = condition(self.rng, left.pop())
        if self.rng.random() < 0.7:
            return first
        return f"({first}) {self.rng.choice(('||', '&&'))} ({condition(self.rng, left.pop())})"

    def _ruled(self, left: list[str], most: int) -> dict[str, Any]:
        stages = ("eligibility", "applicability", "suitability")
        return {stage: [self.rule(left) for _ in range(self.rng.randint(0, most))] for stage in stages}

    def _action(self, n: int) -> dict[str, Any]:
        rng = self.rng
        issue = rng.choice(list(self.issues))
        group = rng.choice(list(self.issues[issue]["groups"]))
        left = self.left[f"action-{n}"] = list(self.free[issue, group])
        found = {"id": f"action-{n}", "issue": issue, "group": group, "value": rng.choice((5, 7.5, "double_0 * 2.0", "int_1 - 40")),
                 "tags": rng.sample(WORDS[:4], 2), **self._ruled(left, 2)}  # fmt: skip
        if rng.random() < 0.2:
            found["valid"] = {"from": "2026-01-01", "until": rng.choice(("2026-03-01", "2026-12-31"))}
        if rng.random() < 0.5:
            channels = rng.sample(list(self.channels), rng.randint(1, 3))
            found["treatments"] = [{"id": f"{n}-{c}", "channel": c, **self._ruled(list(left), 1)} for c in channels]
            del left[-12:]  # the treatments asked about some of these
        return found

    def _table(self, number: int, actions: list[dict[str, Any]]) -> dict[str, Any]:
        """Rows of an action differ in a fact of their own, so that none covers another."""
        rng, rows = self.rng, []
        for action in rng.sample(actions, rng.randint(1, len(actions))):
            left = self.left[action["id"]]
            if len(left) < 6:
                continue
            shared = left.pop()
            for fact in (left.pop() for _ in range(rng.randint(1, 3))):
                rows.append({"action": action["id"], shared: "== null" if rng.random() < 0.1 else self._cell(shared), fact: self._cell(fact)})
        return {"name": f"table-{number}", "stage": rng.choice(("eligibility", "applicability", "suitability")), "rows": rows}

    def _cell(self, fact: str) -> str:
        n = self.rng.randint(0, 60)
        cells = {"int": (f">= {n}", f"{n}..{n + 9}", f"not {n}"), "double": (f"< {n}.5", f"> {n}.5 and < {n + 9}.5"), "bool": ("true", "false"),
                 "string": ("gold", "gold | dsl", "not silver"), "list<string>": ("tv", "not tv"), "timestamp": ("!= null",)}  # fmt: skip
        return self.rng.choice(cells[FACTS[fact]])

    def _contact_policy(self, i: int) -> dict[str, Any]:
        rng = self.rng
        found: dict[str, Any] = {
            "name": f"policy-{i}", "label": rng.choice((*LABELS, "no_response")), "count": rng.randint(1, 3), "within": rng.choice(("7d", "forever")),
            "scope": rng.choice(("action", "treatment", "group", "issue", "similar", "channel", "subject"))}
        if rng.random() < 0.5:
            found["suppress"] = rng.choice(("3d", "forever"))
        if rng.random() < 0.3:
            found["per"] = "interaction"
        if rng.random() < 0.3:
            found["direction"] = rng.choice(("inbound", "outbound"))
        return found
