"""The contact room: what is remembered of a subject, and what that closes, by hand; tests/test_contact_twin.py has the twin."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from nba_engine.contact.history import EVENT, EVENTS_PER_SUBJECT_MAX, Contacts
from nba_engine.contact.listing import closes, suppressions
from nba_engine.contact.names import Shown
from nba_engine.contact.rules import FOREVER, Candidates, ContactChannel, ContactPolicy, ContactRules, ReasonRule, Retention
from nba_engine.contact.similarity import ContactAction, Similarity, similar_blocks
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.numerics.bitset import pack, unpack
from tests.naive import contact as naive
from tests.shop import ADULT, NOON, actions, catalog, engine

DAY = 86_400_000_000
ACTIONS = (
    ContactAction("sport", "sales", "tv", frozenset({"sport"})),
    ContactAction("film", "sales", "tv", frozenset({"film"})),
    ContactAction("fibre", "sales", "net", frozenset({"fast", "new"})),
    ContactAction("mobile", "sales", "mobile", frozenset({"fast", "new"})),
    ContactAction("keep", "retention", "loyalty", frozenset()),
)
ALL = {a.id for a in ACTIONS}
CHANNELS = (ContactChannel("call"), ContactChannel("web"), ContactChannel("email", "outbound"), ContactChannel("sms", "outbound"))
DIRECTION = {c.name: c.direction for c in CHANNELS}


def days(count, within=30, suppress=30, scope="action", label="declined", **more):
    return ContactPolicy("p", scope, label, count, within * DAY, suppress and suppress * DAY, **more)


class Book:
    """A catalog's rules, the contacts of one subject, and the same said to the twin."""

    def __init__(self, *contact_policies, reasons=(), similarity=None, candidates=None, actions=ACTIONS, contacts=None):
        similarity = similarity or Similarity(("tags",), 0.5)
        self.rows = candidates or [SimpleNamespace(action=a, treatment=None, channel=None) for a in actions]
        self.catalog = SimpleNamespace(
            actions=actions, channels=CHANNELS, contact_policies=contact_policies, reasons=reasons, similarity=similarity
        )
        self.contacts = contacts or Contacts()
        index, on = {a.id: i for i, a in enumerate(actions)}, {c.name: i for i, c in enumerate(CHANNELS)} | {None: -1}
        self.rules = ContactRules(
            self.contacts.names,
            actions=actions,
            candidates=Candidates(
                np.array([index[c.action.id] for c in self.rows], dtype=np.int32),
                np.array([on[c.channel] for c in self.rows], dtype=np.int32),
                [c.treatment for c in self.rows],
            ),
            channels=CHANNELS,
            contact_policies=contact_policies,
            reasons=reasons,
            similarity=similarity,
        )
        self.contacts.retention = self.rules.retention
        self.log, self.on = [], on

    def say(self, verb, offer, action="sport", channel="call", at=0, label="declined", reason=None, interaction=None, treatment=None):
        """Times in days."""
        place = {
            "action": action,
            "treatment": treatment,
            "channel": channel,
            "direction": DIRECTION.get(channel, "inbound" if channel else None),
        }
        interaction = offer if interaction is None else interaction
        at_us = int(at * DAY)
        self.log.append({"verb": verb, "offer": offer, "interaction": interaction, "at": at_us, "label": label, "reason": reason, **place})
        if verb == "present":
            self.contacts.present("s", offer, interaction, Shown(**place), at_us)
        elif verb == "answer":
            self.contacts.answer("s", offer, interaction, Shown(**place), label, reason, at_us)
        else:
            getattr(self.contacts, verb)("s", offer)
        return self

    def open(self, at, channel="call"):
        """Ids of the actions with an open candidate at a day; the kernel, the list for explain and the twin must agree on every candidate."""
        at_us, n = int(at * DAY), len(self.rows)
        words = pack(np.ones(n, dtype=bool))
        history = self.contacts.history("s")
        assert clear_suppressed(self.rules, history, at_us, self.on[channel], words) == history.n_events
        found = suppressions(self.rules, history, at_us, self.on[channel])
        stopped = [naive.stoppers(self.catalog, self.log, at_us, c, channel) for c in self.rows]
        assert [{(s.kind, s.name) for s in found if closes(self.rules, s, i, self.on[channel])} for i in range(n)] == stopped
        assert unpack(words, n).tolist() == [not names for names in stopped]
        assert not np.any(unpack(words, 64 * len(words))[n:])
        return {c.action.id for c, names in zip(self.rows, stopped, strict=True) if not names}

    def closed(self, at, channel="call"):
        return {a.id for a in self.catalog.actions} - self.open(at, channel)


