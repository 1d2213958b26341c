"""Records to bytes and back: MessagePack (msgspec), no pickle, nothing that can run code when it is read.

MessagePack knows None, bool, int64/uint64, float64, str, bytes, lists, dicts and points in time. Two extension types are ours:

    1  timedelta    int64, microseconds, little-endian
    2  numpy array  uint16 length of head | head: MessagePack [dtype, shape] | the elements, C order

What would come back as something else (a naive datetime, a set, a Decimal) is refused when it is packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from nba_engine.errors import StoreError
from nba_engine.moments import duration_us
from nba_engine.schema import UInt

_TIMEDELTA, _ARRAY = 1, 2
_MAP_32, _EXT_32 = 0xDF, 0xC9
_PIECE_BYTES = 65_536
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def pack(record: Mapping[str, Any]) -> bytes:
    """A mapping as bytes.

    Parameters
    ----------
    record : mapping
        Keys are text. Values: None, bool, int (-2**63 .. 2**64 - 1), float (NaN and infinities too), str, bytes, aware datetime,
        timedelta, numpy array or number of a plain dtype, and lists, tuples and mappings of these.

    Raises
    ------
    StoreError
        A value of another type, or an int out of range; the text names its place.

    Notes
    -----
    **Cost** 5 us for 64 numbers under their names; a large array is copied twice.

    Examples
    --------
    >>> unpack(pack({"label": "accepted", "wait": timedelta(seconds=2), "codes": np.arange(3)}))
    {'label': 'accepted', 'wait': datetime.timedelta(seconds=2), 'codes': array([0, 1, 2])}
    """
    return pack_plain(_encodable_dict(record, "record"))


def pack_plain(record: Any) -> bytes:
    """As `pack`, for a record whose values, at any depth, are known to be text, numbers, bytes, None, aware datetimes, lists, tuples and mappings."""
    try:
        return _ENCODER.encode(record)
    except (OverflowError, UnicodeEncodeError, TypeError) as error:
        raise StoreError(f"a record cannot be stored: {error}; ints go from -2**63 to 2**64 - 1, text must be valid Unicode") from error


def pieces(record: Mapping[str, Any], place: str = "record") -> Iterator[bytes | memoryview]:
    """A mapping as bytes that `unpack` reads as those of `pack`, piece by piece: large arrays, at any depth of mappings, are not copied, so that no
    piece takes long to make."""
    yield struct.pack(">BI", _MAP_32, len(record))
    for key, value in record.items():
        yield _ENCODER.encode(key)
        if isinstance(value, Mapping):
            yield from pieces(value, f"{place}.{key}")  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, np.ndarray) and value.nbytes > _PIECE_BYTES and value.dtype.kind in "biufUSMm":
            head, elements = _array_parts(value)
            yield struct.pack(">BIB", _EXT_32, len(head) + len(elements), _ARRAY) + head
            yield elements
        else:
            yield pack_plain(_encodable(value, place, key))


def unpack(payload: bytes) -> dict[str, Any]:
    """The mapping that `pack` was given: tuples come back as lists, times in UTC, arrays as fresh writable arrays, numpy numbers as Python's.

    Raises
    ------
    StoreError
        The bytes are not what `pack` wrote.
    """
    try:
        record = _DECODER.decode(payload)
    except (msgspec.DecodeError, ValueError, TypeError, struct.error) as error:
        raise StoreError(f"an entry of the store is damaged ({error}); restore the folder from a copy") from error
    if type(record) is not dict:
        raise StoreError(f"an entry of the store is damaged (a {type(record).__name__} where a mapping was written); restore the folder from a copy")
    return record  # pyright: ignore[reportUnknownVariableType]


def _encodable_dict(record: Mapping[Any, Any], place: str) -> Mapping[Any, Any]:
    try:
        "".join(record)  # the quickest way to see that every key is text
    except TypeError:
        odd = next(key for key in record if not isinstance(key, str))
        raise StoreError(f"{place}: a key of type {type(odd).__name__} cannot be stored; keys are text") from None
    if type(record) is dict and _PLAIN.issuperset(map(type, record.values())):
        return record
    return {key: _encodable(value, place, key) for key, value in record.items()}


def _encodable(value: Any, place: str, key: Any) -> Any:
    """`value` as msgspec may have it: what it would quietly turn into text is tagged or refused."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        if _PLAIN.issuperset(map(type, value)):
            return value
        return [_encodable(item, f"{place}.{key}", position) for position, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _encodable_dict(value, f"{place}.{key}")  # pyright: ignore[reportUnknownArgumentType]
    if kind is np.ndarray and value.dtype.kind in "biufUSMm":
        return _array_extension(value)
    if kind is UInt:
        return int(value)
    if isinstance(value, np.generic) and value.dtype.kind in "biufUS":
        return value.item()
    if kind is timedelta:
        return msgspec.msgpack.Ext(_TIMEDELTA, struct.pack("<q", duration_us(value)))
    if kind is datetime and value.tzinfo is not None:
        return value
    what = "a datetime without a zone" if kind is datetime else f"a value of type {kind.__name__}"
    raise StoreError(f"{place}.{key}: {what} cannot be stored; use plain values, aware datetimes, timedeltas, arrays of numbers or text")


def _array_extension(array: Any) -> msgspec.msgpack.Ext:
    head, elements = _array_parts(array)
    return msgspec.msgpack.Ext(_ARRAY, bytearray(head) + elements)


def _array_parts(array: Any) -> tuple[bytes, memoryview]:
    """Head, its length before it, and elements."""
    elements = np.asarray(array, order="C")
    head = _ENCODER.encode([elements.dtype.str, elements.shape])
    return struct.pack("<H", len(head)) + head, elements.reshape(-1).view(np.uint8).data if elements.size else memoryview(b"")


def _decode_extension(code: int, data: memoryview) -> Any:
    if code == _TIMEDELTA:
        return timedelta(microseconds=struct.unpack("<q", data)[0])
    if code == _ARRAY:
        start = 2 + struct.unpack_from("<H", data)[0]
        dtype, shape = _DECODER.decode(data[2:start])
        array = np.empty(shape, np.dtype(dtype))
        if array.size:
            array.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8, offset=start)
        return array
    raise ValueError(f"extension type {code} is not known")


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ext_hook=_decode_extension)
