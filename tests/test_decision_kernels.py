"""The kernels of decision.py equal their twin: stages, counts of actions, values."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine.arbitration.priority import N_TERMS
from nba_engine.decision import _fill_eligible, _fill_terms
from nba_engine.numerics.bitset import n_words, pack, unpack
from tests.naive import decision as naive


@st.composite
def worlds(draw):
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=60))
    action = [i for i, size in enumerate(sizes) for _ in range(size)]
    n = len(action)
    subset = st.sets(st.integers(0, n - 1), max_size=n)
    window = st.tuples(st.integers(0, n - 1), st.integers(-5, 5), st.integers(-5, 5))
    value = st.one_of(st.none(), st.sampled_from([0.0, -1.0, 5.0, float("nan"), float("inf")]))
    return (action, draw(st.lists(subset, max_size=3)), draw(subset), draw(st.lists(window, max_size=4)), draw(st.integers(-6, 6)),
            draw(st.lists(value, min_size=n, max_size=n)))


def words_of(members: set[int], n: int) -> np.ndarray:
    return pack(np.array([i in members for i in range(n)]))


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_stages_and_values_equal_their_twin(world):
    action, tiers, available, windows, at, values = world
    n, w = len(action), n_words(len(action))
    bits, counts = np.zeros((1, w), np.uint64), np.zeros((1, len(tiers) + 3), np.int64)
    truth = np.concatenate([words_of(tier, n) for tier in tiers]) if tiers else np.zeros(0, np.uint64)
    stage_words = np.arange(len(tiers), dtype=np.int64) * w
    index = np.array(action, np.int32)
    _fill_eligible(1, truth[None], stage_words, words_of(available, n)[None], np.array([naive.n_actions(available, action)]),
                   np.array(windows, np.int64).reshape(-1, 3), np.array([at]), np.zeros(1, np.int64), index, bits, counts)
    left, expected = naive.eligible(tiers, available, windows, at, action)
    assert set(np.flatnonzero(unpack(bits[0], n)).tolist()) == left
    assert counts[0, : len(expected)].tolist() == expected

    # Every second candidate's value is a constant, the others' stands in a slot of its own.
    numbers, slots = np.zeros((n, 3)), np.full((n, 2), (-1, 0), np.int32)
    slot_values, slot_states = np.zeros((1, n)), np.zeros((1, n), np.int64)
    for i, value in enumerate(values):
        numbers[i] = float("nan") if value is None else value, 1.0 + i, 2.0 * i
        if i % 2:
            slots[i], slot_values[0, i], slot_states[0, i] = (i, 1), value or 0.0, value is None
    survivors, terms, offsets = np.zeros(n, np.int32), np.zeros((n, N_TERMS)), np.zeros(2, np.int64)
    _fill_terms(1, bits, slot_values.view(np.int64), slot_states, numbers, slots, index, offsets, survivors, terms, counts)
    m = offsets[1]
    kept = naive.valued(left, values)
    assert survivors[:m].tolist() == kept
    assert terms[:m].tolist() == [[values[c], 1.0, 1.0 + c, 2.0 * c] for c in kept]
    assert counts[0, -2:].tolist() == [naive.n_actions(left, action), naive.n_actions(set(kept), action)]
