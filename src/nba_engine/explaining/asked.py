"""Which rules a candidate must fulfil, from its issue's down to its treatment's, and under which place each is named where it is not true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nba_engine.catalog.catalog import RULE_STAGES, Catalog, levels_of
from nba_engine.catalog.loading import place_of

STAGES = ("available", *RULE_STAGES, "contact", "value", "arbitration", "offered")
"""Where a candidate may fall, in order; what is offered did not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One rule of a candidate. Where `text` is not true, the `parts` (place, text) that are not are named: the rule itself, or, where a decision
    table asks, the cells of all rows of the action."""

    stage: str
    text: str
    parts: tuple[tuple[str, str], ...]


def asked(catalog: Catalog, action_index: int, treatment: str | None) -> Iterator[Asked]:
    """The rules of an action in one of its treatments, stage by stage."""
    definition = catalog.definition
    action = definition.actions[action_index]
    own = [(("actions", action_index, "treatments", k), t) for k, t in enumerate(action.treatments) if t.id == treatment]
    levels = [*levels_of(definition, action_index), *own]
    for stage in RULE_STAGES:
        for path, level in levels:
            texts = getattr(level, stage)
            tables = catalog.rows_of.get((action.id, stage), []) if level is action else []
            n_own = len(texts) - len(tables)
            for k, text in enumerate(texts[:n_own]):
                yield Asked(stage, text, ((place_of((*path, stage, k)), text),))
            for text, rows in zip(texts[n_own:], tables, strict=True):
                yield Asked(stage, text, tuple((catalog.place(cell), condition) for row in rows for cell, condition in row.cells))
