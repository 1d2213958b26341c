"""The catalog and the customers that the benchmarks decide about: seeded, 40 facts, about five conditions a rule.

A rule is an AND of clauses, a clause an OR of conditions (one in most clauses), all drawn from one pool of 300 as business rules share their
thresholds. Rules that 12 to 30 % of a sample of customers fulfil are kept: a fifth on average. Every rule is written twice, as CEL for the
catalog and as a Python expression for `generated_rules`: one function with each condition evaluated once, what a team writes that compiles
its rules by hand. That function reads times as epoch seconds, the engine as aware datetimes: the conversion is part of the engine's time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import numpy as np

NOW = 1_795_000_000
AT = datetime.fromtimestamp(NOW, timezone.utc)
DAY = 86_400
CLAUSE_SIZES = ((1, 1, 1, 1, 1), (1, 1, 1, 2), (1, 2, 2), (1, 1, 3))

INTS = {"age": (18, 95), "months": (0, 300), "n_products": (0, 10), "visits": (0, 80), "calls": (0, 15), "shown": (0, 20), "taken": (0, 6),
        "complaints": (0, 5), "persons": (1, 7), "rating": (200, 900)}  # fmt: skip
DOUBLES = {"bill": (0.0, 300.0), "spend": (0.0, 4000.0), "income": (8e3, 180e3), "worth": (0.0, 9000.0), "churn": (0.0, 1.0),
           "active": (0.0, 1.0), "discount": (0.0, 0.4), "data_gb": (0.0, 150.0)}  # fmt: skip
STRINGS = {"segment": 5, "region": 7, "favourite_channel": 4, "country": 6, "language": 4, "tariff": 5, "device": 4, "band": 4}
LISTS = {"products": 9, "tags": 8, "consents": 5, "last_offers": 20}
NULLABLE = {"nps": (0, 10), "loan": (0, 80_000), "years_left": (0, 25), "months_left": (0, 24), "last_amount": (0, 700)}
TIMES = {"joined": 2500, "contacted": 100, "seen": 45, "bought": 400, "complained": 800}
FACTS = {
    **dict.fromkeys(INTS, "int"), **dict.fromkeys(DOUBLES, "double"), **dict.fromkeys(STRINGS, "string"),
    **dict.fromkeys(LISTS, "list<string>"), **dict.fromkeys(NULLABLE, "int"), **dict.fromkeys(TIMES, "timestamp"),
}  # fmt: skip
FLAGS = {f"flag_{i}": "bool" for i in range(24)}
"""Facts no rule reads, that make 64 of the 40."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a fact, as CEL over the catalog's facts and as Python over a customer `c` and the second `now`."""

    fact: str
    cel: str
    python: str


@dataclass(frozen=True, slots=True)
class World:
    """`rules`: per action its clauses; `catalog`: a mapping for `Catalog.from_dict`."""

    rules: list[list[list[Condition]]]
    catalog: dict[str, Any]


def customers(n: int, seed: int = 1) -> list[dict[str, Any]]:
    """Customers with times as epoch seconds, as the generated function reads them."""
    r = random.Random(seed)
    return [_customer(r) for _ in range(n)]


def facts_of(customer: dict[str, Any]) -> dict[str, Any]:
    """The same customer as `decide` reads it, times as aware datetimes."""
    return {**customer, **{name: datetime.fromtimestamp(customer[name], timezone.utc) for name in TIMES}}


def flagged(facts: dict[str, Any]) -> dict[str, Any]:
    """The same customer with all 64 facts."""
    return {**facts, **{name: i % 3 == 0 for i, name in enumerate(FLAGS)}}


@cache
def make(n_actions: int, seed: int = 2) -> World:
    """A catalog of `n_actions` in 20 groups, one rule each; about a second for 1,000. Made once a process: read it, do not change it."""
    rules = _rules(n_actions, random.Random(seed))
    catalog = {
        "name": "bench", "version": "1", "facts": FACTS, "channels": {"call": {}},
        "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}},
        "issues": {"sales": {"groups": {f"group-{g}": {} for g in range(20)}}},
        "actions": [
            {"id": f"action-{i}", "issue": "sales", "group": f"group-{i % 20}", "value": 5.0 + i % 11, "eligibility": [joined(rule, "cel")]}
            for i, rule in enumerate(rules)
        ],
    }  # fmt: skip
    return World(rules, catalog)


