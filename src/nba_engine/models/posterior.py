"""Gaussian beliefs as integers: a prior plus sums of receipts, and the float32 copy that scoring reads.

A coefficient's belief in natural parameters is (precision, precision * mean) = prior + sums * 2**-24, where `sums` int64[n_entities,
n_features, 2] add up the int32 receipts of its updates. Integer sums come out the same in any order, so merging beliefs and taking an
update back are exact. An update reads the sums of one path, so an entity's stand together; scoring reads one feature of every entity, so in its
copy a feature's do. `packed` int16[n_features, 2, n_entities] is a function of prior and sums alone and says what they say in a quarter of the
bytes, because scoring a thousand actions is a walk through memory: the mean in
units of 2**-12 (held within +/- 8), the deviation in 32,767ths of its prior's, so that what nothing was learned about is exact.
`prior` float64[5, n_entities]: precision and precision * mean of the bias (feature 0), precision of any other feature (mean 0); then the two
variances, so that scoring need not divide.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Index
from nba_engine.numerics.kernel import kernel, scalar

SCALE = 2.0**24
BIAS_PRECISION, BIAS_SHIFT, PRECISION, BIAS_VARIANCE, VARIANCE = 0, 1, 2, 3, 4

Prior = npt.NDArray[np.float64]
Sums = npt.NDArray[np.int64]
Packed = npt.NDArray[np.int16]

_INT16_MAX = 2.0**15 - 1
MEAN_UNIT, DEVIATION_UNIT = 2.0**-12, 1.0 / _INT16_MAX


def refresh(prior: Prior, sums: Sums, packed: Packed) -> None:
    """Bring the whole scoring copy in step with the sums; O(n_features * n_entities)."""
    _fill_packed(prior, sums, packed)


def add(prior: Prior, index: Index, entities: Index, deltas: Index, sign: int, sums: Sums, packed: Packed) -> None:
    """Add a receipt (`sign` 1) or take it back (-1), in the sums and in the scoring copy; O(n_active * n_levels)."""
    _fill_sums(prior, index, entities, deltas, sign, sums, packed)


@kernel
def _fill_packed(prior, sums, packed):
    for entity in range(sums.shape[0]):
        for feature in range(sums.shape[1]):
            _pack(prior, sums, feature, entity, packed)


@kernel
def _fill_sums(prior, index, entities, deltas, sign, sums, packed):
    for i in range(index.shape[0]):
        feature = index[i]
        for level in range(entities.shape[0]):
            entity = entities[level]
            sums[entity, feature, 0] += sign * np.int64(deltas[0, i, level])
            sums[entity, feature, 1] += sign * np.int64(deltas[1, i, level])
            _pack(prior, sums, feature, entity, packed)


@scalar
def belief(prior, sums, feature, entity):
    """Mean and variance of one coefficient."""
    precision, shift = sums[entity, feature, 0] / SCALE, sums[entity, feature, 1] / SCALE
    if feature == 0:
        precision += prior[BIAS_PRECISION, entity]
        shift += prior[BIAS_SHIFT, entity]
    else:
        precision += prior[PRECISION, entity]
    variance = 1.0 / precision
    return shift * variance, variance


@scalar
def _pack(prior, sums, feature, entity, packed):
    mean, variance = belief(prior, sums, feature, entity)
    prior_precision = prior[BIAS_PRECISION if feature == 0 else PRECISION, entity]
    packed[feature, 0, entity] = np.int16(min(max(np.rint(mean / MEAN_UNIT), -_INT16_MAX), _INT16_MAX))
    packed[feature, 1, entity] = np.int16(min(np.rint(math.sqrt(variance * prior_precision) / DEVIATION_UNIT), _INT16_MAX))
