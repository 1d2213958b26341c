"""Every code block of README.md and docs/ runs: Python as one program a document, YAML as a catalog, commands as targets of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nba_engine import Catalog

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "python") and d != "docs/replay.md"])  # that one by test_docs_replay.py
def test_python_runs(document, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile("\n".join(blocks(document, "python")), document, "exec"), {})
    assert "funnel" in capsys.readouterr().out


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "yaml")])
def test_yaml_is_a_catalog_without_findings(document):
    for block in blocks(document, "yaml"):
        assert Catalog.from_dict(yaml.safe_load(block)).check() == []


def test_every_block_is_of_a_language_that_is_run():
    spelt = {(d, word) for d in DOCUMENTS for word in re.findall(r"^```(\w+)$", (ROOT / d).read_text("utf-8"), re.MULTILINE)}
    assert {(d, word) for d, word in spelt if word not in ("python", "yaml", "sh")} == set()


def test_commands_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        commands = [line.split("#")[0].split() for block in blocks(document, "sh") for line in block.splitlines()]
        assert all(command[0] == "make" and command[1] in targets for command in commands), document
