"""The state of an engine and its journal as one: what is remembered where, and how it comes back after a restart.

An engine with a store writes every decision and outcome as an entry before the state changes, so the entries in their order are the state.
Reopening takes the latest snapshot (snapshots.py) and plays the entries behind it; decisions no longer at hand are rebuilt from their entries.
Everything here is called under the engine's lock but `commit` and `flush`.
"""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nba_engine import backfill
from nba_engine.beliefs import Beliefs
from nba_engine.catalog.catalog import Catalog
from nba_engine.catalog.compiling import compile_plan
from nba_engine.compiled import Compiled, Numbering, challenger_of, compiled_on, entry_of_catalog, key_of_catalog
from nba_engine.contact.history import Contacts
from nba_engine.decision import Judgement, Workspace
from nba_engine.errors import CatalogError, NbaError, RequestError, StoreError
from nba_engine.facts import values
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.health.watch import Seen, Watch
from nba_engine.journal import codec, entries
from nba_engine.learning import State, next_silence, on_return, place, reschedule, restore, schedule, take
from nba_engine.ledger import Kept, Ledger, OfferState
from nba_engine.lessons import Lesson, Succession, entry_of, layouts, lesson_of, written
from nba_engine.records import Decision, Outcome
from nba_engine.snapshots import Snapshots

if TYPE_CHECKING:
    import pyarrow as pa

    from nba_engine.catalog.plan import Plan
    from nba_engine.journal.store import Entry, Store

REPLAYED_ENTRIES_MAX = 5_000
"""An engine that had to play more entries than this at its start saves a snapshot at once, so that the next start need not."""


