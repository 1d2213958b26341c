"""Types of facts as a catalog writes them: CEL type text, or a mapping of fields for a struct."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from nba_engine import schema
from nba_engine.errors import ParseError
from nba_engine.rules.parsing import parse
from nba_engine.rules.syntax import Name

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEPT = "another name, CEL keeps this word for itself"
_NO_FACTS = ("null", "type", "dyn")
_NEEDED = "a type such as int, double, string, bool, timestamp, list<string>, or a mapping of fields to types"


def name_problem(name: str) -> str:
    """Why `name` cannot be the name of a fact or field, or ''."""
    if not _IDENTIFIER.fullmatch(name):
        return "letters, digits and _, not starting with a digit, so that rules can name it"
    try:
        return "" if parse(name) == Name(name) else _KEPT
    except ParseError:
        return _KEPT


def parse_fact_type(written: object, depth: int = 0) -> schema.Type:
    """The type that `written` describes; ValueError says what is needed. A Type is taken as it is."""
    if isinstance(written, schema.Type):
        return written
    if isinstance(written, str):
        return _parse_text(written)
    if not isinstance(written, Mapping) or not written:
        raise ValueError(_NEEDED)
    if depth >= schema.FACT_DEPTH_MAX:
        raise ValueError(f"structs nested at most {schema.FACT_DEPTH_MAX} deep (FACT_DEPTH_MAX)")
    fields: dict[str, schema.Type] = {}
    for name, inside in written.items():
        problem = name_problem(str(name))
        if problem:
            raise ValueError(f"for the field {name!r}: {problem}")
        try:
            fields[str(name)] = parse_fact_type(inside, depth + 1)
        except ValueError as error:
            raise ValueError(f"for the field {name!r}: {error}") from error
    return schema.struct_of(fields)


def written_type(type_: schema.Type) -> str | dict[str, object]:
    """What `parse_fact_type` reads as this type."""
    return {name: written_type(field) for name, field in type_.fields} if type_.fields else str(type_)


def _parse_text(text: str) -> schema.Type:
    try:
        type_ = schema.parse_type(text)
    except ValueError as error:
        near = get_close_matches(text, [*schema.SCALARS, "list<string>", "list<int>"], 1)
        raise ValueError(f"{_NEEDED}" + (f"; did you mean {near[0]!r}?" if near else "")) from error
    if type_.kind in _NO_FACTS:
        raise ValueError(f"{_NEEDED}; nothing can be told of a fact that is {type_.kind}")
    return type_
