"""Text to syntax tree. The grammar stands in grammar.py, literals in literals.py; here are the tree's making, the limits and the error texts.

lark's LALR parser keeps its own stack and the tree is made while it reduces, so depth of nesting costs no Python recursion here; what
reads trees recursively is protected by DEPTH_MAX. Chains of `&&` and `||` become balanced trees: a thousand alternatives are ten deep.

Cost: about 0.3 ms for a rule of five comparisons; parsed rules are kept by text.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from nba_engine import schema
from nba_engine.errors import ParseError
from nba_engine.rules.grammar import GRAMMAR
from nba_engine.rules.syntax import ListLiteral, Literal, Macro, Node, children
from nba_engine.rules.tree import Misuse, TreeMaker

if TYPE_CHECKING:
    from lark import Lark
    from lark.exceptions import UnexpectedInput, UnexpectedToken

TEXT_LENGTH_MAX = 100_000
NODES_MAX = 20_000
DEPTH_MAX = 100
MACRO_NESTING_MAX = 4
LITERAL_ITEMS_MAX = 10_000
PARSED_MAX = 64_000
"""So many parsed rules are kept, some 2 kB each: a catalog of 10,000 actions finds its own again."""


@lru_cache(maxsize=PARSED_MAX)
def parse(text: str) -> Node:
    """The syntax tree of a CEL expression.

    Raises
    ------
    ParseError
        Where the text is no CEL expression, is longer or deeper than the limits of this module, or constructs a message.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise ParseError(f"the expression has {len(text)} characters, at most TEXT_LENGTH_MAX = {TEXT_LENGTH_MAX} are read; split it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParseError(f"the character {text[error.start]!a} is half of a pair and no text", text, error.start) from None
    from lark.exceptions import UnexpectedInput

    try:
        node = _parser().parse(text)
    except Misuse as misuse:
        raise ParseError(misuse.problem, text, misuse.position) from None
    except UnexpectedInput as unexpected:
        problem, position = _problem(unexpected, text)
        raise ParseError(problem, text, position) from None
    _check_limits(node, text)
    return node


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=TreeMaker(), maybe_placeholders=False)


def _check_limits(root: Node, text: str) -> None:
    n_nodes, longest = 0, None
    stack = [(root, 1, 0)]
    while stack:
        node, depth, n_macros = stack.pop()
        n_nodes += 1
        n_macros += isinstance(node, Macro)
        if n_nodes > NODES_MAX:
            raise ParseError(f"the expression has more than NODES_MAX = {NODES_MAX} parts; split it into several rules", text, node.position)
        if depth > DEPTH_MAX:
            raise ParseError(f"the expression nests deeper than DEPTH_MAX = {DEPTH_MAX}; split it into several rules", text, node.position)
        if n_macros > MACRO_NESTING_MAX:
            raise ParseError(f"macros nest deeper than MACRO_NESTING_MAX = {MACRO_NESTING_MAX}; keep the inner ones in a fact", text, node.position)
        if isinstance(node, ListLiteral) and len(node.items) > LITERAL_ITEMS_MAX:
            longest = node
        if isinstance(node, Literal) and node.type is schema.INT and node.value == 2**63:
            raise ParseError(f"{node.value} is not an int64", text, node.position)
        stack.extend((child, depth + 1, n_macros) for child in children(node))
    if longest is not None:
        n_items = len(longest.items)
        raise ParseError(f"the list has {n_items} items, at most LITERAL_ITEMS_MAX = {LITERAL_ITEMS_MAX} may be written", text, longest.position)


_HINTS = {
    "and": "write && for and", "or": "write || for or", "AND": "write && for and", "OR": "write || for or", "not": "write ! for not",
    "=": "write == to compare", "&": "write && for and", "|": "write || for or", "is": "write == to compare",
    "{": "a message like T{...} cannot be made here; maps are written {'key': value}", ";": "a rule is one expression",
}  # fmt: skip
_VALUE_STARTS, _OPERATORS = frozenset(("IDENT", "INT", "STRING")), frozenset(("AND", "RELATION", "PLUS"))
_CLOSING = {"RPAR": "')'", "RSQB": "']'", "RBRACE": "'}'", "COLON": "':'", "COMMA": "','"}


def _problem(unexpected: UnexpectedInput, text: str) -> tuple[str, int]:
    """What is wrong, what was expected there, and where."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if isinstance(unexpected, UnexpectedCharacters):
        position = unexpected.pos_in_stream
        return _unreadable(text, position), position
    assert isinstance(unexpected, UnexpectedToken)
    token = unexpected.token
    if token.type == "$END" and token.start_pos in (None, 0):
        return "the expression is empty", 0
    if token.type == "$END":
        return f"the expression ends too soon; expected {_expected(unexpected)}", len(text.rstrip())
    position = token.start_pos or 0
    if token == "?" and text[position - 1 : position] in (".", "["):
        return "optional selection with '?' is not supported; use has()", position
    previous = text[:position].split()[-1:]
    hint = _HINTS.get(str(token)) or (_HINTS.get(previous[0]) if previous else None)
    return f"unexpected {str(token)!r}; " + (hint or f"expected {_expected(unexpected)}"), position


def _unreadable(text: str, position: int) -> str:
    character = text[position]
    if character in "'\"":
        return f"the string that starts with {character} does not end"
    hint = _HINTS.get(character)
    return f"unexpected character {character!r}" + (f"; {hint}" if hint else "")


def _expected(unexpected: UnexpectedToken) -> str:
    names = unexpected.expected
    kinds = []
    if names >= _VALUE_STARTS:
        kinds.append("a value")
    elif "IDENT" in names:
        kinds.append("a name")
    if names >= _OPERATORS:
        kinds.append("an operator")
    kinds += [sign for name, sign in _CLOSING.items() if name in names]
    return " or ".join(kinds) or "the end"