def generated_rules(world: World) -> Callable[[dict[str, Any], int], list[int]]:
    """One Python function of a customer and the second: the positions of the eligible actions."""
    names: dict[str, str] = {}
    lines = []
    for i, rule in enumerate(world.rules):
        clauses = [" or ".join(names.setdefault(c.python, f"p{len(names)}") for c in clause) for clause in rule]
        lines.append(f"    if {' and '.join(f'({clause})' for clause in clauses)}: found.append({i})")
    first = [f"    {name} = {text}" for text, name in names.items()]
    place: dict[str, Any] = {}
    exec("\n".join(["def eligible(c, now):", *first, "    found = []", *lines, "    return found"]), place)
    return place["eligible"]


def _customer(r: random.Random) -> dict[str, Any]:
    customer: dict[str, Any] = {name: r.randint(*bounds) for name, bounds in INTS.items()}
    customer |= {name: r.uniform(*bounds) for name, bounds in DOUBLES.items()}
    customer |= {name: f"{name}-{r.randrange(n)}" for name, n in STRINGS.items()}
    customer |= {name: [f"{name}-{k}" for k in r.sample(range(n), r.randint(0, 5))] for name, n in LISTS.items()}
    customer |= {name: r.randint(*bounds) if r.random() < 0.7 else None for name, bounds in NULLABLE.items()}
    return customer | {name: NOW - r.randint(0, days * DAY) for name, days in TIMES.items()}


def _condition(r: random.Random) -> Condition:
    kind = r.choices([INTS, DOUBLES, STRINGS, LISTS, NULLABLE, TIMES], [30, 18, 20, 14, 9, 9])[0]
    name = r.choice(list(kind))
    fact, sign = f"c[{name!r}]", r.choice([">=", "<=", ">", "<"])
    if kind is INTS:
        bound: Any = r.randint(*INTS[name])
        return Condition(name, f"{name} {sign} {bound}", f"{fact} {sign} {bound}")
    if kind is DOUBLES:
        bound = round(r.uniform(*DOUBLES[name]), 2)
        return Condition(name, f"{name} {sign} {bound}", f"{fact} {sign} {bound}")
    if kind is STRINGS:
        texts = [f"{name}-{k}" for k in sorted(r.sample(range(STRINGS[name]), r.randint(1, STRINGS[name] - 1)))]
        return Condition(name, f"{name} in {texts}", f"{fact} in {tuple(texts)}")
    if kind is LISTS:
        text = f"{name}-{r.randrange(LISTS[name])}"
        inside = Condition(name, f"'{text}' in {name}", f"{text!r} in {fact}")
        return r.choice([inside, Condition(name, f"!({inside.cel})", f"{text!r} not in {fact}")])
    if kind is NULLABLE:
        bound = r.randint(*NULLABLE[name])
        number = Condition(name, f"has({name}) && {name} {sign} {bound}", f"({fact} is not None and {fact} {sign} {bound})")
        return r.choice([Condition(name, f"!has({name})", f"{fact} is None"), number])
    seconds = DAY * r.randint(2, TIMES[name])
    return Condition(name, f"now - {name} {sign} duration('{seconds}s')", f"now - {fact} {sign} {seconds}")


def _rules(n: int, r: random.Random) -> list[list[list[Condition]]]:
    sample = customers(400, seed=3)
    pool = list(dict.fromkeys(_condition(r) for _ in range(700)))
    codes = [compile(c.python, c.fact, "eval") for c in pool]
    truth = np.array([[eval(code, {"c": customer, "now": NOW}) for customer in sample] for code in codes], dtype=bool)
    share = truth.mean(axis=1)
    shared = [i for i in range(len(pool)) if 0.25 <= share[i] <= 0.95][:300]
    common = [i for i in shared if share[i] >= 0.55]
    rules: list[list[list[Condition]]] = []
    while len(rules) < n:
        clauses = [[r.choice(common if size == 1 else shared) for _ in range(size)] for size in r.choice(CLAUSE_SIZES)]
        used = [pool[i].fact for clause in clauses for i in clause]
        if len(set(used)) < len(used):
            continue
        selected = np.logical_and.reduce([truth[clause].any(axis=0) for clause in clauses]).mean()
        if 0.12 <= selected <= 0.30:
            rules.append([[pool[i] for i in clause] for clause in clauses])
    return rules


def joined(rule: list[list[Condition]], language: str) -> str:
    """A rule as one text, `language` cel or python."""
    return " && ".join("(" + " || ".join(f"({getattr(c, language)})" for c in clause) + ")" for clause in rule)
