"""What is counted of one action's treatment: ever since the first outcome, and over the action's latest answers.

Everything is a whole number, fractions in units of 1 / ONE, so that taking an outcome back restores what was, bit for bit, and sums of several
tallies are exact. An action's answers are numbered; those of one thousand make a block, and a tally keeps the block being filled and the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

ONE = 1 << 24
BLOCK_ANSWERS = 1_000
"""Answers of a block; "recent" are those of the block being filled and the one before."""
BINS_PER_LOGIT = 20
"""A bin holds predictions whose odds differ by 5 % at most."""
P_MIN = 1e-6
_FIRST_BIN = 300.0
"""Where the logit 0 stands among the bins: what int() cuts off is then always below."""
_ANSWER = 1 << 64
_REWARDS = _ANSWER - 1


class Compared(NamedTuple):
    """An answer beside its prediction: propensity, log-loss and reward in units, and the bin of the prediction."""

    p: int
    loss: int
    reward: int
    place: int

    @classmethod
    def of(cls, propensity: float, reward: float) -> Compared:
        """`propensity` as it was predicted when deciding, `reward` in [0, 1]."""
        p = min(max(propensity, P_MIN), 1.0 - P_MIN)
        log_no = math.log1p(-p)
        logit = math.log(p) - log_no
        return cls(int(p * ONE + 0.5), int((-log_no - reward * logit) * ONE + 0.5), int(reward * ONE + 0.5),
                   int(logit * BINS_PER_LOGIT + _FIRST_BIN))


class Block(msgspec.Struct, gc=False):
    """Sums over some answers: rewards, predictions, log-loss, variance of the predicted answers; `bins`: by logit, answers * 2**64 + rewards."""

    n: int = 0
    positives: int = 0
    predicted: int = 0
    loss: int = 0
    bins: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, compared: Compared, sign: int) -> None:
        """Count an answer, or with `sign` -1 take it back."""
        self.n += sign
        self.positives += sign * compared.reward
        self.predicted += sign * compared.p
        self.loss += sign * compared.loss
        self.bins[compared.place] = self.bins.get(compared.place, 0) + sign * (_ANSWER + compared.reward)

    def with_added(self, other: Block) -> Block:
        """The sum of two."""
        bins = dict(self.bins)
        for place, cell in other.bins.items():
            bins[place] = bins.get(place, 0) + cell
        return Block(self.n + other.n, self.positives + other.positives, self.predicted + other.predicted, self.loss + other.loss, bins)

    def auc(self) -> float:
        """The share of pairs, one positive and one not, that the prediction puts in the right order, a tie within a bin counting half; NaN without
        pairs. **Source** Mann and Whitney 1947."""
        above = pairs = 0
        negatives = 0
        for place in sorted(self.bins):
            n, rewards = divmod(self.bins[place], _ANSWER)
            own = n * ONE - rewards
            above += rewards * (2 * negatives + own)
            negatives += own
        pairs = 2 * negatives * self.positives
        return above / pairs if pairs else math.nan

    def copied(self) -> Block:
        return Block(self.n, self.positives, self.predicted, self.loss, self.bins.copy())

    def state(self) -> list[Any]:
        cells = sorted(self.bins.items())
        return [self.n, self.positives, self.predicted, self.loss, [[place, cell // _ANSWER, cell & _REWARDS] for place, cell in cells if cell]]

    @classmethod
    def of(cls, state: list[Any]) -> Block:
        """The inverse of `state`."""
        return cls(*state[:4], {place: n * _ANSWER + rewards for place, n, rewards in state[4]})


class Tally(msgspec.Struct, gc=False):
    """`impressions`, and how many of them chance chose (`random`, in units); `answers` that taught and their rewards (`positives`, in units);
    `block` numbers the one being filled."""

    impressions: int = 0
    random: int = 0
    answers: int = 0
    positives: int = 0
    block: int = 0
    recent: Block = msgspec.field(default_factory=Block)
    before: Block = msgspec.field(default_factory=Block)

    def add(self, number: int, compared: Compared, sign: int = 1) -> None:
        """Count the action's answer of that number, or with `sign` -1 take it back."""
        age = self.block - number // BLOCK_ANSWERS
        if age < 0:
            self.before, self.recent, self.block, age = self.recent if age == -1 else Block(), Block(), number // BLOCK_ANSWERS, 0
        self.answers += sign
        self.positives += sign * compared.reward
        if age <= 1:
            (self.before if age else self.recent).add(compared, sign)

    def count(self, compared: Compared) -> None:
        """Add an answer to what was `seen`."""
        self.answers += 1
        self.positives += compared.reward
        self.recent.add(compared, 1)

    def seen(self, n_answers: int) -> Tally:
        """The same counts, in copies, after `n_answers` of the action: `recent` is what is recent by then."""
        age = (n_answers - 1) // BLOCK_ANSWERS - self.block
        recent = self.recent.with_added(self.before) if age <= 0 else self.recent.with_added(Block()) if age == 1 else Block()
        return Tally(self.impressions, self.random, self.answers, self.positives, self.block, recent)

    def copied(self) -> Tally:
        return Tally(self.impressions, self.random, self.answers, self.positives, self.block, self.recent.copied(), self.before.copied())

    def state(self) -> list[Any]:
        return [self.impressions, self.random, self.answers, self.positives, self.block, self.recent.state(), self.before.state()]

    @classmethod
    def of(cls, state: list[Any]) -> Tally:
        """The inverse of `state`."""
        return cls(*state[:5], Block.of(state[5]), Block.of(state[6]))


def summed(tallies: Iterable[Tally]) -> Tally:
    """One tally of many as `seen`."""
    total = Tally()
    for tally in tallies:
        total.impressions += tally.impressions
        total.random += tally.random
        total.answers += tally.answers
        total.positives += tally.positives
        total.recent = total.recent.with_added(tally.recent)
    return total
