"""Timestamps and durations: reading, writing, and their parts in a time zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from nba_engine.moments import EPOCH, moment_of
from nba_engine.rules.values import Duration, EvaluationError, Timestamp, duration_of, timestamp_of

SECOND_NS = 10**9

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d{1,19}(?:\.\d{0,19})?|\.\d{1,19})(?:h|ms|m|s|us|µs|ns))+)", re.ASCII)
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?(h|ms|m|s|us|µs|ns)", re.ASCII)
_UNIT_NS = {"h": 3600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}


def read_timestamp(text: str) -> Timestamp:
    """RFC 3339, up to nanoseconds."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise EvaluationError(f"{text[:60]!r} is not a timestamp; write it as 2026-11-22T09:30:00Z")
    day, time, fraction, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{time}+00:00")
    except ValueError as error:
        raise EvaluationError(f"{text!r} is not a timestamp: {error}") from None
    offset_s = 0 if sign is None else (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    seconds = (local - EPOCH) // timedelta(seconds=1) - offset_s
    return timestamp_of(seconds * SECOND_NS + int((fraction or "0").ljust(9, "0")))


def write_timestamp(value: Timestamp) -> str:
    seconds, ns = divmod(value.ns, SECOND_NS)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%m-%dT%H:%M:%S")
    year = (EPOCH + timedelta(seconds=seconds)).year
    return f"{year:04d}-{text}{_fraction(ns)}Z"


def read_duration(text: str) -> Duration:
    """A sum of numbers with units h, m, s, ms, us, ns: `1h30m`, `-1.5s`."""
    if _DURATION.fullmatch(text) is None:
        hint = "; days are written in hours (30d = 720h)" if re.fullmatch(r"[+-]?[\d.]+[dw]", text) else ""
        raise EvaluationError(f"{text[:60]!r} is not a duration; write it as 72h, 1h30m or 1.5s{hint}")
    ns = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        ns += int(whole or "0") * _UNIT_NS[unit]
        if fraction:
            ns += int(fraction) * _UNIT_NS[unit] // 10 ** len(fraction)
    return duration_of(-ns if text.startswith("-") else ns)


def write_duration(value: Duration) -> str:
    seconds, ns = divmod(abs(value.ns), SECOND_NS)
    return f"{'-' if value.ns < 0 else ''}{seconds}{_fraction(ns)}s"


def _fraction(ns: int) -> str:
    return f".{ns:09d}".rstrip("0") if ns else ""


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of that name (`Europe/Zurich`, `+01:00`)."""
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name, re.ASCII)
    if match is not None:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset < timedelta(days=1):
            return timezone(-offset if sign == "-" else offset)
        raise EvaluationError(f"{name!r} is not an offset from UTC")
    from zoneinfo import ZoneInfo

    try:
        return UTC if name in ("UTC", "") else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"{name[:60]!r} is not a time zone; write it as Europe/Zurich or +01:00") from None


def timestamp_part(part: Callable[[datetime], int]) -> Callable[..., int]:
    """The function of a timestamp (and, optionally, the name of a zone) that reads `part` of the local time there."""

    def read(value: Timestamp, name: str = "UTC") -> int:
        local = moment_of(value.ns // 1000)
        if name != "UTC":
            try:
                local = local.astimezone(zone(name))
            except OverflowError:
                raise EvaluationError("the local time is out of range; years are 0001 to 9999") from None
        return part(local)

    return read


def duration_part(unit_ns: int) -> Callable[[Duration], int]:
    """The function of a duration that counts its whole units, cut towards zero."""

    def read(value: Duration) -> int:
        return abs(value.ns) // unit_ns * (-1 if value.ns < 0 else 1)

    return read


TIMESTAMP_PARTS: dict[str, Callable[..., int]] = {
    "getFullYear": timestamp_part(lambda t: t.year),
    "getMonth": timestamp_part(lambda t: t.month - 1),
    "getDate": timestamp_part(lambda t: t.day),
    "getDayOfMonth": timestamp_part(lambda t: t.day - 1),
    "getDayOfWeek": timestamp_part(lambda t: t.isoweekday() % 7),
    "getDayOfYear": timestamp_part(lambda t: t.timetuple().tm_yday - 1),
    "getHours": timestamp_part(lambda t: t.hour),
    "getMinutes": timestamp_part(lambda t: t.minute),
    "getSeconds": timestamp_part(lambda t: t.second),
    "getMilliseconds": timestamp_part(lambda t: t.microsecond // 1000),
}
"""Months, days of the month and of the year count from 0, `getDate` from 1, Sunday is 0: as the standard has it."""

DURATION_PARTS: dict[str, Callable[[Duration], int]] = {
    "getHours": duration_part(3600 * SECOND_NS),
    "getMinutes": duration_part(60 * SECOND_NS),
    "getSeconds": duration_part(SECOND_NS),
    "getMilliseconds": duration_part(10**6),
}
