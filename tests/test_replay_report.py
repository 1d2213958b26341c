"""Whole logs judged: from Python, and by `nba replay` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from nba_engine import cli
from nba_engine.catalog.catalog import Catalog
from nba_engine.errors import ReplayError
from nba_engine.replay import Log, bootstrap_interval, estimate, run, targets
from nba_engine.replay.progressive import LoggedOffer, progressive

_CATALOG = """\
facts: {age: int}
outcomes: {accepted: {reward: 1}, declined: {reward: 0}}
actions:
  - {id: club}
  - {id: card, eligibility: ["age >= 18"]}
"""


def _columns(n: int = 2_000) -> dict[str, np.ndarray]:
    random = np.random.default_rng(6)
    p_log, p_target = random.choice([0.25, 0.5], n), random.choice([0.2, 0.5], n)
    return {"reward": random.binomial(1, 0.3, n).astype(float), "p_log": p_log, "p_target": p_target}


def _asked(n: int = 60) -> dict[str, list[object]]:
    random = np.random.default_rng(7)
    action = random.choice(["club", "card"], n).tolist()
    at = [1_700_000_000_000_000 + 1_000_000 * i for i in range(n)]
    return {"reward": random.binomial(1, 0.4, n).tolist(), "p_log": [0.5] * n, "action": action, "at": at, "age": random.integers(10, 60, n).tolist()}


def _nba(*arguments: object) -> object:
    return CliRunner().invoke(cli.app, ["replay", *map(str, arguments)])


def _written(path: Path, columns: dict[str, object]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_intervals_by_subject_are_those_of_the_bootstrap(tmp_path: Path) -> None:
    """200 subjects of 10 rows that resemble each other: intervals are wider than rows would say, for every estimator and for the log itself."""
    subject = np.repeat(np.arange(200), 10)
    columns = _columns() | {"subject": np.char.add("s", subject.astype(str))}
    columns["reward"] = (np.random.default_rng(8).random(2_000) < np.random.default_rng(9).uniform(0, 0.6, 200)[subject]) * 1.0
    plain, report = run(Log.read(columns)), run(Log.read(columns), by_subject=True)
    assert [one.estimator for one in report.estimates] == ["snips", "ips", "cressie_read"]
    for one, other in zip(report.estimates, plain.estimates, strict=False):
        alone = bootstrap_interval(one.estimator, subject=subject, **{key: columns[key] for key in ("reward", "p_log", "p_target")})
        assert (one.value, one.verdict) == (other.value, other.verdict) and one.std_error > 1.1 * other.std_error
        assert one.interval == pytest.approx(alone, rel=1e-12)
    assert report.logged.std_error > 1.1 * plain.logged.std_error
    assert any("1,000 draws of 200 whole subjects" in note for note in report.notes)
    assert any("where subjects come back, ask for them by subject" in note for note in plain.notes)
    told = json.loads(_nba(_written(tmp_path / "log.parquet", columns), "--by-subject", "--json").stdout)
    assert told["estimates"][0]["interval"] == pytest.approx(report.estimates[0].interval)
    with pytest.raises(ReplayError, match="no column subject"):
        run(Log.read(_columns()), by_subject=True)
    with pytest.raises(ReplayError, match="each depends on all before it"):
        run(Log.read(columns), by_subject=True, adaptive=True)
    with pytest.raises(ReplayError, match="take cressie_read"):
        run(Log.read(columns), by_subject=True, estimators={"maximum_likelihood": None})
    silent = {key: column for key, column in columns.items() if key != "p_log"}
    assert run(Log.read(silent), by_subject=True).logged == report.logged


def test_a_report_is_its_estimates() -> None:
    columns = _columns()
    report = run(Log.read(columns))
    assert [one.estimator for one in report.estimates] == ["snips", "ips", "cressie_read", "maximum_likelihood"]
    assert report.estimates[0] == estimate("snips", **columns) and report.verdict == "ok" and report.logged.value == columns["reward"].mean()
    w = columns["p_target"] / columns["p_log"]
    assert (report.tail.median, report.tail.quantile_99, report.tail.largest) == (np.median(w), 2.0, 2.0)
    assert report.tail.top_percent_share == pytest.approx(20 * 2 / w.sum())
    table = report.table()
    assert table.column_names[:5] == ["estimator", "value", "std_error", "low", "high"] and table.num_rows == 4
    assert table.column("low")[0].as_py() == report.estimates[0].interval[0]


def test_a_reward_model_in_the_log_brings_its_estimators() -> None:
    columns = _columns() | {"q_logged": np.full(2_000, 0.3), "q_target": np.full(2_000, 0.3)}
    report = run(Log.read(columns))
    assert [one.estimator for one in report.estimates[4:]] == ["dr", "sndr", "dm"] and report.estimates[4] == estimate("dr", **columns)


def test_of_slates_the_first_rank_is_judged_and_the_rest_is_counted() -> None:
    columns = _columns()
    slates = {name: np.repeat(column, 2) for name, column in columns.items()} | {"rank": np.tile([1, 2], 2_000)}
    report = run(Log.read(slates))
    assert report.estimates == run(Log.read(columns)).estimates and report.notes[0].startswith("2000 rows stood below rank 1")


def test_a_catalog_is_asked_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "LEARNED_SHARE", 10_000)  # every row is asked for by itself
    columns, catalog = _asked(), Catalog.from_dict(
        {"facts": {"age": "int"}, "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}},
         "actions": [{"id": "club"}, {"id": "card", "eligibility": ["age >= 18"]}]}
    )  # fmt: skip
    ordered = [LoggedOffer(at, {"age": age}, action, reward) for reward, _, action, at, age in zip(*columns.values(), strict=True)]
    expected = estimate("snips", reward=columns["reward"], p_log=columns["p_log"], p_target=progressive(catalog, ordered))
    backwards = {name: values[::-1] for name, values in columns.items()}
    report = run(Log.read(backwards), catalog)
    assert report.estimates[0].value == pytest.approx(expected.value, rel=1e-12) and "warming up" in report.notes[0]
    with pytest.raises(ReplayError, match="no column at"):
        run(Log.read({name: values for name, values in columns.items() if name != "at"}), catalog)
    with pytest.raises(ReplayError, match="rewards reach from 0 to 60"):
        run(Log.read(columns | {"reward": [60, *[0] * 59]}), catalog)


def test_the_command_prints_what_the_report_says(tmp_path: Path) -> None:
    columns = _columns()
    columns["p_log"][7] = 1.5
    path = _written(tmp_path / "log.parquet", columns)
    result = _nba(path)
    report = run(Log.read(path))
    assert result.exit_code == 0 and "verdict: ok" in result.stdout and f"{report.estimates[0].value:.6g}" in result.stdout
    assert "1,999 of 2,000 rows read" in result.stdout and "p_log lies outside (0, 1]" in result.stdout
    machine = json.loads(_nba(path, "--json").stdout)
    assert machine["estimates"][0]["value"] == report.estimates[0].value and machine["importance_weights"]["largest"] == 2.0
    assert (machine["verdict"], machine["n_read"], machine["findings"][0]["n"]) == ("ok", 2_000, 1)


def test_a_refused_verdict_is_exit_code_1(tmp_path: Path) -> None:
    columns = _columns(10_000)
    columns["p_target"][:] = 0.0
    columns["p_target"][:2] = 1.0
    result = _nba(_written(tmp_path / "log.parquet", columns))
    assert result.exit_code == 1 and "verdict: refused" in result.stdout and "too few logged decisions resemble" in " ".join(result.stdout.split())


def test_the_command_with_a_target_and_names_of_columns(tmp_path: Path) -> None:
    columns = _asked()
    columns["pscore"] = columns.pop("p_log")
    path, catalog, names = _written(tmp_path / "log.parquet", columns), tmp_path / "catalog.yaml", tmp_path / "names.yaml"
    catalog.write_text(_CATALOG)
    names.write_text("p_log: pscore\n")
    result = _nba(path, "--target", catalog, "--columns", names, "--json")
    report = run(Log.read(path, {"p_log": "pscore"}), Catalog.load(catalog))
    assert json.loads(result.stdout)["estimates"][0]["value"] == pytest.approx(report.estimates[0].value)
    assert result.exit_code == (1 if report.verdict == "refused" else 0)


def test_what_is_missing_is_wrong_use(tmp_path: Path) -> None:
    path = _written(tmp_path / "log.parquet", _asked())
    result = _nba(path)
    assert result.exit_code == 2 and "no column p_target" in result.stderr
    assert _nba(tmp_path / "nowhere.parquet").exit_code == 2
    assert "looks like it" in json.loads(_nba(_written(tmp_path / "b.parquet", {"reward": [1], "pscore": [0.5]}), "--json").stdout)["error"]


def test_chunks_without_a_row_to_judge_are_passed_over() -> None:
    p_log = np.full(600_000, 0.5)
    p_log[:300_000] = 7.0
    columns = {"reward": np.arange(600_000) % 2, "p_log": p_log, "p_target": np.full(600_000, 0.5)}
    assert run(Log.read(columns)).estimates[0].n == 300_000
    with pytest.raises(ReplayError, match="stood first in its slate"):
        run(Log.read({name: column[-10:] for name, column in columns.items()} | {"rank": [2] * 10}))
