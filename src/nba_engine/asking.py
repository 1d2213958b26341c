"""What a call on the engine may say: subjects, limits and times, and the errors where they are something else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from nba_engine.errors import RequestError
from nba_engine.ports import Clock
from nba_engine.records import Decision

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US, _LAST_US = ((datetime(*day, tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND for day in ((1, 1, 1), (9999, 12, 31)))


def check_request(subject: str, limit: int) -> None:
    """RequestError where one of them is not what it should be."""
    if not isinstance(subject, str):
        raise RequestError(f"subject is {subject!r} of type {type(subject).__name__}; give a text", "subject")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise RequestError(f"limit is {limit!r}; give the largest number of offers, 0 or more", "limit")


def moment_us(at: datetime | int | None, clock: Clock) -> int:
    """Microseconds UTC, within the years 1 to 9999; the clock's time where none is given."""
    if at is None:
        return clock.now_us()
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise RequestError(f"at={at.isoformat()} has no time zone; give an aware datetime or epoch microseconds", "at")
        return (at - _EPOCH) // _MICROSECOND
    if isinstance(at, bool) or not isinstance(at, int):
        raise RequestError(f"at={at!r} is no time; give an aware datetime or epoch microseconds", "at")
    if not _FIRST_US <= at <= _LAST_US:
        raise RequestError(f"at={at} is not in the years 1 to 9999; give an aware datetime or epoch microseconds", "at")
    return at


def same_request(decision: Decision, subject: str, channel: str | None) -> Decision:
    """The decision that answered a request before; RequestError where this one asks for somebody or something else."""
    if (decision.subject, decision.channel) == (subject, channel):
        return decision
    raise RequestError(f"request_id {decision.request_id!r} was used for subject {decision.subject!r} on channel {decision.channel!r}; "
                       "give every request an id of its own", "request_id")
