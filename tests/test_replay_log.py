"""Reading logs: every form gives the same rows, and whatever is odd is counted and named."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

import nba_engine as nba
from nba_engine.errors import ReplayError
from nba_engine.replay import ESTIMATORS, Log, estimate, repeats, run, sources, sums
from tests.naive import repeats as naive

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
    log = Log.read({"selection_probability": [0.5, None], "reward": [1.0, None], "action": ["a", None], "agent": ["ann", None]})
    assert log.first_offers().to_pydict() == {"p_log": [0.5], "reward": [1.0], "action": ["a"], "agent": ["ann"]}
    with pytest.raises(ReplayError, match="no column p_target .*name the catalog that shall be judged: target=, or --target") as caught:
        log.rows()
    assert "looks like it" not in str(caught.value)
    assert [str(finding) for finding in log.findings] == [
        "1 row (set aside; the first is row 1): nothing was offered: what is judged are the decisions that offered something",
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
        ({"reward": ["yes"], "p_log": [1]}, None, "column reward holds 'yes' in row 0, which is no number; it must say what the logged"),
        ({"reward": [1, 2, 3], "p_log": ["0.5", None, "50%"]}, None, "column p_log holds '50%' in row 2"),
        ({"reward": [], "p_log": []}, None, "the log has no rows"),
        ({"reward": [1], "p_log": [0.0]}, None, "none of the log's 1 rows can be judged\n  1 row .*outside"),
        ({"reward": [1], "p_log": [1], "at": ["soon"], "outcome_at": ["later"]}, None, "row 0: column outcome_at: got 'later'"),
    ],
)
def test_what_cannot_be_read_says_what_is_needed(given: object, columns: object, text: str) -> None:
    with pytest.raises(ReplayError, match=f"(?s){text}"):
        Log.read(given, columns).table


@pytest.mark.parametrize("form", ["list", "fixed", "map", "struct", "json"])
def test_distributions_give_probabilities_and_support(form: str) -> None:
    """Three actions; the log's law lacks the third in its first row, where the target puts 0.2 of its mass."""
    log_rows, target_rows = [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], [[0.4, 0.4, 0.2], [0.1, 0.8, 0.1]]
    names = ["a", "b", "c"]

    def column(rows: list[list[float]]) -> object:
        if form == "list":
            return pa.array(rows)
        if form == "fixed":
            return pa.array(rows, pa.list_(pa.float64(), 3))
        if form == "map":
            return pa.array([list(zip(names, row, strict=True)) for row in rows], pa.map_(pa.string(), pa.float64()))
        mappings = [dict(zip(names, row, strict=True)) for row in rows]
        return pa.array(mappings) if form == "struct" else pa.array([json.dumps(one) for one in mappings])

    action = [1, 2] if form in ("list", "fixed") else ["b", "c"]
    log = Log.read(pa.table({"reward": [1.0, 0.0], "action": action, "pmf_log": column(log_rows), "pmf_target": column(target_rows)}))
    rows = log.rows()
    assert (rows.p_log.tolist(), rows.p_target.tolist(), log.findings) == ([0.5, 0.5], [0.4, 0.1], ())
    assert rows.unsupported is not None and rows.unsupported == pytest.approx([0.2, 0.0])


@pytest.mark.parametrize("form", ["list", "map", "json"])
@pytest.mark.parametrize("write", [int, str, float], ids=["int", "text", "float"])
def test_an_action_is_found_in_a_distribution_however_its_number_is_written(form: str, write: type) -> None:
    """A CSV has whole numbers, or texts, or (where a row names none) numbers with a point, beside places of lists or names in objects."""
    actions, laws = [7, 2, 0, 2], [{str(a): (a + 1) / 100 for a in places} for places in ([*range(10)], [*range(10)], [*range(9, -1, -1)], [2, 7, 0])]
    if form == "list":
        pmfs = pa.array([[(a + 1) / 100 for a in range(10)]] * 4)
    elif form == "map":
        pmfs = pa.array([list(law.items()) for law in laws], pa.map_(pa.string(), pa.float64()))
    else:
        pmfs = pa.array([json.dumps(law) for law in laws])
    log = Log.read(pa.table({"reward": [1.0] * 4, "action": [write(a) for a in actions], "pmf_log": pmfs, "p_target": [0.5] * 4}))
    assert log.rows().p_log == pytest.approx([0.08, 0.03, 0.01, 0.03])


