"""`make bench-check`: a short run that asserts ratios with wide margins, never times, so that a slow machine passes and a slow change does not."""

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
}
TOTAL_VARIATION_MAX = 0.01


def main() -> int:
    use_own_folder()
    from benchmarks.figures import Effort, measure

    found = measure(Effort(n_rounds=5, n_calls=300))
    failed = 0
    for (of, to), most in RATIOS_MAX.items():
        ratio = found.ratio(of, to)
        failed += _said(f"{of} / {to}", ratio, most)
    for name, number in found.numbers.items():
        if name.startswith("total variation"):
            failed += _said(name, number, TOTAL_VARIATION_MAX)
    print("bench-check:", f"{failed} ratios too large" if failed else "all ratios hold")
    return int(failed > 0)


def _said(name: str, number: float, most: float) -> bool:
    print(f"{'holds' if number <= most else 'TOO LARGE':9}  {name}: {number:.4f} (at most {most})")
    return number > most


if __name__ == "__main__":
    sys.exit(main())
