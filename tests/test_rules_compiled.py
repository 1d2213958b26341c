"""The compiled rules say exactly what the plain evaluator says, on thousands of random rules and rows, and on cases a reader can verify."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import nba_engine as nba
from nba_engine.errors import CheckError
from nba_engine.facts.encoding import Encoder, Row
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.numerics.bitset import unpack
from nba_engine.numerics.kernel import kernel
from nba_engine.rules import check, evaluate, index, lines, parse, tables
from nba_engine.rules.index import RuleIndex, RuleIndexBuilder
from nba_engine.rules.truth import Evaluation
from nba_engine.schema import BUILT_IN_FACTS, DOUBLE, Fact, Type, parse_type
from tests import expressions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Compiled:
    """A list of rules (and value expressions) over facts, compiled together."""

    def __init__(self, facts: Mapping[str, Type], rules: list[str], values: list[str] = ()) -> None:
        vocabulary = Vocabulary()
        self.encoder = Encoder([Fact(name, type_) for name, type_ in facts.items()], vocabulary)
        types = {**facts, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}
        columns = {column.name: (i, column.type) for i, column in enumerate(self.encoder.columns)}
        builder = RuleIndexBuilder(columns, len(columns), vocabulary.name)
        self.types = types
        for text in rules:
            node = parse(text)
            builder.target([check(node, types, text)])
        self.slots: list[tuple[int, Type]] = []
        for text in values:
            node = parse(text)
            checked = check(node, types, text)
            self.slots.append((builder.number(checked), checked.type))
        self.index: RuleIndex = builder.build()
        self.evaluation = Evaluation(self.index)

    def run(self, facts: Mapping[str, Any]) -> list[bool]:
        """Which rules hold; `facts` may hold `now`, `channel` and `direction`."""
        given = {name: value for name, value in facts.items() if name not in ("now", "channel", "direction")}
        now_us = (facts.get("now", _EPOCH) - _EPOCH) // timedelta(microseconds=1)
        row = self.encoder.encode(given, now_us, facts.get("channel"), facts.get("direction"))
        variables = {**self.encoder.variables(row), **{k: facts[k] for k in ("now", "channel", "direction") if k in facts}}
        self.evaluation.run(row, lambda _: variables)
        return unpack(self.evaluation.bits[0, : self.index.n_target_words], self.index.n_targets).tolist()

    def value(self, i: int) -> float | int | None:
        """The value of expression `i` for the row last run; None where it has none."""
        slot, type_ = self.slots[i]
        if self.evaluation.states[0, slot] != 0:
            return None
        number = self.evaluation.values[0, slot : slot + 1]
        return float(number.view(np.float64)[0]) if type_ == DOUBLE else int(number[0])


@pytest.mark.parametrize("seed", range(12))
def test_compiled_rules_equal_the_plain_evaluator(seed: int) -> None:
    rng = random.Random(seed)
    rules, rows = expressions.rules_and_rows(rng, expressions.FACTS, 250, n_rows=40, depth=2 + seed % 3)
    compiled = Compiled(expressions.FACTS, rules)
    trees = [parse(text) for text in rules]
    for row in rows:
        found = compiled.run(row)
        expected = [evaluate(tree, row, nullable=True) is True for tree in trees]
        wrong = [(text, f, e) for text, f, e in zip(rules, found, expected, strict=True) if f != e]
        assert not wrong, (wrong[:2], row)


@pytest.mark.parametrize(("layout", "seed"), [({"PLACES_PER_BLOCK": 1, "MARKS_PER_WORD": 0}, 20), ({"MARKS_PER_WORD": 10**6}, 21),
                                             ({"NEAR_BYTES": 0, "ROWS_BYTES_MAX": 20_000, "MARKS_PER_WORD": 0}, 22), ({"PLACES_PER_BLOCK": 4}, 23),
                                             ({"PLACES_PER_BLOCK": 4, "MARKS_PER_WORD": 0}, 24), ({"PLACES_PER_BLOCK": 2}, 25)])
def test_every_layout_of_the_tables_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch, layout: dict[str, int], seed: int) -> None:
    """Rows alone, places alone, and blocks of many cells."""
    for name, value in layout.items():
        monkeypatch.setattr(tables, name, value)
    test_compiled_rules_equal_the_plain_evaluator(seed)


@dataclass(frozen=True)
class Stacked:
    """Encoded rows behind each other, as rules read them."""

    values: Any
    states: Any
    item_codes: Any
    item_offsets: Any


def stacked(rows: Sequence[Row]) -> Stacked:
    begins = np.cumsum([0, *(len(row.item_codes) for row in rows[:-1])])
    offsets = np.concatenate([row.item_offsets + begin for row, begin in zip(rows, begins, strict=True)]).astype(np.int32)
    return Stacked(*(np.concatenate([getattr(row, name) for row in rows]) for name in ("values", "states", "item_codes")), offsets)


@pytest.mark.parametrize(("n_rows", "clauses_max"), [(31, 8), (32, 8), (69, 1)])
def test_many_rows_at_once_are_each_row_alone(monkeypatch: pytest.MonkeyPatch, n_rows: int, clauses_max: int) -> None:
    """Targets, values and states, whatever rows the evaluation answered before and however many it has room for."""
    monkeypatch.setattr(index, "CLAUSES_MAX", clauses_max)
    rng = random.Random(n_rows)
    rules, given = expressions.rules_and_rows(rng, expressions.FACTS, 150, n_rows=n_rows, depth=3)
    compiled = Compiled(expressions.FACTS, rules, [expressions.value_rule(rng, expressions.FACTS, depth=3) for _ in range(20)])
    rows = [compiled.encoder.encode({k: v for k, v in facts.items() if k not in ("now", "channel", "direction")}, 0, None, None) for facts in given]
    variables = [compiled.encoder.variables(row) for row in rows]
    together = Evaluation(compiled.index, n_rows + 3)
    for order in (range(n_rows - 1, -1, -1), range(n_rows)):
        together.run(stacked([rows[k] for k in order]), lambda r, order=order: variables[order[r]])
    for r, row in enumerate(rows):
        compiled.evaluation.run(row, lambda _, r=r: variables[r])
        for name in ("bits", "values", "states"):
            n = compiled.index.n_target_words if name == "bits" else None
            assert np.array_equal(getattr(together, name)[r, :n], getattr(compiled.evaluation, name)[0, :n]), (r, name)


@pytest.mark.parametrize(("clauses_max", "seed"), [(1, 30), (2, 31), (64, 32)])
def test_clauses_and_gates_say_the_same(monkeypatch: pytest.MonkeyPatch, clauses_max: int, seed: int) -> None:
    monkeypatch.setattr(index, "CLAUSES_MAX", clauses_max)
    test_compiled_rules_equal_the_plain_evaluator(seed)


@kernel
def _fill_lines(numbers, into, counts):
    lines.or_lines(into, 3, numbers, (1, 9, 17))
    for k in range(counts.shape[0]):
        counts[k] = lines.n_below(numbers, k, numbers[0])


def test_lines_of_eight_numbers() -> None:
    """Eight numbers and no more are joined and counted, from any place, whatever their signs."""
    numbers = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 25, endpoint=True)
    numbers[[0, 5, 6, 7]] = 3, -(2**63), 2**63 - 1, 3
    into, counts = np.arange(12), np.zeros(18, np.int64)
    _fill_lines(numbers, into, counts)
    assert into.tolist() == [0, 1, 2, *(k | numbers[k - 2] | numbers[k + 6] | numbers[k + 14] for k in range(3, 11)), 11]
    assert counts.tolist() == [sum(int(number) < 3 for number in numbers[k : k + 8]) for k in range(18)]


@pytest.mark.skipif(os.environ.get("NUMBA_BOUNDSCHECK") != "1", reason="places are checked only with NUMBA_BOUNDSCHECK=1")
@pytest.mark.parametrize(("n_numbers", "n_into", "n_counts"), [(24, 12, 1), (25, 10, 1), (25, 12, 19)])
def test_lines_beyond_an_array_are_found(n_numbers: int, n_into: int, n_counts: int) -> None:
    with pytest.raises(IndexError):
        _fill_lines(np.zeros(n_numbers, np.int64), np.zeros(n_into, np.int64), np.zeros(n_counts, np.int64))


def test_few_rules_among_many_facts() -> None:
    """Nothing is read beyond tables that are smaller than a row (NUMBA_BOUNDSCHECK=1), whether a fact has a value or not."""
    compiled = Compiled(_facts(**{f"f{i}": "int" for i in range(2_000)}), ["f1999 > 3", "f7 < 2 || f8 == 9"])
    for row, found in (({}, [False, False]), ({"f1999": 4}, [True, False]), ({"f1999": None, "f8": 9}, [False, True])):
        assert compiled.run(row) == found


@pytest.mark.parametrize("layout", [{}, {"NEAR_BYTES": 0, "ROWS_BYTES_MAX": 20_000}])
def test_many_constants_of_their_own(monkeypatch: pytest.MonkeyPatch, layout: dict[str, int]) -> None:
    """2,400 rules, no two with the same constant, on values beside each constant, signs and magnitudes of all sizes, and what lies beyond numbers."""
    for name, value in layout.items():
        monkeypatch.setattr(tables, name, value)
    rng = random.Random(6)
    constants = [rng.choice((-1, 1)) * rng.randint(0, 10 ** rng.randint(1, 18)) for _ in range(1000)]
    doubles = [rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300) for _ in range(1000)]
    rules = [f"a {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {c}" for c in constants]
    rules += [f"b {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {c!r}" for c in doubles]
    rules += [f"a == {c} || b == {d!r}" for c, d in zip(constants[:200], doubles[:200], strict=True)]
    rules += [f"(a >= {min(c, e)} && a < {max(c, e)}) || b > {d!r}" for c, d, e in zip(constants, doubles, constants[200:400], strict=False)]
    compiled, trees = Compiled(_facts(a="int", b="double"), rules), [parse(text) for text in rules]
    beyond = [{"a": a, "b": b} for a in (None, -(2**63), 2**63 - 1) for b in (None, float("nan"), np.inf, -np.inf, -0.0)]
    near = [{"a": rng.choice(constants) + rng.randint(-1, 1), "b": np.nextafter(rng.choice(doubles), rng.choice((-np.inf, 0.0, np.inf))).item()}
            for _ in range(45)]
    for row in near + beyond:
        assert compiled.run(row) == [evaluate(tree, row, nullable=True) is True for tree in trees]


@pytest.mark.parametrize("seed", range(6))
def test_compiled_values_equal_the_plain_evaluator(seed: int) -> None:
    rng = random.Random(1000 + seed)
    texts = [expressions.value_rule(rng, expressions.FACTS, depth=3) for _ in range(120)]
    compiled = Compiled(expressions.FACTS, [], texts)
    trees = [parse(text) for text in texts]
    for _ in range(40):
        row = expressions.row(rng, expressions.FACTS)
        compiled.run(row)
        for i, (text, tree) in enumerate(zip(texts, trees, strict=True)):
            value = evaluate(tree, row, nullable=True)
            expected = value if isinstance(value, int | float) and not isinstance(value, bool) else None
            found = compiled.value(i)
            assert found == expected or (found != found and expected != expected), (text, row, found, expected)


def _facts(**types: str) -> dict[str, Type]:
    return {name: parse_type(text) for name, text in types.items()}


@pytest.mark.parametrize(
    ("rule", "facts", "holds"),
    [
        ("age >= 18", {"age": 18}, True),
        ("age >= 18", {"age": 17}, False),
        ("age >= 18", {"age": None}, False),
        ("age >= 18", {}, False),
        ("!(age >= 18)", {}, False),
        ("!(age >= 18)", {"age": 17}, True),
        ("age < 18.5", {"age": 18}, True),
        ("age > 9007199254740992.0", {"age": 2**53 + 1}, True),
        ("bill < 9007199254740993", {"bill": 2.0**53}, True),
        ("bill == 9007199254740993", {"bill": 2.0**53}, False),
        ("bill != 1.0", {"bill": float("nan")}, True),
        ("!(bill < 1.0)", {"bill": float("nan")}, True),
        ("bill < 1.0", {"bill": float("nan")}, False),
        ("bill >= 0.0", {"bill": -0.0}, True),
        ("age == null", {"age": None}, True),
        ("age == null", {}, False),
        ("age != null", {"age": 3}, True),
        ("has(age)", {}, False),
        ("!has(age)", {}, True),
        ("!has(age)", {"age": None}, True),
        ("plan in ['gold', 'silver']", {"plan": "silver"}, True),
        ("!(plan in ['gold', 'silver'])", {"plan": "tin"}, True),
        ("!(plan in ['gold', 'silver'])", {}, False),
        ("plan == 'gold' || age > 60", {"age": 61}, True),
        ("plan == 'gold' && age > 60", {"age": 61}, False),
        ("plan == 'gold' ? age > 60 : age > 18", {"plan": "tin", "age": 20}, True),
        ("plan == 'gold' ? age > 60 : age > 18", {"age": 70}, False),
        ("age / 0 == 1 || vip", {"age": 1, "vip": True}, True),
        ("age / 0 == 1 || vip", {"age": 1, "vip": False}, False),
        ("age * 9223372036854775807 > 0", {"age": 2}, False),
        ("age > 10 && (age < 5 || vip)", {"age": 11, "vip": True}, True),
        ("(age > 10 && vip) || (plan == 'gold' && bill > 1.0)", {"plan": "gold", "bill": 2.0}, True),
        ("'tv' in tags", {"tags": ["net", "tv"]}, True),
        ("'tv' in tags", {"tags": []}, False),
        ("!('tv' in tags)", {"tags": None}, False),
        ("tags.exists(t, t.startsWith('t'))", {"tags": ["net", "tv"]}, True),
        ("tags.all(t, t.size() > 2)", {"tags": ["net", "tv"]}, False),
        ("plan.matches('^g.*d$')", {"plan": "gold"}, True),
        ("size(tags) == 2", {"tags": ["a", "b"]}, True),
        ("now - since > duration('24h')", {"since": datetime(2026, 1, 1, tzinfo=UTC)}, True),
        ("since + duration('24h') > now", {"since": datetime(2026, 1, 1, tzinfo=UTC)}, False),
        ("channel == 'call' && direction == 'inbound'", {}, True),
        ("home.city == 'Bern'", {"home": {"city": "Bern"}}, True),
        ("has(home.city)", {"home": None}, False),
        ("home.city == null", {"home": None}, False),
        ("vip == true", {"vip": True}, True),
        ("vip != true", {"vip": False}, True),
        ("vip", {}, False),
        ("!vip", {}, False),
    ],
)
def test_by_hand(rule: str, facts: dict[str, Any], holds: bool) -> None:
    types = _facts(age="int", bill="double", plan="string", tags="list<string>", since="timestamp", vip="bool")
    types["home"] = Type("struct", (), (("city", parse_type("string")),))
    surroundings = {"now": datetime(2026, 2, 1, tzinfo=UTC), "channel": "call", "direction": "inbound"}
    assert Compiled(types, [rule]).run({**facts, **surroundings}) == [holds]


def test_rules_do_not_disturb_each_other() -> None:
    """1,000 rules compiled together answer as each one alone does."""
    rng = random.Random(5)
    rules, rows = expressions.rules_and_rows(rng, expressions.FACTS, 150, n_rows=5)
    together = Compiled(expressions.FACTS, rules * 7)
    alone = [Compiled(expressions.FACTS, [text]) for text in rules]
    for row in rows:
        assert together.run(row) == [compiled.run(row)[0] for compiled in alone] * 7


def test_a_rule_with_too_many_parts_is_refused() -> None:
    rule = " || ".join(f"a == {i}" for i in range(4200))
    with pytest.raises(CheckError, match="split it into several rules"):
        Compiled(_facts(a="int"), [rule])


def test_nested_conditionals_share_their_parts() -> None:
    """Written out, this rule would double with every level; as a graph it stays small and answers at once."""
    rule = "b > 0"
    for i in range(20):
        rule = f"(a > {i} ? {rule} : b > {i})"
    compiled = Compiled(_facts(a="int", b="int"), [rule])
    assert compiled.run({"a": 100, "b": 1}) == [True]
    assert compiled.index.n_gates < 200


def test_what_is_kept_of_a_rule_serves_catalogs_that_number_facts_and_texts_otherwise() -> None:
    """The normal form of a checked rule is made once; slots and codes of texts are each compilation's own."""
    text = "!(plan in ['gold', 'silver']) && (age - 1 < 40 || plan == 'tin' || has(since)) && since != null"
    facts = {"plan": parse_type("string"), "age": parse_type("int"), "since": parse_type("timestamp")}
    rule = check(parse(text), facts, text)
    rows = [{"plan": plan, "age": age, "since": since}
            for plan in ("gold", "silver", "tin", "lead") for age in (40, 41, 42) for since in (None, _EPOCH)]
    for names, known in ((["plan", "age", "since"], []), (["since", "plan", "age"], ["lead", "tin", "silver", "gold"])):
        vocabulary = Vocabulary()
        for one in known:
            vocabulary.name("plan", one)
        encoder = Encoder([Fact(name, facts[name]) for name in names], vocabulary)
        columns = {column.name: (i, column.type) for i, column in enumerate(encoder.columns)}
        builder = RuleIndexBuilder(columns, len(columns), vocabulary.name)
        builder.target([rule])
        evaluation = Evaluation(builder.build())
        for row in rows:
            evaluation.run(encoder.encode(row, 0, None, None), lambda _: {})
            assert bool(evaluation.bits[0, 0] & np.uint64(1)) == (evaluate(rule.node, row, nullable=True) is True), row


