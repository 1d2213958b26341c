"""What one answer taught, kept so that it can be taken back: in memory, as a journal entry, and in the numbering of another catalog.

Receipts stand by how the catalog writes the models, `model` and `challenger`, whichever of the two is in charge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nba_engine.beliefs import Beliefs, Moved, unmoved
from nba_engine.challenger import Challenger, Shadow, standing
from nba_engine.models.contract import Receipt
from nba_engine.numerics.random import key_of

if TYPE_CHECKING:
    from nba_engine.catalog.definition import Definition
    from nba_engine.catalog.plan import Plan


class Lesson(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What an answer taught: the catalog's model (None where its features are numbered otherwise now), health, and the catalog's challenger."""

    receipt: Receipt | None
    counted: int
    shadow: Shadow | None = None


def written(in_charge: Beliefs, challenger: Challenger | None) -> list[Beliefs]:
    """The models in the catalog's order: `model`, and `challenger` where it names one."""
    if challenger is None:
        return [in_charge]
    return [challenger.beliefs, in_charge] if challenger.promoted else [in_charge, challenger.beliefs]


def layouts(definition: Definition, models: list[Beliefs]) -> list[int]:
    """Names each model's section, the numbering of its features and its life; a receipt of another one cannot be taken back."""
    sections = definition.model, definition.challenger
    return [key_of(repr((section and section.model_dump_json(), one.kind, one.numbered, *((one.life,) if one.life else ()))))
            for one, section in zip(models, sections, strict=False)]


def entry_of(lesson: Lesson, position: int, reward: float, own: list[int]) -> dict[str, Any]:
    """A lesson as a record for the journal; `own` as `layouts` gave it."""
    receipt, shadow = lesson.receipt, lesson.shadow
    entry = {"position": position, "reward": reward, "counted": lesson.counted, "layout": own[0],
             "receipt": None if receipt is None else receipt.to_bytes()}
    if shadow is not None and shadow.receipt is not None:
        entry["shadow"] = [own[1], shadow.receipt.to_bytes(), shadow.loss, shadow.difference]
    return entry


def lesson_of(entry: Mapping[str, Any], own: list[int]) -> Lesson:
    """The inverse of `entry_of`; receipts of models that are set or numbered otherwise now are left out."""
    layout, payload, loss, difference, *_ = entry.get("shadow", (None, None, 0, 0))
    stored = {layout: payload, entry["layout"]: entry["receipt"]}
    receipts = [None if stored.get(one) is None else Receipt.from_bytes(stored[one]) for one in own]
    return Lesson(receipts[0], entry["counted"], Shadow(receipts[1], loss, difference) if len(receipts) > 1 else None)


class Succession:
    """One catalog's models after another's: who goes on with what was learned by whom."""

    def __init__(self, plan: Plan, in_charge: Beliefs, challenger: Challenger | None) -> None:
        self._models = standing(plan, in_charge, challenger)
        self._in_charge, self._challenger, self._before = in_charge, challenger, written(in_charge, challenger)
        self._after: list[tuple[Beliefs | None, Moved | None]] = []

    def hand_over(self, plan: Plan, beliefs: Beliefs, challenger: Challenger | None, n_taught: int) -> Beliefs:
        """Let the models of `plan` go on with what those before learned, each with what its own section did; returns the one in charge.

        A model whose section is new goes on, where it is in charge, with what the one in charge knew, and else starts from nothing. Where both
        sections are as they were, a promotion holds. What does not go on with everything begins a life, named by the `n_taught` answers before.
        """
        old, taken = self._challenger, list[Beliefs]()
        if challenger is not None and old is not None and challenger.contest == old.contest:
            challenger.differences = old.differences
            if old.promoted_at_us is not None:
                beliefs = challenger.promote(beliefs, old.promoted_at_us)
        origins: dict[int, Beliefs] = {}
        for section, one in standing(plan, beliefs, challenger).items():
            origin = self._models.get(section) or (self._in_charge if one is beliefs else None)
            if origin is None:
                continue
            if origin in taken:
                one.load(origin.state())
            else:
                one.take_over(origin)
            origins[id(one)] = origin
            taken.append(origin)
        for one in written(beliefs, challenger):
            origin = origins.get(id(one))
            one.life = origin.life if origin is not None and one.keeps(origin) else n_taught
            self._after.append((origin, origin and one.moving(origin)))
        return beliefs

    @property
    def moves(self) -> bool:
        """Whether a lesson can stand otherwise after than before."""
        return self._after != [(one, unmoved) for one in self._before]

    def moved(self, lesson: Lesson) -> Lesson:
        """A lesson of the models before, in the numbering of those after."""
        shadow = lesson.shadow
        learned = {id(one): found for one, found in zip(self._before, (lesson.receipt, shadow and shadow.receipt), strict=False)}
        receipts: list[Receipt | None] = []
        for origin, moved in self._after:
            own = None if origin is None else learned.get(id(origin))
            receipts.append(None if own is None or moved is None else moved(own))
        if len(receipts) == 1:
            return Lesson(receipts[0], lesson.counted)
        compared = (0, 0) if shadow is None else (shadow.loss, shadow.difference)
        return Lesson(receipts[0], lesson.counted, Shadow(receipts[1], *compared))
