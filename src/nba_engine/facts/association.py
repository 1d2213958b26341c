"""How strongly two facts belong together: evidence that they have an effect together, from residuals counted in cells of both.

What a table's rows and columns explain alone is taken out, and what is left is weighed against none, three ways: a value per cell for all actions
alike; the product of the two places, counted in steps, times a number per bucket; the product of any pattern over the one fact's places and any over
the other's, times a number per bucket. Several pairs are worked on together, side by side, so that the loops are SIMD.

**Source** the score statistic of a coefficient at 0 (Rao 1948), weighed under a normal prior as in Kass and Raftery 1995, "Bayes factors", JASA 90;
the patterns are the best rank-one part of the tables (De Lathauwer et al. 2000, the higher-order power method), less what noise alone would give.
**Cost** O(cells * buckets) a pair, some 2 us each where 16 are judged together.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar

BINS, BUCKETS = 6, 8
"""Places of a fact, the last for what is absent; numbers that tell actions apart."""
JUDGED_MAX = 16
_VARIANCE = 0.125
_TURNS = 8
_SWEEPS = 4
_LANES = (BUCKETS + 1) * JUDGED_MAX
_FOUND = 3 * BINS + 1
"""Where the working space of evidence keeps what it finds for each pair."""

Table = npt.NDArray[np.float32]


def make_work() -> Table:
    """float32[3, BINS * BINS, lanes], the working space of `_fill_evidence`."""
    return np.zeros((3, BINS * BINS, _LANES), np.float32)


@kernel
def _fill_evidence(table, judged, work, evidence):
    """Log evidence of at most JUDGED_MAX pairs `judged`: the best of three ways to look at their tables.

    All are worked on together, in `work` f32[3, BINS * BINS, _LANES]: residuals by cell, variances, some sums. A lane is a bucket of a pair, all
    pairs of one bucket side by side; the last bucket is the sum of all.
    """
    left, variance, sums = work[0], work[1], work[2]
    left[:], variance[:] = 0.0, 0.0
    for j in range(judged.shape[0]):
        whole = BUCKETS * JUDGED_MAX + j
        for bucket in range(BUCKETS):
            lane = bucket * JUDGED_MAX + j
            for cell in range(BINS * BINS):
                left[cell, lane], variance[cell, lane] = table[judged[j], bucket, cell, 0], table[judged[j], bucket, cell, 1]
                left[cell, whole] += left[cell, lane]
                variance[cell, whole] += variance[cell, lane]
    product, alike, noise = sums[_FOUND], sums[_FOUND + 1], sums[_FOUND + 2]
    _fill_left(left, variance, sums[0], sums[1 : 2 * BINS + 1])
    _fill_products(left, variance, sums[0], sums[1], product)
    _fill_cells(left, variance, alike)
    _fill_standard(left, variance, sums[0], sums[1], noise)
    _fill_patterns(left, sums)
    for j in range(judged.shape[0]):
        evidence[judged[j]] = max(product[j], alike[j], 0.5 * (sums[_FOUND + 3, j] - noise[j]))


@kernel
def _fill_left(left, variance, over, under):
    """Subtract from the residuals what rows alone and columns alone explain, by turns. `under` f32[2 * BINS, lanes] keeps what each is divided by."""
    for line in range(2 * BINS):
        inverse = under[line]
        if line < BINS:
            _fill_line(variance, line * BINS, 1, inverse)
        else:
            _fill_line(variance, line - BINS, BINS, inverse)
        for k in range(inverse.shape[0]):
            inverse[k] = np.float32(1.0) / inverse[k] if inverse[k] > 0.0 else np.float32(0.0)
    for sweep in range(2 * _SWEEPS):
        step, stride, first = (BINS, 1, 0) if sweep % 2 == 0 else (1, BINS, BINS)
        for line in range(BINS):
            _fill_line(left, line * step, stride, over)
            inverse = under[first + line]
            for k in range(over.shape[0]):
                over[k] *= inverse[k]
            for cell in range(line * step, line * step + BINS * stride, stride):
                own, spread = left[cell], variance[cell]
                for k in range(over.shape[0]):
                    own[k] -= over[k] * spread[k]


@kernel
def _fill_line(cells, at, stride, total):
    """The sum of a row's or column's cells, from cell `at` on; three at a time, so that the loops are SIMD and read `total` once."""
    a, b, c = cells[at], cells[at + stride], cells[at + 2 * stride]
    for k in range(total.shape[0]):
        total[k] = a[k] + b[k] + c[k]
    a, b, c = cells[at + 3 * stride], cells[at + 4 * stride], cells[at + 5 * stride]
    for k in range(total.shape[0]):
        total[k] += a[k] + b[k] + c[k]


@kernel
def _fill_products(left, variance, over, under, product):
    """Evidence for one coefficient a bucket of the product of the two places, counted from the middle in steps; what is absent has none."""
    over[:], under[:] = 0.0, 0.0
    for a in range(BINS - 1):
        for b in range(BINS - 1):
            x, cell = np.float32((a - 2.0) * (b - 2.0) / 2.0), a * BINS + b
            for k in range(over.shape[0]):
                over[k] += x * left[cell, k]
                under[k] += x * x * variance[cell, k]
    for j in range(JUDGED_MAX):
        gain, scales = 0.0, 1.0
        for lane in range(j, BUCKETS * JUDGED_MAX, JUDGED_MAX):
            scale = 1.0 + _VARIANCE * under[lane]
            gain += _gain(over[lane], under[lane], scale)
            scales *= scale
        product[j] = 0.5 * (gain - math.log(scales))


@kernel
def _fill_cells(left, variance, alike):
    """Evidence for a coefficient of each cell, all buckets alike."""
    for j in range(JUDGED_MAX):
        gain, scales, lane = 0.0, 1.0, BUCKETS * JUDGED_MAX + j
        for cell in range(BINS * BINS):
            scale = 1.0 + _VARIANCE * variance[cell, lane]
            gain += _gain(left[cell, lane], variance[cell, lane], scale)
            scales *= scale
        alike[j] = 0.5 * (gain - math.log(scales))


@kernel
def _fill_standard(left, variance, seen, cells, noise):
    """Divide the residuals by their deviations. `noise`: square of the best rank-one part of mere noise, (sqrt(a) + sqrt(b) + sqrt(c))^2 for an
    a x b x c table of it; here 4 x 4 x the buckets that count, with the share of the noise that the division by variance + 1 leaves."""
    seen[:], cells[:] = 0.0, 0.0
    for cell in range(BINS * BINS):
        for k in range(seen.shape[0]):
            whole = variance[cell, k] + np.float32(1.0)
            left[cell, k] /= math.sqrt(whole)
            seen[k] += variance[cell, k] / whole
            cells[k] += np.float32(variance[cell, k] > 0.0)
    for j in range(JUDGED_MAX):
        known, squares = 0.0, 0.0
        for bucket in range(BUCKETS):
            share = seen[bucket * JUDGED_MAX + j] / max(cells[bucket * JUDGED_MAX + j], 1.0)
            known += share
            squares += share * share
        noise[j] = squares / known * (4.0 + known / math.sqrt(squares)) ** 2 if known > 0.0 else 0.0


@kernel
def _fill_patterns(left, sums):
    """Square of the best rank-one part of each pair's left[(a, b), bucket], sought by turns from its strongest row."""
    one, other, beside, found = sums[:BINS], sums[BINS : 2 * BINS], sums[2 * BINS : 3 * BINS], sums[_FOUND + 3]
    for a in range(BINS):
        beside[a] = 0.0
        for cell in range(a * BINS, a * BINS + BINS):
            for k in range(beside.shape[1]):
                beside[a, k] += left[cell, k] * left[cell, k]
    for j in range(JUDGED_MAX):
        strongest, row, lane = -1.0, 0, 0
        for k in range(j, BUCKETS * JUDGED_MAX, JUDGED_MAX):
            for a in range(BINS):
                if beside[a, k] > strongest:
                    strongest, row, lane = beside[a, k], a, k
        for b in range(BINS):
            one[b, j], other[b, j] = np.float64(b == row), left[row * BINS + b, lane]
    _fill_spread(one, sums[3 * BINS])
    _fill_spread(other, sums[3 * BINS])
    for _ in range(_TURNS):
        _fill_turn(left, one, other, BINS, 1, beside, sums[3 * BINS], found)
        _fill_turn(left, other, one, 1, BINS, beside, sums[3 * BINS], found)


