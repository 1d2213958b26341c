"""A log judged as a whole: every estimator that its columns allow, the tail of its importance weights, and one verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.estimators import ESTIMATORS, Estimate
from nba_engine.replay.folding import Folding, Tail
from nba_engine.replay.importance import Rows
from nba_engine.replay.intervals import N_DRAWS
from nba_engine.replay.judging import Finding, moments
from nba_engine.replay.logs import Log, first_offers, rows_of
from nba_engine.replay.naming import CHOSEN_BY, NUMBERS, missing
from nba_engine.replay.pmfs import one_array
from nba_engine.replay.verdict import Thresholds, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from nba_engine.catalog.catalog import Catalog
    from nba_engine.engine import Engine
    from nba_engine.replay.pmfs import Ints, Pmf
    from nba_engine.replay.reward_models import Expected
    from nba_engine.replay.targets import Asked

_WITHOUT_MODEL = ("snips", "ips", "cressie_read", "maximum_likelihood")
_WITH_MODEL = ("dr", "sndr", "dm")
_OF_SHARES = ("sndr", "dr")
NO_PROBABILITIES = (
    f"the log does not say with what probability it chose. Give p_log; or {CHOSEN_BY}, the columns that its choice depended on and nothing else, "
    "so that it can be estimated; or choose at random for some share of the decisions from now on, and log that"
)
ROWS_FOR_INDEPENDENT = "the intervals take rows of one subject for independent of each other; where subjects come back, ask for them by subject"
FIXED_FOR_ALL_WE_KNOW = (
    "the intervals take it for granted that the log's writer did not learn from the log's own rows; say adaptive where it did (an engine that learns)"
)
SHARES_STAY = "the intervals are those of a law that did not change: shares of the log's own rows cannot tell one that learned"
ONLY_A_MODEL = "dm needs no probabilities and believes the model; nothing in this log checks it"

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a log says of a target. `estimates` hold 95 % intervals; `logged` is what the log itself earned per row; without probabilities there is
    no `tail` of importance weights, and often no estimate."""

    estimates: tuple[Estimate, ...]
    logged: Estimate
    tail: Tail | None
    n_read: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the importance weights, hence of every estimate alike."""
        return self.estimates[0].verdict if self.estimates else "refused"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before believing any of it: the causes of the verdict first, each said once."""
        if self.tail is None:
            return NO_PROBABILITIES, *((ONLY_A_MODEL,) if self.estimates else ())
        return tuple(dict.fromkeys(warning for one in self.estimates for warning in one.warnings))

    def table(self) -> pa.Table:
        """One row per estimator: estimator, value, std_error, low, high, n, ess, max_importance_weight, verdict."""
        import pyarrow as pa

        names = ("estimator", "value", "std_error", "n", "ess", "max_importance_weight", "verdict")
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in self.estimates] for name in names}
        columns["low"], columns["high"] = ([one.interval[side] for one in self.estimates] for side in (0, 1))
        return pa.table({name: columns[name] for name in ("estimator", "value", "std_error", "low", "high", *names[3:])})

    def to_html(self, path: str | Path) -> None:
        """Write a page that stands for itself: value, intervals and the tail of the importance weights; needs the extra `report`."""
        from nba_engine.replay.page import write

        write(self, path)


class _Judged(NamedTuple):
    """What is folded: chunks of rows, which estimators may judge them, what a reader must know, whether the log's writer learned, and where it is
    asked for the number of each row's subject."""

    chunks: Iterable[Rows]
    estimators: tuple[str, ...]
    notes: tuple[str, ...] = ()
    adaptive: bool = False
    subject: Ints | None = None


class _Wanted(NamedTuple):
    """How a log is to be judged, as `run` takes it; `adaptive` is settled."""

    reward_model: Any
    facts: Sequence[str] | None
    adaptive: bool
    by_subject: bool
    progress: Progress | None


