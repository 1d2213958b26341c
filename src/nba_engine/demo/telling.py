"""The acts on a terminal, with rich."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nba_engine.demo.call import Step
from nba_engine.demo.latency import N_CALLS, Latency
from nba_engine.demo.truth import Truth
from nba_engine.records import Offer
from nba_engine.replay.open_bandit import Row

_VERDICT_STYLE = {"ok": "green", "weak": "yellow", "refused": "bold red"}


def tell_truth(console: Console, truth: Truth) -> None:
    """The table of estimates beside what was really earned, and what it shows."""
    console.rule("1. Truth: a real log")
    _say(console, 'Open Bandit Dataset, campaign "men" (ZOZO, Inc., CC BY 4.0): 34 items, 3 positions, 10,000 impressions by each of two ways of '
                  "choosing that ran side by side in the same week. Clicks per impression, 95 % interval, effective sample size (ESS):")
    table = Table(box=None, pad_edge=False)
    for column in ("what", "value", "95 % interval", "ESS", "verdict"):
        table.add_column(column, justify="left" if column in ("what", "verdict") else "right", no_wrap=column != "what")
    for row in truth.rows:
        table.add_row(*_cells(row))
    console.print(table)
    for sentence in truth.sentences:
        _say(console, f"- {sentence}")


def tell_call(console: Console, steps: list[Step]) -> None:
    """Each step with what was offered, why and why not."""
    console.rule("2. Call: made up, every name, price and answer of it")
    _say(console, "Offers read: propensity x value x context weight x lever - cost = priority, and the probability with which they were drawn.")
    for number, step in enumerate(steps, start=1):
        console.print(Text(f"{number}. {step.at:%d %B %H:%M}, {step.channel}: {step.title}", "bold"), soft_wrap=True)
        for line in (*map(_offer_line, step.offers), *step.why):
            console.print(Text(f"   {line}"), soft_wrap=True)


def tell_latency(console: Console, latency: Latency) -> None:
    """Median and 99th percentile of both calls."""
    _say(console, f"Measured here, on the catalog of the call ({N_CALLS:,} single calls each, memory store, microseconds): "
                  f"decide p50 {latency.decide_us_p50:.0f}, p99 {latency.decide_us_p99:.0f}; "
                  f"record p50 {latency.record_us_p50:.0f}, p99 {latency.record_us_p99:.0f}.")


def _cells(row: Row) -> tuple[Text | str, ...]:
    e = row.estimate
    what = Text.assemble(row.name, "\n", (row.about, "dim"))
    verdict = Text(e.verdict, _VERDICT_STYLE[e.verdict])
    if e.verdict == "refused":  # its number means nothing, so it is not shown
        return what, "-", "-", f"{e.ess:,.0f}", verdict
    return what, f"{e.value:.4f}", f"{e.interval[0]:.4f} to {e.interval[1]:.4f}", f"{e.ess:,.0f}", verdict


def _offer_line(o: Offer) -> str:
    terms = f"{o.propensity:.3f} x {o.value:g} x {o.context_weight:g} x {o.lever:g} - {o.cost:g} = {o.priority:.1f}"
    return f"{o.rank}. {o.action}: {terms}, probability {o.selection_probability:.3f}"


def _say(console: Console, text: str) -> None:
    console.print(Text(text))
