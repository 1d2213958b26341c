"""A store as one Parquet file for analysts: a row per offered candidate, with what was known then and what became of it.

The entries of a journal are never thinned out: snapshots stand beside them. So every decision that was committed is exported. Not exported
are history that `learn` took in (it stands under no decision and has no probabilities), beliefs, and contact history.

What became of an offer is worked out by `learning.restore`, the very function by which an engine brings back a decision that has left its
memory: replaced answers, answers taken back and time-outs read here as they do there, under the latest catalog in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from nba_engine.catalog.catalog import Catalog
from nba_engine.decision import Judgement
from nba_engine.errors import CatalogError, FactsError, NbaError, RequestError, StoreError
from nba_engine.facts import values
from nba_engine.facts.tables import FACT_PREFIX
from nba_engine.journal import codec, entries
from nba_engine.journal.store import Store
from nba_engine.learning import State, restore
from nba_engine.ledger import Kept, OfferState
from nba_engine.memory import Memory
from nba_engine.records import Decision, Outcome
from nba_engine.schema import Type

if TYPE_CHECKING:
    from nba_engine.journal.store import Entry

ROWS_PER_GROUP = 16_384
"""Rows that are held before they are written; the bound of what an export keeps in memory."""

_MOMENT = pa.timestamp("us", "UTC")
_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("decision_id", pa.string()), ("request_id", pa.string()), ("interaction", pa.string()), ("subject", pa.string()), ("channel", pa.string()),
    ("asked_channel", pa.string()), ("at", _MOMENT), ("rank", pa.int32()), ("action", pa.string()), ("treatment", pa.string()),
    ("propensity", pa.float64()), ("value", pa.float64()), ("context_weight", pa.float64()), ("lever", pa.float64()), ("cost", pa.float64()),
    ("priority", pa.float64()), ("selection_probability", pa.float64()), ("slate_probability", pa.float64()), ("control_group", pa.string()),
    ("catalog_version", pa.string()), ("beliefs_version", pa.int64()), ("presented", pa.bool_()), ("label", pa.string()),
    ("reason", pa.string()), ("reward", pa.float64()), ("outcome_at", _MOMENT), ("outcome_value", pa.float64()),
    ("agent", pa.string()), ("event_id", pa.string()),
)  # fmt: skip
_SCALARS = {"bool": pa.bool_(), "int": pa.int64(), "uint": pa.uint64(), "double": pa.float64(), "string": pa.string(), "bytes": pa.binary(),
            "timestamp": _MOMENT, "duration": pa.duration("us")}
_AS_IT_IS = {"bool": bool, "int": int, "double": float, "string": str}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `n_unfit_facts`: values that the latest declaration of their fact cannot hold; they are null in the file."""

    n_decisions: int
    n_offers: int
    n_answered: int
    n_unfit_facts: int


