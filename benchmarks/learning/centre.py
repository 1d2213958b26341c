"""A simulated contact centre whose answers are not of the model's kind, seeded.

Customers come from hidden segments, which only show in their facts: numbers with heavy tails, counts, texts, some of it noise, some missing. An
action has a mean accept rate (log-uniform, .2 % to 20 %) and a value (log-uniform, 1 to 500, falling with the rate as it does where dear things
sell rarely). What makes a customer more or less likely is added up on the scale log(-log(1 - p)): bumps over age, steps at a quantile, tables over
texts with Student's t entries, an effect of two facts that reverses, the hidden segment, the season and the hour. A group's five actions have
half of that in common. `Shape` varies all this, so that nothing is tuned to one of them.

The figure of merit is the mean of p * value over what was chosen, in expectation: luck with the answers themselves does not count.
Where it loses: no two-sided effects of contact, no fatigue, everybody answers at once; the group structure is as we believe it to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

N_SEGMENTS = 6
ACTIONS_PER_GROUP = 5
GROUPS_PER_ISSUE = 5
RATE_MIN, RATE_MAX = 0.002, 0.2
VALUE_MIN, VALUE_MAX = 1.0, 500.0

NUMBERS = ("age", "income", "data_gb", "tenure_months", "calls", "balance", "days_left", "distance")
TEXTS = {"tariff": 6, "region": 12, "device": 4, "intent": 5, "weekday": 7}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of world. `spread`: how much customers differ, 0 not at all; `trade_off`: rank correlation of rate and value, negated;
    `shared`: share of the effects that a group has in common; `plain`: straight logistic lines instead of all that is said above."""

    name: str
    n_actions: int = 100
    n_interactions: int = 50_000
    spread: float = 1.0
    trade_off: float = 0.8
    shared: float = 0.5
    plain: bool = False


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("centre"),
        Shape("calm", spread=0.5),
        Shape("strangers", shared=0.0),
        Shape("free", trade_off=0.0),
        Shape("plain", plain=True),
        Shape("few", n_actions=20, n_interactions=20_000),
    )
}
"""`centre` is the one of the bar; the others tell whether what wins there wins elsewhere."""


@dataclass(frozen=True, slots=True)
class Centre:
    """`numbers` float64[n, 8] (NaN missing); `texts` int64[n, 5]; `p` float32[n, n_actions]; `value` float64[n_actions]; `noise` float64[n]."""

    shape: Shape
    numbers: np.ndarray
    texts: np.ndarray
    p: np.ndarray
    value: np.ndarray
    noise: np.ndarray

    def facts(self, i: int) -> dict[str, Any]:
        """Customer `i` as `decide` takes it; what is missing is left out."""
        found: dict[str, Any] = {name: x for name, x in zip(NUMBERS, self.numbers[i].tolist(), strict=True) if x == x}
        return found | {name: f"{name}-{code}" for name, code in zip(TEXTS, self.texts[i].tolist(), strict=True)}

    def accepts(self, i: int, action: int) -> bool:
        """Whether customer `i` would say yes; the same noise for every action."""
        return bool(self.noise[i] < self.p[i, action])

    def earned(self, chosen: np.ndarray) -> np.ndarray:
        """p * value of the choices int[n], float64[n]."""
        return self.p[np.arange(len(chosen)), chosen] * self.value[chosen]

    @property
    def groups(self) -> np.ndarray:
        """Group of each action."""
        return np.arange(self.shape.n_actions) // ACTIONS_PER_GROUP


