"""An encoded row becomes sparse features: what models read instead of facts.

Each predictor column owns a block of consecutive features, of which few are active in a row (all others are 0):

    bool       false | true | null | missing                        only `true` is ever active, its sign says which; 0 has one too
    string     first `categories_max` texts of the vocabulary | other | null | missing
    texts      the same, one active per distinct text of a list<string>
    number     z (straight line) | hats over z | null | missing     int, double, duration; length of other lists and of maps
    age        the same over sign(a) log(1 + |a|), a = now - fact in days
    cycle      sine and cosine of hour and weekday, for timestamps of the interaction itself

z is the standard score under a running mean and deviation, of the number or of its logarithm (scaling.py), held within +/- 3; a hat is 1 at its
knot and falls linearly to 0 at the next. A bool's value is sqrt(2) (1 or 0 - share of trues so far): what all customers have in common is left to
the bias (docs/decisions/0033-bools-as-one-feature.md); `false` is there for models that count in bins. Feature 0 is the bias; the rank's features
stand behind all these, and behind them those of crosses (crosses.py) and of further texts (widening.py), so that these can be added without
renumbering any. Values are scaled so that one prior variance serves every feature: a category takes all of it, true and false differ by as much as
two categories, the straight line and the hats take less, the hats least (docs/decisions/0002-encoding-and-exploration.md).
**Cost** O(columns + list items); measured by benchmarks/bench_models.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from nba_engine.facts import crosses as _crosses
from nba_engine.facts import scaling as _scaling
from nba_engine.facts import widening as _widening
from nba_engine.facts.columns import Column
from nba_engine.numerics.kernel import kernel, scalar

RANK_MAX = 10
Z_MAX = 3.0
N_KNOTS = 13
LINE_SCALE = 0.55
HAT_SCALE = 0.45
BOOL_SCALE = math.sqrt(2.0)

_BOOL, _TEXT, _TEXTS, _INT, _DOUBLE, _AGE, _CYCLE, _CROSS, _MORE = range(9)
_NULL, _MISSING = 1, 2
_KIND, _COLUMN, _FIRST, _SIZE, _NUMBER, _NAMED = range(6)
"""Fields of a block, int32[6]: its kind, column, first feature, features before null and missing, its row in the scaling or number as a list (-1:
none), how many texts of its fact have features, in this block or another (a block of further texts: in those before it).
A cross's block names the blocks of its sides in place of column and number."""

_SCALARS = {"bool": _BOOL, "string": _TEXT, "int": _INT, "double": _DOUBLE, "duration": _INT, "list": _INT, "map": _INT,
            "timestamp": _AGE}  # fmt: skip
_SIDES = {_BOOL: _crosses.BOOL, _TEXT: _crosses.TEXT, _INT: _crosses.NUMBER, _DOUBLE: _crosses.NUMBER, _AGE: _crosses.NUMBER}
_SCALED = (_BOOL, _INT, _DOUBLE, _AGE)
"""Kinds with a row in the scaling."""
_US_PER_DAY = 86_400_000_000


