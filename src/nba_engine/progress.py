"""Progress of long work on a terminal; elsewhere one plain line says what takes its time. Always on standard error."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nba_engine.numerics.kernel import KERNELS

COMPILING = "compiling kernels, once per machine"


def bar() -> Progress:
    """A bar with a name and the time; shows nothing where standard error is no terminal."""
    console = Console(stderr=True)
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, disable=not console.is_terminal)


def tracked(what: str, items: Iterable[Any], n: int) -> Iterator[Any]:
    """Hand on `items`, `n` of them, under a bar."""
    with bar() as progress:
        yield from progress.track(items, total=n, description=what)


def warm() -> float:
    """Compile every kernel, or load it from the cache, under a bar that counts kernels; seconds it took."""
    from nba_engine import warming

    done = threading.Event()
    with bar() as progress:
        if progress.disable:
            progress.console.print(COMPILING, soft_wrap=True)
        task = progress.add_task(COMPILING, total=len(KERNELS))
        watcher = threading.Thread(target=_watch, args=(progress, task, done), daemon=True)
        watcher.start()
        try:
            return warming.warm()
        finally:
            done.set()
            watcher.join()
            progress.update(task, total=1, completed=1)


def _watch(progress: Progress, task: Any, done: threading.Event) -> None:
    while not done.wait(0.2):
        kernels = list(KERNELS.values())
        progress.update(task, total=len(kernels), completed=sum(bool(kernel.signatures) for kernel in kernels))
