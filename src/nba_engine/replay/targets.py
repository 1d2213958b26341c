"""A log decided again under another catalog: with what probability it would have chosen what was logged, row by row, and what it expects of it.

Every row is decided as it was: its facts, channel, subject and time; contact history is what the log itself says had been shown and answered by
then. Rows go through the same stages as live decisions, many at a time; nothing is drawn. Beliefs are an engine's as they stand, or start from
nothing and learn each outcome after it came back: a row is answered by beliefs that know at least fifteen sixteenths of the outcomes before it,
and none after it (Dawid 1984, prequential).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine import backfill
from nba_engine.beliefs import Beliefs, Scorer
from nba_engine.catalog.catalog import Catalog
from nba_engine.compiled import compiled_on
from nba_engine.contact.history import Contacts
from nba_engine.contact.names import PRESENTED, Shown
from nba_engine.decision import Workspace, judge
from nba_engine.engine import Engine
from nba_engine.errors import ReplayError
from nba_engine.learning import SKIPPED, State
from nba_engine.memory import Memory
from nba_engine.replay.importance import Float
from nba_engine.replay.judging import moments
from nba_engine.replay.naming import missing
from nba_engine.replay.pmfs import Pmf

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from nba_engine.catalog.plan import Plan

LEARNS_ON_THE_WAY = (
    "the target starts from nothing and learns each row after it was asked for it: its figure is of a learner warming up, not of one that has learned"
)
BELIEFS_AS_THEY_STAND = (
    "the target decides by the engine's beliefs as they stand now: where they were learned from these very rows the figure is too kind"
)
LEARNED_SHARE = 16
"""Rows are decided at once until this fraction of the outcomes known by then has come back on top."""

_BYTES_MAX, _ROWS_MAX = 2**25, 256
_TEXTS = ("subject", "action", "treatment", "label", "reason")
_CHANCE = 1e-9

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a target says of a log.

    `table`: its rows in the order of time; of those placed first, in that order, float64[n] each: `p_target` of what was logged,
    `q_logged` and `q_target` what it expected before it learned the row (None where rewards are not what it learns, or of an engine), `unsupported`
    its mass on actions that the log never shows, a lower bound. `offers_nothing`: whether it may choose to offer nothing. `pmf`: the whole law over
    `actions`, where it was asked for.
    """

    table: pa.Table
    p_target: Float
    q_logged: Float | None
    q_target: Float | None
    unsupported: Float
    offers_nothing: bool
    notes: tuple[str, ...]
    actions: tuple[str, ...]
    pmf: Pmf | None


def ask(table: pa.Table, target: Catalog | Engine, progress: Callable[[int, int | None], None] | None = None, *, keep_pmf: bool = False) -> Asked:
    """Decide the rows of a judged log again.

    Parameters
    ----------
    table : `Log.table`: action and at, the facts under their names (or fact.<name>), where known subject, channel, asked_channel, treatment,
        label, reason, presented, outcome_at, rank.
    target : a catalog, that learns on the way, or an engine, as it stands; what an engine expects is not handed out, for it may have learned from
        these very rows.
    keep_pmf : whether the whole law is wanted, 24 bytes a row and action that may be chosen.
    progress : told how many decisions of how many are done.

    Raises
    ------
    ReplayError : a column is missing, a channel is not in the catalog, none of the actions is, rewards to be learned lie outside [0, 1].
    FactsError : a fact of the wrong type.

    Notes
    -----
    **Cost**: that of `decide_batch` and `learn` together, after the first few thousand rows; the log is held in memory.
    """
    plan, beliefs, contacts, state = _standing(target)
    rows = _Rows(table, plan)
    past = _Past(rows, plan, contacts)
    lessons = _Lessons(rows, plan, state) if state is not None else None
    asking = _Asking(rows, plan, keep_pmf)
    done, first = 0, rows.first
    while done < len(first):
        at = int(first[done])
        n_rows = asking.n_rows
        if lessons is not None and (until := lessons.learn_before(rows.at_us[at], at)) is not None:
            n_rows = min(n_rows, max(1, int(np.searchsorted(rows.at_us[first[done : done + n_rows]], until))))
        part = first[done : done + n_rows]
        asking.ask(part, beliefs, [past.history(int(row)) for row in part])
        done += len(part)
        if progress is not None:
            progress(done, len(first))
    notes = (BELIEFS_AS_THEY_STAND if lessons is None else LEARNS_ON_THE_WAY, *past.notes, *asking.notes)
    q = (asking.q_logged, asking.q_target) if lessons is not None and lessons.rewards_are_judged else (None, None)
    return Asked(rows.table, asking.p_target, *q, asking.unsupported, asking.offers_nothing, notes, plan.action_ids, asking.pmf)


