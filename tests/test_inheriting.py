"""What an entity without outcomes starts from: by hand, as laws, and in a world of alike actions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from nba_engine.models import posterior
from nba_engine.models.contract import carried
from nba_engine.models.inheriting import Tree, _common, _evidence, _inheritance
from nba_engine.models.probit import Probit
from tests.naive.inheriting import log_evidence

N_FEATURES = 9
TWO_GROUPS = np.array([[0, 1, 2, 4, -1], [0, 1, 2, 5, -1], [0, 1, 2, 6, -1], [0, 1, 3, 7, -1], [0, 1, 3, 8, -1]], np.int32)
ALIKE = np.array([0.0, 1.0, -1.0, 0.5, -0.5, 1.0, -1.0, 0.8, -0.8])


def taught(model, effects, n=600, seed=0):
    """Teach candidate -> coefficients float64[N_FEATURES] from n outcomes each."""
    rng = np.random.default_rng(seed)
    index = np.arange(N_FEATURES, dtype=np.int32)
    for _ in range(n):
        for candidate, effect in effects.items():
            value = np.concatenate([[1.0], rng.normal(size=N_FEATURES - 1)])
            model.update(index, value, N_FEATURES, candidate, float(rng.normal() < value @ effect))
    return model


def propensities(model, value):
    mean, deviation = np.zeros(len(TWO_GROUPS)), np.zeros(len(TWO_GROUPS))
    model.score(model.scratch(1), np.arange(N_FEATURES, dtype=np.int32)[None], value[None], np.array([N_FEATURES]), np.array([0, len(TWO_GROUPS)]),
                np.arange(len(TWO_GROUPS), dtype=np.int32), mean, deviation)
    return mean, deviation


def made(effects, **more):
    return taught(Probit(N_FEATURES, TWO_GROUPS, 10), effects, **more)


def test_evidence_is_that_of_the_normal_model():
    """Siblings' estimates l = shift / precision are N(0, [1 / precision + spread] I + common 1 1'): differences of scipy's log density."""
    precision, estimate = np.array([[4.0], [9.0], [1.0]]), np.array([[0.3], [0.5], [-0.1]])
    commons = np.array([0.0, 0.2, 0.7])

    def exact(spread, common):
        covariance = np.diag(1.0 / precision[:, 0] + spread) + common
        return multivariate_normal(np.zeros(3), covariance).logpdf(estimate[:, 0])

    found = _evidence(precision, precision * estimate, np.array([0.1, 0.4]), commons)
    expected = np.array([[exact(spread, common) for common in commons] for spread in (0.1, 0.4)])
    assert found - found[0, 0] == pytest.approx(expected - expected[0, 0], abs=1e-9)


def test_evidence_equals_its_twin():
    """Many features, precisions whose product no number can hold, and features that nobody met."""
    rng = np.random.default_rng(2)
    precision = rng.exponential(1e4, (32, 90)) * rng.integers(0, 2, (32, 90))
    shift = rng.normal(size=(32, 90)) * np.sqrt(precision)
    spreads, commons = np.array([0.3, 0.02]), np.array([0.0, 0.1, 2.0])
    expected = [[log_evidence(precision, shift, spread, common) for common in commons] for spread in spreads]
    assert _evidence(precision, shift, spreads, commons) == pytest.approx(np.array(expected), rel=1e-9)


def test_the_common_part_by_hand():
    """Two siblings of precision 2 without spread, at 1 and 3, under N(0, 1): precision 1 + 4, mean 8 / 5."""
    mean, left = _common(np.array([[2.0], [2.0]]), np.array([[2.0], [6.0]]), 0.0, 1.0)
    assert mean[0] == pytest.approx(8 / 5)
    assert left[0] == pytest.approx(1 / 5)


def test_nothing_known_is_nothing_handed_down():
    start = _inheritance(np.full((2, 4), 1e-6), np.zeros((2, 4)), 0.1)
    assert np.all(start.mean == 0.0)
    assert 0.05 < start.variance < 0.12


def test_a_new_action_takes_after_its_group():
    model = made({0: ALIKE, 1: ALIKE})
    rng = np.random.default_rng(5)
    rows = [np.concatenate([[1.0], rng.normal(size=N_FEATURES - 1)]) for _ in range(200)]
    before = [propensities(model, row) for row in rows]
    model.inherit()
    after = [propensities(model, row) for row in rows]
    for candidate in (0, 1):
        assert [mean[candidate] for mean, _ in after] == [mean[candidate] for mean, _ in before]  # who knows something keeps it
    truth = [row @ ALIKE > 0 for row in rows]
    known, was = [mean[2] for mean, _ in after], [mean[2] for mean, _ in before]
    assert np.mean([(p > 0.5) == right for p, right in zip(known, truth, strict=True)]) > 0.95
    assert np.mean(np.abs(np.array(known) - 0.5)) > np.mean(np.abs(np.array(was) - 0.5)) + 0.1
    assert np.mean([d[2] for _, d in after]) < np.mean([d[2] for _, d in before])


def test_opposite_siblings_hand_down_no_direction():
    model = made({0: ALIKE, 1: -ALIKE})
    model.inherit()
    start = model.state()
    heir = start["entities"].tolist().index(6)
    assert np.max(np.abs(start["given"][heir, 1:] / start["narrowed"][heir, 1])) < 0.15


