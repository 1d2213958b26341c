"""Static types: does the expression fit the declared facts, and what type has every part of it.

The standard's rules: no conversion happens by itself (int * double is a fault), but numbers compare across types, `dyn` fits
everywhere, and null compares with anything. What two types have to do with each other stands in fitting.py.
Regular expressions, durations, timestamps and zones that are written in the rule are tried here, so that a bad one is a fault of the catalog.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from nba_engine.errors import CheckError
from nba_engine.rules.fitting import LOOSE, branch_type, comparable, fits, joined, mismatch, settled
from nba_engine.rules.functions import VARIADIC, overloads
from nba_engine.rules.parsing import PARSED_MAX, parse
from nba_engine.rules.syntax import MACRO_KINDS, Call, Has, ListLiteral, Literal, Macro, MapLiteral, Name, Node, Select
from nba_engine.rules.texts import compiled_pattern
from nba_engine.rules.times import TIMESTAMP_PARTS, read_duration, read_timestamp, zone
from nba_engine.rules.values import EvaluationError
from nba_engine.schema import BOOL, DYN, INT, NULL, NUMBERS, STRING, Type, list_of, map_of

if TYPE_CHECKING:
    from nba_engine.rules.normal import Formula, Leaf

Scope = Mapping[str, Type]


@dataclass(frozen=True, eq=False)
class Checked:
    """An expression that fits: the type of the whole, and of every node by its id (`type_of`); `text` for the error's caret."""

    node: Node
    type: Type
    types: Mapping[int, Type]
    text: str = ""

    @cached_property
    def formula(self) -> Formula | Leaf:
        """What must hold for it to be definitely true, with tests (conditions.py) for leaves; CheckError where that is too large. It says nothing of
        the catalog around the rule, and so serves every compilation."""
        from nba_engine.rules.conditions import formula_of

        return formula_of(self.node, self.types, self.text)

    @cached_property
    def costly(self) -> tuple[tuple[Node, int], ...]:
        """Its conditions that decisions cannot compile, and the steps each takes at worst (costs.py)."""
        from nba_engine.rules.costs import costly_conditions

        return costly_conditions(self.node, self.types)

    def type_of(self, node: Node) -> Type:
        """The static type of a node of this very tree."""
        return self.types[id(node)]


def check(node: Node, facts: Mapping[str, Type], text: str) -> Checked:
    """The types of an expression over declared facts.

    Parameters
    ----------
    node : Node
        A tree from `parse`.
    facts : mapping
        The type of each fact that may be read, built-in ones included.
    text : str
        What the tree was parsed from, for the error's caret.

    Raises
    ------
    CheckError
        The first fault: an unknown fact, field or function, types that do not fit, a bad literal pattern, duration, timestamp or zone.
    """
    checking = _Checking(facts, text)
    type_ = checking.type_of(node, {})
    return Checked(node, settled(type_), checking.types, text)


