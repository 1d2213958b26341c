"""`python -m benchmarks.learning.calibration [hillstrom | bank | worlds | coverage]`: whether propensities and their intervals mean what they say.

hillstrom, bank: `offer.propensity`, read before its outcome is recorded, default settings. Rows fall into ten parts of equal size by propensity;
the number is positives observed over positives predicted in each part with at least 50 of them (bar: .9 to 1.1), how many parts would be inside
on average if every propensity were exactly right (of 100 positives a third of parts are not), and the log-loss beside that of always saying the
share of positives so far. hillstrom: visits after the e-mail that was sent (or none), 64,000 rows; bank: the calls' second
half, in call order, the accept rate drifting from .05 to .46 in it.

worlds: log-loss of what the model says of the chosen action and of what is reported after correction, in the worlds of corrected.py.

coverage: share of 95 % intervals (`explain(...).interval`) that hold the true propensity, after 2,000 and 20,000 outcomes of actions chosen at
random, over new customers; in a world of the model's kind (coefficients drawn from its own prior, features its own) and in the contact centre of
centre.py, which is not. Where it loses: one action an interaction, no delays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import nba_engine as nba
from benchmarks.learning import corrected, coverage, sets

N_PARTS, POSITIVES_MIN = 10, 50


def hillstrom() -> tuple[np.ndarray, np.ndarray]:
    """Propensity and visit of each customer of the e-mail trial, the arm that was sent being the only one open."""
    table = pq.read_table(sets.DATA / "hillstrom.parquet")
    table = table.rename_columns(["bought_on" if name == "channel" else name for name in table.column_names])
    facts = [name for name in table.column_names if name not in ("segment", "visit", "conversion", "spend")]
    arms = sorted(set(table["segment"].to_pylist()))
    types = {name: sets._TYPES[str(table.schema.field(name).type)].kind for name in facts}
    actions = [{"id": f"arm {k}", "value": 1, "eligibility": [f"sent == {k}"]} for k in range(len(arms))]
    engine = _engine(types | {"sent": {"type": "int", "predictor": False}}, actions)
    rows = (({name: row[name] for name in facts} | {"sent": arms.index(row["segment"])}, row["visit"] == 1) for row in table.to_pylist())
    return _asked(engine, rows, table.num_rows)


def bank() -> tuple[np.ndarray, np.ndarray]:
    """Propensity and answer of each call of the second half, in call order."""
    data = sets.read("bank")
    engine = _engine({name: type_.kind for name, type_ in data.types.items()}, [{"id": "call", "value": 1}])
    n = len(data.labels)
    propensity, positive = _asked(engine, ((data.row(i), bool(data.labels[i])) for i in range(n)), n)
    return propensity[n // 2 :], positive[n // 2 :]


def _engine(facts: dict[str, Any], actions: list[dict[str, Any]]) -> nba.Engine:
    issue = {"issue": "all", "group": "one"}
    catalog = {"facts": facts, "issues": {"all": {"groups": {"one": {}}}}, "actions": [action | issue for action in actions]}
    return nba.Engine(nba.Catalog.from_dict(catalog), explained_decisions_max=10)


def _asked(engine: nba.Engine, rows: Iterator[tuple[dict[str, Any], bool]], n: int) -> tuple[np.ndarray, np.ndarray]:
    propensity, positive = np.zeros(n), np.zeros(n)
    for i, (facts, answer) in enumerate(rows):
        decision = engine.decide(f"row {i}", facts=facts)
        propensity[i], positive[i] = decision.offers[0].propensity, answer
        engine.record(decision.id, "accepted" if answer else "declined")
    return propensity, positive


def by_part(propensity: np.ndarray, positive: np.ndarray) -> list[tuple[float, float, int]]:
    """(mean propensity, observed over predicted, positives) of each tenth of the rows, lowest propensity first."""
    order = np.argsort(propensity, kind="stable")
    return [(float(propensity[part].mean()), float(positive[part].sum() / propensity[part].sum()), int(positive[part].sum()))
            for part in np.array_split(order, N_PARTS)]


def inside(parts: list[tuple[float, float, int]]) -> int:
    """How many of `by_part` have enough positives and a ratio within the bar."""
    return sum(n >= POSITIVES_MIN and 0.9 <= ratio <= 1.1 for _, ratio, n in parts)


def inside_if_right(propensity: np.ndarray, n_draws: int = 200) -> float:
    """How many parts would be inside on average if each answer came with just its propensity."""
    rng = np.random.default_rng(0)
    return float(np.mean([inside(by_part(propensity, rng.random(len(propensity)) < propensity)) for _ in range(n_draws)]))


def log_loss(propensity: np.ndarray, positive: np.ndarray) -> float:
    """Mean of -log P(what came), natural logarithm."""
    p = np.clip(propensity, 1e-12, 1 - 1e-12)
    return float(-np.mean(positive * np.log(p) + (1 - positive) * np.log1p(-p)))


def running_share(positive: np.ndarray) -> np.ndarray:
    """Share of positives among the rows before, one of each kind counted beforehand."""
    return (1.0 + np.cumsum(positive) - positive) / (2.0 + np.arange(len(positive)))


def lines(name: str, propensity: np.ndarray, positive: np.ndarray) -> list[str]:
    """What is printed of one set."""
    parts = [part for part in by_part(propensity, positive) if part[2] >= POSITIVES_MIN]
    ratios = " ".join(f"{ratio:.3f}" for _, ratio, _ in parts)
    return [f"{name}: observed / predicted {ratios}; {inside(parts)} of {len(parts)} within .9 to 1.1 ({inside_if_right(propensity):.1f} if each "
            "propensity were right)",
            f"{name}: log-loss {log_loss(propensity, positive):.4f}, share so far {log_loss(running_share(positive), positive):.4f}; "
            f"observed / predicted overall {positive.sum() / propensity.sum():.3f}"]


def covered() -> list[str]:
    """A line per world and number of outcomes."""
    found = []
    for own_kind in (True, False):
        for n in (500, 2_000, 20_000):
            held, length = coverage.measure(own_kind=own_kind, n=n)
            kind = "the model's own kind" if own_kind else "another kind (contact centre)"
            found.append(f"world of {kind}, {n:,} outcomes: {held:.3f} of the 95 % intervals hold the truth; mean length {length:.3f}")
    return found


def told_of_worlds() -> Iterator[str]:
    """A line per world: means of three seeds, the parts of all three together."""
    played = zip(*(corrected.worlds(seed) for seed in corrected.SEEDS), strict=True)
    for same in played:
        found = [corrected.compared(one, seed) for seed, (_, one) in zip(corrected.SEEDS, same, strict=True)]
        own, after = (np.mean([log_loss(run[k], run[2]) for run in found]) for k in (0, 1))
        counts = [sum(inside(by_part(run[k], run[2])) for run in found) for k in (0, 1)]
        n_parts = sum(n >= POSITIVES_MIN for run in found for _, _, n in by_part(run[1], run[2]))
        yield (f"{same[0][0]}: log-loss {own:.5f}, corrected {after:.5f} ({after / own - 1:+.2%}); within .9 to 1.1 {counts[0]}, "
               f"corrected {counts[1]} of {n_parts}")


def main(names: list[str]) -> None:
    for name, make in (("hillstrom", hillstrom), ("bank", bank)):
        if name in names:
            sys.stdout.write("\n".join([*lines(name, *make()), ""]))
            sys.stdout.flush()
    for line in told_of_worlds() if "worlds" in names else ():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if "coverage" in names:
        sys.stdout.write("\n".join([*covered(), ""]))


if __name__ == "__main__":
    main(sys.argv[1:] or ["hillstrom", "bank", "worlds", "coverage"])
