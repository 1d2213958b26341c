"""A log judged as a whole: every estimator that its columns allow, the tail of its importance weights, and one verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.estimators import Estimate, estimate
from nba_engine.replay.importance import Float, Rows
from nba_engine.replay.logs import Finding, Log
from nba_engine.replay.verdict import Thresholds, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from nba_engine.catalog.catalog import Catalog
    from nba_engine.replay.progressive import LoggedOffer

_WITHOUT_MODEL = ("snips", "ips", "cressie_read", "maximum_likelihood")
_WITH_MODEL = ("dr", "sndr", "dm")
LEARNS_ON_THE_WAY = (
    "the target starts from nothing and learns each row after it was asked for it: its figure is of a learner warming up, not of one that has learned"
)


@dataclass(frozen=True, slots=True)
class Tail:
    """How the importance weights are spread: quantiles, the largest, and the share of their sum that the largest hundredth of rows carries."""

    median: float
    quantile_90: float
    quantile_99: float
    largest: float
    top_percent_share: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a log says of a target. `estimates` hold 95 % intervals; `logged` is what the log itself earned per row."""

    estimates: tuple[Estimate, ...]
    logged: Estimate
    tail: Tail
    n_read: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the importance weights, hence of every estimate alike."""
        return self.estimates[0].verdict

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before believing any of it: the causes of the verdict first, each said once."""
        return tuple(dict.fromkeys(warning for one in self.estimates for warning in one.warnings))

    def table(self) -> pa.Table:
        """One row per estimator: estimator, value, std_error, low, high, n, ess, max_importance_weight, verdict."""
        import pyarrow as pa

        names = ("estimator", "value", "std_error", "n", "ess", "max_importance_weight", "verdict")
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in self.estimates] for name in names}
        columns["low"], columns["high"] = ([one.interval[side] for one in self.estimates] for side in (0, 1))
        return pa.table({name: columns[name] for name in ("estimator", "value", "std_error", "low", "high", *names[3:])})


def run(
    log: Log,
    target: Catalog | None = None,
    *,
    thresholds: Thresholds | None = None,
    track: Callable[[Iterable[LoggedOffer], int], Iterable[LoggedOffer]] | None = None,
) -> Report:
    """What `target` would have earned per logged decision, by every estimator whose columns the log carries.

    Parameters
    ----------
    log
        As `Log.read` gives it. Without a target it carries p_target. With one it carries action, at, rewards in [0, 1], and the catalog's facts under
        their names; rows are taken in the order of time.
    target
        A catalog whose actions have no treatments: an engine on it, that starts from nothing and learns each row after it was asked.
    track
        Hands every offer on, and may show how far it is.

    Raises
    ------
    ReplayError : a column that is needed is missing, or the catalog does not fit the log.
    """
    rows = log.rows() if target is None else _asked(log, target, track)
    notes = () if target is None else (LEARNS_ON_THE_WAY,)
    if n_below := log.table.num_rows - len(rows.reward):
        notes = (*notes, f"{n_below} rows stood below rank 1 of their slates and are not judged here; estimate_slates judges slates whole")
    columns = {"reward": rows.reward, "p_log": rows.p_log, "p_target": rows.p_target, "unsupported": rows.unsupported}
    estimates = [estimate(name, **columns, thresholds=thresholds) for name in _WITHOUT_MODEL]
    if target is None and rows.q_logged is not None and rows.q_target is not None:
        columns |= {"q_logged": rows.q_logged, "q_target": rows.q_target}
        estimates += [estimate(name, **columns, thresholds=thresholds) for name in _WITH_MODEL]
    logged = estimate("ips", reward=rows.reward, p_log=rows.p_log, p_target=rows.p_log)
    return Report(tuple(estimates), logged, _tail(rows.importance_weight), log.n_read, log.findings, notes)


def _asked(log: Log, target: Catalog, track: Callable[[Iterable[LoggedOffer], int], Iterable[LoggedOffer]] | None) -> Rows:
    from nba_engine.facts.tables import moments_of
    from nba_engine.replay.progressive import LoggedOffer, progressive

    table = log.first_offers()
    missing = [name for name in ("action", "at") if name not in table.column_names]
    if missing:
        raise ReplayError(f"the log has no column {' and no '.join(missing)}, with which a catalog is asked; say columns={{{missing[0]!r}: ...}}")
    at_us = moments_of(table.column("at"), None)
    order = np.argsort(at_us, kind="stable")
    table, at_us = table.take(order), at_us[order]
    reward = table.column("reward").to_numpy()
    if not (0 <= reward.min() <= reward.max() <= 1):
        raise ReplayError(f"rewards reach from {reward.min():g} to {reward.max():g}; a target catalog learns from rewards in [0, 1]")
    facts = table.select([name for name in target.definition.facts if name in table.column_names]).to_pylist()
    actions = table.column("action").to_pylist()
    offers = [LoggedOffer(*row) for row in zip(at_us.tolist(), facts or [{}] * len(actions), actions, reward.tolist(), strict=True)]
    p_target = progressive(target, offers if track is None else track(offers, len(offers)))
    return Rows(reward, table.column("p_log").to_numpy(), p_target)


def _tail(w: Float) -> Tail:
    ordered, total = np.sort(w), float(w.sum())
    n_top = max(1, round(len(w) / 100))
    middle, high, higher = (float(one) for one in np.quantile(ordered, [0.5, 0.9, 0.99]))
    return Tail(middle, high, higher, float(ordered[-1]), float(ordered[-n_top:].sum()) / total if total > 0 else 0.0)
