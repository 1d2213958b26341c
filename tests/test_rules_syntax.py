"""Text to tree and back: shapes by hand, limits, and errors that point at their place."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from nba_engine.errors import ParseError
from nba_engine.rules import parse, unparse, walk
from nba_engine.rules.parsing import DEPTH_MAX, MACRO_NESTING_MAX, NODES_MAX, TEXT_LENGTH_MAX
from nba_engine.rules.syntax import Call, Has, ListLiteral, Literal, Macro, MapLiteral, Name, Node, Select, children
from nba_engine.rules.values import UInt
from nba_engine.schema import BOOL, BYTES, DOUBLE, INT, NULL, STRING, UINT
from tests.expressions import FACTS, boolean_rule, value_rule

AGE = Name("age")


def number(value: int) -> Literal:
    return Literal(value, INT)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("age", AGE),
        (".age", Name(".age")),
        ("age >= 18", Call("_>=_", (AGE, number(18)))),
        ("1 + 2 * 3", Call("_+_", (number(1), Call("_*_", (number(2), number(3)))))),
        ("1 - 2 - 3", Call("_-_", (Call("_-_", (number(1), number(2))), number(3)))),
        ("(1 + 2) * 3", Call("_*_", (Call("_+_", (number(1), number(2))), number(3)))),
        ("!a && b", Call("_&&_", (Call("!_", (Name("a"),)), Name("b")))),
        ("a || b && c", Call("_||_", (Name("a"), Call("_&&_", (Name("b"), Name("c")))))),
        ("a ? b : c ? d : e", Call("_?_:_", (Name("a"), Name("b"), Call("_?_:_", (Name("c"), Name("d"), Name("e")))))),
        ("-age", Call("-_", (AGE,))),
        ("-9223372036854775808", number(-(2**63))),
        ("-0.0", Call("-_", (Literal(0.0, DOUBLE),))),
        ("age in [18, 19]", Call("@in", (AGE, ListLiteral((number(18), number(19)))))),
        ("[1, 2,]", ListLiteral((number(1), number(2)))),
        ("{'a': 1,}", MapLiteral(((Literal("a", STRING), number(1)),))),
        ("a.b.c", Select(Select(Name("a"), "b"), "c")),
        ("a.`b-c`", Select(Name("a"), "b-c")),
        ("a['b']", Call("_[_]", (Name("a"), Literal("b", STRING)))),
        ("a.size()", Call("size", (Name("a"),), True)),
        ("size(a)", Call("size", (Name("a"),))),
        ("math.greatest(a, 1)", Call("math.greatest", (Name("a"), number(1)))),
        ("has(age)", Has(AGE)),
        ("has(a.b)", Has(Select(Name("a"), "b"))),
        ("p.exists(x, x == 1)", Macro("exists", Name("p"), "x", Call("_==_", (Name("x"), number(1))))),
        ("p.map(x, x)", Macro("map", Name("p"), "x", None, Name("x"))),
        ("p.map(x, c, x)", Macro("map", Name("p"), "x", Name("c"), Name("x"))),
        ("p.all(i, x, c)", Macro("all", Name("p"), "i", Name("c"), value_variable="x")),
        ("age // a comment\n > 1", Call("_>_", (AGE, number(1)))),
    ],
)
def test_trees_by_hand(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "value", "type_"),
    [
        ("0x1F", 31, INT), ("7u", UInt(7), UINT), (".5", 0.5, DOUBLE), ("1e3", 1000.0, DOUBLE), ("true", True, BOOL), ("null", None, NULL),
        (r"'a\'\n\x41\u00e9\101'", "a'\nAéA", STRING), (r"r'\n'", r"\n", STRING), ('"""a\n"b"""', 'a\n"b', STRING),
        (r"b'\xff\101é'", b"\xffA\xc3\xa9", BYTES), ("b'a'", b"a", BYTES),
    ],
)  # fmt: skip
def test_literals_by_hand(text: str, value: object, type_: object) -> None:
    node = parse(text)
    assert isinstance(node, Literal)
    assert (node.value, type(node.value), node.type) == (value, type(value), type_)


