"""`make bench-check`: a short run that asserts ratios and counts with wide margins, never times: a slow machine passes, a slow change does not.

Needs no library of other people; what is compared with those is measured by `make bench`.
"""

from __future__ import annotations

import sys

from tests.kernel_cache import use_own_folder

RATIOS_MAX = {
    ("decide", "generated Python"): 6.0,  # a guard against slow changes, not the bar (2.0), which `make bench` prints
    ("rules alone", "generated Python"): 0.35,
    ("encode 64 facts", "generated Python"): 0.7,
    ("contact, 20 events", "generated Python"): 0.4,
    ("record, memory", "decide"): 1.0,
    ("record, sync=os", "record, memory"): 5.0,
    ("win probabilities, all-200-contend", "100 draws in numpy"): 0.1,
    ("win probabilities, 64-contend", "100 draws in numpy"): 0.1,
    ("decide, 4,000 actions", "decide, 1,000 actions"): 5.0,  # nothing quadratic
    ("decide, open, 200 x 20", "LinUCB in numpy"): 0.1,
    ("decide_batch, a row", "decide, the same rows"): 0.5,
    ("learn, a row", "decide, the same rows"): 0.6,
}
NUMBERS_MAX = {
    "total variation, all-200-contend": 0.01,
    "total variation, 64-contend": 0.01,
    "decide, calls": 180.0,
    "record, calls": 150.0,
    "decide, bytes at once": 24_000.0,
    "record, bytes at once": 24_000.0,
    "decide, blocks kept": 0.5,
    "scoring, every action taught / none": 12.0,
}


def main() -> int:
    use_own_folder()
    from benchmarks import bench_models, contract, counts
    from benchmarks.figures import Effort, Figures, measure

    base, more = measure(Effort(n_rounds=15, n_calls=100)), contract.measure_for_check()
    scoring = {"scoring, every action taught / none": bench_models.taught_by_untaught()}
    found = Figures(base.timings | more.timings, base.numbers | counts.measure() | scoring)
    failed = 0
    for (of, to), most in RATIOS_MAX.items():
        if of in found.timings:
            failed += _said(f"{of} / {to}", found.ratio(of, to), most)
        else:
            sys.stdout.write(f"left out   {of}: this engine does not have it\n")
    for name, most in NUMBERS_MAX.items():
        failed += _said(name, found.numbers[name], most)
    sys.stdout.write(f"bench-check: {f'{failed} too large' if failed else 'all ratios and counts hold'}\n")
    return int(failed > 0)


def _said(name: str, number: float, most: float) -> bool:
    sys.stdout.write(f"{'holds' if number <= most else 'TOO LARGE':9}  {name}: {number:.4g} (at most {most:g})\n")
    return number > most


if __name__ == "__main__":
    sys.exit(main())
