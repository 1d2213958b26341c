"""A catalog that holds together: its definition, its facts, and every rule parsed and checked against them. Compiling it stands elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_engine import schema
from nba_engine.errors import CheckError, RuleError

if TYPE_CHECKING:
    from nba_engine.catalog.checking import Finding
    from nba_engine.catalog.definition import Definition, Ruled
    from nba_engine.catalog.faults import Faults
    from nba_engine.catalog.loading import KeyPath, Source
    from nba_engine.catalog.tables import RowRule
    from nba_engine.rules.checking import Checked
    from nba_engine.rules.syntax import Node

RULE_STAGES = ("eligibility", "applicability", "suitability")
"""The engagement rules, in the order in which they are asked."""


class Catalog:
    """What the business wrote down, once it holds together.

    Made by `Catalog.load` or `Catalog.from_dict`; both raise CatalogError with every fault at once.

    Attributes
    ----------
    definition : Definition
        Everything written, with defaults filled in, and the rules of decision tables standing at their actions.
    written : Definition
        The same with the tables as they were written.
    facts : tuple[schema.Fact, ...]
        The declared facts in their order, without the built-in ones.
    types : dict[str, schema.Type]
        Types of all names that rules may read, the built-in ones included.
    source : str
        The file's name, or ''.

    Examples
    --------
    >>> catalog = Catalog.from_dict({"facts": {"age": "int"}, "actions": [{"id": "club", "eligibility": "age >= 18"}]})
    >>> catalog.definition.actions[0].eligibility
    ('age >= 18',)
    """

    def __init__(self, definition: Definition, rules: Mapping[str, Checked], source: str = "",
                 written: Definition | None = None) -> None:
        self.definition = definition
        self.written = written or definition
        self.source = source
        self.facts = facts_of(definition)
        self.types = types_of(definition)
        self._rules = dict(rules)

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """The catalog in a YAML (.yaml, .yml) or JSON (.json) file; CatalogError lists every fault with line and column."""
        from nba_engine.catalog.loading import read

        return cls._from_source(read(path))

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Catalog:
        """The catalog in a mapping of plain values; dates may be ISO text or `date`, durations text or `timedelta`."""
        from nba_engine.catalog.loading import Source

        return cls._from_source(Source(mapping))

    @classmethod
    def _from_source(cls, source: Source) -> Catalog:
        from nba_engine.catalog.faults import Faults
        from nba_engine.catalog.references import check_references
        from nba_engine.catalog.tables import expanded, with_files_read
        from nba_engine.catalog.validation import validate

        faults = Faults(source)
        with_files_read(source, faults)
        definition = written = validate(source.value, faults)
        check_references(definition, faults)
        cells = rules = _read_rules(definition, faults)
        faults.raise_if_any()
        if written.tables:
            definition = expanded(written, types_of(written))
            rules = _read_rules(definition, faults)
            faults.raise_if_any()
        _check_cost(definition, rules, faults)
        faults.raise_if_any()
        return cls(definition, {**cells, **rules}, source.name, written)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def version(self) -> str:
        """As written; without one, twelve hexadecimal digits that change when the definition does."""
        return self.definition.version or hashlib.sha256(self.definition.model_dump_json(warnings=False).encode()).hexdigest()[:12]

    def rule(self, text: str) -> Checked:
        """A rule or value text of this catalog, parsed and checked; KeyError for any other text."""
        return self._rules[text]

    @cached_property
    def rows_of(self) -> dict[tuple[str, str], list[list[RowRule]]]:
        """(action, stage) -> the rows of each table behind it, in the order in which their rules stand behind the action's own."""
        from nba_engine.catalog.tables import rows_of_actions

        return rows_of_actions(self.written, self.types)

    def place(self, path: KeyPath) -> str:
        """A path of the definition as people find it in what they wrote: the rule of a table by its rows, rows of a file as the file counts."""
        from nba_engine.catalog.loading import place_of
        from nba_engine.catalog.tables import files_of

        files = files_of(self.written)
        if len(path) == 4 and path[0] == "actions" and path[2] in RULE_STAGES:
            action = self.definition.actions[int(path[1])]
            tables = self.rows_of.get((action.id, str(path[2])), [])
            table = int(path[3]) - len(getattr(action, str(path[2]))) + len(tables)
            if table >= 0:
                return ", ".join(place_of(row.path, files) for row in tables[table])
        return place_of(path, files)

    def to_dict(self) -> dict[str, Any]:
        """What was written, as plain values from which `from_dict` makes this catalog again."""
        return self.written.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)

    def challenging(self) -> Catalog:
        """This catalog with its `challenger` as its `model`."""
        return Catalog(self.definition.model_copy(update={"model": self.definition.challenger}), self._rules, self.source, self.written)

    def check(self) -> list[Finding]:
        """What holds together but is probably not meant: unreachable actions, shadowed rules, unused facts ... Worst first."""
        from nba_engine.catalog.checking import check

        return check(self)

    def __repr__(self) -> str:
        return f"<Catalog {self.name!r} {self.version!r}: {len(self.definition.actions)} actions>"