def test_literals_of_different_types_differ() -> None:
    assert len({Literal(1, INT), Literal(True, BOOL), Literal(1.0, DOUBLE), Literal(UInt(1), UINT)}) == 4


def test_equal_parts_are_equal_wherever_they_stand() -> None:
    left, right = children(parse("age > 18 && age > 18"))
    assert left == right
    assert hash(left) == hash(right)
    assert left.position != right.position


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("age >", 5, "expected a value"), ("age = 3", 4, "write == to compare"), ("vip and old", 4, "write && for and"),
        ("not vip", 4, "write ! for not"), ("(age", 4, "expected ')'"), ("a ? b", 5, "expected ':'"), ("age 3", 4, "expected an operator"),
        ("T{a: 1}", 1, "message"), ("a.?b", 2, "optional"), ("'abc", 0, "does not end"), (r"'\q'", 1, "not an escape"),
        ("9223372036854775808", 0, "not an int64"), ("18446744073709551616u", 0, "not a uint64"), ("if", 0, "reserved"),
        ("1e999", 0, "beyond the largest double"), ("a == '\ud800'", 6, "half of a pair"),
        ("has(1 + 2)", 0, "has() takes"), ("p.exists(1, true)", 2, "a variable and a condition"), (r"'\ud800'", 1, "not a character"),
    ],
)  # fmt: skip
def test_errors_point_at_their_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert problem in caught.value.problem
    assert caught.value.position == position
    assert str(caught.value).endswith("\n" + " " * position + "^")


@pytest.mark.parametrize("text", ["", "  ", "// only a comment"])
def test_nothing_is_no_expression(text: str) -> None:
    with pytest.raises(ParseError, match="the expression is empty"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1" * (TEXT_LENGTH_MAX + 1), "TEXT_LENGTH_MAX"),
        ("[" + "1," * NODES_MAX + "]", "NODES_MAX"),
        ("!" * (DEPTH_MAX + 1) + "a", "DEPTH_MAX"),
        ("[" * 5_000 + "]" * 5_000, "DEPTH_MAX"),
        ("a" + " + a" * DEPTH_MAX, "DEPTH_MAX"),
        ("a" + ".a" * 10_000, "DEPTH_MAX"),
        ("p.all(x, " * (MACRO_NESTING_MAX + 1) + "true" + ")" * (MACRO_NESTING_MAX + 1), "MACRO_NESTING_MAX"),
    ],
)
def test_limits_are_parse_errors_with_their_names(text: str, limit: str) -> None:
    with pytest.raises(ParseError, match=limit):
        parse(text)


def test_long_chains_are_shallow_and_parentheses_free() -> None:
    chain = parse(" || ".join(f"age == {i}" for i in range(2000)))
    assert sum(1 for node in walk(chain) if isinstance(node, Name)) == 2000
    assert parse("(" * 5_000 + "age" + ")" * 5_000) == AGE


@pytest.mark.parametrize(
    "text",
    ["a && (b || c) && d", "(a + b) * c - -d", "(a ? b : c) ? d : e", "a ? (b ? c : d) : e", "(-1).size()", "!(a == b)", "a - (b - c)",
    "'\\n\\''", "a.`b c`", "[1, 2].existsOne(i, v, i == v)", "b'\\xff'", "{'a': [1u]}['a']"],
)  # fmt: skip
def test_unparse_reads_back_to_the_same_tree(text: str) -> None:
    assert parse(unparse(parse(text))) == parse(text)


def test_unparse_is_stable_on_random_rules() -> None:
    rng = random.Random(5)
    for _ in range(200):
        text = unparse(parse(rng.choice((boolean_rule, value_rule))(rng, FACTS)))
        assert unparse(parse(text)) == text


def test_the_room_is_light_to_import() -> None:
    heavy = "lark", "re2", "numba", "numpy", "pyarrow", "pydantic"
    code = f"import sys, nba_engine.rules; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