def _standing(target: Catalog | Engine) -> tuple[Plan, Beliefs, Contacts, State | None]:
    """Plan, beliefs and contacts to work with, apart from those of a live engine; the state to teach where there is one."""
    if isinstance(target, Catalog):
        state = Memory(target, None, "os", 1).state
        return state.plan, state.beliefs, state.contacts, state
    if not isinstance(target, Engine):
        raise ReplayError(f"the target is {type(target).__name__}; give a Catalog or an Engine")
    with target._lock:  # pyright: ignore[reportPrivateUsage]
        memory = target._memory  # pyright: ignore[reportPrivateUsage]
        catalog, numbering, believed = memory.state.plan.catalog, memory.numbering(), memory.state.beliefs.state()
    compiled = compiled_on(catalog, numbering)
    compiled.beliefs.load(believed)
    contacts = Contacts()
    contacts.names, contacts.retention = numbering.names, compiled.plan.contact_rules.retention
    return compiled.plan, compiled.beliefs, contacts, None


class _Rows:
    """A log in the order of time, as the stages read it. `first`: positions of the rows placed first."""

    def __init__(self, table: pa.Table, plan: Plan) -> None:
        import pyarrow as pa

        from nba_engine.facts.tables import texts_of

        for name in ("action", "at"):
            if name not in table.column_names:
                raise missing(name, table.column_names)
        at_us = moments(table, "at", None)
        rank = table.column("rank").fill_null(1).to_numpy() if "rank" in table.column_names else np.ones(table.num_rows, np.int64)
        order = np.lexsort((rank, at_us))
        self.table, self.at_us, self.rank = table.take(order), at_us[order], rank[order].astype(np.int64)
        self.first = np.flatnonzero(self.rank == 1)
        given = self.table.column_names

        def texts(name: str) -> Any:
            own = pa.table({name: self.table.column(name).cast(pa.string())}) if name in given else self.table
            return texts_of(own, name, optional=True)

        self.texts = {name: texts(name) for name in (*_TEXTS, "channel")}
        asked = texts("asked_channel") if "asked_channel" in given else self.texts["channel"]
        if not plan.channel_ids:
            asked = pa.nulls(self.table.num_rows, pa.string()).dictionary_encode()
        channels = asked.dictionary.to_pylist()
        unknown = [channel for channel in channels if channel not in plan.channel_of]
        if unknown:
            raise ReplayError(f"channel {unknown[0]!r} of the log is not in the catalog; known are {', '.join(plan.channel_ids)}, or null for all")
        self.channel_index = np.array([*(plan.channel_of[channel] for channel in channels), -1], np.int64)[_indices(asked)]
        facts = {f"fact.{name}": self.table.column(f"fact.{name}" if f"fact.{name}" in given else name)
                 for name in plan.catalog.definition.facts if f"fact.{name}" in given or name in given}
        self.encodable = pa.table({**{name: self.texts[name] for name in _TEXTS}, "channel": asked, "at": self.at_us, "rank": self.rank, **facts})
        self.facts = self.encodable.select(list(facts)).rename_columns([column.removeprefix("fact.") for column in facts])
        self.candidates, self.kind = self._candidates(plan)

    def of(self, name: str) -> list[str | None]:
        """A column of texts, None where it is null or there is none."""
        column = self.texts[name]
        return np.array([*column.dictionary.to_pylist(), None], object)[_indices(column)].tolist()

    def _candidates(self, plan: Plan) -> tuple[list[tuple[int, ...]], Ints]:
        """The candidates that each kind of logged offer can have been in this catalog, and the kind of each row. Where the log names no treatment
        they are all of the action's that fit the channel."""
        columns = [self.texts[name] for name in ("action", "treatment", "channel")]
        sizes = [len(column.dictionary) + 1 for column in columns]
        distinct, kind = np.unique(np.ravel_multi_index([_indices(column) for column in columns], sizes), return_inverse=True)
        found: list[tuple[int, ...]] = []
        for place in distinct.tolist():
            action, treatment, channel = (
                (*column.dictionary.to_pylist(), None)[i] for column, i in zip(columns, np.unravel_index(place, sizes), strict=True))
            index = plan.channel_of.get(channel or "", -1)
            own = [(t, c) for (a, t), c in plan.candidate_of.items() if a == action]
            exact = [c for t, c in own if t == treatment]
            found.append(tuple(exact or [c for _, c in own if treatment is None and index in (-1, plan.channel[c])]))
        if not any(found):
            raise ReplayError("none of the log's actions is in the catalog; name the column that holds their ids: columns={'action': ...}")
        return found, kind


