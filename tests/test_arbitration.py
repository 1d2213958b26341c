"""Priorities, the laws of exploration, drawing and slates: twins, cases by hand, and the frequency of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import chdtrc

from nba_engine.arbitration.exploration import KIND_CODES, Exploration
from nba_engine.arbitration.priority import _fill_priority
from nba_engine.arbitration.slates import fill_slate, pmf
from tests.naive import arbitration as naive

KINDS = sorted(KIND_CODES)
EXACT_KINDS = [kind for kind in KINDS if kind != "thompson"]
ACTION_KEYS = np.random.default_rng(11).integers(0, 2**64, 100, dtype=np.uint64)
CANDIDATE_KEYS = np.random.default_rng(12).integers(0, 2**64, 100, dtype=np.uint64)


@st.composite
def batches(draw, with_null=True):
    """(priority, deviation, action_index, explores, null_position): up to 12 actions of 1 to 3 treatments, many ties, perhaps a null action."""
    sizes = draw(st.lists(st.integers(1, 3), max_size=12))
    action_index = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    n = action_index.size
    one = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 2.0]), st.floats(-3, 3))
    priority = np.array(draw(st.lists(one, min_size=n, max_size=n)), float)
    width = st.sampled_from([0.0, 1e-9, 0.1, 1.0])
    deviation = np.array(draw(st.lists(width, min_size=n, max_size=n)), float)
    explores = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), np.uint8)
    deviation[explores == 0] = 0.0
    null_position = -1
    if with_null and draw(st.booleans()):
        null_position = n
        action_index = np.append(action_index, np.int32(len(sizes))).astype(np.int32)
        priority, deviation, explores = np.append(priority, 0.0), np.append(deviation, 0.0), np.append(explores, np.uint8(0))
    return priority, deviation, action_index, explores, null_position


def keys_of(action_index):
    return ACTION_KEYS[action_index], CANDIDATE_KEYS[: action_index.size]


def options_of(law):
    return {"uniform_share": law.uniform_share, "epsilon": law.epsilon, "gamma": law.gamma}


def priority_of(columns, explores, scale, null_position=-1):
    """Priorities, deviations and flags of competitors that are every second of all candidates."""
    m = len(explores)
    candidates = np.arange(0, 2 * m, 2, dtype=np.int32)
    mean, deviation, open_, remains = np.zeros(m), np.zeros(m), np.zeros(m, np.uint8), np.zeros(m, np.uint8)
    terms = np.ascontiguousarray(columns[2:].T)
    _fill_priority(candidates, np.repeat(explores, 2), columns[0].copy(), columns[1].copy(), terms, scale, 2 * null_position, mean, deviation, open_,
                   remains)
    return mean.tolist(), deviation.tolist(), [open_.tolist(), remains.tolist()]


def test_priority_by_hand():
    # 0.1 * 50 * 2 * 1.2 - 3 = 9; 0.3 * 0.02 * 50 * 2 * 1.2 = 0.72; the second is closed; the third is the null action, the fourth below it.
    columns = np.array([[0.1, 0.1, 0.5, 0.1], [0.02, 0.02, 0.1, 0.1], [50, 50, 0, 1], [2, 2, 1, 1], [1.2, 1.2, 1, 1], [3, 3, 0, 5]], float)
    priority, deviation, flags = priority_of(columns, np.array([1, 0, 1, 1], np.uint8), 0.3, 2)
    assert priority == pytest.approx([9, 9, 0, -4.9])
    assert deviation == pytest.approx([0.72, 0, 0, 0.03])
    assert flags == [[1, 0, 0, 1], [1, 1, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1e6)] * 6, st.integers(0, 1)), max_size=20), st.floats(0, 2))
def test_priority_twin(rows, scale):
    columns = np.array([row[:6] for row in rows], float).reshape(-1, 6).T.copy()
    explores = np.array([row[6] for row in rows], np.uint8)
    expected = naive.priorities(*columns, explores, scale)
    priority, deviation, _ = priority_of(columns, explores, scale)
    assert priority == pytest.approx([a for a, _ in expected], rel=1e-12, abs=1e-3)
    assert deviation == pytest.approx([b for _, b in expected], rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(batch=batches(), epsilon=st.floats(0, 1), gamma=st.floats(0.1, 1e4), share=st.floats(0, 1))
def test_pmf_twin(kind, batch, epsilon, gamma, share):
    priority, deviation, _, explores, null_position = batch
    law = Exploration(KIND_CODES[kind], uniform_share=share, epsilon=epsilon, gamma=gamma)
    remains = np.ones(priority.size) if null_position < 0 else priority >= 0
    if kind == "control":
        remains = np.arange(priority.size) != null_position
    p = pmf(law, priority, deviation, explores, null_position)
    expected = naive.pmf(kind, priority, deviation, remains, explores, **options_of(law))
    assert p.min(initial=0) >= 0 and abs(p.sum() - np.any(remains)) < 1e-12
    if kind == "thompson":
        assert 0.5 * np.abs(p - expected).sum() < 0.01
    else:
        assert p.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(batch=batches(), noise_key=st.integers(0, 2**64 - 1), limit=st.integers(0, 15))
def test_slate_twin(kind, batch, noise_key, limit):
    """Exact kinds: the same offers and probabilities. Thompson: the same laws of a slate (its pmf is the twin's only up to the quadrature)."""
    priority, deviation, action_index, explores, null_position = batch
    action_keys, candidate_keys = keys_of(action_index)
    law = Exploration(KIND_CODES[kind])
    slate = fill_slate(law, priority, deviation, action_index, explores, null_position, noise_key, action_keys, candidate_keys, limit)
    if kind != "thompson":
        offers, p_end = naive.slate(
            kind, priority, deviation, action_index, explores, null_position, noise_key, action_keys, candidate_keys, limit, **options_of(law)
        )
        assert slate.chosen == tuple(i for i, _ in offers)
        assert slate.probability == pytest.approx(tuple(p for _, p in offers), abs=1e-12)
        assert slate.ended_by_null == (p_end is not None) and slate.p_end == pytest.approx(1.0 if p_end is None else p_end)
    actions = action_index[np.array(slate.chosen, int)].tolist()
    assert len(set(actions)) == len(actions) and null_position not in slate.chosen
    assert all(0 < p <= 1 + 1e-12 for p in slate.probability)
    if limit > 0:
        assert slate.first_pmf.tolist() == pmf(law, priority, deviation, explores, null_position).tolist()
    if null_position >= 0 and kind != "control":
        assert np.all(priority[np.array(slate.chosen, int)] >= 0)
    elif limit >= np.unique(action_index).size and kind in ("thompson", "greedy", "control"):
        assert len(actions) == np.unique(action_index).size - (null_position >= 0)


def test_uniform_share_by_hand():
    # Greedy would take the first; thompson without deviations does too: .98 + .02 / 2 for it, .01 for the other open one, 0 for the closed one.
    law = Exploration(uniform_share=0.02)
    p = pmf(law, np.array([3.0, 2.0, 1.0]), np.zeros(3), np.array([1, 1, 0], np.uint8), -1)
    assert p.tolist() == pytest.approx([0.99, 0.01, 0.0])


def test_squarecb_by_hand():
    # Gaps 0, .5, 1 of the range, gamma 10: 1 / (3 + 5) = .125, 1 / (3 + 10) = .0769, the rest .7981.
    law = Exploration(KIND_CODES["squarecb"], uniform_share=0.0, gamma=10.0)
    p = pmf(law, np.array([30.0, 20.0, 10.0]), np.zeros(3), np.ones(3, np.uint8), -1)
    assert p.tolist() == pytest.approx([0.7980769, 0.125, 0.0769231], abs=1e-7)


def test_closed_candidates_are_chosen_only_for_being_best():
    law = Exploration(KIND_CODES["uniform"])
    assert pmf(law, np.array([1.0, 2.0]), np.zeros(2), np.zeros(2, np.uint8), -1).tolist() == [0.0, 1.0]
    assert pmf(law, np.array([1.0, 2.0]), np.zeros(2), np.array([1, 0], np.uint8), -1).tolist() == [1.0, 0.0]


def test_null_action_ends_the_slate_and_its_probability_counts():
    priority, explores = np.array([5.0, -1.0, 0.0]), np.zeros(3, np.uint8)
    index, keys = np.arange(3, dtype=np.int32), np.arange(3, dtype=np.uint64)
    slate = fill_slate(Exploration(KIND_CODES["greedy"]), priority, np.zeros(3), index, explores, 2, 1, keys, keys, 3)
    assert (slate.chosen, slate.ended_by_null, slate.p_end, slate.slate_probability) == ((0,), True, 1.0, 1.0)


def law_and_world(kind):
    """9 candidates: actions of 1, 2 and 3 treatments, one closed, a null action; priorities close enough to compete."""
    action_index = np.array([0, 1, 1, 2, 2, 2, 3, 4, 5], np.int32)
    priority = np.array([1.0, 1.2, 0.9, 1.1, 1.1, 0.4, 0.8, 1.3, 0.0])
    explores = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0], np.uint8)
    deviation = np.array([0.5, 0.2, 0.9, 0.3, 0.3, 1.0, 1.5, 0.0, 0.0])
    return Exploration(KIND_CODES[kind], uniform_share=0.1, epsilon=0.4, gamma=6.0), priority, deviation, action_index, explores


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_frequency_matches_logged_probability(kind):
    """Chi-square over 20,000 slates of 2, first and second slot; fixed keys, false alarm 1e-5 a test."""
    law, priority, deviation, action_index, explores = law_and_world(kind)
    action_keys, candidate_keys = keys_of(action_index)
    n_draws, n = 20_000, priority.size
    first, second = np.zeros(n), np.zeros(n)
    expected_second, p_first = np.zeros(n), pmf(law, priority, deviation, explores, 8)
    second_pmf = {}
    for key in range(n_draws):
        slate = fill_slate(law, priority, deviation, action_index, explores, 8, naive.combine(key, 7), action_keys, candidate_keys, 2)
        i = int(slate.chosen[0]) if slate.chosen else 8
        first[i] += 1
        if i == 8:
            continue
        if i not in second_pmf:
            left = action_index != action_index[i]
            second_pmf[i] = np.zeros(n)
            second_pmf[i][left] = pmf(law, priority[left], deviation[left], explores[left], int(left[:8].sum()))
        expected_second += second_pmf[i]
        j = int(slate.chosen[1]) if len(slate.chosen) > 1 else 8
        second[j] += 1
        logged = slate.probability[1] if len(slate.chosen) > 1 else slate.p_end
        assert slate.probability[0] == p_first[i] and logged == pytest.approx(second_pmf[i][j], abs=0.01)
    for seen, expected in ((first, n_draws * p_first), (second, expected_second)):
        assert np.all(seen[expected == 0] == 0)
        often = expected > 5
        statistic = ((seen[often] - expected[often]) ** 2 / expected[often]).sum()
        assert often.sum() == 1 or chdtrc(often.sum() - 1, statistic) > 1e-5


