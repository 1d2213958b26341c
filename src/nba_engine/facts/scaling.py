"""Running mean and deviation of each number, and share of trues of each bool, learned outcome by outcome without looking ahead.

A number x is followed on two scales, x itself and `sign(x) log(1 + |x|)`, and read on the one on which a normal distribution makes what was seen
more likely: amounts and counts with a long tail are read by their logarithm, where a few large values do not leave all others in one place.
The logarithm is taken when that gains `GAIN_MIN` nats a value and `EVIDENCE_MIN` in all, and x again when the gain is gone; judged every
`JUDGED_EVERY` values. Row `i` of `scaling` float64[n_numbers, 9] is number `i`'s count; mean and 1 / deviation on the scale in use and which that
is (1 / deviation is 0 while only one value has been seen); mean and sum of squared deviations of either scale; the sum of |log|. A bool, 0 or 1, is
a number on the scale `SHARE`, whose row has its count and its mean, the share of trues, and nothing else.
**Source** Welford 1962, "Note on a method for calculating corrected sums of squares and products"; Box and Cox 1964, "An analysis of
transformations", two transformations to choose from. **Cost** O(n_numbers), about 15 ns each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar

GAIN_MIN, EVIDENCE_MIN, JUDGED_EVERY = 0.1, 10.0, 16

COUNT, MEAN, INVERSE, SCALE, PLAIN_MEAN, PLAIN_SQUARES, LOG_MEAN, LOG_SQUARES, LOG_SUM = range(9)
PLAIN, LOG, SHARE = 0.0, 1.0, 2.0


def empty_scaling(are_bools: Sequence[bool]) -> npt.NDArray[np.float64]:
    """float64[n_numbers, 9] of columns that have seen nothing; which of them are bools."""
    scaling = np.zeros((len(are_bools), 9))
    scaling[np.array(are_bools, bool), SCALE] = SHARE
    return scaling


def observe(numbers: npt.NDArray[np.float64], scaling: npt.NDArray[np.float64]) -> None:
    """Take one row of numbers into `scaling`, NaN for a number that was not given; `numbers` then stand on the scale in use."""
    _fill_scaling(numbers, scaling)


@kernel
def _fill_scaling(numbers, scaling):
    for i in range(numbers.shape[0]):
        if not math.isnan(numbers[i]):
            scaling[i, COUNT] += 1.0
            if scaling[i, SCALE] == SHARE:
                scaling[i, MEAN] += (numbers[i] - scaling[i, MEAN]) / scaling[i, COUNT]
                continue
            own, log = scaling[i], signed_log(numbers[i])
            own[LOG_SUM] += abs(log)
            _take(own, numbers[i], PLAIN_MEAN)
            _take(own, log, LOG_MEAN)
            if own[COUNT] % JUDGED_EVERY == 0.0:
                _judge(own)
            scale = PLAIN_MEAN
            if own[SCALE] == LOG:
                scale, numbers[i] = LOG_MEAN, log
            own[MEAN] = own[scale]
            if own[scale + 1] > 0.0:
                own[INVERSE] = math.sqrt(own[COUNT] / own[scale + 1])


@kernel
def _fill_scaled(scaling, numbers):
    """Bring a row's numbers to the scale in use."""
    for i in range(numbers.shape[0]):
        if scaling[i, SCALE] == LOG:
            numbers[i] = signed_log(numbers[i])


@scalar
def signed_log(number):
    """The logarithm of 1 and the amount, with the amount's sign; log1p, which is slow, only where it matters."""
    amount = abs(number)
    return math.copysign(math.log(1.0 + amount) if amount > 0.01 else math.log1p(amount), number)


@scalar
def _take(own, number, mean):
    """One value more in the mean and, beside it, the sum of squares of a scale."""
    step = number - own[mean]
    own[mean] += step / own[COUNT]
    own[mean + 1] += step * (number - own[mean])


@scalar
def _judge(own):
    """Choose the scale: the gain is the difference of the two largest log likelihoods of a normal distribution, a value."""
    if own[LOG_SQUARES] > 0.0:
        gain = 0.5 * math.log(own[PLAIN_SQUARES] / own[LOG_SQUARES]) - own[LOG_SUM] / own[COUNT]
        own[SCALE] = LOG if gain > (0.0 if own[SCALE] == LOG else max(GAIN_MIN, EVIDENCE_MIN / own[COUNT])) else PLAIN
