"""Files into plain values, with the line and column of every value: YAML and JSON, nothing that could run or swell.

The YAML parser's events are read one by one, so depth, size and aliases are capped before anything grows, and no tag can make an object.
Plain words follow YAML 1.2: only `true` and `false` are booleans (`no` and `on` are text), dates stay text. What the values mean is decided
in `definition`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nba_engine.errors import CatalogError, Fault

CATALOG_BYTES_MAX = 64 * 2**20
CATALOG_DEPTH_MAX = 32
CATALOG_ALIAS_VALUES_MAX = 200_000
"""How many values the aliases (`*name`) of a file may stand for altogether."""

KeyPath = tuple[str | int, ...]
"""Keys and positions from the root of the catalog to a value."""

Mark = tuple[int, int]
"""Line and column, both from 1."""

_INT = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, **dict.fromkeys(("null", "Null", "NULL"))}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_WORDS |= dict.fromkeys((".inf", "+.inf"), float("inf")) | {"-.inf": float("-inf"), ".nan": float("nan")}
_YAML = "tag:yaml.org,2002:"
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


@dataclass(slots=True)
class Source:
    """A file as read: its plain values, where each value and each key stands (line and column from 1), and the faults met on the way.

    `files`: the paths of lists that were read from files of their own, and these files' names.
    """

    value: Any = None
    name: str = ""
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    key_marks: dict[KeyPath, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    files: dict[KeyPath, str] = field(default_factory=dict)

    def mark(self, path: KeyPath, at_key: bool = False) -> Mark | None:
        """Where `path` stands, or the nearest thing around it that has a place of its own; None for a catalog from a mapping."""
        if at_key and path in self.key_marks:
            return self.key_marks[path]
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path)

    def fault(self, path: KeyPath, message: str, excerpt: str = "", at_key: bool = False) -> Fault:
        elsewhere = any(path[: len(rows)] == rows for rows in self.files)
        line, column = (None if elsewhere else self.mark(path, at_key)) or (None, None)
        return Fault(place_of(path, self.files), message, line, column, excerpt)


def place_of(path: KeyPath, files: Mapping[KeyPath, str] | None = None) -> str:
    """A path as people write it; inside a list that stands in a file of its own, as that file counts: rows of a spreadsheet from 1, its head.

    >>> place_of(("actions", 3, "eligibility", 0))
    'actions[3].eligibility[0]'
    >>> place_of(("tables", 0, "rows", 3, "age"), {("tables", 0, "rows"): "who.csv"})
    'who.csv row 5, column age'
    """
    for rows, file in (files or {}).items():
        if path[: len(rows)] == rows:
            path = path[len(rows) :]
            if file.endswith(".csv") and path:
                row, *column = path
                return f"{file} row {int(row) + 2}" + "".join(f", column {name}" for name in column)
            return file + place_of(path) if len(path) else file
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read(path: str | Path) -> Source:
    """The file's values; CatalogError where it cannot be read as YAML (.yaml, .yml) or JSON (.json) at all."""
    if not isinstance(path, str | Path):
        raise _refusal("", f"came {path!r} of type {type(path).__name__}, needed the name of a file")
    path = Path(path)
    name = str(path)
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise _refusal(name, f"came a file that ends in {path.suffix or 'nothing'!r}, needed .yaml, .yml or .json: rename or convert it")
    try:
        n_bytes = path.stat().st_size
        if n_bytes > CATALOG_BYTES_MAX:
            raise _refusal(name, f"came {n_bytes} bytes, at most {CATALOG_BYTES_MAX} are read (CATALOG_BYTES_MAX): split the catalog")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refusal(name, f"the file cannot be read ({error.strerror}): check its name and rights") from error
    except UnicodeDecodeError as error:
        raise _refusal(name, f"the file is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    return (read_json if path.suffix == ".json" else read_yaml)(text, name)


def read_yaml(text: str, name: str = "") -> Source:
    """The values of one YAML document; CatalogError for what is no YAML, too deep, swollen by aliases or tagged as an object."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(Source(name=name)).build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        at = None if mark is None else (mark.line + 1, mark.column + 1)
        hint = "check quotes, colons and indentation here; texts with ': ' or ' #' in them need quotes"
        raise _refusal(name, f"this is not YAML: {problem}; {hint}", at, _line_with_caret(text, at)) from error


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read. `n_values` counts what an alias of it would stand for."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    anchor: str | None
    key: str | None = None
    n_values: int = 1
    merged: list[Any] = field(default_factory=list)


class _Builder:
    """Folds parser events into plain values. Aliases share the value they name; marks exist for what is written out only."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.n_alias_values = 0
        self.n_documents = 0

    def build(self, events: Iterator[Any]) -> Source:
        for event in events:
            kind = type(event).__name__
            at = (event.start_mark.line + 1, event.start_mark.column + 1)
            if kind == "ScalarEvent":
                self._scalar(event, at)
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                self._start(event, {} if kind == "MappingStartEvent" else [], at)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                self._end()
            elif kind == "AliasEvent":
                self._alias(event.anchor, at)
            elif kind == "DocumentStartEvent":
                self.n_documents += 1
                if self.n_documents > 1:
                    self._refuse("came a second document (after ---), needed one: remove it or write a file of its own", at)
        return self.source

    def _scalar(self, event: Any, at: Mark) -> None:
        at_key = self._at_key
        if event.tag not in (None, "!") and event.tag.removeprefix(_YAML) not in ("str", "int", "float", "bool", "null"):
            self._refuse_tag(event.tag, at)
        as_text = event.tag in ("!", _YAML + "str") or not (event.implicit[0] or event.tag)
        value = event.value if as_text or at_key else _plain(event.value)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        if at_key:
            self._take_key(value, at, is_merge=event.value == "<<" and event.implicit[0])
        else:
            self._take(value, 1, at)

    def _start(self, event: Any, container: dict[str, Any] | list[Any], at: Mark) -> None:
        if event.tag not in (None, "!", _YAML + "map", _YAML + "seq"):
            self._refuse_tag(event.tag, at)
        if len(self.open) >= CATALOG_DEPTH_MAX:
            self._refuse(f"nested deeper than {CATALOG_DEPTH_MAX} (CATALOG_DEPTH_MAX): flatten the catalog", at)
        if self._at_key:
            self._refuse("came a mapping or list as a key, needed text: write the key as text", at)
        path = self._path
        self.source.marks.setdefault(path, at)
        self.open.append(_Open(container, path, event.anchor))

    def _end(self) -> None:
        done = self.open.pop()
        for base in done.merged:
            done.container = {**base, **done.container}
        if done.anchor:
            self.anchors[done.anchor] = (done.container, done.n_values)
        self._take(done.container, done.n_values, None)

    def _alias(self, anchor: str, at: Mark) -> None:
        if anchor not in self.anchors:
            if any(top.anchor == anchor for top in self.open):
                self._refuse(f"the alias *{anchor} names something that is not complete yet: an anchor cannot hold itself", at)
            self._refuse(f"the alias *{anchor} names no anchor that stands above it: write &{anchor} before what is meant", at)
        value, n_values = self.anchors[anchor]
        self.n_alias_values += n_values
        if self.n_alias_values > CATALOG_ALIAS_VALUES_MAX:
            self._refuse(f"aliases stand for more than {CATALOG_ALIAS_VALUES_MAX} values (CATALOG_ALIAS_VALUES_MAX): write them out", at)
        if not self._at_key:
            self._take(value, n_values, at)
        elif isinstance(value, str):
            self._take_key(value, at)
        else:
            self._refuse(f"the alias *{anchor} stands where a key is needed, but is no text", at)

    @property
    def _at_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].container, dict) and self.open[-1].key is None

    @property
    def _path(self) -> KeyPath:
        if not self.open:
            return ()
        top = self.open[-1]
        if isinstance(top.container, list):
            return (*top.path, len(top.container))
        return top.path if top.key is None else (*top.path, top.key)

    def _take_key(self, key: str, at: Mark, is_merge: bool = False) -> None:
        top = self.open[-1]
        top.key = key
        path = (*top.path, key)
        if key in top.container:
            first = self.source.key_marks[path]
            message = f"the key {key!r} stands here twice (first in line {first[0]}): remove or rename one"
            self.source.faults.append(Fault(place_of(path), message, *at))
        elif not is_merge:
            self.source.key_marks[path] = at

    def _take(self, value: Any, n_values: int, at: Mark | None) -> None:
        if at is not None:
            self.source.marks.setdefault(self._path, at)
        if not self.open:
            self.source.value = value
            return
        top = self.open[-1]
        top.n_values += n_values
        if isinstance(top.container, list):
            top.container.append(value)
            return
        key, top.key = str(top.key), None
        if key == "<<" and (*top.path, key) not in self.source.key_marks:
            bases = value if isinstance(value, list) else [value]
            if not all(isinstance(base, dict) for base in bases):
                self._refuse("<< needs a mapping or a list of mappings to merge", at or self.source.marks[top.path])
            top.merged += bases
        else:
            top.container.setdefault(key, value)

    def _refuse_tag(self, tag: str, at: Mark) -> None:
        self._refuse(f"the tag {tag!r} is refused, a catalog holds plain values only: remove the tag", at)

    def _refuse(self, message: str, at: Mark) -> None:
        fault = Fault(place_of(self._path) if self.open else "", message, *at)
        raise CatalogError([*self.source.faults, fault], self.source.name)


