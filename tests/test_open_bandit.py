"""The shipped Open Bandit files are the shared ones, and the act's figures are those of the reference."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from nba_engine.replay import open_bandit

_ROOT = Path(__file__).resolve().parents[1]
_SHARED = _ROOT.parent / "shared"
_needs_shared = pytest.mark.skipif(not (_SHARED / "conformance" / "ope").exists(), reason=f"the shared material is not here ({_SHARED})")


@pytest.fixture(scope="module")
def logs() -> tuple[open_bandit.OpenBanditLog, open_bandit.OpenBanditLog]:
    return open_bandit.load("random"), open_bandit.load("bts")


@pytest.fixture(scope="module")
def rows(logs: tuple[open_bandit.OpenBanditLog, open_bandit.OpenBanditLog]) -> list[open_bandit.Row]:
    return open_bandit.truth(*logs)


def test_the_logs_hold_what_they_say(logs: tuple[open_bandit.OpenBanditLog, open_bandit.OpenBanditLog]) -> None:
    for log, clicks in zip(logs, (46, 69), strict=True):
        assert len(log.at_us) == 10_000 and log.click.sum() == clicks and set(log.click) == {0.0, 1.0}
        assert (np.diff(log.at_us) >= 0).all() and log.at_us[0] > 1_574_553_600_000_000  # 24 November 2019
        assert set(log.position) == {1, 2, 3} and set(log.item) == set(range(34))
        assert (log.p_log > 0).all() and (log.p_log < 1).all()
        assert [len(log.user_features[f"user_feature_{i}"]) for i in range(4)] == [10_000] * 4
    assert logs[0].p_log == pytest.approx(1 / 34)


def test_the_target_is_a_distribution_at_each_position() -> None:
    pmf = open_bandit.bts_pmf()
    assert pmf.shape == (3, 34) and pmf.min() > 0 and pmf.sum(axis=1) == pytest.approx(1.0)


def test_files_are_small() -> None:
    sizes = [path.stat().st_size for path in (_ROOT / "src" / "nba_engine" / "data").glob("*.parquet")]
    assert len(sizes) == 3 and max(sizes) < 200_000


def test_the_story_in_order(rows: list[open_bandit.Row]) -> None:
    names = ["random, as it ran", "BTS, estimated", "BTS, as it ran", "random, estimated", "always item 5, estimated"]
    assert [row.name for row in rows] == names
    verdicts = [row.estimate.verdict for row in rows]
    assert verdicts == ["ok", "ok", "ok", "ok", "refused"]
    rarest = rows[-1].estimate
    assert rarest.ess < 30 and "under 30" in rarest.warnings[0]
    assert rows[0].estimate.value == 0.0046 and rows[2].estimate.value == pytest.approx(0.0069)
    low, high = rows[2].estimate.interval  # 69 clicks: the binomial's normal interval
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.0069 * (1 - 0.0069) / 10_000), rel=1e-3)


def test_the_sentences_are_computed(rows: list[open_bandit.Row]) -> None:
    text = " ".join(open_bandit.reading(rows))
    estimated, real = rows[1].estimate, rows[2].estimate
    assert "46 clicks in 10,000 impressions" in text
    assert f"{estimated.ess:,.0f}" in text and f"{estimated.ess * estimated.value:.0f} clicks are expected" in text
    inside = estimated.interval[0] <= real.value <= estimated.interval[1]
    assert f"lies {'inside' if inside else 'outside'} the interval" in text


def test_an_engine_that_chooses_at_random_earns_what_random_earned(logs: tuple[open_bandit.OpenBanditLog, open_bandit.OpenBanditLog]) -> None:
    rows = open_bandit.truth(*logs, p_engine=np.full(10_000, 1 / 34))
    assert rows[3].name == "this engine, estimated"
    assert rows[3].estimate.value == pytest.approx(0.0046) and rows[3].estimate.ess == pytest.approx(10_000)
    assert "these clicks cannot say" in open_bandit.reading(rows)[-1]


@_needs_shared
def test_figures_are_those_of_the_reference(rows: list[open_bandit.Row]) -> None:
    cases = json.loads((_SHARED / "conformance" / "ope" / "reference.json").read_text())["ope_cases"]
    for row, case in ((rows[1], "obd_random_to_bts_men"), (rows[3], "obd_bts_to_random_men")):
        reference = cases[case]
        assert row.estimate.value == pytest.approx(reference["obp_0_5_7"]["snipw"]["value"], rel=1e-9)
        assert row.estimate.ess == pytest.approx(reference["ess"], rel=1e-9)
        assert row.estimate.max_importance_weight == pytest.approx(reference["max_weight"], rel=1e-9)
    assert rows[2].estimate.value == pytest.approx(cases["obd_random_to_bts_men"]["meta"]["on_policy_value_of_target"], rel=1e-9)


@_needs_shared
def test_the_shipped_files_are_what_the_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("ship_open_bandit", _ROOT / "scripts" / "ship_open_bandit.py")
    ship = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ship)
    monkeypatch.setattr(ship, "DATA", tmp_path)
    monkeypatch.setattr(ship, "ROOT", tmp_path)
    ship.main(_SHARED)
    for path in tmp_path.glob("*.parquet"):
        assert parquet.read_table(path).equals(parquet.read_table(_ROOT / "src" / "nba_engine" / "data" / path.name))
    assert len(list(tmp_path.glob("*.parquet"))) == 3
