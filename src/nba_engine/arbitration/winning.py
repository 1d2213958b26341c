"""P(best): the probability that each of n independent Gaussians is the largest, point masses and exact ties included.

With G(x) = prod_j F_j(x) the maximum falls in the cell (a, b] with probability G(b) - G(a), and dG = G * sum_i d log F_i, so each cell is
shared in proportion to the increments of log F_i over it. The result is positive and sums to one whatever the nodes; where the nodes lie only
decides how exact it is. They are placed at fixed levels of G, found by inverting a coarse pass, and once more where a cell came out too heavy.
The table of log F_i at the nodes is kept: what remains after an action was drawn needs its rows subtracted and, mostly, no new nodes.

What is drawn from these probabilities, and how they are mixed with others, stands in `exploration.py`. The mathematics: docs/maths/winning.md.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import fast_log_cdf

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]

N_NODES = 20
STATE, BEFORE = 5, (0.0, -math.inf)
_N_COARSE = 8
_N_ROUNDS_MAX = 6
_REACH = 5.0
"""Deviations beyond which a draw counts as impossible: P < 2.9e-7 a candidate."""
_SPAN = 8.0
"""The lowest node lies at G = exp(-8) = 3.4e-4 or below."""
_POWER = 2.0
"""Nodes are equally spaced in (-log G) ** (1 / _POWER): dense where mass times change is large."""
_CELL_ERROR_MAX = 0.06
"""A cell whose mass times rise of log G exceeds this asks for new nodes; planned cells have less than 0.05."""
_MASS_BELOW_MAX = 2e-3
"""Kept nodes serve the next slot while less than this lies below the lowest one."""

_V_MIN, _RISE_MIN = 1e-12, 1e-9
_LOG_V_MIN = math.log(_V_MIN)

_SCALE_MAX = 1e30

_LEVELS = np.array([1.0] + [(1 - k / (N_NODES - 2)) ** _POWER for k in range(N_NODES - 2)] + [0.0])
_LOG_LEVELS = np.log(np.maximum(_LEVELS, 1e-300))
"""-log G at the nodes as a share of its largest value; node 0 lies below all that matters."""


class Winning:
    """P(best) of one slate's candidates, slot after slot; holds the table between slots. Not shared between threads; about 1 us to make."""

    __slots__ = ("_nodes", "_rows", "_table")

    def __init__(self, n: int) -> None:
        self._rows = np.empty(n, np.int32)  # the candidate of each row of the table
        self._table = make_table(n)
        self._nodes = make_nodes()
        self._nodes[STATE, :2] = BEFORE

    def fill(self, mean: Floats, deviation: Floats, remains: Flags, p_out: Floats) -> None:
        """P(best) of the candidates with `remains` into p_out f64[n], 0 for the others.

        Parameters
        ----------
        mean, deviation : f64[n], finite, deviation >= 0; the same at every call
        remains : uint8[n]; a candidate that was out stays out
        """
        _fill_win_probability(mean, deviation, remains, self._rows, self._table, self._nodes, p_out)


def make_table(n: int) -> npt.NDArray[np.float32]:
    """float32[N_NODES + 2, n]: log F of up to n contenders at each node, then 1 / deviation and mean of each contender, or its share.

    A node's row lies in one piece, so that the loops over contenders are SIMD. Half the bytes of float64 and twice the lanes: what is rounded is
    1e-7 of the widest contender's deviation, and a contender so narrow that this matters lies either at the origin, where nothing is rounded,
    or where the maximum falls once in millions.
    """
    return np.empty((N_NODES + 2, n), np.float32)


def make_nodes() -> Floats:
    """float64[6, N_NODES]: x, log G, G, factors and u at each node; then the state between slots, how many rows of the table are in use and the point
    mass at node 0, or -inf: `BEFORE` the first one."""
    return np.empty((6, N_NODES))