class _Past:
    """What each subject had been shown and had answered before a row, as the log tells it."""

    def __init__(self, rows: _Rows, plan: Plan, contacts: Contacts) -> None:
        self._rows, self._contacts, self._done = rows, contacts, 0
        self._directions = dict(zip(plan.channel_ids, plan.directions, strict=True))
        self._columns = {name: rows.of(name) for name in (*_TEXTS, "channel")}
        outcomes = plan.catalog.definition.outcomes
        self._silent = {label for label, spec in outcomes.items() if spec.exposure is not None or spec.revokes is not None}
        shown = _shown(rows, {label for label, spec in outcomes.items() if spec.exposure == SKIPPED})
        back = _came_back(rows)
        answered = np.array([label is not None and label not in self._silent and label != PRESENTED for label in self._columns["label"]], np.bool_)
        here = np.flatnonzero(shown if any(self._columns["subject"]) else np.zeros(len(shown), np.bool_))
        replies = here[answered[here]]
        moments, events = np.concatenate([rows.at_us[here], back[replies]]), np.concatenate([here, replies])
        answer = np.concatenate([np.zeros(len(here), np.bool_), np.ones(len(replies), np.bool_)])
        order = np.lexsort((answer, events, moments))
        self._moments, self._events, self._answer = moments[order].tolist(), events[order].tolist(), answer[order].tolist()
        nobody = "the log names no subjects: every row was decided as if nobody had been contacted before"
        self.notes = () if any(self._columns["subject"]) else (nobody,)

    def history(self, row: int) -> Any:
        """The history of the row's subject as it stood; rows are asked for in their order."""
        at_us = int(self._rows.at_us[row])
        while self._done < len(self._events) and (self._moments[self._done], self._events[self._done]) < (at_us, row):
            self._take(self._events[self._done], self._moments[self._done], self._answer[self._done])
            self._done += 1
        return self._contacts.history(self._columns["subject"][row] or "").copied()

    def _take(self, row: int, at_us: int, answer: bool) -> None:
        subject, action, treatment, label, reason, channel = (self._columns[name][row] for name in (*_TEXTS, "channel"))
        if subject is None or action is None:
            return
        contact = subject, row + 1, int(self._rows.at_us[row]), Shown(action, treatment, channel, self._directions.get(channel or ""))
        if answer and label is not None:
            self._contacts.answer(*contact, label, reason, at_us, int(self._rows.at_us[row]))
        else:
            self._contacts.present(*contact, at_us)


