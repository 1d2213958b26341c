"""A catalog made ready to be used, beside the state that goes on: what a reload swaps in, and how a catalog is named and written down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nba_engine.beliefs import Beliefs
from nba_engine.catalog.catalog import Catalog
from nba_engine.catalog.compiling import compile_plan
from nba_engine.challenger import Challenger
from nba_engine.contact.names import Names
from nba_engine.decision import Workspace
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.journal import codec
from nba_engine.numerics.random import key_of

if TYPE_CHECKING:
    from nba_engine.catalog.plan import Plan


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers of texts, names and entities, which only grow; equal sizes mean that nothing was added."""

    vocabulary: Vocabulary
    names: Names
    entities: dict[tuple[str, str], int]

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.vocabulary.size, self.names.size, len(self.entities)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A catalog made ready without touching any state: its plan, numbering, empty beliefs, challenger, workspace; the sizes it began with; what
    names a catalog that says the same; its entry."""

    plan: Plan
    numbering: Numbering
    beliefs: Beliefs
    challenger: Challenger | None
    work: Workspace
    began_with: tuple[int, int, int]
    key: str
    entry: bytes


def compiled_on(catalog: Catalog, numbering: Numbering) -> Compiled:
    """Compile `catalog` on top of `numbering`, which is taken over: the slow part of a reload, for which no lock is needed."""
    sizes = numbering.sizes
    plan = compile_plan(catalog, numbering.vocabulary, numbering.names, numbering.entities)
    return Compiled(plan, numbering, Beliefs(plan, list(numbering.entities)), challenger_of(plan, numbering.entities), Workspace(plan), sizes,
                    key_of_catalog(catalog), entry_of_catalog(catalog))


def key_of_catalog(catalog: Catalog) -> str:
    """The same for catalogs that say the same."""
    return f"{key_of(json.dumps(catalog.to_dict(), sort_keys=False)):016x}"


def entry_of_catalog(catalog: Catalog) -> bytes:
    return codec.pack(catalog.to_dict())


def challenger_of(plan: Plan, entities: Iterable[tuple[str, str]]) -> Challenger | None:
    return None if plan.catalog.definition.challenger is None else Challenger(plan, list(entities))
