"""The page of a report, as a browser shows it: drawn, in light and dark, loading nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nba_engine import cli
from nba_engine.replay import Log, Report, run
from nba_engine.replay.page import page

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"))), None)
_needs_browser = pytest.mark.skipif(_BROWSER is None, reason="there is no chromium on this machine")


def _report(n: int = 2_000, p_target: float | None = None) -> Report:
    chance = np.random.default_rng(8)
    p_log = chance.choice([0.05, 0.25, 0.5], n)
    target = chance.choice([0.1, 0.3], n) if p_target is None else np.full(n, p_target)
    return run(Log.read({"reward": chance.binomial(1, 0.3, n).astype(float), "p_log": p_log, "p_target": target, "<b>&": ["<script>"] * n}))


def _rendered(path: Path, *options: str) -> str:
    """The document after its scripts have run."""
    command = [str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", *options, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@_needs_browser
@pytest.mark.parametrize(("scheme", "darker"), [("1", False), ("0", True)])
def test_a_browser_draws_both_figures_in_light_and_dark(tmp_path: Path, scheme: str, darker: bool) -> None:
    report, path = _report(), tmp_path / "report.html"
    report.to_html(path)
    document = _rendered(path, f"--blink-settings=preferredColorScheme={scheme}", "--window-size=390,900")
    assert document.count('class="main-svg"') >= 2 and "reward per decision" in document and "importance weight w" in document
    labels = re.findall(r'class="ytick"><text[^>]*>([\w ]+?)\s*</text>', document)
    assert set(labels) >= {"snips", "ips", "as logged"} and f"{report.estimates[0].value:.4g} per decision" in document
    ink = re.search(r'class="ytick"><text[^>]*fill: rgb\((\d+)', document)
    assert ink is not None and (int(ink[1]) > 128) == darker  # what is drawn takes the colours of the page


def test_a_page_loads_nothing_and_escapes_what_it_tells() -> None:
    text = page(_report(), "/* plotly */")
    assert not re.search(r"(src|href)\s*=|url\(|@import|<!--\w+-->", text) and "http" not in text
    assert text.count("<script>") == 2 and "verdict ok" in text


def test_a_refused_value_is_not_drawn() -> None:
    report = _report(p_target=0.0)
    text = page(report, "")
    assert "This log cannot say" in text and "verdict refused" in text and '"snips"' not in text
    assert report.warnings[0] in text


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("reward,p_log,p_target\n" + "1,0.5,0.5\n0,0.5,0.5\n" * 400)
    result = CliRunner().invoke(cli.app, ["replay", str(tmp_path / "log.csv"), "--report", str(tmp_path / "out.html")])
    assert result.exit_code == 0 and "0.5 per decision" in (tmp_path / "out.html").read_text("utf-8")
    nowhere = CliRunner().invoke(cli.app, ["replay", str(tmp_path / "log.csv"), "--report", str(tmp_path / "no" / "out.html")])
    assert nowhere.exit_code == 2 and "cannot be written" in nowhere.stderr
