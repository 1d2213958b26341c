"""Estimators: by hand, against plain loops, against the law of merging, and the verdicts at their very thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine.errors import ReplayError
from nba_engine.replay import ESTIMATORS, Thresholds, estimate
from nba_engine.replay.estimators import choose_estimator, finish, fold, merge
from nba_engine.replay.importance import check_rows, target_reward, unsupported_mass
from tests.naive import estimators as naive

_PARAMETERS = {"clipped_ips": 1.5, "clipped_dr": 1.5, "switch_dr": 1.5, "dr_os": 2.0, "sg_ips": 0.25, "sg_dr": 0.25}
_OPTIONS = {name: {ESTIMATORS[name].parameter: number} for name, number in _PARAMETERS.items()}
_NAMES = sorted(ESTIMATORS)

# Four decisions with w = 2, 1, 0.5, 0.
_HAND = {
    "reward": [1.0, 0.0, 1.0, 1.0],
    "p_log": [0.25, 0.5, 0.5, 0.5],
    "p_target": [0.5, 0.5, 0.25, 0.0],
    "q_logged": [0.5, 0.5, 0.5, 0.5],
    "q_target": [0.5, 0.25, 0.5, 0.75],
}


def _estimate(name: str, columns: dict[str, object], **more: object):
    return estimate(name, **columns, **_OPTIONS.get(name, {}), **more)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ips", 2.5 / 4),
        ("clipped_ips", (1.5 + 0.5) / 4),
        ("snips", 2.5 / 3.5),
        ("dm", 2.0 / 4),
        ("dr", (2.0 + 1.0 - 0.5 + 0.25) / 4),
        ("clipped_dr", (2.0 + 0.75 - 0.5 + 0.25) / 4),
        ("sndr", 2.0 / 4 + 0.75 / 3.5),
        ("switch_dr", (2.0 - 0.5 + 0.25) / 4),
        ("dr_os", (2.0 + 0.5 * (2 * 2 / 6) - 0.5 * (2 / 3) + 0.5 * (1 / 2.25)) / 4),
        ("sg_ips", (2 / 1.25 + 0.5 / 0.875) / 4),
        ("sg_dr", (2.0 + 0.5 * 2 / 1.25 - 0.5 + 0.5 * 0.5 / 0.875) / 4),
        ("cressie_read", 2.5 / 4 + (1 - 3.5 / 4) * 3 / 4),  # the mean w is 3.5 / 4
        ("maximum_likelihood", 2.5 / 4 + (1 - 3.5 / 4) * 3 / 4),
    ],
)
def test_values_by_hand(name: str, expected: float) -> None:
    found = _estimate(name, _HAND)
    assert found.value == pytest.approx(expected, rel=1e-14)
    assert (found.estimator, found.n, found.max_importance_weight) == (name, 4, 2.0)
    assert found.ess == pytest.approx(3.5**2 / 5.25, rel=1e-14)


def test_the_standard_error_of_ips_is_that_of_a_mean() -> None:
    found = estimate("ips", reward=_HAND["reward"], p_log=_HAND["p_log"], p_target=_HAND["p_target"])
    terms = [2.0, 0.0, 0.5, 0.0]
    assert found.std_error == pytest.approx(float(np.std(terms, ddof=1)) / 2, rel=1e-14)
    assert found.interval == pytest.approx((found.value - 1.959963984540054 * found.std_error, found.value + 1.959963984540054 * found.std_error))


def test_the_delta_method_of_snips_by_hand() -> None:
    found = estimate("snips", reward=_HAND["reward"], p_log=_HAND["p_log"], p_target=_HAND["p_target"])
    influence = [w * (r - 2.5 / 3.5) / (3.5 / 4) for w, r in zip((2, 1, 0.5, 0), (1, 0, 1, 1), strict=True)]
    assert found.std_error == pytest.approx(math.sqrt(sum(x * x for x in influence) / 3 / 4), rel=1e-13)


@st.composite
def _logs(draw: st.DrawFn) -> dict[str, list[float]]:
    n = draw(st.integers(1, 30))

    def column(low: float, high: float) -> list[float]:
        return draw(st.lists(st.floats(low, high, allow_subnormal=False), min_size=n, max_size=n))

    return {
        "reward": column(-5, 5),
        "p_log": column(0.01, 1),
        "p_target": draw(st.lists(st.sampled_from([0.0, 0.001, 0.3, 0.5, 1.0]), min_size=n, max_size=n)),
        "q_logged": column(-5, 5),
        "q_target": column(-5, 5),
    }


@pytest.mark.parametrize("name", _NAMES)
@given(log=_logs(), cut=st.integers(0, 30), other_cut=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_folding_equals_plain_loops_and_merges(name: str, log: dict[str, list[float]], cut: int, other_cut: int) -> None:
    whole = _estimate(name, log)
    expected = naive.value(name, *log.values(), parameter=_PARAMETERS.get(name, math.nan))
    assert whole.value == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    assert whole.ess == pytest.approx(naive.effective_sample_size(naive.weights(log["p_log"], log["p_target"])), rel=1e-9)
    estimator, parameter = choose_estimator(name, _OPTIONS.get(name, {}))
    n = len(log["reward"])
    bounds = sorted({0, min(cut, n), min(other_cut, n), n})
    chunks = [{key: values[a:b] for key, values in log.items()} for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    sums = [fold(estimator, check_rows(**chunk), parameter) for chunk in chunks]
    total = sums[-1]
    for one in sums[-2::-1]:
        total = merge(total, one)  # backwards: order must not matter
    merged = finish(total)
    assert (merged.n, merged.max_importance_weight, merged.verdict) == (whole.n, whole.max_importance_weight, whole.verdict)
    assert merged.value == pytest.approx(whole.value, rel=1e-9, abs=1e-9, nan_ok=True)
    if math.isfinite(whole.std_error):
        assert merged.std_error == pytest.approx(whole.std_error, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", _NAMES)
def test_the_standard_error_agrees_with_the_jackknife(name: str) -> None:
    random = np.random.default_rng(5)
    n = 400
    p_log = random.uniform(0.1, 0.9, n)
    columns = [random.binomial(1, 0.3, n), p_log, random.uniform(0.1, 0.9, n), random.uniform(0, 1, n), random.uniform(0, 1, n)]
    log = dict(zip(_HAND, columns, strict=True))
    expected = naive.jackknife_error(name, [column.tolist() for column in columns], _PARAMETERS.get(name, math.nan))
    assert _estimate(name, log).std_error == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ips", "snips", "dr", "sndr"])
def test_intervals_cover(name: str) -> None:
    """600 logs of 1,000 rows; 95 % intervals, so 570 hits are expected and 548 to 590 pass (4 standard errors; false alarm 1 in 10,000)."""
    random = np.random.default_rng(11)
    logging, target, click = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.3, 0.4])
    model = np.array([0.25, 0.25, 0.35])
    n_covered = 0
    for _ in range(600):
        action = random.choice(3, 1_000, p=logging)
        reward = random.random(1_000) < click[action]
        found = estimate(
            name, reward=reward, p_log=logging[action], p_target=target[action], q_logged=model[action], q_target=np.full(1_000, target @ model)
        )
        n_covered += found.interval[0] <= target @ click <= found.interval[1]
    assert 548 <= n_covered <= 590


def test_parameters_at_their_limits_are_the_estimators_they_come_from() -> None:
    dr, dm = _estimate("dr", _HAND).value, _estimate("dm", _HAND).value
    assert estimate("switch_dr", **_HAND, threshold=2.0).value == pytest.approx(dr)
    assert estimate("switch_dr", **_HAND, threshold=0.0).value == pytest.approx(dm)
    assert estimate("dr_os", **_HAND, shrinkage=0.0).value == pytest.approx(dm)
    assert estimate("dr_os", **_HAND, shrinkage=1e12).value == pytest.approx(dr)
    assert estimate("sg_dr", **_HAND, smoothing=0.0).value == pytest.approx(dr)
    assert estimate("clipped_ips", **_HAND, max_importance_weight=2.0).value == pytest.approx(_estimate("ips", _HAND).value)


# Verdicts.


def _even(n: int, w: float = 1.0, **more: object):
    """n rows of the same importance weight: the effective sample size is n."""
    return estimate("ips", reward=np.arange(n) % 2, p_log=np.full(n, 0.5), p_target=np.full(n, 0.5 * w), **more)


@pytest.mark.parametrize(("n", "verdict"), [(1, "refused"), (29, "refused"), (30, "weak"), (299, "weak"), (300, "ok"), (10_000, "ok")])
def test_verdict_by_effective_sample_size(n: int, verdict: str) -> None:
    found = _even(n)
    assert found.verdict == verdict
    assert ("under 30:" in found.warnings[0]) == (n < 30)
    assert sum("support cannot be checked" in warning for warning in found.warnings) == 1


def test_an_interval_without_width_is_no_certainty() -> None:
    found = estimate("snips", reward=np.zeros(500), p_log=np.full(500, 0.5), p_target=np.full(500, 0.5))
    assert found.interval == (0.0, 0.0) and found.verdict == "ok" and "no certainty" in found.warnings[-1]


@pytest.mark.parametrize(("n_supported", "verdict"), [(99, "refused"), (100, "weak"), (4_999, "weak"), (5_000, "ok")])
def test_verdict_by_share_of_rows(n_supported: int, verdict: str) -> None:
    n = 100_000
    p_target = np.where(np.arange(n) < n_supported, 0.5, 0.0)
    assert estimate("snips", reward=np.zeros(n), p_log=np.full(n, 0.5), p_target=p_target).verdict == verdict


@pytest.mark.parametrize(("largest", "verdict"), [(105.0, "ok"), (106.0, "weak")])
def test_verdict_by_the_share_of_one_row(largest: float, verdict: str) -> None:
    w = np.ones(2_000)
    w[0] = largest  # of 1,999 + largest
    found = estimate("ips", reward=np.zeros(2_000), p_log=np.full(2_000, 0.005), p_target=0.005 * w)
    assert found.verdict == verdict and any("one row carries" in warning for warning in found.warnings) == (verdict == "weak")


@pytest.mark.parametrize(("unsupported", "verdict"), [(0.0, "ok"), (0.0499, "ok"), (0.0501, "refused")])
def test_verdict_by_support(unsupported: float, verdict: str) -> None:
    found = _even(1_000, unsupported=np.full(1_000, unsupported))
    assert found.verdict == verdict
    expected = ["could never be in the log"] * (unsupported > 0) + ["what would answer"] * (verdict == "refused")
    assert len(found.warnings) == len(expected) and all(text in warning for text, warning in zip(expected, found.warnings, strict=True))


def test_a_refused_estimate_reads_as_its_cause() -> None:
    assert str(_even(20)).startswith("refused: the effective sample size is 20.0 of 20 rows, under 30")
    assert str(_even(400)) == "0.5 [0.45094, 0.54906], effective sample size 400 of 400: ok"


def test_thresholds_are_options() -> None:
    assert _even(20, thresholds=Thresholds(ess_refused=10, ess_weak=20)).verdict == "ok"
    with pytest.raises(ReplayError, match="ess_share_weak"):
        Thresholds(ess_share_weak=1.5)


def test_wrong_logged_probabilities_are_noticed() -> None:
    random = np.random.default_rng(3)
    action = random.choice(2, 5_000, p=[0.8, 0.2])
    claimed, target = np.array([0.5, 0.5]), np.array([0.2, 0.8])
    found = estimate("snips", reward=np.zeros(5_000), p_log=claimed[action], p_target=target[action])
    assert any("may not be those that were drawn from" in warning for warning in found.warnings)
    true = estimate("snips", reward=np.zeros(5_000), p_log=np.array([0.8, 0.2])[action], p_target=target[action])
    assert not any("may not be those" in warning for warning in true.warnings)


def test_a_target_that_was_never_logged_is_refused_without_a_number() -> None:
    found = _even(1_000, w=0.0)
    assert found.verdict == "refused" and found.ess == 0.0 and found.value == 0.0
    found = estimate("snips", reward=[1, 0], p_log=[0.5, 0.5], p_target=[0, 0])
    assert math.isnan(found.value) and found.interval == (-math.inf, math.inf) and found.verdict == "refused"


# Bad input.


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reward": []}, "no rows"),
        ({"reward": [1.0]}, "p_log has 4 rows, reward has 1"),
        ({"reward": [1, math.nan, 0, 0]}, "reward is nan in row 1"),
        ({"p_log": [0.5, 0.0, 0.5, 0.5]}, "p_log is 0.0 in row 1"),
        ({"p_log": [0.5, 0.5, 1.1, 0.5]}, "p_log is 1.1 in row 2"),
        ({"p_target": [-0.1, 0, 0, 0]}, "p_target is -0.1 in row 0"),
        ({"p_target": [math.inf, 0, 0, 0]}, "finite"),
        ({"q_logged": None}, "needs a reward model"),
        ({"q_target": ["a", "b", "c", "d"]}, "q_target cannot be read as numbers"),
        ({"reward": [[1.0, 0.0, 1.0, 1.0]]}, "2 dimensions"),
        ({"unsupported": [2.0, 0, 0, 0]}, "unsupported is 2.0"),
        ({"shrinkage": 1.0}, "takes no shrinkage"),
    ],
)
def test_bad_columns_are_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        estimate("dr", **(_HAND | change))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("magic", {}, "there is no estimator 'magic'"),
        ("clipped_ips", {}, "needs max_importance_weight"),
        ("dr_os", {"shrinkage": -1.0}, "shrinkage is -1.0"),
        ("sg_ips", {"smoothing": 1.0}, "smoothing is 1.0"),
        ("switch_dr", {"threshold": math.nan}, "threshold is nan"),
        ("dr_os", {"threshold": 1.0}, "its parameter is shrinkage"),
    ],
)
def test_bad_parameters_are_refused(name: str, options: dict[str, float], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        estimate(name, **_HAND, **options)


def test_sums_of_different_estimators_do_not_merge() -> None:
    rows = check_rows(**_HAND)
    with pytest.raises(ReplayError, match="cannot be merged"):
        merge(fold(ESTIMATORS["ips"], rows), fold(ESTIMATORS["snips"], rows))
    with pytest.raises(ReplayError, match="cannot be merged"):
        merge(fold(ESTIMATORS["dr_os"], rows, 1.0), fold(ESTIMATORS["dr_os"], rows, 2.0))


def test_pmfs_of_both_sides() -> None:
    assert unsupported_mass([[1.0, 0.0], [0.5, 0.5]], [[0.25, 0.75], [0.5, 0.5]]) == pytest.approx([0.75, 0.0])
    assert target_reward([[0.2, 0.6]], [[1.0, 0.5]]) == pytest.approx([0.5 / 0.8])
    with pytest.raises(ReplayError, match="pmf_target"):
        unsupported_mass([[1.0, 0.0]], [[0.5, 0.4]])
    with pytest.raises(ReplayError, match="shape"):
        unsupported_mass([[1.0, 0.0]], [[1.0]])


# What would answer.


def test_a_refusal_says_what_log_would_answer() -> None:
    """2 of 10,000: one decision in 5,000 was what the target would choose. Where a twentieth is drawn as the target would, w is 20 at most."""
    p_target = np.zeros(10_000)
    p_target[:2] = 1.0
    found = estimate("snips", reward=np.arange(10_000) % 2, p_log=np.full(10_000, 0.0002), p_target=p_target)
    assert (found.verdict, found.ess) == ("refused", 2.0) and "effective sample size is 2.0 of 10000 rows, under 30" in str(found)
    answer = found.warnings[1]
    assert answer.startswith("what would answer: 10,000 decisions of which 5.0% are drawn as the target would") and "or some" not in answer
    few = _even(20)
    assert "answer: 600 decisions of which 50.0% are drawn" in few.warnings[1] and "or some 300 decisions logged as these" in few.warnings[1]
    assert "no log, under thresholds that none can reach" in _even(1_000, thresholds=Thresholds(ess_refused=math.inf)).warnings[1]
    unsupported = estimate("ips", reward=np.arange(1_000) % 2, p_log=np.ones(1_000), p_target=np.full(1_000, 0.5), unsupported=np.full(1_000, 0.5))
    assert "what would answer: 1,000 decisions of which 30.0%" in unsupported.warnings[1] and "or some" not in unsupported.warnings[1]


def test_the_log_that_would_answer_does() -> None:
    """The log of the refusal above with a twentieth drawn as the target would: two actions, the target always takes the rare one."""
    rare = np.random.default_rng(1).random(10_000) < 0.95 * 0.0002 + 0.05
    p_log = np.where(rare, 0.95 * 0.0002 + 0.05, 1 - 0.95 * 0.0002 - 0.05)
    found = estimate("snips", reward=np.arange(10_000) % 2, p_log=p_log, p_target=rare * 1.0)
    assert found.ess >= 450 and found.verdict in ("ok", "weak") and found.max_importance_weight < 20
