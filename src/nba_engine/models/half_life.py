"""How much outcomes weigh by the time at which the customer was asked: half as much per half-life, whenever they are told.

Sums are kept forward: an outcome of time t is added with the weight 2^((t - landmark) / half_life), and what is read of a sum is multiplied by
`unit`, 2^-((moment - landmark) / half_life). So a late outcome gets the weight of its own time, and sums do not depend on the order in which
outcomes come. The moment is the latest time told, rounded down to `TICKS` a half-life; the landmark moves on every `EPOCH_HALF_LIVES`, and sums are
divided by 2^EPOCH_HALF_LIVES then: what is off by it is less than two units of a sum.
**Source** G. Cormode, V. Shkapenyuk, D. Srivastava, B. Xu 2009, "Forward decay: a practical time decay model for streaming systems", ICDE,
sections II and VI. **Cost** a power per outcome; O(sums) once a tick. See docs/maths/forgetting.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import OUTCOME

TICKS = 16
"""Moments a half-life at which beliefs are read: they are behind by 4 % of what they weigh at most."""
EPOCH_HALF_LIVES = 4
"""Half-lives between landmarks: an outcome weighs less than 2^4, so that a receipt fits its type."""

Sums = npt.NDArray[np.int64]
Stamp = tuple[int, int]
"""The weight of an outcome in 2**-24, and the epoch at whose landmark it is that."""
ALWAYS: Stamp = (OUTCOME, 0)
"""Of every outcome where nothing is forgotten."""


class HalfLife:
    """The half-life of one model, and the moment as of which it reads its sums.

    Attributes
    ----------
    unit : what a sum counts as of the moment, in (1/16, 1]
    epoch : which landmark, in EPOCH_HALF_LIVES since 1970
    """

    __slots__ = ("_tick", "epoch", "half_life_us", "unit")

    def __init__(self, half_life_us: int) -> None:
        self.half_life_us = half_life_us
        self._tick: int | None = None
        self.epoch, self.unit = 0, 1.0

    def advance(self, at_us: int) -> float | None:
        """Let the moment be `at_us` where that is later: None where beliefs are read as before, else what the sums are to be multiplied with."""
        tick = at_us * TICKS // self.half_life_us
        return None if self._tick is not None and tick <= self._tick else self._move(tick)

    def _move(self, tick: int) -> float:
        before = None if self._tick is None else self.epoch
        self._tick, self.epoch = tick, tick // (TICKS * EPOCH_HALF_LIVES)
        self.unit = 2.0 ** -(tick / TICKS - self.epoch * EPOCH_HALF_LIVES)
        # What was learned before any time was told weighs as if it had come now.
        return 1.0 / self.unit if before is None else self.since(before)

    def since(self, epoch: int) -> float:
        """What is counted at the present landmark for one at the landmark of `epoch`."""
        return 2.0 ** max(EPOCH_HALF_LIVES * min(epoch - self.epoch, 0), -1000)

    def stamp(self, at_us: int) -> Stamp:
        """Of an outcome of this time; the weight is below 16 after `advance`."""
        since_us = at_us - self.epoch * EPOCH_HALF_LIVES * self.half_life_us
        return round(OUTCOME * 2.0 ** max(since_us / self.half_life_us, -1000.0)), self.epoch

    def runs(self, at_us: npt.NDArray[np.int64]) -> Iterator[slice]:
        """The stretches of `at_us` over which the moment stays, each from where it moves on."""
        ticks = np.maximum.accumulate(at_us * TICKS // self.half_life_us)
        starts = np.flatnonzero(np.diff(ticks, prepend=ticks[:1] - 1)).tolist()
        yield from map(slice, starts, [*starts[1:], len(at_us)])

    def state(self) -> npt.NDArray[np.int64]:
        """int64[2]: the half-life, and the moment in ticks; int64[0] before the first outcome."""
        return np.array([] if self._tick is None else [self.half_life_us, self._tick], np.int64)


def loaded(half_life: HalfLife | None, state: npt.NDArray[np.int64] | None) -> float:
    """Let the moment be that of a saved model; returns what its sums are to be multiplied with, 1 but where the half-life has been changed."""
    was = None
    if state is not None and len(state):
        was = HalfLife(int(state[0]))
        was._move(int(state[1]))
    if half_life is None:
        return 1.0 if was is None else was.unit
    half_life._tick, half_life.epoch, half_life.unit = None, 0, 1.0
    if was is None or was._tick is None:
        return 1.0
    half_life._move(was._tick * was.half_life_us // half_life.half_life_us)
    return was.unit / half_life.unit


def scaled(sums: Sums, factor: float) -> Sums:
    """Sums as they are counted at another landmark, to the nearest unit."""
    return sums if factor == 1.0 else np.rint(sums * factor).astype(np.int64)
