"""`python -m benchmarks.bench_memory`: memory over imports, 1,000 actions x 64 facts (32 texts of 16 categories, 32 numbers).

One process makes an engine, decides and records 1,000 times and reads its resident memory; another imports exactly the modules of other people
that the first one ended with. The number is the difference: catalog, rules, beliefs, kept decisions, compiled kernels, and what of numba's libraries
is touched by running them. Kernels come from a warm cache; compiling them in the process takes more. Where it loses: beliefs are dense, one row for
every feature and entity, also for those that nobody ever answered; a library that hashes into 2^18 places stays at a few megabytes.
Needs Linux's /proc, elsewhere the largest memory so far stands in for the present one. No pytest benchmark: there is nothing to time.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kernel_cache import ROOT, use_own_folder

N_ACTIONS, N_FACTS, N_DECISIONS = 1_000, 64, 1_000


def measure() -> dict[str, float]:
    """Megabytes: `imports`, `engine` (everything, after the decisions) and `over`, their difference."""
    use_own_folder()
    _child({"run": True})  # fills the cache of compiled kernels
    ran = _child({"run": True})
    idle = _child({"modules": ran["modules"]})
    return {"imports": idle["megabytes"], "engine": ran["megabytes"], "over": ran["megabytes"] - idle["megabytes"]}


def _child(order: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_memory", "child"]
    done = subprocess.run(command, input=json.dumps(order), cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    if "run" in order:
        _run()
    for name in order.get("modules", ()):
        try:
            __import__(name)
        except Exception:  # a part of a library that only its own package can import
            continue
    gc.collect()
    ours = ("nba_engine", "benchmarks", "tests", "__main__")
    return {"megabytes": _resident_mb(), "modules": [name for name in sys.modules if not name.startswith(ours)]}


def _run() -> None:
    import nba_engine as nba
    from benchmarks import open_world, setting

    global kept  # alive while memory is read
    kept = nba.Engine(nba.Catalog.from_dict(open_world.catalog(N_ACTIONS, N_FACTS)))
    setting.teach(kept, open_world.customers(N_FACTS, 200), N_DECISIONS)


def _resident_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text("utf-8").splitlines() if line.startswith("VmRSS"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)


def main() -> int:
    if "child" in sys.argv:
        sys.stdout.write(json.dumps(_answer(json.loads(sys.stdin.read()))))
        return 0
    for name, megabytes in measure().items():
        sys.stdout.write(f"{name:8} {megabytes:7.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
