"""Static types by hand, and faults that say what to write instead."""

from __future__ import annotations

import random

import pytest

from nba_engine.errors import CheckError
from nba_engine.rules import check, parse, walk
from nba_engine.schema import (
    BOOL, BUILT_IN_FACTS, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, UINT, Type, list_of, map_of,
)  # fmt: skip
from tests.expressions import FACTS, boolean_rule, value_rule

KNOWN: dict[str, Type] = {
    **FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}, "points": UINT, "limits": map_of(STRING, INT), "anything": DYN,
}  # fmt: skip


def type_of(text: str) -> Type:
    return check(parse(text), KNOWN, text).type


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("age", INT), ("age + 1", INT), ("monthly_bill * 6.0", DOUBLE), ("age > 17.5", BOOL), ("points == age", BOOL),
        ("age == null", BOOL),
        ("address.city", STRING), ("has(address.city)", BOOL), ("has(age)", BOOL), ("limits.daily", INT), ("limits['daily'] + 1", INT),
        ("products[0]", STRING), ("size(products)", INT), ("products.size()", INT), ("products + ['a']", list_of(STRING)),
        ("products.filter(p, p != tariff)", list_of(STRING)), ("products.map(p, size(p))", list_of(INT)),
        ("products.exists(p, p == 'a')", BOOL),
        ("limits.all(k, v, k != 'x' && v > 1)", BOOL), ("limits.transformMap(k, v, double(v))", map_of(STRING, DOUBLE)),
        ("now - contract_end", DURATION), ("now + duration('24h')", TIMESTAMP), ("now.getHours('Europe/Zurich')", INT),
        ("vip ? 1.0 : monthly_bill", DOUBLE), ("vip ? null : age", INT), ("[]", list_of(DYN)), ("[1, 2.0]", list_of(DYN)),
        ("[[], [1]]", list_of(list_of(INT))),
        ("anything.foo[3] + 1", INT), ("anything && vip", BOOL), ("dyn(age) == 'a'", BOOL), ("math.greatest(age, 3)", INT),
        ("math.least(age, 3.0)", DYN),
        ("int('7') + age", INT), ("string(age) + 'x'", STRING), ("age in [1, 2]", BOOL), ("'a' in limits", BOOL),
    ],
)  # fmt: skip
def test_types_by_hand(text: str, type_: Type) -> None:
    assert type_of(text) == type_


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("agee > 1", 0, "unknown fact 'agee'; did you mean 'age'?"),
        ("age > 1 && adress.city == 'x'", 11, "did you mean 'address'?"),
        ("address.cty == 'x'", 8, "unknown field 'cty'; did you mean 'city'?"),
        ("has(address.cty)", 12, "did you mean 'city'?"),
        ("tariff.contain('x')", 7, "unknown function 'contain'; did you mean 'contains'?"),
        ("contains(tariff, 'x')", 0, "value.contains(...)"),
        ('age > "18"', 4, "write 18 without quotes"),
        ("monthly_bill * 6", 13, "double * int is not defined; write 6.0"),
        ("monthly_bill * age", 13, "write double(...) around the int"),
        ("points + 1", 7, "write 1u"),
        ("age + null", 4, "null can only be compared"),
        ("vip == 1", 4, "a bool is not a number"),
        ("vip + 1", 4, "a bool is not a number"),
        ("age && vip", 0, "needs a condition (bool), not int"),
        ("!age", 0, "!int is not defined"),
        ("vip ? 1 : 'a'", 4, "they need one type"),
        ("'fibre' in tariff", 8, "write text.contains(part)"),
        ("3 in products", 2, "list<string> cannot hold int"),
        ("products.exists(p, p == 3)", 21, "string == int"),
        ("products.exists(p, size(p))", 19, "needs a condition"),
        ("age.exists(p, true)", 4, "needs a list or a map"),
        ("now - contract_end > 30", 19, "duration('72h')"),
        ("now - contract_end > duration('30d')", 30, "720h"),
        ("contract_end < timestamp('2026-01-01')", 25, "is not a timestamp"),
        ("tariff.matches('(a')", 15, "bad regular expression"),
        ("now.getHours('Europe/Zuerich')", 13, "is not a time zone"),
        ("products['a']", 8, "has no item at a string"),
        ("age.city", 4, "has no fields"),
    ],
)  # fmt: skip
def test_faults_say_what_to_write(text: str, position: int, problem: str) -> None:
    with pytest.raises(CheckError) as caught:
        type_of(text)
    assert problem in caught.value.problem
    assert caught.value.position == position
    assert caught.value.text == text


def test_every_part_has_a_type() -> None:
    text = "products.exists(p, p == tariff && age > 3) ? monthly_bill : {'a': [1.0]}['a'][0]"
    checked = check(parse(text), KNOWN, text)
    assert [str(checked.type_of(node)) for node in walk(checked.node)][:4] == ["double", "bool", "list<string>", "bool"]
    assert {id(node) for node in walk(checked.node)} == set(checked.types)


def test_random_rules_have_the_type_they_are_written_for() -> None:
    rng = random.Random(11)
    for _ in range(150):
        assert type_of(boolean_rule(rng, FACTS)) == BOOL
        assert type_of(value_rule(rng, FACTS)) in (INT, DOUBLE)
