"""Has the world changed? A detector per action over the log-loss of its outcomes, predicted before they were learned.

ADWIN: a window of outcomes that grows while its older and its newer part agree, and loses the older part where they do not, which is the alarm.
What is kept are sums over stretches of outcomes, the older the longer, at most PER_SIZE of each size, so that a window of n needs O(log n).

**Source** Bifet and Gavaldà 2007, "Learning from time-changing data with adaptive windowing", SDM, the cut of section 3.2 with variance. Why not
`river.drift.ADWIN` itself, how rare false alarms are and how soon a change is found: docs/decisions/0013-drift-alarms.md.
**Cost** of STRETCH outcomes: O(log n), some 20 us.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

STRETCH = 32
"""Outcomes of the shortest stretch; the window is looked at after each."""
PER_SIZE = 5
DELTA = 0.02
ALARMS_KEPT = 5
UNIT = 2.0**-16
"""Losses and rewards are whole numbers of this, so that one taken back leaves no trace."""


class Stretch(NamedTuple):
    """Sums over outcomes that followed each other: how many there were, how many hold, losses, their squares, rewards, the time of the first."""

    span: int
    n: int
    loss: int
    squares: int
    rewards: int
    at_us: int


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """Raised at `at_us`: from about `since_us` on the mean log-loss (nats) and the rate of a yes differ from what they were before."""

    at_us: int
    since_us: int
    loss_before: float
    loss_since: float
    rate_before: float
    rate_since: float

    @property
    def strength(self) -> float:
        """How far apart the two parts are, in the rate of a yes and in log-loss. A model that catches up with a change may raise alarms after it,
        about a loss that falls: those are weaker."""
        return abs(self.rate_since - self.rate_before) + abs(self.loss_since - self.loss_before)


class Drift(msgspec.Struct, gc=False):
    """The window, oldest stretch first, over `n` outcomes ever; the latest alarms, oldest first."""

    n: int = 0
    window: list[Stretch] = msgspec.field(default_factory=list)
    n_alarms: int = 0
    alarms: tuple[Alarm, ...] = ()

    def add(self, stretch: Stretch, at_us: int) -> None:
        """Take in the next STRETCH outcomes, join stretches of one size where there are too many, and look for a change as of `at_us`."""
        window = self.window
        window.append(stretch)
        self.n += STRETCH
        size, last = STRETCH, len(window)
        while last > PER_SIZE and window[last - PER_SIZE - 1].span == size:
            oldest = last - PER_SIZE - 1
            window[oldest : oldest + 2] = [_joined(window[oldest], window[oldest + 1])]
            size, last = size * 2, oldest + 1
        self._look(at_us)

    def take_back(self, loss: int, reward: int, number: int) -> None:
        """Take the outcome of that number (from 0) out of its stretch, if the window still has it; an alarm that was raised stays."""
        start = self.n
        for i in reversed(range(len(self.window))):
            start -= self.window[i].span
            if number >= start:
                span, n, losses, squares, rewards, at_us = self.window[i]
                self.window[i] = Stretch(span, n - 1, losses - loss, squares - loss * loss, rewards - reward, at_us)
                return

    def _look(self, at_us: int) -> None:
        """Cut the window where its parts differ most, if they differ by more than chance explains, and raise the alarm."""
        window = self.window
        n, loss = sum(s.n for s in window), sum(s.loss for s in window)
        if n < 2 * STRETCH:
            return
        variance = max(sum(s.squares for s in window) / n - (loss / n) ** 2, 0.0) * UNIT * UNIT
        tail = math.log(2.0 * math.log(n) / DELTA)
        n_before = loss_before = 0
        worst, cut = 1.0, 0
        for i, stretch in enumerate(window[:-1], start=1):
            n_before, loss_before = n_before + stretch.n, loss_before + stretch.loss
            if n_before < STRETCH // 2 or n - n_before < STRETCH // 2:
                continue
            inverse = 1.0 / n_before + 1.0 / (n - n_before)
            allowed = math.sqrt(2.0 * inverse * variance * tail) + 2.0 / 3.0 * inverse * tail
            differs = abs(loss_before / n_before - (loss - loss_before) / (n - n_before)) * UNIT / allowed
            if differs > worst:
                worst, cut = differs, i
        if cut:
            (before, rate_before), (since, rate_since) = _means(window[:cut]), _means(window[cut:])
            self.alarms = (*self.alarms, Alarm(at_us, window[cut].at_us, before, since, rate_before, rate_since))[-ALARMS_KEPT:]
            self.n_alarms += 1
            del window[:cut]

    def copied(self) -> Drift:
        return Drift(self.n, self.window.copy(), self.n_alarms, self.alarms)

    def state(self) -> list[Any]:
        return [self.n, [list(s) for s in self.window], self.n_alarms, [list(msgspec.structs.astuple(a)) for a in self.alarms]]

    @classmethod
    def of(cls, state: list[Any]) -> Drift:
        """The inverse of `state`."""
        n, window, n_alarms, alarms = state
        return cls(n, [Stretch(*s) for s in window], n_alarms, tuple(Alarm(*a) for a in alarms))


def _joined(older: Stretch, newer: Stretch) -> Stretch:
    sums = [a + b for a, b in zip(older[:5], newer[:5], strict=True)]
    return Stretch(*sums, older.at_us)


def _means(stretches: list[Stretch]) -> tuple[float, float]:
    """Mean loss and rate of a yes."""
    n = max(sum(s.n for s in stretches), 1)
    return sum(s.loss for s in stretches) * UNIT / n, sum(s.rewards for s in stretches) * UNIT / n
