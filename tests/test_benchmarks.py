"""What the benchmarks lean on: peers that can be imported without their libraries and do their work, stages that are where the breakdown looks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import open_world, stages, world
from benchmarks.learning import crossing, fixed_point, play
from benchmarks.learning import world as small_world
from benchmarks.peers import generated, gittins_, linucb, mabwiser_, vw, zen

from nba_engine.facts.features import Features

ROOT = Path(__file__).parents[1]
LIBRARIES = {"gittins": "gittins_", "vowpalwabbit": "vw", "mabwiser": "mabwiser_", "zen": "zen", "cel_expr_python": "cel_expr"}
N_FACTS, N_ROUNDS = 4, 1_500
BANDITS = {
    "numpy": lambda: linucb.LinUcb(2, N_FACTS),
    "gittins": lambda: gittins_.Gittins(2),
    "vowpalwabbit": lambda: vw.AdfVw(2),
    "vowpalwabbit, fixed": lambda: vw.FixedVw(2),
}


def test_every_peer_can_be_imported_where_its_library_is_missing():
    blocked = f"import sys; sys.modules.update(dict.fromkeys({list(LIBRARIES)}))"
    modules = [f"benchmarks.peers.{path.stem}" for path in sorted((ROOT / "benchmarks" / "peers").glob("*.py"))]
    code = f"{blocked}\nimport importlib\nfor name in {modules}: importlib.import_module(name.removesuffix('.__init__'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {f"benchmarks.peers.{stem}" for stem in LIBRARIES.values()} < set(modules)


@pytest.mark.parametrize("name", BANDITS)
def test_a_bandit_learns_which_action_pleases_whom(name):
    """The customer's first category says which of two actions is accepted; drawing blindly is right half of the time."""
    pytest.importorskip(name.split(",")[0])
    peer, right = BANDITS[name](), []
    for k in range(N_ROUNDS):
        facts = {"category_0": f"category_0-{k * 7 % 3 % 2}", "category_1": "category_1-0", "number_0": 0.5, "number_1": k % 10 / 10}
        choice = peer.decide(facts)
        right.append(choice.action == int(facts["category_0"][-1]))
        peer.learn(facts, choice, float(right[-1]))
    assert sum(right[-500:]) > 400


def test_mabwiser_takes_what_its_rows_say_and_learns_from_one_more():
    pytest.importorskip("mabwiser")
    peer = mabwiser_.MabWiser(6, N_FACTS)
    facts = open_world.customers(N_FACTS, 1, seed=9)[0]
    for _ in range(30):
        choice = peer.decide(facts)
        peer.learn(facts, choice, float(choice.action == 4))
    assert peer.decide(facts).action == 4


@pytest.mark.parametrize("form", [zen.ZenTable, zen.ZenExpression])
def test_zen_finds_the_actions_that_generated_python_finds(form):
    pytest.importorskip("zen")
    made = world.make(60)
    peer, python = form(made), generated.GeneratedRules(made)
    customers = world.customers(40)
    found = [python.decide(c) for c in customers]
    assert [peer.decide(c) for c in customers] == found
    assert 0 < sum(map(len, found)) < 40 * 60


def test_every_stage_of_the_breakdown_is_still_called_so():
    assert [what for what, module, attribute in stages.STAGES if not stages.found(module, attribute)] == []


def test_a_learner_goes_on_with_a_cross(monkeypatch):
    monkeypatch.setattr(crossing, "N", 40)
    facts, types, _ = crossing.world(1, (1, 3))
    rows = play.encode(facts, types)
    features = Features(rows.columns)
    learner = crossing.Watching(rows, features, play.probit(features, play.one_group(2)), 2)
    prior = learner.model._prior.copy()
    learner._cross(("x1", "x3"))
    assert learner.model._prior.tolist() == prior.tolist()
    for i in range(40):
        learner.predict(i)
        learner.learn(i, i % 2, 1.0)
    assert learner.model._sums[0, features.n_features :, 0].any() and learner.watch.n_seen == 40


def test_integer_beliefs_are_measured_beside_exact_ones(monkeypatch, capsys):
    whole = small_world.make(1)
    monkeypatch.setattr(fixed_point.world, "make", lambda seed: dataclasses.replace(whole, noise=whole.noise[:300]))
    fixed_point.main()
    assert float(capsys.readouterr().out.split()[5]) < 1e-3