def win_probability(mean: Floats, deviation: Floats) -> Floats:
    """P(best) f64[n] of independent Gaussians N(mean, deviation^2); deviation 0 is a point mass, exact ties share equally.

    Notes
    -----
    Total variation from the exact law: below .001 where deviations are alike; the largest of 900 random mixes was .0084
    (docs/decisions/0004-exploration-law.md).
    **Cost**: O(n), 28 values of log Phi a contender and placing.

    >>> win_probability(np.array([0.0, 0.0]), np.array([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    p = np.empty(mean.size)
    Winning(mean.size).fill(mean, deviation, np.ones(mean.size, np.uint8), p)
    return p


@kernel
def _fill_win_probability(mean, deviation, remains, rows, table, nodes, p):
    """P(best) of those with remains[i] != 0 into p f64[n]; 0 for the others.

    **Cost**: n * N_NODES values of log Phi where nodes are placed, n * N_NODES multiplications where they are kept.
    """
    state = nodes[STATE]
    n_rows = _fill_kept_rows(remains, rows, table, nodes, int(state[0]))
    atom = -np.inf
    for i in range(mean.size):
        p[i] = 0.0
        if remains[i] and deviation[i] <= 0.0 and mean[i] > atom:
            atom = mean[i]
    below = state[1] == -np.inf and nodes[1, 0] > math.log(_MASS_BELOW_MAX)
    if n_rows == 0 or below or (state[1] > -np.inf and state[1] != atom) or _heaviest_cell(nodes) > _CELL_ERROR_MAX:
        n_rows = _fill_nodes(mean, deviation, remains, atom, rows, table, nodes)
        state[0] = n_rows
        state[1] = atom if nodes[1, 0] > -_SPAN else -np.inf
    state[0] = n_rows
    if n_rows > 0:
        _fill_shares(rows, n_rows, table, nodes, p)
    if n_rows == 0 or state[1] > -np.inf:
        _fill_point_mass(mean, deviation, remains, atom, nodes[2, 0] if n_rows > 0 else 1.0, p)
    total = 0.0
    for i in range(mean.size):
        total += p[i]
    if total > 0.0:
        for i in range(mean.size):
            p[i] /= total


@kernel
def _fill_kept_rows(remains, rows, table, nodes, n_rows):
    """Drop what was removed from the table, the last contender taking its place, and subtract it from log G; returns the number left."""
    r = 0
    while r < n_rows:
        if remains[rows[r]]:
            r += 1
            continue
        n_rows -= 1
        rows[r] = rows[n_rows]
        for k in range(N_NODES):
            nodes[1, k] -= table[k, r]
            table[k, r] = table[k, n_rows]
    return n_rows


@kernel
def _fill_nodes(mean, deviation, remains, atom, rows, table, nodes):
    """Place nodes x, log G and the table for the contenders; returns their number, 0 if only point masses contend.

    x counts from the mean with the best lower bound, so that narrow deviations far from 0 are not lost in rounding.
    """
    lowest = -np.inf
    origin = start = 0.0
    for i in range(mean.size):
        if remains[i] and mean[i] - _REACH * deviation[i] > lowest:
            lowest = mean[i] - _REACH * deviation[i]
            origin = mean[i]
            start = -_REACH * deviation[i]
    start = max(start, atom - origin)
    n_rows = 0
    highest = start
    narrowest = np.inf
    for i in range(mean.size):
        if remains[i] and deviation[i] > 0.0:
            upper = mean[i] - origin + _REACH * deviation[i]
            if upper > start:
                rows[n_rows] = i
                n_rows += 1
                highest = max(highest, upper)
                narrowest = min(narrowest, deviation[i])
    if n_rows == 0:
        return 0
    unit = _fill_grid(start, highest, narrowest, nodes)
    _fill_table(mean, deviation, rows, n_rows, origin, _N_COARSE, table, nodes)
    n_from = _N_COARSE
    for _ in range(_N_ROUNDS_MAX):
        _fill_levels(n_from, start, unit, nodes)
        n_rows = _fill_contenders(mean, deviation, n_rows, origin, nodes[0, 0], rows)
        _fill_table(mean, deviation, rows, n_rows, origin, N_NODES, table, nodes)
        n_from = N_NODES
        if _heaviest_cell(nodes) <= _CELL_ERROR_MAX:
            break
    return n_rows


@kernel
def _fill_contenders(mean, deviation, n_rows, origin, lowest, rows):
    """Keep the rows whose upper bound passes the lowest node; returns their number."""
    kept = 0
    for r in range(n_rows):
        i = rows[r]
        if mean[i] - origin + _REACH * deviation[i] > lowest:
            rows[kept] = i
            kept += 1
    return kept


@kernel
def _fill_grid(start, stop, narrowest, nodes):
    """Coarse nodes from start to stop, evenly spaced in u where x = start + unit * (exp(u) - 1); returns the unit.

    A candidate is active only within 2 * _REACH deviations of the start, so narrow ones need their nodes near it: from about one width of the
    narrowest on, u is a logarithmic scale.
    """
    growth = math.log(max((stop - start) / (2.0 * _REACH * narrowest), 1.0)) + 0.5
    unit = (stop - start) / math.expm1(growth)
    for j in range(_N_COARSE):
        nodes[4, j] = growth * j / (_N_COARSE - 1)
        nodes[0, j] = start + unit * math.expm1(nodes[4, j])
    return unit


@kernel
def _fill_table(mean, deviation, rows, n_rows, origin, n_nodes, table, nodes):
    """log F of each contender at the nodes, and their sum log G."""
    scale, centre = table[N_NODES], table[N_NODES + 1]
    for r in range(n_rows):
        scale[r] = min(1.0 / deviation[rows[r]], _SCALE_MAX)
        centre[r] = mean[rows[r]] - origin
    for k in range(n_nodes):
        x, log_f = np.float32(nodes[0, k]), table[k]
        for r in range(np.uint64(n_rows)):
            log_f[r] = fast_log_cdf((x - centre[r]) * scale[r])
        nodes[1, k] = _total(log_f[:n_rows])


@scalar
def _total(numbers):
    """The sum, in eight lanes."""
    a = b = c = d = e = f = g = h = np.float32(0.0)
    whole = numbers.size - numbers.size % 8
    for i in range(0, whole, 8):
        a += numbers[i]
        b += numbers[i + 1]
        c += numbers[i + 2]
        d += numbers[i + 3]
        e += numbers[i + 4]
        f += numbers[i + 5]
        g += numbers[i + 6]
        h += numbers[i + 7]
    for i in range(whole, numbers.size):
        a += numbers[i]
    return np.float64(((a + b) + (c + d)) + ((e + f) + (g + h)))


@kernel
def _fill_levels(n_from, start, unit, nodes):
    """Invert log G, known at n_from nodes, at N_NODES levels; log(-log G) is taken as a parabola in u between them.

    Node 0 is the highest known one with G < exp(-_SPAN), so that no error of the inversion can lose mass below it.
    """
    log_g, log_v, placed, u = nodes[1], nodes[2], nodes[3], nodes[4]
    j = 0
    while j < n_from - 2 and log_g[j + 1] < -_SPAN:
        j += 1
    placed[0] = u[j]
    v_max = max(min(_SPAN, -log_g[j]), _V_MIN)
    log_v_max = math.log(v_max)
    for k in range(max(j - 1, 0), n_from):
        log_v[k] = math.log(max(-log_g[k], _V_MIN))
    bend = _bend(j, n_from, u, log_v)
    for k in range(1, N_NODES - 1):
        while j < n_from - 2 and -log_g[j + 1] > v_max * _LEVELS[k]:
            j += 1
            bend = _bend(j, n_from, u, log_v)
        share = (log_v[j] - log_v_max - _LOG_LEVELS[k]) / (log_v[j] - log_v[j + 1]) if log_v[j] > log_v[j + 1] else 1.0
        share = min(max(share, 0.0), 1.0)
        placed[k] = u[j] + min(max(share + bend * share * (1.0 - share), 0.0), 1.0) * (u[j + 1] - u[j])
    placed[N_NODES - 1] = u[n_from - 1]
    for k in range(N_NODES):
        u[k] = placed[k]
        nodes[0, k] = start + unit * math.expm1(u[k])


@scalar
def _bend(j, n_from, u, log_v):
    """How far the parabola through its neighbours takes cell j's inverse from a straight line, within +/- 1 so that it stays monotone."""
    width, rise = u[j + 1] - u[j], log_v[j + 1] - log_v[j]
    if width <= 0.0 or rise >= 0.0:
        return 0.0
    curve, n = 0.0, 0.0
    if j > 0 and u[j] > u[j - 1]:
        curve += (rise / width - (log_v[j] - log_v[j - 1]) / (u[j] - u[j - 1])) / (u[j + 1] - u[j - 1])
        n += 1.0
    if j + 2 < n_from and u[j + 2] > u[j + 1] and log_v[j + 2] > _LOG_V_MIN:
        curve += ((log_v[j + 2] - log_v[j + 1]) / (u[j + 2] - u[j + 1]) - rise / width) / (u[j + 2] - u[j])
        n += 1.0
    return min(max(curve * width * width / (rise * max(n, 1.0)), -1.0), 1.0)


