"""Slates: the law of exploration applied slot after slot to what remains.

A drawn action leaves with all its candidates. Where a null action competes, what ranks below it is not offered, and when it is drawn the slate ends.
One kernel draws the whole slate: a call from Python for each step of each slot would cost more than the steps
(docs/decisions/0006-one-kernel-per-slate.md).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.drawing import _fill_draw
from nba_engine.arbitration.exploration import CONTROL, GREEDY, THOMPSON, Exploration, Flags, Floats, _fill_kind, _fill_mixture
from nba_engine.arbitration.winning import N_NODES, _fill_win_probability
from nba_engine.numerics.kernel import kernel

_CONTROL, _GREEDY, _THOMPSON = CONTROL, GREEDY, THOMPSON
_P, _FIRST, _PROBABILITY = 0, 1, 2


class Slate(msgspec.Struct, gc=False):
    """What was drawn. `chosen` int32[k] candidates by rank, `probability` f64[k] of each given what stands before it, in (0, 1].

    `first_pmf` f64[n]: the law of the first slot. `ended_by_null`: the null action was drawn next, with probability `p_end` (else 1.0).
    """

    chosen: npt.NDArray[np.int32]
    probability: Floats
    first_pmf: Floats
    ended_by_null: bool
    p_end: float

    @property
    def slate_probability(self) -> float:
        """Probability of these offers in this order, each given what stood before it; that nothing came after them is `p_end`."""
        return math.prod(self.probability.tolist())


class SlateScratch:
    """Arrays for drawing slates among up to `n` candidates: one thread at a time; 200 bytes a candidate."""

    __slots__ = ("chosen", "flags", "nodes", "out", "priority", "rows", "state", "table")

    def __init__(self, n: int) -> None:
        self.priority = np.zeros((2, n))  # priority, deviation
        self.flags = np.zeros((2, n), np.uint8)  # explores, remains
        self.rows = np.empty(n, np.int32)
        self.table = np.empty((n, N_NODES))
        self.nodes = np.empty((5, N_NODES))
        self.state = np.empty(2)
        self.out = np.zeros((3, n))  # p, pmf of the first slot, probability of each chosen
        self.chosen = np.zeros(n, np.int32)


def draw_slate(
    exploration: Exploration,
    scratch: SlateScratch,
    candidates: npt.NDArray[np.int32],
    action_index: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    null_position: int,
    noise_key: int,
    limit: int,
) -> Slate:
    """Draw up to `limit` offers, each from the law over what remains.

    Parameters
    ----------
    scratch : with `priority` and `flags` filled for the competitors (`priorities`)
    candidates : int32[m], the competitors' positions among all candidates, in order, those of one action side by side
    action_index : int32[n_candidates]; keys : uint64[2, n_candidates], hashes of action and of candidate
    null_position : the null action's place among the competitors, or -1
    noise_key : uint64 hash of (seed, subject, sticky window)
    limit : >= 0; may exceed what is left

    Notes
    -----
    **Cost** at 200 contenders: the first slot O(m), each further one a fraction of it; linear in slots.
    """
    m, e, s = candidates.size, exploration, scratch
    if e.kind == CONTROL and null_position >= 0:
        s.flags[1, :m] = 1
        s.flags[1, null_position] = 0
    k = _fill_slate(e.kind, float(e.epsilon), float(e.gamma), float(e.uniform_share), null_position, np.uint64(noise_key), min(limit, m),
                    candidates, s.priority, s.flags, action_index, keys, s.rows, s.table, s.nodes, s.state, s.out, s.chosen)
    ended = k < 0
    k = -k - 1 if ended else k
    p_end = float(s.out[_PROBABILITY, k]) if ended else 1.0
    return Slate(s.chosen[:k].copy(), s.out[_PROBABILITY, :k].copy(), s.out[_FIRST, :m].copy(), ended, p_end)


@kernel
def _fill_slate(kind, epsilon, gamma, share, null_position, noise_key, limit, candidates, priority, flags, action_index, keys, rows, table, nodes,
                state, out, chosen):
    """Chosen positions into `chosen`, their probabilities into out[2]; returns how many, or -1 - n where the null action ended it after n."""
    m = candidates.size
    mean, deviation, explores, remains = priority[0, :m], priority[1, :m], flags[0, :m], flags[1, :m]
    p = out[_P, :m]
    state[0], state[1] = 0.0, -np.inf
    out[_FIRST, :m] = 0.0
    for slot in range(limit):
        if kind == _THOMPSON:
            _fill_win_probability(mean, deviation, remains, rows, table, nodes, state, p)
        else:
            _fill_kind(kind, epsilon, gamma, mean, remains, explores, p)
        if share > 0.0 and kind != _GREEDY and kind != _CONTROL:
            _fill_mixture(share, remains, explores, p)
        if slot == 0:
            out[_FIRST, :m] = p
        i = _fill_draw(p, candidates, action_index, keys, noise_key, slot, remains)
        if i < 0:
            return slot
        chosen[slot], out[_PROBABILITY, slot] = i, p[i]
        if i == null_position:
            return -1 - slot
    return limit


def fill_slate(
    exploration: Exploration,
    priority: Floats,
    deviation: Floats,
    action_index: npt.NDArray[np.int32],
    explores: Flags,
    null_position: int,
    noise_key: int,
    action_keys: npt.NDArray[np.uint64],
    candidate_keys: npt.NDArray[np.uint64],
    limit: int,
) -> Slate:
    """`draw_slate` among candidates given by their priorities f64[n] and deviations f64[n], in arrays of its own: for replay and tests."""
    scratch = _scratch_for(exploration, priority, deviation, explores, null_position)
    keys = np.ascontiguousarray(np.stack([action_keys, candidate_keys]))
    return draw_slate(exploration, scratch, np.arange(priority.size, dtype=np.int32), action_index, keys, null_position, noise_key, limit)


def pmf(exploration: Exploration, priority: Floats, deviation: Floats, explores: Flags, null_position: int) -> Floats:
    """The law of the first slot, f64[n]; sums to 1 unless there are no candidates. Parameters as in `fill_slate`."""
    n = priority.size
    keys = np.zeros(n, np.uint64)
    return fill_slate(exploration, priority, deviation, np.arange(n, dtype=np.int32), explores, null_position, 0, keys, keys, 1).first_pmf


def _scratch_for(exploration: Exploration, priority: Floats, deviation: Floats, explores: Flags, null_position: int) -> SlateScratch:
    scratch = SlateScratch(priority.size)
    scratch.priority[0], scratch.priority[1] = priority, deviation
    scratch.flags[0] = explores
    scratch.flags[1] = 1 if null_position < 0 else priority >= 0.0
    return scratch
