"""The command line as a user types it: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nba_engine import cli
from tests.test_catalog_faults import FAULTY, PLACES

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "catalog.yaml")
SOUND = """\
facts: {age: int, bill: double}
channels: {call: {}}
actions:
  - {id: club, eligibility: "age >= 18", value: "bill * 2.0", script: "Join us?"}
"""


def run(*arguments: object):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_check_of_a_sound_catalog():
    result = run("check", EXAMPLE)
    assert (result.exit_code, result.stdout) == (0, f"{EXAMPLE}: 10 actions, 0 findings\n")
    result = run("check", EXAMPLE, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"catalog": "telco", "version": "2026-11-22", "faults": [], "findings": []})


def test_the_package_is_the_command_too():
    ran = subprocess.run([sys.executable, "-m", "nba_engine", "check", EXAMPLE], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{EXAMPLE}: 10 actions, 0 findings\n", "")


def test_check_with_findings(tmp_path):
    path = written(tmp_path, "catalog.yaml", SOUND.replace('"age >= 18"', '["age > 18", "age < 3"]'))
    result = run("check", path)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].endswith("1 action, 1 finding") and "  error: actions[0]: this action can never be offered" in result.stdout
    [finding] = json.loads(run("check", path, "--json").stdout)["findings"]
    assert (finding["severity"], finding["place"]) == ("error", "actions[0]")


def test_check_of_a_catalog_with_many_faults_tells_them_all(tmp_path):
    path = written(tmp_path, "catalog.yaml", FAULTY)
    result = run("check", path)
    assert result.exit_code == 2 and result.stdout == "" and f"{len(PLACES)} faults" in result.stderr and len(PLACES) >= 10
    for place, line, column, message in PLACES:
        assert f"{place} (line {line}, column {column}): {message}" in result.stderr
    result = run("check", path, "--json")
    faults = json.loads(result.stdout)["faults"]
    assert result.exit_code == 2 and [(f["place"], f["line"], f["column"]) for f in faults] == [place[:3] for place in PLACES]


@pytest.mark.parametrize("command", [("check", "nowhere.yaml"), ("decide", "nowhere.yaml", "--facts", "nowhere.json")])
def test_a_file_that_is_not_there_is_wrong_use(command):
    result = run(*command)
    assert result.exit_code == 2 and "nowhere.yaml: 1 fault" in result.stderr and "cannot be read" in result.stderr


@pytest.mark.parametrize("command", [("decide", EXAMPLE), ("chek",), ("check",), ("decide", EXAMPLE, "--facts", EXAMPLE, "--limit", "many")])
def test_wrong_arguments_are_wrong_use(command):
    assert run(*command).exit_code == 2


@pytest.mark.parametrize(("name", "facts"), [("facts.json", '{"age": 41, "bill": 30}'), ("facts.yaml", "age: 41\nbill: 30\n")])
def test_decide_reads_facts_and_explains(tmp_path, name, facts):
    catalog = written(tmp_path, "catalog.yaml", SOUND)
    result = run("decide", catalog, "--facts", written(tmp_path, name, facts), "--channel", "call", "--subject", "anna")
    assert result.exit_code == 0
    first, funnel, offer, script = result.stdout.splitlines()
    assert "for anna on call" in first and "eligibility 1 > " in funnel
    assert offer.startswith("  1. club  propensity") and "value 60" in offer and script == "  1. says: Join us?"


def test_decide_as_json_and_with_an_unknown_fact(tmp_path):
    catalog = written(tmp_path, "catalog.yaml", SOUND)
    result = run("decide", catalog, "--facts", written(tmp_path, "facts.json", '{"age": 17, "bill": 30, "shoe": 43}'), "--limit", 3, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0 and told["decision"]["offers"] == [] and "no fact 'shoe'" in result.stderr
    [action] = told["actions"]
    assert action["stage"] == "eligibility" and action["reasons"][0] == {
        "kind": "rule", "name": "actions[0].eligibility[0]", "text": "age >= 18", "verdict": "false", "because": "age >= 18: age is 17"}


@pytest.mark.parametrize(("facts", "channel", "problem"), [
    ('{"age": "forty"}', "call", "age"), ('{"age": 41}', "fax", "channel 'fax' is not in the catalog"), ("[41]", "call", "needed a mapping of facts"),
    ('{"age": 41', "call", "facts.json: 1 fault\n  facts (line 1, column 11): this is not JSON"), ('{"age": 41, "age": 42}', "call", "age"),
])  # fmt: skip
def test_bad_facts_print_their_text(tmp_path, facts, channel, problem):
    catalog = written(tmp_path, "catalog.yaml", SOUND)
    arguments = ("decide", catalog, "--facts", written(tmp_path, "facts.json", facts), "--channel", channel)
    result = run(*arguments)
    assert result.exit_code == 2 and result.stdout == "" and problem in result.stderr and "Traceback" not in result.stderr
    result = run(*arguments, "--json")
    assert result.exit_code == 2 and problem in json.loads(result.stdout)["error"]


def test_warm_says_how_long_it_took():
    result = run("warm", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["seconds"] > 0
    assert run("warm").stdout.startswith("kernels are ready, after ")


def test_bench_measures_the_two_calls():
    p50s = json.loads(run("bench", "--json").stdout)
    assert 0 < p50s["decide_us_p50"] <= p50s["decide_us_p99"] and 0 < p50s["record_us_p50"] <= p50s["record_us_p99"]
    assert run("bench").stdout.startswith("Measured here, on the catalog of the call")


def test_help_loads_nothing_heavy():
    program = ("import sys; from typer.testing import CliRunner; from nba_engine import cli; result = CliRunner().invoke(cli.app, ['--help']); "
               "print(result.exit_code, sorted({'numba', 'numpy', 'pydantic', 'pyarrow', 'lark', 'yaml'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "0 []"


def test_demo_tells_both_acts():
    result = run("demo")
    assert result.exit_code == 0
    for words in ("1. Truth", "ZOZO, Inc., CC BY 4.0", "BTS, as it ran", "this engine, estimated", "refused, because", "learner warming up",
                  "2. Call: made up", "too_expensive", "decide p50", "The whole demo took"):
        assert words in result.stdout, words


def test_demo_as_json_holds_the_figures():
    result = run("demo", "--json")
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    estimates = {row["name"]: row["estimate"] for row in told["truth"]["rows"]}
    assert estimates["BTS, as it ran"]["value"] == pytest.approx(0.0069)
    assert estimates["always item 5, estimated"]["verdict"] == "refused" and 30 < estimates["this engine, estimated"]["ess"] < 10_000
    assert told["call"]["made_up"] and len(told["call"]["steps"]) == 9
    assert 0 < told["latency"]["decide_us_p50"] <= told["latency"]["decide_us_p99"]