@scalar
def _heaviest_cell(nodes):
    """Fills G and returns the largest product of a cell's mass and its rise of log G: the scale of its error."""
    heaviest = 0.0
    nodes[2, 0] = math.exp(nodes[1, 0])
    for k in range(1, N_NODES):
        nodes[2, k] = math.exp(nodes[1, k])
        heaviest = max(heaviest, (nodes[2, k] - nodes[2, k - 1]) * (nodes[1, k] - nodes[1, k - 1]))
    return heaviest


@kernel
def _fill_factors(nodes):
    """Factors of log F at the nodes, into nodes[2]: mass over rise of log G in each cell, summed by parts.

    A candidate's share of dG is D = d log F / d log G, a number in [0, 1]. Its slope inside a cell is taken from the two neighbours and adds
    slope * int G * (s - middle) ds over s = log G; over all candidates these corrections cancel.
    """
    s, g, mass = nodes[1], nodes[2], nodes[3]
    for k in range(N_NODES - 1):
        mass[k] = g[k + 1] - g[k]
    for k in range(1, N_NODES - 2):
        half = 0.5 * (s[k + 1] - s[k])
        between = 0.5 * (s[k + 2] + s[k + 1] - s[k] - s[k - 1])
        if between > _RISE_MIN:
            moment = ((half - 1.0) * g[k + 1] + (half + 1.0) * g[k]) / between
            mass[k + 1] += moment
            mass[k - 1] -= moment
    before = 0.0
    for k in range(N_NODES - 1):
        rise = s[k + 1] - s[k]
        slope = mass[k] / rise if rise > _RISE_MIN else g[k]
        mass[k] = before - slope
        before = slope
    mass[N_NODES - 1] = before


@kernel
def _fill_shares(rows, n_rows, table, nodes, p):
    """p[rows] = sum over the nodes of factor * log F_i."""
    _fill_factors(nodes)
    share = table[N_NODES]
    share[:n_rows] = np.float32(0.0)
    for k in range(0, N_NODES, 4):
        w, x, y, z = np.float32(nodes[3, k]), np.float32(nodes[3, k + 1]), np.float32(nodes[3, k + 2]), np.float32(nodes[3, k + 3])
        a, b, c, d = table[k], table[k + 1], table[k + 2], table[k + 3]
        for r in range(n_rows):
            share[r] += (w * a[r] + x * b[r]) + (y * c[r] + z * d[r])
    for r in range(n_rows):
        p[rows[r]] = max(share[r], np.float32(0.0))


@kernel
def _fill_point_mass(mean, deviation, remains, atom, mass, p):
    """Share `mass` equally among the point masses at `atom`."""
    n_ties = 0
    for i in range(mean.size):
        if remains[i] and deviation[i] <= 0.0 and mean[i] == atom:
            n_ties += 1
    for i in range(mean.size):
        if remains[i] and deviation[i] <= 0.0 and mean[i] == atom:
            p[i] = mass / n_ties
