"""What a catalog says about contacts, compiled to the arrays that the kernel reads. The catalog's own syntax is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nba_engine.contact import suppression as s
from nba_engine.contact.names import DIRECTIONS, Direction, Names, treatment_text
from nba_engine.contact.similarity import ContactAction, Similarity, similar_blocks
from nba_engine.numerics.bitset import n_words, pack

FOREVER = 1 << 62
"""A duration in microseconds that never ends; adding it to any time of the years 1 to 9999 stays within int64."""

Scope = Literal["action", "treatment", "group", "issue", "similar", "channel", "subject"]


@dataclass(frozen=True, slots=True)
class ContactPolicy:
    """So many events of one label within a window close what they concern.

    `label`: `presented` counts presentations, any other the current answers of that label. `within_us` > 0 and `suppress_us` > 0 may be
    FOREVER; without `suppress_us` it holds while the count does. `direction` limits both what counts and where it closes.
    """

    name: str
    scope: Scope
    label: str
    count: int
    within_us: int
    suppress_us: int | None = None
    per: Literal["offer", "interaction"] = "offer"
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What an answer's reason closes: the action for `suppress_us`, actions similar to it for `similar_us` (0: not at all, or FOREVER).

    `scope`: `action` on every channel, `channel` on the channel of the answer only, `subject` every action. `direction` limits where it holds.
    """

    name: str
    suppress_us: int = 0
    similar_us: int = 0
    scope: Literal["action", "channel", "subject"] = "action"
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class ContactChannel:
    """A channel's name and direction."""

    name: str
    direction: Direction = "inbound"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What can be chosen, in the plan's order, the candidates of an action side by side in the order of the actions.

    `action` int32[n] action index; `channel` int32[n] channel index, -1 if it is offered on the asked channel;
    `treatment` its id or None, per candidate.
    """

    action: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int32]
    treatment: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Retention:
    """What of a history can still matter: events not older than `horizon_us`, and answers with a reason numbered in `lasting`, for ever."""

    horizon_us: int = FOREVER
    lasting: frozenset[int] = frozenset()


class ContactRules:
    """The contact policies and reasons of one catalog over its actions, candidates and channels.

    Parameters
    ----------
    names : of the contacts these rules will judge; every text of the catalog is numbered here.
    actions, candidates, channels, contact_policies, reasons, similarity : the catalog's.

    Attributes
    ----------
    contact_policy_table : int64[n_policies, 8], meanings : int64[n_numbers + 1, 11], as `suppression` describes them.
    masks : uint64[n_rows, n_words]; the relatives of each action (without itself), then groups, issues, channels, the two directions, all.
    asked_rows : per channel the mask rows of the channel and of its direction; the last entry stands for all channels at once.
    retention : what of a history these rules can still need.

    Raises
    ------
    ValueError
        If the candidates do not stand in the order of their actions.

    Notes
    -----
    **Cost**: memory 8 bytes x rows x words: 0.2 MB at 1,000 candidates, 13 MB at 10,000.
    """

    def __init__(
        self,
        names: Names,
        *,
        actions: Sequence[ContactAction],
        candidates: Candidates,
        channels: Sequence[ContactChannel],
        contact_policies: Sequence[ContactPolicy] = (),
        reasons: Sequence[ReasonRule] = (),
        similarity: Similarity = Similarity(),
    ) -> None:
        if np.any(np.diff(candidates.action) < 0):
            raise ValueError("candidates out of the order of their actions; sort them by action index first")
        self.names, self.actions, self.candidates, self.channels = names, tuple(actions), candidates, tuple(channels)
        self.contact_policies, self.reasons, self.similarity = tuple(contact_policies), tuple(reasons), similarity
        self._group_row = _rows(((a.issue, a.group) for a in actions if a.group is not None), len(actions))
        self._issue_row = _rows((a.issue for a in actions if a.issue is not None), len(actions) + len(self._group_row))
        first_channel = len(actions) + len(self._group_row) + len(self._issue_row)
        self._channel_row = {c.name: first_channel + i for i, c in enumerate(channels)}
        first_direction = first_channel + len(channels)
        self._direction_row = {d: first_direction + i for i, d in enumerate(DIRECTIONS)}
        self._everything = first_direction + len(DIRECTIONS)
        self.masks = self._compile_masks()
        self.contact_policy_table = self._compile_contact_policies()
        self.meanings = self._compile_meanings()
        self.asked_rows = [(self._channel_row[c.name], self._direction_row[c.direction]) for c in channels] + [(-1, -1)]
        self.retention = self._compile_retention()

    @property
    def n_words(self) -> int:
        """Words in a set of candidates."""
        return self.masks.shape[1]

    def similar(self, action: int) -> npt.NDArray[np.bool_]:
        """bool[n_candidates]: the candidates of actions similar to the action of this index, itself not among them."""
        flags = np.unpackbits(self.masks[action].view(np.uint8), count=len(self.candidates.action), bitorder="little")
        return flags.astype(bool)

    def _compile_masks(self) -> npt.NDArray[np.uint64]:
        of = self.candidates.action
        masks = np.zeros((self._everything + 1, n_words(len(of))), dtype=np.uint64)
        for first, block in similar_blocks(self.actions, self.similarity):
            masks[first : first + len(block)] = pack(block[:, of])
        group = np.array([self._group_row.get((a.issue, a.group), -1) for a in self.actions], dtype=np.int64)
        issue = np.array([self._issue_row.get(a.issue, -1) for a in self.actions], dtype=np.int64)
        for row in self._group_row.values():
            masks[row] = pack(group[of] == row)
        for row in self._issue_row.values():
            masks[row] = pack(issue[of] == row)
        for i, channel in enumerate(self.channels):
            on_it = pack(self.candidates.channel == i)
            masks[self._channel_row[channel.name]] = on_it
            masks[self._direction_row[channel.direction]] |= on_it
        masks[self._everything] = pack(np.ones(len(of), dtype=bool))
        return masks

    def _compile_contact_policies(self) -> npt.NDArray[np.int64]:
        policies = np.zeros((len(self.contact_policies), s.POLICY_COLUMNS), dtype=np.int64)
        for row, p in zip(policies, self.contact_policies, strict=True):
            row[s.P_LABEL] = self.names.number("label", p.label)
            row[s.P_SCOPE] = s.SCOPES.index(p.scope)
            row[s.P_COUNT] = p.count
            row[s.P_WITHIN] = p.within_us
            row[s.P_SUPPRESS] = -1 if p.suppress_us is None else p.suppress_us
            row[s.P_PER_INTERACTION] = p.per == "interaction"
            row[s.P_DIRECTION] = -1 if p.direction is None else DIRECTIONS.index(p.direction)
            row[s.P_LIMIT] = self._limit_row(p.direction)
        return policies

    def _compile_meanings(self) -> npt.NDArray[np.int64]:
        number, of = self.names.number, self.candidates.action
        action_number = [number("action", a.id) for a in self.actions]
        treatment_number = [number("treatment", treatment_text(self.actions[a].id, t)) for a, t in zip(of, self.candidates.treatment, strict=True)]
        channel_number = [number("channel", c.name) for c in self.channels]
        reason_number = [number("reason", r.name) for r in self.reasons]
        size = max((self.names.count(kind) for kind in ("action", "treatment", "channel", "reason")), default=0)
        meanings = np.full((size + 1, s.MEANING_COLUMNS), -1, dtype=np.int64)
        index = np.arange(len(self.actions))
        meanings[action_number, s.M_ACTION] = index
        meanings[action_number, s.M_GROUP] = [self._group_row.get((a.issue, a.group), -1) for a in self.actions]
        meanings[action_number, s.M_ISSUE] = [self._issue_row.get(a.issue, -1) for a in self.actions]
        meanings[action_number, s.M_START] = np.searchsorted(of, index, side="left")
        meanings[action_number, s.M_STOP] = np.searchsorted(of, index, side="right")
        meanings[treatment_number, s.M_TREATMENT] = np.arange(len(of))
        meanings[channel_number, s.M_CHANNEL] = [self._channel_row[c.name] for c in self.channels]
        for i, r in zip(reason_number, self.reasons, strict=True):
            meanings[i, s.M_SUPPRESS] = r.suppress_us or -FOREVER
            meanings[i, s.M_SIMILAR] = r.similar_us or -FOREVER
            meanings[i, s.M_SCOPE] = s.SCOPES.index(r.scope)
            meanings[i, s.M_LIMIT] = self._limit_row(r.direction)
        return meanings

    def _compile_retention(self) -> Retention:
        spans = [p.within_us + (p.suppress_us or 0) for p in self.contact_policies]
        spans += [t for r in self.reasons for t in (r.suppress_us, r.similar_us) if t < FOREVER]
        lasting = (self.names.number("reason", r.name) for r in self.reasons if FOREVER in (r.suppress_us, r.similar_us))
        return Retention(min(max(spans, default=0), FOREVER), frozenset(lasting))

    def _limit_row(self, direction: Direction | None) -> int:
        return self._everything if direction is None else self._direction_row[direction]


def _rows(keys: Iterable[Any], first: int) -> dict[Any, int]:
    """Each distinct key -> a row of its own, from `first` on."""
    rows: dict[Any, int] = {}
    for key in keys:
        rows.setdefault(key, first + len(rows))
    return rows
