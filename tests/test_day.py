"""A whole day: seeded interactions with delays, drops, duplicates, late and contradicting answers, a clock that goes back, reloads, restarts.

Afterwards the invariants hold, the day with restarts equals the day without, and the journal alone brings it all back.
"""

from __future__ import annotations

import heapq
import math
import random
import shutil
from collections import Counter, defaultdict
from datetime import timedelta

import pytest

import nba_engine as nba
from nba_engine.journal.store import Store
from tests.shop import ADULT, MINUTE, NOON, actions, catalog, engine, everything, written

N_INTERACTIONS = 1500
N_SUBJECTS = 400
RELOADS = {500: "2", 900: "1"}
RESTARTS = {300: "close", 700: "drop", 1100: "close", 1101: "drop"}
SUPPRESSING = ("declined",)


def day_catalog(version):
    base = written()["actions"]
    more = [{"id": f"a{i}", "issue": "sales", "group": "net", "value": 6 + i % 3, "eligibility": [f"age >= {20 + i}"]} for i in range(8)]
    base = [*base, *more] if version == "1" else [more[0], *base[1:], *more[1:5]]
    return catalog(version=version, actions=base, exploration={"kind": "thompson", "uniform_share": 0.05})


class Day:
    """Plays the day against an engine; the same seed gives the same day, whatever the engine's decisions are called."""

    def __init__(self, seed, folder=None, **options):
        self.random, self.options = random.Random(seed), options
        self.folder, self.version = folder, "1"
        self.shop = self.open()
        self.now = NOON
        self.later: list = []
        self.n_later = self.n_new = self.n_silent = 0
        self.decisions: list[nba.Decision] = []
        self.standing: dict[tuple[int, str], str] = {}
        self.drawn: Counter = Counter()
        self.expected: defaultdict = defaultdict(lambda: [0.0, 0.0])

    def open(self):
        return engine(catalog=day_catalog(self.version), store=self.folder, sync="os", **self.options)

    def restart(self, how):
        if how == "close":
            self.shop.close()
        else:
            self.shop.flush()
            self.shop._memory._journal._release()
        self.shop = self.open()

    def play(self, restarts):
        for i in range(N_INTERACTIONS):
            if i in restarts:
                self.restart(restarts[i])
            if i in RELOADS:
                self.version = RELOADS[i]
                self.shop.reload(day_catalog(self.version))
            self.now += timedelta(seconds=self.random.expovariate(1 / 40))
            while self.later and self.later[0][0] <= self.now:
                at, _, tell = heapq.heappop(self.later)
                tell(at)
            if i % 25 == 0:
                self.n_silent += self.shop.advance(self.now)
            self.interact(i)
        return self

    def interact(self, i):
        draw = self.random
        facts = {**ADULT, "age": draw.randint(16, 70), "bill": draw.choice([None, 20.5, 60.0, 95.0]), "tariff": f"t{draw.randint(0, 9)}"}
        at = self.now - timedelta(seconds=draw.choice([0, 0, 0, 45, 600]))
        subject = f"s{draw.randrange(N_SUBJECTS)}"
        decision = self.shop.decide(subject, channel=draw.choice(["call", "web", "mail"]), facts=facts, limit=draw.randint(1, 3), at=at)
        self.decisions.append(decision)
        self.check(decision)
        for offer in decision.offers[: draw.randint(1, 3)]:
            self.answer(i, decision.id, offer, draw)

    def answer(self, i, decision_id, offer, draw):
        fate = draw.random()
        if fate < 0.2:
            return  # lost on the way
        labels = ["skipped"] if fate < 0.27 else ["accepted" if draw.random() < 0.1 + 0.05 * len(offer.action) else "declined"]
        if draw.random() < 0.1:
            labels.append(draw.choice(["accepted", "declined", "skipped"]))
        if labels[-1] == "accepted" and draw.random() < 0.3:
            labels.append("cancelled")
        after = timedelta(0)
        for k, label in enumerate(labels):
            after += draw.choice([1, 5, 50, 300]) * MINUTE * draw.random()
            reason = draw.choice([None, "too_expensive", "already_have"]) if label == "declined" else None
            event_id = f"{i} {offer.action} {k}" if draw.random() < 0.5 else None
            for _ in range(2 if event_id and draw.random() < 0.3 else 1):
                self.n_later += 1
                heapq.heappush(self.later, (self.now + after, self.n_later, self.telling(i, decision_id, offer, label, reason, event_id)))

    def telling(self, i, decision_id, offer, label, reason, event_id):
        def tell(at):
            receipt = self.shop.record(decision_id, label, action=offer.action, reason=reason, event_id=event_id, at=at)
            if not receipt.duplicate:
                self.n_new += 1
                self.standing[i, offer.action] = label

        return tell

    def check(self, decision):
        """No action is offered whose decline still stands; drawn and expected are counted."""
        asked = {k for k, d in enumerate(self.decisions) if d.subject == decision.subject}
        declined = {action for (k, action), label in self.standing.items() if k in asked and label in SUPPRESSING}
        assert not declined & set(actions(decision)), decision
        assert decision.funnel["contact"] == decision.funnel.get("suitability", 0) - len(declined & self.eligible(decision))
        kept = self.shop._memory.find(decision.id)
        for k, p in enumerate(kept.judgement.first_pmf.tolist()):
            name = kept.plan.action_ids[kept.plan.action[kept.judgement.survivors[k]]]
            self.expected[name][0] += p
            self.expected[name][1] += p * (1 - p)
        for offer in decision.offers[:1]:
            self.drawn[offer.action] += 1

    def eligible(self, decision):
        """The actions that no rule stopped."""
        by_rules = ("available", "eligibility", "applicability", "suitability")
        return {a.action for a in self.shop.explain(decision.id).actions if a.stage not in by_rules}


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return Day(7, tmp_path_factory.mktemp("day") / "store", explained_decisions_max=60).play(RESTARTS)


def test_the_day_had_everything(day):
    assert day.n_new > 1500 and day.n_silent > 200 and len(day.decisions) == N_INTERACTIONS
    assert set(day.standing.values()) == {"accepted", "declined", "skipped", "cancelled"}
    assert {d.catalog_version for d in day.decisions} == {"1", "2"}


def test_what_was_drawn_fits_what_was_logged(day):
    for action, (mean, variance) in day.expected.items():
        assert abs(day.drawn[action] - mean) < 4.5 * math.sqrt(variance) + 1e-9, action


def test_restarts_change_nothing(day):
    straight = Day(7).play({})
    assert [d.offers for d in straight.decisions] == [d.offers for d in day.decisions]
    assert [d.beliefs_version for d in straight.decisions] == [d.beliefs_version for d in day.decisions]
    assert everything(straight.shop)["beliefs"] == everything(day.shop)["beliefs"]
    assert (straight.n_new, straight.n_silent, straight.standing) == (day.n_new, day.n_silent, day.standing)


def test_the_journal_is_complete_and_brings_back_the_day(day, tmp_path):
    day.shop.flush()
    folder = shutil.copytree(day.folder, tmp_path / "copy")
    for snapshot in folder.glob("snapshot-*"):
        snapshot.unlink()
    store = Store(folder, "os")
    kinds = Counter(entry.kind for entry in store.read())
    ids = {entry.key for entry in store.read(0, ("decision",))}
    store.close()
    assert ids == {d.id for d in day.decisions} and kinds["decision"] == N_INTERACTIONS
    assert kinds["outcome"] == day.n_new + day.n_silent
    again = engine(catalog=day_catalog("1"), store=folder, sync="os", explained_decisions_max=60)
    assert everything(again) == everything(day.shop)
    again.close()