class Features:
    """The encoder of one catalog version's rows.

    Parameters
    ----------
    columns : the encoded row's columns in order; those whose fact is no predictor give no features. An age needs the column `now`.
    categories_max : texts per column with a feature of their own, the vocabulary's first ones; later ones share "other".
    crosses : pairs of column names, each among `crossable`
    constant : columns that say the same of every row. They give no features, which would only be the bias once more, unsure and in motion.

    Attributes
    ----------
    n_features : features altogether, active or not
    active_max : features that one row can activate at most
    names : (fact, bin) of each feature. A text stands as its code (`#3`); `names_of` puts the texts in.
    """

    def __init__(self, columns: Sequence[Column], categories_max: int = 32, crosses: Sequence[tuple[str, str]] = (),
                 constant: Collection[str] = ()) -> None:
        names = [("bias", "")]
        blocks: list[tuple[int, int, int, int, int, int]] = []
        self.active_max = 2
        are_bools: list[bool] = []
        n_lists = 0
        for i, column in enumerate(columns):
            for kind in () if column.name in constant else _kinds_of(column):
                bins = _bins_of(kind, categories_max)
                absent = 0 if kind == _CYCLE else 2
                number = len(are_bools) if kind in _SCALED else n_lists if kind == _TEXTS else -1
                blocks.append((kind, i, len(names), len(bins) - absent, number, categories_max))
                names += [(column.name, bin_) for bin_ in bins]
                are_bools += [kind == _BOOL] if kind in _SCALED else []
                self.active_max += _active_of(kind, categories_max)
            n_lists += column.type.kind == "list"
        self._first_rank = len(names)
        self._blocks = np.array(blocks, dtype=np.int32).reshape(-1, 6)
        self.names = names + [("rank", str(rank)) for rank in range(2, RANK_MAX + 1)]
        self.n_features, self.crosses = len(self.names), ()
        self._text_blocks = {columns[column].name: b for b, (kind, column, *_) in enumerate(blocks) if kind in (_TEXT, _TEXTS)}
        self._side_of = {columns[column].name: (b, kind) for b, (kind, column, *_) in enumerate(blocks) if kind in _SIDES}
        for a, b in crosses:
            self._cross(a, b)
        self._now = next((i for i, column in enumerate(columns) if column.name == "now"), -1)
        if self._now < 0 and any(block[_KIND] == _AGE for block in blocks):
            raise ValueError("the row has timestamps but no column 'now' to take their age from; add it to the columns")
        self._places = np.array([self._now, self._first_rank])
        self._scaling = _scaling.empty_scaling(are_bools)
        self._numbers = np.empty(len(are_bools))

    @property
    def crossable(self) -> list[tuple[str, int]]:
        """The columns that can be crossed and what kind of side each is, in their order."""
        return [(name, _SIDES[kind]) for name, (_, kind) in self._side_of.items()]

    def crossed(self, a: str, b: str) -> Features:
        """These features and those of one more cross behind them; both share what is observed."""
        found = copy(self)
        found._cross(a, b)
        return found

    def _cross(self, a: str, b: str) -> None:
        sides = sorted(((_SIDES[self._side_of[name][1]], -self._side_of[name][0], name) for name in (a, b)), reverse=True)
        (kind_a, block_a, a), (kind_b, block_b, b) = sides
        names = _crosses.names((a, kind_a), (b, kind_b))
        self._blocks = np.vstack([self._blocks, [[_CROSS, -block_a, self.n_features, 0, -block_b, 0]]]).astype(np.int32)
        self.names = [*self.names, *names]
        self.n_features = len(self.names)
        self.crosses = (*self.crosses, (a, b))
        self.active_max += _crosses.ACTIVE_MAX

    def widened(self, fact: str) -> Features:
        """These features and, behind them, those of the next texts of a text fact; both share what is observed."""
        found, b = copy(self), self._text_blocks[fact]
        kind, column, _, _, number, named = self._blocks[b].tolist()
        more = (_widening.GROWTH - 1) * named
        found._blocks = np.vstack([self._blocks, [[_MORE, column, self.n_features, more, number, named]]]).astype(np.int32)
        found._blocks[b, _NAMED] += more
        found.names = [*self.names, *((fact, f"#{code}") for code in range(named + 1, named + more + 1))]
        found.n_features = len(found.names)
        found.active_max += more if kind == _TEXTS else 0
        return found

    def names_of(self, texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """`names` with texts in place of codes; `texts[column]` lists that column's vocabulary from code 1 on."""
        return [_crosses.with_texts(name, texts) for name in self.names]

    def fill(
        self,
        values: npt.NDArray[np.int64],
        states: npt.NDArray[np.uint8],
        item_codes: npt.NDArray[np.int32],
        item_offsets: npt.NDArray[np.int32],
        index_out: npt.NDArray[np.int32],
        value_out: npt.NDArray[np.float64],
        n_active_out: npt.NDArray[np.int64],
    ) -> None:
        """Write the active features of n rows as they are at the first rank, bias first.

        `values` int64[n, n_columns], `states` uint8[n, n_columns], `item_codes` int32[n_items], `item_offsets` int32[n, n_lists + 1] as in
        encoded rows; `index_out` int32 and `value_out` float64 hold n rows of at least `active_max`, `n_active_out` int64[n] says how many.
        """
        _fill_features(values, states, item_codes, item_offsets, self._blocks, self._scaling, np.empty(len(self._scaling)), index_out, value_out,
                       n_active_out, self._now)

    def frozen(self) -> Features:
        """Features that read numbers as these do now, whatever is observed meanwhile."""
        found = copy(self)
        found._scaling = self._scaling.copy()
        return found

    def add_rank(self, rank: int, index: npt.NDArray[np.int32], value: npt.NDArray[np.float64], n_active: int) -> int:
        """Put the feature of a rank (from 2 on; 10 and later alike) behind the `n_active` of one row; returns how many there are now."""
        if rank < 2:
            return n_active
        index[n_active], value[n_active] = self.rank_feature(rank), 1.0
        return n_active + 1

    def rank_feature(self, rank: int) -> int:
        """The feature that a rank adds to a row, -1 for the first rank."""
        return -1 if rank < 2 else self._first_rank + min(rank, RANK_MAX) - 2

    def fill_observed(
        self,
        values: npt.NDArray[np.int64],
        states: npt.NDArray[np.uint8],
        item_codes: npt.NDArray[np.int32],
        item_offsets: npt.NDArray[np.int32],
        ranks: npt.NDArray[np.int64],
        index_out: npt.NDArray[np.int32],
        value_out: npt.NDArray[np.float64],
        n_active_out: npt.NDArray[np.int64],
    ) -> None:
        """Observe each of n rows and write its active features at its rank (int64[n], from 1), row after row; arrays as for `fill`."""
        _fill_observed(values, states, item_codes, item_offsets, ranks, self._blocks, self._scaling, self._numbers, index_out, value_out,
                       n_active_out, self._places)

    def observe(self, values: npt.NDArray[np.int64], states: npt.NDArray[np.uint8]) -> None:
        """Let the running means and deviations take in one row, int64[n_columns] and uint8[n_columns]: once per learned outcome, before its
        update."""
        _fill_numbers(values, states, self._blocks, self._numbers, self._now)
        _scaling.observe(self._numbers, self._scaling)

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """What was learned: `scaling` float64[n_numbers, 9], a copy."""
        return {"scaling": self._scaling.copy()}

    def load(self, state: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Take over what `state` gave; the columns must be the same."""
        if state["scaling"].shape != self._scaling.shape:
            raise ValueError(f"scaling of shape {state['scaling'].shape} does not fit these columns; {self._scaling.shape} is needed")
        self._scaling[:] = state["scaling"]

    @property
    def number_names(self) -> list[str]:
        """The column behind each row of the scaling and whether it is a number or a bool, so that it can be carried to another catalog version."""
        return [" ".join(self.names[first + (kind == _BOOL)]) for kind, _, first, *_ in self._blocks.tolist() if kind in _SCALED]


def _kinds_of(column: Column) -> tuple[int, ...]:
    if not column.fact.predictor or column.type.kind not in _SCALARS:
        return ()
    if column.type.kind == "list" and column.type.parameters[0].kind == "string":
        return (_TEXTS,)
    if column.type.kind == "timestamp" and column.fact.origin == "interaction":
        return (_AGE, _CYCLE)
    return (_SCALARS[column.type.kind],)


def _bins_of(kind: int, categories_max: int) -> list[str]:
    if kind == _CYCLE:
        return ["sin hour", "cos hour", "sin weekday", "cos weekday"]
    if kind == _BOOL:
        bins = ["false", "true"]
    elif kind in (_TEXT, _TEXTS):
        bins = [*(f"#{code}" for code in range(1, categories_max + 1)), "other"]
    else:
        bins = ["z", *(f"hat {knot:+g}" for knot in np.linspace(-Z_MAX, Z_MAX, N_KNOTS))]
    return [*bins, "null", "missing"]


def _active_of(kind: int, categories_max: int) -> int:
    return {_BOOL: 1, _TEXT: 1, _TEXTS: categories_max + 1, _CYCLE: 4}.get(kind, 3)


@kernel
def _fill_features(values, states, item_codes, item_offsets, blocks, scaling, numbers, index_out, value_out, n_active_out, now):
    """`numbers` f64[n_numbers] is scratch."""
    for r in range(values.shape[0]):
        _fill_numbers(values[r], states[r], blocks, numbers, now)
        _scaling._fill_scaled(scaling, numbers)
        n_active_out[r] = _fill_row(values[r], states[r], item_codes, item_offsets[r], blocks, scaling, numbers, index_out[r], value_out[r])


@kernel
def _fill_observed(values, states, item_codes, item_offsets, ranks, blocks, scaling, numbers, index_out, value_out, n_active_out, places):
    """`places`: the column `now`, the first feature of ranks."""
    now, first_rank = places[0], places[1]
    for r in range(values.shape[0]):
        _fill_numbers(values[r], states[r], blocks, numbers, now)
        _scaling._fill_scaling(numbers, scaling)
        n = _fill_row(values[r], states[r], item_codes, item_offsets[r], blocks, scaling, numbers, index_out[r], value_out[r])
        if ranks[r] > 1:
            n = _append(first_rank + min(ranks[r], RANK_MAX) - 2, 1.0, index_out[r], value_out[r], n)
        n_active_out[r] = n


@kernel
def _fill_row(values, states, item_codes, item_offsets, blocks, scaling, numbers, index_out, value_out):
    """One row's features; `numbers` on the scales in use."""
    index_out[0] = 0
    value_out[0] = 1.0
    n = 1
    for b in range(blocks.shape[0]):
        kind, column, first, size, place = blocks[b, _KIND], blocks[b, _COLUMN], blocks[b, _FIRST], blocks[b, _SIZE], blocks[b, _NUMBER]
        if kind == _CROSS:
            one, other = blocks[column], blocks[place]
            n = _crosses.append_cross(_side_kind(one), _side_place(one, values, states, scaling, numbers), _side_kind(other),
                                      _side_place(other, values, states, scaling, numbers), first, index_out, value_out, n)
            continue
        state = states[column]
        if kind == _MORE:
            n = _append_more(values[column], state, item_codes, item_offsets, blocks[b], index_out, value_out, n)
            continue
        if kind >= _INT and state == 0:
            if kind == _CYCLE:
                n = _append_cycle(values[column], first, index_out, value_out, n)
                continue
            if not math.isnan(numbers[place]):
                n = _append_number(numbers[place], scaling, place, first, index_out, value_out, n)
                continue
            state = _NULL
        if state != 0:
            if kind != _CYCLE:
                n = _append(first + size + state - 1, 1.0, index_out, value_out, n)
        elif kind == _BOOL:
            apart = BOOL_SCALE * (numbers[place] - scaling[place, _scaling.MEAN])
            n = _append(first + 1, math.copysign(apart, numbers[place] - 0.5), index_out, value_out, n)
        elif kind == _TEXT:
            n = _append_category(values[column], first, size, blocks[b, _NAMED], index_out, value_out, n, n)
        else:
            start = n
            for i in range(item_offsets[place], item_offsets[place + 1]):
                n = _append_category(item_codes[i], first, size, blocks[b, _NAMED], index_out, value_out, start, n)
    return n


@kernel
def _fill_numbers(values, states, blocks, numbers, now):
    """The number that each column of numbers or bools stands for; NaN where it stands for none."""
    for b in range(blocks.shape[0]):
        kind, column, number = blocks[b, _KIND], blocks[b, _COLUMN], blocks[b, _NUMBER]
        if kind == _BOOL or kind == _INT or kind == _DOUBLE or kind == _AGE:
            numbers[number] = _number(values, column, kind, now) if states[column] == 0 else math.nan


@scalar
def _append_more(value, state, item_codes, item_offsets, block, index_out, value_out, n):
    """Of a text, or the items of a list of texts, those that a block of further texts is for."""
    first, size, place, before = block[_FIRST], block[_SIZE], block[_NUMBER], block[_NAMED]
    if place < 0:
        inside = state == 0 and before < value <= before + size
        return _append(first + value - before - 1, 1.0, index_out, value_out, n) if inside else n
    start = n
    for i in range(item_offsets[place], item_offsets[place + 1]):
        if before < item_codes[i] <= before + size:
            n = _append_category(item_codes[i] - before, first, size + 1, size, index_out, value_out, start, n)
    return n


@scalar
def _append(feature, value, index_out, value_out, n):
    index_out[n] = feature
    value_out[n] = value
    return n + 1


@scalar
def _append_category(code, first, size, named, index_out, value_out, start, n):
    """A vocabulary code's feature in its block, codes 1 .. size - 1 in order, then other; unless it stands there from number `start` on, or the code,
    being one of the first `named`, has its feature in another block."""
    if size <= code <= named:
        return n
    feature = first + (code - 1 if 0 < code < size else size - 1)
    for i in range(start, n):
        if index_out[i] == feature:
            return n
    return _append(feature, 1.0, index_out, value_out, n)


@scalar
def _number(values, column, kind, now):
    """The number that a column stands for, within +/- 1e100 so that its square is finite; NaN where it is none."""
    value = values[column]
    if kind == _DOUBLE:
        return min(max(np.int64(value).view(np.float64), -1e100), 1e100)  # one number: a view of the array would cost more than all else here
    if kind == _AGE:
        days = (np.float64(values[now]) - np.float64(value)) / _US_PER_DAY
        return math.copysign(math.log1p(abs(days)), days)
    return np.float64(value)


@scalar
def _side_kind(block):
    """What a column is as a side of a cross."""
    return block[_KIND] if block[_KIND] <= _TEXT else _crosses.NUMBER


@scalar
def _side_place(block, values, states, scaling, numbers):
    """Where a column stands as a side of a cross: a number's z, NaN where it is absent; else the place of its category."""
    kind, column = block[_KIND], block[_COLUMN]
    if kind <= _TEXT:
        return np.float64(_crosses.category_place(kind, values[column], states[column]))
    return _standard(numbers[block[_NUMBER]], scaling, block[_NUMBER])


@scalar
def _standard(number, scaling, row):
    """The standard score, within +/- Z_MAX, of a number on the scale in use; NaN of NaN."""
    z = (number - scaling[row, _scaling.MEAN]) * scaling[row, _scaling.INVERSE]
    return z if math.isnan(z) else min(max(z, -Z_MAX), Z_MAX)


@scalar
def _append_number(number, scaling, row, first, index_out, value_out, n):
    z = _standard(number, scaling, row)
    place = (z + Z_MAX) * ((N_KNOTS - 1) / (2.0 * Z_MAX))
    knot = min(int(place), N_KNOTS - 2)
    share = place - knot
    n = _append(first, LINE_SCALE * z, index_out, value_out, n)
    n = _append(first + 1 + knot, HAT_SCALE * (1.0 - share), index_out, value_out, n)
    return _append(first + 2 + knot, HAT_SCALE * share, index_out, value_out, n)


@scalar
def _append_cycle(instant, first, index_out, value_out, n):
    """Hour of day and day of week in UTC, as points on a circle (the epoch was a Thursday; a circle has no first day)."""
    hour = 2.0 * math.pi * ((instant % _US_PER_DAY) / _US_PER_DAY)
    weekday = 2.0 * math.pi * (((instant // _US_PER_DAY) % 7) / 7.0)
    n = _append(first, math.sin(hour), index_out, value_out, n)
    n = _append(first + 1, math.cos(hour), index_out, value_out, n)
    n = _append(first + 2, math.sin(weekday), index_out, value_out, n)
    return _append(first + 3, math.cos(weekday), index_out, value_out, n)
