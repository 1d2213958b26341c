"""Arbitration by plain loops from the formulas: dense quadrature, every law of exploration, one draw after the other."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr


def win_probability(mean, deviation):
    """P(best) by the trapezoid rule for int f_i prod_(j != i) F_j over a union of grids, one a candidate; point masses exactly."""
    mean, deviation = np.asarray(mean, float), np.asarray(deviation, float)
    n = mean.size
    p = np.zeros(n)
    if n == 0:
        return p
    points = [i for i in range(n) if deviation[i] == 0]
    wide = [i for i in range(n) if deviation[i] > 0]
    atom = max((mean[i] for i in points), default=-math.inf)
    ties = [i for i in points if mean[i] == atom]
    if not wide:
        p[ties] = 1 / len(ties)
        return p
    origin = mean[max(range(n), key=lambda i: mean[i] - 12 * deviation[i])]
    grids = [mean[i] - origin + deviation[i] * np.linspace(-12, 12, 241) for i in wide]
    x = np.unique(np.concatenate(grids))
    x = x[x >= max(mean[i] - origin - 12 * deviation[i] for i in range(n))]
    if ties:
        x = np.unique(np.append(x[x > atom - origin], atom - origin))
    z = (x[:, None] - (mean[wide] - origin)) / deviation[wide]
    log_f = log_ndtr(z)
    log_g = log_f.sum(axis=1)
    density = np.exp(log_g[:, None] - log_f - 0.5 * z * z) / (math.sqrt(2 * math.pi) * deviation[wide])
    p[wide] = ((density[1:] + density[:-1]) / 2 * np.diff(x)[:, None]).sum(axis=0)
    if ties:
        p[ties] = math.exp(log_g[0]) / len(ties)
    return p / p.sum()


def pmf(kind, priority, deviation, remains, explores, *, uniform_share=0.0, epsilon=0.0, gamma=1.0):
    """The law of one slot over the candidates in `remains`, by its definition."""
    n = len(priority)
    left = [i for i in range(n) if remains[i]]
    open_ = [i for i in left if explores[i]]
    p = [0.0] * n
    if not left:
        return p
    if kind == "control":
        return [1 / len(left) if i in left else 0.0 for i in range(n)]
    best = max(priority[i] for i in left)
    top = [i for i in left if priority[i] == best]
    if kind == "thompson":
        for i, share in zip(left, win_probability([priority[i] for i in left], [deviation[i] for i in left]), strict=True):
            p[i] = share
    elif kind == "uniform" and open_:
        for i in open_:
            p[i] = 1 / len(open_)
    else:
        if kind == "epsilon":
            for i in open_:
                p[i] = epsilon / len(open_)
        if kind == "squarecb":
            width = best - min(priority[i] for i in left)
            n_compared = len(set(open_) | set(top))
            for i in open_:
                if i not in top:
                    p[i] = 1 / (n_compared + gamma * (best - priority[i]) / width)
        rest = 1 - sum(p)
        for i in top:
            p[i] += rest / len(top)
    if kind != "greedy" and open_:
        p = [(1 - uniform_share) * p_i + (uniform_share / len(open_) if i in open_ else 0.0) for i, p_i in enumerate(p)]
    return p


def draw(p, action_index, action_keys, candidate_keys, noise_key, slot):
    """The candidate drawn: Gumbel-max over actions, then over the treatments of the drawn one; None if p is 0 everywhere."""
    slot_key = combine(noise_key, slot)
    total = {}
    for i, p_i in enumerate(p):
        total[action_index[i]] = total.get(action_index[i], 0.0) + p_i
    key_of_action = dict(zip(action_index, action_keys, strict=True))
    open_ = [a for a in total if total[a] > 0]
    if not open_:
        return None
    action = max(open_, key=lambda a: math.log(total[a]) + gumbel(combine(slot_key, key_of_action[a])))
    own = [i for i in range(len(p)) if action_index[i] == action and p[i] > 0]
    return max(own, key=lambda i: math.log(p[i]) + gumbel(combine(combine(slot_key, candidate_keys[i]), 0x7472656174)))


def combine(key, part):
    """The hash of numerics/random.py in Python integers."""
    mask = 2**64 - 1
    z = ((int(key) ^ (int(part) * 0x9E3779B97F4A7C15 & mask)) + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def gumbel(key):
    """Standard Gumbel noise of a key."""
    return -math.log(-math.log(((key >> 11) + 0.5) * 2.0**-53))


def priorities(propensity, deviation, value, context_weight, lever, cost, explores, posterior_scale):
    """(priority, deviation) one candidate after the other."""
    pairs = []
    for p, d, v, c, lv, co, e in zip(propensity, deviation, value, context_weight, lever, cost, explores, strict=True):
        pairs.append((p * v * c * lv - co, posterior_scale * d * v * c * lv if e else 0.0))
    return pairs


def slate(kind, priority, deviation, action_index, explores, null_position, noise_key, action_keys, candidate_keys, limit, **options):
    """([(candidate, probability)], the null action's probability if it ended the slate, else None)."""
    remains = [1] * len(priority)
    if null_position >= 0:
        remains = [int(i != null_position) if kind == "control" else int(priority[i] >= 0) for i in range(len(priority))]
    offers = []
    while len(offers) < limit:
        p = pmf(kind, priority, deviation, remains, explores, **options)
        i = draw(p, action_index, action_keys, candidate_keys, noise_key, len(offers))
        if i is None:
            break
        if i == null_position:
            return offers, p[i]
        offers.append((i, p[i]))
        remains = [r if action_index[j] != action_index[i] else 0 for j, r in enumerate(remains)]
    return offers, None