def test_a_decline_rests_its_action_until_the_last_microsecond():
    book = Book(days(1)).say("answer", 1)
    assert book.closed(0) == {"sport"}
    assert book.closed(30 - 1 / DAY) == {"sport"}
    assert book.closed(30) == set()


def test_history_follows_the_order_of_recording_not_the_clocks():
    book = Book(days(2, within=1, suppress=1, scope="subject")).say("answer", 1, at=5).say("answer", 2, "film", at=3)
    assert book.closed(2) == ALL
    assert book.closed(4) == set()


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("action", {"fibre"}),
        ("treatment", {"fibre"}),
        ("group", {"fibre"}),
        ("issue", ALL - {"keep"}),
        ("similar", {"fibre", "mobile"}),
        ("channel", ALL),
        ("subject", ALL),
    ],
)
def test_a_scope_closes_what_it_names(scope, expected):
    assert Book(days(1, scope=scope)).say("answer", 1, "fibre").closed(1) == expected


def test_scope_channel_closes_that_channel_for_every_action():
    book = Book(days(1, scope="channel")).say("answer", 1, channel="email")
    assert book.closed(1, "email") == ALL
    assert book.closed(1, "sms") == set()


def test_a_window_of_seven_days_ends_at_seven_days_sharp():
    book = Book(days(2, within=7, suppress=9)).say("answer", 1, at=0).say("answer", 2, at=7)
    assert book.closed(7) == set()
    book = Book(days(2, within=7, suppress=9)).say("answer", 1, at=0).say("answer", 2, at=7 - 1 / DAY)
    assert book.closed(7) == {"sport"}


def test_without_suppress_it_lasts_while_the_count_holds():
    book = Book(days(2, within=7, suppress=None)).say("answer", 1, at=0).say("answer", 2, at=3)
    assert book.closed(7 - 1 / DAY) == {"sport"}
    assert book.closed(7) == set()
    assert suppressions(book.rules, book.contacts.history("s"), 4 * DAY, 0)[0].until_us == 7 * DAY


def test_it_fires_again_only_when_a_new_event_fills_the_count():
    book = Book(days(2, within=30, suppress=5)).say("answer", 1, at=0).say("answer", 2, at=1)
    assert book.closed(5) == {"sport"}
    assert book.closed(6) == set()
    book.say("answer", 3, at=8)
    assert book.closed(12) == {"sport"}
    assert book.closed(13) == set()


def test_per_interaction_counts_interactions():
    cap = days(2, within=7, suppress=None, scope="subject", label="presented", per="interaction")
    book = Book(cap)
    for offer in range(5):
        book.say("present", offer, interaction=1, at=0)
    assert book.closed(1) == set()
    book.say("present", 9, interaction=2, at=1)
    assert book.closed(1) == ALL


def test_a_direction_limits_what_counts_and_where_it_closes():
    cap = days(2, within=7, suppress=None, scope="subject", label="presented", direction="outbound")
    book = Book(cap).say("present", 1, channel="call").say("present", 2, channel="email")
    assert book.closed(1, "sms") == set()
    book.say("present", 3, channel="sms")
    assert book.closed(1, "sms") == book.closed(1, "email") == ALL
    assert book.closed(1, "call") == set()


def test_a_reason_takes_the_place_of_the_policies_on_its_label_only():
    presented = ContactPolicy("seen", "subject", "presented", 2, 7 * DAY, None)
    book = Book(days(1), presented, reasons=[ReasonRule("later", 7 * DAY)]).say("answer", 1, reason="later")
    assert book.closed(6) == {"sport"}
    assert book.closed(7) == set()
    assert book.say("answer", 2, "film", reason="later").closed(1) == ALL


def test_a_reason_that_left_the_catalog_leaves_a_plain_decline():
    assert Book(days(1)).say("answer", 1, reason="forgotten").closed(29) == {"sport"}


