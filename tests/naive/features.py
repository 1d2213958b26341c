"""Slow twins of facts/features.py and facts/scaling.py: (fact, bin) -> value, written from the definitions."""

from __future__ import annotations

import math
import struct
from typing import Any


def number_of(column: Any, value: int, state: int, now: int) -> float | None:
    """The number a column stands for, 0 or 1 of a bool; None where the fact is absent or no number."""
    if state != 0:
        return None
    if column.type.kind == "double":
        number = struct.unpack("<d", struct.pack("<q", value))[0]
        return None if math.isnan(number) else max(-1e100, min(1e100, number))
    if column.type.kind == "timestamp":
        days = (float(now) - float(value)) / 86_400e6
        return math.copysign(math.log(1.0 + abs(days)) if abs(days) > 1e-3 else math.log1p(abs(days)), days)
    return float(value)


def mean_and_deviation(numbers: list[float]) -> tuple[float, float]:
    """Mean and population deviation; (0, 0) of nothing."""
    if not numbers:
        return 0.0, 0.0
    if min(numbers) == max(numbers):
        return numbers[0], 0.0  # their mean may be a rounding away from them all
    mean = math.fsum(numbers) / len(numbers)
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / len(numbers))


def share_of(bools: list[float]) -> float:
    """Share of trues; 0 of nothing."""
    return math.fsum(bools) / max(len(bools), 1)


def signed_log(number: float) -> float:
    """sign(x) log(1 + |x|)."""
    return math.copysign(math.log1p(abs(number)), number)


def is_log(numbers: list[float], gain_min: float, evidence_min: float, judged_every: int) -> bool:
    """Whether numbers are read by their logarithm: log likelihoods of normal distributions, judged over again each time."""
    found = False
    for n in range(judged_every, len(numbers) + 1, judged_every):
        seen = numbers[:n]
        plain, log = (mean_and_deviation(values)[1] for values in (seen, [signed_log(x) for x in seen]))
        if log > 0.0:
            gain = math.log(plain) - math.log(log) - math.fsum(math.log1p(abs(x)) for x in seen) / n
            found = gain > (0.0 if found else max(gain_min, evidence_min / n))
    return found


def kind_of(column: Any) -> str:
    kind = column.type.kind
    if not column.fact.predictor or kind in ("bytes", "dyn", "uint", "null", "type", "struct"):
        return "none"
    if kind in ("bool", "string"):
        return kind
    if kind == "list" and column.type.parameters[0].kind == "string":
        return "texts"
    return "number"


def category(code: int, categories_max: int) -> str:
    return f"#{code}" if 1 <= code <= categories_max else "other"


def features_of(
    columns: list[Any], row: dict[str, tuple[int, int, list[int]]], seen: dict[str, list[float]], rank: int, categories_max: int,
    n_knots: int, line_scale: float, hat_scale: float,
) -> dict[tuple[str, str], float]:
    """All features of a row that are not 0. `row`: column -> (value, state, item codes); `seen`: numbers observed so far per column."""
    found: dict[tuple[str, str], float] = {("bias", ""): 1.0}
    now = row["now"][0]
    for column in columns:
        name, kind = column.name, kind_of(column)
        value, state, items = row[name]
        number = number_of(column, value, state, now) if kind == "number" else None
        if kind == "none":
            continue
        if state == 2:
            found[name, "missing"] = 1.0
        elif state == 1 or (kind == "number" and number is None):
            found[name, "null"] = 1.0
        elif kind == "bool":
            found[name, "true"] = math.sqrt(2.0) * (value - share_of(seen.get(name, [])))
        elif kind == "string":
            found[name, category(value, categories_max)] = 1.0
        elif kind == "texts":
            found.update({(name, category(code, categories_max)): 1.0 for code in items})
        elif number is not None:
            mean, deviation = mean_and_deviation(seen.get(name, []))
            z = max(-3.0, min(3.0, (number - mean) / deviation)) if deviation > 0 else 0.0
            found[name, "z"] = line_scale * z
            for k in range(n_knots):
                knot = -3.0 + 6.0 * k / (n_knots - 1)
                height = 1.0 - abs(z - knot) * (n_knots - 1) / 6.0
                if height > 0:
                    found[name, f"hat {knot:+g}"] = hat_scale * height
        if column.type.kind == "timestamp" and column.fact.origin == "interaction" and state == 0:
            hour, weekday = value / 3_600e6 % 24 / 24, value // 86_400_000_000 % 7 / 7
            found[name, "sin hour"], found[name, "cos hour"] = math.sin(2 * math.pi * hour), math.cos(2 * math.pi * hour)
            found[name, "sin weekday"], found[name, "cos weekday"] = math.sin(2 * math.pi * weekday), math.cos(2 * math.pi * weekday)
    if rank >= 2:
        found["rank", str(min(rank, 10))] = 1.0
    return found
