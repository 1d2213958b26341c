"""How often an alarm is false, and how soon a change is found: the engine's own detector beside river's, on the same outcomes.

A world of 1 or 5 actions, 7 facts and logistic answers (5 or 20 % say yes on average) is played through `Engine.decide` and `record`, default
settings, 16,000 interactions and several seeds; after 8,000 nothing changes (still), the odds fall to 0.3 (drop), rise to 2.5 (rise), or every
preference reverses (flip). Detectors see what `record` sees: the log-loss of the propensity predicted when deciding. An action is a case if it
had 300 outcomes, and as missed if it had 800 since the change without an alarm. Where it loses: a change that the model follows at once leaves
nothing to be found. Run: `python -m benchmarks.drift [seeds]`, some minutes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nba_engine as nba
from nba_engine.health.drift import STRETCH, UNIT, Drift, Stretch

N, CHANGE, ACTIONS, RATES = 16_000, 8_000, (1, 5), (0.05, 0.2)
WORLDS = ("still", "drop", "rise", "flip")
Outcomes = list[tuple[int, float, float]]


def outcomes(world: str, n_actions: int, rate: float, seed: int) -> dict[str, Outcomes]:
    """Per action: (interaction, predicted propensity, reward)."""
    rng = np.random.default_rng(seed)
    facts = {**{f"x{i}": "double" for i in range(5)}, "tariff": "string", "age": "int"}
    engine = nba.Engine(nba.Catalog.from_dict({"facts": facts, "actions": [{"id": str(k)} for k in range(n_actions)]}), seed=seed)
    taste, base = rng.normal(0, 0.4, (n_actions, 8)), math.log(rate / (1 - rate)) + rng.normal(0, 0.4, n_actions)
    found: dict[str, Outcomes] = {str(k): [] for k in range(n_actions)}
    for i in range(N):
        if i == CHANGE:
            taste = -taste if world == "flip" else taste
            base = base + {"drop": math.log(0.3), "rise": math.log(2.5)}.get(world, 0.0)
        x, tariff, age = rng.normal(size=5), int(rng.integers(3)), int(rng.integers(18, 80))
        given = {**{f"x{j}": float(v) for j, v in enumerate(x)}, "tariff": "abc"[tariff], "age": age}
        decision = engine.decide(f"s{i}", facts=given, at=i * 1_000_000)
        [offer] = decision.offers
        k = int(offer.action)
        eta = base[k] + taste[k] @ np.array([*x, tariff == 0, tariff == 1, (age - 49) / 18])
        reward = float(rng.random() < 1 / (1 + math.exp(-eta)))
        engine.record(decision.id, "accepted" if reward else "declined", at=i * 1_000_000)
        found[offer.action].append((i, offer.propensity, reward))
    return found


def own() -> Callable[[float], bool]:
    drift, latest = Drift(), list[int]()

    def alarms(loss: float) -> bool:
        before = drift.n_alarms
        latest.append(round(loss / UNIT))
        if len(latest) == STRETCH:
            drift.add(Stretch(STRETCH, STRETCH, sum(latest), sum(own * own for own in latest), 0, 0), 0)
            latest.clear()
        return drift.n_alarms > before

    return alarms


def of_river(detector: Any) -> Callable[[float], bool]:
    def alarms(loss: float) -> bool:
        detector.update(loss)
        return bool(detector.drift_detected)

    return alarms


def detectors() -> Iterator[tuple[str, Callable[[], Callable[[float], bool]]]]:
    from river import drift

    yield "own", own
    yield "river ADWIN", lambda: of_river(drift.ADWIN())
    yield "river PageHinkley", lambda: of_river(drift.PageHinkley())


def main(n_seeds: int) -> None:
    cases = [(world, seen) for world in WORLDS for n in ACTIONS for rate in RATES for seed in range(n_seeds)
             for seen in outcomes(world, n, rate, seed).values() if len(seen) >= 300]
    for name, make in detectors():
        n_false = n_still = 0
        delays: dict[str, list[float]] = {world: [] for world in WORLDS}
        for world, seen in cases:
            alarms = make()
            raised = [i for i, p, reward in seen if alarms(-math.log(p if reward else 1.0 - p))]
            last = N if world == "still" else CHANGE
            n_false, n_still = n_false + sum(i < last for i in raised), n_still + sum(i < last for i, *_ in seen)
            since = [i for i, *_ in seen if i >= last]
            if len(since) >= 800:
                delays[world].append(next((float(since.index(i)) for i in raised if i >= last), math.inf))
        print(f"{name}: {n_false} false alarms in {n_still:,} outcomes")
        for world, found in delays.items():
            if found:
                print(f"  {world}: found {sum(map(math.isfinite, found))} of {len(found)}, median after {np.median(found):,.0f} outcomes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
