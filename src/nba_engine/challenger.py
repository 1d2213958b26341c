"""A second model that learns in the shadow: the same outcomes, no say in any decision, and how it would have predicted beside the one in charge.

Just before an outcome is learned both models predict it, on the same row and rank; the difference of their log-losses is summed per action.
`promote` swaps the two: the challenger decides and the other goes on in the shadow, so that promoting again is the way back. Nothing lives here
while the catalog names no challenger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from nba_engine.beliefs import Beliefs
from nba_engine.catalog.plan import Plan
from nba_engine.facts.encoding import Row
from nba_engine.models.contract import Copied, Receipt
from nba_engine.numerics.random import key_of

UNIT = 2.0**-16
"""Differences are whole numbers of this, so that one taken back leaves no trace."""
LOSS_MAX = 8.0
LEVEL = 0.95
COMPARED_MIN = 500
"""Outcomes from which there is an interval: it is one for large numbers, and most differences are small, few large."""
_TIGHTEST_AT = 5_000
"""The number of outcomes at which the interval is made to be tightest."""
_TAIL = -2.0 * math.log(1.0 - LEVEL)
_RHO_SQUARED = (_TAIL + math.log(1.0 + _TAIL)) / _TIGHTEST_AT


class Differences(msgspec.Struct, gc=False):
    """Sums over n outcomes, in units: the loss of the catalog's `model`, that of its `challenger` less the former, and its squares; `since` is the
    number that health gave the action's first answer in this contest, and answers before it are in no sum here."""

    n: int = 0
    loss: int = 0
    total: int = 0
    squares: int = 0
    since: int = 0

    def add(self, loss: int, difference: int, sign: int = 1) -> None:
        self.n += sign
        self.loss += sign * loss
        self.total += sign * difference
        self.squares += sign * difference * difference

    def with_added(self, other: Differences) -> Differences:
        return Differences(self.n + other.n, self.loss + other.loss, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Of the differences, in nats an outcome; NaN without outcomes."""
        return self.total * UNIT / self.n if self.n else math.nan

    @property
    def mean_loss(self) -> float:
        """Of the catalog's `model`, in nats an outcome; NaN without outcomes."""
        return self.loss * UNIT / self.n if self.n else math.nan

    @property
    def half_width(self) -> float:
        """The mean difference lies within +- this of the mean expected one, at all times from COMPARED_MIN outcomes on, with chance LEVEL.

        **Source** the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics 52(6), theorem
        2.2; for two forecasters: Choe and Ramdas 2024, Operations Research 72(4).
        """
        if self.n < COMPARED_MIN:
            return math.inf
        variance = max(self.squares * UNIT * UNIT / self.n - self.mean**2, 0.0)
        grown = self.n * _RHO_SQUARED + 1.0
        return math.sqrt(variance * 2.0 * grown / (self.n**2 * _RHO_SQUARED) * math.log(math.sqrt(grown) / (1.0 - LEVEL)))


class Shadow(msgspec.Struct, frozen=True, gc=False):
    """What an outcome taught the catalog's challenger, and the loss and difference that were counted."""

    receipt: Receipt | None
    loss: int
    difference: int


class Challenger:
    """The model in the shadow and how the two compare. Where it was `promoted`, the catalog's challenger is in charge, its model in the shadow.

    Cost: an outcome costs two predictions and one update more, a decision nothing. Memory: that of another model.
    """

    def __init__(self, plan: Plan, entities: list[tuple[str, str]]) -> None:
        definition = plan.catalog.definition
        assert definition.challenger is not None
        self.beliefs = Beliefs(replace(plan, catalog=plan.catalog.challenging()), entities)
        self.sections = definition.model.model_dump_json(), definition.challenger.model_dump_json()
        self.contest = key_of("\x1f".join(self.sections))
        self.differences: dict[str, Differences] = {}
        self.promoted_at_us: int | None = None

    @property
    def promoted(self) -> bool:
        return self.promoted_at_us is not None

    @property
    def section(self) -> str:
        """How the catalog writes the model that is here."""
        return self.sections[not self.promoted]

    def learn(self, in_charge: Beliefs, row: Row, rank: int, candidate: int, reward: float, action: str, number: int) -> tuple[Receipt, Shadow]:
        """Compare both models' predictions of an outcome, then teach both; what it taught the catalog's model, and the rest. `number` is health's."""
        losses = [round(_loss(predicted(beliefs, row, rank, candidate), reward) / UNIT) for beliefs in (in_charge, self.beliefs)]
        receipts = [beliefs.update(row, rank, candidate, reward) for beliefs in (in_charge, self.beliefs)]
        if self.promoted:
            losses.reverse()
            receipts.reverse()
        shadow = Shadow(receipts[1], losses[0], losses[1] - losses[0])
        self.differences.setdefault(action, Differences(since=number)).add(shadow.loss, shadow.difference)
        return receipts[0], shadow

    def take_back(self, in_charge: Beliefs, receipt: Receipt | None, shadow: Shadow | None, action: str, number: int) -> None:
        """Undo `learn`, which returned `receipt` and `shadow` (None where there was no challenger) for the answer of this `number`."""
        model, challenger = (self.beliefs, in_charge) if self.promoted else (in_charge, self.beliefs)
        if receipt is not None:
            model.take_back(receipt)
        if shadow is not None and shadow.receipt is not None:
            challenger.take_back(shadow.receipt)
        sums = self.differences.get(action)
        if shadow is not None and sums is not None and number >= sums.since:
            sums.add(shadow.loss, shadow.difference, -1)

    def promote(self, in_charge: Beliefs, at_us: int) -> Beliefs:
        """Swap the two; returns the one that is in charge now, its version counted on."""
        self.promoted_at_us = None if self.promoted else at_us
        self.beliefs, now = in_charge, self.beliefs
        now.model.version = max(now.version, in_charge.version) + 1
        return now

    def state(self, copied: Copied = np.copy) -> dict[str, Any]:
        """Plain data: the model in the shadow, and the comparison."""
        differences = [[action, *msgspec.structs.astuple(sums)] for action, sums in self.differences.items()]
        return {"beliefs": self.beliefs.state(copied), "promoted_at_us": self.promoted_at_us, "contest": self.contest, "differences": differences}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over the `state` of the same contest; which model is in charge must have been settled."""
        self.beliefs.load(state["beliefs"])
        self.differences = {action: Differences(*sums) for action, *sums in state["differences"]}


def standing(plan: Plan, in_charge: Beliefs, challenger: Challenger | None) -> dict[str, Beliefs]:
    """The models by how the catalog writes them, the one in charge last."""
    if challenger is None:
        return {plan.catalog.definition.model.model_dump_json(): in_charge}
    return {challenger.section: challenger.beliefs, challenger.sections[challenger.promoted]: in_charge}


def predicted(beliefs: Beliefs, row: Row, rank: int, candidate: int) -> float:
    """The propensity of `candidate` at `rank` in the situation of `row`."""
    scorer, same, propensity = beliefs.scorer, np.full(rank, candidate, np.int32), np.empty(rank)
    scorer.score(row, np.array((0, 1)), same[:1], propensity[:1], np.empty(1))
    scorer.put_at_ranks(np.array((0, rank)), same, rank, propensity)
    return float(propensity[-1])


def _loss(p: float, reward: float) -> float:
    """Log-loss in nats, LOSS_MAX at most, so that one outcome cannot decide a comparison."""
    p = min(max(p, math.exp(-LOSS_MAX)), 1.0 - math.exp(-LOSS_MAX))
    return -reward * math.log(p) - (1.0 - reward) * math.log1p(-p)
