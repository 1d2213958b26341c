"""The contact room against its twin: made-up catalogs and histories, clocks that disagree, and what forgetting may not change."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine.contact.rules import FOREVER, ContactPolicy, ReasonRule, Retention
from nba_engine.contact.similarity import ContactAction, Similarity, similar_blocks
from nba_engine.contact.suppression import SCOPES
from nba_engine.numerics.bitset import n_words
from tests.naive import contact as naive
from tests.test_contact import DAY, DIRECTION, Book, days

_DURATION = st.one_of(st.integers(1, 8).map(DAY.__mul__), st.just(FOREVER))
_NAME = st.integers(0, 10**6).map("n{}".format)


@st.composite
def books(draw):
    """A catalog of up to 90 candidates, and up to 24 things said, by clocks that disagree."""
    n_actions = draw(st.sampled_from([1, 3, 8, 40]))
    texts = st.frozensets(st.sampled_from("xyz"), max_size=3)
    actions = [
        ContactAction(f"a{i}", *draw(st.sampled_from([("i", "g"), ("i", "h"), ("j", "g"), (None, None)])), tags=draw(texts)) for i in range(n_actions)
    ]
    treatments = st.lists(st.tuples(st.sampled_from("tuv"), st.sampled_from([None, *DIRECTION])), max_size=3, unique_by=lambda t: t[0])
    rows = [SimpleNamespace(action=a, treatment=t, channel=c) for a in actions for t, c in draw(treatments) or [(None, None)]]
    policy = st.builds(
        ContactPolicy,
        _NAME,
        st.sampled_from(SCOPES),
        st.sampled_from(["presented", "declined", "accepted"]),
        st.integers(1, 4),
        _DURATION,
        st.none() | _DURATION,
        st.sampled_from(["offer", "interaction"]),
        st.sampled_from([None, "inbound", "outbound"]),
    )
    span = st.just(0) | _DURATION
    reasons = [
        ReasonRule(n, draw(span), draw(span), draw(st.sampled_from(["action", "channel", "subject"])), draw(st.sampled_from([None, "outbound"])))
        for n in draw(st.sampled_from([(), ("r",), ("r", "q")]))
    ]
    similarity = Similarity(draw(st.sampled_from([("group",), ("tags",), ("group", "tags")])), draw(st.sampled_from([1 / 3, 0.5, 1.0])))
    book = Book(*draw(st.lists(policy, max_size=3)), reasons=reasons, similarity=similarity, candidates=rows, actions=actions)
    book.contacts.retention = Retention()  # forgetting supposes clocks that do not go back; its own law stands below
    places = [
        (
            draw(st.sampled_from([*(a.id for a in actions[:6]), "gone"])),
            draw(st.sampled_from([None, *DIRECTION, "fax"])),
            draw(st.sampled_from([None, "t", "u"])),
        )
        for _ in range(9)
    ]
    for _ in range(draw(st.integers(0, 24))):
        verb, offer = draw(st.sampled_from(["present", "answer", "answer", "answer", "skip"])), draw(st.integers(0, 8))
        label, reason = draw(st.sampled_from(["declined", "accepted"])), draw(st.sampled_from([None, None, "r", "q", "forgotten"]))
        action, channel, treatment = places[offer]
        book.say(verb, offer, action, channel, draw(st.integers(0, 10)), label, reason, offer % 4, treatment)
    return book


@settings(max_examples=150, deadline=None)
@given(books(), st.integers(0, 20), st.sampled_from([None, *DIRECTION]))
def test_kernel_list_and_twin_agree(book, at, channel):
    book.open(at, channel)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["sport", "film", "fibre"]), st.sampled_from([None, "r", "q"]), st.integers(0, 3)), min_size=20, max_size=60),
    st.integers(1, 3),
    st.sampled_from(["action", "group", "subject"]),
)
def test_forgetting_changes_no_answer_while_clocks_run_forward(said, count, scope):
    book = Book(days(count, within=4, suppress=6, scope=scope), reasons=[ReasonRule("r", FOREVER), ReasonRule("q", 3 * DAY)])
    at = 0
    for offer, (action, reason, pause) in enumerate(said):
        at += pause
        book.say("answer", offer, action, at=at, reason=reason)
    for later in range(8):
        book.open(at + later)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([("i", "g"), ("i", "h"), (None, None)]), st.frozensets(st.sampled_from("wxyz"))), max_size=12))
def test_similar_blocks_equal_the_twin(kinds):
    actions = [ContactAction(f"a{i}", *place, tags=tags) for i, (place, tags) in enumerate(kinds)]
    similarity = Similarity(("group", "tags"), 2 / 3)
    found = [row.tolist() for _, block in similar_blocks(actions, similarity) for row in block]
    assert found == [[naive.similar(a, b, similarity) for b in actions] for a in actions]
    assert n_words(len(actions)) <= 1
