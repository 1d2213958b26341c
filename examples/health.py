"""How the models do: a made-up shop over ten weeks, in the eighth of which customers change their minds about one offer.

A challenger learns in the shadow all the while. Run it with `python examples/health.py`; docs/health.md explains what it prints.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import nba_engine as nba

CATALOG = {
    "name": "health-example",
    "version": "1",
    "facts": {"age": {"type": "int", "sensitive": True}, "tariff": "string", "gender": {"type": "string", "predictor": False, "sensitive": True}},
    "channels": {"call": {}},
    "issues": {"sales": {"groups": {"extras": {}}}},
    "actions": [
        {"id": "fibre", "issue": "sales", "group": "extras", "value": 10},
        {"id": "sport", "issue": "sales", "group": "extras", "value": 12, "eligibility": "age < 50"},
        {"id": "roaming", "issue": "sales", "group": "extras", "value": 11},
    ],
    "control_groups": [{"name": "random", "share": 0.1, "kind": "uniform"}],
    "model": "probit",
    "challenger": "beta_bernoulli",
}
START = datetime(2026, 1, 5, 8, tzinfo=timezone.utc)
CALLS_PER_DAY = 100


def p_yes(action: str, facts: dict[str, object], week: int) -> float:
    """The truth: roaming suits the flat tariff, sport the young; from the eighth week on hardly anybody wants fibre."""
    if action == "fibre":
        return 0.25 if week < 7 else 0.06
    if action == "sport":
        return 0.30 if facts["age"] < 30 else 0.10  # type: ignore[operator]
    return 0.32 if facts["tariff"] == "flat" else 0.08


def main(n_weeks: int = 10) -> nba.Engine:
    """The engine after `n_weeks`, every offer presented and answered."""
    r = random.Random(4)
    engine = nba.Engine(nba.Catalog.from_dict(CATALOG), seed=4)
    for call in range(n_weeks * 7 * CALLS_PER_DAY):
        day, within = divmod(call, CALLS_PER_DAY)
        at = START + timedelta(days=day, minutes=5 * within)
        facts = {"age": r.randrange(18, 80), "tariff": r.choice(["flat", "basic"]), "gender": r.choice(["f", "m"])}
        decision = engine.decide(f"customer-{call}", facts=facts, channel="call", at=at)
        [offer] = decision.offers
        label = "accepted" if r.random() < p_yes(offer.action, facts, day // 7) else "declined"
        engine.record(decision.id, label, at=at + timedelta(minutes=3))
    return engine


if __name__ == "__main__":
    engine = main()
    print(engine.health())
    flagged = engine.health().bias().filter(engine.health().bias()["flagged"])
    print(f"\n{flagged.num_rows} flagged rows of engine.health().bias(), such as {flagged.slice(0, 1).to_pylist()[0]['group']!r}")
