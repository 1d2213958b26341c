"""How fast a log is judged from Parquet, and in how much memory: `python -m benchmarks.replay_speed [rows in millions]`.

A generated log of 16 columns, judged by every one-action estimator in one pass on one core (Arrow decodes in the same thread): once as it is, once
with its ids named as decision ids, which are read ahead to find repeats. Printed: rows per second of processor time over the whole log and, without
ids, in its fastest chunk (what is reached when nothing else disturbs), and by how much the process grew over a log of a tenth of the rows. It loses
where ids are long texts and on disks slower than a core decodes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from nba_engine.replay import ESTIMATORS, Log, run

_PARAMETERS = {"clipped_ips": 5.0, "clipped_dr": 5.0, "switch_dr": 5.0, "dr_os": 5.0, "sg_ips": 0.1, "sg_dr": 0.1}
_ROWS_PER_GROUP = 500_000


def write(path: Path, n_rows: int) -> None:
    """A generated log: continuous probabilities, so that every importance weight is its own."""
    random, writer = np.random.default_rng(1), None
    for start in range(0, n_rows, _ROWS_PER_GROUP):
        n = min(_ROWS_PER_GROUP, n_rows - start)
        at = pa.array(np.arange(start, start + n) * 1_000_000, pa.timestamp("us", "UTC"))
        columns = {
            "session": pa.array(np.arange(start, start + n) * 0x9E3779B1).cast(pa.string()),
            "subject": pa.array(random.integers(0, 1_000_000, n)), "at": at, "outcome_at": at,
            "action": pa.DictionaryArray.from_arrays(pa.array(random.integers(0, 50, n).astype(np.int32)), [f"action {i}" for i in range(50)]),
            "reward": random.binomial(1, 0.1, n).astype(float), "p_log": random.uniform(0.01, 1, n), "p_target": random.random(n),
            "q_logged": random.random(n), "q_target": random.random(n), "unsupported": np.zeros(n), "age": random.integers(18, 90, n),
            "bill": random.random(n), "visits": random.integers(0, 9, n), "vip": random.random(n) < 0.1, "tenure": random.random(n),
        }  # fmt: skip
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def judge(path: Path, ids: bool) -> None:
    """In a process of its own: judge, and print rows, rows a second, those of the fastest chunk, and the largest size in megabytes."""
    pa.set_cpu_count(1)
    every = {name: _PARAMETERS.get(name) for name in ESTIMATORS}
    tiny: dict[str, list[object]] = {name: [0.5] * 9 for name in ("reward", "p_log", "p_target", "q_logged", "q_target")}
    tiny |= {"decision_id": list("abcdefgha"), "action": list("xyxyxyxyx")}
    run(Log.read(tiny), estimators=every)  # imports and compiles
    marks: list[tuple[int, float]] = []
    started = time.process_time()
    report = run(Log.read(path, {"decision_id": "session"} if ids else None), estimators=every,
                 progress=lambda done, _: marks.append((done, time.process_time())))  # fmt: skip
    seconds = time.process_time() - started
    chunks = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(marks[:-1], marks[1:], strict=True)]
    print(report.n_read, report.n_read / seconds, max(chunks, default=0.0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _judged(path: Path, ids: bool) -> tuple[int, float, float, float]:
    command = [sys.executable, "-m", "benchmarks.replay_speed", str(path), *(["ids"] if ids else [])]
    n, speed, fastest, size = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(n), float(speed), float(fastest), float(size)


def main(n_rows: int) -> None:
    """Print the table."""
    sizes: dict[bool, list[float]] = {False: [], True: []}
    for n in (n_rows // 10, n_rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.parquet"
            write(path, n)
            for ids, known in sizes.items():
                judged, speed, fastest, size = _judged(path, ids)
                known.append(size)
                alone = "" if ids else f", {fastest / 1e6:.2f} in the fastest chunk"
                print(f"{judged:,} rows, {'with' if ids else 'without'} decision ids: {speed / 1e6:.2f} million rows/s/core{alone}, "
                      f"{size:,.0f} MB at most", flush=True)  # fmt: skip
    for ids, (small, large) in sizes.items():
        print(f"{'with' if ids else 'without'} decision ids, ten times the rows take {large - small:,.0f} MB more")


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else "50"
    if given.endswith(".parquet"):
        judge(Path(given), "ids" in sys.argv)
    else:
        main(int(float(given) * 1e6))
