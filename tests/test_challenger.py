"""A challenger: it learns what the model in charge learns, changes nothing until it is promoted, and a promotion holds through every restart."""

from __future__ import annotations

import numpy as np
import pytest

import nba_engine as nba
from nba_engine.challenger import COMPARED_MIN, UNIT, Differences
from tests.shop import ADULT, DAY, NOON, actions, catalog, engine, flat

PAIR = {"model": {"kind": "probit"}, "challenger": {"kind": "beta_bernoulli"}}
LABELS = ("accepted", "declined", "declined", "maybe")


def contested(**options):
    return engine(catalog=catalog(**{**PAIR, **options.pop("changes", {})}), **options)


def an_hour(shop, n=40):
    """The same outcomes whatever is offered first: every action of every slate is answered."""
    made = [shop.decide(f"s{i}", channel="call", facts={**ADULT, "age": 20 + i}, limit=9, at=NOON) for i in range(n)]
    for i, decision in enumerate(made):
        for k, action in enumerate(sorted(actions(decision))):
            shop.record(decision.id, LABELS[(i + k) % 4], action=action, at=NOON)
    return made


def learned(beliefs):
    """Sums and counts by name, without the counters of changes."""
    return {name: data for name, data in flat(beliefs.state(), version=False).items() if name.endswith("sums")}


def both(shop):
    """What the model in charge and the one in the shadow have learned."""
    state = shop._memory.state
    return learned(state.beliefs), learned(state.challenger.beliefs)


def test_it_learns_what_a_model_in_charge_would_have_learned():
    shop, alone = contested(), engine(catalog=catalog(model={"kind": "beta_bernoulli"}))
    an_hour(shop)
    an_hour(alone)
    assert both(shop)[1] == learned(alone._memory.state.beliefs)
    rows = {"subject": ["a", "b"], "channel": ["call"] * 2, "at": [NOON, NOON], "action": ["stay", "film"], "label": ["declined", "accepted"]}
    before = both(shop)
    assert shop.learn(rows) == alone.learn(rows) == 2
    assert both(shop)[1] == learned(alone._memory.state.beliefs) != before[1] and both(shop)[0] != before[0]


def test_it_has_no_say_and_teaches_the_other_nothing():
    shop, alone = contested(seed=3), engine(seed=3)
    for made, same in zip(an_hour(shop), an_hour(alone), strict=True):
        assert made.offers == same.offers
    assert both(shop)[0] == learned(alone._memory.state.beliefs)