def test_noise_belongs_to_the_action():
    """The same window sees the same noise: a candidate that cannot be drawn, put before all others, changes no offer."""
    law, priority, deviation, action_index, explores = law_and_world("epsilon")
    action_keys, candidate_keys = keys_of(action_index)
    for key in range(50):
        a = fill_slate(law, priority, deviation, action_index, explores, 8, key, action_keys, candidate_keys, 4)
        b = fill_slate(
            law,
            np.append(-1.0, priority),
            np.append(0.0, deviation),
            np.append(0, action_index + 1).astype(np.int32),
            np.append(0, explores).astype(np.uint8),
            9,
            key,
            np.append(np.uint64(99), action_keys),
            np.append(np.uint64(98), candidate_keys),
            4,
        )
        assert tuple(i - 1 for i in b.chosen) == a.chosen and b.probability == pytest.approx(a.probability)


def test_thousand_slots_over_two_hundred_candidates_take_each_once():
    r = np.random.default_rng(0)
    keys = r.integers(0, 2**64, 200, dtype=np.uint64)
    slate = fill_slate(
        Exploration(), r.normal(size=200), r.uniform(0.5, 1.5, 200), np.arange(200, dtype=np.int32), np.ones(200, np.uint8), -1, 5, keys, keys, 1000
    )
    assert sorted(slate.chosen) == list(range(200))
    assert slate.probability[-1] == pytest.approx(1.0)
