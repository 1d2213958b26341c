"""What each subject was shown and has answered, as one small array of events per subject.

An offer leaves at most two events: its presentation and its current answer. They stand in the order in which they were recorded; a replaced
or revoked answer leaves the array, so what is counted is what still stands. What the events mean for the next decision is not decided here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.contact.names import PRESENTED, PRESENTED_NUMBER, Names, Shown
from nba_engine.contact.rules import Retention

EVENTS_PER_SUBJECT_MAX = 256
"""Events kept per subject; only suppressions that last for ever may exceed it."""

EVENT = np.dtype(
    [
        ("at", "<i8"),  # microseconds UTC
        ("offer", "<u8"),
        ("interaction", "<i8"),  # 63-bit key
        ("action", "<i4"),
        ("treatment", "<i4"),
        ("label", "<i2"),  # PRESENTED_NUMBER: a presentation, else an answer
        ("reason", "<i2"),  # -1 without
        ("channel", "<i2"),  # -1 without
        ("direction", "<i2"),  # position in DIRECTIONS, -1 without
    ]
)
"""40 bytes; every number but the keys and the time is one of `Names`."""

_LAYOUT = struct.Struct("<qQqiihhhh")
"""An event as the fields of EVENT, in their order; `_OFFER_AT`, `_LABEL_AT`: where in it two of them stand."""
_SIZE = _LAYOUT.size
_KEY = struct.Struct("<Q")
_OFFER_AT, _LABEL_AT = 8, 32
_FIRST_CAPACITY = 4
_PRESENTED_BYTES = PRESENTED_NUMBER.to_bytes(2, "little")
_KEY_MASK = (1 << 63) - 1
_SAME_SUPPRESSION = ["action", "reason", "channel"]
_KEEP = 3
_EVICTED_AT_ONCE = 16


class History(msgspec.Struct, eq=False, gc=False):
    """One subject's events: `events[:n_events]`, in the order of recording; the capacity is a power of two. To be read only.

    `raw` is the memory of `events`, where one event is found and written in a fraction of what an array takes for it. The array is made when it is
    first read: of the subjects of a long history few ever call. The garbage collector need not walk what it holds, however many subjects there are.
    """

    raw: bytearray = msgspec.field(default_factory=partial(bytearray, _FIRST_CAPACITY * _SIZE))
    n_events: int = 0
    _events: npt.NDArray[Any] | None = None

    @property
    def events(self) -> npt.NDArray[Any]:
        if self._events is None:
            self._events = np.ndarray(len(self.raw) // _SIZE, EVENT, self.raw)  # frombuffer would add a memoryview, which the collector walks
        return self._events

    @classmethod
    def from_bytes(cls, events: bytes) -> History:
        """The inverse of `to_bytes`."""
        n = len(events) // _SIZE
        capacity = _FIRST_CAPACITY if n <= _FIRST_CAPACITY else 1 << (n - 1).bit_length()
        return cls(bytearray(events.ljust(capacity * _SIZE, b"\0")), n)

    def grow(self, capacity: int) -> None:
        """Make room for so many events."""
        self.raw, self._events = self.raw + bytes(capacity * _SIZE - len(self.raw)), None

    def rows(self) -> npt.NDArray[Any]:
        """The events, as a view."""
        return self.events[: self.n_events]

    def to_bytes(self) -> bytes:
        """The events, one behind the other: a copy of them as an array would take 3 us."""
        return bytes(self.raw[: self.n_events * _SIZE])

    def copied(self) -> History:
        """A history of its own with the same events; this one where there are none."""
        if not self.n_events:
            return _NOTHING
        return History(bytearray(self.raw), self.n_events)

    def keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Drop every event that `kept` bool[n_events] does not name."""
        left = self.rows()[kept]
        self.events[: len(left)] = left
        self.n_events = len(left)


_NOTHING = History()


