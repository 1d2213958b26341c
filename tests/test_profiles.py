"""Stored profiles through the seam: what `decide` sees of a mapping, a SQLite table, a Parquet or Arrow file; threads; faults."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import nba_engine as nba
from nba_engine import cli
from nba_engine.adapters.profiles import open_profiles
from nba_engine.adapters.profiles.arrow import ArrowProfiles
from nba_engine.adapters.profiles.sqlite import SqliteProfiles

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
ANNA = {"age": 41, "spend": 12.5, "vip": True, "plan": "gold", "tags": ["a", "ü"], "since": NOON, "address": {"city": "Zürich", "zip": "8001"},
        "note": None}  # fmt: skip
BERT = {"age": 17, "spend": 0.0, "vip": False, "plan": None, "tags": [], "since": NOON - timedelta(days=1), "address": None, "note": "x"}
CATALOG = {
    "facts": {"age": "int", "spend": "double", "vip": "bool", "plan": "string", "tags": "list<string>", "since": "timestamp",
              "address": {"type": {"city": "string", "zip": "string"}}, "note": "string"},
    "channels": {"call": {}},
    "actions": [
        {"id": "adult", "eligibility": "age >= 18"}, {"id": "vip", "eligibility": "vip"}, {"id": "gold", "eligibility": "plan == 'gold'"},
        {"id": "tag", "eligibility": "'ü' in tags"}, {"id": "old", "eligibility": "now - since >= duration('24h')"},
        {"id": "zurich", "eligibility": "address.city == 'Zürich'"}, {"id": "no-note", "eligibility": "note == null"},
        {"id": "spender", "eligibility": "spend > 10.0"},
    ],
}  # fmt: skip
OF_ANNA, OF_BERT = {"adult", "vip", "gold", "tag", "zurich", "no-note", "spender"}, {"old"}


def table() -> pa.Table:
    types = pa.schema([("subject", pa.string()), ("age", pa.int32()), ("spend", pa.float64()), ("vip", pa.bool_()), ("plan", pa.string()),
                       ("tags", pa.list_(pa.string())), ("since", pa.timestamp("ms", "Europe/Zurich")),
                       ("address", pa.struct([("city", pa.string()), ("zip", pa.string())])), ("note", pa.string())])  # fmt: skip
    return pa.Table.from_pylist([{"subject": "anna", **ANNA}, {"subject": "bert", **BERT}], types)


def sqlite_file(path: Path, *rows: tuple[Any, ...]) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE profiles(subject TEXT PRIMARY KEY, age INTEGER, spend REAL, vip BOOLEAN, plan VARCHAR(20), tags JSON, "
                           "since TEXT, address JSON, note TEXT)")
        for name, facts in (("anna", ANNA), ("bert", BERT)):
            values = [json.dumps(v) if isinstance(v, list | dict) else v.isoformat() if isinstance(v, datetime) else v for v in facts.values()]
            connection.execute("INSERT INTO profiles VALUES (?,?,?,?,?,?,?,?,?)", (name, *values))
        connection.commit()
    return path


def parquet_file(folder: Path) -> Path:
    pq.write_table(table(), folder / "profiles.parquet")
    return folder / "profiles.parquet"


def arrow_file(folder: Path) -> Path:
    path = folder / "profiles.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=1)
    return path


def feather_file(folder: Path) -> Path:
    pyarrow.feather.write_feather(table(), str(folder / "profiles.feather"))
    return folder / "profiles.feather"


STORES: dict[str, Callable[[Path], Any]] = {
    "mapping": lambda _: {"anna": ANNA, "bert": BERT},
    "sqlite": lambda folder: open_profiles(sqlite_file(folder / "profiles.db")),
    "parquet": lambda folder: open_profiles(parquet_file(folder)),
    "arrow": lambda folder: open_profiles(arrow_file(folder)),
    "feather": lambda folder: open_profiles(feather_file(folder)),
    "table": lambda _: ArrowProfiles(table()),
    "dict of columns": lambda _: ArrowProfiles({name: table()[name] for name in table().column_names}),
}


@pytest.fixture(params=STORES)
def profiles(request, tmp_path):
    store = STORES[request.param](tmp_path)
    yield store
    if isinstance(store, SqliteProfiles):
        store.close()


def offered(engine: nba.Engine, subject: str, **facts: Any) -> set[str]:
    return {offer.action for offer in engine.decide(subject, facts=facts, channel="call", limit=10, at=NOON).offers}


def test_decide_sees_the_stored_profile(profiles):
    engine = nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles)
    assert (offered(engine, "anna"), offered(engine, "bert"), offered(engine, "nobody")) == (OF_ANNA, OF_BERT, set())
    assert engine.unknown_facts == frozenset()


def test_a_call_overrides_the_profile_key_by_key_and_an_explicit_null_wins(profiles):
    engine = nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles)
    assert offered(engine, "anna", age=17) == OF_ANNA - {"adult"}
    assert offered(engine, "anna", age=None, tags=None, note="x") == OF_ANNA - {"adult", "tag", "no-note"}
    assert offered(engine, "bert", plan="gold", note=None) == OF_BERT | {"gold", "no-note"}
    assert offered(engine, "nobody", vip=True) == {"vip"}
    assert offered(engine, "anna") == OF_ANNA  # what one call said is forgotten by the next


def test_a_decision_with_a_store_is_the_decision_with_these_facts(profiles):
    stored, given = nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles), nba.Engine(nba.Catalog.from_dict(CATALOG))
    for subject, facts in (("anna", ANNA), ("bert", BERT)):
        a, b = (e.decide(subject, facts=f, limit=10, at=NOON) for e, f in ((stored, None), (given, facts)))
        assert (a.offers, a.funnel, a.slate_probability) == (b.offers, b.funnel, b.slate_probability)


def test_any_number_of_threads_may_ask(profiles):
    engine = nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles)
    wrong: list[set[str]] = []

    def ask(subject: str, expected: set[str]) -> None:
        for _ in range(100):
            if (found := offered(engine, subject)) != expected:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=pair) for pair in [("anna", OF_ANNA), ("bert", OF_BERT), ("nobody", set[str]())] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("store", ["parquet", "arrow", "feather", "table"])
def test_arrow_values_are_plain_python(store, tmp_path):
    found = STORES[store](tmp_path).profile("anna")
    assert found == ANNA and {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in ANNA.items()}
    assert found["since"].utcoffset() == timedelta(0)


def test_arrow_reads_every_type_of_column_and_its_nulls():
    columns = {
        "u": pa.array([1, None, 2**63], pa.uint64()), "f": pa.array([0.5, None, 1.5], pa.float32()), "bits": pa.array([True, None, False]),
        "money": pa.array([Decimal("1.25"), None, Decimal("2.50")]), "category": pa.array(["a", None, "b"]).dictionary_encode(),
        "wait": pa.array([timedelta(hours=1), None, timedelta(0)]), "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "large": pa.array(["x", None, "yz"], pa.large_string()), "view": pa.array(["x", None, "a text longer than twelve"], pa.string_view()),
        "nothing": pa.nulls(3), "raw": pa.array([b"\x00", None, b""]), "instant": pa.array([1_500, None, 0], pa.timestamp("ns", "UTC")),
    }  # fmt: skip
    whole = pa.table({"subject": ["a", "b", "c"], **columns})
    first = {"u": 1, "f": 0.5, "bits": True, "money": 1.25, "category": "a", "wait": timedelta(hours=1), "map": {"k": 1}, "large": "x", "view": "x",
             "nothing": None, "raw": b"\x00", "instant": datetime(1970, 1, 1, 0, 0, 0, 1, timezone.utc)}
    last = {"u": 2**63, "f": 1.5, "bits": False, "money": 2.5, "category": "b", "wait": timedelta(0), "map": {}, "large": "yz",
            "view": "a text longer than twelve", "nothing": None, "raw": b"", "instant": datetime(1970, 1, 1, tzinfo=timezone.utc)}
    in_pieces = pa.concat_tables([whole.slice(i, 1) for i in range(3)])
    for form in (whole, in_pieces, pa.concat_tables([whole.slice(2), whole.slice(0, 2)])):
        profiles = ArrowProfiles(form)
        assert profiles.profile("a") == first and profiles.profile("c") == last
        assert profiles.profile("b") == dict.fromkeys(columns)
    assert ArrowProfiles(whole.slice(2)).profile("c") == last and ArrowProfiles(whole.slice(2)).profile("a") is None
    assert ArrowProfiles(whole.slice(0, 0)).profile("a") is None


def test_arrow_subjects_may_be_numbers_and_any_text():
    profiles = ArrowProfiles({"id": [1, 22], "age": [3, 4]}, subject="id")
    assert profiles.profile("22") == {"age": 4} and profiles.profile("022") is None
    names = [f"näme {i}" for i in range(1000)]
    profiles = ArrowProfiles({"subject": names, "n": list(range(1000))})
    assert [profiles.profile(name) for name in names] == [{"n": i} for i in range(1000)]


def test_arrow_subjects_whose_hashes_collide_are_told_apart():
    profiles = ArrowProfiles({"subject": ["a", "b", "c"], "n": [1, 2, 3]})
    profiles._hashes[:] = hash("b")
    assert profiles.profile("b") == {"n": 2} and profiles.profile("a") is None


@pytest.mark.parametrize(("columns", "problem"), [
    ({"name": ["a"], "age": [1]}, "has no subject 'subject'; there are age, name"),
    ({"Subject": ["a"], "age": [1]}, "did you mean 'Subject'"),
    ({"subject": ["a", "b", "a"]}, "subject 'a' stands in rows 0 and 2"),
    ({"subject": ["a", None]}, "column 'subject' has 1 nulls"),
    ({"subject": ["a"], "since": pa.array([NOON.replace(tzinfo=None)])}, r"since \(timestamp\[us\]\) have no time zone"),
    ({"subject": ["a"], "visits": pa.array([[NOON.replace(tzinfo=None)]])}, "visits .* have no time zone"),
    ({"subject": ["a"], "until": pa.array([2**61], pa.timestamp("s", "UTC"))}, "column 'until' holds what no fact can be"),
    ({"subject": ["a"], "until": pa.array([10**12], pa.timestamp("s", "UTC"))}, "column 'until' .* outside the years 1 to 9999"),
    ({"subject": ["a"], "wait": pa.array([2**61], pa.duration("s"))}, "column 'wait' holds what no fact can be"),
    ({"subject": ["a"], "born": pa.array([NOON.date()])}, r"born \(date32\[day\]\) have no time zone"),
])  # fmt: skip
def test_arrow_tables_that_cannot_be_profiles_are_refused_at_opening(columns, problem):
    with pytest.raises(nba.RequestError, match=problem):
        ArrowProfiles(columns)


def test_arrow_rows_that_cannot_be_read_name_the_subject():
    """A map may hold a key twice, and no fact can; the other rows are read."""
    held = pa.array([[("k", 1), ("k", 2)], [("k", 3)]], pa.map_(pa.string(), pa.int64()))
    profiles = ArrowProfiles(pa.table({"subject": ["ann", "eve"], "seen": held}))
    with pytest.raises(nba.StoreError, match="the row of subject 'ann' cannot be read .*'k'.*mend the row"):
        profiles.profile("ann")
    assert profiles.profile("eve") == {"seen": {"k": 3}}


@pytest.mark.parametrize(("source", "problem"), [
    (None, "the table is a NoneType that cannot be read"),
    (pa.table({"subject": [b"ann", b"\xff"]}), "column 'subject' names no subjects"),
    (pa.Table.from_arrays([pa.array(["ann"]), pa.array([1]), pa.array([2])], ["subject", "age", "age"]), "two columns of one name"),
])  # fmt: skip
def test_arrow_sources_that_are_no_profiles_are_refused(source, problem):
    with pytest.raises(nba.RequestError, match=problem):
        ArrowProfiles(source)


def test_half_a_character_is_no_subject(tmp_path):
    (path := tmp_path / "p.db").touch()
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE profiles (subject TEXT PRIMARY KEY, age INT)")
    with SqliteProfiles(path) as profiles, nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles) as engine:
        with pytest.raises(nba.RequestError, match="no valid Unicode; give a text without lone surrogates"):
            engine.decide("\ud800", channel="call")
        assert len(profiles._idle) == 1


def test_sqlite_sees_changed_rows_at_once_and_reads_views(tmp_path):
    path = sqlite_file(tmp_path / "p.sqlite")
    with closing(sqlite3.connect(path)) as writer, SqliteProfiles(path) as profiles:
        writer.execute("UPDATE profiles SET age = 42, vip = 0 WHERE subject = 'anna'")
        writer.commit()
        assert profiles.profile("anna") == ANNA | {"age": 42, "vip": False, "since": NOON.isoformat()}
        writer.execute('CREATE VIEW "my view" AS SELECT subject AS id, upper(plan) AS "p l", json_insert(tags, \'$[#]\', 1) AS more FROM profiles')
        writer.commit()
    with SqliteProfiles(path, table="my view", subject="id", json=["more"]) as profiles:
        assert profiles.profile("anna") == {"p l": "GOLD", "more": ["a", "ü", 1]} and profiles.profile("nobody") is None


def test_sqlite_subjects_may_be_numbers_and_are_themselves_only(tmp_path):
    with closing(sqlite3.connect(tmp_path / "p.db")) as connection:
        connection.executescript("CREATE TABLE profiles(subject INTEGER PRIMARY KEY, age); INSERT INTO profiles VALUES (42, 41);"
                                 "CREATE TABLE named(subject TEXT COLLATE NOCASE PRIMARY KEY, age); INSERT INTO named VALUES ('Ann', 40)")
    with SqliteProfiles(tmp_path / "p.db") as numbered, SqliteProfiles(tmp_path / "p.db", "named") as named:
        assert numbered.profile("42") == {"age": 41}
        assert [numbered.profile(other) for other in ("042", " 42", "42.0", "+42", "4.2e1")] == [None] * 5
        assert named.profile("ANN") == {"age": 40}  # as the column was declared


def test_sqlite_opens_no_more_connections_than_lookups_at_one_moment(tmp_path):
    with SqliteProfiles(sqlite_file(tmp_path / "p.db")) as profiles:
        for _ in range(5):
            profiles.profile("anna")
        assert len(profiles._idle) == 1
    with pytest.raises(nba.StoreError, match="closed"):
        profiles.profile("anna")
    profiles.close()


@pytest.mark.parametrize(("options", "error", "problem"), [
    ({"table": "profile"}, nba.RequestError, "has no table 'profile'; did you mean 'profiles'"),
    ({"subject": "subjekt"}, nba.RequestError, "has no subject 'subjekt'; did you mean 'subject'"),
    ({"json": ["tag"]}, nba.RequestError, "has no json 'tag'; did you mean 'tags'"),
    ({"subject": "plan"}, nba.RequestError, "no index, so a lookup would read the whole table; CREATE UNIQUE INDEX"),
])  # fmt: skip
def test_sqlite_says_what_is_missing(tmp_path, options, error, problem):
    with pytest.raises(error, match=problem):
        SqliteProfiles(sqlite_file(tmp_path / "p.db"), **options)


def test_sqlite_rows_that_cannot_be_read_name_the_subject(tmp_path):
    path = sqlite_file(tmp_path / "p.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE profiles SET tags = '[1,' WHERE subject = 'anna'")
        writer.execute("CREATE TABLE visits(subject TEXT, n INT)")
        writer.execute("CREATE INDEX visits_by_subject ON visits(subject)")
        writer.execute("INSERT INTO visits VALUES ('anna', 1), ('anna', 2), ('bert', 3)")
        writer.commit()
    with SqliteProfiles(path) as profiles, SqliteProfiles(path, table="visits") as visits:
        with pytest.raises(nba.StoreError, match="column 'tags' of subject 'anna' is no JSON"):
            profiles.profile("anna")
        with pytest.raises(nba.StoreError, match="more than one row for subject 'anna'"):
            visits.profile("anna")
        assert visits.profile("bert") == {"n": 3}


@pytest.mark.parametrize(("held", "read"), [
    (1, True), (0, False), ("1", True), ("0", False), ("true", True), ("TRUE", True), ("false", False), ("False", False), (1.0, True), (None, None),
])  # fmt: skip
def test_sqlite_truth_values_are_read_as_they_are_meant(tmp_path, held, read):
    path = sqlite_file(tmp_path / "p.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE profiles SET vip = ? WHERE subject = 'anna'", (held,))
        writer.commit()
    with SqliteProfiles(path) as profiles:
        assert profiles.profile("anna") == ANNA | {"vip": read, "since": NOON.isoformat()}


@pytest.mark.parametrize("held", ["no", "f", "", "yes", 2, -1, 0.5, b"1"])
def test_sqlite_what_is_no_truth_value_is_refused_never_guessed(tmp_path, held):
    path = sqlite_file(tmp_path / "p.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE profiles SET vip = ? WHERE subject = 'anna'", (held,))
        writer.commit()
    with SqliteProfiles(path) as profiles, pytest.raises(nba.StoreError, match=f"column 'vip' of subject 'anna' is no BOOLEAN.*{held!r}"):
        profiles.profile("anna")


def test_sqlite_a_table_that_vanishes_is_told_and_comes_back(tmp_path):
    path = sqlite_file(tmp_path / "p.db")
    with SqliteProfiles(path) as profiles:
        engine = nba.Engine(nba.Catalog.from_dict(CATALOG), profiles=profiles)
        with closing(sqlite3.connect(path)) as writer:
            writer.execute("ALTER TABLE profiles RENAME TO other")
            with pytest.raises(nba.StoreError, match="no such table: profiles"):
                offered(engine, "anna")
            writer.execute("ALTER TABLE other RENAME TO profiles")
        assert offered(engine, "anna") == OF_ANNA


def test_sqlite_never_writes(tmp_path):
    path = sqlite_file(tmp_path / "p.db")
    before = path.read_bytes()
    with SqliteProfiles(path) as profiles, pytest.raises(nba.StoreError, match="readonly"):
        profiles._rows("UPDATE profiles SET age = 1 RETURNING age")
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["p.db"]


@pytest.mark.parametrize("name", ["p.db", "p.parquet", "p.arrow"])
def test_files_that_are_missing_or_damaged_are_store_errors(tmp_path, name):
    with pytest.raises(nba.StoreError, match=name):
        open_profiles(tmp_path / name)
    (tmp_path / name).write_text("no such thing" * 100)
    with pytest.raises(nba.StoreError, match=name):
        open_profiles(tmp_path / name)


@pytest.mark.parametrize("name", ["p.csv", "profiles"])
def test_other_files_are_refused_by_name(name):
    with pytest.raises(nba.RequestError, match=r"supported are \.sqlite, \.sqlite3, \.db, \.parquet, \.arrow, \.feather"):
        open_profiles(name)


def test_nba_decide_uses_the_subjects_profile(tmp_path):
    def run(*more: object) -> Any:
        return CliRunner().invoke(cli.app, ["decide", *map(str, (catalog, "--subject", "anna", "--limit", 10, *more))])

    catalog, facts, profiles = tmp_path / "catalog.json", tmp_path / "facts.json", sqlite_file(tmp_path / "p.db")
    catalog.write_text(json.dumps(CATALOG))
    facts.write_text('{"age": 12, "plan": null}')
    told = json.loads(run("--profiles", profiles, "--json").stdout)
    assert {offer["action"] for offer in told["decision"]["offers"]} == OF_ANNA | {"old"}
    told = json.loads(run("--profiles", profiles, "--facts", facts, "--json").stdout)
    assert {offer["action"] for offer in told["decision"]["offers"]} == (OF_ANNA | {"old"}) - {"adult", "gold"}
    result = run("--profiles", tmp_path / "none.csv")
    assert result.exit_code == 2 and "supported are .sqlite" in result.stderr
    result = run()
    assert result.exit_code == 2 and "--profiles" in result.stderr
