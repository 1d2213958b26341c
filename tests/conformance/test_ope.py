"""Every estimator against obp 0.5.7 and vw-estimators 0.2.2 on Open Bandit, Hillstrom and a synthetic log (../shared/conformance/ope)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nba_engine.replay import ESTIMATORS, bernstein_interval, confidence_sequence, estimate, estimate_slates, tune
from nba_engine.replay.importance import target_reward

_SHARED = Path(__file__).resolve().parents[3] / "shared"
_OPE = _SHARED / "conformance" / "ope"

pytestmark = pytest.mark.skipif(not _OPE.exists(), reason=f"the conformance material is not here ({_OPE})")

_CASES: dict[str, Any] = json.loads((_OPE / "reference.json").read_text())["ope_cases"] if _OPE.exists() else {}
_OURS = {"ipw": "ips", "snipw": "snips", "ipw_clip": "clipped_ips", "sg_ipw": "sg_ips", "dr_clip": "clipped_dr"}


def _table(path: Path) -> dict[str, np.ndarray]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


@cache
def _columns(case: str) -> dict[str, np.ndarray]:
    if case.startswith("hillstrom"):
        return _hillstrom(case)
    if case == "synthetic_good_logging":
        log = _table(_OPE / f"{case}.parquet")
        n_actions = sum(name.startswith("pi_e") for name in log)
        pmf, q = (np.stack([log[f"{prefix}{a}"] for a in range(n_actions)], axis=1).astype(float) for prefix in ("pi_e", "q_hat"))
    else:
        log = _table(_OPE / f"{case.removesuffix('_logreg4000')}.parquet")
        tables = _table(_OPE / f"{case.removesuffix('_logreg4000')}_tables.parquet")
        pmf, q = (_wide(tables, name)[log["position"]] for name in ("pi_e", "q_hat"))
        if case.endswith("_logreg4000"):
            fitted = _table(_OPE / f"{case}_q.parquet")
            q = np.stack([fitted[f"q{a}"] for a in range(pmf.shape[1])], axis=1).astype(float)
            pmf, log = pmf[:4_000], {name: column[:4_000] for name, column in log.items()}
    return _logged(log["action"], log["reward"], log["pscore"], pmf, q)


def _wide(tables: dict[str, np.ndarray], name: str) -> np.ndarray:
    """float64[n_positions, n_actions]"""
    wide = np.full((3, int(tables["action"].max()) + 1), np.nan)
    wide[tables["position"], tables["action"]] = tables[name]
    return wide


def _hillstrom(case: str) -> dict[str, np.ndarray]:
    log = _table(_SHARED / "data" / "hillstrom.parquet")
    arms = ["No E-Mail", "Mens E-Mail", "Womens E-Mail"]
    action = np.array([arms.index(arm) for arm in log["segment"]])
    reward = log["visit"].astype(float)
    chosen = {
        "always_none": np.zeros(len(action), int),
        "always_mens": np.ones(len(action), int),
        "always_womens": np.full(len(action), 2),
        "past_category": np.where((log["womens"] == 1) & (log["mens"] == 0), 2, 1),
    }[case.removeprefix("hillstrom_visit_")]
    segments, code = np.unique(log["history_segment"].astype(str), return_inverse=True)
    q = np.array([[reward[(code == s) & (action == a)].mean() for a in range(3)] for s in range(len(segments))])[code]
    return _logged(action, reward, np.full(len(action), 1 / 3), np.eye(3)[chosen], q)


def _logged(action: np.ndarray, reward: np.ndarray, p_log: np.ndarray, pmf: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.arange(len(action))
    return {"reward": reward, "p_log": p_log, "p_target": pmf[rows, action], "q_logged": q[rows, action], "q_target": target_reward(pmf, q)}


def _split(theirs: str) -> tuple[str, float | None]:
    name, number = re.fullmatch(r"(.*?)_?([\d.]+)?", theirs).groups()
    return _OURS.get(name, name), None if number is None else float(number)


_PAIRS = [(case, theirs) for case, results in _CASES.items() for theirs in results["obp_0_5_7"] if "tuned" not in theirs and theirs != "replay"]


@pytest.mark.parametrize(("case", "theirs"), _PAIRS)
def test_values_and_errors_are_those_of_obp(case: str, theirs: str) -> None:
    expected = _CASES[case]["obp_0_5_7"][theirs]
    name, number = _split(theirs)
    found = estimate(name, **_columns(case), **({} if number is None else {ESTIMATORS[name].parameter: number}))
    assert found.value == pytest.approx(expected["value"], rel=1e-9)
    if name not in ("snips", "sndr"):  # theirs treats the mean weight as a constant; see the test below
        assert found.std_error == pytest.approx(expected["round_std_ddof1"] / np.sqrt(found.n), rel=1e-9)
        assert found.interval == pytest.approx(expected["normal_ci95_from_rounds"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", _CASES)
def test_weights_are_those_of_obp(case: str) -> None:
    expected, found = _CASES[case], estimate("snips", **_columns(case))
    assert (found.n, found.ess, found.max_importance_weight) == pytest.approx((expected["n"], expected["ess"], expected["max_weight"]), rel=1e-9)
    assert expected["vw_estimators_0_2_2"]["snips"] == pytest.approx(found.value, rel=1e-9)


_TUNED = [(case, theirs) for case, results in _CASES.items() for theirs in results["obp_0_5_7"] if "tuned" in theirs]


@pytest.mark.parametrize(("case", "theirs"), _TUNED)
def test_tuned_values_are_those_of_obp(case: str, theirs: str) -> None:
    """Which of several candidates with the same value they report depends on their sorting; the value does not."""
    expected = _CASES[case]["obp_0_5_7"][theirs]
    name, by = re.fullmatch(r"(.*)_tuned_(slope|mse)", theirs).groups()
    name = {"ipw": "clipped_ips"}.get(name, _OURS.get(name, name))
    found = tune(name, by=by, **_columns(case))
    assert found.estimate.value == pytest.approx(expected["value"], rel=1e-9)
    same = estimate(name, **_columns(case), **{ESTIMATORS[name].parameter: float(expected["best_lambda"])})
    assert found.parameter == float(expected["best_lambda"]) or same.value == pytest.approx(found.estimate.value, rel=1e-12)


@pytest.mark.parametrize(("name", "theirs"), [("ips", "ips"), ("cressie_read", "cressieread"), ("maximum_likelihood", "mle")])
@pytest.mark.parametrize("case", _CASES)
def test_likelihoods_are_those_of_vw(case: str, name: str, theirs: str) -> None:
    assert estimate(name, **_columns(case)).value == pytest.approx(_CASES[case]["vw_estimators_0_2_2"][theirs], rel=1e-9)


@pytest.mark.parametrize("case", ["obd_random_to_bts_men", "obd_bts_to_random_men", "synthetic_good_logging", "hillstrom_visit_past_category"])
def test_self_normalised_errors_are_the_bootstraps(case: str) -> None:
    """The delta method against 400 draws of whole rows (obp's own intervals hold the mean weight fixed, which is wrong where rewards are large)."""
    columns = _columns(case)
    w, r = columns["p_target"] / columns["p_log"], columns["reward"]
    random = np.random.default_rng(7)
    times_drawn = random.poisson(1.0, (400, len(w)))
    drawn = times_drawn @ (w * r) / (times_drawn @ w)
    assert estimate("snips", **columns).std_error == pytest.approx(drawn.std(), rel=0.15)


_SLATES: dict[str, Any] = json.loads((_OPE / "reference.json").read_text())["slate"] if _OPE.exists() else {}


@pytest.mark.parametrize("case", _SLATES)
@pytest.mark.parametrize("name", ["sips", "iips", "rips", "sn_sips", "sn_iips", "sn_rips", "pseudo_inverse"])
def test_slates_are_those_of_obp_and_vw(case: str, name: str) -> None:
    log, expected = _table(_OPE / f"{case}.parquet"), _SLATES[case]
    wide = {key: column.reshape(expected["n_slates"], -1).astype(float) for key, column in log.items()}
    assert (wide["position"] == np.arange(wide["position"].shape[1])).all()
    kind = "item_position" if name.endswith("iips") or name == "pseudo_inverse" else "cascade"
    p_log, p_target = wide[f"pscore_{kind}"], wide[f"eval_pscore_{kind}"]
    if kind == "cascade":  # of the slate down to each rank; ours are of each rank, given what stands before
        p_log, p_target = (np.concatenate((p[:, :1], p[:, 1:] / p[:, :-1]), axis=1) for p in (p_log, p_target))
    found = estimate_slates(name, reward=wide["reward"], p_log=p_log, p_target=p_target)
    theirs = expected["vw_pseudo_inverse"] if name == "pseudo_inverse" else expected["obp_0_5_7"][name.replace("_", "")]
    assert found.value == pytest.approx(theirs, rel=1e-9)
    if name == "pseudo_inverse":
        assert found.interval == pytest.approx(expected["vw_pseudo_inverse_gaussian95"], rel=1e-9)
    assert abs(found.value - expected["true_value"]) < 4 * found.std_error


_ANYTIME: dict[str, Any] = json.loads((_OPE / "reference.json").read_text())["anytime"] if _OPE.exists() else {}


@pytest.mark.parametrize("case", _ANYTIME)
def test_anytime_bounds_are_no_wider_than_the_narrowest_of_the_reference(case: str) -> None:
    expected, columns = _ANYTIME[case]["at"], _columns(case)
    columns = {name: columns[name] for name in ("reward", "p_log", "p_target")}
    found = confidence_sequence(**columns, at=[int(n) for n in expected], level=1 - _ANYTIME[case]["alpha"])
    for theirs, low, high in zip(expected.values(), found.low, found.high, strict=True):
        assert low <= theirs["ips"] <= high
        assert high - low <= min(bounds[1] - bounds[0] for bounds in theirs.values() if isinstance(bounds, list))


@pytest.mark.parametrize("case", [case for case in _CASES if case.startswith("hillstrom")])
def test_bernstein_is_that_of_obp(case: str) -> None:
    """Theirs is one-sided at 95 %, which is ours at 90 %; rewards are 0 or 1 and w is 0 or 3."""
    columns = {name: _columns(case)[name] for name in ("reward", "p_log", "p_target")}
    found = bernstein_interval("ips", bounds=(0.0, 3.0), **columns, level=0.9)
    assert found[0] == pytest.approx(_CASES[case]["obp_0_5_7"]["ipw"]["lower95_bernstein"], rel=1e-9)
