"""Where compiled kernels are kept while developing: a folder per state of the sources.

Numba's cache notices a change in the file of a kernel, not in another file whose functions the kernel calls; a folder keyed by all sources
does. Runs with bounds checks compile other code and so have folders of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT_MAX = 6
"""Folders that stay, latest used first: other runs may still be using those of a moment ago."""


def use_own_folder() -> Path:
    """Point numba, not yet imported, to the folder of today's sources; drop folders long unused. About 10 ms."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    mode = "-bounds" if os.environ.get("NUMBA_BOUNDSCHECK") == "1" else ""
    folder = ROOT / ".numba_cache" / (digest.hexdigest() + mode)
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    folders = sorted(folder.parent.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in folders[KEPT_MAX:]:
        shutil.rmtree(old, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder
