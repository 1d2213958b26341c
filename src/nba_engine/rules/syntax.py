"""The syntax tree of a rule: eight kinds of node, and the way back to text. No parsing, no types, no meaning.

Nodes are frozen and compare by what they say, not by where they stand (`position` is left out), so equal sub-expressions are equal
keys. Operators are calls under CEL's own names (`_&&_`, `_==_`, `@in`, `_?_:_`, `_[_]` ...); a member call has its receiver first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nba_engine import schema

MACRO_KINDS = ("all", "exists", "exists_one", "map", "filter", "transform_map")


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; `type` keeps 1, 1u, 1.0 and true apart. Negative zero is never a literal (it would equal zero)."""

    value: Any
    type: schema.Type
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A fact, a macro's variable or a type. A leading dot (`.y`) looks past macro variables and containers."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`."""

    operand: Node
    field: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Has:
    """`has(operand)`; operand is a Select, or a bare Name (our extension)."""

    operand: Select | Name
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function, an operator, or with `member` a call on `arguments[0]`."""

    function: str
    arguments: tuple[Node, ...]
    member: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ListLiteral:
    items: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class MapLiteral:
    entries: tuple[tuple[Node, Node], ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Macro:
    """`range.kind(variable, condition)`; for `map`, `transform` is the value and `condition` the filter or None.

    With `value_variable`, `variable` runs over the indices of a list or the keys of a map and `value_variable` over what stands there;
    such a `map` is CEL's transformList. `transform_map` (transformMap) always has both.
    """

    kind: str
    range: Node
    variable: str
    condition: Node | None
    transform: Node | None = None
    position: int = field(default=0, compare=False)
    value_variable: str | None = None


Node = Literal | Name | Select | Has | Call | ListLiteral | MapLiteral | Macro

NULL = Literal(None, schema.NULL)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, in reading order."""
    match node:
        case Literal() | Name():
            return ()
        case Select(operand=operand) | Has(operand=operand):
            return (operand,)
        case Call(arguments=arguments):
            return arguments
        case ListLiteral(items=items):
            return items
        case MapLiteral(entries=entries):
            return tuple(part for entry in entries for part in entry)
        case Macro():
            return tuple(part for part in (node.range, node.condition, node.transform) if part is not None)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first, in reading order, without recursion."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(children(top)))


def dotted_name(node: Node) -> str | None:
    """`address.city` for a chain of field selections on a name, else None."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select):
        inner = dotted_name(node.operand)
        return None if inner is None else f"{inner}.{node.field}"
    return None


_BINARY = {
    "_||_": ("||", 2), "_&&_": ("&&", 3),
    "_==_": ("==", 4), "_!=_": ("!=", 4), "_<_": ("<", 4), "_<=_": ("<=", 4), "_>_": (">", 4), "_>=_": (">=", 4), "@in": ("in", 4),
    "_+_": ("+", 5), "_-_": ("-", 5), "_*_": ("*", 6), "_/_": ("/", 6), "_%_": ("%", 6),
}  # fmt: skip
_UNARY = {"!_": "!", "-_": "-"}
_CONDITIONAL, _UNARY_LEVEL, _MEMBER = 1, 7, 8
_TWO_VARIABLE_NAMES = {"exists_one": "existsOne", "map": "transformList", "transform_map": "transformMap"}


def unparse(node: Node) -> str:
    """CEL text with no more parentheses than it needs. It parses to an equal tree, but for how chains of one of `&&`, `||` are grouped."""
    return _text(node, 0)


def _text(node: Node, level: int) -> str:
    """Text of `node` where an operator binding less tightly than `level` needs parentheses."""
    text, own = _bare(node)
    return f"({text})" if own < level else text


def _bare(node: Node) -> tuple[str, int]:
    match node:
        case Literal(value, type_):
            negative = type_ in (schema.INT, schema.DOUBLE) and value < 0
            return _literal(value, type_), _UNARY_LEVEL if negative else _MEMBER + 1
        case Name(name):
            return name, _MEMBER + 1
        case Select(operand, name):
            return f"{_text(operand, _MEMBER)}.{_field(name)}", _MEMBER
        case Has(operand):
            return f"has({unparse(operand)})", _MEMBER + 1
        case ListLiteral(items):
            return f"[{_joined(items)}]", _MEMBER + 1
        case MapLiteral(entries):
            return "{" + ", ".join(f"{unparse(key)}: {unparse(value)}" for key, value in entries) + "}", _MEMBER + 1
        case Macro():
            parts = [unparse(part) for part in (node.condition, node.transform) if part is not None]
            variables = [node.variable] if node.value_variable is None else [node.variable, node.value_variable]
            name = node.kind if node.value_variable is None else _TWO_VARIABLE_NAMES.get(node.kind, node.kind)
            return f"{_text(node.range, _MEMBER)}.{name}({', '.join([*variables, *parts])})", _MEMBER
        case Call():
            return _call(node)


def _call(node: Call) -> tuple[str, int]:
    arguments = node.arguments
    if node.function in _BINARY:
        sign, level = _BINARY[node.function]
        right_level = level if node.function in ("_||_", "_&&_") else level + 1
        return f"{_text(arguments[0], level)} {sign} {_text(arguments[1], right_level)}", level
    if node.function in _UNARY:
        return _UNARY[node.function] + _text(arguments[0], _UNARY_LEVEL), _UNARY_LEVEL
    if node.function == "_?_:_":
        condition, then, otherwise = arguments
        return f"{_text(condition, 2)} ? {_text(then, 2)} : {_text(otherwise, _CONDITIONAL)}", _CONDITIONAL
    if node.function == "_[_]":
        return f"{_text(arguments[0], _MEMBER)}[{unparse(arguments[1])}]", _MEMBER
    if node.member:
        return f"{_text(arguments[0], _MEMBER)}.{node.function}({_joined(arguments[1:])})", _MEMBER
    return f"{node.function}({_joined(arguments)})", _MEMBER + 1


def _joined(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(unparse, nodes))


def _field(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else f"`{name}`"


_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _literal(value: Any, type_: schema.Type) -> str:
    match type_.kind:
        case "null":
            return "null"
        case "bool":
            return "true" if value else "false"
        case "uint":
            return f"{int(value)}u"
        case "string":
            return "'" + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in value) + "'"
        case "bytes":
            return "b'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in value) + "'"
        case _:
            return repr(value)


def conditions_in(node: Node) -> Iterator[Node]:
    """What stands between the logical operators of a rule."""
    if isinstance(node, Call) and node.function in ("!_", "_&&_", "_||_", "_?_:_"):
        for argument in node.arguments:
            yield from conditions_in(argument)
    else:
        yield node
