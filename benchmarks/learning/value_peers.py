"""What the value benchmark compares with: each set up as somebody would who knows it well, with several settings of which the best is kept.

A player chooses an action for customer i and then learns whether it was accepted. All peers are told the values of the actions, and see numbers
as scores (logarithms of what has a heavy tail, scaled by knowing all rows beforehand) and texts as one feature a category; `bins` adds a feature
per fifth of each number. Vowpal Wabbit sees group, issue and value of the actions too, and the lowest and highest cost there is.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from benchmarks.learning.centre import GROUPS_PER_ISSUE, NUMBERS, TEXTS, VALUE_MAX, Centre

N_BINS = 5
_HEAVY = ("income", "data_gb", "tenure_months", "calls", "distance")


class Player(Protocol):
    """Chooses for customer `i` in turn; `learn` follows each choice. Settings are tried on so many first interactions of the first seed."""

    N_TRIED: int

    def choose(self, i: int) -> int: ...

    def learn(self, i: int, action: int, accepted: bool) -> None: ...


def encoded(world: Centre, *, bins: bool) -> np.ndarray:
    """float64[n, d]: 1, numbers, days_left missing, categories, perhaps fifths of numbers."""
    columns = [np.ones(len(world.numbers))]
    for name, x in zip(NUMBERS, world.numbers.T, strict=True):
        x = np.log1p(x) if name in _HEAVY else np.arcsinh(x / 100.0) if name == "balance" else x
        columns.append(np.nan_to_num((x - np.nanmean(x)) / np.nanstd(x)))
        if np.isnan(x).any():
            columns.append(np.isnan(x).astype(float))
        if bins:
            place = np.searchsorted(np.nanquantile(x, np.linspace(0, 1, N_BINS + 1)[1:-1]), x)
            columns += [(place == k).astype(float) for k in range(N_BINS)]
    for k, size in enumerate(TEXTS.values()):
        columns += [(world.texts[:, k] == code).astype(float) for code in range(size)]
    return np.stack(columns, axis=1)


class LinUcb:
    """river's LinUCBDisjoint (0.26: Bayesian linear regression per action, the highest mean + deviation) in numpy; a test compares the two.

    `target` "value": regresses accept * value, as it stands; "accept": regresses acceptance and multiplies the bound by the value.
    """

    N_TRIED = 50_000

    def __init__(self, world: Centre, *, beta: float, target: str = "accept", bins: bool = False, seed: int = 0) -> None:
        self._x, self._value, self._beta = encoded(world, bins=bins), world.value, beta
        self._by_value = target == "accept"
        k, d = world.shape.n_actions, self._x.shape[1]
        self._inverse, self._sums, self._theta = np.repeat(np.eye(d)[None], k, axis=0), np.zeros((k, d)), np.zeros((k, d))
        self._rng = np.random.default_rng(seed)

    def choose(self, i: int) -> int:
        bound = self.bounds(self._x[i])
        return int(self._rng.choice(np.flatnonzero(bound == bound.max())))

    def bounds(self, x: np.ndarray) -> np.ndarray:
        """The upper bound of every action."""
        bound = self._theta @ x + np.sqrt(1.0 / self._beta + (self._inverse @ x) @ x)
        return bound * self._value if self._by_value else bound

    def learn(self, i: int, action: int, accepted: bool) -> None:
        x = self._x[i]
        reward = float(accepted) if self._by_value else accepted * self._value[action] / VALUE_MAX
        along = self._inverse[action] @ x
        self._inverse[action] -= np.outer(along, along) * (self._beta / (1.0 + self._beta * (x @ along)))
        self._sums[action] += self._beta * reward * x
        self._theta[action] = self._inverse[action] @ self._sums[action]


class Logistic:
    """A logistic regression per action by Adagrad steps, the best p * value with probability 1 - epsilon, else any.

    Intercepts start where one offer in fifty is accepted: an expert would not start at one in two.
    """

    N_TRIED = 50_000

    def __init__(self, world: Centre, *, rate: float, epsilon: float, bins: bool = False, seed: int = 0) -> None:
        self._x, self._value, self._rate, self._epsilon = encoded(world, bins=bins), world.value, rate, epsilon
        k, d = world.shape.n_actions, self._x.shape[1]
        self._theta, self._squares = np.zeros((k, d)), np.full((k, d), 1e-2)
        self._theta[:, 0] = math.log(0.02 / 0.98)
        self._rng = np.random.default_rng(seed)

    def choose(self, i: int) -> int:
        if self._rng.random() < self._epsilon:
            return int(self._rng.integers(len(self._value)))
        return int(np.argmax(self._value / (1.0 + np.exp(-(self._theta @ self._x[i])))))

    def learn(self, i: int, action: int, accepted: bool) -> None:
        x = self._x[i]
        gradient = (float(accepted) - 1.0 / (1.0 + math.exp(-min(max(float(self._theta[action] @ x), -30.0), 30.0)))) * x
        self._squares[action] += gradient * gradient
        self._theta[action] += self._rate * gradient / np.sqrt(self._squares[action])


class VowpalWabbit:
    """`--cb_explore_adf` with `--regcb`, `--regcbopt` or `--squarecb`: actions as lines of features, crossed with the customer's.

    Cost = -accept * value / 500. Every RegCB tried with its own mellowness, .1, chose almost at random here, hence the smaller ones.
    """

    N_TRIED = 10_000  # a run takes minutes

    def __init__(self, world: Centre, *, law: str, rate: float, gamma: float = 10.0, mellowness: float = 0.1, bins: bool = False,
                 seed: int = 1) -> None:
        from vowpalwabbit import Workspace

        explore = f"--squarecb --gamma_scale {gamma:g}" if law == "squarecb" else f"--{law} --mellowness {mellowness:g}"
        self._workspace: Any = Workspace(
            f"--cb_explore_adf {explore} --cb_min_cost -1 --cb_max_cost 0 --cb_type mtr -q ca --ignore_linear c -l {rate:g} -b 20 --quiet "
            f"--random_seed {seed}")
        self._customer = [_line(x) for x in encoded(world, bins=bins)[:, 1:].astype(np.float32)]
        self._value, groups = world.value, world.groups
        self._lines = [f"|a id{a} g{g} i{g // GROUPS_PER_ISSUE} v:{math.log(v) / 3.0:.3f}"
                       for a, (g, v) in enumerate(zip(groups.tolist(), world.value.tolist(), strict=True))]
        self._all = "\n".join(self._lines)
        self._rng, self._p = np.random.default_rng(seed), np.zeros(0)

    def choose(self, i: int) -> int:
        self._p = np.asarray(self._workspace.predict(f"shared |c {self._customer[i]}\n{self._all}"))
        return min(int(np.searchsorted(np.cumsum(self._p), self._rng.random() * self._p.sum(), side="right")), len(self._p) - 1)

    def learn(self, i: int, action: int, accepted: bool) -> None:
        lines = [f"shared |c {self._customer[i]}", *self._lines]
        lines[1 + action] = f"0:{-float(accepted) * self._value[action] / VALUE_MAX:.6f}:{self._p[action]:.6f} {lines[1 + action]}"
        self._workspace.learn("\n".join(lines))


def _line(x: np.ndarray) -> str:
    return " ".join(f"f{k}" if x[k] == 1.0 else f"f{k}:{x[k]:.3f}" for k in np.flatnonzero(x))


MENU: dict[str, tuple[type, list[dict[str, Any]]]] = {
    "Vowpal Wabbit RegCB": (VowpalWabbit, [{"law": "regcb", "rate": rate} for rate in (0.1, 0.02, 0.005)] + [
        {"law": law, "rate": 0.02, "mellowness": mellowness} for law in ("regcb", "regcbopt") for mellowness in (1e-3, 1e-5)]),
    "Vowpal Wabbit SquareCB": (VowpalWabbit, [
        {"law": "squarecb", "rate": rate, "gamma": gamma} for gamma in (10.0, 1000.0) for rate in (0.5, 0.1, 0.02)]
        + [{"law": "squarecb", "rate": rate, "gamma": gamma} for rate, gamma in ((0.005, 1000.0), (0.02, 10_000.0))]),
    "river LinUCB": (LinUcb, [{"beta": beta, "target": "accept", "bins": bins} for beta in (10.0, 100.0, 1000.0) for bins in (False, True)]
                     + [{"beta": beta, "target": "value"} for beta in (10.0, 1e3, 1e4, 1e5)]),
    "logistic regression per action": (Logistic, [
        {"rate": rate, "epsilon": epsilon, "bins": bins} for rate in (0.03, 0.1, 0.3) for epsilon in (0.01, 0.05) for bins in (False, True)]),
}
"""name -> (player, the settings tried); every one plays the first seed (`N_TRIED`), the best of them all of it and the other seeds."""