class _Lessons:
    """Outcomes, learned when they came back."""

    def __init__(self, rows: _Rows, plan: Plan, state: State) -> None:
        self._rows, self._state, self._done = rows, state, 0
        definition, reward = plan.catalog.definition, rows.table.column("reward").to_numpy(zero_copy_only=False)
        skipping = {label for label, spec in definition.outcomes.items() if spec.exposure == SKIPPED}
        learned = np.where(_shown(rows, skipping), reward, np.nan)
        if "label" in rows.table.column_names:
            worth = {label: spec.reward for label, spec in definition.outcomes.items()}
            own = np.array([np.nan if worth.get(label or "") is None else worth[label or ""] for label in rows.of("label")], np.float64)
            silent = np.array([reason in definition.reasons and not definition.reasons[reason].learn for reason in rows.of("reason")], np.bool_)
            known = np.array([label is None or label in worth for label in rows.of("label")], np.bool_)
            learned = np.where(silent, np.nan, np.where(known, own, learned))
        single = np.array([len(one) == 1 for one in rows.candidates], np.bool_)[rows.kind]
        self.rewards_are_judged = bool(np.array_equal(learned[~np.isnan(learned)], reward[~np.isnan(learned)]))
        taught = np.flatnonzero(single & ~np.isnan(learned))
        if len(taught) and not (learned[taught].min() >= 0 and learned[taught].max() <= 1):
            raise ReplayError(f"rewards reach from {learned[taught].min():g} to {learned[taught].max():g}; a target catalog learns from rewards in "
                              "[0, 1]: give a column label, of the catalog's outcomes, beside a reward in money")
        self._learned = learned
        back = _came_back(rows)[taught]
        order = np.lexsort((taught, back))
        self._taught, self._back = taught[order], back[order]
        self._candidate = np.array([one[0] if len(one) == 1 else -1 for one in rows.candidates], np.int32)[rows.kind]

    def learn_before(self, at_us: int, row: int) -> int | None:
        """Learn what had come back before this row was decided; until when beliefs then know enough, None where to the end."""
        stop = int(np.searchsorted(self._back, at_us, "right"))
        late = np.flatnonzero((self._back[self._done : stop] == at_us) & (self._taught[self._done : stop] >= row))
        stop = self._done + int(late[0]) if len(late) else stop
        part = self._taught[self._done : stop]
        if len(part):
            rows = self._rows
            backfill.teach(rows.encodable.take(part), rows.rank[part], self._candidate[part], self._learned[part], self._state)
        self._done = max(self._done, stop)
        enough = self._done + self._done // LEARNED_SHARE
        return int(self._back[enough]) if enough < len(self._back) else None


