"""A report as one self-contained HTML page: value and intervals, the tail of the importance weights, the verdict and its causes. Loads nothing."""

from __future__ import annotations

import json
import math
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_engine.errors import ReplayError
from nba_engine.replay.telling import MEANINGS, interval, number, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nba_engine.replay.estimators import Estimate
    from nba_engine.replay.folding import Tail
    from nba_engine.replay.report import Report

_BLUE, _GREY = "#4c8dd6", "#8a94a3"
_AXIS = {"zeroline": False, "automargin": True, "fixedrange": True}


def write(report: Report, path: str | Path) -> None:
    """Write the page (about 5 MB, nearly all of it plotly.js). ReplayError where plotly is not installed or the file cannot be written."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ReplayError("the HTML report needs plotly, which is not installed; pip install nba_engine[report]") from error
    try:
        Path(path).write_text(page(report, get_plotlyjs()), "utf-8")
    except OSError as error:
        raise ReplayError(f"{path} cannot be written ({error.strerror or error}); choose a file in a folder that can be") from error


def page(report: Report, plotly: str) -> str:
    """The page as text; `plotly` is the script that draws."""
    template = (files("nba_engine") / "data" / "replay.html").read_text("utf-8")
    figures = {"intervals": _intervals(report)} | ({} if report.tail is None else {"tail": _tail(report.tail)})
    parts = {
        "verdict": report.verdict, "meaning": escape(MEANINGS[report.verdict]), "headline": escape(_headline(report)),
        "causes": _list(report.warnings, "nothing speaks against it"), "numbers": _numbers(report), "estimates": _table(report),
        "notes": _list(report.notes, "none"), "findings": _list(map(str, report.findings), "none"), "plotly": plotly,
        "figures": json.dumps(figures).replace("</", "<\\/"),
    }  # fmt: skip
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text, 1)
    return template


def _headline(report: Report) -> str:
    if not shown(report):
        return "This log cannot say what the target would earn."
    first = report.estimates[0]
    low, high = first.interval
    return f"{first.value:.4g} per decision, {low:.4g} to {high:.4g} (95 %). As logged: {report.logged.value:.4g}."


def _intervals(report: Report) -> dict[str, Any]:
    """Values with their intervals, one line each, and what was logged; of a refused report only the latter."""
    told = [*(report.estimates if shown(report) else ()), report.logged]
    names = [*(one.estimator for one in told[:-1]), "as logged"]
    known = [one if all(map(math.isfinite, one.interval)) else None for one in told]

    def trace(name: str, chosen: slice, colour: str) -> dict[str, Any]:
        own = [(label, one) for label, one in zip(names[chosen], known[chosen], strict=True) if one is not None]
        return {
            "type": "scatter", "mode": "markers", "name": name, "x": [one.value for _, one in own], "y": [label for label, _ in own],
            "marker": {"size": 9, "color": colour}, "hovertemplate": "%{y}: %{x:.6g}<extra></extra>",
            "error_x": {"type": "data", "symmetric": False, "array": [one.interval[1] - one.value for _, one in own],
                        "arrayminus": [one.value - one.interval[0] for _, one in own], "color": colour, "thickness": 2, "width": 5},
        }  # fmt: skip

    traces = [trace("target", slice(0, -1), _BLUE), trace("as logged", slice(-1, None), _GREY)]
    return {"data": traces, "layout": {
        "height": 110 + 34 * len(told), "shapes": [_dotted(report.logged.value)], "showlegend": False,
        "xaxis": {**_AXIS, "title": {"text": "reward per decision"}, "nticks": 6},
        "yaxis": {**_AXIS, "autorange": "reversed", "type": "category", "showgrid": False, "ticksuffix": "  "},
    }}  # fmt: skip


def _dotted(x: float) -> dict[str, Any]:
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": _GREY, "width": 1, "dash": "dot"}}


def _tail(tail: Tail) -> dict[str, Any]:
    """The share of rows with at least a given importance weight, both logarithmic; zero cannot be shown there."""
    steps = [(w, share) for w, share in tail.steps if w > 0]
    ticks = "D1" if steps and steps[-1][1] > 0.1 else 1  # within one power of ten a tick at each digit, else at each power
    lines = [_dotted(w) for w in (tail.median, tail.quantile_90, tail.quantile_99, tail.largest) if w > 0]
    curve = {"type": "scatter", "mode": "lines+markers" if len(steps) < 12 else "lines",
             "x": [w for w, _ in steps], "y": [share for _, share in steps],
             "line": {"color": _BLUE, "width": 2, "shape": "vh"}, "fill": "tozeroy", "fillcolor": "rgba(76,141,214,0.15)",
             "hovertemplate": "%{y:.3%} of rows have w ≥ %{x:.4g}<extra></extra>"}  # fmt: skip
    return {"data": [curve], "layout": {
        "height": 320, "shapes": lines, "showlegend": False,
        "xaxis": {**_AXIS, "type": "log", "title": {"text": "importance weight w"}, "nticks": 8, "exponentformat": "power"},
        "yaxis": {**_AXIS, "type": "log", "title": {"text": "share of rows with at least w"}, "tickformat": ".1~%", "dtick": ticks},
    }}  # fmt: skip


def _numbers(report: Report) -> str:
    first, tail = (report.estimates or (report.logged,))[0], report.tail
    told = [("rows judged", f"{first.n:,}"), ("rows read", f"{report.n_read:,}")]
    if tail is not None:
        told += [
            ("effective sample size", f"{first.ess:,.0f}"), ("largest importance weight", f"{tail.largest:.3g}"),
            ("median importance weight", f"{tail.median:.3g}"), ("carried by the top 1 % of rows", f"{tail.top_percent_share:.1%}"),
        ]  # fmt: skip
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in told)


def _table(report: Report) -> str:
    def row(name: str, one: Estimate, visible: bool) -> str:
        told = [number(one.value), interval(one), number(one.std_error)]
        cells = told if visible else ["refused", "", ""]
        return f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"

    rows = [row(one.estimator, one, shown(report)) for one in report.estimates]
    return "".join([*rows, row("as logged", report.logged, True)])


def _list(sentences: Iterable[str], without: str) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in [*sentences] or [without])
