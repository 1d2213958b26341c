"""Durable memory: one ordered record of what was decided, what came back and what was learned, and how it becomes bytes.

`store` keeps entries in order and knows nothing of their meaning, `entries` says what kinds there are and how decisions and outcomes become payloads,
`codec` turns plain records into bytes. `memory` writes the entries and plays them back after a restart, `exporting` reads them for analysts.
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