def test_a_name_that_yaml_would_change_is_told_in_quotes(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="a file that says p_log: ' p-log'"):
        Log.read({"reward": [1.0], " p-log": [0.5], "p_target": [0.5]})
    (tmp_path / "columns.yaml").write_text("p_log: ' p-log'\n")
    assert Log.read({"reward": [1.0], " p-log": [0.5], "p_target": [0.5]}, columns=tmp_path / "columns.yaml").rows().p_log.tolist() == [0.5]


def test_a_list_has_no_place_for_an_action_with_a_name() -> None:
    with pytest.raises(ReplayError, match="column pmf_log holds lists, .* an action is called 'card'; give maps"):
        _ = Log.read({"reward": [1.0, 0.0], "action": ["0", "card"], "pmf_log": [[0.5, 0.5]] * 2, "p_target": [0.5] * 2}).table


def test_what_is_odd_about_distributions_is_named() -> None:
    pmf = [{"a": 0.5, "b": 0.5}, {"a": 1.0}, {"a": 0.5, "b": 0.1}, {"a": 0.5, "b": 0.5}, None]
    maps = pa.array([None if one is None else list(one.items()) for one in pmf], pa.map_(pa.string(), pa.float64()))
    log = Log.read(pa.table({"reward": [1.0] * 5, "action": ["a", "b", "a", "a", "a"], "pmf_log": maps, "p_target": [0.5] * 5}))
    assert [(finding.n, finding.first_row, finding.set_aside) for finding in log.findings] == [(1, 2, False), (1, 1, True), (1, 4, True)]
    assert "does not sum to 1" in log.findings[0].text and "the log could not have chosen it" in log.findings[1].text
    told = Log.read(pa.table({"reward": [1.0], "action": ["a"], "pmf_log": maps[:1], "p_log": [0.25], "p_target": [0.5]}))
    assert "p_log is not what pmf_log says" in told.findings[0].text and told.rows().p_log.tolist() == [0.25]
    with pytest.raises(ReplayError, match="no JSON list or object"):
        _ = Log.read({"reward": [1.0], "action": ["a"], "pmf_log": ["half"]}).table


def test_repeats_are_found_across_chunks_and_by_every_kind_of_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROWS_AT_ONCE", 7)
    chance = np.random.default_rng(2)
    numbers = chance.integers(0, 60, 100).tolist()
    numbers[13] = None
    first = {number: i for i, number in reversed(list(enumerate(numbers)))}
    expected = [i for i, number in enumerate(numbers) if number is not None and first[number] != i]
    for ids in (numbers, [None if one is None else "ä" * one for one in numbers]):
        log = Log.read({"decision_id": ids, "reward": [0.0] * 100, "p_log": [0.5] * 100, "p_target": [0.5] * 100, "row": list(range(100))})
        assert sorted(set(range(100)) - set(log.table["row"].to_pylist())) == expected
        assert [(finding.n, finding.first_row) for finding in log.findings] == [(len(expected), expected[0])]


def test_keys_are_those_of_the_slow_twin() -> None:
    texts = ["", "a", "eight by", "nine byte", "ä ö ü", "x" * 40, None]
    array = pa.array(["before", *texts])[1:]
    assert repeats.keys_of_rows([pa.chunked_array([array])]).tolist() == [0 if text is None else naive.text_key(text) for text in texts]


@pytest.mark.parametrize("held_bytes", [2**20, 1])
def test_repeats_are_those_of_a_set(monkeypatch: pytest.MonkeyPatch, held_bytes: int) -> None:
    monkeypatch.setattr(repeats, "HELD_BYTES", held_bytes)  # 1: in a file
    ids, ranks = np.random.default_rng(5).integers(0, [[400], [2]], (2, 2_000))
    silent = np.random.default_rng(6).random(2_000) < 0.1
    parts = [slice(0, 900), slice(900, 901), slice(901, 901), slice(901, 2_000)]
    batches = [[pa.chunked_array([pa.array(ids[part], mask=silent[part])]), pa.chunked_array([ranks[part]])] for part in parts]
    keys = [0 if mute else int(2 * one + other + 1) for one, other, mute in zip(ids, ranks, silent, strict=True)]
    assert repeats.repeated_rows(batches).tolist() == naive.repeated_rows(keys)