class Declared(dict[str, Type]):
    """The types of declared facts as a key: `declared` gives one object for equal declarations."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@lru_cache(maxsize=16)
def declared(facts: tuple[tuple[str, Type], ...]) -> Declared:
    return Declared(facts)


@lru_cache(maxsize=PARSED_MAX)
def read(text: str, facts: Declared) -> Checked:
    """What a text says over declared facts: parsed and checked once while it is among the last PARSED_MAX, so that a reload reads what changed."""
    return check(parse(text), facts, text)


class _Checking:
    __slots__ = ("facts", "text", "types")

    def __init__(self, facts: Mapping[str, Type], text: str) -> None:
        self.facts = facts
        self.text = text
        self.types: dict[int, Type] = {}

    def fault(self, problem: str, node: Node) -> CheckError:
        return CheckError(problem, self.text, node.position)

    def type_of(self, node: Node, scope: Scope) -> Type:
        match node:
            case Literal():
                type_ = node.type
            case Name():
                type_ = self.name(node, scope)
            case Select():
                type_ = self.select(node, scope)
            case Has():
                type_ = self.has(node, scope)
            case Call():
                type_ = self.call(node, scope)
            case ListLiteral():
                type_ = list_of(joined([self.type_of(item, scope) for item in node.items]))
            case MapLiteral():
                keys = joined([self.type_of(key, scope) for key, _ in node.entries])
                type_ = map_of(keys, joined([self.type_of(value, scope) for _, value in node.entries]))
            case Macro():
                type_ = self.macro(node, scope)
        self.types[id(node)] = settled(type_)
        return type_

    def name(self, node: Name, scope: Scope) -> Type:
        if node.name in scope:
            return scope[node.name]
        name = node.name.removeprefix(".")
        if name in self.facts:
            return self.facts[name]
        raise self.fault(f"unknown fact {name!r}{_nearest(name, [*self.facts, *scope])}", node)

    def select(self, node: Select, scope: Scope) -> Type:
        operand = self.type_of(node.operand, scope)
        if operand.kind == "struct":
            fields = dict(operand.fields)
            if node.field in fields:
                return fields[node.field]
            raise self.fault(f"unknown field {node.field!r}{_nearest(node.field, fields)}", node)
        if operand.kind == "map" and fits(STRING, operand.parameters[0]):
            return operand.parameters[1]
        if operand in LOOSE:
            return DYN
        raise self.fault(f"{settled(operand)} has no fields; {node.field!r} cannot be selected", node)

    def has(self, node: Has, scope: Scope) -> Type:
        self.type_of(node.operand, scope)
        return BOOL

    def macro(self, node: Macro, scope: Scope) -> Type:
        over = self.type_of(node.range, scope)
        if over.kind not in ("list", "map") and over not in LOOSE:
            raise self.fault(f"{node.kind}() needs a list or a map, not {settled(over)}", node)
        first = over.parameters[0] if over.parameters else DYN
        inner = {**scope, node.variable: first}
        if node.value_variable is not None:
            inner[node.variable] = INT if over.kind == "list" else first
            inner[node.value_variable] = over.parameters[-1] if over.parameters else DYN
        if node.condition is not None:
            self.condition(node.condition, inner, f"{node.kind}()")
        if node.transform is not None:
            transform = self.type_of(node.transform, inner)
            return map_of(inner[node.variable], transform) if node.kind == "transform_map" else list_of(transform)
        return list_of(first) if node.kind == "filter" else BOOL

    def condition(self, node: Node, scope: Scope, where: str) -> None:
        type_ = self.type_of(node, scope)
        if type_ != BOOL and type_ not in LOOSE:
            raise self.fault(f"{where} needs a condition (bool), not {settled(type_)}", node)

    def call(self, node: Call, scope: Scope) -> Type:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node, scope)
        if node.function not in overloads() and node.function not in VARIADIC:  # before its arguments: a misspelt macro has names of its own
            written = [name for name in (*overloads(), *VARIADIC, *MACRO_KINDS) if name[0].isalpha()]
            raise self.fault(f"unknown function {node.function!r}{_nearest(node.function, written)}", node)
        types = [self.type_of(argument, scope) for argument in node.arguments]
        if node.function in VARIADIC:
            return self.variadic(node, types)
        result = _result(node.function, node.member, tuple(types))
        if result is None:
            raise self.fault(self.no_overload(node, types), node)
        self.try_literals(node)
        return result

    def no_overload(self, node: Call, types: list[Type]) -> str:
        known = overloads()[node.function]
        if not any(overload.member == node.member for overload in known):
            form = f"value.{node.function}(...)" if known[0].member else f"{node.function}(...)"
            return f"{node.function} is written {form}"
        return mismatch(node, types)

    def variadic(self, node: Call, types: list[Type]) -> Type:
        if len(types) == 1 and types[0].kind == "list":
            types = [types[0].parameters[0]]
        if not types or any(type_ not in NUMBERS and type_ not in LOOSE for type_ in types):
            raise self.fault(f"{node.function} takes numbers, or one list of numbers", node)
        return joined(types)

    def try_literals(self, node: Call) -> None:
        """Reads what the rule writes as text and will be read at every evaluation."""
        last = node.arguments[-1] if node.arguments else None
        if not isinstance(last, Literal) or last.type != STRING:
            return
        read: Callable[[str], object] | None = {"matches": compiled_pattern, "duration": read_duration, "timestamp": read_timestamp}.get(
            node.function, zone if node.function in TIMESTAMP_PARTS else None
        )
        if read is not None:
            try:
                read(last.value)
            except EvaluationError as error:
                raise self.fault(str(error), last) from None

    def logic(self, node: Call, scope: Scope) -> Type:
        for argument in node.arguments:
            self.condition(argument, scope, node.function.strip("_"))
        return BOOL

    def conditional(self, node: Call, scope: Scope) -> Type:
        condition, *branches = node.arguments
        self.condition(condition, scope, "?:")
        then, otherwise = (self.type_of(branch, scope) for branch in branches)
        type_ = branch_type(then, otherwise)
        if type_ is None:
            raise self.fault(f"the branches of ?: are {settled(then)} and {settled(otherwise)}; they need one type", node)
        return type_

    def equality(self, node: Call, scope: Scope) -> Type:
        types = [self.type_of(argument, scope) for argument in node.arguments]
        if not comparable(*types):
            raise self.fault(mismatch(node, types), node)
        return BOOL

    def membership(self, node: Call, scope: Scope) -> Type:
        item, over = (self.type_of(argument, scope) for argument in node.arguments)
        if over in LOOSE or (over.kind in ("list", "map") and comparable(item, over.parameters[0])):
            return BOOL
        if over.kind in ("list", "map"):
            raise self.fault(f"{settled(over)} cannot hold {settled(item)}", node)
        hint = "; write text.contains(part)" if over == STRING else ""
        raise self.fault(f"'in' needs a list or a map on its right, not {settled(over)}{hint}", node)

    def item(self, node: Call, scope: Scope) -> Type:
        over, index = (self.type_of(argument, scope) for argument in node.arguments)
        if over in LOOSE:
            return DYN
        if over.kind == "list" and (index in NUMBERS[:2] or index in LOOSE):
            return over.parameters[0]
        if over.kind == "map" and comparable(index, over.parameters[0]) and index != NULL:
            return over.parameters[1]
        raise self.fault(f"{settled(over)} has no item at a {settled(index)}", node)

    def addition(self, node: Call, scope: Scope) -> Type:
        types = [self.type_of(argument, scope) for argument in node.arguments]
        if all(type_.kind == "list" for type_ in types):
            return joined(types) if joined(types) != DYN else list_of(DYN)
        result = _result("_+_", False, tuple(types))
        if result is None:
            raise self.fault(mismatch(node, types), node)
        return result

    def dyn(self, node: Call, scope: Scope) -> Type:
        for argument in node.arguments:
            self.type_of(argument, scope)
        if len(node.arguments) != 1 or node.member:
            raise self.fault("dyn() takes one argument", node)
        return DYN


_SPECIAL: dict[str, Callable[[_Checking, Call, Scope], Type]] = {
    "_&&_": _Checking.logic, "_||_": _Checking.logic, "_?_:_": _Checking.conditional, "_==_": _Checking.equality,
    "_!=_": _Checking.equality, "@in": _Checking.membership, "_[_]": _Checking.item, "_+_": _Checking.addition, "dyn": _Checking.dyn,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _result(function: str, member: bool, types: tuple[Type, ...]) -> Type | None:
    """The result of the overloads that take these types: dyn where they differ, None where there are none."""
    candidates = [o for o in overloads().get(function, ()) if o.member == member and len(o.parameters) == len(types)]
    results = {o.result for o in candidates if all(map(fits, types, o.parameters))}
    return next(iter(results), None) if len(results) < 2 else DYN


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