def facts_of(definition: Definition) -> tuple[schema.Fact, ...]:
    return tuple(
        schema.Fact(name, fact.type, fact.origin, fact.predictor, fact.sensitive, fact.immutable) for name, fact in definition.facts.items()
    )


def types_of(definition: Definition) -> dict[str, schema.Type]:
    return {fact.name: fact.type for fact in (*facts_of(definition), *schema.BUILT_IN_FACTS)}


def engagement_rules(path: KeyPath, record: Ruled) -> Iterator[tuple[KeyPath, str]]:
    """Path and text of the rules that stand at one issue, group, action or treatment itself, in the order in which they are asked."""
    for stage in RULE_STAGES:
        for k, text in enumerate(getattr(record, stage)):
            yield (*path, stage, k), text


def levels_of(definition: Definition, action_index: int) -> list[tuple[KeyPath, Ruled]]:
    """Where rules of an action stand, from its issue down to itself, with what stands there."""
    action = definition.actions[action_index]
    found: list[tuple[KeyPath, Ruled]] = []
    if action.issue is not None:
        issue = definition.issues[action.issue]
        found.append((("issues", action.issue), issue))
        if action.group is not None:
            found.append((("issues", action.issue, "groups", action.group), issue.groups[action.group]))
    return [*found, (("actions", action_index), action)]


def rule_places(definition: Definition) -> Iterator[tuple[KeyPath, str, bool]]:
    """Every text of the rule language: its path, the text, and whether it must be a number (a value) instead of a bool."""
    ruled: list[tuple[KeyPath, Ruled]] = []
    for issue_name, issue in definition.issues.items():
        ruled.append((("issues", issue_name), issue))
        ruled += [(("issues", issue_name, "groups", name), group) for name, group in issue.groups.items()]
    for i, action in enumerate(definition.actions):
        ruled.append((("actions", i), action))
        ruled += [(("actions", i, "treatments", k), treatment) for k, treatment in enumerate(action.treatments)]
        if isinstance(action.value, str):
            yield ("actions", i, "value"), action.value, True
    for path, record in ruled:
        yield from ((rule_path, text, False) for rule_path, text in engagement_rules(path, record))
    for i, context_weight in enumerate(definition.context_weights):
        yield ("context_weights", i, "when"), context_weight.when, False
    if definition.tables:
        from nba_engine.catalog.tables import row_rules

        types = types_of(definition)
        for i, table in enumerate(definition.tables):
            yield from ((path, text, False) for row in row_rules(table, ("tables", i), types) for path, text in row.cells)


def _read_rules(definition: Definition, faults: Faults) -> dict[str, Checked]:
    """Every distinct text parsed and checked once; a text at fault is told at each of its places."""
    from nba_engine.catalog.tables import cell_problem
    from nba_engine.rules.checking import declared, read
    from nba_engine.rules.normal import FORMULA_NODES_MAX

    types = types_of(definition)
    facts = declared(tuple(types.items()))
    wanted = {False: (schema.BOOL, schema.DYN), True: (*schema.NUMBERS, schema.DYN)}
    rules: dict[str, Checked] = {}
    errors: dict[str, RuleError] = {}
    for path, text, is_value in rule_places(definition):
        if text not in rules and text not in errors:
            try:
                checked = read(text, facts)
                if 2 * len(text) > FORMULA_NODES_MAX and checked.type == schema.BOOL:
                    _ = checked.formula  # too large a rule is told here, with its place; a normal form has at most two parts per character
                rules[text] = checked
            except RuleError as error:
                errors[text] = error
        if text in errors:
            if not (isinstance(errors[text], CheckError) and ("facts",) in faults.mended):
                problem, excerpt = errors[text].problem, errors[text].excerpt
                if path[0] == "tables":
                    problem, excerpt = cell_problem(definition, path, types, problem if text else ""), excerpt if text else ""
                faults.add(path, problem, excerpt=excerpt)
        elif (type_ := rules[text].type) not in wanted[is_value]:
            needed = "a number: int, uint or double" if is_value else "bool: compare it with something"
            faults.add(path, f"came a {'value' if is_value else 'rule'} of type {type_}, needed {needed}", excerpt=text)
    return rules


def _check_cost(definition: Definition, rules: Mapping[str, Checked], faults: Faults) -> None:
    """The conditions that decisions cannot compile must be answered in bounded time, however long the facts are."""
    from nba_engine.rules.limits import CATALOG_STEPS_MAX

    steps: dict[Node, int] = {}
    texts: dict[Node, str] = {}
    for text, rule in rules.items():
        for condition, n_steps in rule.costly:
            steps[condition] = n_steps
            texts.setdefault(condition, text)
    if sum(steps.values()) > CATALOG_STEPS_MAX:
        worst = max(steps, key=lambda condition: steps[condition])
        place = next(path for path, text, _ in rule_places(definition) if text == texts[worst])
        faults.add(place, f"{len(steps)} conditions that are evaluated one by one (macros, text functions, patterns ...) may take "
                   f"{sum(steps.values())} steps a decision, at most {CATALOG_STEPS_MAX} are accepted (CATALOG_STEPS_MAX); this one may take "
                   f"{steps[worst]}: write the same condition in the same words wherever it is meant, or keep what it computes in a fact")
