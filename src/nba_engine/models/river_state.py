"""The objects of the library `river` as bytes and back, without pickle: MessagePack of what each object says of itself.

An object is written as the constructor, arguments and state that it gives to `copy` (`__reduce_ex__`). Reading makes objects of river itself and
of a few plain types only; any other name is refused, so that bytes from elsewhere cannot run anything else. Shared objects stay shared.
"""

from __future__ import annotations

import importlib
from types import BuiltinFunctionType, MethodType
from typing import Any

import msgspec
import numpy as np

from nba_engine.errors import StoreError

_PLAIN = frozenset({type(None), bool, float, str, bytes})
_ALLOWED = frozenset({
    ("collections", "Counter"), ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "deque"),
    ("copyreg", "__newobj__"), ("copyreg", "__newobj_ex__"), ("copyreg", "_reconstructor"), ("builtins", "object"), ("builtins", "float"),
    ("builtins", "int"), ("builtins", "bool"), ("builtins", "str"), ("builtins", "dict"), ("builtins", "list"), ("builtins", "set"),
    ("random", "Random"), ("functools", "partial"), ("copy", "deepcopy"), ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pickle", "__randomstate_ctor"),
})  # fmt: skip


def to_bytes(thing: Any) -> bytes:
    """The same object gives the same bytes. Raises StoreError where it holds what cannot be read back."""
    return msgspec.msgpack.encode(_Writer().written(thing))


def from_bytes(data: bytes) -> Any:
    """What `to_bytes` was given. Raises StoreError where the bytes name what is not river's."""
    return _Reader().read(msgspec.msgpack.decode(data))


class _Writer:
    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []

    def written(self, thing: Any) -> Any:
        kind = type(thing)
        if kind in _PLAIN:
            return thing
        if kind is int:
            return thing if -(2**63) <= thing < 2**64 else ["int", str(thing)]
        if kind is MethodType:
            return ["method", self.written(thing.__self__), thing.__name__]
        if isinstance(thing, type | BuiltinFunctionType) or (callable(thing) and hasattr(thing, "__qualname__") and not hasattr(thing, "__self__")):
            return self._name(thing)
        if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind in "biuf":
            return ["array" if isinstance(thing, np.ndarray) else "number", thing.dtype.str, list(thing.shape), thing.tobytes()]
        if id(thing) in self._places:
            return ["again", self._places[id(thing)]]
        if kind is tuple:
            return ["tuple", *map(self.written, thing)]
        self._places[id(thing)] = len(self._places)
        self._alive.append(thing)  # or another object might take its id
        if kind is list:
            return ["list", *map(self.written, thing)]
        if kind is dict:
            return ["dict", *([self.written(key), self.written(value)] for key, value in thing.items())]
        if kind in (set, frozenset):
            return ["set", *sorted(map(self.written, thing), key=repr)]
        return self._object(thing)

    def _object(self, thing: Any) -> Any:
        made, arguments, state, items, pairs = (*thing.__reduce_ex__(2), None, None, None)[:5]
        return ["object", self._name(made), self.written(tuple(arguments)), self.written(state), self.written(list(items or ())),
                [[self.written(key), self.written(value)] for key, value in pairs or ()]]

    def _name(self, thing: Any) -> Any:
        named = thing.__module__ or "builtins", thing.__qualname__
        _check(*named)
        return ["name", *named]


class _Reader:
    def __init__(self) -> None:
        self._made: list[Any] = []

    def read(self, written: Any) -> Any:
        if not isinstance(written, list):
            return written
        kind, *parts = written
        if kind == "again":
            return self._made[parts[0]]
        if kind == "int":
            return int(parts[0])
        if kind == "name":
            return _found(*parts)
        if kind == "method":
            owner = self.read(parts[0])
            _check(type(owner).__module__, parts[1])
            return getattr(owner, parts[1])
        if kind in ("array", "number"):
            array = np.frombuffer(parts[2], parts[0]).reshape(parts[1]).copy()
            return array if kind == "array" else array[()]
        if kind == "tuple":
            return tuple(map(self.read, parts))
        if kind == "object":
            return self._object(*parts)
        return self._container(kind, parts)

    def _container(self, kind: str, parts: list[Any]) -> Any:
        thing: Any = {"list": list, "dict": dict, "set": set}[kind]()
        self._made.append(thing)
        if kind == "list":
            thing.extend(map(self.read, parts))
        elif kind == "set":
            thing.update(map(self.read, parts))
        else:
            for key, value in parts:
                thing[self.read(key)] = self.read(value)
        return thing

    def _object(self, name: Any, arguments: Any, state: Any, items: Any, pairs: Any) -> Any:
        place = len(self._made)
        self._made.append(None)
        thing = _found(*name[1:])(*self.read(arguments))
        self._made[place] = thing
        found = self.read(state)
        if found is not None:
            if hasattr(thing, "__setstate__"):
                thing.__setstate__(found)
            else:
                attributes, slots = found if isinstance(found, tuple) else (found, None)
                for attribute, value in {**(attributes or {}), **(slots or {})}.items():
                    object.__setattr__(thing, attribute, value)
        for item in self.read(items):
            thing.append(item)
        for key, value in pairs:
            thing[self.read(key)] = self.read(value)
        return thing


def _check(module: str, name: str) -> None:
    if module.split(".")[0] != "river" and (module, name) not in _ALLOWED:
        raise StoreError(f"a river model holds {module}.{name}, which cannot be stored; use parameters that are numbers, texts or parts of river")


def _found(module: str, name: str) -> Any:
    _check(module, name)
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part, None)
    _check(getattr(thing, "__module__", None) or module, getattr(thing, "__qualname__", name))  # river's own, not what it imports
    return thing