def export(folder: str | Path, path: str | Path, progress: Callable[[int, int], None] | None = None) -> Exported:
    """Write every decision in the store `folder` to the Parquet file `path`.

    A decision without offers is one row whose action is null. `channel` is where the offer was made, `asked_channel` what `decide` was asked
    for (null: all channels competed). `label`, `reason`, `reward`, `outcome_at`, `outcome_value`, `agent` and `event_id` are those of the offer's
    present answer; `outcome_value` is the money recorded with it, or the label's own. Every declared fact is a column of its type, under its name or,
    where that is taken, as `fact.<name>`; a fact that was not given is null. An answer that was taken back has no row of its own, so `learn` may
    find nothing that such a label takes back: it then teaches nothing.

    Parameters
    ----------
    folder : what was given to an engine as `store`. No engine may have it open: the export takes its lock, and an engine that starts meanwhile
        is refused. Nothing in it changes.
    path : a file that ends in .parquet, replaced as a whole once everything is written.
    progress : called now and then with how many entries of how many have been read.

    Raises
    ------
    StoreError : there is no store, an engine has it open, or it is damaged. RequestError : the file cannot be written.

    Notes
    -----
    **Cost**: some 10,000 decisions a second; memory for ROWS_PER_GROUP rows.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise RequestError(f"{path} is a folder or a device and cannot be written as a file is; name a file", "path")
    if Path(path).suffix.lower() != ".parquet":  # whoever reads it goes by its name
        raise RequestError(f"{path} does not end in .parquet, and Parquet is what is written; name the file so", "path")
    with _opened(folder) as (store, table):
        partial = Path(path).with_name(Path(path).name + ".partial")
        try:
            with pq.ParquetWriter(partial, table.schema, compression="zstd") as writer:
                for batch in _batches(store, table, progress):
                    writer.write_batch(batch)
            partial.replace(path)
        except OSError as error:
            raise RequestError(f"{path} cannot be written ({error.strerror or error}); choose a file in a folder that can be", "path") from error
        finally:
            partial.unlink(missing_ok=True)
    return Exported(table.n_decisions, table.n_offers, table.n_answered, table.n_unfit_facts)


def read_store(folder: str | Path) -> pa.Table:
    """What `export` writes, as a table in memory; the same errors."""
    with _opened(folder) as (store, table):
        return pa.Table.from_batches(_batches(store, table, None), table.schema)


def latest_catalog(folder: str | Path) -> Catalog:
    """The catalog under which a store was used last. StoreError as for `export`."""
    with _opened(folder) as (_, table):
        return table.catalog


@contextmanager
def _opened(folder: str | Path) -> Iterator[tuple[Store, _Table]]:
    if not (Path(folder) / "journal.sqlite").is_file():
        raise StoreError(f"there is no store in {folder}; name the folder that an engine was given as store=")
    store = Store(folder, "os")
    try:
        yield store, _Table(*_state(store, folder))
    finally:
        store.close()


def _batches(store: Store, table: _Table, progress: Callable[[int, int], None] | None) -> Iterator[pa.RecordBatch]:
    for entry in store.read(kinds=(entries.DECISION,)):
        table.add(entry, store.entries_of(entry.key))
        if len(table.rows) >= ROWS_PER_GROUP:
            yield table.taken()
            if progress is not None:
                progress(entry.sequence, store.last_sequence)
    if table.rows:
        yield table.taken()
    if progress is not None:
        progress(store.last_sequence, store.last_sequence)


class _Fact(NamedTuple):
    """A fact's column: what it is called there, the fact, its type."""

    column: str
    name: str
    type: Type


class _At(NamedTuple):
    """All that `restore` asks of a judgement."""

    at_us: int


class _Table:
    """Rows on their way to the file, and what has been counted."""

    def __init__(self, state: State, facts: Mapping[str, Type]) -> None:
        taken = {name for name, _ in _COLUMNS}
        self.rows: list[tuple[Any, ...]] = []
        self.n_decisions = self.n_offers = self.n_answered = self.n_unfit_facts = 0
        self._facts = [_Fact(f"{FACT_PREFIX}{name}" if name in taken else name, name, type_) for name, type_ in facts.items()]
        self._state = state
        self.catalog = state.plan.catalog
        self.schema = pa.schema([*_COLUMNS, *((fact.column, _arrow_type(fact.type)) for fact in self._facts)])

    def add(self, entry: Entry, related: Sequence[Entry]) -> None:
        """The rows of one decision; `related` are all entries under its id."""
        decision, written = entries.unpack_decision(entry.payload)
        offers, answers = self._left(decision, written, related)
        facts = tuple(self._fact(written["facts"], fact) for fact in self._facts)
        head = decision.id, decision.request_id, decision.interaction, decision.subject
        tail = decision.slate_probability, decision.control_group, decision.catalog_version, decision.beliefs_version
        if not offers:
            self.rows.append((*head, decision.channel, decision.channel, entry.at_us, *[None] * 10, *tail, *[None] * 8, *facts))
        for offer, left, answer in zip(decision.offers, offers, answers, strict=True):
            self.rows.append((
                *head, offer.channel or decision.channel, decision.channel, entry.at_us, offer.rank, offer.action, offer.treatment,
                offer.propensity, offer.value, offer.context_weight, offer.lever, offer.cost, offer.priority, offer.selection_probability, *tail,
                left.presented_at_us is not None, left.label, left.reason, left.reward, *self._recorded(answer), *facts,
            ))  # fmt: skip
        self.n_decisions += 1
        self.n_offers += len(offers)
        self.n_answered += sum(left.label is not None for left in offers)

    def taken(self) -> pa.RecordBatch:
        """The rows so far, which leave."""
        columns = zip(zip(*self.rows, strict=True), self.schema, strict=True)
        batch = pa.record_batch([pa.array(column, field.type) for column, field in columns], schema=self.schema)
        self.rows = []
        return batch

    def _left(self, decision: Decision, written: Mapping[str, Any], related: Sequence[Entry]) -> tuple[list[OfferState], list[Outcome | None]]:
        """How the offers were left, and the outcome that says so of each."""
        kept = Kept(decision, cast("Judgement", _At(written["at_us"])), self._state.plan, [OfferState(offer, -1) for offer in decision.offers])
        told = list(_told(related))
        restore(self._state, kept, written, ((outcome, position, reward, None) for outcome, position, reward in told))
        answers: list[Outcome | None] = [None] * len(kept.offers)
        for outcome, position, _ in told:
            if outcome is not None and (outcome.label, outcome.reason) == (kept.offers[position].label, kept.offers[position].reason):
                answers[position] = outcome
        return kept.offers, answers

    def _recorded(self, answer: Outcome | None) -> tuple[int | None, float | None, str | None, str | None]:
        """When an answer came and what it was worth, from whom and as which event."""
        if answer is None:
            return None, None, None, None
        label = self._state.plan.catalog.definition.outcomes.get(answer.label)
        value = answer.value if answer.value is not None or label is None else label.value
        return answer.at_us, value, answer.agent, answer.event_id

    def _fact(self, given: Mapping[str, Any], fact: _Fact) -> Any:
        try:
            return _value(given, fact.name, fact.type)
        except FactsError:
            self.n_unfit_facts += 1
            return None


