"""How much an engine holds, table by table. Arrays are counted exactly, Python objects at the sizes stated here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nba_engine.learning import State

TEXT_BYTES = 150
"""One text and its code in a mapping, measured over texts of 10 to 30 letters."""
DECISION_BYTES = 2_500
"""A decision at hand besides its arrays: records, mappings, facts by reference."""
TALLY_BYTES = 6_000
"""What health counts of an action's treatment, measured at 40 bins a block."""
SUBJECT_BYTES = 450
"""A subject's running number and its latest interactions; its contact history is counted by itself."""


def sizes_of(state: State) -> dict[str, int]:
    """Bytes by name, largest first."""
    plan, ledger = state.plan, state.ledger
    kept = list(ledger.kept())
    found = {
        "rules": plan.index.nbytes,
        "candidates": _arrays(getattr(plan, name) for name in plan.__dataclass_fields__),
        "contact rules": _arrays(vars(plan.contact_rules).values()),
        "beliefs": state.beliefs.nbytes,
        "challenger": 0 if state.challenger is None else state.challenger.beliefs.nbytes,
        "health": TALLY_BYTES * len(state.watch.tallies),
        "scratch of a decision": _arrays(getattr(state.work, name) for name in state.work.__slots__)
        + _arrays(getattr(part, name) for part in (state.work.slate,) for name in part.__slots__) + state.work.rules.nbytes,
        "texts and their codes": TEXT_BYTES * (state.vocabulary.size + state.contacts.names.size + len(state.entities)),
        "contact histories": state.contacts.nbytes,
        "decisions at hand": sum(DECISION_BYTES + _arrays(_fields(k.judgement)) + _arrays(_fields(k.judgement.row)) for k in kept),
        "subjects": SUBJECT_BYTES * len(ledger.subjects),
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _fields(record: Any) -> Iterable[Any]:
    return (getattr(record, name) for name in record.__struct_fields__)


def _arrays(values: Iterable[Any]) -> int:
    return sum(memoryview(value).nbytes for value in values if isinstance(value, np.ndarray | bytes))