LARGE = (2**63 - 1, 2**63 - 2, 2**63 - 1024, 2**53 + 1, 0, -(2**63))
LARGE_DOUBLES = (2.0**63, 2.0**63 - 1024, 2.0**64, 2.0**53, -(2.0**63), -(2.0**64))


def test_the_largest_ints_compare_with_doubles_as_the_standard_asks():
    """The double 2**63 is equal to the largest int: `not_lt_dyn_int_big_lossy_double` and its neighbours of the conformance tables."""
    signs = ("<", "<=", "==", "!=", ">=", ">")
    rules = [*(f"i {sign} d" for sign in signs), *(f"d {sign} i" for sign in signs), *(f"i {sign} {d!r}" for sign in signs for d in LARGE_DOUBLES),
             *(f"d {sign} {i}" for sign in signs for i in LARGE), "i in [9223372036854775808.0]", "d in [9223372036854775807]"]
    compiled = Compiled({"i": parse_type("int"), "d": DOUBLE}, rules)
    for i in LARGE:
        for d in LARGE_DOUBLES:
            facts = {"i": i, "d": d}
            expected = [evaluate(parse(rule), facts, nullable=True) is True for rule in rules]
            assert compiled.run(facts) == expected, (facts, [r for r, e, f in zip(rules, expected, compiled.run(facts), strict=True) if e != f])
    assert compiled.run({"i": 2**63 - 1, "d": 2.0**63})[:6] == [False, True, True, False, True, False]


