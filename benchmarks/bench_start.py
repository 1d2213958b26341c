"""`python -m benchmarks.bench_start`: what a process pays before its first answer, in seconds of processor time; fresh processes, caches warm.

Each line is the least of ROUNDS processes, the lines taking turns: noise only adds. `import nba_engine` is the package alone; `first decide` is a
whole process that loads examples/catalog.yaml, makes an engine and decides once, the interpreter's own start included. Below stand the processes that
import numba, numpy, pydantic or lark and nothing else: what of the first decision nobody but a different choice of libraries could save. `--cold`
adds the very first run on a machine, with an empty cache: every kernel compiled, in seconds of the clock.
Where it loses: a library in plain Python or C answers before numba is imported; a short script that decides once is the worst use of this one.
No pytest benchmark: a process starts once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from tests.kernel_cache import ROOT, use_own_folder

ROUNDS = 7
FIRST = """
import nba_engine as nba
engine = nba.Engine(nba.Catalog.load("examples/catalog.yaml"))
decision = engine.decide("customer-42", channel="call", facts={"age": 41, "intent": "cancel"}, limit=3)
"""
_IMPORT = "import time; started = time.process_time(); import nba_engine; print(time.process_time() - started)"
_TOTAL = "{program}\nimport time; print(time.process_time())"
PROGRAMS = {
    "import nba_engine": _IMPORT,
    "first decide": _TOTAL.format(program=FIRST),
    "python alone": _TOTAL.format(program=""),
    **{f"import {name}": _TOTAL.format(program=f"import {name}") for name in ("numpy", "numba", "lark")},
    "import pydantic": _TOTAL.format(program="from pydantic import BaseModel"),
    "import numba, pydantic, lark": _TOTAL.format(program="import numba, lark; from pydantic import BaseModel"),
}
"""Name -> a program that prints seconds."""


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of processor time by name, all but the first with the interpreter's own start."""
    use_own_folder()
    _seconds(PROGRAMS["first decide"])  # fills the caches
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            found[name].append(_seconds(program))
    return {name: min(times) for name, times in found.items()}


def measure_cold() -> float:
    """Seconds of the clock that `nba warm` takes with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        return _seconds("from nba_engine.warming import warm; print(warm())", NUMBA_CACHE_DIR=folder)


def _seconds(program: str, **environment: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    for name, seconds in measure().items():
        sys.stdout.write(f"{name:28} {seconds:6.3f} s\n")
    if "--cold" in sys.argv:
        sys.stdout.write(f"{'the very first run':28} {measure_cold():6.1f} s by the clock\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