class _Asking:
    """The target's law on row after row, many at once."""

    def __init__(self, rows: _Rows, plan: Plan, keep_pmf: bool) -> None:
        n = len(rows.first)
        self._kept: list[tuple[Ints, Ints, Float]] | None = [] if keep_pmf else None
        self._single = np.array([one[0] if len(one) == 1 else -1 for one in rows.candidates], np.int64)
        self._several = np.array([len(one) > 1 for one in rows.candidates], np.bool_)
        self.n_rows = max(1, min(_ROWS_MAX, _BYTES_MAX // (300 * max(1, plan.n_candidates)), n))
        self.p_target, self.q_logged, self.q_target, self.unsupported = (np.zeros(n) for _ in range(4))
        self._rows, self._plan, self._work, self._done = rows, plan, Workspace(plan, self.n_rows), 0
        logged = {candidate for k in np.unique(rows.kind[rows.first]).tolist() for candidate in rows.candidates[k]}
        self._never = np.array([candidate not in logged for candidate in range(plan.n_candidates)], np.bool_)
        self._nothing, self._never_mass = 0.0, np.zeros(plan.n_candidates)
        if plan.null_candidate >= 0:
            self._never[plan.null_candidate] = False

    def ask(self, part: Ints, beliefs: Beliefs, histories: Sequence[Any]) -> None:
        """Decide these rows again, the next of those placed first."""
        rows, plan, work, n = self._rows, self._plan, self._work, len(part)
        table = rows.encodable.take(part)
        work.at_us[:n], work.channel_index[:n] = rows.at_us[part], rows.channel_index[part]
        work.noise_keys[:n], work.kinds[:n], work.limits[:n] = 0, plan.exploration.kind, 1

        def variables(r: int) -> Any:
            from nba_engine.facts.tables import row_of

            channel = int(rows.channel_index[part[r]])
            place = (plan.channel_ids[channel], plan.directions[channel]) if channel >= 0 else (None, None)
            return plan.encoder.variables(row_of(plan.encoder, rows.facts, int(part[r]), int(rows.at_us[part[r]]), *place))

        # Beliefs may grow between two calls, so that what scores them is made anew.
        judge(plan, Scorer(beliefs.features, beliefs.model, n), histories, backfill.encoded(table, plan), 1, work, variables)
        self._take(rows.kind[part], work.offsets[: n + 1])
        self._done += n

    def _take(self, kind: Ints, offsets: Ints) -> None:
        work, n, m = self._work, len(kind), int(offsets[-1])
        survivors, (propensity, pmf) = work.survivors[:m], work.judged[:, :m]
        row = np.repeat(np.arange(n), np.diff(offsets))
        chosen = survivors == self._single[kind][row]
        for r in np.flatnonzero(self._several[kind]).tolist():
            a, b = offsets[r : r + 2].tolist()
            chosen[a:b] = np.isin(survivors[a:b], self._rows.candidates[kind[r]])
        offered, never = survivors != self._plan.null_candidate, self._never[survivors]

        def total(of: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Float:
            return np.bincount(row[mask], of[mask], n)

        here = slice(self._done, self._done + n)
        p = self.p_target[here] = np.minimum(total(pmf, chosen), 1.0)
        self.q_logged[here] = np.divide(total(pmf * propensity, chosen), p, out=np.zeros(n), where=p > 0)
        self.q_target[here] = total(pmf * propensity, offered)
        self.unsupported[here] = np.minimum(total(pmf, never), 1.0)
        self._never_mass += np.bincount(survivors[never], pmf[never], len(self._never_mass))
        self._nothing += float(np.maximum(1.0 - total(pmf, offered), 0.0).sum())
        if self._kept is not None:
            size = len(self._plan.action_ids)
            place, own = np.unique(row * size + self._plan.action[survivors], return_inverse=True)
            self._kept.append((self._done + place // size, place % size, np.bincount(own, pmf, len(place))))

    @property
    def pmf(self) -> Pmf | None:
        """The whole law, over action_ids; where it was kept."""
        return None if self._kept is None else Pmf(len(self.p_target), *map(np.concatenate, zip(*self._kept, strict=True)))

    @property
    def offers_nothing(self) -> bool:
        return self._nothing > _CHANCE * len(self.p_target)

    @property
    def notes(self) -> list[str]:
        plan, n = self._plan, max(len(self.p_target), 1)
        found: list[str] = []
        n_gone = sum(not self._rows.candidates[k] for k in self._rows.kind[self._rows.first].tolist())
        if n_gone:
            found.append(f"{n_gone} rows chose what the catalog does not have: the target chooses it with probability 0")
        worst = int(np.argmax(self._never_mass))
        if self._never_mass.any():
            found.append(f"the log never shows {plan.candidate_actions[worst]!r}, on which the target puts {self._never_mass[worst] / n:.1%} of its "
                         f"choices ({self.unsupported.mean():.1%} on all that the log never shows)")
        if self.offers_nothing:
            found.append(f"the target offers nothing in {self._nothing / n:.1%} of the decisions, which earns 0; estimators that take the importance "
                         "weights to average 1 are left out: their mean is expected to lie that much under 1")
        if plan.control_groups:
            found.append("the catalog's control groups are left out: what is judged is its own law, for everybody")
        return found


def _shown(rows: _Rows, skipping: set[str]) -> npt.NDArray[np.bool_]:
    """Which offers reached the customer: as `presented` says; else those with a label (not one of skipping); else those with a reward."""
    names = rows.table.column_names
    if "presented" in names:
        return rows.table.column("presented").fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)
    if "label" in names:
        return np.array([label is not None and label not in skipping for label in rows.of("label")], np.bool_)
    return ~rows.table.column("reward").is_null().to_numpy()


def _came_back(rows: _Rows) -> Ints:
    """When each row's answer came back, int64[n] microseconds: as the log says, never before the decision."""
    if "outcome_at" not in rows.table.column_names:
        return rows.at_us
    return np.maximum(moments(rows.table, "outcome_at", -(2**62)), rows.at_us)


def _indices(column: Any) -> Ints:
    """Positions in the dictionary, one behind its end for null."""
    return column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
