"""Microseconds and back: exact over all years that a datetime knows, in any zone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nba_engine.moments import duration_us, epoch_us, moment_of


@given(st.datetimes(timezones=st.timezones()) | st.sampled_from([m.replace(tzinfo=timezone.utc) for m in (datetime.min, datetime.max)]))
def test_there_and_back(moment):
    assert moment_of(epoch_us(moment)) - moment == timedelta(0)  # not ==, which holds of no ambiguous hour


@given(st.timedeltas())
def test_a_duration_is_its_microseconds(duration):
    assert timedelta(microseconds=duration_us(duration)) == duration


def test_by_hand():
    assert epoch_us(datetime(1970, 1, 2, 1, tzinfo=timezone(timedelta(hours=1)))) == 86_400_000_000
    assert duration_us(timedelta(microseconds=-1)) == -1 and moment_of(-1).year == 1969
    with pytest.raises(OverflowError):
        moment_of(epoch_us(datetime.max.replace(tzinfo=timezone.utc)) + 1)
