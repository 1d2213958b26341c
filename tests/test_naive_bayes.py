"""Naive Bayes against its slow twin, bins by hand, and what analysts read off it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nba_engine.models import bins
from nba_engine.models import naive_bayes as fast
from nba_engine.models.naive_bayes import NaiveBayes
from nba_engine.models.rates import BASE_RATE
from nba_engine.models.rates import STRENGTH as RATE_STRENGTH
from tests.naive.naive_bayes import NaiveNaiveBayes

NUMBER, TEXT = ["hat -1", "hat +0", "hat +1"], ["#1", "#2", "#3", "other"]
NAMES = [("bias", ""), ("age", "z"), *(("age", b) for b in NUMBER), ("age", "null"), *(("plan", b) for b in TEXT), ("since", "sin hour"),
         ("rank", "2")]  # fmt: skip
PATHS = np.array([[0, -1, -1, 1, -1]], dtype=np.int32)
ONE = np.zeros(1, np.int32)
N_LEARNED = 2000


def encoded(row):
    """{fact: {bin: value}} as an encoder would write it."""
    pairs = [(0, 1.0), *((NAMES.index((fact, b)), x) for fact, shares in row.items() for b, x in shares.items())]
    index, value = zip(*pairs, strict=True)
    return np.array(index, np.int32), np.array(value), len(pairs)


def scored(model, row):
    index, value, n_active = encoded(row)
    mean, deviation = np.empty((2, 1))
    model.score(model.scratch(1), index[None], value[None], np.array([n_active]), np.array([0, 1]), ONE, mean, deviation)
    return float(mean[0]), float(deviation[0])


def random_row(rng):
    z = rng.uniform(-0.99, 0.99)
    low = int(z >= 0)
    age = {"null": 1.0} if rng.random() < 0.1 else {NUMBER[low]: 0.45 * (1 - z % 1.0), NUMBER[low + 1]: 0.45 * (z % 1.0)}
    return {"age": age, "plan": {str(rng.choice(TEXT, p=[0.5, 0.3, 0.15, 0.05])): 1.0}, **({"rank": {"2": 1.0}} if rng.random() < 0.3 else {})}


def chance(row):
    return 0.1 + 0.3 * ("#1" in row["plan"]) + 0.4 * row["age"].get("hat +1", 0.0)


def test_it_equals_its_twin_outcome_after_outcome():
    model = NaiveBayes(NAMES, PATHS, 2)
    naive = NaiveNaiveBayes({"age": NUMBER, "plan": [], "rank": []}, {"age": ["null"], "plan": TEXT, "rank": ["2"]}, fast.STRENGTH,
                            fast.SCORE_STRENGTH, fast.POOL_STRENGTH, fast.THIN, fast.APART, lambda score: int(fast._bin_of(score)))
    rng, n, positives = np.random.default_rng(4), 0, 0
    for step in range(150):
        row = random_row(rng)
        rate = (positives + RATE_STRENGTH * BASE_RATE) / (n + RATE_STRENGTH)
        if step % 15 == 0:
            assert scored(model, row) == pytest.approx(naive.propensity(row, rate, fast.N_SCORE_BINS), rel=1e-5)
        reward = float(rng.random() < chance(row))
        naive.learn(row, reward, rate)
        model.update(*encoded(row), 0, reward)
        n, positives = n + 1, positives + reward


def test_the_sign_of_a_bool_says_its_bin():
    """A bool comes as one number, above 0 for true; it counts as a category of two would."""
    names = [("bias", ""), ("vip", "false"), ("vip", "true"), ("vip", "null"), ("age", "z"), ("rank", "2")]
    signed, plain = NaiveBayes(names, PATHS, 2), NaiveBayes(names, PATHS, 2)
    rng = np.random.default_rng(6)

    def rows(vip):
        z, false, true = rng.normal(), (np.array([0, 1, 4], np.int32), 1.0), (np.array([0, 2, 4], np.int32), 1.0)
        index, value = true if vip else false
        return (np.array([0, 2, 4], np.int32), np.array([1.0, 1.1 if vip else -0.3, z]), 3), (index, np.array([1.0, value, z]), 3)

    for _ in range(300):
        vip = bool(rng.random() < 0.3)
        reward = float(rng.random() < (0.6 if vip else 0.1))
        one, other = rows(vip)
        signed.update(*one, 0, reward)
        plain.update(*other, 0, reward)
    assert signed.state()["bins"].tobytes() == plain.state()["bins"].tobytes()
    found = []
    for vip in (False, True):
        for model, (index, value, n_active) in zip((signed, plain), rows(vip), strict=True):
            mean, deviation = np.empty((2, 1))
            model.score(model.scratch(1), index[None], value[None], np.array([n_active]), np.array([0, 1]), ONE, mean, deviation)
            found.append(float(mean[0]))
    assert found[0] == found[1] < 0.2 < 0.5 < found[2] == found[3]
    assert signed.predictors(1)["vip"][0] == ["false", "true", "null"]


@cache
def learned():
    model, rng = NaiveBayes(NAMES, PATHS, 2), np.random.default_rng(5)
    for _ in range(N_LEARNED):
        row = random_row(rng)
        model.update(*encoded(row), 0, float(rng.random() < chance(row)))
    return model


def test_it_learns_rates_that_facts_multiply():
    model = learned()
    for age, plan in (({"hat -1": 0.45}, "#2"), ({"hat +1": 0.45}, "#1"), ({"hat +0": 0.45}, "#1")):
        row = {"age": age, "plan": {plan: 1.0}}
        assert scored(model, row)[0] == pytest.approx(chance(row), abs=0.08)


def test_what_analysts_read_off_it():
    model = learned()
    found = model.predictors(1)
    assert list(found) == ["age", "plan", "rank"]  # neither the straight line nor the circle of hours is a bin
    names, positives, negatives = found["plan"]
    assert names == TEXT
    assert positives.sum() + negatives.sum() == pytest.approx(N_LEARNED)
    assert bins.lift(positives, negatives)[0] > 1.2 > bins.lift(positives, negatives)[1]
    assert bins.z_ratio(positives, negatives)[0] > 10
    assert bins.auc(positives, negatives) > bins.auc(*found["rank"][1:])


def test_a_thin_category_counts_with_the_others_and_stands_alone_later():
    model = NaiveBayes(NAMES, PATHS, 2)
    rows = {b: encoded({"plan": {b: 1.0}}) for b in TEXT}
    for _ in range(15):
        model.update(*rows["#1"], 0, 1.0)
        model.update(*rows["#2"], 0, 0.0)
    places = [NAMES.index(("plan", b)) for b in TEXT]
    assert model._pooled[1, places].tolist() == [[15.0, 15.0]] * 4
    for _ in range(5):
        model.update(*rows["#1"], 0, 1.0)
    assert model._pooled[1, places].tolist() == [[20.0, 0.0], *[[0.0, 15.0]] * 3]


def test_neighbours_of_a_number_part_where_their_rates_differ():
    model = NaiveBayes(NAMES, PATHS, 2)
    for k in range(40):
        model.update(*encoded({"age": {"hat -1": 0.45}}), 0, float(k % 4 == 0))
        model.update(*encoded({"age": {"hat +0": 0.45}}), 0, float(k % 4 == 1))
        model.update(*encoded({"age": {"hat +1": 0.45}}), 0, float(k % 4 != 0))
    places = [NAMES.index(("age", b)) for b in NUMBER]
    assert model._pooled[1, places].tolist() == [[20.0, 60.0], [20.0, 60.0], [30.0, 10.0]]
