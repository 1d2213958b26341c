"""docs/replay.md is played from top to bottom in an empty folder: its Python runs, its files are written, its commands print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nba_engine import cli
from nba_engine.replay import ESTIMATORS

DOCUMENT = Path(__file__).parents[1] / "docs" / "replay.md"


def played(text: str) -> list[tuple[str, str]]:
    """Every command of the document with what it printed, standard output before standard error."""
    known: dict[str, object] = {}
    found: list[tuple[str, str]] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = block.splitlines()[0]
        if language == "python":
            exec(compile(block, "docs/replay.md", "exec"), known)
        elif first.startswith("$ nba "):
            result = CliRunner().invoke(cli.app, shlex.split(first)[2:], terminal_width=100)
            found.append((first, "\n".join(line.rstrip() for line in (result.stdout + result.stderr).splitlines())))
        else:
            Path(first.removesuffix(":")).write_text(block.removeprefix(first + "\n"))
    return found


def _words(command: str, output: str) -> tuple[str, str]:
    """All of it; for a catalog, whose own reward model may become better, without the figures of what uses it and the table's lines."""
    if "--target" not in command:
        return command, output
    output = re.sub(r"(?m)^│ (dr|sndr|dm) .*$", r"\1", output)
    return command, re.sub(r"[\s━─┏┓┡┩┳╇┴└┘┃│]+", " ", output)


def test_what_it_says_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text("utf-8")
    said = [tuple(block.rstrip("\n").split("\n", 1)) for block in re.findall(r"^```\n(\$ nba .*?)^```$", text, re.MULTILINE | re.DOTALL)]
    assert [_words(*one) for one in played(text)] == [_words(command, output) for command, output in said]
    assert (tmp_path / "out.html").read_text("utf-8").count("per decision") > 1


def test_every_estimator_is_explained() -> None:
    table = DOCUMENT.read_text("utf-8").partition("## What each estimator assumes")[2]
    assert {name for name in ESTIMATORS if not re.search(rf"^\|[^|]*\b{name}\b", table, re.MULTILINE)} == set()
