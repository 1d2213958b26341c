"""Strings: searching, cutting, case, and regular expressions (RE2: linear time, unanchored)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from nba_engine.rules.values import EvaluationError

_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: upper for upper, lower in _LOWER.items()}


@lru_cache(maxsize=4096)
def compiled_pattern(pattern: str) -> Any:
    """The compiled regular expression; EvaluationError says what is wrong with it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        cause = error.args[0] if error.args else error
        raise EvaluationError(f"bad regular expression: {cause.decode() if isinstance(cause, bytes) else cause}") from None
    except UnicodeEncodeError:
        raise EvaluationError("the text is not valid Unicode") from None


def matches(text: str, pattern: str) -> bool:
    """Whether some part of the text matches."""
    try:
        return compiled_pattern(pattern).search(text) is not None
    except UnicodeEncodeError:
        raise EvaluationError("the text is not valid Unicode") from None


def _offset(text: str, offset: int) -> int:
    if 0 <= offset <= len(text):
        return offset
    raise EvaluationError(f"index out of range: {offset}")


def char_at(text: str, offset: int) -> str:
    return text[_offset(text, offset) : offset + 1]


def index_of(text: str, part: str, start: int = 0) -> int:
    return text.find(part, _offset(text, start))


def last_index_of(text: str, part: str, start: int | None = None) -> int:
    """Where the last occurrence begins that begins at or before `start`."""
    return text.rfind(part) if start is None else text.rfind(part, 0, _offset(text, start) + len(part))


def lower_ascii(text: str) -> str:
    return text.translate(_LOWER)


def upper_ascii(text: str) -> str:
    return text.translate(_UPPER)


def replace(text: str, old: str, new: str, n_max: int = -1) -> str:
    return text.replace(old, new, n_max)


def split(text: str, separator: str, n_max: int = -1) -> list[str]:
    """At most `n_max` parts, all where it is negative; an empty separator cuts between characters."""
    if n_max == 0:
        return []
    if separator:
        return text.split(separator, n_max - 1 if n_max > 0 else -1)
    n_single = len(text) if n_max < 0 else min(len(text), n_max - 1)
    rest = text[n_single:]
    return [*text[:n_single], rest] if rest else list(text[:n_single])


def substring(text: str, start: int, stop: int | None = None) -> str:
    stop = len(text) if stop is None else _offset(text, stop)
    if _offset(text, start) > stop:
        raise EvaluationError(f"invalid substring range: start {start} lies behind end {stop}")
    return text[start:stop]


def trim(text: str) -> str:
    return text.strip(_SPACE)


def reverse(text: str) -> str:
    return text[::-1]


def join(items: list[Any], separator: str = "") -> str:
    if not all(isinstance(item, str) for item in items):
        raise EvaluationError("join() takes a list of strings")
    return separator.join(items)


TEXT_FUNCTIONS = {
    "contains": (lambda text, part: part in text, ("string, string -> bool",)),
    "startsWith": (str.startswith, ("string, string -> bool",)),
    "endsWith": (str.endswith, ("string, string -> bool",)),
    "matches": (matches, ("string, string -> bool",)),
    "charAt": (char_at, ("string, int -> string",)),
    "indexOf": (index_of, ("string, string -> int", "string, string, int -> int")),
    "lastIndexOf": (last_index_of, ("string, string -> int", "string, string, int -> int")),
    "lowerAscii": (lower_ascii, ("string -> string",)),
    "upperAscii": (upper_ascii, ("string -> string",)),
    "replace": (replace, ("string, string, string -> string", "string, string, string, int -> string")),
    "split": (split, ("string, string -> list<string>", "string, string, int -> list<string>")),
    "substring": (substring, ("string, int -> string", "string, int, int -> string")),
    "trim": (trim, ("string -> string",)),
    "reverse": (reverse, ("string -> string",)),
    "join": (join, ("list<string> -> string", "list<string>, string -> string")),
}
"""Member functions: name -> what computes it, and its signatures, the receiver first."""
