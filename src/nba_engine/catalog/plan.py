"""The compiled catalog: all that a decision reads of what the business wrote down, as arrays over candidates.

A candidate is an action on one of its treatments, or an action without treatments, which may be offered on every channel. Candidates stand in
the order of the actions, those of one action side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.exploration import Exploration
from nba_engine.catalog.catalog import Catalog
from nba_engine.contact.rules import ContactRules
from nba_engine.facts.encoding import Encoder
from nba_engine.moments import moment_of
from nba_engine.numerics.random import key_of, keys_of_texts
from nba_engine.rules.index import RuleIndex

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

NO_VALUE_SLOT = -1


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """Subjects whose hash falls into [start, stop) are served by a fixed rule."""

    name: str
    kind: Literal["uniform", "nothing"]
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class ContextWeight:
    """Multiplies the priority of the candidates that `affected` bool[n] marks while the rule target holds."""

    target: int
    multiplier: float
    affected: npt.NDArray[np.bool_]
    text: str


@dataclass(frozen=True, slots=True)
class Consent:
    """A channel that is closed unless a fact is true; `candidates` are those bound to it."""

    channel_index: int
    channel: str
    column: int
    fact: str
    candidates: Words


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """One catalog, compiled. Immutable; w words hold a bit per candidate.

    action int32[n]: action index; channel int32[n]: channel index, -1 on every channel; numbers float64[n, 3]: constant value, lever, cost;
    value_slots int32[n, 2]: slot of the value expression (NO_VALUE_SLOT for a constant) and whether it is a double; explores uint8[n];
    keys uint64[2, n]: stable hashes of the ids of action and candidate; stages: (name, first word among the rule targets) of each tier of rules,
    the words also as `stage_words`; funnel_names: what a funnel counts, in order; channel_masks uint64[n_channels + 1, w]: candidates that may be
    offered there, the last row for any channel, and how many actions that are (`n_available`); windows int64[k, 3]: candidate, first and last
    microsecond valid;
    paths int32[n, 5]: entity per level, in the engine's numbering of entities.
    """

    catalog: Catalog
    version: str
    encoder: Encoder
    index: RuleIndex
    contact_rules: ContactRules
    exploration: Exploration
    sticky_us: int | None
    action_ids: tuple[str, ...]
    channel_ids: tuple[str, ...]
    channel_of: dict[str, int]
    directions: tuple[str, ...]
    on_return: frozenset[str]
    candidate_actions: tuple[str, ...]
    candidate_channels: tuple[str | None, ...]
    treatments: tuple[str | None, ...]
    scripts: tuple[str | None, ...]
    action: Ints
    channel: Ints
    numbers: Floats
    value_slots: Ints
    explores: npt.NDArray[np.uint8]
    keys: Words
    null_candidate: int
    stages: tuple[tuple[str, int], ...]
    stage_words: npt.NDArray[np.int64]
    funnel_names: tuple[str, ...]
    channel_masks: Words
    n_available: npt.NDArray[np.int64]
    consents: tuple[Consent, ...]
    windows: npt.NDArray[np.int64]
    context_weights: tuple[ContextWeight, ...]
    control_groups: tuple[ControlGroup, ...]
    paths: Ints
    candidate_of: dict[tuple[str, str | None], int]

    @property
    def n_candidates(self) -> int:
        return len(self.action)

    @property
    def constant(self) -> frozenset[str]:
        """The built-in facts that tell no two customers apart: all channels are one, or of one direction."""
        return frozenset(name for name, texts in (("channel", self.channel_ids), ("direction", self.directions)) if len(set(texts)) < 2)

    def direction_of(self, channel: str | None) -> str | None:
        """Which way a channel goes; None where there is no such channel."""
        index = -1 if channel is None else self.channel_of.get(channel, -1)
        return None if index < 0 else self.directions[index]

    def variables(self, facts: Mapping[str, Any], at_us: int, channel_index: int) -> dict[str, Any]:
        """All that rules read where the plain evaluator answers them: the declared facts and the built-in ones; no channel where all compete."""
        asked = {} if channel_index < 0 else {"channel": self.channel_ids[channel_index], "direction": self.directions[channel_index]}
        return {**facts, "now": moment_of(at_us), **asked}

    def control_group(self, seed: int, subject: str) -> ControlGroup | None:
        """The control group that serves a subject, by a hash of its name."""
        if not self.control_groups:
            return None
        place = key_of(f"{seed}\x1fcontrol\x1f{subject}") / 2.0**64
        return next((group for group in self.control_groups if group.start <= place < group.stop), None)

    def noise_key(self, seed: int, subject: str, interaction: str, at_us: int) -> int:
        """Names the noise of a subject's sticky window: the interaction, or a span of time."""
        window = f"window {at_us // self.sticky_us}" if self.sticky_us else interaction
        return key_of(f"{seed}\x1f{subject}\x1f{window}")

    def noise_keys(self, seed: int, subjects: Sequence[str], interactions: Sequence[str], at_us: npt.NDArray[np.int64]) -> Words:
        """`noise_key` of many, uint64[n]."""
        windows = [f"window {k}" for k in (at_us // self.sticky_us).tolist()] if self.sticky_us else interactions
        return keys_of_texts([f"{seed}\x1f{subject}\x1f{window}" for subject, window in zip(subjects, windows, strict=True)])

