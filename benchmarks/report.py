"""`make bench`: measure, print, and write `benchmarks/results/<machine>.md` and the tables of README.md and docs/performance.md.

The figures come from figures.py and contract.py, cases taking turns, the breakdown from stages.py and growth.py; below them stand the medians of
every pytest benchmark. About five minutes; `--figures-only` leaves the pytest benchmarks out.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measuring import machine
from tests.kernel_cache import ROOT, use_own_folder

RESULTS = ROOT / "benchmarks" / "results"
OURS, PEERS = ("numpy", "numba", "pyarrow", "nba_engine"), ("gittins", "vowpalwabbit", "mabwiser", "zen-engine")
_HEAD = ["| | measured | bar | aim |", "|---|---|---|---|"]


def main() -> int:
    use_own_folder()
    from benchmarks import contract, figures, growth, stages

    slug, name = machine()
    path = RESULTS / f"{slug}.md"
    one = figures.measure(figures.Effort(n_rounds=15, n_calls=400))
    one_rows, more_rows = _table(figures.rows(one)), _table(contract.rows(contract.measure()))
    stage_lines, growth_lines = stages.lines(stages.measure()), growth.lines(growth.measure())
    sections = {
        "Figures": ["", f"Written by `make bench`. Machine: {name}. Python {platform.python_version()}, {_versions(OURS)};", f"{_versions(PEERS)}."],
        "One decision, one thread": [
            "", "Medians of single calls; 1,000 actions, 40 facts, five conditions a rule, slate of 3,",
            f"{one.numbers['share eligible']:.0%} of the actions eligible.", "", *_HEAD, *one_rows],
        "Many actions, threads, rows, processes, and what a user would pick instead": ["", *_HEAD, *more_rows],
        "Where a microsecond goes": ["", *stage_lines],
        "How cost grows": ["", *growth_lines],
        **({} if "--figures-only" in sys.argv else {"Every benchmark": _benchmarks()}),
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    path.write_text("\n\n".join("\n".join([f"# {title}", *lines]) for title, lines in sections.items()) + "\n", "utf-8")
    told = f"Measured by `make bench` on: {name}"
    fill("README.md", "measured", [*_HEAD, *one_rows, *more_rows, "", f"{told} ([all figures]({path.relative_to(ROOT).as_posix()}))."])
    for marker, lines in (("stages", stage_lines), ("growth", growth_lines)):
        fill("docs/performance.md", marker, ["", *lines, "", f"{told} ([all figures](../{path.relative_to(ROOT).as_posix()}))."])
    sys.stdout.write(path.read_text("utf-8"))
    return 0


def fill(document: str, marker: str, lines: list[str]) -> None:
    """Put `lines` between `<!-- marker -->` and `<!-- /marker -->`."""
    path, start, end = ROOT / document, f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = path.read_text("utf-8").split(start)
    path.write_text("\n".join([before + start, *lines, end + rest.split(end)[1]]), "utf-8")


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in rows]


def _versions(packages: tuple[str, ...]) -> str:
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed, left out")
    return ", ".join(found)


def _benchmarks() -> list[str]:
    """One table per file of pytest benchmarks, microseconds."""
    files = sorted(str(p) for p in (ROOT / "benchmarks").glob("bench_*.py"))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "pytest", *files, "--benchmark-only", "--benchmark-max-time=0.3", f"--benchmark-json={result}"]
        failed = subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode
        measured = json.loads(result.read_text("utf-8"))["benchmarks"]
    lines: list[str] = ["", "Some benchmarks failed and are missing here; the output says which."] if failed else []
    file = ""
    for one in measured:
        if one["fullname"].split("::")[0] != file:
            file = one["fullname"].split("::")[0]
            lines += ["", f"`{file}`", "", "| | median us | spread between quartiles | note |", "|---|---|---|---|"]
        stats, note = one["stats"], ", ".join(f"{key} {_short(number)}" for key, number in one["extra_info"].items())
        lines.append(f"| {one['name']} | {stats['median'] * 1e6:.2f} | {stats['iqr'] * 1e6:.2f} | {note} |")
    return lines


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


if __name__ == "__main__":
    sys.exit(main())
