"""The kinds of facts: CEL types, and what the catalog declares about each fact.

Here are names and types only. How a fact becomes numbers stands in `facts/`, what may be done with a type in `rules/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Type:
    """A CEL type: `kind` and, for list and map, the types inside; for a struct, its fields in order."""

    kind: str
    parameters: tuple[Type, ...] = ()
    fields: tuple[tuple[str, Type], ...] = ()

    def __str__(self) -> str:
        if self.fields:
            return "{" + ", ".join(f"{name}: {type_}" for name, type_ in self.fields) + "}"
        if self.parameters:
            return f"{self.kind}<{', '.join(map(str, self.parameters))}>"
        return self.kind


BOOL, INT, UINT, DOUBLE, STRING, BYTES = map(Type, ("bool", "int", "uint", "double", "string", "bytes"))
TIMESTAMP, DURATION, NULL, DYN, TYPE = map(Type, ("timestamp", "duration", "null", "dyn", "type"))
SCALARS = {t.kind: t for t in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, NULL, DYN, TYPE)}
NUMBERS = (INT, UINT, DOUBLE)

FACT_DEPTH_MAX = 8
UINT_MAX = 2**64 - 1
VALUE_MAX = 1e15
"""The largest value, cost or factor: what is computed from several of them stays a number."""


class UInt(int):
    """A CEL uint: an int in 0 .. 2**64 - 1 that remembers its type. `UInt(1) == 1`."""

    __slots__ = ()

    def __new__(cls, value: int = 0) -> UInt:
        if not 0 <= value <= UINT_MAX:
            raise ValueError(f"{value} is not a uint; it must lie in 0 .. {UINT_MAX}")
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"UInt({int(self)})"


def list_of(item: Type) -> Type:
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def struct_of(fields: dict[str, Type]) -> Type:
    return Type("struct", (), tuple(fields.items()))


def parse_type(text: str) -> Type:
    """The type that `text` spells: `int`, `list<string>`, `list(string)`, `map<string, int>`; ValueError says what is wrong."""
    tokens = re.findall(r"[A-Za-z_.]\w*|[<>(),]|\S", text)
    type_, rest = _parse_type(tokens, text, 0)
    if rest:
        raise ValueError(f"{text!r}: unexpected {rest[0]!r} after the type {type_}")
    return type_


def _parse_type(tokens: list[str], text: str, depth: int) -> tuple[Type, list[str]]:
    if not tokens or depth > FACT_DEPTH_MAX:
        raise ValueError(f"{text!r} is not a type; known are {', '.join(SCALARS)}, list<T>, map<K, V>")
    name, rest = tokens[0].removeprefix("google.protobuf.").lower().replace("null_type", "null"), tokens[1:]
    if name in SCALARS:
        return SCALARS[name], rest
    n_parameters = {"list": 1, "map": 2}.get(name)
    if n_parameters is None:
        raise ValueError(f"{tokens[0]!r} is not a type; known are {', '.join(SCALARS)}, list<T>, map<K, V>")
    if not rest or rest[0] not in "<(":
        return Type(name, (DYN,) * n_parameters), rest
    closing = {"<": ">", "(": ")"}[rest[0]]
    parameters = []
    for i in range(n_parameters):
        parameter, rest = _parse_type(rest[1:], text, depth + 1)
        parameters.append(parameter)
        expected = closing if i == n_parameters - 1 else ","
        if not rest or rest[0] != expected:
            raise ValueError(f"{text!r}: {expected!r} is missing after {parameter}")
    return Type(name, tuple(parameters)), rest[1:]


@dataclass(frozen=True, slots=True)
class Fact:
    """What the catalog declares about one fact.

    `origin`: `profile` (known of the customer) or `interaction` (known of this ask); `predictor`: models may read it;
    `sensitive`: watched for bias; `immutable`: never proposed as a change in an explanation.
    """

    name: str
    type: Type
    origin: Literal["profile", "interaction"] = "profile"
    predictor: bool = True
    sensitive: bool = False
    immutable: bool = False


BUILT_IN_FACTS = (
    Fact("now", TIMESTAMP, origin="interaction", predictor=False),
    Fact("channel", STRING, origin="interaction"),
    Fact("direction", STRING, origin="interaction"),
)
"""What rules may read besides the declared facts; the names are taken."""
