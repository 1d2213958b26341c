"""Logs that do not fit what they are said to be: probabilities that were not drawn from, rewards far from 0, columns of odd makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nba_engine.errors import ReplayError
from nba_engine.replay import Log, confidence_sequence, estimate, estimate_slates, run


@pytest.mark.parametrize("name", ["snips", "ips", "cressie_read"])
@pytest.mark.parametrize(("factor", "n"), [(1.02, 100_000), (1.05, 5_000), (1.1, 5_000), (1.5, 600), (2.0, 20_000)])
def test_probabilities_told_too_small_do_not_make_the_interval_of_a_learner_s_log_narrow(name: str, factor: float, n: int) -> None:
    """Bets would be won by the importance weights alone, and rule everything out."""
    random = np.random.default_rng(7)
    log = {"reward": (random.random(n) < 0.3) * 1.0, "p_log": np.full(n, 0.5 / factor), "p_target": random.choice([0.4, 0.6], n)}
    found, plain = estimate(name, **log, adaptive=True), estimate(name, **log)
    assert found.interval[1] - found.interval[0] == pytest.approx(plain.interval[1] - plain.interval[0], rel=0.1)
    assert "the importance weights are larger than true ones can be" in found.warnings[-1]
    assert any("the mean importance weight is" in warning for warning in found.warnings)
    if factor == 2.0:
        sequence = confidence_sequence(**log, at=[n])
        assert sequence.low[0] > sequence.high[0]  # as its docstring says of such logs


def test_nor_that_of_slates() -> None:
    random = np.random.default_rng(7)
    log = {"reward": (random.random((2_000, 3)) < 0.9) * 1.0, "p_log": np.full((2_000, 3), 0.25), "p_target": np.full((2_000, 3), 0.5)}
    found = estimate_slates("iips", **log, adaptive=True)
    assert found.interval == estimate_slates("iips", **log).interval and "larger than true ones can be" in found.warnings[-1]


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e4, 1e5, 1e7, 1e80])
def test_degrees_of_freedom_of_rewards_far_from_zero(mean: float) -> None:
    """Where too few digits are left to tell them by the rows' influences, they are those of the importance weights."""
    random = np.random.default_rng(0)
    p_log = random.choice([0.05, 0.25, 0.7], 1_500, p=[0.05, 0.25, 0.7])
    log, noise = {"p_log": p_log, "p_target": np.full(1_500, 1 / 3)}, random.normal(size=1_500)
    found = estimate("snips", reward=mean + noise, **log, adaptive=True)
    quantile = (found.interval[1] - found.value) / found.std_error if found.std_error else 2.0
    assert 1.95 < quantile < 2.05  # some hundred rows of the largest weight, and more


def _read(tmp_path: Path, text: str, columns: dict[str, object]) -> Log:
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    (tmp_path / "columns.yaml").write_text(yaml.safe_dump(columns))
    return Log.read(tmp_path / "log.csv", tmp_path / "columns.yaml")


def test_one_column_of_a_csv_may_be_two_of_ours(tmp_path: Path) -> None:
    log = _read(tmp_path, "y,p\n" + "1,0.5\n0,0.25\n" * 50, {"reward": "y", "p_log": "p", "p_target": "p"})
    assert run(log).estimates[0].value == pytest.approx(0.5)


@pytest.mark.parametrize("cell", ["0.5\u00a0", "1_0", "\uff10.5"])
def test_a_number_that_only_python_reads_is_no_number(tmp_path: Path, cell: str) -> None:
    with pytest.raises(ReplayError, match="column p_log .*it must say"):
        run(_read(tmp_path, f"reward,p_log,p_target\n1,0.5,0.5\n0,{cell},0.5\n", {}))


def test_an_action_is_a_name_or_a_number() -> None:
    actions = pa.array([{"a": 1}, {"a": 2}])
    with pytest.raises(ReplayError, match="column action holds struct"):
        run(Log.read({"reward": [1, 0], "action": actions, "pmf_log": [[0.5, 0.5]] * 2, "pmf_target": [[0.5, 0.5]] * 2}))


def test_a_column_that_is_blank_for_the_first_megabyte_of_a_csv_has_the_type_of_what_follows(tmp_path: Path) -> None:
    text = "reward,p_log,p_target\n" + ",0.5,0.5\n" * 150_000 + "1,0.5,0.5\n" * 10
    assert run(_read(tmp_path, text, {})).estimates[0].value == pytest.approx(10 / 150_010)  # what never came back earned nothing


def test_shares_cannot_tell_a_law_that_learned() -> None:
    random = np.random.default_rng(1)
    table = {"reward": random.random(400), "action": random.choice(["a", "b"], 400), "at_home": random.random(400) < 0.5}
    report = run(Log.read(table | {"p_target": np.full(400, 0.5)}, {"chosen_by": ["at_home"]}), adaptive=True)
    assert any("shares of the log's own rows cannot tell one that learned" in note for note in report.notes)


def test_times_of_a_csv_need_their_zone(tmp_path: Path) -> None:
    log = _read(tmp_path, "reward,p_log,p_target,at\n" + "1,0.5,0.5,2026-03-02 12:00:00\n" * 40, {})
    with pytest.raises(ReplayError, match="column at: 2026-03-02T12:00:00 has no time zone; give times with their zone"):
        run(log, adaptive=True)


def test_as_much_without_support_as_is_allowed_is_allowed() -> None:
    log = {"reward": np.tile([1.0, 0.0], 500), "p_log": np.full(1_000, 0.5), "p_target": np.full(1_000, 0.475)}
    at_the_edge, beyond = (estimate("snips", **log, unsupported=np.full(1_000, share)) for share in (0.05, 0.0501))
    assert (at_the_edge.verdict, beyond.verdict) == ("ok", "refused")
