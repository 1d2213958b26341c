"""What was counted, worked out: rates, intervals, alarms, a challenger's comparison; as records, Arrow tables and readable text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nba_engine.challenger import Differences
from nba_engine.facts.crosses import Cross
from nba_engine.health import telling
from nba_engine.health.drift import Alarm
from nba_engine.health.groups import Cell
from nba_engine.health.tallies import ONE, Tally, summed
from nba_engine.health.watch import Seen
from nba_engine.moments import EPOCH, moment_of

if TYPE_CHECKING:
    import pyarrow as pa

_Z = 1.959963984540054
FAIR_RATIOS = (0.8, 1.25)
"""A group is flagged where its whole interval lies outside: the four-fifths rule of the Uniform Guidelines on Employee Selection Procedures, 1978."""


@dataclass(frozen=True, slots=True)
class ActionHealth:
    """One row of `Health.table()`. `level`: all, action or treatment (only of actions that have several). docs/health.md says what each field means.
    Rates of nothing are NaN."""

    level: str
    action: str | None
    treatment: str | None
    impressions: int
    random_share: float
    answers: int
    positives: float
    rate: float
    n_recent: int
    observed: float
    predicted: float
    calibration: float
    calibration_low: float
    calibration_high: float
    auc: float
    log_loss: float
    log_loss_of_rate: float
    n_alarms: int
    alarm_at: datetime | None
    alarm_since: datetime | None
    rate_before: float
    rate_since: float
    log_loss_before: float
    log_loss_since: float
    alarm_latest_at: datetime | None


@dataclass(frozen=True, slots=True)
class GroupHealth:
    """One row of `Health.bias()`: a group of one sensitive fact beside all other groups, for one action.

    Ratios of rates with their 95 % interval. **Source** Katz, Baptista, Azen and Pike 1978, Biometrics 34(3), half a case added to each count.
    `flagged`: an interval lies outside FAIR_RATIOS.
    """

    fact: str
    group: str
    action: str
    decisions: int
    offers: int
    offer_rate: float
    offer_ratio: float
    offer_ratio_low: float
    offer_ratio_high: float
    answers: int
    positives: float
    acceptance_rate: float
    acceptance_ratio: float
    acceptance_ratio_low: float
    acceptance_ratio_high: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row of `Health.comparison()`: mean log-loss of the model in charge and of the one in the shadow over the same `n` outcomes, each
    predicted just before it was learned; `difference` is the shadow's less the other's, below zero where the shadow predicts better.
    [`low`, `high`] holds the mean expected difference at all times at once, with 95 %; infinite below 500 outcomes. `action` None is all."""

    action: str | None
    n: int
    in_charge: float
    in_shadow: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Health:
    """How the models do. `str()` reads it aloud; the tables are for analysts. `model` and `challenger` are sections as the catalog writes
    them, `promoted_at` the time since when the catalog's challenger is in charge; `crosses` are the facts that the model in charge takes together."""

    actions: tuple[ActionHealth, ...]
    groups: tuple[GroupHealth, ...]
    comparisons: tuple[Comparison, ...]
    model: str
    challenger: str | None
    promoted_at: datetime | None
    crosses: tuple[Cross, ...]

    @property
    def alarms(self) -> tuple[ActionHealth, ...]:
        """The actions that have raised an alarm, the latest first."""
        found = [row for row in self.actions if row.level == "action" and row.alarm_latest_at is not None]
        return tuple(sorted(found, key=lambda row: row.alarm_latest_at or EPOCH, reverse=True))

    def table(self) -> pa.Table:
        """A row per action and treatment, and one for all."""
        return _table(ActionHealth, self.actions)

    def bias(self) -> pa.Table:
        """A row per sensitive fact, group and action."""
        return _table(GroupHealth, self.groups)

    def comparison(self) -> pa.Table:
        """A row per action, and one for all; empty without a challenger."""
        return _table(Comparison, self.comparisons)

    def crossed(self) -> pa.Table:
        """A row per pair of facts that are taken together."""
        return _table(Cross, self.crosses)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return telling.told(self)


def report(seen: Seen) -> Health:
    """The report of what was seen. Cost: some 50 us per action."""
    promoted_at = None if seen.promoted_at_us is None else moment_of(seen.promoted_at_us)
    comparisons = _comparisons(seen.compared, 1 if promoted_at is None else -1)
    return Health(tuple(_actions(seen)), tuple(_groups(seen)), tuple(comparisons), seen.in_charge, seen.in_shadow, promoted_at,
                  tuple(seen.crosses))


