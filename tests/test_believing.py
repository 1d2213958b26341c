"""`explain(...).interval` and `.margin`: bounds by hand, from the posterior rather than the exploration width, never on the decision path."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, norm

import nba_engine as nba
from nba_engine.models.interval import interval

CATALOG = {
    "facts": {"age": "int"},
    "issues": {"all": {"groups": {"one": {}}}},
    "channels": {"call": {}, "web": {}},
    "actions": [
        {"id": "card", "issue": "all", "group": "one", "value": 10},
        {"id": "loan", "issue": "all", "group": "one", "value": 10,
         "treatments": [{"id": "by-call", "channel": "call"}, {"id": "by-web", "channel": "web"}]},
        {"id": "nothing", "null_action": True},
    ],
}


def engine(**changes):
    return nba.Engine(nba.Catalog.from_dict(CATALOG | changes), seed=3)


def test_an_interval_is_that_of_a_gaussian_on_the_probits_scale():
    m, s = -1.7, 0.6
    propensity, square = (quad(lambda eta, k=k: norm.cdf(eta) ** k * norm.pdf(eta, m, s), -12, 12)[0] for k in (1, 2))
    low, high = interval(propensity, np.sqrt(square - propensity**2), 0.9)
    assert (low, high) == pytest.approx((norm.cdf(m - 1.6449 * s), norm.cdf(m + 1.6449 * s)), rel=1e-4)


def test_a_spread_of_its_own_replaces_the_one_read_off_the_deviation():
    low, high = interval(0.5, 0.1, 0.95, spread=1.0)
    assert (low, high) == pytest.approx((norm.cdf(-1.95996), norm.cdf(1.95996)), rel=1e-4)


def test_counts_give_about_the_interval_of_their_beta():
    a, b = 8.0, 72.0
    p = a / (a + b)
    low, high = interval(p, np.sqrt(p * (1 - p) / (a + b + 1)), 0.95)
    assert (low, high) == pytest.approx(beta.ppf([0.025, 0.975], a, b), rel=0.06)


def test_a_propensity_lies_in_its_interval_which_narrows_with_outcomes():
    e = engine()
    widths = []
    for n in (0, 40, 160):
        for i in range(n):
            decision = e.decide(f"c{n}-{i}", facts={"age": 40})
            e.record(decision.id, "accepted" if i % 4 == 0 else "declined")
        decision = e.decide(f"asked-{n}", facts={"age": 40}, limit=2)
        found = e.explain(decision.id)
        for offer in decision.offers:
            low, high = found.interval(offer.action)
            assert low < offer.propensity < high
        low, high = found.interval("card")
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]


def test_the_exploration_width_does_not_move_an_interval():
    narrow = engine(exploration={"posterior_scale": 0.05, "uniform_share": 0})
    wide = engine(exploration={"posterior_scale": 2.0, "uniform_share": 0})
    found = [e.explain(e.decide("c", facts={"age": 40}).id).interval("card") for e in (narrow, wide)]
    assert found[0] == found[1]


def test_a_wider_level_is_a_wider_interval_and_asking_changes_nothing():
    e = engine()
    decision = e.decide("c", facts={"age": 40})
    found = e.explain(decision.id)
    before = e.beliefs_version, e.decide("d", facts={"age": 40}).offers
    (low_50, high_50), (low_95, high_95) = found.interval("card", level=0.5), found.interval("card")
    assert low_95 < low_50 < high_50 < high_95
    assert (e.beliefs_version, e.decide("d", facts={"age": 40}, interaction="#1").offers) == before


def test_the_margin_is_best_less_second_of_the_first_slot():
    e = engine(exploration={"kind": "epsilon", "epsilon": 0.1})
    decision = e.decide("c", facts={"age": 40}, channel="call")
    pmf = sorted((a.terms or {}).get("selection_probability", 0.0) for a in e.explain(decision.id).actions)
    assert e.explain(decision.id).margin == pytest.approx(2 * pmf[-1] - 1 if pmf[-1] >= 0.5 else 0.0, abs=1e-9)


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_of_a_decision_that_was_rebuilt_no_margin_is_known(tmp_path, limit):
    """Three alike in a uniform control group: the margin is 0, and what the store keeps of the offers does not say so."""
    alike = [{"id": name, "issue": "all", "group": "one", "eligibility": "age >= 18"} for name in "abc"]
    chance = {"actions": alike, "control_groups": [{"name": "u", "share": 1.0, "kind": "uniform"}]}
    e = nba.Engine(nba.Catalog.from_dict(CATALOG | chance), store=tmp_path, sync="os", explained_decisions_max=1)
    decision = e.decide("c", facts={"age": 41}, limit=limit)
    if limit > 0:
        assert e.explain(decision.id).margin == pytest.approx(0.0)
    child = e.decide("d", facts={"age": 11})
    assert np.isnan(e.explain(decision.id).margin)
    assert e.explain(child.id).margin == 0.0  # nothing competed for the first place


def test_an_explanation_says_where_its_rules_are_of_a_later_catalog(tmp_path):
    catalogs = [nba.Catalog.from_dict(CATALOG | {"actions": [{"id": "card", "issue": "all", "group": "one", "eligibility": f"age >= {age}"}]})
                for age in (18, 0)]
    with nba.Engine(catalogs[0], store=tmp_path, sync="os") as e:
        decision = e.decide("c", facts={"age": 10})
        own = e.explain(decision.id)
        e.reload(catalogs[1])
        assert own.catalog_version == e.explain(decision.id).catalog_version == decision.catalog_version and "decided under" not in str(own)
    with nba.Engine(catalogs[1], store=tmp_path, sync="os") as e:
        later = e.explain(decision.id)
        assert later.catalog_version == e.catalog.version != decision.catalog_version
        assert f"decided under catalog {decision.catalog_version}; rules and actions below are those of catalog {e.catalog.version}" in str(later)


def test_the_margin_of_one_candidate_and_of_none():
    one = nba.Engine(nba.Catalog.from_dict({"facts": {"age": "int"}, "actions": [{"id": "club", "eligibility": "age >= 18"}]}))
    assert one.explain(one.decide("c", facts={"age": 41}).id).margin == 1.0
    assert one.explain(one.decide("c", facts={"age": 11}).id).margin == 0.0


@pytest.mark.parametrize("asked, argument", [
    ({"action": "cards"}, "action"), ({"action": "nothing"}, "action"), ({"action": "loan", "treatment": "by-mail"}, "treatment"),
    ({"action": "card", "level": 1.0}, "level"),
])
def test_what_cannot_be_asked_is_named(asked, argument):
    e = engine()
    found = e.explain(e.decide("c", facts={"age": 40}, channel="call").id)
    with pytest.raises(nba.RequestError) as caught:
        found.interval(**asked)
    assert caught.value.argument == argument


def test_a_reload_in_between_is_refused():
    e = engine()
    found = e.explain(e.decide("c", facts={"age": 40}).id)
    e.reload(nba.Catalog.from_dict(CATALOG | {"version": "2"}))
    with pytest.raises(nba.RequestError, match="catalog has changed"):
        found.interval("card")