class Memory:
    """State and journal of one engine. `store` None keeps the state only."""

    def __init__(self, catalog: Catalog, store: str | Path | None, sync: Literal["disk", "os"], decisions_max: int) -> None:
        self._journal: Store | None = None
        self._decisions_max = decisions_max
        self._n_histories = 0
        if store is None:
            self._begin(catalog, key_of_catalog(catalog), None)
            return
        from nba_engine.journal.store import Store

        self._journal = Store(store, sync)
        try:
            self._recover(catalog, self._journal)
        except BaseException:
            self._journal.close()
            raise

    @property
    def forgets(self) -> bool:
        """Whether decisions have left that no store can bring back."""
        return self._journal is None and self.state.ledger.n_forgotten > 0

    def find(self, decision_id: str, before: int | None = None) -> Kept | None:
        """A decision at hand, or one rebuilt from its entries (those before a sequence number, if one is given)."""
        kept = self.state.ledger.find(decision_id)
        if kept is None and self._journal is not None:
            payload = self._journal.find(entries.DECISION, decision_id)
            if payload is not None:
                decision, entry = entries.unpack_decision(payload)
                kept = self._rebuilt(decision, entry)
                restore(self.state, kept, entry, self._later(decision_id, before))
                self.state.ledger.keep(kept)
        return kept

    def find_request(self, request_id: str) -> Kept | None:
        """The decision that answered a request."""
        kept = self.state.ledger.find_request(request_id)
        if kept is None and self._journal is not None:
            payload = self._journal.find(entries.REQUEST, request_id)
            kept = None if payload is None else self.find(payload.decode())
        return kept

    def remember_decision(self, kept: Kept, limit: int) -> None:
        """Queue the entry of a new decision; it is durable with the next outcome, or within a tenth of a second."""
        if self._journal is None:
            return
        self._save_if_due()
        decision, judgement = kept.decision, kept.judgement
        encoder = kept.plan.encoder
        facts, events, presented = encoder.facts_of(judgement.row), judgement.history, on_return(kept.plan, decision)
        try:
            payload = entries.pack_decision(decision, judgement.at_us, limit, facts, events, presented, plain=encoder.is_plain)
        except StoreError:  # values of other libraries, which the encoder takes and the codec does not
            payload = entries.pack_decision(decision, judgement.at_us, limit, _plain(facts, kept.plan), events, presented)
        if decision.request_id is not None:  # first: a request without its decision is harmless, the other way round it is not
            self._journal.append(entries.REQUEST, decision.request_id, judgement.at_us, decision.id.encode())
        self._journal.append(entries.DECISION, decision.id, judgement.at_us, payload)

    def remember_outcome(self, offer: OfferState, outcome: Outcome) -> None:
        """Queue the entry of an outcome."""
        if self._journal is None:
            return
        self._save_if_due()
        self._journal.append(entries.OUTCOME, outcome.decision_id, outcome.at_us, entries.pack_outcome(outcome, offer.position))

    def remember_taught(self, offer: OfferState, outcome: Outcome) -> None:
        """Queue what an outcome taught, so that it can be taken back after a restart too."""
        if self._journal is None or (lesson := offer.taught) is None or (reward := offer.reward) is None:
            return
        entry = entry_of(lesson, offer.position, reward, self._layouts)
        self._journal.append(entries.TAUGHT, outcome.decision_id, outcome.at_us, codec.pack_plain(entry))

    def advance(self, at_us: int) -> tuple[int, int]:
        """Let every time-out due by `at_us` count as an outcome, in the order of their deadlines; (how many, sequence number to commit)."""
        n_silent = 0
        while (silence := next_silence(self.state, at_us, self.find)) is not None:
            kept, offer, outcome = silence
            self.remember_outcome(offer, outcome)
            heapq.heappop(self.state.due)
            if take(self.state, kept, offer, outcome).learned:
                self.remember_taught(offer, outcome)
            n_silent += 1
        return n_silent, self.last_sequence

    def promote(self, at_us: int) -> int:
        """Put the challenger in charge; returns the sequence number to commit. RequestError where there is none."""
        challenger = self.state.challenger
        if challenger is None:
            raise RequestError("the catalog names no challenger; add a section such as challenger: beta_bernoulli and let it learn", "catalog")
        if self._journal is not None:
            self._journal.append(entries.PROMOTED, "", at_us, b"")
        self.state.beliefs = challenger.promote(self.state.beliefs, at_us)
        return self.last_sequence

    def seen(self) -> Seen:
        """What health has counted, in copies."""
        state = self.state
        return state.watch.seen(state.plan.catalog.definition.model.model_dump_json(), state.challenger, state.beliefs.crosses())

    @property
    def last_sequence(self) -> int:
        return 0 if self._journal is None else self._journal.last_sequence

    def learn(self, rows: pa.Table) -> tuple[int, int]:
        """Take history in, as `backfill.read` gave it; (rows that taught, sequence number to commit)."""
        past = backfill.Past(f"history {self.last_sequence} {self._n_histories}", rows)
        self._n_histories += 1
        if self._journal is not None:
            self._journal.append(entries.HISTORY, "", past.first_at_us, past.to_bytes())
            self._snapshots.count_rows(past.rows.num_rows)
        return backfill.apply(past, self.state), self.last_sequence

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return Numbering(self.state.vocabulary, self.state.contacts.names, self.state.entities).sizes

    def numbering(self) -> Numbering:
        """What compiling a catalog adds to, as it stands now, in copies."""
        state = self.state
        return Numbering(state.vocabulary.copied(), state.contacts.names.copied(), dict(state.entities))

    def use(self, catalog: Catalog, compiled: Compiled | None = None) -> bool:
        """Go on with `catalog`; False where `compiled` no longer fits, because names were numbered since: compile again. Without it, compile here.

        One that says what the present one does changes nothing. Nor does one that fails: its entry is written when all that can fail has not.
        """
        if compiled is not None and compiled.began_with != self._sizes:
            return False
        compiled = compiled or compiled_on(catalog, self.numbering())
        if compiled.key != self._catalog_key:
            self._switch(compiled, compiled.key, self._journal)
        return True

    def _switch(self, compiled: Compiled, key: str, journal: Store | None = None) -> None:
        state, plan, numbering = self.state, compiled.plan, compiled.numbering
        succession = Succession(state.plan, state.beliefs, state.challenger)
        beliefs = succession.hand_over(plan, compiled.beliefs, compiled.challenger, state.watch.n_taught)
        if journal is not None:
            journal.append(entries.CATALOG, key, 0, compiled.entry)
        state.beliefs, state.challenger = beliefs, compiled.challenger
        for one in written(beliefs, compiled.challenger):
            one.model.inherit(None)
        for kept in state.ledger.kept() if succession.moves else ():
            for offer in kept.touched:
                if offer.taught is not None:
                    offer.taught = succession.moved(offer.taught)
        state.vocabulary, state.contacts.names, state.entities = numbering.vocabulary, numbering.names, numbering.entities
        state.plan, state.work = plan, compiled.work
        state.contacts.retention = plan.contact_rules.retention
        state.watch.use(plan)
        reschedule(state)
        self._name(key)

    def _name(self, key: str) -> None:
        """Note which catalog this is, and the numbering of each of its models."""
        state = self.state
        self._catalog_key = key
        self._layouts = layouts(state.plan.catalog.definition, written(state.beliefs, state.challenger))

    def commit(self, sequence: int) -> None:
        """Return once every entry up to `sequence` is durable. Not under the engine's lock."""
        if self._journal is not None:
            self._journal.commit(sequence)

    def flush(self) -> None:
        if self._journal is not None:
            self._journal.flush()

    def close(self) -> None:
        """Save a snapshot of the state and close the journal."""
        if self._journal is None:
            return
        try:
            self._snapshots.save(self._journal.last_sequence, self.state, self._catalog_key)
        finally:
            self._journal.close()

    def _save_if_due(self) -> None:
        """Before an entry is queued, when the state is what the entries so far add up to."""
        self._snapshots.save_if_due(self.last_sequence, self.state, self._catalog_key)

    def _begin(self, catalog: Catalog, key: str, snapshot: Mapping[str, Any] | None) -> None:
        """A state under `catalog`: what the snapshot holds, or nothing learned."""
        vocabulary, contacts, entities = Vocabulary(), Contacts(), dict[tuple[str, str], int]()
        if snapshot is not None:
            vocabulary.load(snapshot["vocabulary"])
            contacts.load(snapshot["contacts"])
            entities.update({(level, name): i for i, (level, name) in enumerate(snapshot["beliefs"]["entities"])})
        plan = compile_plan(catalog, vocabulary, contacts.names, entities)
        contacts.retention = plan.contact_rules.retention
        beliefs, challenger = Beliefs(plan, list(entities)), challenger_of(plan, entities)
        if snapshot is not None:
            shadow = snapshot["challenger"]
            if challenger is not None and shadow is not None and shadow["contest"] == challenger.contest:
                if shadow["promoted_at_us"] is not None:
                    beliefs = challenger.promote(beliefs, shadow["promoted_at_us"])
                challenger.load(shadow)
            beliefs.load(snapshot["beliefs"])
        self.state = State(plan, beliefs, contacts, Ledger(self._decisions_max), vocabulary, entities, Workspace(plan), Watch(plan), challenger)
        if snapshot is not None:
            for one, life in zip(written(beliefs, challenger), snapshot.get("lives", ()), strict=False):
                one.life = life
            self.state.ledger.load(snapshot["ledger"])
            self.state.watch.load(snapshot["health"])
        self._name(key)

    def _recover(self, catalog: Catalog, journal: Store) -> None:
        """Take the latest snapshot, play the entries behind it under the catalogs of their time, then go on with `catalog`."""
        key = key_of_catalog(catalog)
        sequence, snapshot = _latest_snapshot(journal)
        self._snapshots = Snapshots(journal, sequence)
        is_new = journal.last_sequence == 0
        first = key if is_new else snapshot["catalog"] if snapshot else next((e.key for e in journal.read(0, (entries.CATALOG,))), "")
        before = None if first == key else self._written_catalog(journal.find(entries.CATALOG, first))
        self._begin(before or catalog, first, snapshot)
        for decision_id, position in () if snapshot is None else snapshot["waiting"]:
            if (kept := self.find(decision_id, sequence + 1)) is not None:
                schedule(self.state, kept, kept.offers[position])
        if self._replay(journal, sequence) > REPLAYED_ENTRIES_MAX:
            self._snapshots.save(journal.last_sequence, self.state, self._catalog_key)
        if self._catalog_key != key:
            self.use(catalog)
        elif is_new:
            journal.append(entries.CATALOG, key, 0, entry_of_catalog(catalog))

    def _replay(self, journal: Store, after: int) -> int:
        """Play entries through the very functions that made the state; returns how many."""
        n_entries = 0
        for entry in journal.read(after, (entries.CATALOG, entries.DECISION, entries.OUTCOME, entries.HISTORY, entries.PROMOTED)):
            try:
                self._play(entry)
            except StoreError:
                raise
            except Exception as error:  # it failed then as now, and its caller was told so: nothing acknowledged is left out
                warnings.warn(f"entry {entry.sequence} of the store ({entry.kind} {entry.key}) cannot be played and is left out ({error!r}); "
                              "please report this", RuntimeWarning, stacklevel=2)
            n_entries += 1
            self._snapshots.save_if_due(entry.sequence, self.state, self._catalog_key)
        return n_entries

    def _play(self, entry: Entry) -> None:
        if entry.kind == entries.CATALOG:
            written = self._written_catalog(entry.payload)
            if written is not None and entry.key != self._catalog_key:
                with suppress(NbaError):  # it was refused then as now
                    self._switch(compiled_on(written, self.numbering()), entry.key)
        elif entry.kind == entries.DECISION:
            place(self.state, self._rebuilt(*entries.unpack_decision(entry.payload)))
        elif entry.kind == entries.HISTORY:
            backfill.apply(backfill.from_bytes(entry.payload), self.state)
        elif entry.kind == entries.PROMOTED:
            if self.state.challenger is not None:
                self.state.beliefs = self.state.challenger.promote(self.state.beliefs, entry.at_us)
        else:
            self._replay_outcome(entry)

    def _written_catalog(self, payload: bytes | None) -> Catalog | None:
        """A catalog from its entry; None where this release no longer accepts it, and what follows is read under the next one."""
        try:
            return None if payload is None else Catalog.from_dict(codec.unpack(payload))
        except CatalogError:
            return None

    def _replay_outcome(self, entry: Entry) -> None:
        outcome, position = entries.unpack_outcome(entry.payload)
        kept = self.find(outcome.decision_id, entry.sequence)
        definition = self.state.plan.catalog.definition
        known = outcome.label in definition.outcomes and (outcome.reason is None or outcome.reason in definition.reasons)
        if kept is not None and known:  # else the catalog in use has no meaning for it; the entry itself stays in the journal
            offer = kept.offers[position]
            if take(self.state, kept, offer, outcome).learned and entry.sequence == self.last_sequence:
                self.remember_taught(offer, outcome)  # the process ended before it could

    def _rebuilt(self, decision: Decision, entry: Mapping[str, Any]) -> Kept:
        """A decision from its entry, as if it had just been made; facts that the present catalog declares otherwise are missing."""
        plan = self.state.plan
        channel_index = plan.channel_of.get(decision.channel or "", -1)
        direction = plan.directions[channel_index] if channel_index >= 0 else None
        row = plan.encoder.encode_again(entry["facts"], entry["at_us"], decision.channel, direction)
        candidates = [plan.candidate_of.get((o.action, o.treatment), -1) for o in decision.offers]
        judgement = _judgement(decision, row, entry["at_us"], channel_index, entry["contact_events"], candidates)
        return Kept(decision, judgement, plan)

    def _later(self, decision_id: str, before: int | None) -> Iterable[tuple[Outcome | None, int, float | None, Lesson | None]]:
        """What was recorded for a decision, in order: (outcome, position, -, -) or (None, position, reward, what was taught)."""
        assert self._journal is not None
        for entry in self._journal.entries_of(decision_id):
            if before is not None and entry.sequence >= before:
                return
            if entry.kind == entries.OUTCOME:
                yield *entries.unpack_outcome(entry.payload), None, None
            elif entry.kind == entries.TAUGHT:
                taught = codec.unpack(entry.payload)
                yield None, taught["position"], taught["reward"], lesson_of(taught, self._layouts)