def test_times_with_parts_of_a_microsecond_and_unsigned_constants_are_the_plain_evaluators():
    rules = ["t + duration('1ns') > t", "t + duration('1ns') == t", "t < t + duration('1500ns')", "!(t + duration('1ns') > t)",
             "w + duration('1ns') > w", "duration('1ns') < w", "t - duration('1ns') < timestamp('2026-03-02T12:00:00Z')",
             "(vip ? t : t + duration('1ns')) > t", "t + duration(s) > t", "t == timestamp('2026-03-02T12:00:00.000000001Z')",
             "t + duration('1us') > t", "now + duration('1ns') > now", "vip || t + duration('1ns') > t", "t in [timestamp('2026-03-02T12:00:00Z')]",
             "u > 3u", "u + 1u == 8u", "u in [7u, 9u]", "vip ? u > 7u : 7u == u", "u == 18446744073709551615u", "double(u) > 3.0", "int(u) == 7"]
    types = {name: parse_type(type_) for name, type_ in (("t", "timestamp"), ("w", "duration"), ("s", "string"), ("u", "uint"), ("vip", "bool"))}
    compiled = Compiled(types, rules)
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for vip in (True, False, None):
        facts = {"t": noon, "w": timedelta(hours=1), "s": "1ns", "u": nba.UInt(7), "vip": vip, "now": noon}
        expected = [evaluate(parse(rule), facts, nullable=True) is True for rule in rules]
        found = compiled.run(facts)
        assert found == expected, [rule for rule, e, f in zip(rules, expected, found, strict=True) if e != f]
        assert found[0] and not found[3]
