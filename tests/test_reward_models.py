"""Reward models: what they may know of a row, the bias of those that know too much, and how `run` takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor
from typer.testing import CliRunner

from nba_engine import cli
from nba_engine.errors import ReplayError
from nba_engine.replay import Log, estimate, run
from nba_engine.replay.pmfs import Pmf
from nba_engine.replay.reward_models import Situations, expected

_LOGGING, _CHANCE = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.4])
_TREE = DecisionTreeRegressor(random_state=0)


def _given(n: int = 400, seed: int = 1, n_subjects: int | None = None) -> Situations:
    """Facts say nothing of rewards; the target always chooses action 2."""
    random = np.random.default_rng(seed)
    action = random.choice(3, n, p=_LOGGING)
    reward = (random.random(n) < _CHANCE[action]) * 1.0
    age: list[float | None] = random.normal(size=n).tolist()
    age[3] = None
    homes = [f"h{k}" for k in random.integers(0, 5, n)]
    subject = np.arange(n) if n_subjects is None else random.integers(0, n_subjects, n)
    return Situations(pa.table({"age": age, "home": homes}), action, reward, subject, Pmf(n, np.arange(n), np.full(n, 2), np.ones(n)))


def _turned(given: Situations, rows: Any) -> Situations:
    reward = given.reward.copy()
    reward[rows] = 1 - reward[rows]
    return replace(given, reward=reward)


@pytest.mark.parametrize("model", ["progressive", _TREE])
def test_rows_are_answered_from_earlier_rows_only(model: Any) -> None:
    given = _given()
    q, v, note = expected(model, given, adaptive=True)
    for row in (0, 250):
        turned = expected(model, _turned(given, slice(row, None)), adaptive=True)
        assert (turned.q_logged[: row + 1] == q[: row + 1]).all() and (turned.q_target[: row + 1] == v[: row + 1]).all()
        assert (turned.q_target[row + 100 :] != v[row + 100 :]).any()
    assert "from rows before it" in note


@pytest.mark.parametrize("model", ["cross_fitted", _TREE])
def test_rows_are_answered_without_their_subject(model: Any) -> None:
    given = _given(n_subjects=40)
    q, v, note = expected(model, given, adaptive=False)
    own = given.subject == 5
    turned = expected(model, _turned(given, own), adaptive=False)
    assert (turned.q_logged[own] == q[own]).all() and (turned.q_target[own] == v[own]).all() and (turned.q_target[~own] != v[~own]).any()
    assert "5 folds of 40 subjects" in note


def test_what_is_expected_under_the_target_is_the_sum_over_its_actions() -> None:
    """A model that always says the mean of the other folds, and our own, whose word on two actions adds up to that on each."""
    given = _given()
    halves = Pmf(400, np.repeat(np.arange(400), 2), np.tile([0, 2], 400), np.full(800, 0.5))
    constant = expected(DummyRegressor(), replace(given, pmf=halves), adaptive=False)
    assert constant.q_target == pytest.approx(constant.q_logged) and len(np.unique(constant.q_logged)) == 5
    each = [expected("progressive", replace(given, pmf=replace(given.pmf, action=np.full(400, a))), adaptive=False).q_target for a in (0, 2)]
    both = expected("progressive", replace(given, pmf=halves), adaptive=False)
    assert both.q_target == pytest.approx((each[0] + each[1]) / 2)
    assert both.q_logged[given.action == 0] == pytest.approx(each[0][given.action == 0])


def test_a_classifier_is_asked_for_what_it_expects_and_a_single_class_is_that_reward() -> None:
    given = _given()
    found = expected(LogisticRegression(), given, adaptive=False)
    assert 0 < found.q_logged.min() < found.q_logged.max() < 1 and found.q_target.mean() == pytest.approx(0.4, abs=0.12)
    certain = expected(LogisticRegression(), replace(given, reward=np.full(400, 3.0)), adaptive=False)
    assert (certain.q_logged == 3).all() and (certain.q_target == 3).all()


@pytest.mark.slow
def test_a_model_that_knows_the_rows_it_is_asked_about_is_too_sure() -> None:
    """40 logs of 500 rows, a tree that learns every row by heart: 38 of the 95 % intervals should hold; asked about its own rows, some 18 fail."""
    n, n_held, n_held_by_heart = 500, 0, 0
    for seed in range(40):
        given = _given(n, seed)
        log = {"reward": given.reward, "p_log": _LOGGING[given.action], "p_target": (given.action == 2) * 1.0}
        q, v, _ = expected(_TREE, given, adaptive=False)
        n_held += _holds(estimate("dr", **log, q_logged=q, q_target=v).interval)
        facts = np.stack([np.nan_to_num(given.facts.column("age").to_numpy()), given.action], axis=1)
        by_heart = DecisionTreeRegressor(random_state=0).fit(facts, given.reward)
        under_target = by_heart.predict(np.stack([facts[:, 0], np.full(n, 2)], axis=1))
        n_held_by_heart += _holds(estimate("dr", **log, q_logged=by_heart.predict(facts), q_target=under_target).interval)
    assert n_held >= 35 and n_held_by_heart <= 26


def _holds(interval: tuple[float, float]) -> bool:
    return interval[0] <= _CHANCE[2] <= interval[1]


# Through `run`.


def _columns(**more: Any) -> dict[str, Any]:
    given = _given()
    names = np.array(["club", "card", "loan"])[given.action]
    columns = {"reward": given.reward, "p_log": _LOGGING[given.action], "action": names.tolist(), "pmf_target": [{"card": 0.5, "loan": 0.5}] * 400,
               "age": given.facts.column("age"), "home": given.facts.column("home"), "subject": [f"s{i}" for i in range(400)]}  # fmt: skip
    return columns | more


def test_run_brings_the_estimators_of_a_model() -> None:
    seen: list[tuple[int, int | None]] = []
    report = run(Log.read(_columns()), reward_model=LogisticRegression(), facts=["age", "home"], progress=lambda done, n: seen.append((done, n)))
    assert [one.estimator for one in report.estimates] == ["snips", "ips", "cressie_read", "maximum_likelihood", "dr", "sndr", "dm"]
    value = {one.estimator: one for one in report.estimates}
    assert abs(value["dr"].value - 0.35) < 4 * value["dr"].std_error and "LogisticRegression, 5 folds of 400 subjects" in report.notes[0]
    assert seen[-1] == (5, 5)
    own = run(Log.read(_columns()), reward_model="progressive", facts=["age", "home"])
    assert abs(own.estimates[4].value - 0.35) < 4 * own.estimates[4].std_error and "each row answered from rows before it" in own.notes[0]


def test_a_log_is_known_to_have_learned_by_its_beliefs_or_by_word() -> None:
    columns = {name: column for name, column in _columns().items() if name != "pmf_target"} | {"p_target": np.full(400, 0.3)}
    plain, said = run(Log.read(columns)), run(Log.read(columns), adaptive=True)
    assert any("did not learn" in note for note in plain.notes) and not any("did not learn" in note for note in said.notes)
    kept = {name: columns[name] for name in ("reward", "p_log", "p_target")}
    assert said.estimates[:2] == (estimate("snips", **kept, adaptive=True), estimate("ips", **kept, adaptive=True))
    known = run(Log.read(columns | {"beliefs_version": np.arange(400)}))
    assert known.estimates == said.estimates and "maximum_likelihood" not in [one.estimator for one in known.estimates]
    still = run(Log.read(columns | {"beliefs_version": np.zeros(400)}))
    assert still.estimates == plain.estimates and not any("did not learn" in note for note in still.notes)
    order = np.random.default_rng(2).permutation(400)
    shuffled = {name: np.asarray(column)[order] for name, column in kept.items()} | {"at": np.arange(400)[order] * 1_000_000}
    found = run(Log.read(shuffled), adaptive=True).estimates[0]
    assert (found.value, found.interval) == (said.estimates[0].value, pytest.approx(said.estimates[0].interval))


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"action": ["club", None] * 200}, {"reward_model": "progressive"}, "200 rows name no action"),
        ({}, {"reward_model": "magic"}, "'magic'; give 'progressive', 'cross_fitted' or a scikit-learn"),
        ({}, {"reward_model": 3}, "of type int, which has no fit and predict"),
        ({}, {"reward_model": "progressive", "facts": None}, "say facts=.* known before the decision"),
        ({}, {}, "no reward model was given: give reward_model too"),
        ({}, {"reward_model": "progressive", "facts": ["agr"]}, "facts names 'agr', which the log does not have.*age"),
        ({}, {"reward_model": "cross_fitted", "adaptive": True}, "learns from later rows"),
        ({"reward": np.full(400, 60.0)}, {"reward_model": "progressive"}, "rewards reach from 60 to 60"),
        ({"subject": ["s"] * 400}, {"reward_model": "cross_fitted"}, "two subjects at least"),
        ({"age": [["a"]] * 400}, {"reward_model": _TREE}, "fact age holds lists"),
        ({"age": [{"a": 1}] * 400}, {"reward_model": _TREE}, "which no reward model reads"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused(change: dict[str, Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        run(Log.read(_columns(**change)), **{"facts": ["age"], **options})


def test_a_model_needs_the_targets_whole_law() -> None:
    columns = {name: column for name, column in _columns().items() if name != "pmf_target"} | {"p_target": np.full(400, 0.3)}
    with pytest.raises(ReplayError, match="no column pmf_target"):
        run(Log.read(columns), reward_model="progressive", facts=[])


def test_the_command_takes_a_model_and_whether_the_log_learned(tmp_path: Path) -> None:
    columns = _columns(p_target=np.full(400, 0.3))
    path = tmp_path / "log.parquet"
    parquet.write_table(pa.table(columns), path)
    asked = ["replay", str(path), "--json", "--adaptive", "--reward-model", "progressive", "--facts", "age,home"]
    result = CliRunner().invoke(cli.app, asked)
    expected_of = run(Log.read(path), adaptive=True, reward_model="progressive", facts=["age", "home"]).estimates
    found = json.loads(result.stdout)["estimates"]
    assert [one["estimator"] for one in found] == [one.estimator for one in expected_of] == ["snips", "ips", "cressie_read", "dr", "sndr", "dm"]
    assert [one["value"] for one in found] == pytest.approx([one.value for one in expected_of])
