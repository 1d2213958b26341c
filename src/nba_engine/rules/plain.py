"""The plain evaluator: walks the tree, one value a node. It is the meaning of a rule; the compiled rules are tested against it.

Two modes. Standard: CEL as written; null is a value, a missing name an error. Nullable (catalogs): a fact that was not given, and
computing or comparing with null, are unknown; only `== null` and `!= null` against the literal see a null.

`&&` and `||` decide where one side decides; else unknown goes before error. Everything else is strict: an unknown argument makes the
result unknown, else the first error is the result. Null passes unchanged through `?:`, selection and macro variables.

Recursion is at most three Python frames a level of the tree, whose depth the parser limits; what it costs is counted and limited (limits.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nba_engine.rules import functions, limits
from nba_engine.rules.syntax import NULL, Call, Has, ListLiteral, Literal, Macro, MapLiteral, Name, Node, Select
from nba_engine.rules.values import (
    KINDS, TYPE_NAMES, UNKNOWN, ErrorValue, EvaluationError, Maybe, Unknown, from_python, key_value, map_key, to_python,
)  # fmt: skip

Scope = Mapping[str, Any]
_NAMED_TYPES = {str(name): name for name in TYPE_NAMES.values()}


def evaluate(node: Node, variables: Mapping[str, Any], *, nullable: bool) -> Any:
    """The value of an expression as a Python value, or UNKNOWN, or an ErrorValue; raises nothing.

    Parameters
    ----------
    node : Node
        A tree from `parse`.
    variables : mapping
        Facts by name, as Python values (aware datetime, timedelta, dict for a struct or a map). Absent names were not given.
    nullable : bool
        True for catalogs: three-valued, and a result of null is UNKNOWN. False for the CEL standard.
    """
    value = cel_value(node, variables, nullable=nullable)
    return UNKNOWN if value is None and nullable else to_python(value)


def cel_value(node: Node, variables: Mapping[str, Any], *, nullable: bool) -> Any:
    """As `evaluate`, but the value as CEL has it (values.py): times in nanoseconds, null as None."""
    return _Evaluation(variables, nullable).value(node, {})


class _Evaluation:
    """One evaluation: the variables and the mode. Values inside are CEL values (see values.py), UNKNOWN or ErrorValue."""

    __slots__ = ("known", "nullable", "steps", "variables")

    def __init__(self, variables: Mapping[str, Any], nullable: bool) -> None:
        self.variables = variables
        self.nullable = nullable
        self.known: dict[str, Any] = {}
        self.steps = 0

    def value(self, node: Node, scope: Scope) -> Any:
        self.steps += 1
        return _BY_NODE[type(node)](self, node, scope)

    def stopped(self, values: list[Any]) -> Any:
        """What a strict function of these values must answer without computing: UNKNOWN, the first error, or None to go on."""
        error = None
        for value in values:
            if value is UNKNOWN or (value is None and self.nullable):
                return UNKNOWN
            if error is None and type(value) is ErrorValue:
                error = value
        return error

    def literal(self, node: Literal, scope: Scope) -> Any:
        return node.value

    def name(self, node: Name, scope: Scope) -> Any:
        name = node.name
        if name in scope:
            return scope[name]
        name = name.removeprefix(".")
        if name in self.known:
            return self.known[name]
        if name in self.variables:
            try:
                self.steps += limits.steps_of_fact(self.variables[name])
                value = from_python(self.variables[name])
            except EvaluationError as error:
                value = ErrorValue(f"{name}: {error}", node.position)
        elif self.nullable:
            value = UNKNOWN
        else:
            value = _NAMED_TYPES.get(name) or ErrorValue(f"unknown variable {name!r}", node.position)
        self.known[name] = value
        return value

    def select(self, node: Select, scope: Scope) -> Any:
        operand = self.value(node.operand, scope)
        stop = self.stopped([operand])
        if stop is not None:
            return stop
        if not isinstance(operand, dict):
            return ErrorValue(f"a {KINDS[type(operand)]} has no field {node.field!r}", node.position)
        if node.field in operand:
            return operand[node.field]
        return UNKNOWN if self.nullable else ErrorValue(f"no such key: {node.field!r}", node.position)

    def has(self, node: Has, scope: Scope) -> Any:
        if isinstance(node.operand, Name):
            value = self.value(node.operand, scope)
            return not (value is None or type(value) in (Unknown, ErrorValue))
        operand = self.value(node.operand.operand, scope)
        if type(operand) is ErrorValue:
            return operand
        if self.nullable and (operand is UNKNOWN or operand is None):
            return False
        if not isinstance(operand, dict):
            return ErrorValue(f"a {KINDS[type(operand)]} has no field {node.operand.field!r}", node.position)
        return node.operand.field in operand and not (self.nullable and operand[node.operand.field] is None)

    def call(self, node: Call, scope: Scope) -> Any:
        function = node.function
        if function == "_&&_" or function == "_||_":
            return self.logic(node, scope, function == "_||_")
        if function == "_?_:_":
            return self.conditional(node, scope)
        if self.nullable and (function == "_==_" or function == "_!=_") and NULL in node.arguments:
            return self.null_test(node, scope)
        values = [self.value(node.arguments[0], scope)] if node.member else []
        if function in ("or", "orValue") and values and type(values[0]) is Maybe and values[0].items:
            return values[0] if function == "or" else values[0].items[0]
        values += [self.value(argument, scope) for argument in node.arguments[len(values) :]]
        stop = self.stopped(values)
        if stop is not None:
            return stop
        try:
            self.steps += limits.steps_of_call(function, values)
            if self.steps > limits.STEPS_MAX:
                raise limits.too_costly()
            return functions.call(function, node.member, values)
        except functions.NoSuchKey as error:
            return UNKNOWN if self.nullable else ErrorValue(str(error), node.position)
        except EvaluationError as error:
            return ErrorValue(str(error), node.position)

    def null_test(self, node: Call, scope: Scope) -> Any:
        """`x == null` or `x != null` in nullable mode: the one place where a null is seen."""
        for argument in node.arguments:
            value = self.value(argument, scope)
            if type(value) in (Unknown, ErrorValue):
                return value
            if value is not None:
                return node.function == "_!=_"
        return node.function == "_==_"

    def logic(self, node: Call, scope: Scope, deciding: bool) -> Any:
        """`&&` (decided by false) and `||` (decided by true)."""
        found = []
        for argument in node.arguments:
            value = self.value(argument, scope)
            if value is deciding:
                return deciding
            found.append(value)
        return self.undecided(found, not deciding, node.position)

    def undecided(self, values: list[Any], neutral: bool, position: int) -> Any:
        """What remains of `&&`, `||`, all, exists where no value decides: unknown, then error, then the neutral value."""
        error = None
        for value in values:
            if value is UNKNOWN or (value is None and self.nullable):
                return UNKNOWN
            if value is not neutral and error is None:
                error = value if type(value) is ErrorValue else ErrorValue(f"a {KINDS[type(value)]} is not a condition", position)
        return neutral if error is None else error

    def conditional(self, node: Call, scope: Scope) -> Any:
        condition, then, otherwise = node.arguments
        chosen = self.value(condition, scope)
        if chosen is True:
            return self.value(then, scope)
        if chosen is False:
            return self.value(otherwise, scope)
        stop = self.stopped([chosen])
        return stop if stop is not None else ErrorValue(f"a {KINDS[type(chosen)]} is not a condition", node.position)

    def list_literal(self, node: ListLiteral, scope: Scope) -> Any:
        values = [self.value(item, scope) for item in node.items]
        # A null written in the list is meant; a fact that is null makes the list unknown, as any other computation with it.
        stop = self.stopped([value for value, item in zip(values, node.items, strict=True) if item != NULL])
        return values if stop is None else stop

    def map_literal(self, node: MapLiteral, scope: Scope) -> Any:
        keys = [self.value(key, scope) for key, _ in node.entries]
        values = [self.value(value, scope) for _, value in node.entries]
        stop = self.stopped([*keys, *(value for value, (_, item) in zip(values, node.entries, strict=True) if item != NULL)])
        if stop is not None:
            return stop
        entries: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            try:
                stored = map_key(key)
            except EvaluationError as error:
                return ErrorValue(str(error), node.position)
            if type(key) is float or stored in entries:
                problem = "a double cannot be a map key" if type(key) is float else f"the key {key!r} stands twice"
                return ErrorValue(problem, node.position)
            entries[stored] = value
        return entries

    def macro(self, node: Macro, scope: Scope) -> Any:
        over = self.value(node.range, scope)
        stop = self.stopped([over])
        if stop is not None:
            return stop
        if not isinstance(over, list | dict):
            return ErrorValue(f"{node.kind}() needs a list or a map, not a {KINDS[type(over)]}", node.position)
        if len(over) > limits.ITEMS_MAX:
            problem = f"{node.kind}() goes through at most ITEMS_MAX = {limits.ITEMS_MAX} items, not {len(over)}; give a shorter list"
            return ErrorValue(problem, node.position)
        scopes = self.scopes(node, over, scope)
        result = self.quantified(node, scopes) if node.kind in ("all", "exists") else self.collected(node, scopes)
        return result if self.steps <= limits.STEPS_MAX else ErrorValue(str(limits.too_costly()), node.position)

    def quantified(self, node: Macro, scopes: Iterator[Scope]) -> Any:
        deciding = node.kind == "exists"
        found = []
        for scope in scopes:
            value = self.value(node.condition, scope)  # pyright: ignore[reportArgumentType]
            if value is deciding:
                return deciding
            found.append(value)
        return self.undecided(found, not deciding, node.position)

    def collected(self, node: Macro, scopes: Iterator[Scope]) -> Any:
        """exists_one, filter, map and transform_map: strict in every condition and transform."""
        kept: list[Scope] = []
        stops: list[Any] = []
        for scope in scopes:
            holds = True if node.condition is None else self.value(node.condition, scope)
            if type(holds) is not bool:
                stops.append(self.undecided([holds], True, node.position))
            elif holds:
                kept.append(scope)
        values = None if node.transform is None else [self.value(node.transform, scope) for scope in kept if self.steps <= limits.STEPS_MAX]
        stop = self.stopped([*stops, *(values or ())])
        if stop is not None:
            return stop
        if node.kind == "exists_one":
            return len(kept) == 1
        keys = [scope[node.variable] for scope in kept]
        if values is None:
            return keys
        return {map_key(key): value for key, value in zip(keys, values, strict=True)} if node.kind == "transform_map" else values

    def scopes(self, node: Macro, over: list[Any] | dict[Any, Any], scope: Scope) -> Iterator[Scope]:
        """The scope for each item: its value or key, or with two variables its index or key and its value. Ends where the rule costs too much."""
        two = node.value_variable is not None
        for first, second in (enumerate(over) if isinstance(over, list) else over.items()) if two else zip(over, over, strict=True):
            if self.steps > limits.STEPS_MAX:
                return
            own = {**scope, node.variable: key_value(first)}
            yield {**own, node.value_variable: second} if node.value_variable is not None else own


_BY_NODE: dict[type, Callable[[_Evaluation, Any, Scope], Any]] = {
    Literal: _Evaluation.literal, Name: _Evaluation.name, Select: _Evaluation.select, Has: _Evaluation.has, Call: _Evaluation.call,
    ListLiteral: _Evaluation.list_literal, MapLiteral: _Evaluation.map_literal, Macro: _Evaluation.macro,
}  # fmt: skip