def run(
    log: Log,
    target: Catalog | Engine | None = None,
    *,
    estimators: Mapping[str, float | None] | None = None,
    reward_model: Any = None,
    facts: Sequence[str] | None = None,
    adaptive: bool | None = None,
    by_subject: bool = False,
    thresholds: Thresholds | None = None,
    progress: Progress | None = None,
) -> Report:
    """What `target` would have earned per logged decision, by every estimator whose columns the log carries.

    Parameters
    ----------
    log
        As `Log.read` gives it. Without a target it carries p_target. With one it carries action, at and the catalog's facts under their names;
        subject, channel, treatment, label and reason say what contact history was and what was learned (`targets.py`).
    target
        A catalog: an engine on it that starts from nothing and learns each row after it was asked for it. An engine: its catalog, its beliefs as
        they stand.
    estimators
        Names with their parameters (None where they have none), in place of all that need none.
    reward_model
        Brings dr, sndr and dm: "progressive", "cross_fitted" or a scikit-learn estimator, none of which ever answers rows it was taught
        (`reward_models.py`). Needs action, and without a target pmf_target. A target that learns on the way has its own without being asked.
    facts
        Columns that the reward model may read: known before the decision, and nothing that became of it. Of a target catalog those it declares.
    adaptive
        Whether the log's writer learned meanwhile: rows are then taken in the order of `at`, where there is one, and the intervals are those of
        `estimate(adaptive=True)`. None: what the log says, whose column beliefs_version holds more than one version then, as logs of our own store.
    by_subject
        Intervals from 1,000 draws of whole subjects, whose rows resemble each other (`bootstrap_interval`); not of adaptive logs.
    progress
        Told how many rows of how many (None where not known) are done.

    Raises
    ------
    ReplayError : a column that is needed is missing, or the catalog does not fit the log.

    Notes
    -----
    **Cost**: without a target one pass, memory for some 262,000 rows (benchmarks/replay_speed.py); with one, or without logged probabilities, the
    log is held in memory, and each row is decided again. By subject too, and 1,000 times as long as there are subjects.
    """
    learned = _learned_meanwhile(log)
    wanted = _Wanted(reward_model, facts, bool(learned) if adaptive is None else adaptive, by_subject, progress)
    if by_subject and (wanted.adaptive or "subject" not in log.columns):
        raise _not_by_subject(log)
    judged = _judged(log, target, wanted)
    known = {name: None for name in judged.estimators if ESTIMATORS[name].parameter is None} if estimators is None else dict(estimators)
    folding = Folding(known, judged.adaptive)
    for rows in judged.chunks:
        folding.add(rows, judged.subject)
    if not folding.n:
        raise ReplayError("no row of the log stood first in its slate (rank 1); what stands below was chosen given what stood above")
    if not log.has_probabilities and log.chosen_by is None:
        return _without_probabilities(log, folding, judged)
    n_below = log.n_read - sum(one.n for one in log.findings if one.set_aside) - folding.n
    notes = judged.notes
    if n_below:
        notes = (*notes, f"{n_below} rows stood below rank 1 of their slates and are not judged here; estimate_slates judges slates whole")
    if by_subject:
        notes = (*notes, f"intervals are those of {N_DRAWS:,} draws of {len(np.unique(judged.subject))} whole subjects")
    elif "subject" in log.columns and not judged.adaptive:
        notes = (*notes, ROWS_FOR_INDEPENDENT)
    if adaptive is None and learned is None:
        notes = (*notes, FIXED_FOR_ALL_WE_KNOW)
    return Report(folding.estimates(thresholds), folding.logged(), folding.tail(), log.n_read, log.findings, notes)


def _learned_meanwhile(log: Log) -> bool | None:
    """Whether beliefs changed while the log was written; None where it does not say. ReplayError where it is no log."""
    if not isinstance(log, Log):
        raise ReplayError(f"the log is a {type(log).__name__}; give what Log.read makes of a path or a table")
    return len(log.distinct("beliefs_version")) > 1 if "beliefs_version" in log.columns else None


