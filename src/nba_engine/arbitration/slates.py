"""Slates: the law of exploration applied slot after slot to what remains.

A drawn action leaves with all its candidates. Where a null action competes, what ranks below it is not offered, and when it is drawn the slate ends.
One kernel draws the slates of many rows, each whole: a call from Python for each step of each slot would cost more than the steps
(docs/decisions/0006-one-kernel-per-slate.md).
"""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.drawing import _fill_draw
from nba_engine.arbitration.exploration import CONTROL, GREEDY, THOMPSON, Exploration, Flags, Floats, _fill_kind, _fill_mixture
from nba_engine.arbitration.priority import N_TERMS, _fill_priority
from nba_engine.arbitration.winning import BEFORE, STATE, _fill_win_probability, make_nodes, make_table
from nba_engine.numerics.kernel import kernel

_CONTROL, _GREEDY, _THOMPSON = CONTROL, GREEDY, THOMPSON
_EPSILON, _GAMMA, _SHARE, _POSTERIOR_SCALE = range(4)
_PRIORITY, _DEVIATION, _P = range(3)
_EXPLORES, _REMAINS = range(2)
PROBABILITY = _PROBABILITY = N_TERMS
"""Behind the terms of what was drawn stands the probability with which it was."""

Ints = npt.NDArray[np.int32]


class Slate(msgspec.Struct, gc=False):
    """What was drawn for one row. `chosen`: the competitors' positions by rank, `probability` of each given what stands before it, in (0, 1].

    `first_pmf` f64[m]: the law of the first slot. `ended_by_null`: the null action was drawn next, with probability `p_end` (else 1.0).
    """

    chosen: tuple[int, ...]
    probability: tuple[float, ...]
    first_pmf: Floats
    ended_by_null: bool
    p_end: float

    @property
    def slate_probability(self) -> float:
        """Probability of these offers in this order, each given what stood before it; that nothing came after them is `p_end`."""
        return math.prod(self.probability)


class SlateScratch:
    """Arrays for drawing slates among up to `n` competitors: one thread at a time; 120 bytes a competitor."""

    __slots__ = ("_drawn", "flags", "nodes", "numbers", "rows", "table")

    def __init__(self, n: int) -> None:
        self.numbers, self.flags = np.empty((3, n)), np.empty((2, n), np.uint8)  # priority, its deviation, p; explores, remains
        self.rows, self.table, self.nodes = np.empty(n, np.int32), make_table(n), make_nodes()
        self._drawn: Slates | None = None

    def room(self, n_rows: int, longest: int) -> Slates:
        """For what is drawn; the next to be drawn is written over it."""
        found = self._drawn
        if found is None or found.candidates.shape != (n_rows, longest):
            shape = n_rows, longest
            found = self._drawn = Slates(np.empty(shape, np.int32), np.empty(shape), np.empty((n_rows, longest + 1, N_TERMS + 1)),
                                         np.empty(n_rows, np.int64))
        return found


class Slates(msgspec.Struct, gc=False):
    """What was drawn for n rows, by rank: `candidates` int32[n, k], `propensity` float64[n, k] as it came in, and `terms` float64[n, k + 1, 5],
    their terms (priority.py) with the probability behind. Row r uses `n_chosen[r]` (int64[n]) of them; -1 - that number where the null action ended
    the slate, its own standing behind theirs."""

    candidates: Ints
    propensity: Floats
    terms: Floats
    n_chosen: npt.NDArray[np.int64]

    def n_offers(self, row: int) -> int:
        """How many offers a row has."""
        n = self.n_chosen.item(row)
        return n if n >= 0 else -n - 1

    def slate(self, row: int, first_pmf: Floats) -> Slate:
        """The slate of one row whose candidates are numbered by their positions."""
        k, ended = self.n_offers(row), self.n_chosen.item(row) < 0
        probability = tuple(self.terms[row, : k + 1, PROBABILITY].tolist())
        return Slate(tuple(self.candidates[row, :k].tolist()), probability[:k], first_pmf, ended, probability[k] if ended else 1.0)


def draw_slates(
    exploration: Exploration,
    n: int,
    kinds: npt.NDArray[np.int64],
    limits: npt.NDArray[np.int64],
    longest: int,
    scratch: SlateScratch,
    offsets: npt.NDArray[np.int64],
    candidates: Ints,
    explores: Flags,
    action_index: Ints,
    keys: npt.NDArray[np.uint64],
    judged: Floats,
    deviation: Floats,
    terms: Floats,
    null_candidate: int,
    noise_keys: npt.NDArray[np.uint64],
) -> Slates:
    """Draw up to `limits[r]` offers for each of n rows, each from the law over what remains; what is drawn stands until the next call.

    Parameters
    ----------
    exploration : the law's parameters; `kinds` int64[n] its kind for each row
    limits : int64[n], >= 0; they may exceed what is left. `longest` is at least the largest of them
    offsets : int64[n + 1]; the competitors of row r are `candidates[offsets[r]:offsets[r + 1]]`
    candidates : int32[m], positions among all candidates, in order, those of one action side by side
    explores : uint8[n_candidates]; action_index : int32[n_candidates]; keys : uint64[2, n_candidates], hashes of action and of candidate
    judged : float64[2, >= m]: the propensity of each competitor; the law of each row's first slot is written behind it
    deviation : float64[m], of the propensities; terms : float64[m, 4] (priority.py), handed on of those that are drawn
    null_candidate : the null action's place among all candidates, or -1
    noise_keys : uint64[n], hashes of (seed, subject, sticky window)

    Notes
    -----
    **Cost** at 200 contenders: the first slot O(m), each further one a fraction of it; linear in slots and rows.
    """
    s, drawn = scratch, scratch.room(n, longest)
    _fill_slates(n, kinds, limits, exploration.parameters, null_candidate, noise_keys, offsets, candidates, explores, action_index, keys, judged,
                 deviation, terms, s.numbers, s.flags, s.rows, s.table, s.nodes, drawn.candidates, drawn.propensity, drawn.terms, drawn.n_chosen)
    return drawn


