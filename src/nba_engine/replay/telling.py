"""A report in words: a table for a terminal, a mapping for machines."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from nba_engine.replay.estimators import Estimate
    from nba_engine.replay.report import Report

MEANINGS = {"ok": "ok", "weak": "weak: take it as a hint", "refused": "refused"}


def shown(report: Report) -> bool:
    """Whether the estimates mean anything: those of a refused report do not, so they are not shown."""
    return report.verdict != "refused"


def tell(console: Console, report: Report) -> None:
    """Print the estimates with their intervals, what they rest on, the verdict and its causes."""
    from rich.table import Table

    table = Table("estimator", "value", "95 % interval", "std error", title="what the target would earn per decision")
    for one in report.estimates:
        if shown(report):
            table.add_row(one.estimator, number(one.value), interval(one), number(one.std_error))
        else:
            table.add_row(one.estimator, "-", "-", "-")
    table.add_row("as logged", number(report.logged.value), interval(report.logged), number(report.logged.std_error))
    console.print(table)
    first, tail = (report.estimates or (report.logged,))[0], report.tail
    size = "" if tail is None else f"; effective sample size {first.ess:,.0f}"
    console.print(f"{first.n:,} of {report.n_read:,} rows read{size}", highlight=False)
    if tail is not None:
        console.print(
            f"importance weights: median {tail.median:.3g}, 90 % under {tail.quantile_90:.3g}, 99 % under {tail.quantile_99:.3g}, "
            f"largest {tail.largest:.3g}; the largest hundredth of rows carries {tail.top_percent_share:.1%}",
            highlight=False,
        )
    console.print(f"verdict: {report.verdict}", style={"ok": "green", "weak": "yellow", "refused": "bold red"}[report.verdict])
    for sentence in (*report.warnings, *report.notes, *map(str, report.findings)):
        console.print(f"  {sentence}", highlight=False, markup=False)


def as_mapping(report: Report) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "verdict": report.verdict,
        "warnings": report.warnings,
        "notes": report.notes,
        "estimates": report.estimates,
        "logged": report.logged,
        "importance_weights": None if report.tail is None else asdict(report.tail),
        "n_read": report.n_read,
        "findings": report.findings,
    }


def number(value: float) -> str:
    """Six digits, or that it is not known."""
    return f"{value:.6g}" if math.isfinite(value) else "unknown"


def interval(one: Estimate) -> str:
    return f"{number(one.interval[0])} to {number(one.interval[1])}" if all(map(math.isfinite, one.interval)) else number(math.nan)