def _latest_snapshot(journal: Store) -> tuple[int, dict[str, Any] | None]:
    """The newest snapshot that can be read, and what it is the sum of: every entry is kept, so that an older one, or none, gives the same state."""
    found = journal.latest_snapshot()
    while found is not None:
        sequence, payload = found
        try:
            return sequence, codec.unpack(payload)
        except StoreError as error:
            warnings.warn(f"snapshot {sequence} of the store is passed over, this start takes longer: {error}", RuntimeWarning, stacklevel=2)
        found = journal.latest_snapshot(sequence)
    return 0, None


def _plain(facts: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Facts as plain Python values of their declared types."""
    types = {column.name: column.type for column in plan.encoder.columns}
    return {name: value if value is None or name not in types else values.plain(value, types[name], name) for name, value in facts.items()}


def _judgement(decision: Decision, row: Any, at_us: int, channel_index: int, events: bytes, candidates: list[int]) -> Judgement:
    """What the entry still says of the judgement: the offers themselves, and nothing of the first slot's law."""
    judged = np.array([[o.propensity for o in decision.offers], [np.nan] * len(decision.offers)])
    survivors = np.array(candidates, np.int32).tobytes()
    return Judgement(row, at_us, channel_index, events, survivors, judged.tobytes(), tuple(candidates), decision.offers, decision.funnel)
