"""A log decided again: under its own catalog it gives back the very probabilities that were logged; under another one, what that would do."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nba_engine as nba
from nba_engine.errors import ReplayError
from nba_engine.replay import Log, run, targets
from tests import shop
from tests.shop import ADULT, HOUR, MINUTE, NOON

_NAMES = tuple(f"subject-{i}" for i in range(14))
_LABELS = ("accepted", "declined", "declined", "maybe", "skipped", None)


def _catalog(**changes: Any) -> nba.Catalog:
    weekly = {"name": "weekly", "scope": "group", "label": "presented", "count": 4, "within": "2d"}
    return shop.catalog(**{"contact_policies": [shop.NO_NAGGING, weekly], **changes})


def _played(folder: Path, n: int = 150, catalog: nba.Catalog | None = None, seed: int = 4) -> Path:
    """A store in which `n` decisions stand, on all channels, for few subjects, with answers that come back later."""
    chance, at = random.Random(seed), NOON
    waiting: list[tuple[Any, ...]] = []
    with shop.engine(catalog=catalog or _catalog(), store=folder, clock=shop.HandClock(), sync="os") as engine:
        for _ in range(n):
            at += chance.choice([MINUTE, HOUR, 7 * HOUR])
            for due in sorted(one for one in waiting if one[0] <= at):
                waiting.remove(due)
                engine.record(due[1], due[2], action=due[3], reason=due[4], at=due[0])
            engine.advance(at)
            facts = {**ADULT, "age": chance.randint(10, 70), "bill": chance.random() * 120, "tariff": chance.choice(["gold", "basic"])}
            channel = chance.choice(["call", "web", "mail", None])
            decision = engine.decide(chance.choice(_NAMES), channel=channel, facts=facts, limit=2, at=at)
            for offer in decision.offers[: chance.randint(0, 2)]:
                label = chance.choice(_LABELS)
                if label is not None:
                    reason = chance.choice([None, "too_expensive", "already_have"]) if label == "declined" else None
                    waiting.append((at + chance.choice([timedelta(seconds=9), HOUR]), decision.id, label, offer.action, reason))
    return folder


def _probabilities(log: Log, target: nba.Catalog | nba.Engine) -> tuple[Any, targets.Asked]:
    asked = targets.ask(log.table, target, keep_pmf=True)
    first = asked.table.filter(np.asarray(asked.table.column("rank")) == 1)
    return first.column("p_log").to_numpy(), asked


def test_its_own_catalog_chooses_as_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contact history, facts, channels and every lesson stand again as they stood: the law of each row is the one that was drawn from."""
    monkeypatch.setattr(targets, "LEARNED_SHARE", 10_000)
    catalog = _catalog(model={"kind": "beta_bernoulli"})  # what probit hands on among relatives depends on when it does so
    log = Log.read(_played(tmp_path / "store", catalog=catalog))
    p_log, asked = _probabilities(log, catalog)
    assert len(p_log) > 100 and np.abs(asked.p_target - p_log).max() < 1e-9
    report = run(log, catalog, adaptive=False)
    by_name = {one.estimator: one for one in report.estimates}
    assert by_name["ips"].value == pytest.approx(report.logged.value) and by_name["ips"].ess == pytest.approx(len(p_log))


def test_rows_decided_together_know_nearly_as_much(tmp_path: Path) -> None:
    p_log, asked = _probabilities(Log.read(_played(tmp_path / "store")), _catalog())
    assert np.abs(asked.p_target - p_log).mean() < 0.1 and asked.q_target is not None
    assert asked.pmf is not None and asked.pmf.total == pytest.approx(np.ones(len(p_log)), abs=1e-9)
    logged = asked.table.filter(np.asarray(asked.table.column("rank")) == 1)["action"].to_pylist()
    numbers = np.array([asked.actions.index(action) for action in logged])
    assert asked.pmf.of(numbers)[0] == pytest.approx(asked.p_target)


def test_a_changed_rule_is_worth_what_its_rows_earned() -> None:
    """Uniform log over two actions; a target that may only offer one of them earns that one's mean."""
    chance = np.random.default_rng(3)
    n = 4_000
    action, age = chance.choice(["sport", "stay"], n), chance.integers(20, 60, n)
    reward = chance.binomial(1, np.where(action == "sport", 0.5, 0.2)).astype(float)
    at = [1_772_452_800_000_000 + 1_000_000 * i for i in range(n)]
    log = Log.read({"reward": reward, "p_log": [0.5] * n, "action": action, "at": at, "age": age, "bill": [50.0] * n})
    only = [{"id": "sport", "eligibility": "age >= 18"}, {"id": "stay", "eligibility": "age >= 200"}]
    report = run(log, shop.catalog(actions=only, issues={}, contact_policies=[]))
    values = {one.estimator: one for one in report.estimates}
    assert values["snips"].value == pytest.approx(reward[action == "sport"].mean(), abs=1e-9)
    assert values["ips"].interval[0] < 0.5 < values["ips"].interval[1] and report.verdict == "ok"
    assert values["dr"].std_error < values["ips"].std_error
    assert any("names no subjects" in note for note in report.notes)


