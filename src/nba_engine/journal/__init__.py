"""Durable memory: one ordered record of what was decided, what came back and what was learned, and how it becomes bytes.

Nothing here knows what an entry means; `engine` and `learning` write entries and read them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nba_engine.journal.codec import pack, unpack
    from nba_engine.journal.store import Entry, Store

__all__ = ["Entry", "Store", "pack", "unpack"]


def __getattr__(name: str) -> Any:
    """Load sqlite3 and msgspec (50 ms together) only when durable memory is asked for."""
    if name in ("pack", "unpack"):
        from nba_engine.journal import codec

        return getattr(codec, name)
    if name in ("Entry", "Store"):
        from nba_engine.journal import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