def _state(store: Store, folder: str | Path) -> tuple[State, dict[str, Type]]:
    """A state under the latest catalog in the store, with nothing learned; every fact that any of its catalogs declares, the latest type of each."""
    catalogs: dict[str, Catalog] = {}
    for entry in store.read(kinds=(entries.CATALOG,)):
        try:
            catalogs[entry.key] = catalogs.pop(entry.key, None) or Catalog.from_dict(codec.unpack(entry.payload))
        except CatalogError:  # one that this release no longer accepts
            continue
    facts = {fact.name: fact.type for catalog in catalogs.values() for fact in catalog.facts}
    for catalog in reversed(catalogs.values()):
        try:
            return Memory(catalog, None, "os", 1).state, facts
        except NbaError:  # written down before it was refused
            continue
    raise StoreError(f"the store in {folder} holds no catalog that this release can use; open it with an engine and a catalog first")


def _told(related: Sequence[Entry]) -> Iterator[tuple[Outcome | None, int, float | None]]:
    """What was recorded for a decision, in order: (outcome, position, -), or (None, position, reward) after an outcome that taught."""
    for entry in related:
        if entry.kind == entries.OUTCOME:
            yield *entries.unpack_outcome(entry.payload), None
        elif entry.kind == entries.TAUGHT:
            taught = codec.unpack(entry.payload)
            yield None, taught["position"], taught["reward"]


def _arrow_type(type_: Type) -> pa.DataType:
    """The column type of a fact; what may hold anything is JSON text."""
    if type_.kind == "struct":
        return pa.struct([(name, _arrow_type(inside)) for name, inside in type_.fields])
    if type_.kind in ("list", "map") and all(inside.kind in _SCALARS for inside in type_.parameters):
        inside = [_SCALARS[parameter.kind] for parameter in type_.parameters]
        return pa.list_(*inside) if type_.kind == "list" else pa.map_(*inside)
    return _SCALARS.get(type_.kind, pa.string())


def _value(given: Mapping[str, Any], name: str, type_: Type) -> Any:
    """One fact as its column takes it; `given` has the fields of structs under their paths. FactsError where it does not fit."""
    if type_.kind == "struct":
        fields = {field: _value(given, f"{name}.{field}", inside) for field, inside in type_.fields}
        return fields if any(value is not None for value in fields.values()) else None
    value = given.get(name)
    if value is None or type(value) is _AS_IT_IS.get(type_.kind):
        return value
    value = values.plain(value, type_, name)
    if _arrow_type(type_) == pa.string() and type_.kind != "string":
        return json.dumps(value, default=str)
    return list(value.items()) if type_.kind == "map" else value