def make(seed: int, shape: Shape = SHAPES["centre"], n: int | None = None) -> Centre:
    """The world of one seed; `n` interactions, the shape's own number by default."""
    rng = np.random.default_rng([seed, 2026])
    n = n or shape.n_interactions
    segment, numbers, texts, hour = _customers(rng, n)
    rate = np.exp(rng.uniform(np.log(RATE_MIN), np.log(RATE_MAX), shape.n_actions))
    level = -shape.trade_off * _standard(np.log(rate)) + np.sqrt(1.0 - shape.trade_off**2) * rng.normal(size=shape.n_actions)
    place = np.argsort(np.argsort(level)) / (shape.n_actions - 1)
    value = np.round(np.exp(np.log(VALUE_MIN) + place * np.log(VALUE_MAX / VALUE_MIN)), 2)
    effects = _lines if shape.plain else _effects
    n_groups = -(-shape.n_actions // ACTIONS_PER_GROUP)
    common = effects(rng, n_groups, segment, numbers, texts, hour)[:, np.arange(shape.n_actions) // ACTIONS_PER_GROUP]
    own = effects(rng, shape.n_actions, segment, numbers, texts, hour)
    effect = shape.spread * (np.sqrt(shape.shared) * common + np.sqrt(1.0 - shape.shared) * own)
    p = _at_rate(effect, rate, plain=shape.plain)
    return Centre(shape, numbers, texts, p, value, rng.random(n))


def _customers(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    segment = rng.choice(N_SEGMENTS, size=n, p=rng.dirichlet(np.full(N_SEGMENTS, 4.0)))
    age = np.clip(rng.normal(rng.uniform(25, 65, N_SEGMENTS)[segment], 8), 18, 95).round()
    income = np.exp(rng.normal(rng.normal(8.0, 0.5, N_SEGMENTS)[segment], 0.5))
    data_gb = np.exp(rng.normal(rng.normal(1.5, 0.7, N_SEGMENTS)[segment], 1.2))
    tenure = rng.exponential(rng.uniform(6, 90, N_SEGMENTS)[segment]).round()
    calls = rng.negative_binomial(1, 1.0 / (1.0 + rng.uniform(0.3, 4.0, N_SEGMENTS)[segment])).astype(float)
    balance = 100.0 * rng.standard_t(2, n) + rng.normal(0, 150, N_SEGMENTS)[segment]
    days_left = rng.uniform(0, 720, n).round()
    days_left[rng.random(n) < 0.15] = np.nan
    distance = np.exp(rng.normal(1.0, 1.0, n))
    texts = [_drawn(rng, rng.dirichlet(np.full(size, 0.8), N_SEGMENTS)[segment]) for size in (6, 12, 4, 5)]
    hour = rng.integers(8, 21, n)
    return segment, np.stack([age, income, data_gb, tenure, calls, balance, days_left, distance], 1), np.stack([*texts, np.arange(n) % 7], 1), hour


def _drawn(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    return np.minimum((rng.random((len(p), 1)) > np.cumsum(p, axis=1)).sum(axis=1), p.shape[1] - 1)


def _effects(rng: np.random.Generator, k: int, segment: np.ndarray, numbers: np.ndarray, texts: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """float64[n, k]: what moves each of k things, deviation about 1 on the log scale."""
    n, found = len(segment), np.empty((len(segment), k))
    year = np.arange(n) / n
    for j in range(k):
        e = rng.laplace(0.0, 0.35, N_SEGMENTS)[segment]
        e += 1.2 * rng.choice([-1, 1]) * np.exp(-(((numbers[:, 0] - rng.uniform(25, 70)) / rng.uniform(5, 15)) ** 2))
        for _ in range(2):
            x = numbers[:, rng.integers(1, 7)]
            e += rng.laplace(0.0, 0.6) * (x > np.nanquantile(x, rng.uniform(0.3, 0.95)))
        for _ in range(2):
            column = rng.integers(0, 4)
            e += np.clip(0.4 * rng.standard_t(3, list(TEXTS.values())[column]), -2.5, 2.5)[texts[:, column]]
        x = numbers[:, rng.integers(1, 6)]
        e += rng.normal(0.0, 0.6) * np.where((x > np.nanmedian(x)) == (texts[:, rng.choice([0, 2, 3])] % 2 == 0), 1.0, -1.0)
        e += 0.3 * np.sin(2 * np.pi * (year + rng.random())) + 0.2 * np.cos(2 * np.pi * (hour - rng.integers(8, 21)) / 12)
        e += 0.3 * rng.choice([-1, 0, 1]) * (texts[:, 4] >= 5)
        found[:, j] = e
    return found


def _lines(rng: np.random.Generator, k: int, segment: np.ndarray, numbers: np.ndarray, texts: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """float64[n, k]: straight lines over the numbers' ranks, deviation about 1."""
    ranks = np.nan_to_num(np.stack([_standard(np.argsort(np.argsort(x)).astype(float)) for x in numbers.T], axis=1))
    return ranks @ rng.normal(0.0, 1.0 / np.sqrt(ranks.shape[1]), (ranks.shape[1], k))


def _at_rate(effect: np.ndarray, rate: np.ndarray, *, plain: bool) -> np.ndarray:
    """p float32[n, n_actions] with the mean accept rates asked for: the shift is found by bisection."""
    low, high = np.full(len(rate), -20.0), np.full(len(rate), 5.0)
    sample = effect[:: max(len(effect) // 2000, 1)]
    for _ in range(40):
        middle = (low + high) / 2
        less = _answer(sample + middle, plain=plain).mean(axis=0) < rate
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return _answer(effect + low, plain=plain).astype(np.float32)


def _answer(eta: np.ndarray, *, plain: bool) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-eta)) if plain else -np.expm1(-np.exp(np.minimum(eta, 1.0)))


def _standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std()
