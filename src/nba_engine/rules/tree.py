"""From the parser's reductions to nodes: one method per alternative of the grammar, and the macros, which look like calls.

Chains of `&&` and `||` become balanced trees: a thousand alternatives are ten deep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from nba_engine import schema
from nba_engine.rules.literals import LiteralFault, double_value, int_value, quoted_bytes, quoted_text, uint_value
from nba_engine.rules.syntax import Call, Has, ListLiteral, Literal, Macro, MapLiteral, Name, Node, Select

if TYPE_CHECKING:
    from lark import Token

RESERVED = frozenset("as break const continue else for function if import let loop package namespace return var void while".split())
NAMESPACES = frozenset(("math", "optional"))
"""Receivers that are no values: `math.greatest(a, b)` is a call of the function `math.greatest`."""


class Misuse(Exception):
    """Something the grammar allows and the language does not."""

    def __init__(self, problem: str, position: int) -> None:
        self.problem = problem
        self.position = position


Operator = tuple[str, int]
"""A binary operator and where it stands."""

_LEVELS = {"||": 2, "&&": 3, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6} | dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 4)
_LOGIC_LEVEL = 3
"""How tightly the operators bind; up to this level equal neighbours are folded together."""


def _folded(operands: list[Node], operators: list[Operator]) -> Node:
    """The chain `operands[0] operators[0] operands[1] ...` as a tree: by precedence, to the left, but runs of one of `&&`, `||` balanced."""
    values = [operands[0]]
    waiting: list[Operator] = []
    for operator, operand in zip(operators, operands[1:], strict=True):
        level = _LEVELS[operator[0]]
        while waiting and (_LEVELS[waiting[-1][0]] > level or _LEVELS[waiting[-1][0]] == level > _LOGIC_LEVEL):
            _fold_last(values, waiting)
        waiting.append(operator)
        values.append(operand)
    while waiting:
        _fold_last(values, waiting)
    return values[0]


def _fold_last(values: list[Node], waiting: list[Operator]) -> None:
    """Folds the last operator that waits, with its whole run where it is `&&` or `||`."""
    sign = waiting[-1][0]
    n_run = 1
    if _LEVELS[sign] <= _LOGIC_LEVEL:
        while n_run < len(waiting) and waiting[-n_run - 1][0] == sign:
            n_run += 1
    function = "@in" if sign == "in" else f"_{sign}_"
    folded = _balanced(function, values[-n_run - 1 :], waiting[-n_run:])
    del values[-n_run - 1 :], waiting[-n_run:]
    values.append(folded)


def _balanced(function: str, terms: list[Node], operators: list[Operator]) -> Node:
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    left = _balanced(function, terms[:middle], operators[: middle - 1])
    right = _balanced(function, terms[middle:], operators[middle:])
    return Call(function, (left, right), False, operators[middle - 1][1])


def _at(token: Token) -> int:
    position = token.start_pos
    return 0 if position is None else position


def _plain_name(token: Token) -> str:
    if token in RESERVED:
        raise Misuse(f"{str(token)!r} is a reserved word and cannot be a name", _at(token))
    return str(token)


class TreeMaker:
    """One method per alternative of the grammar; lark calls them while it reduces. Each takes the list of its parts."""

    def start(self, parts: list[Any]) -> Node:
        return parts[0]

    def inner(self, parts: list[Any]) -> Node:
        return parts[1]

    def conditional(self, parts: list[Any]) -> Node:
        condition, question, then, _, otherwise = parts
        return Call("_?_:_", (condition, then, otherwise), False, _at(question))

    def first_operation(self, parts: list[Any]) -> tuple[list[Node], list[Operator]]:
        left, operator, right = parts
        return [left, right], [(str(operator), _at(operator))]

    def more_operations(self, parts: list[Any]) -> tuple[list[Node], list[Operator]]:
        (operands, operators), operator, right = parts
        operands.append(right)
        operators.append((str(operator), _at(operator)))
        return operands, operators

    def operations(self, parts: list[Any]) -> Node:
        return _folded(*parts[0])

    def negated(self, parts: list[Any]) -> Node:
        return Call("!_", (parts[1],), False, _at(parts[0]))

    def minus(self, parts: list[Any]) -> Node:
        sign, operand = parts
        if isinstance(operand, Literal) and operand.type in (schema.INT, schema.DOUBLE) and operand.value != 0:
            return Literal(-operand.value, operand.type, _at(sign))
        return Call("-_", (operand,), False, _at(sign))

    def select(self, parts: list[Any]) -> Node:
        return Select(parts[0], str(parts[2]), _at(parts[2]))

    def select_quoted(self, parts: list[Any]) -> Node:
        return Select(parts[0], str(parts[2])[1:-1], _at(parts[2]))

    def index(self, parts: list[Any]) -> Node:
        return Call("_[_]", (parts[0], parts[2]), False, _at(parts[1]))

    def name(self, parts: list[Any]) -> Node:
        return Name(_plain_name(parts[0]), _at(parts[0]))

    def root_name(self, parts: list[Any]) -> Node:
        return Name("." + _plain_name(parts[1]), _at(parts[0]))

    def call(self, parts: list[Any]) -> Node:
        function, arguments = parts[0], parts[2] if len(parts) == 4 else []
        if function == "has":
            return _has(arguments, _at(function))
        return Call(_plain_name(function), tuple(arguments), False, _at(function))

    def root_call(self, parts: list[Any]) -> Node:
        return self.call(parts[1:])

    def member_call(self, parts: list[Any]) -> Node:
        receiver, _, function = parts[:3]
        arguments = parts[4] if len(parts) == 6 else []
        if isinstance(receiver, Name) and receiver.name in NAMESPACES:
            return Call(f"{receiver.name}.{function}", tuple(arguments), False, receiver.position)
        if isinstance(receiver, Name) and receiver.name == "cel" and function == "bind":
            return _bind(arguments, _at(function))
        if function in _MACROS:
            return _macro(str(function), receiver, arguments, _at(function))
        return Call(str(function), (receiver, *arguments), True, _at(function))

    def list_literal(self, parts: list[Any]) -> Node:
        return ListLiteral(tuple(parts[1]) if len(parts) > 2 else (), _at(parts[0]))

    def map_literal(self, parts: list[Any]) -> Node:
        return MapLiteral(tuple(parts[1]) if len(parts) > 2 else (), _at(parts[0]))

    def first_expr(self, parts: list[Any]) -> list[Node]:
        return [parts[0]]

    def more_exprs(self, parts: list[Any]) -> list[Node]:
        parts[0].append(parts[2])
        return parts[0]

    def first_entry(self, parts: list[Any]) -> list[tuple[Node, Node]]:
        return [(parts[0], parts[2])]

    def more_entries(self, parts: list[Any]) -> list[tuple[Node, Node]]:
        parts[0].append((parts[2], parts[4]))
        return parts[0]

    def int_literal(self, parts: list[Any]) -> Node:
        return _literal(int_value, parts[0], schema.INT)

    def uint_literal(self, parts: list[Any]) -> Node:
        return _literal(uint_value, parts[0], schema.UINT)

    def double_literal(self, parts: list[Any]) -> Node:
        return _literal(double_value, parts[0], schema.DOUBLE)

    def string_literal(self, parts: list[Any]) -> Node:
        return _literal(quoted_text, parts[0], schema.STRING)

    def bytes_literal(self, parts: list[Any]) -> Node:
        return _literal(quoted_bytes, parts[0], schema.BYTES)

    def true_literal(self, parts: list[Any]) -> Node:
        return Literal(True, schema.BOOL, _at(parts[0]))

    def false_literal(self, parts: list[Any]) -> Node:
        return Literal(False, schema.BOOL, _at(parts[0]))

    def null_literal(self, parts: list[Any]) -> Node:
        return Literal(None, schema.NULL, _at(parts[0]))


def _literal(reading: Callable[[str], Any], token: Token, type_: schema.Type) -> Literal:
    try:
        return Literal(reading(str(token)), type_, _at(token))
    except LiteralFault as fault:
        raise Misuse(str(fault), _at(token) + fault.offset) from None


def _has(arguments: list[Node], position: int) -> Has:
    if len(arguments) != 1 or not isinstance(arguments[0], Select | Name):
        raise Misuse("has() takes one fact or one selected field, as in has(age) or has(address.city)", position)
    return Has(arguments[0], position)


def _bind(arguments: list[Node], position: int) -> Node:
    """`cel.bind(name, value, expression)`: the expression over the one item of a list, taken out again."""
    if len(arguments) != 3 or not _is_variable(arguments[0]):
        raise Misuse("cel.bind() takes a name, its value and an expression", position)
    bound = Macro("map", ListLiteral((arguments[1],), position), arguments[0].name, None, arguments[2], position)
    return Call("_[_]", (bound, Literal(0, schema.INT, position)), False, position)


_MACROS = {
    "all": "all", "exists": "exists", "exists_one": "exists_one", "existsOne": "exists_one", "filter": "filter", "map": "map",
    "transformList": "map", "transformMap": "transform_map",
}  # fmt: skip
_FORMS = {
    "map": (((2, 3), 1), "a variable, an optional condition and an expression"),
    "transformList": (((3, 4), 2), "two variables, an optional condition and an expression"),
    "transformMap": (((3, 4), 2), "two variables, an optional condition and an expression"),
}


def _macro(name: str, receiver: Node, arguments: list[Node], position: int) -> Macro:
    (n_allowed, n_variables), form = _FORMS.get(name, (((2,), 1), "a variable and a condition"))
    if name in ("all", "exists", "exists_one", "existsOne") and len(arguments) == 3:
        n_allowed, n_variables = (3,), 2
    variables = [node.name for node in arguments[:n_variables] if _is_variable(node)]
    if len(arguments) not in n_allowed or len(set(variables)) < n_variables:
        raise Misuse(f"{name}() takes {form}, as in products.{name}({'i, p' if n_variables == 2 else 'p'}, ...)", position)
    *condition, last = arguments[n_variables:]
    kind, value_variable = _MACROS[name], variables[1] if n_variables == 2 else None
    if kind in ("map", "transform_map"):
        return Macro(kind, receiver, variables[0], condition[0] if condition else None, last, position, value_variable)
    return Macro(kind, receiver, variables[0], last, None, position, value_variable)


def _is_variable(node: Node) -> TypeGuard[Name]:
    return isinstance(node, Name) and not node.name.startswith(".")
