"""Engine: where everything meets. Holds the lock, the clock and the store; the arithmetic stands in the rooms below.

Facts are encoded by the calling thread; one lock covers the numeric part of a decision and every change of state (some hundred microseconds). A
disk is waited for outside the lock, by `flush` and by what tells something that must not be lost: `record`, `learn`, `advance`, `promote`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from nba_engine import backfill
from nba_engine.asking import SystemClock, check_catalog, check_engine, given_facts, moment_us, plain_limit, plain_texts, plain_value, same_request
from nba_engine.catalog.catalog import Catalog
from nba_engine.compiled import compiled_on
from nba_engine.contact.history import History
from nba_engine.decision import decide
from nba_engine.errors import NbaError, RequestError, StoreError, UnknownDecisionError
from nba_engine.explaining import explain
from nba_engine.health.report import Health, report
from nba_engine.learning import check_fits, known, meant, place, repeated, take
from nba_engine.ledger import Kept
from nba_engine.memory import Memory
from nba_engine.moments import moment_of
from nba_engine.ports import Clock, ProfileStore
from nba_engine.records import Decision, Explanation, Outcome, Receipt, unnamed
from nba_engine.sizes import sizes_of
from nba_engine.turns import FairLock

if TYPE_CHECKING:
    import pyarrow as pa

_ASKED = "subject", "channel", "interaction", "request_id"
_TOLD = "decision_id", "label", "action", "treatment", "reason", "agent", "event_id"
_COMPILED_AGAIN_MAX = 3


class Engine:
    """Decides what to offer next and learns from the answers. Any number of threads may use one engine.

    Parameters
    ----------
    catalog : what the business wrote down.
    store : a folder that holds everything durable; None keeps it in memory and forgets it at the end.
    seed : the same seed, catalog, calls and times give the same decisions.
    profiles : what is known of a subject; its facts are overridden, one by one, by those of a call. A mapping subject -> facts will do.
    clock : says what time it is where a call names none; the machine's by default.
    sync : "disk": `record` returns after the outcome would survive loss of power; "os": a killed process.
    explained_decisions_max : decisions kept at hand for `explain` and `record`; older ones are found in the store.

    Raises
    ------
    RequestError : an argument that cannot be meant, such as a file's name in place of a Catalog. StoreError : the folder cannot be used.

    Examples
    --------
    >>> engine = Engine(Catalog.from_dict({"facts": {"age": "int"}, "actions": [{"id": "club", "eligibility": "age >= 18"}]}))
    >>> [offer.action for offer in engine.decide("customer-42", facts={"age": 41}).offers]
    ['club']
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        store: str | Path | None = None,
        seed: int = 0,
        profiles: ProfileStore | Mapping[str, Mapping[str, Any]] | None = None,
        clock: Clock | None = None,
        sync: Literal["disk", "os"] = "disk",
        explained_decisions_max: int = 10_000,
    ) -> None:
        check_engine(catalog, store, seed, profiles, clock, sync, explained_decisions_max)
        self._lock = FairLock()
        self._seed = seed
        self._clock = clock or SystemClock()
        self._profile = None if profiles is None else profiles.get if isinstance(profiles, Mapping) else profiles.profile
        # Ids must differ between processes and restarts; nothing that is decided depends on them.
        self._id_prefix = os.urandom(8).hex()
        self._n_decisions = 0
        self._memory = Memory(catalog, store, sync, explained_decisions_max)
        self._closed = False

    def decide(
        self,
        subject: str,
        *,
        facts: Mapping[str, Any] | None = None,
        channel: str | None = None,
        limit: int = 1,
        interaction: str | None = None,
        request_id: str | None = None,
        at: datetime | int | None = None,
    ) -> Decision:
        """The next best actions for one subject now.

        Parameters
        ----------
        subject : who is asked for; any text.
        facts : this interaction's facts, over the stored profile's; null is None. Names that the catalog does not declare are ignored.
        channel : where it will be shown; None lets the treatments of all channels compete.
        limit : offers at most.
        interaction : names the interaction, so that repeats within it see the same noise; each call is its own without it.
        request_id : a repeat returns the same decision.
        at : aware datetime or epoch microseconds; the clock's time by default.

        Raises
        ------
        RequestError : an unknown channel, a time without a zone, a limit below 0, a request id used for another subject or channel.
        FactsError : a fact of the wrong type.

        Notes
        -----
        **Cost**: as README's table says (`make bench`): rules O(actions / 64 x facts), beliefs O(actions x active features), then O(survivors).
        """
        at_us = moment_us(at, self._clock)
        limit = plain_limit(limit)
        subject, channel, interaction, request_id = plain_texts(_ASKED, 1, subject, channel, interaction, request_id)
        try:
            given = given_facts(self._profile, subject, facts)
            state = self._memory.state
            plan, channel_index, direction = state.plan, *self._channel(channel)
            row = plan.encoder.encode(given, at_us, channel, direction)
        except NbaError:
            with self._lock:  # what was decided before needs no facts
                self._require_open()
                known = None if request_id is None else self._known_request(request_id)
            if known is None:
                raise
            return same_request(known, subject, channel)
        with self._lock:
            self._require_open()
            if request_id is not None and (known := self._known_request(request_id)) is not None:
                return same_request(known, subject, channel)
            if plan is not state.plan:  # a reload came in between
                plan, channel_index, direction = state.plan, *self._channel(channel)
                row = plan.encoder.encode(given, at_us, channel, direction)
            asked = state.ledger.subject(subject)
            key = interaction if interaction is not None else unnamed(asked.n_decisions + 1)
            control_group = plan.control_group(self._seed, subject)
            judgement = decide(plan, state.beliefs.scorer, state.contacts.history(subject), row, at_us, channel_index,
                               plan.noise_key(self._seed, subject, key, at_us), limit, state.work, control_group)
            self._n_decisions += 1
            decision = Decision(
                f"{self._id_prefix}-{self._n_decisions:x}", request_id, key, subject, channel, moment_of(at_us),
                judgement.offers, math.prod([offer.selection_probability for offer in judgement.offers], start=1.0), judgement.funnel,
                None if control_group is None else control_group.name, plan.version, state.beliefs.version, asked.first(interaction))
            kept = Kept(decision, judgement, plan)
            self._memory.remember_decision(kept, limit)
            place(state, kept)
        return decision

    def decide_batch(self, table: Any, *, limit: int = 1, threads: int = 1, progress: Callable[[int, int], None] | None = None) -> pa.Table:
        """The next best actions for many subjects: a question only, of which nothing is remembered.

        Parameters
        ----------
        table : anything that exports Arrow (a Table, a data frame, a dict of columns): `subject`, optionally `channel`, `at`, `interaction`,
            `request_id`, a column per fact (`fact.at` for a fact `at`). A null cell is a fact given as null; in `channel` it means all, in `at` now.
        limit : offers per row at most. threads : how many work at once. progress : called with the rows done and all rows.

        Returns
        -------
        A row per offer, in order of the requests: `row` (the request's place), `subject`, `at`, `interaction`, `request_id`, `rank`, the fields of
        `Offer`, `slate_probability`, `control_group`; a request without offers has one row whose rank and action are null. The same as
        `decide` would have answered one by one under the beliefs of the start. With a column `label` (and the facts) it is what `learn` takes.

        Raises
        ------
        RequestError : `subject` is missing, a channel is unknown; FactsError : a fact of the wrong type. RequestError names the row.

        Notes
        -----
        **Cost**: as README's table says (`make bench`). Live decisions go on meanwhile; the engine's lock is held to look at histories only.
        """
        from nba_engine.batch.answering import Standing, answer, with_repeats
        from nba_engine.batch.requests import interaction_keys, read, repeats

        limit = plain_limit(limit)
        with self._lock:
            self._require_open()
            state = self._memory.state
            plan = state.plan
            standing = Standing(plan, plan.encoder.frozen(), state.beliefs.frozen(), self._histories, self._profile, self._seed)
        requests = read(table, plan, self._clock.now_us())
        with self._lock:
            again, known = repeats(requests, plan, self._known_request)
            kept = [row for row in range(len(requests)) if row not in again and row not in known]
            asked = requests.take(kept) if again or known else requests
            keys = interaction_keys(asked, state.ledger.n_decisions)
        found = answer(standing, asked, keys, limit, threads, progress)
        return with_repeats(found, kept, again, known) if again or known else found

    def record(
        self,
        decision_id: str,
        label: str,
        *,
        action: str | None = None,
        treatment: str | None = None,
        reason: str | None = None,
        value: float | None = None,
        agent: str | None = None,
        event_id: str | None = None,
        at: datetime | int | None = None,
    ) -> Receipt:
        """Tell what came back for an offer. The next decision, on any channel, already knows.

        Parameters
        ----------
        decision_id, action, treatment : which offer; `action` may be left out where the slate has one offer.
        label, reason : of the catalog's `outcomes` and `reasons`.
        value : money that came of it, in place of the label's own.
        agent : who handled it; kept for reports.
        event_id : makes a repeated delivery harmless, within its decision. Without one, a repeat of the offer's answer and reason is the duplicate.
        at : when it happened; the clock's time by default.

        Raises
        ------
        UnknownDecisionError : no such decision, or it is no longer kept. RequestError : an argument of another type or range.
        OutcomeError : an unknown label, reason or action, or one that does not fit the offer.
        StoreError : the outcome could not be made durable; record it again.
        """
        at_us = moment_us(at, self._clock)
        decision_id, label, action, treatment, reason, agent, event_id = plain_texts(
            _TOLD, 2, decision_id, label, action, treatment, reason, agent, event_id)
        value = plain_value(value)
        with self._lock:
            self._require_open()
            state = self._memory.state
            kept = state.ledger.find(decision_id) or self._kept(decision_id)
            offer = meant(kept, action, treatment)
            spec = known(state, label, reason)
            outcome = Outcome(decision_id, offer.record.action, offer.record.treatment, label, at_us, reason, value, agent, event_id)
            receipt = repeated(kept, offer, spec, outcome)
            if receipt is None:
                check_fits(offer, spec, outcome)
                self._memory.remember_outcome(offer, outcome)
                receipt = take(state, kept, offer, outcome)
                if receipt.learned:
                    self._memory.remember_taught(offer, outcome)
            sequence = self._memory.last_sequence
        self._memory.commit(sequence)
        return receipt

    def learn(self, table: Any) -> int:
        """Take in history from elsewhere, in time order: contact history and models. A row that `revokes` takes back the latest such row before.

        Parameters
        ----------
        table : anything that pyarrow reads (a Table, a data frame with an Arrow stream, a dict of columns); columns `subject`, `channel`, `at`,
            `action`, `label`, the facts (`fact.at` for a fact `at`), optionally `treatment`, `reason`, `rank` (from 1), `selection_probability`.

        Returns
        -------
        How many rows taught the models.

        Raises
        ------
        RequestError : a column is missing, an action or channel is unknown; OutcomeError : a label or reason is. Nothing is learned then.
        """
        plan = self._memory.state.plan
        rows = backfill.read(table, plan)
        with self._lock:
            self._require_open()
            if plan is not self._memory.state.plan:  # a reload came in between
                rows = backfill.read(table, self._memory.state.plan)
            n_taught, sequence = self._memory.learn(rows)
        self._memory.commit(sequence)
        return n_taught

    def explain(self, decision_id: str) -> Explanation:
        """Every action of a decision: where it fell and all that stopped it, or its terms and rank. `print` it. Raises UnknownDecisionError."""
        with self._lock:
            self._require_open()
            kept = self._kept(*plain_texts(["decision_id"], 1, decision_id))
        return explain(kept, self._lock, lambda: self._memory.state.beliefs)

    def advance(self, at: datetime | int | None = None) -> int:
        """Apply the time-outs due by `at` (the clock's time by default); returns how many offers fell silent."""
        at_us = moment_us(at, self._clock)
        with self._lock:
            self._require_open()
            n_silent, sequence = self._memory.advance(at_us)
        self._memory.commit(sequence)
        return n_silent

    def reload(self, catalog: Catalog) -> None:
        """Take another catalog into use between two decisions. Beliefs are kept by name, also for actions that leave and come back.

        It is compiled beside the decisions going on, which wait only while beliefs are copied (some 10 ns per feature and action).
        """
        check_catalog(catalog)
        for _ in range(_COMPILED_AGAIN_MAX):
            with self._lock:
                self._require_open()
                numbering = self._memory.numbering()
            compiled = compiled_on(catalog, numbering)
            with self._lock:
                self._require_open()
                if self._memory.use(catalog, compiled):
                    return
        with self._lock:  # texts are being learned faster than the catalog compiles
            self._require_open()
            self._memory.use(catalog)

    def health(self) -> Health:
        """How the models do (docs/health.md): `print` it, or take its Arrow tables. Cost: some 50 us per action, the lock for a tenth of it."""
        with self._lock:
            self._require_open()
            seen = self._memory.seen()
        return report(seen)

    def promote(self) -> None:
        """Put the catalog's challenger in charge, and the model that was into the shadow; once more is the way back. RequestError without one."""
        with self._lock:
            self._require_open()
            sequence = self._memory.promote(self._clock.now_us())
        self._memory.commit(sequence)

    def warm(self) -> float:
        """Compile every kernel of the decision path, or load it from the cache; returns the seconds it took."""
        from nba_engine.warming import warm

        return warm(self.catalog.definition.model_kinds)

    def memory(self) -> dict[str, int]:
        """Bytes held by each of the engine's tables, largest first. Cost: O(decisions at hand + subjects), some milliseconds."""
        with self._lock:
            self._require_open()
            return sizes_of(self._memory.state)

    def flush(self) -> None:
        """Return once everything so far is durable."""
        self._memory.flush()

    def close(self) -> None:
        """Save what was learned and let the store go. A closed engine answers nothing; closing twice is harmless."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._memory.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def catalog(self) -> Catalog:
        """The catalog in use."""
        return self._memory.state.plan.catalog

    @property
    def beliefs_version(self) -> int:
        """Counts every change of what is believed."""
        return self._memory.state.beliefs.version

    @property
    def unknown_facts(self) -> frozenset[str]:
        """Names that came as facts and that the catalog does not declare; each once."""
        return frozenset(self._memory.state.plan.encoder.unknown_names)

    def _known_request(self, request_id: str) -> Decision | None:
        known = self._memory.find_request(request_id)
        return None if known is None else known.decision

    def _histories(self, subjects: Sequence[str]) -> list[History]:
        """Copies of contact histories, so that they may be read while others record."""
        with self._lock:
            contacts = self._memory.state.contacts
            return [contacts.history(subject).copied() for subject in subjects]

    def _channel(self, channel: str | None) -> tuple[int, str | None]:
        plan = self._memory.state.plan
        if channel is None:
            return -1, None
        try:
            index = plan.channel_of[channel]
        except KeyError:
            known = ", ".join(plan.channel_ids) or "none"
            raise RequestError(f"channel {channel!r} is not in the catalog; known are {known}, or None for all", "channel") from None
        return index, plan.directions[index]

    def _kept(self, decision_id: str) -> Kept:
        kept = self._memory.find(decision_id)
        if kept is not None:
            return kept
        hint = "it may have left the memory: raise explained_decisions_max, or give the engine a store" if self._memory.forgets else "check the id"
        raise UnknownDecisionError(f"no decision {decision_id!r} is known; {hint}", decision_id)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("this engine is closed; make a new one")
