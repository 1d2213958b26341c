"""Decision tables: cells, files, the way to rules and back, faults, and what `check` finds in them."""

from __future__ import annotations

import random
from itertools import product

import pytest

import nba_engine as nba
from nba_engine import schema
from nba_engine.catalog.tables import as_rows, condition
from nba_engine.rules import evaluate, parse

FACTS = {"age": "int", "bill": "double", "tariff": "string", "vip": "bool", "products": "list<string>"}
ACTIONS = [{"id": "club", "eligibility": ["bill > 1.0"]}, {"id": "fibre"}]


def catalog(*rows, **table):
    return nba.Catalog.from_dict({"facts": FACTS, "actions": ACTIONS, "tables": [{"name": "t", "rows": list(rows), **table}]})


@pytest.mark.parametrize(("header", "type_", "cell", "text"), [
    ("age", schema.INT, ">= 18", "age >= 18"), ("age", schema.INT, "18..65", "age >= 18 && age <= 65"), ("age", schema.INT, "18", "age == 18"),
    ("age", schema.INT, ">= 18 and < 65", "age >= 18 && age < 65"), ("age", schema.INT, "!= null", "age != null"),
    ("age", schema.INT, "not 18..20", "!(age >= 18 && age <= 20)"), ("bill", schema.DOUBLE, "-1.5 .. 2", "bill >= -1.5 && bill <= 2"),
    ("tariff", schema.STRING, "gold", "tariff == 'gold'"), ("tariff", schema.STRING, "gold | it's", r"tariff in ['gold', 'it\'s']"),
    ("tariff", schema.STRING, "in ['a']", "tariff in ['a']"), ("tariff", schema.STRING, "not gold", "!(tariff == 'gold')"),
    ("tariff", schema.STRING, "inland", "tariff == 'inland'"), ("vip", schema.BOOL, "TRUE", "vip"), ("vip", schema.BOOL, "false", "!vip"),
    ("products", schema.list_of(schema.STRING), "tv", "'tv' in products"),
    ("products", schema.list_of(schema.STRING), "tv | net and not x", "('tv' in products || 'net' in products) && !('x' in products)"),
    ("tariff", schema.STRING, "'rock and roll' | 'a|b'", "tariff in ['rock and roll', 'a|b']"),
    ("bill", schema.DOUBLE, "1 | -2.5", "bill in [1, -2.5]"),
    ("tariff", schema.STRING, "!= 'this and that' and != 'x'", "tariff != 'this and that' && tariff != 'x'"),
    ("tariff", schema.STRING, "it's this | it's that", r"tariff in ['it\'s this', 'it\'s that']"),
    ("size(products)", schema.INT, "< 3", "(size(products)) < 3"), ("address.city", schema.STRING, "Bern", "address.city == 'Bern'"),
])  # fmt: skip
def test_cells(header, type_, cell, text):
    assert condition(header, type_, cell) == text
    parse(text)


def test_rows_become_rules_of_their_actions():
    club = [{"action": "club", "age": ">= 18", "tariff": "-", "vip": False}, {"action": "club", "tariff": "gold", "age": None}]
    made = catalog(*club, {"action": "fibre"})
    assert [a.eligibility for a in made.definition.actions] == [("bill > 1.0", "(age >= 18 && !vip) || (tariff == 'gold')"), ("true",)]
    with nba.Engine(made) as engine:
        for facts, offered in (({"age": 18, "vip": False}, True), ({"age": 18, "vip": True}, False), ({"tariff": "gold"}, True),
                               ({"age": 18}, False)):
            decision = engine.decide("ann", facts={"bill": 2.0, **facts}, limit=2)
            assert ("club" in [offer.action for offer in decision.offers]) is offered


def test_a_catalog_with_tables_is_written_as_it_was_and_keeps_its_version():
    made = catalog({"action": "club", "age": 18}, stage="suitability")
    assert made.to_dict()["tables"] == [{"name": "t", "stage": "suitability", "rows": [{"action": "club", "age": "18"}]}]
    again = nba.Catalog.from_dict(made.to_dict())
    assert again.version == made.version and again.definition == made.definition and made.definition.actions[0].suitability == ("age == 18",)