def test_a_group_inherits_from_the_other_groups_and_their_actions():
    model = Probit(N_FEATURES, np.vstack([TWO_GROUPS, [[0, 1, 9, 10, -1]]]).astype(np.int32), 11)
    taught(model, {0: ALIKE, 1: ALIKE, 3: ALIKE, 4: ALIKE})
    model.inherit()
    start = model.state()
    assert sorted(start["entities"].tolist()) == [6, 9]  # the third action of the first group, and the new group; entity 10 has no siblings
    given = start["given"][start["entities"].tolist().index(9)] / start["narrowed"][start["entities"].tolist().index(9), 1]
    assert np.corrcoef(given[1:], ALIKE[1:])[0, 1] > 0.9


def test_inheriting_twice_is_inheriting_once_and_survives_save_and_load():
    model = made({0: ALIKE, 1: ALIKE}, n=100)
    model.inherit()
    first = model.state()
    model.inherit()
    again = model.state()
    other = Probit(N_FEATURES, TWO_GROUPS, 10)
    other.load(again)
    row = np.linspace(0.5, 1.5, N_FEATURES)
    for name in ("sums", "entities", "given", "narrowed"):
        assert first[name].tobytes() == again[name].tobytes() == other.state()[name].tobytes()
    assert np.array_equal(propensities(model, row), propensities(other, row))


def test_heirs_share_a_column_until_an_outcome_tells_them_apart():
    """Scores after any mixture of inheriting, learning and taking back are those of a model that reads the same state afresh."""
    paths = np.array([[0, 1, 2, 3 + k, -1] for k in range(40)], np.int32)
    model, n_columns = Probit(N_FEATURES, paths, 43), []
    index, rng = np.arange(N_FEATURES, dtype=np.int32), np.random.default_rng(4)

    def scores(model):
        mean, deviation, value = np.zeros(40), np.zeros(40), np.linspace(-1.0, 1.0, N_FEATURES)[None]
        model.score(model.scratch(1), index[None], value, np.array([N_FEATURES]), np.array([0, 40]), np.arange(40, dtype=np.int32), mean, deviation)
        n_columns.append(posterior.n_columns(model._packed))
        return mean.tolist(), deviation.tolist()

    def update(candidate):
        return model.update(index, rng.normal(size=N_FEATURES), N_FEATURES, candidate, float(rng.random() < 0.7))

    for candidates in ([*[0, 1] * 40, 2], [2, 3], [30], list(range(5, 40)), [4]):
        receipts = [update(candidate) for candidate in candidates]
        model.inherit()
        receipts += [update(candidates[0])]
        model.take_back(receipts[0])
        afresh = Probit(N_FEATURES, paths, 43)
        afresh.load(model.state())
        assert scores(model) == scores(afresh)
    assert n_columns[0] == n_columns[1] == 1 + 3 + 3 + 1 and n_columns[-1] == 1 + 43


def test_what_is_inherited_is_not_told_on_as_own_experience():
    """An heir with one outcome of its own hardly changes what the next one is given."""
    model = made({0: ALIKE, 1: ALIKE})
    model.inherit()
    alone = model.state()["given"][0].copy()
    receipt = model.update(np.arange(N_FEATURES, dtype=np.int32), np.ones(N_FEATURES), N_FEATURES, 2, 1.0)
    assert model._siblings()._effects([6])[1][0, 1:] == pytest.approx(receipt.deltas[-1, 1:] / 2**24, abs=1e-6)
    model.take_back(receipt)
    model.inherit()
    assert np.array_equal(model.state()["given"][0], alone)


@pytest.mark.parametrize("n", [1, 2, 5, 22, 300])
def test_every_family_has_its_turn_and_few_have_it_at_once(n):
    """While the stock-takings double each family is served once, where it can be done two at a time; else in rotation."""
    paths = np.array([[0, 1 + f, 1 + n + f, -1, -1] for f in range(n - 1)] or [[0, 1, -1, -1, -1]], np.int32)
    tree = Tree(paths, np.ones(2 * n + 1))
    assert len(tree.families) == n
    served = [[tree.families.index(family) for family in tree.served(stock)] for stock in range(1, 1024)]
    assert max(map(len, served)) <= 2
    for doubled in (16, 64, 256):
        period = [family for families in served[doubled - 1 : 2 * doubled - 1] for family in families]
        assert len(period) == len(set(period)) == min(n, 2 * doubled)


def test_heirs_move_by_name():
    model = made({0: ALIKE, 1: ALIKE}, n=100)
    model.inherit()
    features, entities = [*range(N_FEATURES)], [*"gitabcdefx"]
    moved = carried(model.state(), Probit.axes, features, entities, features, ["new", *entities])
    assert moved["entities"].tolist() == (model.state()["entities"] + 1).tolist()
    assert np.array_equal(moved["given"], model.state()["given"])


def test_heirs_that_leave_take_their_inheritance_with_them():
    model = made({0: ALIKE, 1: ALIKE}, n=100)
    model.inherit()
    features, entities = [*range(N_FEATURES)], [*"gitabcdefx"]
    heirs = model.state()["entities"].tolist()
    leaves = heirs[0]
    stay = [name for i, name in enumerate(entities) if i != leaves]
    moved = carried(model.state(), Probit.axes, features, entities, features, stay)
    assert [stay[i] for i in moved["entities"].tolist()] == [entities[i] for i in heirs[1:]]
    assert np.array_equal(moved["given"], model.state()["given"][1:]) and np.array_equal(moved["narrowed"], model.state()["narrowed"][1:])
