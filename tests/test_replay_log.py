"""Reading logs: every form gives the same rows, and whatever is odd is counted and named."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from nba_engine.errors import ReplayError
from nba_engine.replay import Log, estimate

_COLUMNS = {"reward": [1.0, 0.0, 1.0, 0.0], "pscore": [0.5, 0.25, 0.5, 0.25], "p_target": [0.5, 0.5, 0.25, 0.0], "age": [41, 30, 22, 67]}
_NAMES = {"p_log": "pscore"}


def _log(**more: object) -> Log:
    return Log.read(_COLUMNS | more, columns=_NAMES)


def _counts(log: Log) -> list[tuple[int, int, bool]]:
    return [(finding.n, finding.first_row, finding.set_aside) for finding in log.findings]


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow", "feather", "table", "mapping", "yaml"])
def test_every_form_reads_alike(tmp_path: Path, form: str) -> None:
    table = pa.table(_COLUMNS)
    path, names = tmp_path / f"log.{form}", _NAMES
    if form in ("parquet", "yaml"):
        path = path.with_suffix(".parquet")
        parquet.write_table(table, path)
    elif form == "csv":
        csv.write_csv(table, path)
    elif form in ("arrow", "feather"):
        feather.write_feather(table, path)
    if form == "yaml":
        (tmp_path / "columns.yaml").write_text("p_log: pscore\n")
    log = Log.read({"table": table, "mapping": _COLUMNS}.get(form, path), columns=tmp_path / "columns.yaml" if form == "yaml" else names)
    rows = log.rows()
    assert (log.n_read, log.findings, log.table.column_names) == (4, (), ["p_log", "reward", "p_target", "age"])
    assert rows.importance_weight.tolist() == [1.0, 2.0, 0.5, 0.0] and rows.reward.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert estimate("ips", reward=rows.reward, p_log=rows.p_log, p_target=rows.p_target).value == 1.5 / 4


def test_the_export_of_a_store_needs_no_mapping() -> None:
    log = Log.read({"selection_probability": [0.5, None], "reward": [1.0, None], "action": ["a", None]})
    assert log.first_offers().to_pydict() == {"p_log": [0.5], "reward": [1.0], "action": ["a"]}
    with pytest.raises(ReplayError, match="no column p_target"):
        log.rows()
    assert [str(finding) for finding in log.findings] == [
        "1 row (set aside; the first is row 1): p_log is missing",
        "1 row (kept; the first is row 1): no reward; it counts as 0, because what was recommended and not answered earned nothing",
    ]


def test_odd_numbers_are_set_aside_and_counted() -> None:
    p_log, p_target = [0.0, 1.5, 0.5, 0.5, 1.0, 0.5], [0.5, 0.5, 0.5, -1.0, 1.0, None]
    log = Log.read({"reward": [1.0, 2.0, np.nan, 1.0, 0.0, 1.0], "p_log": p_log, "p_target": p_target})
    assert log.rows().p_log.tolist() == [1.0] and log.n_read == 6
    assert _counts(log) == [(2, 0, True), (1, 3, True), (1, 5, True), (1, 2, True)]
    texts = [finding.text for finding in log.findings]
    assert texts[0].startswith("p_log lies outside (0, 1]") and texts[1] == "p_target lies outside [0, 1]"
    assert texts[3] == "the reward is no finite number"


def test_repeated_decisions_are_set_aside_but_for_the_first() -> None:
    twice = _log(decision_id=["a", "b", "a", "b"])
    assert twice.rows().reward.tolist() == [1.0, 0.0] and _counts(twice) == [(2, 2, True)]
    by_rank = _log(decision_id=["a", "a", "b", "a"], rank=[1, 2, 1, 2])
    assert _counts(by_rank) == [(1, 3, True)]
    assert by_rank.table.num_rows == 3 and by_rank.rows().reward.tolist() == [1.0, 1.0]  # of slates, what was placed first
    assert _counts(_log(decision_id=[7, 7, 7, 8], action=["x", "y", "x", "x"])) == [(1, 2, True)]


@pytest.mark.parametrize("as_text", [False, True])
def test_outcomes_before_their_decision_are_named_and_kept(as_text: bool) -> None:
    at = [dt.datetime(2026, 11, day, tzinfo=dt.UTC) for day in (1, 2, 3, 4)]
    back = [at[0], at[0], None, at[3]]
    if as_text:
        at, back = [one.isoformat() for one in at], [one and one.isoformat() for one in back]
    log = _log(at=at, outcome_at=back)
    assert _counts(log) == [(1, 1, False)] and log.table.num_rows == 4 and "before the decision" in log.findings[0].text


@pytest.mark.parametrize(
    ("given", "columns", "text"),
    [
        ({"reward": [1], "pscore": [1]}, None, "no column p_log .*'pscore' looks like it: if it is, say columns={'p_log': 'pscore'}"),
        ({"rewrad": [1], "p_log": [1]}, None, "no column reward .*'rewrad' looks like it"),
        ({"CLICK": [1], "p_log": [1]}, None, "no column reward .*'CLICK' looks like it"),
        ({"x": [1], "p_log": [1]}, None, "no column reward .*it has x, p_log"),
        (_COLUMNS, {"p_log": "pscor"}, "p_log is 'pscor', which the log does not have; did you mean 'pscore'"),
        (_COLUMNS, {"plog": "pscore"}, "'plog', which is no column of a log; did you mean 'p_log'"),
        (_COLUMNS, {"p_log": 3}, "give a mapping of our names to yours"),
        (_COLUMNS, "nowhere.yaml", "nowhere.yaml"),
        ("log.xlsx", None, "ends in '.xlsx'; give .parquet"),
        ("nowhere.parquet", None, "nowhere.parquet cannot be read"),
        (3, None, "came int, no table"),
        ({"reward": ["yes"], "p_log": [1]}, None, "column reward holds string that are no numbers"),
        ({"reward": [1], "p_log": [0.0]}, None, "none of the log's 1 rows can be judged\n  1 row .*outside"),
        ({"reward": [1], "p_log": [1], "at": ["soon"], "outcome_at": ["later"]}, None, "at and outcome_at must be moments: row 0"),
    ],
)
def test_what_cannot_be_read_says_what_is_needed(given: object, columns: object, text: str) -> None:
    with pytest.raises(ReplayError, match=f"(?s){text}"):
        Log.read(given, columns)