@kernel
def _fill_slates(n_rows, kinds, limits, parameters, null_candidate, noise_keys, offsets, candidates, explores, action_index, keys, judged, deviation,
                 terms, numbers, flags, rows, table, nodes, chosen, propensity_out, terms_out, n_chosen):
    for r in range(n_rows):
        a, b = offsets[r], offsets[r + 1]
        n = b - a
        propensity, priority, spread, p = judged[0][a:b], numbers[_PRIORITY][:n], numbers[_DEVIATION][:n], numbers[_P][:n]
        is_open, remains = flags[_EXPLORES][:n], flags[_REMAINS][:n]
        _fill_priority(candidates[a:b], explores, propensity, deviation[a:b], terms[a:b], parameters[_POSTERIOR_SCALE], null_candidate, priority,
                       spread, is_open, remains)
        null_position = -1
        if null_candidate >= 0:
            for i in range(n):
                if candidates[a + i] == null_candidate:
                    null_position = i
        if kinds[r] == _CONTROL and null_position >= 0:
            remains[:] = 1
            remains[null_position] = 0
        n_chosen[r] = _fill_slate(kinds[r], parameters, null_position, noise_keys[r], min(limits[r], n), candidates[a:b], priority, spread, is_open,
                                  remains, action_index, keys, rows, table, nodes, p, judged[1][a:b], propensity, terms[a:b], chosen[r],
                                  propensity_out[r], terms_out[r])


@kernel
def _fill_slate(kind, parameters, null_position, noise_key, limit, candidates, mean, deviation, explores, remains, action_index, keys, rows, table,
                nodes, p, first_pmf, propensity, terms, chosen, propensity_out, terms_out):
    """Chosen candidates, their terms and probabilities; returns how many, or -1 - n where the null action ended it after n."""
    share = parameters[_SHARE]
    nodes[STATE, 0], nodes[STATE, 1] = BEFORE
    first_pmf[:] = 0.0
    for slot in range(limit):
        if kind == _THOMPSON:
            _fill_win_probability(mean, deviation, remains, rows, table, nodes, p)
        else:
            _fill_kind(kind, parameters[_EPSILON], parameters[_GAMMA], mean, remains, explores, p)
        if share > 0.0 and kind != _GREEDY and kind != _CONTROL:
            _fill_mixture(share, remains, explores, p)
        if slot == 0:
            first_pmf[:] = p
        i = _fill_draw(p, candidates, action_index, keys, noise_key, slot, remains)
        if i < 0:
            return slot
        terms_out[slot, _PROBABILITY] = p[i]
        if i == null_position:
            return -1 - slot
        chosen[slot], propensity_out[slot] = candidates[i], propensity[i]
        terms_out[slot, :_PROBABILITY] = terms[i]
    return limit


def fill_slate(
    exploration: Exploration,
    priority: Floats,
    deviation: Floats,
    action_index: Ints,
    explores: Flags,
    null_position: int,
    noise_key: int,
    action_keys: npt.NDArray[np.uint64],
    candidate_keys: npt.NDArray[np.uint64],
    limit: int,
) -> Slate:
    """One slate among candidates given by their priorities f64[n] and deviations f64[n], in arrays of its own: for replay and tests."""
    n, limit = priority.size, min(limit, priority.size)
    judged, worth = np.stack([priority, np.zeros(n)]), np.tile([1.0, 1.0, 1.0, 0.0], (n, 1))  # a propensity of a worth of 1 is its priority
    drawn = draw_slates(replace(exploration, posterior_scale=1.0), 1, np.array([exploration.kind]), np.array([limit]), limit, SlateScratch(n),
                        np.array([0, n]), np.arange(n, dtype=np.int32), explores, action_index,
                        np.ascontiguousarray(np.stack([action_keys, candidate_keys])), judged, deviation, worth, null_position,
                        np.array([noise_key], np.uint64))
    return drawn.slate(0, judged[1])


def pmf(exploration: Exploration, priority: Floats, deviation: Floats, explores: Flags, null_position: int) -> Floats:
    """The law of the first slot, f64[n]; sums to 1 unless there are no candidates. Parameters as in `fill_slate`."""
    n = priority.size
    keys = np.zeros(n, np.uint64)
    return fill_slate(exploration, priority, deviation, np.arange(n, dtype=np.int32), explores, null_position, 0, keys, keys, 1).first_pmf