@pytest.mark.parametrize(("name", "text"), [
    ("rules.csv", "action, age, tariff\nclub, >= 18, gold\nclub, 65..99,\nfibre, , \"gold | silver\"\n"),
    ("rules.yaml", "[{action: club, age: '>= 18', tariff: gold}, {action: club, age: 65..99}, {action: fibre, tariff: gold | silver}]"),
])  # fmt: skip
def test_tables_in_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "catalog.yaml").write_text(f"facts: {{age: int, tariff: string}}\nactions: [{{id: club}}, {{id: fibre}}]\n"
                                           f"tables: [{{name: t, file: {name}}}]\n")
    made = nba.Catalog.load(tmp_path / "catalog.yaml")
    assert [a.eligibility for a in made.definition.actions] == [
        ("(age >= 18 && tariff == 'gold') || (age >= 65 && age <= 99)",), ("tariff in ['gold', 'silver']",)]  # fmt: skip
    assert nba.Catalog.from_dict(made.to_dict()).definition == made.definition


def test_faults_name_the_cell(tmp_path):
    with pytest.raises(nba.CatalogError) as caught:
        catalog({"action": "clubb", "agee": 3}, {"age": "> 'x'"}, {"action": "club", "tariff": [1]})
    assert {f.place: f.message.split(":")[0].split(";")[0] for f in caught.value.faults} == {
        "tables[0].rows[0].action": "came the action 'clubb', needed one that actions declares", "tables[0].rows[1]": "'action' is missing",
        "tables[0].rows[0].agee": "unknown fact 'agee'", "tables[0].rows[1].age": "int > string is not defined",
        "tables[0].rows[2].tariff": "came a list, needed text, a number, true or false"}  # fmt: skip
    for file, problem in (("none.csv", "No such file"), ("a.txt", "needed the name of a .csv or .yaml file")):
        (tmp_path / "catalog.yaml").write_text(f"actions: [{{id: club}}]\ntables: [{{name: t, file: {file}}}]\n")
        with pytest.raises(nba.CatalogError, match=problem):
            nba.Catalog.load(tmp_path / "catalog.yaml")


def loaded(tmp_path, name, text, facts="{age: int, tariff: string, bill: double}"):
    (tmp_path / name).write_text(text)
    (tmp_path / "catalog.yaml").write_text(f"facts: {facts}\nactions: [{{id: club}}]\ntables: [{{name: t, file: {name}}}]\n")
    return nba.Catalog.load(tmp_path / "catalog.yaml")


@pytest.mark.parametrize(("text", "place", "problem"), [
    ("action,age,tariff,age\nclub,>= 18,,< 65\n", "t.csv", "the column 'age' stands there twice: keep one"),
    ("action, age, tariff, age \nclub,>= 18,,< 65\n", "t.csv", "the column 'age' stands there twice: keep one"),
    ("action,bill\n\nclub,>= 10,5\n", "t.csv row 3", "came 3 cells for the 2 columns of the head: write numbers with a point"),
    ("action,age,\nclub,1,\n", "t.csv", "column 3 has no name: name the fact that it is about, or remove the column"),
    ("action,,age\nclub,1,2\n", "t.csv", "column 2 has no name"),
    ("action;age\nclub;>= 18\n", "t.csv", "came 'action;age' as one column: separate the columns with commas"),
    ("age,tariff\n1,x\n", "t.csv", "needed one called 'action'"), ("", "t.csv", "needed one called 'action'"),
    ('action,age\nclub,"1\n', "t.csv", "cannot be read"),
    ("[{action: club, age: '>= 18', age: '< 65'}]", "t.yaml[0].age", "the key 'age' stands here twice"),
])  # fmt: skip
def test_no_cell_of_a_file_is_lost_in_silence(tmp_path, text, place, problem):
    with pytest.raises(nba.CatalogError) as caught:
        loaded(tmp_path, "t.yaml" if text[:1] == "[" else "t.csv", text)
    [fault] = caught.value.faults
    assert (fault.place == place or problem == "cannot be read") and problem in fault.message


def test_what_spreadsheets_leave_behind_is_accepted(tmp_path):
    made = loaded(tmp_path, "t.csv", "action, age ,tariff\nclub ,>= 18 , - ,,\n,,\n\nclub,,gold\nclub,1\n")
    assert made.definition.actions[0].eligibility == ("(age >= 18) || (tariff == 'gold') || (age == 1)",)