def test_a_reason_on_its_channel_closes_similar_actions_there_only():
    reason = ReasonRule("wrong_channel", 30 * DAY, 10 * DAY, "channel")
    book = Book(reasons=[reason]).say("answer", 1, "fibre", "email", reason="wrong_channel")
    assert book.closed(9, "email") == {"fibre", "mobile"}
    assert book.closed(10, "email") == {"fibre"}
    assert book.closed(9, "sms") == set()


def test_similar_may_outlast_the_action_itself():
    book = Book(reasons=[ReasonRule("bought_it", DAY, 9 * DAY)]).say("answer", 1, "fibre", reason="bought_it")
    assert book.closed(0) == {"fibre", "mobile"}
    assert book.closed(1) == {"mobile"}


def test_for_ever_and_for_every_outbound_channel():
    reason = ReasonRule("do_not_contact", FOREVER, 0, "subject", "outbound")
    book = Book(reasons=[reason]).say("answer", 1, reason="do_not_contact")
    assert book.closed(500_000, "email") == ALL
    assert book.closed(0, "call") == set()
    assert suppressions(book.rules, book.contacts.history("s"), 0, book.on["sms"])[0].until_us is None


def test_a_later_answer_replaces_and_a_revoked_one_is_gone():
    seen = ContactPolicy("seen", "action", "presented", 1, DAY, None)
    book = Book(days(1), days(1, label="accepted", scope="group"), seen).say("answer", 1)
    assert book.say("answer", 1, label="accepted", at=0.1).closed(1) == {"sport", "film"}
    assert book.say("answer", 1, label="cancelled", at=0.2).closed(0.5) == {"sport"}
    assert book.closed(1) == set()


def test_an_answer_implies_presented_at_the_earliest_time_known():
    book = Book(days(1, within=7, suppress=None, label="presented")).say("answer", 1, at=3)
    assert book.closed(9) == {"sport"}
    assert book.say("present", 1, at=1).closed(8) == set()


def test_skipped_takes_the_presentation_back_and_forgets_the_subject():
    book = Book(days(1, label="presented")).say("present", 1)
    assert book.closed(1) == {"sport"}
    assert book.say("skip", 1).closed(1) == set()
    assert len(book.contacts) == 0


def test_a_treatment_is_counted_apart_from_its_sisters():
    rows = [SimpleNamespace(action=ACTIONS[0], treatment=t, channel=c) for t, c in (("a", "call"), ("b", "call"), ("m", "email"))]
    book = Book(days(1, scope="treatment"), candidates=rows).say("answer", 1, treatment="b")
    book.open(1)
    words = pack(np.ones(3, dtype=bool))
    clear_suppressed(book.rules, book.contacts.history("s"), DAY, 0, words)
    assert unpack(words, 3).tolist() == [True, False, True]


def test_when_all_channels_compete_a_candidate_is_judged_on_its_own():
    rows = [SimpleNamespace(action=a, treatment="t", channel=c) for a, c in zip(ACTIONS, ("call", "email", "sms", None, None), strict=True)]
    book = Book(days(1, scope="channel", direction="outbound"), candidates=rows).say("answer", 1, channel="email")
    assert book.closed(1, None) == {"film"}
    outbound = ReasonRule("no_mail", FOREVER, 0, "subject", "outbound")
    assert Book(reasons=[outbound], candidates=rows).say("answer", 1, reason="no_mail").closed(1, None) == {"film", "fibre"}


def test_similarity_by_group_and_tags_never_by_issue():
    (_, both), = similar_blocks(ACTIONS, Similarity(("group", "tags"), 0.5))
    expected = np.zeros((5, 5), dtype=bool)
    expected[0, 1] = expected[1, 0] = expected[2, 3] = expected[3, 2] = True
    assert np.array_equal(both, expected)
    (_, half), = similar_blocks([ContactAction("a", tags=frozenset("xy")), ContactAction("b", tags=frozenset("yz"))], Similarity(("tags",), 1 / 3))
    assert half[0, 1]


def test_state_is_loaded_and_stays_what_it_was():
    book = Book(days(1), reasons=[ReasonRule("never", FOREVER)]).say("answer", 1, reason="never").say("present", 2, "film").say("answer", 3, "keep")
    loaded = Contacts()
    loaded.load(book.contacts.state())
    first, second = book.contacts.state(), loaded.state()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    book.contacts = loaded
    assert book.closed(1) == {"sport", "keep"}


