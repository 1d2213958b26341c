"""The conventions that a machine can check, read from the syntax trees of the sources; nothing is imported.

`EXCEPTIONS` may only shrink: an entry that is no longer needed fails, and a new one needs a reason that holds in review.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "nba_engine"

FLOORS = {
    "errors": 0, "records": 0, "schema": 0, "ports": 0, "moments": 0, "numerics": 0,
    "facts": 1, "rules": 1, "contact": 1, "models": 1, "arbitration": 1,
    "catalog": 2, "beliefs": 2, "ledger": 2, "decision": 2, "explaining": 2, "learning": 2, "backfill": 2, "journal": 2,
    "asking": 2, "batch": 2, "sizes": 2, "health": 2, "challenger": 2, "lessons": 2,
    "engine": 3, "memory": 3, "warming": 3, "compiled": 3, "snapshots": 3, "turns": 3,
    "replay": 4, "adapters": 4, "service": 4, "cli": 4, "demo": 4, "exporting": 4, "progress": 4,
    "__main__": 5,
}  # fmt: skip
SIBLINGS = {
    ("beliefs", "catalog"), ("decision", "beliefs"), ("decision", "catalog"), ("ledger", "catalog"), ("ledger", "decision"),
    ("asking", "catalog"), ("batch", "beliefs"), ("batch", "catalog"), ("batch", "decision"),
    ("explaining", "catalog"), ("explaining", "decision"), ("explaining", "ledger"),
    ("learning", "beliefs"), ("learning", "catalog"), ("learning", "ledger"),
    ("learning", "decision"), ("sizes", "learning"), ("backfill", "catalog"), ("backfill", "learning"),
    ("challenger", "beliefs"), ("challenger", "catalog"), ("lessons", "beliefs"), ("lessons", "catalog"), ("lessons", "challenger"),
    ("ledger", "lessons"), ("health", "catalog"), ("health", "challenger"), ("health", "ledger"),
    ("learning", "challenger"), ("learning", "health"), ("learning", "lessons"),
    ("engine", "compiled"), ("engine", "memory"), ("engine", "turns"), ("engine", "warming"), ("warming", "engine"),
    ("memory", "compiled"), ("memory", "snapshots"),
    ("cli", "adapters"), ("cli", "demo"), ("cli", "exporting"), ("cli", "progress"), ("cli", "replay"), ("cli", "service"),
    ("demo", "replay"), ("replay", "exporting"),
}  # fmt: skip
"""Rooms of one floor that may import each other, besides those of floor 0; (importer, imported)."""

HOT_FORBIDDEN = {"time", "random", "os", "socket", "logging", "pandas", "matplotlib", "threading", "secrets", "uuid"}
BANNED_WORDS = {"policy", "weight", "score", "context", "arm", "arms", "pull"}
BANNED_PARTS = {"utils", "util", "helper", "helpers", "core", "manager", "get"}
CALLABLE_BANNED = BANNED_WORDS - {"score"}  # "score" is a verb: a function may be called so
KERNEL_PARAMETERS_MAX, KERNEL_LINES_MAX, FUNCTION_LINES_MAX, FILE_LINES_MAX, LINE_MAX = 12, 40, 70, 400, 150

_PLAIN = "the twin is the plain evaluator rules/plain.py, which shares nothing with the compiled form (tests/test_rules_compiled.py)"
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("twins", "rules.program twin"): _PLAIN,
    ("twins", "rules.truth twin"): _PLAIN,
    ("kernels", "src/nba_engine/arbitration/slates.py:_fill_slate"): "one call for a whole slate instead of nine (docs/decisions/0006)",
    ("kernels", "src/nba_engine/arbitration/slates.py:_fill_slates"): "the same for many rows",
}
"""(rule, place) -> reason."""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree_of(path)))


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py")


def assert_none(rule: str, violations: dict[str, str]) -> None:
    """`violations`: place -> what is wrong. Exceptions of this rule that excuse nothing fail too."""
    excused = {place for name, place in EXCEPTIONS if name == rule}
    stale = [f"{place}: exception no longer needed, remove it" for place in sorted(excused - violations.keys())]
    wrong = [f"{place}: {what}" for place, what in sorted(violations.items()) if place not in excused]
    assert wrong + stale == [], "\n".join([f"rule {rule!r}:", *wrong, *stale])


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import; those under TYPE_CHECKING count as well, types bind rooms together too."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place_of(path)}:{node.lineno} imports relatively; write the whole name"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


@cache
def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in nodes_of(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def n_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def kernels_of(path: Path) -> list[ast.FunctionDef]:
    return [f for f in functions_of(path) if isinstance(f, ast.FunctionDef) and any(ast.unparse(d) == "kernel" for d in f.decorator_list)]


def test_floors_are_respected():
    violations, siblings = {}, set()
    for path in sources(PACKAGE):
        room = room_of(path)
        if path == PACKAGE / "__init__.py":
            continue
        assert room in FLOORS, f"{room} has no floor: give it one in FLOORS"
        for line, name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "nba_engine" or len(parts) < 2 or parts[1] == room or parts[1] not in FLOORS:
                continue
            below = FLOORS[parts[1]] < FLOORS[room]
            siblings.add((room, parts[1]))
            if not (below or FLOORS[room] == FLOORS[parts[1]] == 0 or (room, parts[1]) in SIBLINGS):
                violations[f"{place_of(path)}:{line}"] = f"{room} (floor {FLOORS[room]}) imports {parts[1]} (floor {FLOORS[parts[1]]})"
    violations |= {f"SIBLINGS {pair}": "nobody imports so, remove it" for pair in SIBLINGS - siblings}
    assert_none("floors", violations)


def test_the_page_about_the_source_names_every_room_and_its_floor():
    told = re.findall(r"^\| (\d) \| `(\w+)` \| \w", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE)
    assert {room: int(floor) for floor, room in told} == FLOORS and len(told) == len(FLOORS)


def test_hot_floors_import_no_clock_chance_or_machine():
    hot = [path for path in sources(PACKAGE) if FLOORS.get(room_of(path), 9) <= 1 or room_of(path) in ("decision", "beliefs")]
    assert_none("hot imports", {
        f"{place_of(path)}:{line}": f"imports {name}" for path in hot for line, name in imports_of(path) if name.split(".")[0] in HOT_FORBIDDEN
    })  # fmt: skip


def test_kernels_are_named_small_and_narrow():
    violations = {}
    for path in sources(PACKAGE):
        for f in kernels_of(path):
            n_parameters = len(f.args.args)
            faults = [
                "" if f.name.startswith("_fill") else "name it _fill_<result>",
                "" if n_lines(f) <= KERNEL_LINES_MAX else f"{n_lines(f)} lines, at most {KERNEL_LINES_MAX}",
                "" if n_parameters <= KERNEL_PARAMETERS_MAX else f"{n_parameters} parameters, at most {KERNEL_PARAMETERS_MAX}",
            ]
            if any(faults):
                violations[f"{place_of(path)}:{f.name}"] = ", ".join(filter(None, faults))
    assert_none("kernels", violations)


def test_every_kernel_room_has_a_twin_and_a_benchmark():
    """A twin in tests/naive/ that a test imports, and a benchmark that imports the room; by room, or by file for files of rooms."""
    violations = {}
    texts = {folder: [p.read_text("utf-8") for p in sources(ROOT / folder)] for folder in ("tests", "benchmarks")}
    twins = [(p, p.read_text("utf-8")) for p in sources(ROOT / "tests" / "naive")]
    for path in sources(PACKAGE):
        if not kernels_of(path):
            continue
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        inside = path.relative_to(PACKAGE).as_posix()
        named = [p.stem for p, text in twins if inside in text or p.stem in (room_of(path), path.stem)]
        if not any(re.search(rf"naive(\.| import ){twin}\b", text) for twin in named for text in texts["tests"]):
            violations[f"{module} twin"] = f"no twin of {inside}: a file of tests/naive/ that names it and that a test imports"
        if not any(f"nba_engine.{room_of(path)}" in text for text in texts["benchmarks"]):
            violations[f"{module} benchmark"] = "no file of benchmarks/ imports this room"
    assert_none("twins", violations)


def test_twins_owe_nothing_to_what_they_check():
    floor_0 = tuple(f"nba_engine.{room}" for room, floor in FLOORS.items() if floor == 0)
    assert_none("twins import", {
        f"{place_of(path)}:{line}": f"imports {name}"
        for path in sources(ROOT / "tests" / "naive") for line, name in imports_of(path)
        if name.startswith("nba_engine") and not name.startswith(floor_0)
    })  # fmt: skip


def test_functions_files_and_lines_are_short():
    violations = {}
    for path in sources(PACKAGE, ROOT / "tests", ROOT / "benchmarks", ROOT / "examples", ROOT / "scripts"):
        lines = path.read_text("utf-8").splitlines()
        if len(lines) > FILE_LINES_MAX:
            violations[place_of(path)] = f"{len(lines)} lines, at most {FILE_LINES_MAX}"
        for number, line in enumerate(lines, start=1):
            if len(line) > LINE_MAX:
                violations[f"{place_of(path)}:{number}"] = f"{len(line)} characters, at most {LINE_MAX}"
        for f in functions_of(path):
            if n_lines(f) > FUNCTION_LINES_MAX:
                violations[f"{place_of(path)}:{f.name}"] = f"{n_lines(f)} lines, at most {FUNCTION_LINES_MAX}"
    assert_none("size", violations)


def public_names(path: Path) -> Iterator[tuple[str, str]]:
    """Kind and name of what a module offers: itself, its functions, classes, methods, fields, constants and their parameters."""
    yield "module", path.stem
    for node in tree_of(path).body:
        yield from _names(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                yield from _names(member)


def _names(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
        yield "function", node.name
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            yield "parameter", argument.arg
    elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        yield "class", node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                yield "name", target.id


def test_words_of_the_glossary():
    violations = {}
    for path in sources(PACKAGE):
        for kind, name in public_names(path):
            parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
            bare = "_".join(parts) in (CALLABLE_BANNED if kind == "function" else BANNED_WORDS)
            if bare or BANNED_PARTS & set(parts) or name.lower().startswith("propensity_score"):
                violations[f"{place_of(path)}:{name}"] = f"{kind} {name!r} is a banned word (see the glossary)"
    assert_none("words", violations)


def test_all_is_sorted_and_true():
    violations = {}
    for path in sources(PACKAGE):
        body = tree_of(path).body
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                known = {name for statement in body for name in _defined(statement)}
                if names != sorted(names):
                    violations[place_of(path)] = "__all__ is not sorted"
                elif missing := set(names) - known:
                    violations[place_of(path)] = f"__all__ names what is not there: {sorted(missing)}"
    assert_none("__all__", violations)


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            if ast.unparse(node.targets[0]) == "_HOMES":  # the lazy imports of the package itself
                yield from ast.literal_eval(node.value)


def test_only_the_command_line_prints():
    paths = [path for path in sources(PACKAGE) if room_of(path) not in ("cli", "demo")]
    assert_none("print", {
        f"{place_of(path)}:{node.lineno}": "prints"
        for path in paths for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    })  # fmt: skip


def test_errors_are_not_swallowed():
    """Every handler names its exception; one that does nothing, and `with suppress(...)`, has a comment that says why."""
    violations = {}
    for path in sources(PACKAGE):
        lines = path.read_text("utf-8").splitlines()
        for node in nodes_of(path):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                violations[f"{place_of(path)}:{node.lineno}"] = "catches everything; name the exception"
            elif _does_nothing_about_errors(node) and not any("#" in line for line in lines[node.lineno - 1 : node.body[-1].end_lineno]):
                violations[f"{place_of(path)}:{node.lineno}"] = "passes over an error without a comment that says why"
    assert_none("swallowed errors", violations)


def _does_nothing_about_errors(node: ast.AST) -> bool:
    if isinstance(node, ast.With):
        return any(ast.unparse(item.context_expr).startswith(("suppress(", "contextlib.suppress(")) for item in node.items)
    return isinstance(node, ast.ExceptHandler) and {ast.unparse(statement) for statement in node.body} <= {"pass", "...", "continue", "break"}


def test_asserts_say_something():
    """`assert x`, `assert x is not None` and `assert len(x) > 0` hold for almost any answer."""
    violations = {}
    for path in sources(ROOT / "tests", ROOT / "benchmarks"):
        for node in nodes_of(path):
            if isinstance(node, ast.Assert) and _is_weak(ast.unparse(node.test)):
                violations[f"{place_of(path)}:{node.lineno}"] = ast.unparse(node.test)
    assert_none("weak asserts", violations)


def _is_weak(text: str) -> bool:
    return bool(re.fullmatch(r".* is not None|len\([^()]*\)( > 0| >= 1)?|[a-z_]\w*|True", text)) and " and " not in text


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md")))])
def test_paths_named_in_documents_exist(document):
    path = ROOT / document
    text = path.read_text("utf-8")
    named = set(re.findall(r"`((?:src|tests|docs|benchmarks|examples|scripts)/[\w./-]+)`", text))
    linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    missing = [name for name in sorted(named) if not (ROOT / name).exists()]
    missing += [link for link in sorted(linked) if not (path.parent / link).exists()]
    missing += [m for m in re.findall(r"python -m (benchmarks\.[\w.]+)", text) if not (ROOT / (m.replace(".", "/") + ".py")).exists()]
    assert missing == []