def _plain(word: str) -> Any:
    """What an unquoted word means under YAML 1.2; what is no number, boolean or null is text."""
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(word):
        return int(word, 0) if word[:2] in ("0o", "0x") else int(word)
    return float(word) if _FLOAT.fullmatch(word) else word


def read_json(text: str, name: str = "") -> Source:
    """The values of a JSON text; CatalogError for what is no JSON or too deep."""
    source = Source(name=name)
    try:
        source.value = json.loads(text)
    except json.JSONDecodeError as error:
        at = (error.lineno, error.colno)
        raise _refusal(name, f"this is not JSON: {error.msg}; check quotes, commas and brackets here", at, _line_with_caret(text, at)) from error
    except RecursionError as error:
        raise _refusal(name, f"nested deeper than {CATALOG_DEPTH_MAX} (CATALOG_DEPTH_MAX): flatten the catalog") from error
    except ValueError as error:
        raise _refusal(name, f"this is not JSON: {error}") from error
    _mark_json(text, source)
    return source


def _mark_json(text: str, source: Source) -> None:
    """Places of all values and keys, and keys that stand twice (where the last one counts). `text` is known to be JSON."""
    open_: list[tuple[KeyPath, bool]] = []
    path: KeyPath = ()
    line, line_start, seen = 1, 0, 0
    for token in _JSON_TOKEN.finditer(text):
        start, word = token.start(), token[0]
        newlines = text.count("\n", seen, start)
        if newlines:
            line, line_start = line + newlines, text.rfind("\n", seen, start) + 1
        seen, at = start, (line, start - line_start + 1)
        if word in "}]":
            path = open_.pop()[0]
        elif word == ",":
            path = (*path[:-1], path[-1] + 1) if isinstance(path[-1], int) else path[:-1]
        elif open_ and open_[-1][1] and len(path) == len(open_[-1][0]) and word != ":":
            path = (*path, json.loads(word))
            if path in source.key_marks:
                message = f"the key {path[-1]!r} stands here twice (first in line {source.key_marks[path][0]}): remove or rename one"
                source.faults.append(Fault(place_of(path), message, *at))
            source.key_marks.setdefault(path, at)
        elif word != ":":
            source.marks.setdefault(path, at)
            if word in "{[":
                if len(open_) >= CATALOG_DEPTH_MAX:
                    message = f"nested deeper than {CATALOG_DEPTH_MAX} (CATALOG_DEPTH_MAX): flatten the catalog"
                    raise CatalogError([*source.faults, Fault(place_of(path), message, *at)], source.name)
                open_.append((path, word == "{"))
                path = path if word == "{" else (*path, 0)


def _line_with_caret(text: str, at: Mark | None) -> str:
    if at is None:
        return ""
    lines = text.splitlines()
    line = lines[at[0] - 1] if at[0] <= len(lines) else ""
    return f"{line}\n{' ' * (at[1] - 1)}^" if line else ""


def _refusal(name: str, message: str, at: Mark | None = None, excerpt: str = "") -> CatalogError:
    line, column = at or (None, None)
    return CatalogError([Fault("", message, line, column, excerpt)], name)
