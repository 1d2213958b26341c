"""The state of an engine and its journal as one: what is remembered where, and how it comes back after a restart.

An engine with a store writes every decision and outcome as an entry before the state changes, so the entries in their order are the state.
Reopening takes the latest snapshot and plays the entries behind it; decisions that are no longer at hand are rebuilt from their entries.
Everything here is called under the engine's lock but `commit` and `flush`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nba_engine import backfill
from nba_engine.arbitration.slates import Slate
from nba_engine.beliefs import Beliefs
from nba_engine.catalog.catalog import Catalog
from nba_engine.catalog.compiling import compile_plan
from nba_engine.contact.history import EVENT, Contacts
from nba_engine.decision import Judgement
from nba_engine.errors import OutcomeError
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.journal import codec, entries
from nba_engine.learning import Silence, State, place, restore, schedule, take
from nba_engine.ledger import Kept, Ledger, OfferState
from nba_engine.models.contract import Receipt as ModelReceipt
from nba_engine.numerics.random import key_of
from nba_engine.records import Decision, Outcome

if TYPE_CHECKING:
    from nba_engine.journal.store import Entry, Store


class Memory:
    """State and journal of one engine. `store` None keeps the state only."""

    def __init__(self, catalog: Catalog, store: str | Path | None, sync: Literal["disk", "os"], decisions_max: int) -> None:
        self._journal: Store | None = None
        self._n_histories = 0
        vocabulary, contacts, entities = Vocabulary(), Contacts(), dict[tuple[str, str], int]()
        snapshot: tuple[int, dict[str, Any]] | None = None
        if store is not None:
            from nba_engine.journal.store import Store

            self._journal = Store(store, sync)
            snapshot = self._latest_snapshot()
        if snapshot is not None:
            vocabulary.load(snapshot[1]["vocabulary"])
            contacts.load(snapshot[1]["contacts"])
            entities.update({(level, name): i for i, (level, name) in enumerate(snapshot[1]["beliefs"]["entities"])})
        plan = compile_plan(catalog, vocabulary, contacts.names, entities)
        contacts.retention = plan.contact_rules.retention
        self.state = State(plan, Beliefs(plan, list(entities)), contacts, Ledger(decisions_max), vocabulary, entities)
        if snapshot is not None:
            self._load(snapshot[1])
        if self._journal is not None:
            self._replay(snapshot[0] if snapshot else 0)

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
                kept = self._revive(payload, before)
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
        decision, judgement = kept.decision, kept.judgement
        facts = {name: judgement.row.facts[name] for name in kept.plan.encoder.given_names(judgement.row)}
        payload = entries.pack_decision(decision, judgement.at_us, limit, facts, judgement.history.tobytes())
        self._journal.append(entries.DECISION, decision.id, judgement.at_us, payload)
        if decision.request_id is not None:
            self._journal.append(entries.REQUEST, decision.request_id, judgement.at_us, decision.id.encode())

    def remember_outcome(self, position: int, outcome: Outcome) -> int:
        """Queue the entry of an outcome; returns the sequence number to commit."""
        if self._journal is None:
            return 0
        return self._journal.append(entries.OUTCOME, outcome.decision_id, outcome.at_us, entries.pack_outcome(outcome, position))

    def remember_taught(self, kept: Kept, position: int, at_us: int) -> None:
        """Queue what an outcome taught, so that it can be taken back after a restart too."""
        offer = kept.offers[position]
        if self._journal is None or offer.taught is None:
            return
        payload = {"position": position, "reward": offer.reward, "receipt": offer.taught.to_bytes(), "layout": self._layout()}
        self._journal.append(entries.TAUGHT, kept.decision.id, at_us, codec.pack(payload))

    def remember_silence(self, silent: Iterable[Silence]) -> int:
        """Queue the time-outs that were applied, as outcomes; returns the sequence number to commit."""
        for kept, position, outcome in silent:
            self.remember_outcome(position, outcome)
            self.remember_taught(kept, position, outcome.at_us)
        return self.last_sequence

    @property
    def last_sequence(self) -> int:
        return 0 if self._journal is None else self._journal.last_sequence

    def learn(self, table: Any) -> tuple[int, int]:
        """Take history in; (rows that taught, sequence number to commit)."""
        rows = backfill.read(table, self.state, f"history {self.last_sequence} {self._n_histories}")
        self._n_histories += 1
        if self._journal is not None:
            self._journal.append(entries.HISTORY, "", rows.first_at_us, rows.to_bytes())
        return backfill.apply(rows, self.state), self.last_sequence

    def use(self, catalog: Catalog) -> None:
        """Compile `catalog` and go on with it; a catalog that does not compile changes nothing but the numbering of names."""
        state = self.state
        plan = compile_plan(catalog, state.vocabulary, state.contacts.names, state.entities)
        beliefs = Beliefs(plan, list(state.entities))
        beliefs.load(state.beliefs.state())
        for kept in state.ledger.kept():
            for offer in kept.offers:
                if offer.taught is not None:
                    offer.taught = beliefs.moved(offer.taught, state.beliefs)
        state.plan, state.beliefs = plan, beliefs
        state.contacts.retention = plan.contact_rules.retention

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
            self._journal.save_snapshot(self._journal.last_sequence, codec.pack(self._snapshot()))
        finally:
            self._journal.close()

    def _snapshot(self) -> dict[str, Any]:
        state = self.state
        waiting = {kept.decision.id: None for _, _, position, kept in state.due if kept.offers[position].label is None}
        return {"vocabulary": state.vocabulary.state(), "contacts": state.contacts.state(), "beliefs": state.beliefs.state(),
                "ledger": state.ledger.state(), "waiting": list(waiting)}

    def _latest_snapshot(self) -> tuple[int, dict[str, Any]] | None:
        found = None if self._journal is None else self._journal.latest_snapshot()
        return None if found is None else (found[0], codec.unpack(found[1]))

    def _load(self, snapshot: dict[str, Any]) -> None:
        self.state.beliefs.load(snapshot["beliefs"])
        self.state.ledger.load(snapshot["ledger"])
        for decision_id in snapshot["waiting"]:
            kept = self.find(decision_id)
            if kept is not None:
                for position in range(len(kept.offers)):
                    schedule(self.state, kept, position)

    def _replay(self, after: int) -> None:
        """Play the entries behind the snapshot through the very functions that made the state."""
        assert self._journal is not None
        for entry in self._journal.read(after, (entries.DECISION, entries.OUTCOME, entries.HISTORY)):
            if entry.kind == entries.DECISION:
                place(self.state, self._revive(entry.payload, entry.sequence))
            elif entry.kind == entries.HISTORY:
                backfill.apply(backfill.from_bytes(entry.payload), self.state)
            else:
                self._replay_outcome(entry)

    def _replay_outcome(self, entry: Entry) -> None:
        outcome, position = entries.unpack_outcome(entry.payload)
        kept = self.find(outcome.decision_id, before=entry.sequence)
        definition = self.state.plan.catalog.definition
        known = outcome.label in definition.outcomes and (outcome.reason is None or outcome.reason in definition.reasons)
        if kept is None or not known:
            return  # the catalog of today has no meaning for it; the entry itself stays in the journal
        try:
            take(self.state, kept, position, outcome)
        except OutcomeError:
            return

    def _revive(self, payload: bytes, before: int | None) -> Kept:
        """A decision from its entry, the state of its offers from the outcomes recorded before a sequence number."""
        assert self._journal is not None
        decision, entry = entries.unpack_decision(payload)
        plan = self.state.plan
        channel_index = plan.channel_of.get(decision.channel or "", -1)
        direction = plan.directions[channel_index] if channel_index >= 0 else None
        row = plan.encoder.encode(entry["facts"], entry["at_us"], decision.channel, direction)
        candidates = [plan.candidate_of.get((o.action, o.treatment), -1) for o in decision.offers]
        events = np.frombuffer(entry["contact_events"], EVENT)
        kept = Kept(decision, _judgement(decision, row, entry["at_us"], channel_index, events, candidates), plan, [OfferState(c) for c in candidates])
        restore(self.state, kept, self._later(decision.id, before))
        return kept

    def _later(self, decision_id: str, before: int | None) -> Iterable[tuple[Outcome | None, int, float | None, ModelReceipt | None]]:
        """What was recorded for a decision, in order: (outcome, position, -, -) or (None, position, reward, what was taught)."""
        assert self._journal is not None
        for entry in self._journal.entries_of(decision_id):
            if before is not None and entry.sequence >= before:
                return
            if entry.kind == entries.OUTCOME:
                yield *entries.unpack_outcome(entry.payload), None, None
            elif entry.kind == entries.TAUGHT:
                taught = codec.unpack(entry.payload)
                receipt = ModelReceipt.from_bytes(taught["receipt"]) if taught["layout"] == self._layout() else None
                yield None, taught["position"], taught["reward"], receipt

    def _layout(self) -> int:
        """Names the numbering of features; a receipt of another numbering cannot be taken back."""
        return key_of(repr(self.state.beliefs.features.names))


def _judgement(decision: Decision, row: Any, at_us: int, channel_index: int, events: Any, candidates: list[int]) -> Judgement:
    """What the entry still says of the judgement: the offers' own terms."""
    n = len(decision.offers)
    terms = np.array([[o.value, o.context_weight, o.lever, o.cost] for o in decision.offers]).reshape(n, 4).T
    propensity = np.array([o.propensity for o in decision.offers])
    probability = np.array([o.selection_probability for o in decision.offers])
    slate = Slate(np.arange(n, dtype=np.int32), probability, probability, False, 1.0)
    return Judgement(row, at_us, channel_index, events, np.array(candidates, np.int32), np.ascontiguousarray(terms), propensity, np.zeros(n), slate,
                     dict(decision.funnel))
