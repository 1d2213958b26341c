"""What one outcome teaches a probit: the step of assumed-density filtering in natural parameters, as integers. See docs/maths/probit.md, update."""

from __future__ import annotations

import math

import numpy as np

from nba_engine.models import posterior
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import normal_cdf, normal_pdf

_RECEIPT_MAX = 2.0**31 - 1.0


@kernel
def _fill_update(index, value, entities, prior, reward, scale, sums, packed, work, table):
    """The step of one outcome as the `table` of its receipt, and that step taken; the propensity before it."""
    for i in range(table.shape[1]):
        table[0, i] = index[i]
    expected = _fill_receipt(table[0], value, entities, prior, sums, reward, scale, work, table[1:])
    posterior._fill_sums(prior, table[0], entities, table[1:], 1, sums, packed, work)
    return expected


@kernel
def _fill_updates(index, value, n_active, candidates, rewards, scales, paths, prior, sums, entities, work, expected):
    """Row after row the step of its outcome, taken at once: the arithmetic of `_fill_receipt`, to the bit; `scales` f64[n] as its `scale`."""
    for r in range(candidates.shape[0]):
        n_levels = 0
        for level in range(paths.shape[1]):
            if paths[candidates[r], level] >= 0:
                entities[n_levels] = paths[candidates[r], level]
                n_levels += 1
        own = index[r, : n_active[r]]
        expected[r] = _fill_steps(own, value[r], entities[:n_levels], prior, sums, rewards[r], scales[r], work)
        for level in range(n_levels):
            into, precision, shift = sums[entities[level]], work[0, 0], work[1, level]
            for i in range(own.shape[0]):
                feature = np.uint32(own[i])
                into[feature, 0] += np.int64(precision[i])
                into[feature, 1] += np.int64(shift[i])


@kernel
def _fill_receipt(index, value, entities, prior, sums, reward, scale, work, deltas):
    """One outcome's step in natural parameters, `scale` to the unit, and the propensity before it."""
    expected = _fill_steps(index, value, entities, prior, sums, reward, scale, work)
    for i in range(index.shape[0]):
        deltas[0, i] = np.int32(work[0, 0, i])
    for level in range(entities.shape[0]):
        shift, own = work[1, level], deltas[1 + level]
        for i in range(index.shape[0]):
            own[i] = np.int32(shift[i])
    return expected


@kernel
def _fill_steps(index, value, entities, prior, sums, reward, scale, work):
    """What `_fill_receipt` writes, as whole numbers: every active coefficient gets the information about eta, the same of each entity, so that of
    precision stands once, in work[0, 0] f64[n_active]; work[1] f64[n_levels, n_active]. Features lie side by side, so that the loops are SIMD."""
    mean, variance = _fill_eta(index, value, entities, prior, sums, work)
    gradient, information = _step(mean, variance, reward)
    precision = work[0, 0]
    for i in range(index.shape[0]):
        precision[i] = _fixed(value[i] * value[i] * information, scale)
    for level in range(entities.shape[0]):
        shift, means, variances = work[1, level], work[2, level], work[3, level]
        for i in range(index.shape[0]):
            x = value[i]
            gain = x * x * information
            shift[i] = _fixed(gain * (means[i] + variances[i] * x * gradient) + x * gradient, scale)
    return normal_cdf(mean / math.sqrt(1.0 + variance))


@scalar
def _step(mean, variance, reward):
    """(gradient, information) of one outcome's log evidence about eta, whose belief is N(mean, variance)."""
    spread = math.sqrt(1.0 + variance)
    t = mean / spread
    up, down = _slope(t), _slope(-t)
    gradient = (reward * up - (1.0 - reward) * down) / spread
    curvature = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / (1.0 + variance)
    return gradient, curvature / (1.0 - curvature * variance)


@kernel
def _fill_eta(index, value, entities, prior, sums, work):
    """Mean and variance of one candidate's linear predictor, and of every coefficient in it: work[2] and work[3] f64[n_levels, n_active]."""
    length = 0.0
    for i in range(index.shape[0]):
        length += value[i] * value[i]
    bias = value[0] * value[0]
    mean, variance = 0.0, 0.0
    for level in range(entities.shape[0]):
        entity, means, variances = entities[level], work[2, level], work[3, level]
        posterior._fill_beliefs(prior, sums, index, entity, means, variances)
        diagonal = 0.0
        for i in range(index.shape[0]):
            mean += value[i] * means[i]
            diagonal += value[i] * value[i] * variances[i]
        at_prior = bias * prior[posterior.BIAS_VARIANCE, entity] + (length - bias) * prior[posterior.VARIANCE, entity]
        variance = _variance_below(variance, diagonal, at_prior, length)
    return mean, variance


@scalar
def _variance_below(above, diagonal, at_prior, length):
    """Variance of eta down to an entity: what is above plus the entity's own prior, narrowed by what it has learned about eta.

    `at_prior` and `diagonal` are the sums of its variances at the prior and now, `length` that of the squared values. See docs/maths/probit.md.
    """
    whole = above + at_prior
    # whole / (1 + whole * information), information = length * (at_prior - diagonal) / (at_prior * diagonal), with one division
    product = at_prior * diagonal
    return whole * product / (product + whole * length * max(at_prior - diagonal, 0.0))


@scalar
def _slope(t):
    """v(t) = phi(t) / Phi(t), the derivative of log Phi; its asymptote where Phi runs out of digits."""
    if t < -30.0:
        return -t - 1.0 / t
    return normal_pdf(t) / normal_cdf(t)


@scalar
def _fixed(number, scale):
    """`number` in units of 1 / `scale`, 2**-24 where nothing is forgotten, to the nearest, held within int32."""
    return min(max(np.rint(number * scale), -_RECEIPT_MAX), _RECEIPT_MAX)
