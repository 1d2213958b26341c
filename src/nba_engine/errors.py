"""Every exception that a caller meets, drawn once.

    NbaError
    ├── CatalogError          the catalog does not hold together; carries all faults at once
    ├── RuleError             one rule text
    │   ├── ParseError        it is not CEL
    │   └── CheckError        it is CEL, but not over these facts
    ├── FactsError            a fact of the wrong type; carries its name
    ├── RequestError          an argument that cannot be meant: an unknown channel, a time without a zone, a number for a text
    ├── UnknownDecisionError  no such decision, or one that is no longer kept
    ├── OutcomeError          an outcome that does not fit its decision or the catalog; carries the name of the part that does not
    ├── StoreError            the store cannot be opened, read or written
    └── ReplayError           a log that cannot be read as decisions

Texts say what came, what is needed and what to do; the data stands on the exception as attributes.
"""

from __future__ import annotations

from dataclasses import dataclass


class NbaError(Exception):
    """Root of everything this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a catalog and where it stands.

    `place` is the path in the catalog (`actions[3].eligibility[0]`); `line` and `column` (from 1) are those of the file,
    None where the catalog came from a mapping; `excerpt` is the rule text with a caret under the fault, or empty.
    """

    place: str
    message: str
    line: int | None = None
    column: int | None = None
    excerpt: str = ""

    def __str__(self) -> str:
        where = self.place or "catalog"
        if self.line is not None:
            where += f" (line {self.line}, column {self.column})"
        text = f"{where}: {self.message}"
        if self.excerpt:
            text += "\n" + "\n".join("    " + line for line in self.excerpt.splitlines())
        return text


class CatalogError(NbaError):
    """The catalog cannot be used; `faults` holds every fault that was found, `source` the file's name or ''."""

    def __init__(self, faults: list[Fault], source: str = "") -> None:
        self.faults = list(faults)
        self.source = source
        head = f"{source or 'catalog'}: {len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__("\n".join([head, *(f"  {fault}".replace("\n", "\n  ") for fault in self.faults)]))


class RuleError(NbaError):
    """A rule text that cannot be used or, from `evaluate`, an expression whose result is an error.

    `text` is the expression, `position` the offset (from 0) of the fault in it or None, `problem` the bare message.
    """

    def __init__(self, problem: str, text: str = "", position: int | None = None) -> None:
        self.problem = problem
        self.text = text
        self.position = position
        super().__init__(problem if not text else f"{problem}\n{self.excerpt}")

    @property
    def excerpt(self) -> str:
        """The line of the text at fault with a caret under the place."""
        if self.position is None:
            return self.text
        start = self.text.rfind("\n", 0, self.position) + 1
        stop = self.text.find("\n", self.position)
        line = self.text[start:] if stop < 0 else self.text[start:stop]
        return f"{line}\n{' ' * (self.position - start)}^"


class ParseError(RuleError):
    """The text is not an expression of the rule language."""


class CheckError(RuleError):
    """The expression does not fit the declared facts or its types do not fit together."""


class FactsError(NbaError):
    """A fact cannot be taken; `fact` is its name."""

    def __init__(self, message: str, fact: str) -> None:
        self.fact = fact
        super().__init__(message)


class RequestError(NbaError):
    """An argument of a call that cannot be meant; `argument` is its name."""

    def __init__(self, message: str, argument: str) -> None:
        self.argument = argument
        super().__init__(message)


class UnknownDecisionError(NbaError):
    """No decision of that id is known; `decision_id` is what was asked for."""

    def __init__(self, message: str, decision_id: str) -> None:
        self.decision_id = decision_id
        super().__init__(message)


class OutcomeError(NbaError):
    """An outcome that does not fit: an unknown label, reason or action, or a slate that leaves it open which offer is meant; `argument` is the
    part of the outcome that does not."""

    def __init__(self, message: str, argument: str) -> None:
        self.argument = argument
        super().__init__(message)


class StoreError(NbaError):
    """The store cannot be opened, read or written."""


class ReplayError(NbaError):
    """A log that cannot be read as decisions, or an estimate that was asked for wrongly."""
