"""Gaussian beliefs as integers: a prior plus sums of receipts, and the short copy that scoring reads.

A coefficient's belief in natural parameters is (precision, precision * mean) = prior + sums * 2**-24, where `sums` int64[n_entities,
n_features, 2] add up the int32 receipts of its updates. Integer sums come out the same in any order, so merging beliefs and taking an
update back are exact. An update reads the sums of one path, so an entity's stand together; scoring reads one feature of every entity, so in its
copy a feature's do.

Scoring a thousand actions is a walk through memory, so the copy is short in both directions (docs/decisions/0009-packed-scoring-copy.md).
`packed` int16[n_features + 1, 2, 1 + n_entities] says in a quarter of the bytes what prior and sums say: the mean in units of 2**-12 (held within
+/- 8), the deviation in 32,767ths of its prior's, so that what nothing was learned about is exact. And an entity has a column of its own only once
an outcome taught it; until then it shares that of those who inherited the same, or column 0, the prior: which one says the last row (`column_of`).
A column's numbers are a function of prior and sums alone, and an entity scores the same in a column of its own as in one that it shares.

`prior` float64[6, n_entities]: precision and precision * mean of the bias (feature 0), precision of any other feature (mean 0); then the two
variances, so that scoring need not divide; then what a 1 in the sums counts, 2**-24 but where the model forgets (half_life.py).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Index
from nba_engine.numerics.kernel import kernel, scalar

SCALE = 2.0**24
BIAS_PRECISION, BIAS_SHIFT, PRECISION, BIAS_VARIANCE, VARIANCE, UNIT = 0, 1, 2, 3, 4, 5

Prior = npt.NDArray[np.float64]
Sums = npt.NDArray[np.int64]
Packed = npt.NDArray[np.int16]

_SHARED = 1
"""The lowest bit of an entity's number: others have the same column. The rest is the column."""
_INT16_MAX = 2.0**15 - 1
MEAN_UNIT, DEVIATION_UNIT = 2.0**-12, 1.0 / _INT16_MAX


def scoring_copy(n_features: int, n_entities: int) -> Packed:
    """`packed` of beliefs of which nothing is learned."""
    packed = np.zeros((n_features + 1, 2, 1 + n_entities), np.int16)
    packed[:-1, 1] = _INT16_MAX
    return packed


def refresh(prior: Prior, sums: Sums, packed: Packed) -> None:
    """Bring the whole scoring copy in step with the sums, but for those who only inherited; O(n_features * n_entities)."""
    packed[:] = scoring_copy(sums.shape[1], sums.shape[0])
    _fill_packed(prior, sums, packed)


def add(prior: Prior, index: Index, entities: Index, deltas: Index, sign: int, sums: Sums, packed: Packed) -> None:
    """Add a receipt (`sign` 1) or take it back (-1), in the sums and in the scoring copy; O(n_active * n_levels)."""
    _fill_sums(prior, index, entities, deltas, sign, sums, packed, np.empty((4, entities.size, index.size)))


def refresh_alike(prior: Prior, sums: Sums, entities: Index, packed: Packed) -> None:
    """Bring entities whose prior and sums are alike in step with them, in one column as long as no outcome taught them; O(n_features)."""
    _fill_alike(prior, sums, entities, packed)


@kernel
def _fill_packed(prior, sums, packed):
    """Columns for the entities that an outcome taught, or whose bias has a prior mean that is not 0."""
    for entity in range(sums.shape[0]):
        known = prior[BIAS_SHIFT, entity] != 0.0
        for feature in range(sums.shape[1]):
            known |= sums[entity, feature, 0] != 0
        if known:
            column = _own_column(packed, entity)
            for feature in range(sums.shape[1]):
                _pack(prior, sums, feature, entity, packed, column)


@kernel
def _fill_alike(prior, sums, entities, packed):
    shared = 0
    for k in range(entities.shape[0]):
        number = _number(packed, 1 + entities[k])
        if number & _SHARED:
            shared = number
    for k in range(entities.shape[0]):
        if column_of(packed, entities[k]) == 0:
            if shared == 0:
                shared = 2 * _next_column(packed) + _SHARED
            _put_number(packed, 1 + entities[k], shared)
    last = 0
    for k in range(entities.shape[0]):
        column = column_of(packed, entities[k])
        if column != last:
            for feature in range(sums.shape[1]):
                _pack(prior, sums, feature, entities[k], packed, column)
            last = column


