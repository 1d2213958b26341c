"""Plain values into a Definition. What pydantic refuses is worded as came, needed, do; the value is mended and looked at again, so that
one fault does not hide another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nba_engine.catalog.definition import Definition, keys_of
from nba_engine.catalog.faults import Faults, nearest, shown, suggestion
from nba_engine.catalog.loading import CATALOG_DEPTH_MAX, KeyPath
from nba_engine.schema import DYN

_ROUNDS_MAX = 8
_STAND_INS: dict[str, Any] = {"type": DYN, "when": "true", "within": "forever", "scope": "action", "kind": "uniform", "share": 0.0}
_NEEDED = {
    "string_type": "text",
    "string_too_short": "at least one character",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of names to what they mean",
    "tuple_type": "a list",
    "invalid_key": "text as a key: put it in quotes",
}
_BOUNDS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most"), "greater_than": ("gt", "more than")}


def validate(value: Any, faults: Faults) -> Definition:
    """The definition that `value` writes down, as far as it can be understood; everything else stands in `faults`."""
    if not isinstance(value, Mapping):
        faults.add((), f"came {shown(value)}, needed a mapping with keys such as {', '.join(keys_of(Definition)[:4])}, actions")
        return Definition()
    written = value
    for _ in range(_ROUNDS_MAX):
        try:
            return Definition.model_validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
        if value is written:
            value = _copy(value)
        misspelt = {(*e["loc"][:-1], _meant(e["loc"])) for e in found if e["type"] == "extra_forbidden"}
        for e in found:
            if not (e["type"] == "missing" and e["loc"] in misspelt):
                _tell(e, faults)
        for e in found:
            _mend(value, e, faults)
    faults.raise_if_any()
    return Definition()


def _tell(error: Any, faults: Faults) -> None:
    kind, loc = error["type"], error["loc"]
    if kind == "missing":
        faults.add(loc, f"{loc[-1]!r} is missing: add it", at=loc[:-1])
    elif kind == "extra_forbidden":
        known = keys_of(_model_at(loc[:-1]) or Definition)
        faults.add(loc, f"came the unknown key {loc[-1]!r}{suggestion(loc[-1], known)}", at_key=True)
    elif loc and loc[-1] == "[key]":
        faults.add(loc[:-1], f"came {shown(error['input'])} as a key, needed {_needed(error)}", at_key=True)
    else:
        faults.add(loc, f"came {shown(error['input'])}, needed {_needed(error)}")


def _needed(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
        near = nearest(error["input"], choices)
        return f"one of {', '.join(choices)}" + (f"; did you mean {near!r}?" if near else "")
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]:g}"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return "text: put it in quotes"
    return _NEEDED.get(kind, error["msg"])


def _mend(value: Any, error: Any, faults: Faults) -> None:
    """Changes `value` so that the next look goes past this error, and remembers the place."""
    kind, loc = error["type"], error["loc"]
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
    parent = _at(value, loc[:-1])
    if not isinstance(parent, dict | list):
        loc = loc[:-1]
        parent = _at(value, loc[:-1])
    if not loc or parent is None:
        return
    key: Any = loc[-1]
    if kind == "extra_forbidden":
        inside, meant = parent.pop(key, None), _meant(loc)
        if meant and meant not in parent:
            parent[meant] = inside
            faults.written_as[(*loc[:-1], meant)] = loc
        return
    faults.mended.add(loc)
    if kind == "missing":
        parent[key] = _STAND_INS.get(key, f"?{len(faults.mended)}")
    elif _model_at(loc) and error["loc"][-1] != "[key]":
        parent[key] = {}
    elif isinstance(parent, list):
        parent[key] = "true"
    else:
        for name in [name for name in parent if name == key or not isinstance(name, str) or not name]:
            del parent[name]


def _meant(loc: KeyPath) -> str | None:
    model = _model_at(loc[:-1])
    return nearest(loc[-1], keys_of(model)) if model else None


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """The record that stands at `path` of a catalog, or None where something else does."""
    annotation: Any = Definition
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
            annotation = fields[str(part)].annotation if part in fields else None
        elif get_origin(annotation) in (dict, tuple):
            annotation = get_args(annotation)[0 if get_origin(annotation) is tuple else 1]
        else:
            return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _copy(value: Any, depth: int = 0) -> Any:
    if isinstance(value, Mapping):
        return {k: _copy(v, depth + 1) for k, v in value.items()} if depth < CATALOG_DEPTH_MAX else None
    if isinstance(value, list | tuple):
        return [_copy(v, depth + 1) for v in value] if depth < CATALOG_DEPTH_MAX else None
    return value
