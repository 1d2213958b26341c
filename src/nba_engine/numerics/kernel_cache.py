"""Where compiled kernels are kept between processes: numba's cache with its rules, and four things that a service needs besides.

A folder named by NUMBA_CACHE_DIR is read even where it cannot be written, as in an image; numba alone would pass over it and compile again.
Where nothing can be kept, kernels are compiled in every process and one warning says what to do; numba alone would refuse to import.
A kernel is stale when anything in its own room, in `numerics/` or the release has changed; numba alone looks at the kernel's own file.
What was compiled before is loaded without filling numba's tables for compiling, which would take as long as importing numba.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache, UserProvidedCacheLocator
from numba.core.runtime import rtsys

from nba_engine import __version__


class KernelCache:
    """Takes the place of numba's cache in one compiled function; the folder is looked for at the first call, not at import."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _kept(self) -> Any:
        try:
            return _Kept(self._function)
        except RuntimeError as error:  # numba found no folder
            _warn_not_kept(str(error))
            return NullCache()

    @property
    def cache_path(self) -> str | None:
        """The folder of this function's compiled forms; None where nothing is kept."""
        return self._kept.cache_path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for a signature; None where there is none yet, or none that may be read."""
        try:
            return self._kept.load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form, as far as the folder lets us."""
        try:
            self._kept.save_overload(sig, data)
        except OSError as error:
            _warn_not_kept(str(error))


class _NamedFolder(UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names: where it can be written, or where it has kernels of these sources already."""

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        found = super().from_function(py_func, py_file)
        if found is None and config.CACHE_DIR:
            named = cls(py_func, py_file)
            return named if Path(named.get_cache_path()).is_dir() else None
        return found


class _Places(CompileResultCacheImpl):
    _locator_classes = [_NamedFolder, *CompileResultCacheImpl._locator_classes]


class _Kept(FunctionCache):
    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), _stamp(Path(function.__code__.co_filename).parent)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Compiled code needs the runtime that counts references; the base class would refresh the tables for compiling as well.
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


@cache
def _stamp(room: Path) -> bytes:
    """Changes with the release and with the sources whose functions a kernel may call: those of its own room and of `numerics/`."""
    digest = blake2b(__version__.encode())
    for folder in sorted({room, Path(__file__).parent}):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


_told: list[str] = []


def _warn_not_kept(reason: str) -> None:
    """Say, once a process, that every process will compile anew, and what to do about it."""
    if not _told:
        _told.append(reason)
        warnings.warn(f"compiled kernels cannot be kept ({reason}), so every process compiles them anew, up to a minute; set NUMBA_CACHE_DIR to a "
                      "folder that can be written, or to one that `nba warm` has filled", RuntimeWarning, stacklevel=2)