def test_one_id_for_all_and_none_at_all() -> None:
    same = [[pa.chunked_array([pa.array(["x"] * 70_000)])] for _ in range(2)]
    assert repeats.repeated_rows(same).tolist() == list(range(1, 140_000))
    assert repeats.repeated_rows([]).tolist() == repeats.repeated_rows([[pa.chunked_array([pa.array([None, None], pa.string())])]]).tolist() == []


def test_where_no_file_can_be_written_it_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(repeats, "HELD_BYTES", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ReplayError, match="name another folder in TMPDIR"):
        Log.read({"decision_id": [1, 1], "reward": [0, 1], "p_log": [1, 1]}).table


def test_ids_are_read_ahead_and_both_passes_are_told() -> None:
    told: list[tuple[int, int | None]] = []
    log = Log.read({"decision_id": [1, 1, 2, 3], "reward": [0, 1, 0, 1], "p_log": [1] * 4, "p_target": [1] * 4})
    assert [chunk.num_rows for chunk in log.chunks(advance=lambda *done: told.append(done))] == [3] and told == [(2, 4), (4, 4)]


def test_probabilities_estimated_by_the_columns_that_chose(tmp_path: Path) -> None:
    """Two segments with shares of their own; the estimate equals the post-stratified mean, and its error is what draws of the log show."""
    truth, values, errors = {("x", "a"): 0.6, ("x", "b"): 0.2, ("y", "a"): 0.1, ("y", "b"): 0.4}, [], []
    for seed in range(60):
        chance = np.random.default_rng(seed)
        segment = chance.choice(["x", "y"], 800)
        action = np.where(chance.random(800) < np.where(segment == "x", 0.7, 0.2), "a", "b")
        reward = chance.binomial(1, [truth[pair] for pair in zip(segment, action, strict=True)]).astype(float)
        log = Log.read({"reward": reward, "segment": segment, "action": action, "p_target": (action == "a") * 1.0}, {"chosen_by": ["segment"]})
        report = run(log)
        by_hand = sum((segment == s).mean() * reward[(segment == s) & (action == "a")].mean() for s in "xy")
        assert report.estimates[1].value == pytest.approx(by_hand) and report.verdict in ("ok", "weak")
        values.append(by_hand)
        errors.append(report.estimates[1].std_error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25) and "agree on segment (2 cells)" in report.notes[0]
    (tmp_path / "columns.yaml").write_text("chosen_by: [segment]\n")
    again = Log.read({"reward": reward, "segment": segment, "action": action, "p_target": (action == "a") * 1.0}, tmp_path / "columns.yaml")
    assert run(again).estimates == report.estimates


def test_what_a_cell_never_shows_has_no_support() -> None:
    """Segment y never saw a: half of what the target chooses cannot be judged."""
    log = {"reward": [1.0, 0.0] * 100, "segment": ["x", "y"] * 100, "action": ["a", "b"] * 100, "p_target": [1.0, 0.0] * 100}
    report = run(Log.read(log, {"chosen_by": ["segment"]}))
    assert report.verdict == "refused" and any("50.0% of what the target chooses could never be in the log" in one for one in report.warnings)
    with pytest.raises(ReplayError, match="200 of 200 rows stand in cells of fewer than 30 rows; name fewer"):
        run(Log.read(log | {"each": list(range(200))}, {"chosen_by": ["each"]}))
    with pytest.raises(ReplayError, match="chosen_by names 'segmant', which the log does not have; did you mean 'segment'"):
        Log.read(log, {"chosen_by": ["segmant"]})


def test_a_log_without_probabilities_says_what_it_can() -> None:
    columns = {"reward": [1.0, 0.0, 1.0, 0.0], "action": ["a", "b", "a", "b"], "p_target": [1.0] * 4}
    report = run(Log.read(columns))
    assert (report.verdict, report.estimates, report.tail, report.logged.value) == ("refused", (), None, 0.5)
    assert "does not say with what probability it chose" in report.warnings[0]
    modelled = run(Log.read(columns | {"q_target": [0.25] * 4, "q_logged": [0.5] * 4}))
    assert [(one.estimator, one.value, one.verdict) for one in modelled.estimates] == [("dm", 0.25, "weak")]
    with pytest.raises(ReplayError, match="does not say with what probability"):
        Log.read(columns).rows()


def test_chunks_fold_to_what_the_whole_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(9)
    columns = {name: chance.random(5_000) for name in ("reward", "p_target", "q_logged", "q_target", "unsupported")}
    columns["p_log"] = chance.uniform(0.1, 1, 5_000)
    parquet.write_table(pa.table(columns), tmp_path / "log.parquet", row_group_size=700)
    parameters = {"clipped_ips": 5.0, "clipped_dr": 5.0, "switch_dr": 5.0, "dr_os": 5.0, "sg_ips": 0.1, "sg_dr": 0.1}
    every = {name: parameters.get(name) for name in ESTIMATORS}
    whole = run(Log.read(columns), estimators=every)
    monkeypatch.setattr(sources, "ROWS_AT_ONCE", 900)
    seen: list[tuple[int, int | None]] = []
    chunked = run(Log.read(tmp_path / "log.parquet"), estimators=every, progress=lambda done, n: seen.append((done, n)))
    assert seen[-1] == (5_000, 5_000) and len(seen) == 6
    for one, other in zip(whole.estimates, chunked.estimates, strict=True):
        assert (one.value, one.std_error, one.ess) == pytest.approx((other.value, other.std_error, other.ess), rel=1e-9)
    monkeypatch.setattr(sums, "ATOMS_MAX", 50)  # many distinct importance weights share their first digits
    coarse = run(Log.read(tmp_path / "log.parquet"), estimators=every)
    for one, other in zip(whole.estimates, coarse.estimates, strict=True):
        assert (one.value, one.std_error) == pytest.approx((other.value, other.std_error), rel=1e-6)
    assert whole.tail is not None and coarse.tail is not None and coarse.tail.quantile_99 == pytest.approx(whole.tail.quantile_99, rel=1 / 4096)


def test_a_store_is_a_log(tmp_path: Path) -> None:
    with nba.Engine(nba.Catalog.from_dict({"actions": [{"id": "a"}, {"id": "b"}]}), store=tmp_path / "store") as engine:
        decided = [engine.decide(f"subject {i}", limit=2) for i in range(5)]
        with pytest.raises(ReplayError, match="cannot be read"):
            Log.read(tmp_path / "store")
    log = Log.read(tmp_path / "store")
    assert log.first_offers().column("p_log").to_pylist() == [one.offers[0].selection_probability for one in decided] and log.n_read == 10
    with pytest.raises(ReplayError, match="there is no store in"):
        Log.read(tmp_path)


def test_a_file_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROWS_AT_ONCE", 20_000)
    parquet.write_table(pa.table({name: np.random.default_rng(1).random(600_000) for name in "abc"}), tmp_path / "log.parquet", row_group_size=20_000)
    before, most = pa.total_allocated_bytes(), 0
    for batch in sources.open_source(tmp_path / "log.parquet").read(["a", "b", "c"]):
        most = max(most, pa.total_allocated_bytes() - before)
    assert batch.num_rows == 20_000 and most < 600_000 * 24 / 4


@pytest.mark.parametrize(("rank", "text"), [([0, 1], "holds 0; .* where ranks count from 0, add 1"), (["a", "b"], "rank holds string; .* from 1")])
def test_ranks_that_do_not_count_from_1_are_named(rank: list[object], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        Log.read({"reward": [1, 0], "p_log": [0.5, 0.5], "p_target": [0.5, 0.5], "rank": rank}).rows()


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", "is written in UTF-16; save it as UTF-8"), ("latin-1", "not written in UTF-8, as column")])
def test_a_csv_in_another_encoding_is_named(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "log.csv").write_text("reward,p_log,action\n1,0.5,café\n", encoding)
    with pytest.raises(ReplayError, match=text):
        _ = Log.read(tmp_path / "log.csv").table


def test_a_csv_whose_whole_numbers_get_a_point_late_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text("reward,p_log,p_target\n" + "1,1,1\n" * 200_000 + "0.5,1,1\n")
    with pytest.raises(ReplayError, match=r"0\.5.*first megabyte: write 1\.0 and not 1"):
        Log.read(tmp_path / "late.csv").rows()


def test_whole_numbers_beyond_those_a_double_holds_are_rewards_too() -> None:
    report = run(Log.read({"reward": [2**53 + 1, 0], "p_log": [0.5, 0.5], "p_target": [0.5, 0.5]}), estimators={"ips": None})
    assert report.estimates[0].value == 2**52