def test_a_reload_changes_no_event_and_reads_them_anew():
    book = Book(days(1, scope="subject"), days(1, scope="group")).say("answer", 1, "film").say("answer", 2, "fibre")
    smaller = Book(days(1, scope="group"), actions=ACTIONS[2:], contacts=book.contacts)
    smaller.log = book.log
    assert smaller.closed(1) == {"fibre"}
    back = Book(days(1), contacts=book.contacts)
    back.log = book.log
    assert back.closed(1) == {"film", "fibre"}


def test_what_no_rule_can_need_is_forgotten_when_the_array_grows():
    book = Book(days(1), reasons=[ReasonRule("never", FOREVER)]).say("answer", 0, "film", reason="never")
    for i in range(1, 500):
        book.say("present", i, at=i)
    assert book.contacts.history("s").n_events <= 2 * 60 + 2
    assert book.closed(500) == {"film"}


def test_a_late_answer_to_what_was_forgotten_presents_nothing_anew():
    """A cap on presentations: film was shown on the first day and is answered when its presentation is long forgotten."""
    cap = {"name": "weekly", "scope": "action", "label": "presented", "count": 1, "within": "7d"}
    with engine(catalog=catalog(contact_policies=[cap], reasons={})) as shop:
        first = shop.decide("ann", channel="web", facts=ADULT, limit=9)
        for day in range(1, 30):
            shop.decide("ann", channel="web", facts={**ADULT, "bill": 95.0}, limit=9, at=NOON + timedelta(days=day))
        shop.record(first.id, "accepted", action="film", at=NOON + timedelta(days=29))
        assert "film" in actions(shop.decide("ann", channel="web", facts=ADULT, limit=9, at=NOON + timedelta(days=30)))


def test_the_cap_evicts_presentations_then_answers_never_what_lasts():
    book = Book(days(1, suppress=9_999), reasons=[ReasonRule("never", FOREVER)])
    for i in range(3):
        book.say("answer", i, ACTIONS[i % 2].id, reason="never", at=0.001 * i)
    for i in range(100, 160):
        book.say("answer", i, "fibre", at=i)
    for i in range(1_000, 1_400):
        book.say("present", i, "mobile", at=i)
    rows = book.contacts.history("s").rows()
    assert EVENTS_PER_SUBJECT_MAX - 16 <= len(rows) <= EVENTS_PER_SUBJECT_MAX
    assert rows["offer"][-110:].tolist() == list(range(1_290, 1_400))
    assert set(range(100, 160)) <= set(rows["offer"].tolist())
    for i in range(2_000, 2_400):
        book.say("answer", i, "fibre", at=i)
    rows = book.contacts.history("s").rows()
    assert len(rows) <= EVENTS_PER_SUBJECT_MAX
    assert rows["offer"][-2:].tolist() == [2_399, 2_399]
    assert set(rows["offer"][rows["reason"] >= 0].tolist()) >= {1, 2}
    words = pack(np.ones(5, dtype=bool))
    clear_suppressed(book.rules, book.contacts.history("s"), 10_000 * DAY, 0, words)
    assert unpack(words, 5).tolist() == [False, False, False, True, True]


def test_suppressions_that_last_outgrow_the_cap():
    actions = [ContactAction(f"a{i}") for i in range(300)]
    book = Book(reasons=[ReasonRule("never", FOREVER)], actions=actions)
    for i, a in enumerate(actions):
        book.say("answer", i, a.id, reason="never")
    words = pack(np.ones(300, dtype=bool))
    clear_suppressed(book.rules, book.contacts.history("s"), 0, 0, words)
    assert not words.any()


def test_an_empty_history_costs_nothing_and_creates_nothing():
    book = Book(days(1))
    words = pack(np.ones(5, dtype=bool))
    assert clear_suppressed(book.rules, book.contacts.history("s"), 0, 0, words) == 0
    assert len(book.contacts) == 0
    assert EVENT.itemsize == 40


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="exposure"):
        Book().say("answer", 1, label="presented")
    with pytest.raises(ValueError, match="order"):
        Book(candidates=[SimpleNamespace(action=a, treatment=None, channel=None) for a in ACTIONS[::-1]])
    assert Contacts().retention == Retention()
