"""One interaction's facts -> one row of numbers.

The common case is a handful of C-speed passes over all facts: look up, compare the types met with the expected ones, write. Only what is odd
(null, missing, another number type) is looked at one by one. Cost: about 0.2 us per fact. Unknown names are ignored and noted once each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from datetime import datetime, timedelta
from itertools import chain, compress, repeat
from operator import is_not, itemgetter
from types import NoneType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.errors import FactsError
from nba_engine.facts import values as convert
from nba_engine.facts.columns import KINDS, MISSING, NULL, VALUE, Column, columns_of
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.moments import EPOCH, duration_us
from nba_engine.schema import BUILT_IN_FACTS, Fact

UNKNOWN_NAMES_MAX = 1000
SHAPES_MAX = 1000
"""Combinations of types that an encoder remembers, at about 1 kB each."""
_ABSENT = convert.ABSENT
_TEXT, _ZEROS = {str}, repeat(0)
_NO_ITEMS, _NO_OFFSETS = np.zeros(0, np.int32), np.zeros((1, 1), np.int32)
"""Of rows without lists, which share them."""
_AbsentType = type(_ABSENT)
_PLAIN = {"int": (int, 0), "double": (float, 0.0), "bool": (bool, False), "string": (str, ""), "timestamp": (datetime, EPOCH),
          "duration": (timedelta, timedelta(0)), "other": (object, None), "list": (list, [])}
"""Kind -> the Python type that needs no second look, and what stands in for null and missing."""


class Row(msgspec.Struct, gc=False):
    """One encoded interaction; nothing of it can be changed by the caller.

    values int64[1, n_columns]: int as it is, double as its bits, bool 0 or 1, timestamp and duration in microseconds, string as its code, list and
    map as their length. states uint8[1, n_columns]: VALUE, NULL or MISSING, shared with other rows and never written. item_codes int32[n_items]:
    the texts of all lists of strings, list `l` (lists stand last among the columns) owning `item_offsets[0, l]:item_offsets[0, l + 1]`
    (int32[1, n_lists + 1]). `given`: the plain value of every column but the built-in ones, lists as tuples, a default
    where there is none; `null_structs`: names.
    """

    values: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    item_codes: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int32]
    given: Sequence[Any]
    null_structs: Sequence[str] = ()


class _Shape(NamedTuple):
    """What rows whose facts have the same types have in common: states, positions that need a second look, facts given."""

    states: npt.NDArray[np.uint8]
    odd: tuple[int, ...]
    n_given: int


class Encoder:
    """Turns facts into rows, for one set of declared facts. Safe to use from any number of threads."""

    def __init__(self, facts: Sequence[Fact], vocabulary: Vocabulary) -> None:
        self.columns: tuple[Column, ...] = columns_of(facts)
        self.unknown_names: set[str] = set()
        self._structs = [fact for fact in facts if fact.type.kind == "struct"]
        self._known = {c.name for c in self.columns} | {fact.name for fact in facts}
        self._given = [i for i, c in enumerate(self.columns) if c.fact not in BUILT_IN_FACTS]
        self._names = [self.columns[i].name for i in self._given]
        self._types = tuple(_expected(self.columns[i]) for i in self._given)
        self._defaults = [_PLAIN[self.columns[i].kind][1] for i in self._given]
        self._shapes: dict[tuple[type, ...], _Shape] = {}
        self._shapes_without_channel: dict[tuple[type, ...], _Shape] = {}
        self._look_up = itemgetter(*self._names) if len(self._names) > 1 else None
        kinds = [self.columns[i].kind for i in self._given]
        bounds = [sum(kind in KINDS[:k] for kind in kinds) for k in range(len(KINDS) + 1)]
        self._first_list = bounds[KINDS.index("list")]
        self._numbers = slice(0, bounds[KINDS.index("string")])
        self._strings, self._times, self._durations, self._others, self._lists = (
            slice(bounds[KINDS.index(kind)], bounds[KINDS.index(kind) + 1]) for kind in ("string", "timestamp", "duration", "other", "list"))
        self._has_times, self._has_durations, self._has_others = (kind in kinds for kind in ("timestamp", "duration", "other"))
        self._string_columns = self._given[self._strings]
        self._string_span = slice(min(self._string_columns, default=0), max(self._string_columns, default=-1) + 1)
        self._take_codes(vocabulary)
        self.is_plain = all(_is_plain(column) for column in self.columns)
        """Whether every fact is a number, a text, a time or a list of texts, once encoded: what can be stored without a look at each value."""
        self._built_in = {name: i for i, c in enumerate(self.columns) if c.fact in BUILT_IN_FACTS for name in (c.name,)}
        self._layout = struct.Struct("=" + "".join("d" if c.kind == "double" else "q" for c in self.columns))

    def encode(self, facts: Mapping[str, Any], now_us: int, channel: str | None, direction: str | None) -> Row:
        """The row of `facts` at `now_us` (UTC microseconds). Raises FactsError naming the first fact of a wrong type."""
        if self._structs:
            facts = self.flattened(facts)
        try:
            found: Sequence[Any] = self._look_up(facts) if self._look_up else [facts[name] for name in self._names]
        except KeyError:
            found = [facts.get(name, _ABSENT) for name in self._names]
        types = tuple(map(type, found))
        shape = (self._shapes if channel is not None else self._shapes_without_channel).get(types) or self._new_shape(types, channel is None)
        if shape.odd:
            found = self._mended(found, shape.odd)
        if len(facts) > shape.n_given:
            self.note_unknown(facts)
        lists = [*map(tuple, found[self._lists])]  # the caller may go on using its own; tuples of texts cost the garbage collector nothing
        ends, items = self._items(lists) if lists else (None, [])
        values = np.empty((1, len(self.columns)), np.int64)
        try:
            self._layout.pack_into(
                values, 0, *found[self._numbers],
                *map(dict.get, self._string_codes, found[self._strings], _ZEROS),
                self._channel_codes.get(channel, 0), self._direction_codes.get(direction, 0),
                # a list that is always empty costs .2 us each time
                *([(d := v - EPOCH).days * 86_400_000_000 + d.seconds * 1_000_000 + d.microseconds for v in found[self._times]]
                  if self._has_times else ()), now_us,
                *([d.days * 86_400_000_000 + d.seconds * 1_000_000 + d.microseconds for d in found[self._durations]] if self._has_durations else ()),
                *([len(v) if isinstance(v, Mapping) else 0 for v in found[self._others]] if self._has_others else ()), *map(len, lists))
        except (struct.error, TypeError):
            raise self._unencodable(found) from None
        null_structs = [f.name for f in self._structs if facts.get(f.name, _ABSENT) is None] if self._structs else ()
        if ends is None:
            return Row(values, shape.states, _NO_ITEMS, _NO_OFFSETS, found, null_structs)
        n = len(ends)
        coded = np.fromiter(ends + items, np.int32, n + len(items))
        return Row(values, shape.states, coded[n:], coded[None, :n], (*found[:self._first_list], *lists), null_structs)

    def encode_again(self, facts: Mapping[str, Any], now_us: int, channel: str | None, direction: str | None) -> Row:
        """As `encode`, for facts that were taken under another catalog: those that are declared otherwise here are missing."""
        while True:
            try:
                return self.encode(facts, now_us, channel, direction)
            except FactsError as error:
                odd = error.fact.partition(".")[0]
                facts = {name: value for name, value in facts.items() if odd and name.partition(".")[0] != odd}

    def frozen(self) -> Encoder:
        """An encoder that gives texts the codes they have now, whatever is learned meanwhile."""
        found = copy(self)
        found._take_codes(self.vocabulary.copied())
        return found

    def _take_codes(self, vocabulary: Vocabulary) -> None:
        columns = self.columns
        self.vocabulary = vocabulary
        self._string_codes = [vocabulary.codes(name) for name in self._names[self._strings]]
        self._list_codes = [vocabulary.codes(columns[i].name) if columns[i].has_vocabulary else None for i in self._given[self._lists]]
        self._are_texts = [codes is not None for codes in self._list_codes]
        self._channel_codes, self._direction_codes = vocabulary.codes("channel"), vocabulary.codes("direction")

    def note_unknown(self, names: Iterable[str]) -> None:
        """Remember the names that no fact has, so that a misspelt one can be found."""
        if len(self.unknown_names) < UNKNOWN_NAMES_MAX:
            self.unknown_names.update(str(name) for name in names if name not in self._known)

    def facts_of(self, row: Row) -> dict[str, Any]:
        """The declared facts as they were given, structs flattened."""
        facts = dict(zip(self._names, row.given, strict=True))
        for i in row.states[0].nonzero()[0].tolist():  # few, as a rule
            if row.states[0, i] == NULL:
                facts[self.columns[i].name] = None
            else:
                facts.pop(self.columns[i].name, None)
        return {**facts, **dict.fromkeys(row.null_structs)} if row.null_structs else facts

    def variables(self, row: Row) -> dict[str, Any]:
        """The declared facts of `row` as the plain evaluator reads them: null as None, a missing fact absent, structs nested, times aware."""
        found: dict[str, Any] = {}
        facts = self.facts_of(row)
        for i in self._given:
            column = self.columns[i]
            value = facts.get(column.name, _ABSENT)
            if value is _ABSENT:
                continue
            *path, last = column.name.split(".")
            place = found
            for part in path:
                place = place.setdefault(part, {})
            place[last] = None if value is None else convert.plain(value, column.type, column.name)
        return {**found, **dict.fromkeys(row.null_structs)}

    def learn_texts(self, row: Row) -> None:
        """Give codes to the texts of `row` that have none yet, in the vocabulary and in the row itself."""
        if 0 in row.values[0, self._string_span].tolist():
            for i, text in zip(self._string_columns, row.given[self._strings], strict=True):
                if row.values[0, i] == 0 and row.states[0, i] == VALUE:
                    row.values[0, i] = self.vocabulary.learn(self.columns[i].name, text)
        if row.item_codes is _NO_ITEMS or 0 not in row.item_codes.tolist():
            return
        start = 0
        for i, codes, texts, stop in zip(self._given[self._lists], self._list_codes, row.given[self._lists], row.item_offsets[0, 1:].tolist(),
                                         strict=True):
            if codes is not None and 0 in row.item_codes[start:stop].tolist():
                row.item_codes[start:stop] = [self.vocabulary.learn(self.columns[i].name, text) for text in texts]
            start = stop

    def _new_shape(self, types: tuple[type, ...], without_channel: bool) -> _Shape:
        """Work out what rows of these types need; remembered, since customers differ in few ways."""
        states = np.zeros((1, len(self.columns)), np.uint8)
        for i, type_ in zip(self._given, types, strict=True):
            states[0, i] = NULL if type_ is NoneType else MISSING if type_ is _AbsentType else VALUE
        if without_channel:
            states[0, self._built_in["channel"]] = states[0, self._built_in["direction"]] = MISSING
        odd = tuple(compress(range(len(types)), map(is_not, types, self._types)))
        shape = _Shape(states, odd, sum(type_ is not _AbsentType for type_ in types))
        shapes = self._shapes_without_channel if without_channel else self._shapes
        if len(shapes) < SHAPES_MAX:
            shapes[types] = shape
        return shape

    def _mended(self, found: Sequence[Any], odd: Sequence[int]) -> list[Any]:
        """`found` with what is odd made plain, null and missing replaced."""
        mended = list(found)
        for i in odd:
            value = mended[i]
            if value is None or value is _ABSENT:
                mended[i] = self._defaults[i]
            else:
                column = self.columns[self._given[i]]
                mended[i] = convert.plain(value, column.type, column.name)
                if self._types[i] is object:
                    mended[i] = deepcopy(mended[i])
        return mended

    def _items(self, lists: list[tuple[Any, ...]]) -> tuple[list[int], list[int]]:
        """Of the list facts: where each begins among the texts of all (and where the last ends), and the codes of those texts."""
        ends, items = [0], []
        try:
            for codes, texts in zip(self._list_codes, lists):
                if texts and codes is not None:
                    items += map(codes.get, texts, _ZEROS)
                ends.append(len(items))
        except TypeError:  # not hashable, so no text
            items = [0]
        if 0 in items and not {*map(type, chain.from_iterable(compress(lists, self._are_texts)))} <= _TEXT:
            for k in compress(range(len(lists)), self._are_texts):
                lists[k] = tuple(self._checked(k, lists[k]))
            return self._items(lists)
        return ends, items

    def _checked(self, number: int, texts: Sequence[Any]) -> list[str]:
        """The texts of list fact `number`; FactsError where one of them is none."""
        column = self.columns[self._given[self._lists][number]]
        return convert.plain(texts, column.type, column.name)

    def flattened(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Facts by the names of columns: structs taken apart."""
        flat = dict(facts)
        for fact in self._structs:
            if fact.name in flat:
                flat.update(convert.flatten(fact.name, flat.pop(fact.name), fact.type))
        return flat

    def _unencodable(self, found: Sequence[Any]) -> FactsError:
        """Says which fact could not be written: a time without a zone, or a number or a duration beyond 64 bits."""
        for i, value in zip(self._given, found, strict=True):
            column = self.columns[i]
            if value is not None:  # what stands in for a map or struct that is null or missing
                convert.plain(value, column.type, column.name)
            number = duration_us(value) if isinstance(value, timedelta) else value
            if isinstance(number, int) and not -(2**63) <= number < 2**63:
                return FactsError(f"fact {column.name!r}: {value} does not fit into 64 bits; give a value from -2**63 to 2**63 - 1, or a "
                                  "duration within 292,000 years", column.name)
        return FactsError("a fact cannot be encoded; give values of the declared types", "")


def _is_plain(column: Column) -> bool:
    return column.kind in ("int", "double", "bool", "string", "timestamp") or (column.kind == "list" and column.has_vocabulary)


def _expected(column: Column) -> type:
    """The type that needs no second look: none where values hold others that must be of a type, or that the caller could still change."""
    if column.kind == "list" and not column.has_vocabulary:
        return object
    return _PLAIN[column.kind][0]
