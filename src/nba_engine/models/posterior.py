"""Gaussian beliefs as integers: a prior plus sums of receipts, and the short copy that scoring reads.

A coefficient's belief in natural parameters is (precision, precision * mean) = prior + sums * 2**-24, where `sums` int64[n_entities,
n_features, 2] add up the int32 receipts of its updates. Integer sums come out the same in any order, so merging beliefs and taking an
update back are exact. An update reads the sums of one path, so an entity's stand together; scoring reads one feature of every entity, so in its
copy a feature's do.

Scoring a thousand actions is a walk through memory, so the copy is short in both directions (docs/decisions/0009-packed-scoring-copy.md).
`packed` int16[n_features + 1, 2, 1 + n_entities] says in a quarter of the bytes what prior and sums say: the mean in units of 2**-12 (held within
+/- 8), the deviation in 32,767ths of its prior's, so that what nothing was learned about is exact. And an entity has a column of its own only once
something was learned about it, else it shares column 0, the prior: which one says the last row (`column_of`). A column's numbers are a
function of prior and sums alone, and an entity scores the same in a column of its own as in column 0.

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


def scoring_copy(n_features: int, n_entities: int) -> Packed:
    """`packed` of beliefs of which nothing is learned."""
    packed = np.zeros((n_features + 1, 2, 1 + n_entities), np.int16)
    packed[:-1, 1] = _INT16_MAX
    return packed


def refresh(prior: Prior, sums: Sums, packed: Packed) -> None:
    """Bring the whole scoring copy in step with the sums; O(n_features * n_entities)."""
    packed[:] = scoring_copy(sums.shape[1], sums.shape[0])
    _fill_packed(prior, sums, packed)


def add(prior: Prior, index: Index, entities: Index, deltas: Index, sign: int, sums: Sums, packed: Packed) -> None:
    """Add a receipt (`sign` 1) or take it back (-1), in the sums and in the scoring copy; O(n_active * n_levels)."""
    _fill_sums(prior, index, entities, deltas, sign, sums, packed)


@kernel
def _fill_packed(prior, sums, packed):
    """Columns for the entities that something is known about: an outcome, or a bias whose prior mean is not 0."""
    for entity in range(sums.shape[0]):
        known = prior[BIAS_SHIFT, entity] != 0.0
        for feature in range(sums.shape[1]):
            known |= (sums[entity, feature, 0] | sums[entity, feature, 1]) != 0
        if known:
            column = _own_column(packed, entity)
            for feature in range(sums.shape[1]):
                _pack(prior, sums, feature, entity, packed, column)


@kernel
def _fill_sums(prior, index, entities, deltas, sign, sums, packed):
    for level in range(entities.shape[0]):
        entity = entities[level]
        column = _own_column(packed, entity)
        for i in range(index.shape[0]):
            feature = index[i]
            sums[entity, feature, 0] += sign * np.int64(deltas[0, i, level])
            sums[entity, feature, 1] += sign * np.int64(deltas[1, i, level])
            _pack(prior, sums, feature, entity, packed, column)


@scalar
def n_columns(packed):
    """Columns in use; the number is kept where the prior, which needs none, would have its own."""
    return 1 + _number(packed, 0)


@scalar
def column_of(packed, entity):
    """The entity's own column, or 0, which is the prior's."""
    return _number(packed, 1 + entity)


@scalar
def _own_column(packed, entity):
    """The entity's own column; the next free one if it has none yet."""
    column = column_of(packed, entity)
    if column == 0:
        column = n_columns(packed)
        for place in (0, 1 + entity):
            packed[packed.shape[0] - 1, 0, place], packed[packed.shape[0] - 1, 1, place] = column >> 15, column & 0x7FFF
    return column


@scalar
def _number(packed, place):
    """A number of the last row, whose halves stand below one another."""
    return (np.int64(packed[packed.shape[0] - 1, 0, place]) << 15) | np.int64(packed[packed.shape[0] - 1, 1, place])


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
def _pack(prior, sums, feature, entity, packed, column):
    mean, variance = belief(prior, sums, feature, entity)
    prior_precision = prior[BIAS_PRECISION if feature == 0 else PRECISION, entity]
    packed[feature, 0, column] = np.int16(min(max(np.rint(mean / MEAN_UNIT), -_INT16_MAX), _INT16_MAX))
    packed[feature, 1, column] = np.int16(min(np.rint(math.sqrt(variance * prior_precision) / DEVIATION_UNIT), _INT16_MAX))
