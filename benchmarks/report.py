"""`make bench`: measure, print, and write `benchmarks/results/<machine>.md` and the README's table.

The figures come from `figures.py`, cases taking turns; below them stand the medians of every pytest benchmark. `--figures-only` leaves those out.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import machine
from tests.kernel_cache import ROOT, use_own_folder

RESULTS = ROOT / "benchmarks" / "results"
START, END = "<!-- measured -->", "<!-- /measured -->"


def main() -> int:
    use_own_folder()
    from benchmarks.figures import Effort, measure, rows

    slug, name = machine()
    found = measure(Effort(n_rounds=15, n_calls=400))
    lines = ["| | measured | bar | aim |", "|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows(found))]
    path = RESULTS / f"{slug}.md"
    versions = ", ".join(f"{package} {version(package)}" for package in ("numpy", "numba", "nba_engine"))
    head = [
        "# Figures", "", f"Written by `make bench`. Machine: {name}. Python {platform.python_version()}, {versions}.",
        "Medians of single calls, one thread; 1,000 actions, 40 facts, five conditions a rule, slate of 3,",
        f"{found.numbers['share eligible']:.0%} of the actions eligible.",
        "",
    ]  # fmt: skip
    details = [] if "--figures-only" in sys.argv else ["", "# Every benchmark", "", *_benchmarks()]
    RESULTS.mkdir(exist_ok=True)
    path.write_text("\n".join([*head, *lines, *details, ""]), "utf-8")
    _fill_readme([*lines, "", f"Measured by `make bench` on: {name} ([all figures]({path.relative_to(ROOT).as_posix()}))."])
    print(path.read_text("utf-8"))
    return 0


def _benchmarks() -> list[str]:
    """One table per file of pytest benchmarks, microseconds."""
    files = sorted(str(p) for p in (ROOT / "benchmarks").glob("bench_*.py"))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "pytest", *files, "--benchmark-only", "--benchmark-max-time=0.5", f"--benchmark-json={result}"]
        subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
        measured = json.loads(result.read_text("utf-8"))["benchmarks"]
    lines: list[str] = []
    file = ""
    for one in measured:
        if one["fullname"].split("::")[0] != file:
            file = one["fullname"].split("::")[0]
            lines += ["", f"`{file}`", "", "| | median us | spread between quartiles | note |", "|---|---|---|---|"]
        stats, note = one["stats"], ", ".join(f"{key} {number:.2g}" for key, number in one["extra_info"].items())
        lines.append(f"| {one['name']} | {stats['median'] * 1e6:.2f} | {stats['iqr'] * 1e6:.2f} | {note} |")
    return lines


def _fill_readme(lines: list[str]) -> None:
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    before, rest = text.split(START)
    readme.write_text("\n".join([before + START, *lines, END + rest.split(END)[1]]), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
