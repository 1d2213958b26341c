"""Whose columns are which: the columns that a log has for replay, what others call them, and a mapping from ours to theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nba_engine.catalog.faults import suggestion
from nba_engine.catalog.loading import read as read_source
from nba_engine.errors import CatalogError, ReplayError

COLUMNS: Mapping[str, str] = {
    "reward": "what the logged decision earned",
    "p_log": "with what probability the log chose what it chose",
    "p_target": "with what probability the target chooses the same",
    "q_logged": "a reward model's word on the logged action",
    "q_target": "what that model expects under the target",
    "unsupported": "the target's mass on what the log could not choose",
    "action": "what was chosen",
    "treatment": "in which form it was shown",
    "channel": "where it was shown",
    "asked_channel": "for which channel it was asked, null for all; `channel` where there is no such column",
    "subject": "who was asked for",
    "at": "when it was decided",
    "presented": "whether it reached the customer",
    "label": "what was answered",
    "reason": "why it was declined",
    "outcome_at": "when the reward came back",
    "decision_id": "which decision the row belongs to",
    "rank": "where in its slate the row stood, from 1",
    "pmf_log": "with what probability the log chose each action",
    "pmf_target": "with what probability the target chooses each action",
}
"""The columns of a log and what they say. `reward` is needed, and nearly always `p_log` (or `pmf_log` and `action`)."""

NUMBERS = ("reward", "p_log", "p_target", "q_logged", "q_target", "unsupported")
CHOSEN_BY = "chosen_by"

_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "reward": ("click", "clicked", "converted", "outcome", "label", "y"),
    "p_log": ("selection_probability", "pscore", "propensity_score", "probability", "logging_probability", "p"),
    "p_target": ("evaluation_pscore", "eval_pscore", "target_probability"),
    "action": ("arm", "item", "item_id", "offer", "product"),
    "at": ("timestamp", "time", "ts", "datetime", "date"),
    "subject": ("user_id", "customer_id", "user", "customer"),
}
"""What others call them: to suggest, never to assume."""
_ALIKE = 0.7
"""How alike a name must be to be suggested: `rewrad` is, `agent` is not `p_target`."""


@dataclass(frozen=True, slots=True)
class Naming:
    """`theirs`: the log's name of each column that is read, by ours (columns that are no column of replay keep theirs); `chosen_by`: the
    columns by which a log without probabilities chose, in our names; None where nobody said."""

    theirs: Mapping[str, str]
    chosen_by: tuple[str, ...] | None

    @staticmethod
    def of(columns: Mapping[str, Any] | str | Path | None, known: list[str]) -> Naming:
        """Read `columns`, as `Log.read` takes it, for a log with the columns `known`. ReplayError says what is missing and what looks like it."""
        if len(set(known)) < len(known):
            raise ReplayError(f"the log has two columns of one name among {', '.join(known)}; rename one")
        given = _given(columns)
        chosen_by = given.pop(CHOSEN_BY, None)
        mapping = _mapping(given, known)
        if "p_log" not in mapping and "p_log" not in known and "selection_probability" in known:
            mapping["p_log"] = "selection_probability"
        kept = [name for name in known if name not in mapping and name not in mapping.values()]
        theirs = mapping | {name: name for name in kept}
        _require(theirs, known, chosen_by)
        return Naming(theirs, None if chosen_by is None else _chosen_by(chosen_by, theirs))


def resembling(ours: str, known: Sequence[str]) -> str:
    """What to say after 'there is no column `ours`': which one looks like it, and how to say so."""
    near = _near(ours, known)
    if near is None:
        return f"; it has {', '.join(known)}. Say which one it is: columns={{{ours!r}: ...}}, or --columns and a file that says {ours}: ..."
    as_yaml = near if re.fullmatch(r"\w+([ .-]\w+)*", near) else repr(near)
    return f"; {near!r} looks like it: if it is, say columns={{{ours!r}: {near!r}}}, or --columns and a file that says {ours}: {as_yaml}"


def missing(ours: str, known: Sequence[str]) -> ReplayError:
    """That a column is missing, and what looks like it."""
    instead = "; or name the catalog that shall be judged: target=, or --target" if ours == "p_target" else ""
    return ReplayError(f"the log has no column {ours} ({COLUMNS[ours]}){resembling(ours, known)}{instead}")


def _near(ours: str, known: Sequence[str]) -> str | None:
    free = {_plain(name): name for name in known if name not in COLUMNS or name in _OTHER_NAMES.get(ours, ())}
    near = [other for other in (ours, *_OTHER_NAMES.get(ours, ())) if other in free] or get_close_matches(ours, list(free), 1, _ALIKE)
    return free[near[0]] if near else None


def _plain(name: str) -> str:
    """As we would write it: 'P-Log ' is p_log."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _given(columns: Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    value: Any = columns
    if isinstance(columns, str | Path):
        try:
            source = read_source(columns)
        except CatalogError as error:
            raise ReplayError(f"the names of columns cannot be read; {'; '.join(fault.message for fault in error.faults)} ({columns})") from error
        if source.faults:
            raise ReplayError("\n".join([f"{columns} cannot be used", *(f"  {fault}" for fault in source.faults)]))
        value = source.value
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ReplayError(f"columns holds {value!r}; give a mapping of our names to yours, such as {{p_log: pscore}}")
    return dict(value)


def _mapping(given: Mapping[Any, Any], known: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ours, theirs in given.items():
        if not isinstance(theirs, str):
            raise ReplayError(f"columns says {ours}: {theirs!r}; give a mapping of our names to yours, such as {{p_log: pscore}}")
        if ours not in COLUMNS:
            raise ReplayError(f"columns names {ours!r}, which is no column of a log{suggestion(str(ours), COLUMNS)}")
        if theirs not in known:
            raise ReplayError(f"columns says that {ours} is {theirs!r}, which the log does not have{suggestion(theirs, known)}")
        found[ours] = theirs
    return found


def _require(theirs: Mapping[str, str], known: list[str], chosen_by: Any) -> None:
    if "reward" not in theirs:
        raise missing("reward", known)
    if "p_log" not in theirs and "pmf_log" not in theirs and chosen_by is None and _near("p_log", known) is not None:
        raise missing("p_log", known)
    if "pmf_log" in theirs and "action" not in theirs:
        raise missing("action", known)


def _chosen_by(given: Any, theirs: Mapping[str, str]) -> tuple[str, ...]:
    names = given if isinstance(given, list | tuple) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ReplayError(f"{CHOSEN_BY} is {given!r}; give a list of columns, such as [segment], or [] where the log looked at nothing")
    ours = {name: our for our, name in theirs.items()}
    for name in names:
        if name not in ours and name not in theirs:
            raise ReplayError(f"{CHOSEN_BY} names {name!r}, which the log does not have{suggestion(name, list(ours))}")
    if "action" not in theirs:
        raise missing("action", list(ours))
    return tuple(ours.get(name, name) for name in names)
