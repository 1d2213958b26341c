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
