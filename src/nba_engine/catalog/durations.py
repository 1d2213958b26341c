"""Durations as a catalog writes them, and the windows in which an action is valid, all in UTC microseconds.

Reading a clock is nobody's business here: what comes in is text, what goes out is a number.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from nba_engine.moments import duration_us, epoch_us

FOREVER_US = 1 << 62
"""`forever` and `never`: longer than any window, and small enough to be added to a time of the years 1 to 9999 within int64."""

DAWN_US = -FOREVER_US
"""The start of a window that is open to the past."""

_UNIT_US = {"us": 1, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"([0-9]{1,18})(us|s|m|h|d)")


def parse_duration(written: object) -> int:
    """Microseconds of `30d`, `72h`, `15m`, `30s`, `forever`, `never` or a timedelta.

    Returns
    -------
    int
        At least 0; `FOREVER_US` for `forever` and `never`, and for what is too long to count.

    Raises
    ------
    ValueError
        Anything else: a bare number has no unit, a negative duration no meaning.

    Examples
    --------
    >>> parse_duration("15m")
    900000000
    >>> parse_duration("forever") == FOREVER_US
    True
    """
    if isinstance(written, timedelta) and written >= timedelta():
        return duration_us(written)
    if isinstance(written, str):
        text = written.strip().lower()
        if text in ("forever", "never"):
            return FOREVER_US
        if match := _DURATION.fullmatch(text):
            return min(int(match[1]) * _UNIT_US[match[2]], FOREVER_US)
    raise ValueError("a duration such as 30d, 72h, 15m, 30s, forever or never")


def duration_text(duration_us: int) -> str:
    """What `parse_duration` reads as this many microseconds."""
    return "forever" if duration_us >= FOREVER_US else f"{duration_us}us"


def parse_moment(written: object) -> date | datetime:
    """A date or a time from ISO 8601 text, a date or a datetime; ValueError for anything else."""
    if isinstance(written, date) and written == written:  # pandas' NaT is a date that equals nothing
        return written
    if isinstance(written, str):
        try:
            return date.fromisoformat(written) if len(written) <= 10 else datetime.fromisoformat(written)
        except ValueError:
            pass  # refused below, like anything else that is none
    raise ValueError("a date such as 2026-01-31, or a time such as 2026-01-31T08:00:00+01:00")


def window_us(start: date | None, end: date | None, zone: ZoneInfo) -> tuple[int, int]:
    """First and last microsecond of a window; a date counts from its first to its last moment in `zone`, as does a time without a zone.

    Examples
    --------
    >>> window_us(date(1970, 1, 1), date(1970, 1, 1), ZoneInfo("UTC"))
    (0, 86399999999)
    """
    first = DAWN_US if start is None else _moment_us(start, zone)
    if end is None:
        return first, FOREVER_US
    if isinstance(end, datetime):
        return first, _moment_us(end, zone)
    last_day = end == date.max
    return first, FOREVER_US if last_day else _moment_us(end + timedelta(days=1), zone) - 1


def _moment_us(moment: date, zone: ZoneInfo) -> int:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return epoch_us(moment)
