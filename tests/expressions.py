"""Random catalog rules that are type-correct over given facts, and random rows of those facts. Plain functions of a random.Random.

    rules, rows = rules_and_rows(random.Random(7), FACTS, 200)

Every text passes `check` over `facts` plus the built-in facts; boolean rules have type bool, value rules int or double.
Rows hold values, nulls and gaps; numbers and times sit on and beside the constants of the rules, so that comparisons hold about half the time.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from nba_engine.schema import (
    BOOL, BUILT_IN_FACTS, DOUBLE, DURATION, INT, STRING, TIMESTAMP, Type, list_of, struct_of,
)  # fmt: skip

FACTS: dict[str, Type] = {
    "age": INT, "tenure_months": INT, "household_size": INT, "monthly_bill": DOUBLE, "balance": DOUBLE, "churn_risk": DOUBLE,
    "tariff": STRING, "region": STRING, "intent": STRING, "products": list_of(STRING), "tags": list_of(STRING),
    "contract_end": TIMESTAMP, "last_login_at": TIMESTAMP, "grace": DURATION, "consent_email": BOOL, "vip": BOOL,
    "address": struct_of({"city": STRING, "zip": STRING, "floor": INT}),
}  # fmt: skip

WORDS = ("fibre", "mobile", "tv", "basic", "plus", "Plus", "", "é", "fibre-plus", "north")
PATTERNS = ("^fi", "plus$", "b.*e", "[aeiou]{2}", "é", "")
INTS = (0, 1, 2, 3, 6, 12, 18, 65, -1, -7, 100)
EXTREME_INTS = (2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
DOUBLES = (0.0, 0.5, 1.0, 1.5, 3.0, 18.0, 89.99, 90.0, -2.5, 1e6)
EXTREME_DOUBLES = (9007199254740992.0, 9.3e18, 1e300, -1e300, 5e-324)
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DAYS = (0, 1, 7, 30, 90, 365)
LENGTHS = ("0s", "90s", "24h", "168h", "720h", "1h30m", "-24h", "0.000001s")
ZONES = ("", "'Europe/Zurich'", "'-02:30'")
PARTS = ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes")
GROUPS = ("macros", "parts", "conversions", "math", "patterns", "texts", "conditionals", "arithmetic")
"""What `without` can leave out."""


def rules_and_rows(
    rng: random.Random, facts: Mapping[str, Type], n: int, *, n_rows: int = 50, depth: int = 3, without: Collection[str] = ()
) -> tuple[list[str], list[dict[str, Any]]]:
    """`n` boolean rules and `n_rows` rows over the same facts."""
    return [boolean_rule(rng, facts, depth=depth, without=without) for _ in range(n)], [row(rng, facts) for _ in range(n_rows)]


def boolean_rule(rng: random.Random, facts: Mapping[str, Type], *, depth: int = 3, without: Collection[str] = ()) -> str:
    return _Writer(rng, facts, without).boolean(rng.randint(0, depth))


def value_rule(rng: random.Random, facts: Mapping[str, Type], *, depth: int = 3, without: Collection[str] = ()) -> str:
    """A rule whose type is int or double."""
    writer = _Writer(rng, facts, without)
    return writer.number(rng.choice(("int", "double")), rng.randint(0, depth))


def row(rng: random.Random, facts: Mapping[str, Type], *, p_null: float = 0.15, p_missing: float = 0.1) -> dict[str, Any]:
    """One row: each fact a value, None or absent; the built-in facts are always given."""
    out: dict[str, Any] = {"now": NOW, "channel": rng.choice(("call", "web", "email")), "direction": rng.choice(("inbound", "outbound"))}
    out.update(_members(rng, facts.items(), p_null, p_missing))
    return out


def _members(rng: random.Random, members: Any, p_null: float, p_missing: float) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, type_ in members:
        dice = rng.random()
        if dice >= p_null + p_missing:
            out[name] = _members(rng, type_.fields, p_null, p_missing) if type_.kind == "struct" else value(rng, type_)
        elif dice < p_null:
            out[name] = None
    return out


def value(rng: random.Random, type_: Type) -> Any:
    """A value of a fact of that type."""
    extreme = rng.random() < 0.06
    match type_.kind:
        case "bool":
            return rng.random() < 0.5
        case "int":
            return rng.choice(EXTREME_INTS) if extreme else rng.choice(INTS) + rng.randint(-1, 1)
        case "double":
            return rng.choice(EXTREME_DOUBLES) if extreme else rng.choice(DOUBLES) + rng.choice((0.0, 0.0, 0.25, -0.01))
        case "string":
            return rng.choice(WORDS) if rng.random() < 0.9 else f"unseen-{rng.randint(0, 99)}"
        case "timestamp":
            return NOW - timedelta(days=rng.choice(DAYS) * rng.choice((1, -1)), microseconds=rng.choice((0, 0, 1, -1)))
        case "duration":
            return timedelta(hours=rng.choice((0, 24, 168, 720, -24)), microseconds=rng.choice((0, 0, 1)))
        case "list":
            return [value(rng, type_.parameters[0]) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        case kind:
            raise ValueError(f"no rows of {kind}")


class _Writer:
    """Writes expressions of a wanted type; `names` holds the ways to read a fact (or a macro's variable) of each kind."""

    def __init__(self, rng: random.Random, facts: Mapping[str, Type], without: Collection[str]) -> None:
        unknown = set(without) - set(GROUPS)
        if unknown:
            raise ValueError(f"no such groups: {sorted(unknown)}")
        self.rng = rng
        self.without = without
        self.names: dict[str, list[str]] = {}
        self.n_macros = 0
        for name, type_ in (*facts.items(), *((fact.name, fact.type) for fact in BUILT_IN_FACTS)):
            for path, leaf in _paths(name, type_):
                self.names.setdefault(str(leaf), []).append(path)

    def allows(self, *groups: str) -> bool:
        return not any(group in self.without for group in groups)

    def one_of(self, kind: str) -> str | None:
        names = self.names.get(kind)
        return self.rng.choice(names) if names else None

    @contextmanager
    def variable(self, kind: str) -> Iterator[str]:
        name = f"v{self.n_macros}"
        self.n_macros += 1
        names = self.names.setdefault(kind, [])
        names.extend([name] * (len(names) + 1))
        yield name
        del names[-(len(names) + 1) // 2 :]
        self.n_macros -= 1

    def boolean(self, depth: int) -> str:
        rng = self.rng
        if depth > 0 and rng.random() < 0.75:
            return self.compound(depth - 1)
        leaves = [self.number_test, self.number_test, self.text_test, self.text_test, self.presence, self.time_test, self.fact_or_constant]
        if self.names.get("list<string>"):
            leaves += [self.list_test, self.list_test]
        return rng.choice(leaves)(depth)

    def compound(self, depth: int) -> str:
        rng = self.rng
        dice = rng.random()
        if dice < 0.7 or not self.allows("conditionals"):
            sign = rng.choice((" && ", " || "))
            return "(" + sign.join(self.boolean(depth) for _ in range(rng.randint(2, 3))) + ")"
        if dice < 0.88:
            return f"!({self.boolean(depth)})"
        return f"({self.boolean(depth)} ? {self.boolean(depth)} : {self.boolean(depth)})"

    def fact_or_constant(self, depth: int) -> str:
        name = self.one_of("bool")
        if name is None or self.rng.random() < 0.05:
            return self.rng.choice(("true", "false"))
        return self.rng.choice((name, f"!{name}", f"{name} == {self.rng.choice(('true', 'false'))}"))

    def presence(self, depth: int) -> str:
        kind = self.rng.choice(sorted(self.names))
        name = self.rng.choice(self.names[kind])
        return self.rng.choice((f"has({name})", f"!has({name})", f"{name} == null", f"{name} != null", f"null == {name}"))

    def number_test(self, depth: int) -> str:
        rng = self.rng
        depth = max(depth, rng.choice((0, 0, 1, 2)))
        kind = rng.choice(("int", "double"))
        if rng.random() < 0.15:
            items = ", ".join(str(self.constant(kind)) for _ in range(rng.randint(1, 4)))
            return f"{self.number(kind, depth)} in [{items}]"
        other = kind if rng.random() < 0.8 else rng.choice(("int", "double"))
        right = str(self.constant(other)) if rng.random() < 0.6 else self.number(other, depth)
        return f"{self.number(kind, depth)} {rng.choice(('<', '<=', '>', '>=', '==', '!='))} {right}"

    def constant(self, kind: str) -> int | float:
        rng = self.rng
        if rng.random() < 0.03:
            return rng.choice((2**53 + 1, 2**63 - 1) if kind == "int" else (9007199254740992.0, 1e300))
        return rng.choice(INTS if kind == "int" else DOUBLES)

    def number(self, kind: str, depth: int) -> str:
        rng = self.rng
        name = self.one_of(kind)
        if depth <= 0 or name is None or rng.random() < 0.3:
            return name if name is not None and rng.random() < 0.85 else str(self.constant(kind))
        forms = ["arithmetic"] * 4 + ["conditionals", "conversions", "math"] + (["parts", "sizes"] if kind == "int" else [])
        form = rng.choice([form for form in forms if form == "sizes" or self.allows(form)] or [""])
        match form:
            case "arithmetic":
                sign = rng.choice(("+", "-", "*", "/", "%") if kind == "int" else ("+", "-", "*", "/"))
                return f"({self.number(kind, depth - 1)} {sign} {self.number(kind, depth - 1)})"
            case "conditionals":
                return f"({self.boolean(depth - 1)} ? {self.number(kind, depth - 1)} : {self.number(kind, depth - 1)})"
            case "conversions":
                other = "double" if kind == "int" else "int"
                return f"{kind}({self.number(other, depth - 1)})"
            case "math":
                return f"math.{rng.choice(('greatest', 'least'))}({self.number(kind, depth - 1)}, {self.number(kind, depth - 1)})"
            case "parts":
                return f"{self.instant(depth - 1)}.{rng.choice(PARTS)}({rng.choice(ZONES)})"
            case "sizes":
                items = self.one_of("list<string>")
                return f"size({items})" if items and rng.random() < 0.5 else f"size({self.text()})"
            case _:
                return name

    def text(self) -> str:
        name = self.one_of("string")
        return name if name is not None and self.rng.random() < 0.95 else repr(self.rng.choice(WORDS))

    def text_test(self, depth: int) -> str:
        rng = self.rng
        word = repr(rng.choice(WORDS))
        forms = [f"{self.text()} {rng.choice(('==', '!='))} {word}", f"{self.text()} in {[*rng.sample(WORDS, rng.randint(1, 4))]}"]
        forms.append(f"{self.text()} {rng.choice(('==', '!=', '<', '>='))} {self.text()}")
        if self.allows("texts"):
            forms.append(f"{self.text()}.{rng.choice(('startsWith', 'endsWith', 'contains'))}({word})")
        if self.allows("patterns"):
            forms.append(f"{self.text()}.matches({rng.choice(PATTERNS)!r})")
        return rng.choice(forms)

    def list_test(self, depth: int) -> str:
        rng = self.rng
        items = self.one_of("list<string>")
        forms = [f"{rng.choice(WORDS)!r} in {items}", f"!({rng.choice(WORDS)!r} in {items})", f"{self.text()} in {items}",
                 f"size({items}) {rng.choice(('<', '>=', '=='))} {rng.randint(0, 3)}"]  # fmt: skip
        if self.allows("macros") and self.n_macros < 2:
            with self.variable("string") as variable:
                condition = self.boolean(depth - 1)
            forms += [f"{items}.{rng.choice(('exists', 'all', 'exists_one'))}({variable}, {condition})"] * 3
            forms.append(f"size({items}.filter({variable}, {condition})) > {rng.randint(0, 2)}")
        return rng.choice(forms)

    def instant(self, depth: int) -> str:
        name = self.one_of("timestamp") or "now"
        if depth > 0 and self.rng.random() < 0.4:
            return f"({name} {self.rng.choice('+-')} {self.length(depth - 1)})"
        return name

    def length(self, depth: int) -> str:
        dice = self.rng.random()
        name = self.one_of("duration")
        if dice < 0.3 and name is not None:
            return name
        if depth > 0 and dice < 0.6:
            return f"({self.instant(depth - 1)} - {self.instant(depth - 1)})"
        return f"duration({self.rng.choice(LENGTHS)!r})"

    def time_test(self, depth: int) -> str:
        rng = self.rng
        sign = rng.choice(("<", "<=", ">", ">=", "==", "!="))
        dice = rng.random()
        if dice < 0.5:
            return f"{rng.choice(('now', self.instant(depth)))} - {self.instant(depth)} {sign} {self.length(depth)}"
        if dice < 0.75:
            return f"{self.instant(depth)} {sign} {self.instant(depth)}"
        day = NOW + timedelta(days=rng.choice(DAYS) * rng.choice((1, -1)))
        return f"{self.instant(depth)} {sign} timestamp('{day:%Y-%m-%dT%H:%M:%SZ}')"


def _paths(name: str, type_: Type) -> Iterator[tuple[str, Type]]:
    if type_.kind != "struct":
        yield name, type_
    for field, inner in type_.fields:
        yield from _paths(f"{name}.{field}", inner)
