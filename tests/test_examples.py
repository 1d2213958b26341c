"""The examples run as a user runs them, and the demo's acts say what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from nba_engine.catalog import Catalog
from nba_engine.demo import truth
from nba_engine.demo.call import call
from nba_engine.errors import ReplayError
from nba_engine.replay.progressive import LoggedOffer, progressive

EXAMPLES = Path(__file__).parents[1] / "examples"


def output_of(name: str, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_quickstart(tmp_path):
    lines = output_of("quickstart.py", tmp_path)
    assert "for customer-42 on call" in lines[0] and lines[1].endswith("offered 2")
    assert {line.split()[1] for line in lines[2:4]} == {"before-you-go", "pause"}
    assert "       rule actions[0].suitability[0]: monthly_bill < 90.0 is unknown; monthly_bill was not given" in lines


def test_overnight(tmp_path):
    lines = output_of("overnight.py", tmp_path)
    made = int(lines[0].split()[0])
    assert 1_000 < made < 2_000 and lines[0] == f"{made} of 2000 customers got an offer, {made} answers were learned"


def test_contact_centre(tmp_path):
    lines = output_of("contact_centre.py", tmp_path)
    assert "made up" in lines[0]
    assert [line for line in lines if line.startswith("   not unlimited-plus: reason too_expensive: suppressed until 2026-05-02T14:04")]
    assert output_of("contact_centre.py", tmp_path) == lines  # the same each time


def test_health(tmp_path):
    """What docs/health.md says of the example: the alarm is about fibre alone and dated within days, sport is flagged for those it is closed to."""
    lines = output_of("health.py", tmp_path)
    assert lines[0] == "alarms:" and lines[2] == "" and lines[1].startswith("  fibre: something changed about 2026-02-2")
    since, found = (datetime.fromisoformat(day) for day in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", lines[1])[:2])
    assert abs(since - datetime(2026, 2, 23)) < timedelta(days=3) and since < found < datetime(2026, 3, 4)
    assert [line.split()[:2] for line in lines if "sport" in line and " 0.00%" in line] == [["age", f"{n}"] for n in (50, 60, 70)]
    assert not [line for line in lines if line.startswith("gender")]  # it has nothing to do with anything
    told = (EXAMPLES.parent / "docs" / "health.md").read_text("utf-8").split("```\n")
    [shown] = [block.splitlines() for block in told if block.startswith("alarms:")]
    heads = [i for i, line in enumerate(shown) if not re.search(r"\d\d", line)]
    assert [shown[i].split() for i in heads] == [line.split() for line in lines if not re.search(r"\d\d", line)]


@pytest.fixture(scope="module")
def steps():
    return call()


def test_a_skipped_offer_teaches_nothing_and_may_come_back(steps):
    first, skip, *_ = steps
    assert "skips" in skip.title and skip.why == ("it was not shown, so it says nothing about the customer: nothing is learned",)
    assert first.offers[0].action in {offer.action for offer in steps[3].offers}


def test_the_declined_and_what_resembles_it_stay_away_on_every_channel(steps):
    declined = steps[0].offers[1].action
    assert declined == "unlimited-plus" and "too expensive" in steps[2].title
    for step in steps[3], steps[4]:
        alike = {declined, "unlimited-max", "data-booster"}  # the same group; two of three tags in common
        assert len(step.offers) == 3 and alike.isdisjoint(offer.action for offer in step.offers)
        assert alike == {line.split()[1].rstrip(":") for line in step.why if "reason too_expensive" in line}
    assert (steps[3].channel, steps[4].channel) == ("call", "web") and steps[3].at == steps[4].at


def test_a_cancelled_accept_is_taken_back(steps):
    accept, later, cancel, afterwards = steps[5:]
    taken = steps[4].offers[0].action
    before, after = (float(part.split()[0]) for part in accept.why[0].split(": ")[1].split(", "))
    back = [float(part.split()[0]) for part in cancel.why[0].split(": ")[1].split(", ")]
    # What propensities are corrected by keeps what it has seen, as the scaling of facts does, so the last digits differ from before.
    assert after > before and back == pytest.approx([after, before], rel=1e-2) and back[1] < before + (after - before) / 4
    assert any(line.startswith(f"not {taken}: contact_policy sold-already") for line in later.why)
    assert [o.action for o in afterwards.offers] == [o.action for o in steps[3].offers]
    assert [o.propensity for o in afterwards.offers] == pytest.approx([o.propensity for o in steps[3].offers], rel=1e-2)


def test_a_learner_comes_to_choose_what_is_clicked():
    items = [f"item-{i}" for i in range(34)]
    facts = {**{f"user_feature_{i}": "x" for i in range(4)}, "position": "1"}
    p = progressive(truth.catalog(), [LoggedOffer(i, facts, items[i % 34], float(i % 34 == 7)) for i in range(340)])
    assert p[0] == pytest.approx(1 / 34)  # nothing is known yet
    assert np.all(p > 0) and p[7 + 9 * 34] > 0.9  # what was clicked each time


def test_an_answer_depends_on_nothing_that_comes_later():
    catalog = truth.catalog()
    offers = [LoggedOffer(i, {}, f"item-{i % 5}", float(i % 5 == 1)) for i in range(60)]
    assert progressive(catalog, offers)[:30].tolist() == progressive(catalog, offers[:30]).tolist()


def test_an_action_that_the_catalog_does_not_have_is_named():
    with pytest.raises(ReplayError, match="row 1: action 'b' is not among"):
        progressive(Catalog.from_dict({"actions": [{"id": "a"}]}), [LoggedOffer(0, {}, "a", 1.0), LoggedOffer(1, {}, "b", 1.0)])
