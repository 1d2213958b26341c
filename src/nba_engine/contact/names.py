"""Stable small numbers for the texts that events mention: append-only, so a number keeps its meaning through every reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Kind = Literal["action", "treatment", "channel", "label", "reason"]

PRESENTED = "presented"
"""The label under which contact policies count presentations; number 0 among the labels."""

NO_RESPONSE = "no_response"
"""The label of a time-out."""

PRESENTED_NUMBER = 0
Direction = Literal["inbound", "outbound"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

_BETWEEN = "\x1f"


class Shown(NamedTuple):
    """What was shown and where: an action in one of its treatments on a channel of some direction; None where it has none."""

    action: str
    treatment: str | None
    channel: str | None
    direction: Direction | None


class Names:
    """Text -> number, one append-only table per kind.

    A treatment is numbered together with its action (`treatment_text`), so equal treatment ids of two actions stay apart,
    and an action without treatments has a number here too.
    """

    __slots__ = ("_numbers", "_shown")

    def __init__(self) -> None:
        self._shown: dict[Shown, tuple[int, int, int, int]] = {}
        self._numbers: dict[str, dict[str, int]] = {kind: {} for kind in get_args(Kind)}
        self.number("label", PRESENTED)

    def number(self, kind: Kind, text: str) -> int:
        """The number of `text`, given now if it is new."""
        known = self._numbers[kind]
        return known.setdefault(text, len(known))

    def numbers(self, shown: Shown) -> tuple[int, int, int, int]:
        """The numbers of action, treatment, channel and direction; -1 for a channel or direction that it has not."""
        found = self._shown.get(shown)
        if found is None:
            action, treatment, channel, direction = shown
            found = self._shown[shown] = (
                self.number("action", action), self.number("treatment", treatment_text(action, treatment)),
                -1 if channel is None else self.number("channel", channel), -1 if direction is None else DIRECTIONS.index(direction))
        return found

    @property
    def size(self) -> int:
        """How many texts are known, of all kinds."""
        return sum(map(len, self._numbers.values()))

    def copied(self) -> Names:
        """The same numbers, in tables of its own."""
        found = Names()
        found._numbers = {kind: dict(known) for kind, known in self._numbers.items()}
        return found

    def count(self, kind: Kind) -> int:
        """How many texts of this kind are known."""
        return len(self._numbers[kind])

    def texts(self, kind: Kind) -> list[str]:
        """Every text of this kind, in the order of its number."""
        return list(self._numbers[kind])

    def state(self) -> dict[str, list[str]]:
        """Kind -> texts in order."""
        return {kind: list(known) for kind, known in self._numbers.items()}

    def load(self, state: Mapping[str, list[str]]) -> None:
        """Take over what `state` gave."""
        self._shown = {}
        self._numbers = {kind: {text: i for i, text in enumerate(state[kind])} for kind in get_args(Kind)}


def treatment_text(action: str, treatment: str | None) -> str:
    """The text under which `Names` numbers a treatment of an action."""
    return f"{action}{_BETWEEN}{treatment or ''}"


def treatment_parts(text: str) -> tuple[str, str | None]:
    """(action, treatment) of what `treatment_text` gave."""
    action, _, treatment = text.rpartition(_BETWEEN)
    return action, treatment or None
