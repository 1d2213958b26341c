"""The seams: what the engine asks of its surroundings, one or two methods each. Anything with these methods will do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Clock(Protocol):
    """Says what time it is when a call names none."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        ...


class ProfileStore(Protocol):
    """What is known of a subject before the interaction."""

    def profile(self, subject: str) -> Mapping[str, Any] | None:
        """The subject's facts, None or empty where nothing is known."""
        ...


class Journal(Protocol):
    """Memory that survives the process: entries in one order, and snapshots that stand for all entries before them."""

    def append(self, kind: str, key: str, at_us: int, payload: bytes) -> int:
        """Queue an entry; returns its sequence number. Not durable yet."""
        ...

    def commit(self, sequence: int) -> None:
        """Return once every entry up to `sequence` is durable; StoreError where that cannot be had."""
        ...