@pytest.mark.parametrize(("header", "cell", "problem"), [
    ("age", "18-65", "came '18-65'; a cell of this column may be 18, 18 | 21, 18..65"), ("age", "18 - 65", "came '18 - 65'; a cell"),
    ("age", "1..2 | 4", "18..65"), ("age", "18 |", "18 | 21"), ("bill", "age", "came 'age'; a cell"), ("tariff", "gold || silver", "gold | silver"),
    ("tariff", "< b", "unknown fact 'b'; a cell of this column may be gold, gold | silver, not gold, >= 'm'"), ("tariff", "a and  and b", "gold"),
    ("since", ">= 2026-03-01T00:00:00Z", "may be < timestamp('2026-03-01T00:00:00Z')"), ("since", "2026-03-01", "may be < timestamp('"),
    ("wait", "> 72h", "may be duration('72h'), > duration('72h')"), ("age", "not 18-65", "18..65"), ("age", ">= 18 and 20-30", "18..65"),
])  # fmt: skip
def test_what_is_no_cell_is_refused_with_what_one_may_be(header, cell, problem):
    with pytest.raises(nba.CatalogError) as caught:
        nba.Catalog.from_dict({"facts": {**FACTS, "since": "timestamp", "wait": "duration"}, "actions": ACTIONS,
                               "tables": [{"name": "t", "rows": [{"action": "club", header: cell}]}]})
    [fault] = caught.value.faults
    assert fault.place == f"tables[0].rows[0].{header}" and problem in fault.message and fault.excerpt.strip() != "^"


def test_a_fact_called_as_the_column_of_the_actions_has_a_column_of_its_own():
    rule = parse("action == 'call' && !(action == 'x') || age > 3")
    rows = as_rows("club", rule)
    assert [row["action"] for row in rows] == ["club", "club"] and rows[0]["(action)"] == "== 'call'"
    made = nba.Catalog.from_dict({"facts": {"action": "string", "age": "int"}, "actions": [{"id": "club"}], "tables": [{"name": "t", "rows": rows}]})
    [text] = made.definition.actions[0].eligibility
    for facts in ({"action": "call", "age": 1}, {"action": "x", "age": 1}, {"action": "x", "age": 4}, {}):
        assert repr(evaluate(parse(text), facts, nullable=True)) == repr(evaluate(rule, facts, nullable=True))


CELLS = {"age": ["1", ">= 1", "0..1", "> 0 and < 3", "not 1", "", "!= null"], "tariff": ["a", "a | b", "not a", "!= 'b'", "-"],
         "vip": ["true", "false", ""], "products": ["x", "not x", "x | y", ""], "age * 2": ["> 1", ""]}  # fmt: skip
ROWS = [dict(zip(("age", "tariff", "vip", "products"), values, strict=True))
        for values in product((None, 0, 1, 2), (None, "a", "b"), (None, True, False), (None, [], ["x"], ["y"]))]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_there_and_back(seed):
    """Table -> rule -> rows -> rule means the same for every customer, unknown facts included."""
    rng = random.Random(seed)
    rows = [{"action": "fibre", **{h: rng.choice(cells) for h, cells in CELLS.items()}} for _ in range(rng.randint(1, 3))]
    [text] = catalog(*rows).definition.actions[1].eligibility
    [again] = catalog(*as_rows("fibre", parse(text))).definition.actions[1].eligibility
    for facts in ROWS:
        assert repr(evaluate(parse(text), facts, nullable=True)) == repr(evaluate(parse(again), facts, nullable=True)), (text, again)


def found(*rows, **table):
    return [(f.place, f.message) for f in catalog(*rows, **table).check() if f.place.startswith("tables")]


def test_check_finds_rows_that_do_nothing_and_gaps():
    covered = "whom this row lets through tables[0].rows[0] lets through already: remove it, or change one of them"
    assert found({"action": "club", "age": ">= 18"}, {"action": "club", "age": ">= 21", "vip": True}) == [("tables[0].rows[1]", covered)]
    two = [{"action": "club", "age": "18..99"}, {"action": "fibre", "age": 20}]
    assert found({"action": "club", "age": ">= 18"}, *two) == [("tables[0].rows[1]", covered)]
    assert found({"action": "club", "age": "> 3"}, {"action": "club", "age": "== null"}) == []
    assert found({"action": "club", "age": 1}, {"action": "club", "age": 1}) == [("tables[0].rows[1]", covered)]
    assert found({"action": "club", "age": "> 9 and < 5"}) == [("tables[0].rows[0]", "this row never holds: age > 9 && age < 5 contradicts itself")]
    assert found({"action": "club", "age": "< 30"}, {"action": "club", "age": "> 20"}, {"action": "club", "vip": True}) == []
    assert found({"action": "club", "age": ">= 18", "vip": True}, {"action": "club", "age": ">= 21"}) == []
    halves = [{"action": "club", "age": "< 18"}, {"action": "fibre", "age": ">= 18"}]
    assert found(*halves, complete=True) == []
    assert found(*halves[:1], complete=True) == [("tables[0]", "'t' is to be complete, yet no row holds for age = 18: add a row")]
    assert found({"action": "club", "age": "18..30", "tariff": "gold"}, {"action": "club", "age": "< 18"}, complete=True) == [
        ("tables[0]", "'t' is to be complete, yet no row holds for age = 31: add a row")]  # fmt: skip
