"""Progress of long work on a terminal; elsewhere one plain line says what takes its time. Always on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from nba_engine.numerics.kernel import KERNELS

COMPILING = "compiling kernels, once per machine, up to a minute"


def bar() -> Progress:
    """A bar with a name and the time; shows nothing where standard error is no terminal."""
    console = Console(stderr=True)
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, disable=not console.is_terminal)


def tracked(what: str, items: Iterable[Any], n: int) -> Iterator[Any]:
    """Hand on `items`, `n` of them, under a bar."""
    with bar() as progress:
        yield from progress.track(items, total=n, description=what)


@contextmanager
def rows(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Within, a bar that tells rows a second and the time left; told how many rows of how many (None where not known) are done."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"), _Rate(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, n: shown.update(task, completed=done, total=n)


class _Rate(ProgressColumn):
    """Rows a second, lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def compiling(as_line: bool = False) -> Iterator[None]:
    """Within, kernels that must be compiled show: under a bar that counts all of them, or as one line. Loading from the cache shows nothing.

    Where there is a second core, another process compiles what `warming.warm` comes to last.
    """
    shown = _Compiling(as_line)
    with event.install_listener("numba:compile", shown):
        try:
            yield
        finally:
            shown.stop()


def warm() -> float:
    """Compile every kernel, or load it from the cache; seconds it took."""
    from nba_engine import warming

    with compiling():
        return warming.warm()


class _Compiling(event.Listener):
    """Told by numba, one thread at a time, of each function that it compiles."""

    def __init__(self, as_line: bool) -> None:
        self.bar = bar()
        self._as_line = as_line or self.bar.disable
        self._helper: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        self.bar.stop()
        if self._helper:
            self._helper.terminate()
            self._helper.wait()

    def on_start(self, event: Any) -> None:
        if self.bar.tasks:
            return
        if (os.cpu_count() or 1) > 1:  # one process compiles one kernel at a time, whatever its threads
            quiet = subprocess.DEVNULL
            self._helper = subprocess.Popen([sys.executable, "-m", "nba_engine.warming"], stdin=quiet, stdout=quiet, stderr=quiet)
            threading.Thread(target=self._helper.wait, name="nba-helper", daemon=True).start()  # a service goes on long after its helper's end
        self.bar.add_task(COMPILING, total=len(KERNELS))
        if self._as_line:
            self.bar.console.print(COMPILING, soft_wrap=True)
        else:
            self.bar.start()

    def on_end(self, event: Any) -> None:
        n_ready = sum(bool(kernel.signatures) for kernel in KERNELS.values())
        self.bar.update(self.bar.tasks[0].id, total=len(KERNELS), completed=n_ready)