def _not_by_subject(log: Log) -> ReplayError:
    if "subject" not in log.columns:
        return missing("subject", log.columns)
    return ReplayError("intervals by subject were asked for a log whose writer learned: its rows cannot be drawn anew, because each depends on all "
                       "before it; leave one of both out (adaptive=False, --fixed, where the law did not change)")


def _judged(log: Log, target: Catalog | Engine | None, wanted: _Wanted) -> _Judged:
    if wanted.facts is not None and wanted.reward_model is None:
        raise ReplayError("facts says what a reward model may read, and no reward model was given: give reward_model too, or leave facts out")
    if wanted.reward_model is not None and not log.has_probabilities:
        raise ReplayError("a reward model was given, and the log does not say with what probability it chose: nothing could correct the model")
    if target is not None:
        return _asked(log, target, wanted)
    if "p_target" not in log.columns and "pmf_target" not in log.columns and (log.has_probabilities or log.chosen_by is not None):
        raise missing("p_target", log.columns)
    if log.chosen_by is not None:
        return _by_shares(log.first_offers(), log.chosen_by, None, wanted)
    if not log.has_probabilities:
        names = ("dm",) if "q_target" in log.columns else ()
        if not wanted.by_subject:
            return _Judged(_unweighted(log.chunks(NUMBERS)), names)
        return _Judged(_unweighted([log.first_offers()]), names, subject=_subject(log.first_offers()))
    if wanted.reward_model is not None or wanted.adaptive or wanted.by_subject:
        return _in_memory(log, wanted)
    model = {"q_logged", "q_target"} <= set(log.columns)
    kept = (table for table in map(first_offers, log.chunks(NUMBERS, wanted.progress)) if table.num_rows)
    return _Judged(map(rows_of, kept), _WITHOUT_MODEL + _WITH_MODEL * model)


def _in_memory(log: Log, wanted: _Wanted) -> _Judged:
    """A log whose rows are needed in the order of time, or by a reward model."""
    from nba_engine.replay.pmfs import Numbering

    table = log.first_offers()
    if wanted.adaptive and "at" in table.column_names:
        table = _in_time(table)
    if wanted.reward_model is None:
        model = {"q_logged", "q_target"} <= set(table.column_names)
        return _of(wanted, table, [rows_of(table)], model)
    for name in ("pmf_target", "action"):
        if name not in table.column_names:
            raise missing(name, table.column_names)
    numbering = Numbering()
    pmf = numbering.pmf(table.column("pmf_target"), "pmf_target")
    model = _modelled(table, numbering.numbers(table.column("action")), pmf, wanted)
    return _of(wanted, table, [rows_of(table, q_logged=model.q_logged, q_target=model.q_target)], True, (model.note,))


def _in_time(table: pa.Table) -> pa.Table:
    return table.take(np.argsort(moments(table, "at", None), kind="stable"))


def _of(wanted: _Wanted, table: pa.Table, rows: list[Rows], model: bool, notes: tuple[str, ...] = ()) -> _Judged:
    """A table that says with what probability it chose, its rows to be judged by every estimator that can."""
    plain = tuple(name for name in _WITHOUT_MODEL if not ((wanted.adaptive or wanted.by_subject) and ESTIMATORS[name].atoms))
    return _Judged(rows, plain + _WITH_MODEL * model, notes, wanted.adaptive, _subject(table) if wanted.by_subject else None)


def _subject(table: pa.Table) -> Ints:
    """The number of each row's subject, from 0; rows that name none have one each."""
    n = table.num_rows
    if "subject" not in table.column_names:
        return np.arange(n)
    coded = one_array(table.column("subject").dictionary_encode()).indices
    known = coded.is_valid().to_numpy(zero_copy_only=False)
    return np.unique(np.where(known, coded.fill_null(0).to_numpy(), n + np.arange(n)), return_inverse=True)[1]