def test_both_predict_an_outcome_before_it_is_learned():
    """The first outcome by hand: 0.5 by the probit, BASE_RATE 0.1 by the counts; the second one by what each has learned."""
    import math

    shop = contested(changes={"exploration": {"kind": "greedy"}})
    decision = shop.decide("ann", channel="call", facts=ADULT, limit=1, at=NOON)
    p = decision.offers[0].propensity
    shop.record(decision.id, "accepted")
    total, own = shop.health().comparisons
    assert (total.n, own.action) == (1, decision.offers[0].action)
    assert own.in_charge == pytest.approx(-math.log(p), abs=UNIT) and own.in_shadow == pytest.approx(-math.log(0.1), abs=UNIT)
    assert own.difference == pytest.approx(own.in_shadow - own.in_charge, abs=2 * UNIT)
    assert (own.low, own.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("promoted", [False, True])
def test_what_is_taken_back_leaves_both(promoted):
    shop = contested()
    an_hour(shop)
    if promoted:
        shop.promote()
    decision = shop.decide("ann", channel="call", facts=ADULT, limit=9, at=NOON)
    before, told = both(shop), shop.health().comparisons
    shop.record(decision.id, "accepted", action="film")
    assert both(shop)[0] != before[0] and both(shop)[1] != before[1] and shop.health().comparisons != told
    if not promoted:
        shop.promote()
        shop.record(decision.id, "cancelled", action="film")  # between the two it was promoted
        shop.promote()
    else:
        shop.record(decision.id, "cancelled", action="film")
    assert both(shop) == before and shop.health().comparisons == told


def test_promotion_swaps_and_once_more_is_the_way_back():
    shop = contested(clock=None)
    made = an_hour(shop)
    in_charge, shadow = both(shop)
    version, told = shop.beliefs_version, shop.health()
    shop.promote()
    found = shop.health()
    assert both(shop) == (shadow, in_charge) and shop.beliefs_version > version
    assert (found.model, found.challenger, found.promoted_at is None) == (told.challenger, told.model, False)
    assert found.comparisons[0].difference == -told.comparisons[0].difference and found.comparisons[0].in_charge == told.comparisons[0].in_shadow
    low, high = shop.explain(made[0].id).interval("film")
    assert 0.0 < low < high < 1.0
    an_hour(shop, 10)
    assert both(shop)[0] != shadow and both(shop)[1] != in_charge  # both go on learning
    shop.promote()
    assert shop.health().model == told.model and shop.health().promoted_at is None


def test_promotion_needs_a_challenger():
    with pytest.raises(nba.RequestError, match="names no challenger"):
        engine().promote()


@pytest.mark.parametrize("how", ["close", "kill"])
@pytest.mark.parametrize("kept", [10_000, 1])
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_promotion_holds_through_restarts(tmp_path, how, kept, when):
    def again(shop):
        if how == "close":
            shop.close()
        else:
            shop._memory._journal._release()  # only what was committed is there
        return contested(store=tmp_path, sync="os", explained_decisions_max=kept)

    shop = contested(store=tmp_path, sync="os", explained_decisions_max=kept)
    made = an_hour(shop, 12)
    shop.flush()
    if when == "before":
        shop = again(shop)
    n_entries = shop._memory._journal.last_sequence
    shop.promote()
    assert shop._memory._journal.last_sequence == n_entries + 1
    if when == "between":
        shop = again(shop)
    shop.record(made[0].id, "accepted", action="film")
    before, told = both(shop), str(shop.health())
    shop = again(shop)
    assert both(shop) == before and str(shop.health()) == told and "in charge: beta_bernoulli; in the shadow: probit; promoted" in told
    shop.record(made[1].id, "skipped", action="film")
    shop.record(made[1].id, "accepted", action="film")
    shop.promote()
    assert '"probit"' in shop.health().model


def test_a_catalog_goes_on_with_what_its_own_sections_learned(tmp_path):
    shop = contested(store=tmp_path, sync="os")
    made = an_hour(shop)
    shop.promote()
    counts, probit = both(shop)
    shop.close()
    shop = engine(store=tmp_path, sync="os", catalog=catalog(model="beta_bernoulli"))
    assert learned(shop._memory.state.beliefs) == counts and shop.health().challenger is None
    shop.record(made[0].id, "skipped", action="film")  # taken back from the counts
    assert learned(shop._memory.state.beliefs) != counts
    shop.close()
    # The other way round it is another contest: sections go on, the comparison begins anew.
    shop = contested()
    an_hour(shop)
    in_charge, shadow = both(shop)
    shop.reload(catalog(model="beta_bernoulli", challenger="probit"))
    assert both(shop) == (shadow, in_charge) and shop.health().comparisons == ()
    shop.reload(catalog(model="probit"))
    assert learned(shop._memory.state.beliefs) == in_charge


def test_a_reload_of_the_same_pair_keeps_the_promotion():
    shop = contested()
    decision = an_hour(shop)[0]
    shop.promote()
    before, told = both(shop), shop.health().comparisons
    shop.reload(catalog(**PAIR, version="2"))
    assert both(shop) == before and shop.health().comparisons == told and shop.health().promoted_at == NOON
    shop.record(decision.id, "skipped", action="film", at=NOON + DAY)
    assert both(shop)[0] != before[0] and both(shop)[1] != before[1] and shop.health().comparisons[0].n == told[0].n - 1


@pytest.mark.parametrize("answered_since", [False, True])
@pytest.mark.parametrize("kept", [10_000, 1])
def test_a_contest_that_comes_back_begins_anew(tmp_path, answered_since, kept):
    """An answer of the first one is contradicted in the second: what only the first counted is in no sum of the second, also after a restart."""
    other = {**PAIR, "challenger": {"kind": "beta_bernoulli", "half_life": "90d"}}
    shop = contested(store=tmp_path, sync="os", explained_decisions_max=kept)
    first, second = (shop.decide(who, channel="call", facts=ADULT, limit=9, at=NOON) for who in ("ann", "bob"))
    shop.record(first.id, "accepted", action="film", at=NOON)
    shop.reload(catalog(**other))
    shop.record(second.id, "accepted", action="film", at=NOON)
    shop.reload(catalog(**PAIR))
    if answered_since:
        shop.record(second.id, "accepted", action="sport", at=NOON)
        shop.record(shop.decide("cyd", channel="call", facts=ADULT, limit=9, at=NOON).id, "accepted", action="film", at=NOON)
    told = shop.health().comparisons
    shop.record(first.id, "skipped", action="film", at=NOON)
    shop.record(second.id, "skipped", action="film", at=NOON)
    assert shop.health().comparisons == told and len(told) == (3 if answered_since else 0)
    before = both(shop)
    shop._memory.flush()
    shop._memory._journal._release()
    shop = contested(store=tmp_path, sync="os", explained_decisions_max=kept)
    assert shop.health().comparisons == told and both(shop) == before


@pytest.mark.slow
def test_the_interval_holds_at_all_times_at_once():
    """Two models equally wrong on average: over 400 runs of 3,000 outcomes, looked at 100 times, the interval leaves out the true difference 0 in
    at most 5 % of them."""
    rng = np.random.default_rng(8)
    runs, n = 400, 3_000
    difference = (rng.random((runs, n)) < 0.1) * 0.9 * rng.random((runs, n)) - 0.045  # few are large
    units = np.round(difference / UNIT).astype(np.int64)
    totals, squares = units.cumsum(1), (units * units).cumsum(1)
    n_wrong = 0
    for run in range(runs):
        looks = range(COMPARED_MIN, n, 25)
        n_wrong += any(abs(sums.mean) > sums.half_width for sums in (Differences(k + 1, 0, int(totals[run, k]), int(squares[run, k])) for k in looks))
    assert n_wrong <= runs * 0.05
    assert Differences(n, 0, int(totals[0, -1]), int(squares[0, -1])).half_width < 0.02
    assert Differences(COMPARED_MIN - 1, 0, 5, 5).half_width == float("inf")