def test_a_catalog_without_facts_can_be_asked() -> None:
    """Uniform choice among both, judged by a log that chose so: what was earned."""
    log = Log.read({"reward": [0.0, 1.0] * 200, "p_log": [0.5] * 400, "action": ["a", "b"] * 200, "at": list(range(400))})
    catalog = nba.Catalog.from_dict({"actions": [{"id": "a"}, {"id": "b"}], "exploration": {"kind": "uniform"}})
    assert run(log, catalog).estimates[0].value == pytest.approx(0.5)


def test_an_action_that_the_log_never_shows_is_refused() -> None:
    n = 400
    log = Log.read({"reward": [0.0, 1.0] * (n // 2), "p_log": [1.0] * n, "action": ["sport"] * n, "at": list(range(n)), "age": [40] * n})
    report = run(log, shop.catalog(actions=[{"id": "sport"}, {"id": "brand-new"}], issues={}, contact_policies=[]))
    assert report.verdict == "refused" and "could never be in the log" in report.warnings[0]
    assert any("the log never shows 'brand-new'" in note for note in report.notes)


def test_what_may_offer_nothing_is_not_normalised() -> None:
    n = 600
    ages = [10, 40, 40] * (n // 3)
    log = Log.read({"reward": [0.0, 1.0] * (n // 2), "p_log": [1.0] * n, "action": ["sport"] * n, "at": list(range(n)), "age": ages})
    report = run(log, shop.catalog(actions=[{"id": "sport", "eligibility": "age >= 18"}], issues={}, contact_policies=[]))
    assert [one.estimator for one in report.estimates] == ["ips", "dr", "dm"]
    assert any("offers nothing in 33.3% of the decisions" in note for note in report.notes)


def test_an_engine_decides_by_its_beliefs_as_they_stand(tmp_path: Path) -> None:
    log = Log.read(_played(tmp_path / "store", n=60))
    _ = log.table
    with nba.Engine(_catalog(), store=tmp_path / "store") as engine:
        before = shop.everything(engine)
        report = run(log, engine)
        assert shop.everything(engine) == before
    assert "as they stand now" in report.notes[0] and [one.estimator for one in report.estimates][:2] == ["snips", "ips"]
    asked = targets.ask(log.table, nba.Engine(_catalog()))
    assert asked.q_logged is None and asked.p_target.max() <= 1


def test_shown_and_declined_before_is_suppressed() -> None:
    """The second row comes after a decline of the same action: the target may not repeat it, by its own contact policy."""
    at = [0, 3_600_000_000]
    log = {"reward": [0.0, 1.0], "p_log": [0.5, 0.5], "action": ["sport", "sport"], "subject": ["anna", "anna"], "label": ["declined", "accepted"]}
    catalog = shop.catalog(actions=[{"id": "sport"}, {"id": "stay"}], issues={})
    _, asked = _probabilities(Log.read({**log, "at": at, "rank": [1, 1]}), catalog)
    assert asked.p_target[0] == pytest.approx(0.5) and asked.p_target[1] == 0.0
    _, strangers = _probabilities(Log.read({**log, "at": at, "rank": [1, 1], "subject": ["anna", "ben"]}), catalog)
    assert strangers.p_target[1] > 0.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"action": ["club", "club"]}, "none of the log's actions is in the catalog"),
        ({"channel": ["fax", None]}, "channel 'fax' of the log is not in the catalog"),
        ({"at": ["soon", "later"]}, "row 0: column at: got 'soon'"),
        ({"reward": [7.0, 0.0]}, "rewards reach from 0 to 7"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], text: str) -> None:
    columns = {"reward": [1.0, 0.0], "p_log": [0.5, 0.5], "action": ["sport", "stay"], "at": [1, 2]} | changes
    with pytest.raises(ReplayError, match=text):
        run(Log.read(columns), shop.catalog())


def test_money_is_judged_where_labels_say_what_to_learn() -> None:
    columns = {"reward": [70.0, 0.0], "p_log": [0.5, 0.5], "action": ["sport", "stay"], "at": [1, 2], "label": ["accepted", "declined"]}
    asked = targets.ask(Log.read(columns).table, shop.catalog())
    assert asked.q_target is None and asked.p_target.tolist() == [0.0, 1.0]  # sport needs an age
