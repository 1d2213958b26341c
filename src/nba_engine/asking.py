"""What a call on the engine may say: names, limits and times, and the errors where they are something else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nba_engine.catalog.catalog import Catalog
from nba_engine.errors import RequestError
from nba_engine.moments import epoch_us
from nba_engine.ports import Clock
from nba_engine.records import Decision
from nba_engine.schema import VALUE_MAX

_FIRST_US, _LAST_US = (epoch_us(moment.replace(tzinfo=timezone.utc)) for moment in (datetime.min, datetime.max))
_LIMIT_MAX = 2**63 - 1
_WHOLE = int, np.integer
_AS_TEXTS = {(str,) * n_needed + others for n_needed, n in ((1, 4), (2, 7)) for others in product((str, type(None)), repeat=n - n_needed)}
"""The types of arguments that are texts, for the calls that check them; the first `n_needed` of n are never None."""


def plain_texts(names: Sequence[str], n_needed: int, *values: Any) -> Sequence[Any]:
    """The arguments `names` as texts and nothing more: a member of an enumeration is the text it holds, for that is what a store can keep.
    RequestError where one is no text; those behind the first `n_needed` may be None."""
    if (*map(type, values),) in _AS_TEXTS:
        return values  # a look at each by itself would take longer
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        if not isinstance(value, str) and (k < n_needed or value is not None):
            raise RequestError(f"{name} is {value!r} of type {type(value).__name__}; give a text", name)
    return [None if value is None else str.__str__(value) for value in values]


def check_engine(catalog: object, store: object, seed: object, profiles: object, clock: object, sync: object, decisions_max: object) -> None:
    """RequestError where an engine cannot be made of these."""
    check_catalog(catalog)
    if store is not None and not isinstance(store, str | Path):
        raise RequestError(f"store is {store!r} of type {type(store).__name__}; give a folder, or None to keep everything in memory", "store")
    if not isinstance(seed, int | np.integer):
        raise RequestError(f"seed is {seed!r} of type {type(seed).__name__}; give a whole number", "seed")
    if clock is not None and not hasattr(clock, "now_us"):
        raise RequestError(f"clock is a {type(clock).__name__}; give something with a method now_us, or None for the machine's clock", "clock")
    if sync not in ("disk", "os"):
        raise RequestError(f'sync is {sync!r}; give "disk" or "os"', "sync")
    if isinstance(decisions_max, bool) or not isinstance(decisions_max, int) or decisions_max < 0:
        raise RequestError(f"explained_decisions_max is {decisions_max!r}; give how many decisions are kept at hand, 0 or more",
                           "explained_decisions_max")
    if profiles is not None and not isinstance(profiles, Mapping) and not hasattr(profiles, "profile"):
        raise RequestError(f"profiles is a {type(profiles).__name__}; give a mapping of subjects to facts, or something with a method profile",
                           "profiles")


def check_catalog(catalog: object) -> None:
    """RequestError where it is none, such as the name of a file."""
    if not isinstance(catalog, Catalog):
        raise RequestError(f"catalog is a {type(catalog).__name__}; give a Catalog, from Catalog.load(path) or Catalog.from_dict(mapping)", "catalog")


def plain_value(value: Any) -> float | None:
    """The money that an outcome brought; RequestError where it is neither None nor a number that can be added up."""
    if value is None or type(value) is float and abs(value) <= VALUE_MAX:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or not abs(value) <= VALUE_MAX:
        raise RequestError(f"value is {value!r}; give an amount of money, a number within +/- {VALUE_MAX:g}", "value")
    return float(value)


def plain_limit(limit: Any) -> int:
    """The largest number of offers; RequestError where it cannot be that."""
    if type(limit) is int and 0 <= limit <= _LIMIT_MAX:
        return limit
    if isinstance(limit, bool) or not isinstance(limit, _WHOLE) or not 0 <= limit <= _LIMIT_MAX:
        raise RequestError(f"limit is {limit!r}; give the largest number of offers, 0 or more and within 64 bits", "limit")
    return int(limit)


def given_facts(
    profile_of: Callable[[str], Mapping[str, Any] | None] | None, subject: str, facts: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The profile's facts under the call's."""
    if facts is not None and type(facts) is not dict and not isinstance(facts, Mapping):  # the second look costs half a microsecond
        raise RequestError(f"facts is a {type(facts).__name__}; give a mapping of names to values", "facts")
    profile = None if profile_of is None else profile_of(subject)
    if profile is not None and not isinstance(profile, Mapping):
        raise RequestError(f"the profile of {subject!r} is a {type(profile).__name__}; a mapping of names to values is needed", "profiles")
    return {**profile, **(facts or {})} if profile else facts or {}


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


def moment_us(at: datetime | int | None, clock: Clock) -> int:
    """Microseconds UTC, within the years 1 to 9999; the clock's time where none is given."""
    if at is None:
        return clock.now_us()
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise RequestError(f"at={at.isoformat()} has no time zone; give an aware datetime or epoch microseconds", "at")
        at_us = epoch_us(at)
    elif isinstance(at, bool) or not isinstance(at, _WHOLE):
        raise RequestError(f"at={at!r} is no time; give an aware datetime or epoch microseconds", "at")
    else:
        at_us = int(at)
    if not _FIRST_US <= at_us <= _LAST_US:
        raise RequestError(f"at={at} is not in the years 1 to 9999 UTC; give an aware datetime or epoch microseconds", "at")
    return at_us


def same_request(decision: Decision, subject: str, channel: str | None) -> Decision:
    """The decision that answered a request before; RequestError where this one asks for somebody or something else."""
    if (decision.subject, decision.channel) == (subject, channel):
        return decision
    raise RequestError(f"request_id {decision.request_id!r} was used for subject {decision.subject!r} on channel {decision.channel!r}; "
                       "give every request an id of its own", "request_id")