def _modelled(table: pa.Table, action: Ints, pmf: Pmf, wanted: _Wanted) -> Expected:
    from nba_engine.replay.reward_models import Situations, expected, facts_of

    if wanted.facts is None:
        raise ReplayError("a reward model was given and not what it may read: say facts=[...], columns that were known before the decision "
                          f"([] for none); the log has {', '.join(table.column_names)}")
    reward = np.nan_to_num(table.column("reward").to_numpy())
    given = Situations(facts_of(table, wanted.facts), action, reward, _subject(table), pmf)
    return expected(wanted.reward_model, given, adaptive=wanted.adaptive, progress=wanted.progress)


def _asked(log: Log, target: Catalog | Engine, wanted: _Wanted) -> _Judged:
    from nba_engine.replay.targets import ask

    asked = ask(log.table, target, wanted.progress, keep_pmf=wanted.reward_model is not None)
    table = first_offers(asked.table)
    if log.chosen_by is not None:
        judged = _by_shares(table, log.chosen_by, asked.p_target, wanted)
        return judged._replace(notes=(*asked.notes, *judged.notes))
    if not log.has_probabilities:
        table = table.append_column("p_log", [np.ones(table.num_rows)])
    own = {name: getattr(asked, name) for name in ("p_target", "q_logged", "q_target", "unsupported")}
    notes = asked.notes
    if asked.pmf is not None and not (wanted.reward_model == "progressive" and asked.q_target is not None):
        own["q_logged"], own["q_target"], note = _of_target(table, asked, target, wanted)
        notes = (*notes, note)
    rows = rows_of(table, **{name: column for name, column in own.items() if column is not None})
    model = own["q_target"] is not None
    judged = _of(wanted, table, [rows], model, notes)
    if not log.has_probabilities:
        return judged._replace(estimators=("dm",) if model else (), adaptive=False)
    # Where the target may offer nothing, its probabilities of what was offered need not average 1, as self-normalised estimators take for granted.
    kept = tuple(name for name in judged.estimators if name in ("ips", "dr", "dm")) if asked.offers_nothing else judged.estimators
    return judged._replace(estimators=kept)


def _of_target(table: pa.Table, asked: Asked, target: Catalog | Engine, wanted: _Wanted) -> Expected:
    """A reward model asked under the target's own law; actions that only the log has are numbered behind those of the catalog."""
    texts = table.column("action").to_pylist()
    number = {action: i for i, action in enumerate(dict.fromkeys([*asked.actions, *texts]))}
    declared = (target if not hasattr(target, "catalog") else target.catalog).definition.facts
    facts = [name for name in declared if name in table.column_names] if wanted.facts is None else wanted.facts
    return _modelled(table, np.array([number[text] for text in texts], np.int64), asked.pmf, wanted._replace(facts=facts))


def _by_shares(table: pa.Table, chosen_by: tuple[str, ...], p_target: Any, wanted: _Wanted) -> _Judged:
    from nba_engine.replay.shares import rows_by_shares

    target = table.column("p_target").to_numpy() if p_target is None else p_target
    rows, note = rows_by_shares(table, chosen_by, target, np.nan_to_num(table.column("reward").to_numpy()))
    notes = (note, SHARES_STAY) if wanted.adaptive else (note,)
    return _Judged([rows], _OF_SHARES, notes, subject=_subject(table) if wanted.by_subject else None)


def _unweighted(chunks: Iterable[pa.Table]) -> Iterator[Rows]:
    for table in chunks:
        kept = first_offers(table)
        ones = np.ones(kept.num_rows)
        if kept.num_rows:
            yield rows_of(kept, p_log=ones, p_target=ones)


def _without_probabilities(log: Log, folding: Folding, judged: _Judged) -> Report:
    """What needs none: the log's own mean, and a model's word."""
    unknown = {"ess": math.nan, "max_importance_weight": math.nan, "verdict": "weak", "warnings": (ONLY_A_MODEL,)}
    estimates = tuple(replace(one, **unknown) for one in folding.estimates(None))
    return Report(estimates, folding.logged(), None, log.n_read, log.findings, judged.notes)
