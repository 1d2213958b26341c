"""How two types go together: what fits a parameter, what compares, what the common type is, and what to say where nothing fits."""

from __future__ import annotations

from collections.abc import Sequence

from nba_engine.rules.syntax import Call, Literal
from nba_engine.schema import BOOL, DOUBLE, DURATION, DYN, INT, NULL, NUMBERS, STRING, TIMESTAMP, UINT, Type

FREE = Type("?")
"""The item type of an empty list or map: not decided yet. It becomes whatever it meets, in the end dyn."""
LOOSE = (DYN, FREE)


def settled(type_: Type) -> Type:
    """The type with everything undecided as dyn."""
    if type_ == FREE:
        return DYN
    if not type_.parameters:
        return type_
    return Type(type_.kind, tuple(map(settled, type_.parameters)), type_.fields)


def fits(type_: Type, parameter: Type) -> bool:
    """Whether a value of `type_` may be passed where `parameter` is declared."""
    if type_ in LOOSE or parameter in LOOSE or type_ == parameter:
        return True
    return type_.kind == parameter.kind and type_.kind in ("list", "map") and all(map(fits, type_.parameters, parameter.parameters))


def comparable(a: Type, b: Type) -> bool:
    """Whether `a == b` makes sense: alike, both numbers, or one of them null or dyn."""
    if a in LOOSE or b in LOOSE or NULL in (a, b) or a == b or (a in NUMBERS and b in NUMBERS):
        return True
    return a.kind == b.kind and a.kind in ("list", "map") and all(map(comparable, a.parameters, b.parameters))


def joined(types: Sequence[Type]) -> Type:
    """The type of items that stand together in a list: their common type, else dyn."""
    result = FREE
    for type_ in types:
        result = _joined(result, type_)
    return result


def _joined(a: Type, b: Type) -> Type:
    if a == b or b == FREE:
        return a
    if a == FREE:
        return b
    if a.kind == b.kind and a.kind in ("list", "map"):
        return Type(a.kind, tuple(map(_joined, a.parameters, b.parameters)))
    return DYN


def branch_type(then: Type, otherwise: Type) -> Type | None:
    """The type of `c ? then : otherwise`, or None where the branches differ; null fits beside anything."""
    if then == NULL or otherwise == NULL:
        return otherwise if then == NULL else then
    if then in LOOSE or otherwise in LOOSE:
        return _joined(then, otherwise)
    return _joined(then, otherwise) if comparable(then, otherwise) and then.kind == otherwise.kind else None


def mismatch(node: Call, types: Sequence[Type]) -> str:
    """What is wrong with this operator or function for arguments of these types, and what to write instead."""
    shown = [str(settled(type_)) for type_ in types]
    sign = node.function.strip("_").removeprefix("@")
    hint = _hint(node, types)
    if sign in ("==", "!=", "<", "<=", ">", ">="):
        return f"{shown[0]} {sign} {shown[1]} is not defined; they cannot be compared{hint}"
    if not sign[0].isalpha():
        return f"{f' {sign} '.join(shown) if len(shown) == 2 else sign + shown[0]} is not defined{hint}"
    if node.member:
        return f"{shown[0]} has no {sign}({', '.join(shown[1:])}){hint}"
    return f"{sign}({', '.join(shown)}) is not defined{hint}"


def _hint(node: Call, types: Sequence[Type]) -> str:
    kinds = set(types)
    if NULL in kinds:
        return "; null can only be compared with == and !="
    if kinds == {INT, DOUBLE} or kinds == {INT, UINT}:
        suffix, conversion = (".0", "double") if DOUBLE in kinds else ("u", "uint")
        whole = next((a for a, type_ in zip(node.arguments, types, strict=True) if type_ == INT), None)
        if isinstance(whole, Literal):
            return f"; write {whole.value}{suffix}"
        return f"; write {conversion}(...) around the int"
    if node.function == "_%_" and DOUBLE in kinds:
        return "; % is for whole numbers"
    if kinds == {INT, BOOL} or kinds == {DOUBLE, BOOL}:
        return "; a bool is not a number"
    if STRING in kinds and kinds & {INT, UINT, DOUBLE}:
        text = next((a for a, type_ in zip(node.arguments, types, strict=True) if type_ == STRING), None)
        if isinstance(text, Literal) and text.value.replace(".", "", 1).isdecimal():
            return f"; write {text.value} without quotes"
        return "; write string(...) around the number" if node.function == "_+_" else ""
    if kinds & {TIMESTAMP, DURATION} and kinds & {INT, UINT, DOUBLE}:
        return "; a length of time is written duration('72h')"
    if kinds & {TIMESTAMP, DURATION} and STRING in kinds:
        return "; write timestamp('...') or duration('...') around the text"
    return ""
