"""The figures this project is measured by, one function each group; `report.py` writes them down, `check.py` asserts their ratios."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

import nba_engine as nba
from benchmarks import setting, world
from benchmarks.bench_arbitration import WORLDS, total_variation
from benchmarks.bench_contact import NOW, contact_world
from benchmarks.growth import rules_alone
from benchmarks.measuring import Case, Timing, alternating
from nba_engine.arbitration.winning import win_probability
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.facts.encoding import Encoder
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.numerics.bitset import pack
from nba_engine.schema import Fact, parse_type

N_ACTIONS = 1_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, and single calls in each."""

    n_rounds: int
    n_calls: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Timings by name and pure numbers by name; `timings["generated Python"]` is the yardstick of the same run."""

    timings: dict[str, Timing]
    numbers: dict[str, float]

    def ratio(self, of: str, to: str) -> float:
        return self.timings[of].p50 / self.timings[to].p50


def measure(effort: Effort) -> Figures:
    """All figures; up to a minute of compiling on a machine that never ran them, then about 2 ms for a call of each."""
    customers, facts, catalog = world.customers(200), setting.customers(), setting.catalog(N_ACTIONS)
    eligible = world.generated_rules(world.make(N_ACTIONS))
    with ExitStack() as stack:
        fresh = stack.enter_context(nba.Engine(catalog))  # beliefs of a first day: what is recorded teaches other engines
        fresh.warm()
        cases = {
            "decide": Case(setting.deciding(fresh, facts)),
            "generated Python": Case(lambda k: eligible(customers[k % 200], world.NOW)),
            "rules alone": rules_alone(catalog, facts),
            "record, memory": _record(stack.enter_context(nba.Engine(catalog)), facts),
            **_rooms(),
        }
        timings = alternating(cases, effort.n_rounds, effort.n_calls)  # taking turns: a machine that slows down slows both sides of a ratio
        for sync in ("os", "disk"):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            engine = stack.enter_context(nba.Engine(catalog, store=folder, sync=sync))
            timings |= alternating({f"record, sync={sync}": _record(engine, facts)}, effort.n_rounds, effort.n_calls)
    timings |= alternating(_winning(), effort.n_rounds, effort.n_calls)
    numbers = {f"total variation, {name}": total_variation(win_probability(*WORLDS[name]), name) for name in ("all-200-contend", "64-contend")}
    return Figures(timings, numbers | {"share eligible": float(np.mean([len(eligible(c, world.NOW)) for c in customers])) / N_ACTIONS})


def _record(engine: nba.Engine, facts: list[dict[str, Any]]) -> Case:
    decide = setting.deciding(engine, facts)

    def answer(k: int) -> tuple[str, str, str]:
        decision = decide(k)
        return decision.id, "declined" if k % 5 else "accepted", decision.offers[0].action

    return Case(lambda given: engine.record(given[0], given[1], action=given[2], at=world.AT), answer)


def _rooms() -> dict[str, Case]:
    """Encoding 64 facts, and closing what a history of 20 events suppresses."""
    types = world.FACTS | world.FLAGS
    encoder = Encoder([Fact(name, parse_type(text)) for name, text in types.items()], Vocabulary())
    facts = [world.flagged(world.facts_of(c)) for c in world.customers(50)]
    rules, contacts = contact_world(20, 10, N_ACTIONS)
    history = contacts.history("s")
    full = pack(np.ones(N_ACTIONS, dtype=bool))
    return {
        "encode 64 facts": Case(lambda k: encoder.encode(facts[k % 50], 0, "call", "inbound")),
        "contact, 20 events": Case(lambda words: clear_suppressed(rules, history, NOW, 0, words), lambda _: full.copy()),
    }


def _winning() -> dict[str, Case]:
    def case(name: str) -> Case:
        return Case(lambda _: win_probability(*WORLDS[name]))

    mean, deviation = WORLDS["all-200-contend"]
    random = np.random.default_rng(0)
    return {
        "win probabilities, all-200-contend": case("all-200-contend"),
        "win probabilities, 64-contend": case("64-contend"),
        "100 draws in numpy": Case(lambda _: (mean + deviation * random.standard_normal((100, len(mean)))).argmax(axis=1)),
    }


def rows(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    """(figure, measured, bar, aim) as the report and the README print them; microseconds are medians."""
    t, n = found.timings, found.numbers

    def us(name: str) -> str:
        return f"{t[name].p50:.1f} us"

    yield "`decide`, 1,000 actions, dict in, Decision out, p50", us("decide"), "", ""
    yield "the same, p99", f"{t['decide'].p99:.0f} us", "300 us", ""
    yield "one generated Python function for the same rules alone", us("generated Python"), "about 50 us on the machine of the bars", ""
    yield "`decide` / generated Python", f"{found.ratio('decide', 'generated Python'):.2f}", "2.0", "1.2"
    yield "rules alone, encoded row, 1,000 actions", us("rules alone"), "5 us", "2 us"
    for name, bar, aim in (("all-200-contend", "40 us", "20 us"), ("64-contend", "25 us", "12.5 us")):
        yield f"win probabilities of 200 survivors, {name}", us(f"win probabilities, {name}"), bar, aim
        yield "their total variation to the law", f"{n[f'total variation, {name}']:.5f}", ".01", ""
    yield "`record`, memory", us("record, memory"), "25 us", "12 us"
    yield '`record`, sync="os"', us("record, sync=os"), "60 us", "30 us"
    yield '`record`, sync="disk"', us("record, sync=disk"), "", ""
    yield "encoding a dict of 64 facts", us("encode 64 facts"), "about 8 us", ""
    yield "contact history, 1,000 actions, 20 events, 10 contact policies", us("contact, 20 events"), "", ""
