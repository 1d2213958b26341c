"""Worked cases for contact policies, reasons, exposure, consent and time-outs, played through the public face. The files' heads say their form."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import nba_engine as nba
from tests.shop import NOON

HERE = Path(__file__).parent
FILES = {"shared": HERE.parents[1] / "shared" / "conformance" / "contact_scenarios.yaml", "own": HERE / "conformance" / "contact_scenarios.yaml"}


def scenarios() -> list[Any]:
    found: list[Any] = []
    for name, path in FILES.items():
        if not path.exists():
            found.append(pytest.param({}, {}, marks=pytest.mark.skip(reason=f"{path} is not on this machine"), id=name))
            continue
        file = yaml.safe_load(path.read_text())
        found += [pytest.param(file["catalog"], scenario, id=f"{name}: {scenario['name']}") for scenario in file["scenarios"]]
    return found


def moment(text: str):
    """`d3 10:15` is three days after 2 March 2026, a quarter past ten."""
    day, clock = text.split()
    hours, minutes = map(int, clock.split(":"))
    return NOON.replace(hour=0) + timedelta(days=int(day[1:]), hours=hours, minutes=minutes)


class Player:
    def __init__(self, catalog: dict[str, Any]) -> None:
        self.engine = nba.Engine(nba.Catalog.from_dict(catalog))
        self.decisions: dict[str, nba.Decision] = {}

    def decide(self, asked: dict[str, Any], offered: list[str] | None = None, why_not: dict[str, str] | None = None, **rest: Any) -> None:
        decision = self.decisions[asked["as"]] = self.engine.decide(
            asked["subject"], channel=asked.get("channel"), facts=asked.get("facts"), interaction=asked.get("interaction"), limit=99,
            at=moment(asked["at"]))  # fmt: skip
        names = [offer.action for offer in decision.offers]
        if offered is not None:
            assert sorted(names) == sorted(offered), asked
        if "first" in rest:
            assert names[0] == rest.pop("first"), asked
        assert not rest, f"unknown words in the scenario: {rest}"
        fallen = {a.action: a for a in self.engine.explain(decision.id).actions}
        for action, word in (why_not or {}).items():
            assert not fallen[action].offered and word in str(fallen[action]), asked

    def record(self, told: dict[str, Any]) -> None:
        extra = {name: told[name] for name in ("reason", "event_id") if name in told}
        receipt = self.engine.record(self.decisions[told["decision"]].id, told["label"], action=told["action"], at=moment(told["at"]), **extra)
        if "duplicate" in told:
            assert receipt.duplicate == told["duplicate"], told

    def advance(self, to: str) -> None:
        self.engine.advance(moment(to))


@pytest.mark.parametrize(("catalog", "scenario"), scenarios())
def test_scenario(catalog, scenario):
    player = Player({**catalog, **scenario.get("catalog", {})})
    for step in scenario["steps"]:
        if "decide" in step:
            player.decide(step["decide"], **{name: value for name, value in step.items() if name != "decide"})
        elif "record" in step:
            player.record(step["record"])
        else:
            player.advance(step["advance"])
