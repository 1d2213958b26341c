"""Eight int64 at a time, as one vector: what the compiler does not make of loops itself, because it cannot know that two arrays never overlap.

Each operation is written twice: in Python, which says what it means and is what runs where nothing is compiled, and in the compiler's own
instructions. A line is LINE_WORDS numbers of a contiguous array, as many as fit a line of the processor's cache, and begins anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

Ints = npt.NDArray[np.int64]

LINE_WORDS = 8
_WORD, _LINE, _BYTES = ir.IntType(64), ir.VectorType(ir.IntType(64), LINE_WORDS), 8


def or_lines(into: Ints, place: int, numbers: Ints, places: tuple[int, ...]) -> None:
    """OR the lines of `numbers` that begin at `places` into the line of `into` that begins at `place`."""
    for begin in places:
        into[place : place + LINE_WORDS] |= numbers[begin : begin + LINE_WORDS]


def n_below(numbers: Ints, place: int, bound: int) -> int:
    """How many numbers of the line that begins at `place` are below `bound`."""
    return int(np.count_nonzero(numbers[place : place + LINE_WORDS] < bound))


@overload(or_lines)
def _compiled_or_lines(into: Any, place: Any, numbers: Any, places: Any) -> Callable[..., None]:  # pyright: ignore[reportUnusedFunction]
    def found(into: Any, place: Any, numbers: Any, places: Any) -> None:
        _ends = into[place + LINE_WORDS - 1], numbers[max(places) + LINE_WORDS - 1]  # read only where bounds are checked
        _or_lines(into, place, numbers, places)

    return found


@overload(n_below)
def _compiled_n_below(numbers: Any, place: Any, bound: Any) -> Callable[..., int]:  # pyright: ignore[reportUnusedFunction]
    def found(numbers: Any, place: Any, bound: Any) -> int:
        _end = numbers[place + LINE_WORDS - 1]  # read only where bounds are checked
        return _n_below(numbers, place, bound)

    return found


@intrinsic
def _or_lines(_context: Any, into: Any, place: Any, numbers: Any, places: Any) -> Any:
    def emit(context: Any, builder: Any, _: Any, given: Any) -> Any:
        target = _line_at(context, builder, into, given[0], given[1])
        found = builder.load(target, align=_BYTES)
        for i in range(len(places)):
            begin = builder.extract_value(given[3], i)
            found = builder.or_(found, builder.load(_line_at(context, builder, numbers, given[2], begin), align=_BYTES))
        builder.store(found, target, align=_BYTES)
        return context.get_dummy_value()

    return types.void(into, place, numbers, places), emit


@intrinsic
def _n_below(_context: Any, numbers: Any, place: Any, bound: Any) -> Any:
    def emit(context: Any, builder: Any, _: Any, given: Any) -> Any:
        line = builder.load(_line_at(context, builder, numbers, given[0], given[1]), align=_BYTES)
        first = builder.insert_element(ir.Constant(_LINE, ir.Undefined), given[2], ir.Constant(ir.IntType(32), 0))
        bounds = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LINE_WORDS), [0] * LINE_WORDS))
        below = builder.bitcast(builder.icmp_signed("<", line, bounds), ir.IntType(LINE_WORDS))
        return builder.zext(builder.ctpop(below), _WORD)

    return types.int64(numbers, place, bound), emit


def _line_at(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """The address of the line that begins at `place` of an array of numba's type `kind`."""
    return builder.bitcast(builder.gep(context.make_array(kind)(context, builder, array).data, [place]), _LINE.as_pointer())