class Contacts:
    """Every subject's history. Not locked: one thread at a time.

    Notes
    -----
    **Cost**: 40 bytes per event in capacities of 4, 8, ... 256, and at most 240 bytes per subject with an event for the objects that hold
    them (so 400 bytes with one to four events, 10.5 kB at the cap); nothing for a subject without. Recording is O(events of the subject).
    """

    def __init__(self) -> None:
        self.names = Names()
        self.retention = Retention()
        """What may be forgotten; set it to the rules' own when a catalog is taken into use."""
        self._histories: dict[str, History] = {}
        self._before: dict[str, History] | None = None

    def __len__(self) -> int:
        return len(self._histories)

    @property
    def nbytes(self) -> int:
        """Bytes of all histories: their events and the objects that hold them."""
        return sum(240 + len(history.raw) for history in self._histories.values())

    def history(self, subject: str) -> History:
        """The subject's history, an empty one if nothing is known; reading creates nothing."""
        return self._histories.get(subject, _NOTHING)

    def present(self, subject: str, offer_key: int, interaction_key: int, shown: Shown, at_us: int) -> None:
        """The offer reached the customer. Known already, it keeps its place and the earliest time.

        `offer_key` and `interaction_key` are 64-bit keys (`numerics.random.key_of`), the first one unique per subject.
        """
        self._present(subject, offer_key, interaction_key, shown, at_us)

    def answer(self, subject: str, offer_key: int, interaction_key: int, shown: Shown, label: str, reason: str | None, at_us: int,
               presented_at_us: int | None = None) -> None:
        """The offer's current answer, in place of any earlier one; it implies that the offer was presented by then.

        `presented_at_us`: when it was, where that is known: a presentation that has been forgotten here meanwhile does not come back as a new one.
        """
        if label == PRESENTED:
            raise ValueError(f"{PRESENTED!r} is an exposure, not an answer; call present")
        first_at_us = at_us if presented_at_us is None else min(at_us, presented_at_us)
        history, event, answered = self._present(subject, offer_key, interaction_key, shown, first_at_us)
        if answered >= 0:
            history.keep(np.arange(history.n_events) != answered)
        _, offer, interaction, action, treatment, _, _, channel, direction = event
        number = self.names.number
        told = number("label", label), -1 if reason is None else number("reason", reason)
        self._append(history, (at_us, offer, interaction, action, treatment, *told, channel, direction))

    def extend(self, subjects: Sequence[str], events: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> None:
        """Take in events from elsewhere, EVENT[n], of offers that are not known here: `events[offsets[i]:offsets[i + 1]]` are those of subject i."""
        bounds, size, data = offsets.tolist(), _SIZE, events.tobytes()
        for subject, start, stop in zip(subjects, bounds[:-1], bounds[1:], strict=True):
            history = self._histories.get(subject)
            if history is None and stop - start <= EVENTS_PER_SUBJECT_MAX:
                self._histories[subject] = History.from_bytes(data[start * size : stop * size])
                continue
            if history is None:
                history = self._histories[subject] = History()
            self._changes(subject, history)
            for event in events[start:stop].tolist():
                self._append(history, event)

    def skip(self, subject: str, offer_key: int) -> None:
        """The offer was not shown after all: its presentation and its answer are taken back."""
        history = self.history(subject)
        self._changes(subject, history)
        history.keep(history.rows()["offer"] != np.uint64(offer_key))
        if history.n_events == 0:
            self._histories.pop(subject, None)

    def state(self) -> dict[str, Any]:
        """Everything as plain data: `subjects` list[str] in the order of their first event, `offsets` int64[n_subjects + 1] into the columns
        of events (one array per field of EVENT), `names` kind -> texts."""
        return _told(list(self._histories.items()), self.names.state(), {})

    def cut(self) -> Callable[[], dict[str, Any]]:
        """Tells what `state` would say now; another thread may ask, once, while this one goes on. One at a time."""
        histories, names = list(self._histories.items()), self.names.state()
        before = self._before = dict[str, History]()

        def told() -> dict[str, Any]:
            try:
                return _told(histories, names, before)
            finally:
                self._before = None

        return told

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave, in place of everything known."""
        offsets = [int(i) for i in state["offsets"]]
        events = np.zeros(offsets[-1], EVENT)
        for name in EVENT.fields or ():
            events[name] = state[f"event_{name}"]
        self.names.load(state["names"])
        self._histories = {}
        for i, subject in enumerate(state["subjects"]):
            self._histories[subject] = History.from_bytes(events[offsets[i] : offsets[i + 1]].tobytes())

    def _changes(self, subject: str, history: History) -> None:
        """Put a history aside that is about to change, where it is being read."""
        before = self._before
        if before is not None and subject not in before:
            before[subject] = history.copied()

    def _present(self, subject: str, offer_key: int, interaction_key: int, shown: Shown, at_us: int) -> tuple[History, tuple[int, ...], int]:
        """See to the offer's presentation; returns the history, that event, and the row of the offer's answer or -1."""
        history, presented, answered = self._histories.get(subject), -1, -1
        if history is None:
            history = self._histories[subject] = History()
        else:
            self._changes(subject, history)
            presented, answered = self._find(history, offer_key)
        if presented >= 0:
            history.events["at"][presented] = min(at_us, int(history.events["at"][presented]))
            return history, _LAYOUT.unpack_from(history.raw, presented * _SIZE), answered
        action, treatment, channel, direction = self.names.numbers(shown)
        event = at_us, offer_key, interaction_key & _KEY_MASK, action, treatment, PRESENTED_NUMBER, -1, channel, direction
        self._append(history, event)
        return history, event, answered

    @staticmethod
    def _find(history: History, offer_key: int) -> tuple[int, int]:
        """The rows of the offer's presentation and of its answer, -1 where there is none."""
        raw, key, stop = history.raw, _KEY.pack(offer_key), history.n_events * _SIZE
        presented = answered = -1
        at = raw.find(key, 0, stop)
        while at >= 0:
            row, within = divmod(at, _SIZE)
            if within == _OFFER_AT:  # else other fields happen to have these bytes
                if raw[at - _OFFER_AT + _LABEL_AT : at - _OFFER_AT + _LABEL_AT + 2] == _PRESENTED_BYTES:
                    presented = row
                else:
                    answered = row
            at = raw.find(key, at + 1, stop)
        return presented, answered

    def _append(self, history: History, event: tuple[int, ...]) -> None:
        at = history.n_events * _SIZE
        if at == len(history.raw):
            self._make_room(history, np.array([event], dtype=EVENT)[0])
            at = history.n_events * _SIZE
        _LAYOUT.pack_into(history.raw, at, *event)
        history.n_events += 1

    def _make_room(self, history: History, new: Any) -> None:
        """Forget what can no longer matter; if that frees less than a quarter, grow; at the cap, evict instead."""
        rows, capacity = history.rows(), len(history.events)
        newest = max(int(new["at"]), int(rows["at"].max()))
        history.keep(self._lasting(rows) | (newest - rows["at"] < self.retention.horizon_us) | (rows["offer"] == new["offer"]))
        if capacity >= EVENTS_PER_SUBJECT_MAX and history.n_events == capacity:
            self._evict(history, new["offer"])
        if history.n_events == capacity or (capacity < EVENTS_PER_SUBJECT_MAX and history.n_events > capacity * 3 // 4):
            history.grow(2 * capacity)

    def _lasting(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """bool[n]: the answers whose reason suppresses for ever."""
        lasting = np.zeros(len(rows), dtype=bool)
        for reason in self.retention.lasting:
            lasting |= rows["reason"] == reason
        return lasting

    def _evict(self, history: History, spared: np.uint64) -> None:
        """Drop the offers that matter least, some at a time, and never `spared`: the oldest presented only, then the oldest answered; if there
        are none, the presentations of answers that last for ever and what repeats such an answer."""
        rows = history.rows()
        answered, lasting = rows["label"] != PRESENTED_NUMBER, self._lasting(rows)
        rank = np.full(len(rows), _KEEP)
        rank[~np.isin(rows["offer"], rows["offer"][answered])] = 0
        rank[answered] = 1
        rank[np.isin(rows["offer"], rows["offer"][lasting])] = 2
        rank[[*{tuple(rows[i][_SAME_SUPPRESSION]): i for i in np.flatnonzero(lasting)}.values()]] = _KEEP
        rank[rows["offer"] == spared] = _KEEP
        least = np.argsort(rank, kind="stable")[:_EVICTED_AT_ONCE]
        whole, single = least[rank[least] < 2], least[rank[least] == 2]
        if len(whole):
            history.keep(~np.isin(rows["offer"], rows["offer"][whole]))
        else:
            history.keep(~np.isin(np.arange(len(rows)), single))


def _told(histories: Sequence[tuple[str, History]], names: Mapping[str, Any], before: Mapping[str, History]) -> dict[str, Any]:
    """What `state` says. Each history is read first and looked for among those put aside `before` a change after that: so it stands as it was."""
    read = [(subject, history.raw[: history.n_events * _SIZE]) for subject, history in histories]
    rows = [data if subject not in before else before[subject].rows().tobytes() for subject, data in read]
    events = np.frombuffer(b"".join(rows), EVENT)
    offsets = np.cumsum([0, *(len(data) // _SIZE for data in rows)], dtype=np.int64)
    columns = {f"event_{name}": np.ascontiguousarray(events[name]) for name in EVENT.fields or ()}
    return {"subjects": [subject for subject, _ in histories], "offsets": offsets, "names": names, **columns}