@kernel
def _fill_spread(pattern, inverse):
    """Scale each pair's pattern, which stands in the lanes of the first bucket, to length 1 and copy it to the lanes of all."""
    inverse[:] = 0.0
    for i in range(BINS):
        for j in range(JUDGED_MAX):
            inverse[j] += pattern[i, j] * pattern[i, j]
    for j in range(JUDGED_MAX):
        inverse[j] = np.float32(1.0) / math.sqrt(inverse[j]) if inverse[j] > 0.0 else np.float32(0.0)
    for i in range(BINS):
        for j in range(JUDGED_MAX):
            pattern[i, j] *= inverse[j]
        for k in range(JUDGED_MAX, BUCKETS * JUDGED_MAX):
            pattern[i, k] = pattern[i, k - JUDGED_MAX]


@kernel
def _fill_turn(left, one, other, stride_one, stride_other, beside, along, found):
    """Make `one` the pattern that fits best beside `other`; `found`: the square of what both explain."""
    along[:] = 0.0
    for i in range(BINS):
        near, own = beside[i], one[i]
        _fill_weighted(left, i * stride_one, stride_other, other, near)
        for k in range(near.shape[0]):
            along[k] += own[k] * near[k]
    for i in range(BINS):
        near = beside[i]
        for k in range(near.shape[0]):
            near[k] *= along[k]
        _fill_pairs(near, one[i])
    for k in range(along.shape[0]):
        along[k] *= along[k]
    _fill_pairs(along, found)
    _fill_spread(one, along)


@kernel
def _fill_weighted(cells, at, stride, other, near):
    """As `_fill_line`, each cell weighed by the pattern `other` at its place."""
    a, b, c, x, y, z = cells[at], cells[at + stride], cells[at + 2 * stride], other[0], other[1], other[2]
    for k in range(near.shape[0]):
        near[k] = (a[k] * x[k] + b[k] * y[k]) + c[k] * z[k]
    a, b, c, x, y, z = cells[at + 3 * stride], cells[at + 4 * stride], cells[at + 5 * stride], other[3], other[4], other[5]
    for k in range(near.shape[0]):
        near[k] += (a[k] * x[k] + b[k] * y[k]) + c[k] * z[k]


@kernel
def _fill_pairs(lanes, total):
    """The sum of each pair's lanes, in those of the first bucket."""
    for j in range(JUDGED_MAX):
        whole = np.float32(0.0)
        for bucket in range(BUCKETS):
            whole += lanes[bucket * JUDGED_MAX + j]
        total[j] = whole


@scalar
def _gain(residual, variance, scale):
    """Twice the log evidence of a coefficient N(0, _VARIANCE) on the scale of log odds against 0, by the score and its variance at 0, but for the
    log of `scale`, 1 + _VARIANCE * variance: the scales of many are multiplied before one logarithm is taken."""
    return _VARIANCE * residual * residual / scale if variance > 0.0 else 0.0
