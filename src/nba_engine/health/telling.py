"""A health report in words and columns of text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nba_engine.facts.crosses import name_of

if TYPE_CHECKING:
    from datetime import datetime

    from nba_engine.facts.crosses import Cross
    from nba_engine.health.report import ActionHealth, Comparison, GroupHealth, Health

ROWS_MAX = 40


def told(health: Health) -> str:
    """The whole report: alarms first."""
    parts = [_alarms(health), _actions(health.actions)] if health.actions else ["nothing was presented yet"]
    if health.actions and health.groups:
        parts.append(_groups(health.groups))
    if health.actions and health.challenger is not None:
        parts.append(_challenge(health))
    if health.crosses:
        parts.append(_crosses(health.crosses))
    return "\n\n".join(parts)


def _alarms(health: Health) -> str:
    lines = [
        f"  {row.action}: something changed about {_when(row.alarm_since)}, found {_when(row.alarm_at)}: "
        f"yes {_percent(row.rate_before)} before, {_percent(row.rate_since)} since; "
        f"log-loss {_number(row.log_loss_before, 3)} before, {_number(row.log_loss_since, 3)} since"
        + (f" (the strongest of {row.n_alarms} alarms, the latest found {_when(row.alarm_latest_at)})" if row.n_alarms > 1 else "")
        for row in health.alarms]
    return "\n".join(["alarms:", *lines]) if lines else "no alarms"


def _actions(rows: Sequence[ActionHealth]) -> str:
    lines = [["", "shown", "random", "answers", "yes", "recent", "observed", "predicted", "obs/pred", "95 %", "AUC", "log-loss", "constant",
              "alarms"]]
    for row in rows[:ROWS_MAX]:
        name = {"all": "all", "action": row.action or "", "treatment": f"  {row.treatment}"}[row.level]
        lines.append([
            name, f"{row.impressions:,}", _percent(row.random_share), f"{row.answers:,}", f"{row.positives:,.6g}", f"{row.n_recent:,}",
            _percent(row.observed), _percent(row.predicted), _number(row.calibration, 2),
            _interval(row.calibration_low, row.calibration_high), _number(row.auc, 3), _number(row.log_loss, 4),
            _number(row.log_loss_of_rate, 4), f"{row.n_alarms or ''}"])
    return _columns(lines) + _left_out(len(rows))


def _groups(rows: Sequence[GroupHealth]) -> str:
    flagged = [row for row in rows if row.flagged]
    head = f"sensitive facts: {len(flagged)} of {len(rows)} groups and actions flagged (ratio to all other groups outside 0.8 to 1.25, 95 % sure)"
    lines = [["fact", "group", "action", "offered", "ratio", "95 %", "yes", "ratio", "95 %"]]
    lines += [[row.fact, row.group, row.action, _percent(row.offer_rate), _number(row.offer_ratio, 2),
               _interval(row.offer_ratio_low, row.offer_ratio_high), _percent(row.acceptance_rate),
               _number(row.acceptance_ratio, 2), _interval(row.acceptance_ratio_low, row.acceptance_ratio_high)]
              for row in flagged[:ROWS_MAX]]
    return head if not flagged else head + "\n" + _columns(lines) + _left_out(len(flagged))


def _crosses(rows: Sequence[Cross]) -> str:
    lines = [["facts taken together", "", "evidence"]]
    lines += [[name_of(row.fact, row.other), "declared" if row.declared else "found", _number(row.evidence, 1)] for row in rows[:ROWS_MAX]]
    return _columns(lines) + _left_out(len(rows))


def _challenge(health: Health) -> str:
    head = f"in charge: {_model(health.model)}; in the shadow: {_model(health.challenger or '')}"
    if health.promoted_at is not None:
        head += f"; promoted {_when(health.promoted_at)}"
    if not health.comparisons:
        return head + "\nnothing was compared yet"
    lines = [["", "outcomes", "in charge", "in shadow", "difference", "at any time, 95 %"]]
    lines += [[row.action or "all", f"{row.n:,}", _number(row.in_charge, 4), _number(row.in_shadow, 4), f"{row.difference:+.4f}",
               f"{row.low:+.4f} to {row.high:+.4f}" if math.isfinite(row.low) else "-"] for row in health.comparisons[:ROWS_MAX]]
    return f"{head}\n{_columns(lines)}{_left_out(len(health.comparisons))}\n{_verdict(health.comparisons[0])}"


def _model(section: str) -> str:
    """A section as short as it can be written."""
    told = {key: value for key, value in json.loads(section).items() if value not in (None, False, "forever")}
    return told["kind"] if len(told) == 1 else json.dumps(told)


def _verdict(total: Comparison) -> str:
    if total.low <= 0.0 <= total.high:
        return "which of the two predicts better is not decided yet"
    return "the model in the shadow predicts better" if total.high < 0.0 else "the model in charge predicts better"


def _columns(lines: Sequence[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [i for i in range(len(widths)) if i == 0 or lines[0][i] in ("group", "action")]
    return "\n".join("  ".join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))).rstrip()
                     for line in lines)


def _left_out(n: int) -> str:
    return f"\n... and {n - ROWS_MAX:,} more; the table has them all" if n > ROWS_MAX else ""


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.2%}"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"