@kernel
def _fill_sums(prior, index, entities, deltas, sign, sums, packed, work):
    """`work` f64[>= 4, >= n_levels, >= n_active] is scratch."""
    for level in range(entities.shape[0]):
        entity, into, means, deviations = entities[level], sums[entities[level]], work[2, level], work[3, level]
        precision, shift = deltas[0], deltas[1 + level]
        for i in range(index.shape[0]):
            feature = np.uint32(index[i])
            into[feature, 0] += sign * np.int64(precision[i])
            into[feature, 1] += sign * np.int64(shift[i])
        _fill_beliefs(prior, sums, index, entity, means, deviations)
        of_bias, of_others = prior[BIAS_PRECISION, entity], prior[PRECISION, entity]
        for i in range(index.shape[0]):
            means[i] = min(max(np.rint(means[i] * (1.0 / MEAN_UNIT)), -_INT16_MAX), _INT16_MAX)
            deviations[i] = min(np.rint(math.sqrt(deviations[i] * (of_bias if index[i] == 0 else of_others)) * _INT16_MAX), _INT16_MAX)
        column = _own_column(packed, entity)
        for i in range(index.shape[0]):
            feature = np.uint32(index[i])
            packed[feature, 0, column], packed[feature, 1, column] = np.int16(means[i]), np.int16(deviations[i])


@kernel
def _fill_beliefs(prior, sums, index, entity, means, variances):
    """`belief` of many features of one entity; the bias, if it is among them, comes first."""
    own, unit, at_prior = sums[entity], prior[UNIT, entity], prior[PRECISION, entity]
    for i in range(index.shape[0]):
        feature = np.uint32(index[i])  # a number without a sign is not looked at for being negative
        variances[i], means[i] = own[feature, 0] * unit + at_prior, own[feature, 1] * unit
    if index.shape[0] > 0 and index[0] == 0:
        variances[0], means[0] = own[0, 0] * unit + prior[BIAS_PRECISION, entity], means[0] + prior[BIAS_SHIFT, entity]
    for i in range(index.shape[0]):
        variances[i] = 1.0 / variances[i]
        means[i] *= variances[i]


@scalar
def n_columns(packed):
    """Columns in use; the number is kept where the prior, which needs none, would have its own."""
    return 1 + _number(packed, 0)


@scalar
def column_of(packed, entity):
    """The entity's own column, or one that it shares; 0 is the prior's."""
    return _number(packed, 1 + entity) >> 1


@scalar
def _own_column(packed, entity):
    """The entity's own column; where it has none yet the next free one, saying what the one says that it shared, or that one if nobody else is left
    there: so there are never more columns than entities."""
    number = _number(packed, 1 + entity)
    column = number >> 1
    if number == 0:
        column = _next_column(packed)
    elif number & _SHARED:
        n_sharing = 0
        for other in range(packed.shape[2] - 1):
            n_sharing += _number(packed, 1 + other) == number
        if n_sharing > 1:
            column = _next_column(packed)
            for feature in range(packed.shape[0] - 1):
                packed[feature, 0, column], packed[feature, 1, column] = packed[feature, 0, number >> 1], packed[feature, 1, number >> 1]
    _put_number(packed, 1 + entity, 2 * column)
    return column


@scalar
def _next_column(packed):
    column = n_columns(packed)
    _put_number(packed, 0, column)
    return column


@scalar
def _put_number(packed, place, number):
    packed[packed.shape[0] - 1, 0, place], packed[packed.shape[0] - 1, 1, place] = number >> 15, number & 0x7FFF


@scalar
def _number(packed, place):
    """A number of the last row, whose halves stand below one another."""
    return (np.int64(packed[packed.shape[0] - 1, 0, place]) << 15) | np.int64(packed[packed.shape[0] - 1, 1, place])


@scalar
def belief(prior, sums, feature, entity):
    """Mean and variance of one coefficient."""
    unit = prior[UNIT, entity]
    precision, shift = sums[entity, feature, 0] * unit, sums[entity, feature, 1] * unit
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
