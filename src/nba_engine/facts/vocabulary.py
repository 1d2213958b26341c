"""Texts as small numbers, per column; codes are given once and never change, so they may stand in beliefs and rows.

Code 0 is a text that is not known. Texts become known when a rule names them or when an outcome with them is learned: what merely
passes through `decide` leaves no trace, so that nobody can fill the vocabulary by asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TEXTS_PER_COLUMN_MAX = 4096
"""Texts that learning may add up to; further ones stay code 0 ("other"). Rules may name as many as they like. An entry costs about 150 bytes."""


class Vocabulary:
    """Column name -> {text: code from 1 on}. Append-only."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {}

    def codes(self, column: str) -> dict[str, int]:
        """The live mapping of one column, to be read only."""
        return self._codes.setdefault(column, {})

    def name(self, column: str, text: str) -> int:
        """The code of a text that a rule names, given now if it has none."""
        codes = self.codes(column)
        return codes.setdefault(text, len(codes) + 1)

    def learn(self, column: str, text: str) -> int:
        """The code of a text met in an outcome, given now if it has none; 0 where the column is full."""
        codes = self.codes(column)
        return codes.get(text) or (self.name(column, text) if len(codes) < TEXTS_PER_COLUMN_MAX else 0)

    @property
    def size(self) -> int:
        """How many texts have codes, in all columns."""
        return sum(map(len, self._codes.values()))

    def copied(self) -> Vocabulary:
        """The same codes, in mappings of its own."""
        found = Vocabulary()
        found._codes = {column: dict(codes) for column, codes in self._codes.items()}
        return found

    def state(self) -> dict[str, list[str]]:
        """Column -> its texts in the order of their codes."""
        return {column: list(codes) for column, codes in self._codes.items() if codes}

    def load(self, state: Mapping[str, Iterable[str]]) -> None:
        """Take over a `state()`; mappings handed out before stay valid."""
        for column, texts in state.items():
            codes = self.codes(column)
            codes.clear()
            codes.update((text, code) for code, text in enumerate(texts, start=1))
