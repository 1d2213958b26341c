"""`nba.evaluate`: one expression, once, as the CEL standard has it. Qualified names and containers are resolved here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from nba_engine.errors import ParseError, RuleError
from nba_engine.rules.parsing import parse
from nba_engine.rules.plain import evaluate
from nba_engine.rules.syntax import Call, Has, ListLiteral, Macro, MapLiteral, Name, Node, Select
from nba_engine.rules.values import TYPE_NAMES, ErrorValue


def evaluate_expression(
    expression: str, variables: Mapping[str, Any], *, types: Mapping[str, Any] | None = None, container: str = ""
) -> Any:
    """Evaluate one CEL expression without static checks.

    Parameters
    ----------
    expression : str
        CEL text.
    variables : mapping
        Values by name; a name may be qualified (`a.b`).
    types : mapping, optional
        Declared variables; their names take part in the resolution of qualified names also where they have no value.
    container : str
        The namespace in which names are looked up first, from the longest prefix to none.

    Returns
    -------
    object
        int64 as int, uint64 as UInt, timestamps and durations as datetime (UTC) and timedelta, lists, dicts, a type as its CEL name.

    Raises
    ------
    ParseError
        Where the text is not CEL.
    RuleError
        Where the standard says that the result is an error.

    Examples
    --------
    >>> evaluate_expression("age >= 18 && 'fibre' in products", {"age": 41, "products": ["fibre", "tv"]})
    True
    """
    if not isinstance(expression, str):
        raise ParseError(f"came {expression!r} of type {type(expression).__name__}, needed the text of an expression")
    names = {*variables, *(types or ()), *TYPE_NAMES.values()}
    node = resolve(parse(expression), names, container)
    value = evaluate(node, variables, nullable=False)
    if isinstance(value, ErrorValue):
        raise RuleError(value.message, expression, value.position)
    return value


def resolve(node: Node, names: Collection[str], container: str = "") -> Node:
    """The tree with every qualified name that is among `names` as one Name with a leading dot; a macro's variable hides the rest.

    The longest qualified name wins; a container `a.b` is searched as `a.b.`, `a.`, then nothing.
    """
    parts = container.split(".") if container else []
    prefixes = [".".join([*parts[:i], ""]) for i in range(len(parts), -1, -1)]
    return _Resolution(names, prefixes).node(node, frozenset())


class _Resolution:
    __slots__ = ("names", "prefixes")

    def __init__(self, names: Collection[str], prefixes: list[str]) -> None:
        self.names = names
        self.prefixes = prefixes

    def node(self, node: Node, hidden: frozenset[str]) -> Node:
        match node:
            case Name() | Select():
                return self.qualified(node, hidden)
            case Has(operand=Select() as operand):
                return Has(Select(self.node(operand.operand, hidden), operand.field, operand.position), node.position)
            case Has(operand=Name() as operand):
                found = None if operand.name in hidden else self.found(operand.name, [])
                return node if found is None else Has(Name("." + found, operand.position), node.position)
            case Call():
                return Call(node.function, tuple([self.node(a, hidden) for a in node.arguments]), node.member, node.position)
            case ListLiteral():
                return ListLiteral(tuple([self.node(item, hidden) for item in node.items]), node.position)
            case MapLiteral():
                return MapLiteral(tuple([(self.node(k, hidden), self.node(v, hidden)) for k, v in node.entries]), node.position)
            case Macro():
                inner = hidden | {node.variable} | ({node.value_variable} if node.value_variable else set())
                condition = None if node.condition is None else self.node(node.condition, inner)
                transform = None if node.transform is None else self.node(node.transform, inner)
                over = self.node(node.range, hidden)
                return Macro(node.kind, over, node.variable, condition, transform, node.position, node.value_variable)
            case _:
                return node

    def qualified(self, node: Name | Select, hidden: frozenset[str]) -> Node:
        fields: list[Select] = []
        root: Node = node
        while isinstance(root, Select):
            fields.append(root)
            root = root.operand
        fields.reverse()
        if isinstance(root, Name) and root.name not in hidden:
            for n_taken in range(len(fields), -1, -1):
                found = self.found(root.name, [f.field for f in fields[:n_taken]])
                if found is not None:
                    return _selected(Name("." + found, root.position), fields[n_taken:])
        return _selected(root if isinstance(root, Name) else self.node(root, hidden), fields)

    def found(self, root: str, fields: list[str]) -> str | None:
        name = ".".join([root.removeprefix("."), *fields])
        prefixes = [""] if root.startswith(".") else self.prefixes
        return next((prefix + name for prefix in prefixes if prefix + name in self.names), None)


def _selected(node: Node, fields: list[Select]) -> Node:
    for select in fields:
        node = Select(node, select.field, select.position)
    return node