def _actions(seen: Seen) -> Iterator[ActionHealth]:
    """All, then action by action, those that were shown most first, each with its treatments if there are several."""
    if not seen.tallies:
        return
    of: dict[str, dict[str | None, Tally]] = {}
    for (action, treatment), tally in seen.tallies.items():
        of.setdefault(action, {})[treatment] = tally
    yield _row("all", None, None, summed(seen.tallies.values()), None)
    for action, treatments in sorted(of.items(), key=lambda item: (-sum(t.impressions for t in item[1].values()), item[0])):
        only = next(iter(treatments)) if len(treatments) == 1 else None
        yield _row("action", action, only, summed(treatments.values()), seen.alarms.get(action))
        if len(treatments) > 1:
            for treatment, tally in sorted(treatments.items(), key=lambda item: str(item[0])):
                yield _row("treatment", action, treatment, summed([tally]), None)


def _row(level: str, action: str | None, treatment: str | None, tally: Tally, alarms: tuple[int, Alarm, int] | None) -> ActionHealth:
    recent = tally.recent
    observed, predicted = _ratio(recent.positives, recent.n * ONE), _ratio(recent.predicted, recent.n * ONE)
    low, high = _wilson(recent.positives / ONE, recent.n)
    n_alarms, alarm, latest_at_us = alarms or (0, None, 0)
    raised = (None, None, *[math.nan] * 4, None) if alarm is None else (
        moment_of(alarm.at_us), moment_of(alarm.since_us), alarm.rate_before, alarm.rate_since, alarm.loss_before, alarm.loss_since,
        moment_of(latest_at_us))
    return ActionHealth(
        level, action, treatment, tally.impressions, _ratio(tally.random, tally.impressions * ONE), tally.answers, tally.positives / ONE,
        _ratio(tally.positives, tally.answers * ONE), recent.n, observed, predicted, _ratio(observed, predicted), _ratio(low, predicted),
        _ratio(high, predicted), recent.auc(), _ratio(recent.loss, recent.n * ONE), _entropy(observed),
        n_alarms, *raised)


def _groups(seen: Seen) -> Iterator[GroupHealth]:
    for fact, cells in seen.groups.items():
        n_decisions = sum(cell.n_decisions for cell in cells.values())
        totals = Cell()
        for cell in cells.values():
            for action, counts in cell.actions.items():
                totals.add(action, *counts)
        for action, (offers, answers, positives) in sorted(totals.actions.items()):
            for group, cell in sorted(cells.items()):
                own = cell.actions.get(action, (0, 0, 0))
                offered = _rate_ratio(own[0], cell.n_decisions, offers - own[0], n_decisions - cell.n_decisions)
                accepted = _rate_ratio(own[2] / ONE, own[1], (positives - own[2]) / ONE, answers - own[1])
                flagged = any(low > FAIR_RATIOS[1] or high < FAIR_RATIOS[0] for _, low, high in (offered, accepted))
                yield GroupHealth(fact, group, action, cell.n_decisions, own[0], _ratio(own[0], cell.n_decisions), *offered,
                                  own[1], own[2] / ONE, _ratio(own[2], own[1] * ONE), *accepted, flagged)


def _comparisons(differences: Mapping[str, Differences], sign: int) -> Iterator[Comparison]:
    if not differences:
        return
    total = Differences()
    for sums in differences.values():
        total = total.with_added(sums)
    for action, sums in ((None, total), *sorted(differences.items())):
        model = sums.mean_loss
        losses = (model, model + sums.mean)[::sign]
        middle, half = sign * sums.mean, sums.half_width
        yield Comparison(action, sums.n, *losses, middle, middle - half, middle + half)


def _rate_ratio(cases: float, n: int, other_cases: float, n_other: int) -> tuple[float, float, float]:
    """The ratio of two rates and its interval; NaN where one of the groups is empty."""
    if n <= 0 or n_other <= 0:
        return math.nan, math.nan, math.nan
    a, b = cases + 0.5, other_cases + 0.5
    ratio = (a / (n + 0.5)) / (b / (n_other + 0.5))
    spread = math.exp(_Z * math.sqrt(max(1 / a - 1 / (n + 0.5) + 1 / b - 1 / (n_other + 0.5), 0.0)))
    return ratio, ratio / spread, ratio * spread


def _wilson(cases: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share. **Source** Wilson 1927, JASA 22."""
    if n == 0:
        return math.nan, math.nan
    share, z2 = cases / n, _Z * _Z / n
    middle, half = share + z2 / 2, _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def _entropy(rate: float) -> float:
    """The log-loss of always predicting the rate that came."""
    return rate if math.isnan(rate) else sum(-p * math.log(p) for p in (rate, 1.0 - rate) if p > 0.0)


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _table(kind: type, rows: Sequence[Any]) -> pa.Table:
    """Records as columns; the types are those of the fields."""
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "datetime": pa.timestamp("us", "UTC"), "str": pa.string()}
    schema = pa.schema([(f.name, types[str(f.type).partition(" ")[0]]) for f in fields(kind)])
    return pa.Table.from_pylist([{name: getattr(row, name) for name in schema.names} for row in rows], schema)
