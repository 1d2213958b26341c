"""Forgetting by event time: the laws of every model that has a half-life, by hand, against twins, and through the engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nba_engine as nba
from nba_engine.models.contract import Receipt
from nba_engine.models.half_life import TICKS, HalfLife
from nba_engine.models.kinds import KINDS
from nba_engine.models.probit import Probit
from nba_engine.models.rates import BASE_RATE, RELATIVES_STRENGTH, STRENGTH
from tests import shop
from tests.naive import beta_bernoulli as naive_rates
from tests.naive.half_life import ForgettingProbit, weights
from tests.test_beta_bernoulli import NOTHING, PATHS as RATE_PATHS
from tests.test_models_contract import ALL, GROUND, as_bytes, many, rows, scored, scores
from tests.test_probit import PATHS, N_ENTITIES, naive_prior
from tests.test_probit import scored as probit_scored

H = 1_000_000
OPTIONS = {"half_life_us": H}
OWN = [kind for kind in KINDS if kind != "river"]
COUNTS = ["naive_bayes", "beta_bernoulli"]


@pytest.fixture(params=OWN)
def kind(request):
    return request.param


@pytest.fixture
def make(kind):
    return lambda options=OPTIONS: KINDS[kind](GROUND, options)


def timed(n, seed=0, half_lives=12.0):
    """n outcomes and their times, which go on but for every third, told late by up to two half-lives."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0.0, half_lives * H, n) + 7.5 * H - np.where(np.arange(n) % 3 == 2, rng.uniform(0.0, 2.0 * H, n), 0.0)
    return list(rows(n, seed)), at.astype(np.int64)


def taught(model, given, at):
    for row, t in zip(given, at.tolist(), strict=True):
        model.update(*row, t)
    return model


def sums_of(model):
    """What was learned, as of the moment, in outcomes."""
    state, unit = model.state(), 1.0 if model._half_life is None else model._half_life.unit
    return {name: array * unit / 2.0**24 for name, array in state.items() if array.dtype == np.int64 and name not in ("clock", "version")}


def apart(one, other):
    """The largest difference of what two models have learned; outer products are in 2**-32."""
    a, b = sums_of(one), sums_of(other)
    return max(np.abs(a[name] - b[name]).max(initial=0.0) / (2**8 if name == "outer" else 1) for name in a)


def test_weights_by_hand():
    half_life = HalfLife(H)
    assert half_life.advance(10 * H) == 2.0 ** 2  # before any time was told, sums weigh as if they came now: landmark at 8 half-lives
    assert (half_life.epoch, half_life.unit) == (2, 0.25)
    assert half_life.stamp(10 * H) == (4 << 24, 2)
    assert half_life.stamp(9 * H) == (2 << 24, 2)
    assert half_life.advance(10 * H + H // TICKS - 1) is None  # the moment stands for a sixteenth of a half-life
    assert half_life.advance(9 * H) is None  # and never goes back
    assert half_life.advance(12 * H) == 2.0**-4
    assert half_life.stamp(10 * H) == (1 << 22, 3)


def test_many_rows_at_once_equal_one_by_one(make):
    given, at = timed(60)
    one_by_one, expected = make(), np.empty(60)
    said = [(one_by_one.update(*row, t), one_by_one.expected)[1] for row, t in zip(given, at.tolist(), strict=True)]
    at_once, in_parts = make(), make()
    at_once.update_rows(*many(given), expected, at)
    for part in (slice(17), slice(17, 18), slice(18, 60)):
        in_parts.update_rows(*many(given[part]), None, at[part])
    assert as_bytes(at_once) == as_bytes(in_parts) == as_bytes(one_by_one)
    assert scores(at_once) == scores(in_parts) == scores(one_by_one)
    assert expected.tolist() == said


def test_an_outcome_told_late_gets_the_weight_of_its_own_time(make, kind):
    """Told at its time or six half-lives later, nothing else being known: the same is left of it."""
    row = next(rows(1))
    prompt, late = taught(make(), [row], np.array([9 * H])), make()
    prompt.advance(15 * H)
    late.advance(15 * H)
    late.update(*row, 9 * H)
    assert apart(prompt, late) <= (1e-5 if kind in ("probit_full", "linear") else 2.5 * 2.0**-24)
    whole = taught(KINDS[kind](GROUND, {}), [row], np.array([9 * H]))
    for name, array in sums_of(whole).items():
        assert sums_of(prompt)[name] == pytest.approx(array * 2.0**-6, rel=1e-3, abs=1e-5 if name == "outer" else 3 * 2.0**-24)


@pytest.mark.parametrize("kind", ["beta_bernoulli"])
def test_counts_do_not_depend_on_the_order_of_arrival(make):
    given, at = timed(80)
    order = np.random.default_rng(3).permutation(80)
    one, other = taught(make(), given, at), taught(make(), [given[i] for i in order], at[order])
    assert one.state()["clock"].tolist() == other.state()["clock"].tolist()
    assert apart(one, other) <= 2 * 80 * 2.0**-25  # each outcome's own rounding, and two units of the landmark's


def test_what_depends_on_the_order_depends_little(make):
    """A step depends on what is believed when it is told, as without a half-life."""
    given, at = timed(150)
    order = np.random.default_rng(3).permutation(150)
    one, other = taught(make(), given, at), taught(make(), [given[i] for i in order], at[order])
    assert one.state()["clock"].tolist() == other.state()["clock"].tolist()
    assert np.abs(np.array(scores(one)) - np.array(scores(other))).max() < 0.1


def test_save_and_load_give_the_same_bytes_and_the_same_future(make):
    given, at = timed(60)
    model, other = taught(make(), given[:40], at[:40]), make()
    other.load(model.state())
    assert as_bytes(other) == as_bytes(model)
    assert scores(other) == scores(model)
    for row, t in zip(given[40:], at[40:].tolist(), strict=True):
        assert model.update(*row, t).to_bytes() == other.update(*row, t).to_bytes()
    assert as_bytes(other) == as_bytes(model)


def test_what_was_learned_just_now_is_taken_back_to_the_bit(make):
    given, at = timed(30)
    model = taught(make(), given, at)
    now, shown, before = int(at.max()), scores(model), as_bytes(model, with_version=False)
    for late in (0, H, 5 * H):
        receipt = model.update(*next(rows(1, seed=9)), now - late)
        model.take_back(Receipt.from_bytes(receipt.to_bytes()))
        assert as_bytes(model, with_version=False) == before
        assert scores(model) == shown


def test_what_is_taken_back_later_leaves_nothing_to_speak_of(make):
    row, receipt_of = next(rows(1, seed=9)), {}
    for later in (H // 3, 5 * H, 30 * H):
        model, never = make(), make()
        receipt_of[later] = model.update(*row, 9 * H)
        for one in (model, never):
            one.advance(9 * H + later)
        model.take_back(receipt_of[later])
        assert apart(model, never) <= 2 * 2.0**-24


def test_silence_leads_back_to_the_beginning(make, kind):
    model, fresh = taught(make(), *timed(100)), make()
    row, wide = next(rows(1)), scored(fresh, next(rows(1)))[1]
    told, widths = [], []
    for half_lives in (20, 21, 23, 26, 60):
        model.advance(half_lives * H)
        mean, deviation = scored(model, row)
        told.append(np.abs(mean - scored(fresh, row)[0]).max())
        widths.append(float(deviation.mean()))
    if kind == "probit":  # the others' rates go to .1, where a share varies less
        assert widths == sorted(widths)
    assert scored(model, row)[1] == pytest.approx(wide, rel=1e-3)
    assert told[-1] < 1e-3 < told[0]


def test_scoring_lets_no_time_pass_and_a_frozen_model_stands(make):
    model = taught(make(), *timed(40))
    frozen, before, state = model.frozen(), scores(model), as_bytes(model)
    assert scores(model) == before
    assert as_bytes(model) == state
    model.advance(30 * H)
    assert scores(frozen) == before
    assert scores(model) != before


def test_another_half_life_or_none_goes_on_with_what_was_learned(make):
    given, at = timed(50)
    model = taught(make(), given, at)
    for options in ({"half_life_us": 3 * H}, {}):
        other = make(options)
        other.load(model.state())
        assert np.array(scores(other)) == pytest.approx(np.array(scores(model)), abs=2e-3)
        back = make()
        back.load(other.state())
        back.advance(int(at.max()))
        assert np.array(scores(back)) == pytest.approx(np.array(scores(model)), abs=0.02)


def test_without_a_half_life_time_is_not_read(make):
    given, at = timed(30)
    model, other = taught(make({}), given, at), make({})
    other.update_rows(*many(given))
    model.advance(10**15)
    assert as_bytes(model) == as_bytes(other)
    assert "clock" not in model.state()


def test_receipts_say_weight_and_landmark_only_where_something_is_forgotten(make, kind):
    row = next(rows(1))
    plain, aged = make({}).update(*row, 9 * H), make().update(*row, 9 * H)
    assert len(aged.to_bytes()) == len(plain.to_bytes()) + 12
    again = Receipt.from_bytes(aged.to_bytes())
    assert (again.counted, again.epoch) == (aged.counted, aged.epoch) == (2 << 24, 2)
    early = make().update(*row, -9 * H)
    assert Receipt.from_bytes(early.to_bytes()).epoch == early.epoch == -3


TIMES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 9 * H)), min_size=1, max_size=15)


@settings(max_examples=40, deadline=None)
@given(TIMES)
def test_rates_equal_their_twin(outcomes):
    model = KINDS["beta_bernoulli"](type(GROUND)([("bias", "")], RATE_PATHS, [("action", str(i)) for i in range(9)]), OPTIONS)
    for candidate, reward, at in outcomes:
        model.update(*NOTHING, candidate, reward, at)
    paths = [[e for e in path if e >= 0] for path in RATE_PATHS.tolist()]
    mean, deviation = probit_scored(model, [(0, 1.0)], [0, 1, 2, 3])
    weight = weights([at for _, _, at in outcomes], H)
    for candidate in range(4):
        expected = naive_rates.propensity(paths, [o[:2] for o in outcomes], candidate, BASE_RATE, STRENGTH, RELATIVES_STRENGTH, weight)
        assert (mean[candidate], deviation[candidate]) == pytest.approx(expected, rel=1e-6)


ROWS = st.lists(st.tuples(st.integers(1, 5), st.floats(-3, 3)), max_size=4, unique_by=lambda pair: pair[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(0, 2), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9 * H)), max_size=6))
def test_a_probit_equals_its_twin(outcomes):
    model = Probit(6, PATHS, N_ENTITIES, half_life=HalfLife(H))
    naive = ForgettingProbit(naive_prior, [[e for e in path if e >= 0] for path in PATHS.tolist()], H)
    for rest, candidate, reward, at in outcomes:
        features = [(0, 1.0), *rest]
        model.update(np.array([f for f, _ in features], np.int32), np.array([x for _, x in features]), len(features), candidate, reward, at)
        naive.learn(features, candidate, reward, at)
        mean, deviation = probit_scored(model, features, [0, 1, 2])
        expected = [naive.propensity(features, c) for c in range(3)]
        assert mean == pytest.approx([m for m, _ in expected], abs=1.5e-3)
        assert deviation == pytest.approx([d for _, d in expected], abs=1.5e-3)


def test_what_is_inherited_is_a_prior_and_does_not_age():
    """Siblings agree that feature 1 is good; one without outcomes says so too, and its own part of that stays when all else is forgotten."""
    paths = np.array([[0, 1, 2, 3 + k, -1] for k in range(6)], np.int32)
    model, rng = Probit(3, paths, 9, half_life=HalfLife(H)), np.random.default_rng(1)
    for k in range(1500):
        x = float(rng.choice([-1.0, 1.0]))
        model.update(np.array([0, 1, 2], np.int32), np.array([1.0, x, 1.0]), 3, k % 5, float(rng.random() < 0.5 + 0.4 * x), 9 * H + k)
    model.inherit()
    features = [(0, 1.0), (1, 1.0), (2, 1.0)]
    model.advance(40 * H)
    first = probit_scored(model, features, [5])[0][0]
    model.advance(80 * H)
    assert probit_scored(model, features, [5])[0][0] == pytest.approx(first, abs=1e-3)
    assert first > 0.7
    assert probit_scored(model, features, [0])[0][0] == pytest.approx(0.5, abs=0.01)
    again = Probit(3, paths, 9, half_life=HalfLife(H))
    again.load(model.state())
    assert as_bytes(again) == as_bytes(model)
    assert probit_scored(again, features, [5])[0][0] == probit_scored(model, features, [5])[0][0]


def forgetful(model="probit", half_life="10d", **changes):
    return shop.catalog(model={"kind": model, "half_life": half_life}, contact_policies=[], **changes)


def play(engine, days, n=60, delay=False):
    """Customers over `days`, one after the other; answers at once, or all behind each other at the end of their ten."""
    open_answers = []
    for i in range(n):
        at = shop.NOON + i * days / n
        decision = engine.decide(f"c{i}", facts={**shop.ADULT, "age": 20 + i % 40}, channel="call", limit=2, at=at)
        open_answers += [(decision.id, "accepted" if (i + k) % 3 == 0 else "declined", offer.action, at) for k, offer in enumerate(decision.offers)]
        if not delay or i % 10 == 9:
            for decision_id, label, action, then in open_answers:
                engine.record(decision_id, label, action=action, at=then if not delay else at)
            open_answers.clear()


@pytest.mark.parametrize("model", ["probit", "beta_bernoulli"])
def test_when_an_answer_is_told_does_not_matter(model):
    """The weight is that of the moment at which the customer was asked; only the order may."""
    once, later = (shop.engine(catalog=forgetful(model)) for _ in range(2))
    for engine in (once, later):
        made = [engine.decide(f"c{i}", facts=shop.ADULT, channel="call", at=shop.NOON + i * shop.DAY) for i in range(9)]
        for i, decision in enumerate(made):
            at = shop.NOON + i * shop.DAY if engine is once else shop.NOON + 60 * shop.DAY
            engine.record(decision.id, "accepted" if i % 2 else "declined", action=decision.offers[0].action, at=at)
    assert shop.beliefs(once) == shop.beliefs(later)


@pytest.mark.parametrize("model", ["probit", "naive_bayes"])
def test_a_restart_and_a_killed_engine_come_back_to_the_bit(tmp_path, model):
    with shop.engine(catalog=forgetful(model, challenger={"kind": "beta_bernoulli", "half_life": "30d"}), store=tmp_path / "a") as engine:
        play(engine, 100 * shop.DAY, delay=True)
        late = engine.decide("late", facts=shop.ADULT, channel="call", at=shop.NOON + 99 * shop.DAY)
        engine.record(late.id, "accepted", action=late.offers[0].action, at=shop.NOON + 99 * shop.DAY)
        engine.flush()
        before, shadow = shop.beliefs(engine), shop.flat(engine._memory.state.challenger.state())
        engine._memory._journal.close()  # no snapshot: everything is played again
        engine._memory._journal = None
    for _ in range(2):
        with shop.engine(catalog=forgetful(model, challenger={"kind": "beta_bernoulli", "half_life": "30d"}), store=tmp_path / "a") as again:
            assert shop.beliefs(again) == before
            assert shop.flat(again._memory.state.challenger.state()) == shadow
    with shop.engine(catalog=forgetful(model, challenger={"kind": "beta_bernoulli", "half_life": "30d"}), store=tmp_path / "a") as again:
        again.record(late.id, "skipped", action=late.offers[0].action)
        assert shop.beliefs(again, version=False) != shop.beliefs(engine, version=False)


def test_history_counts_as_what_was_recorded():
    """A table of the past teaches what the same customers would have taught then, in whatever chunks."""
    n = 40
    past = {"subject": [f"c{i}" for i in range(n)], "channel": ["call"] * n, "at": [shop.NOON + i * shop.DAY for i in range(n)],
            "age": [20 + i for i in range(n)], "action": ["sport", "stay"] * (n // 2),
            "label": ["accepted", "declined", "declined", "maybe"] * (n // 4)}
    once, twice, recorded = (shop.engine(catalog=forgetful()) for _ in range(3))
    once.learn(past)
    for part in (slice(13), slice(13, n)):
        twice.learn({name: values[part] for name, values in past.items()})
    assert shop.beliefs(once) == shop.beliefs(twice)
    recorded.learn({name: values[:1] for name, values in past.items()})
    assert shop.beliefs(recorded) != shop.beliefs(once)
    clock = once._memory.state.beliefs.state()["models"]['probit {"half_life_us": 864000000000}']["state"]["clock"]
    assert clock[1] == int((shop.NOON + (n - 1) * shop.DAY).timestamp() * 1e6) * TICKS // int(clock[0])


@pytest.mark.parametrize("model", ["probit", "beta_bernoulli"])
def test_an_engine_follows_a_change_sooner_with_a_half_life(model):
    """Every other customer takes sport, and after 200 days nobody: what is said of it twenty days later."""
    days = range(220)
    past = {"subject": [f"c{day}" for day in days], "channel": ["call"] * 220, "at": [shop.NOON + day * shop.DAY for day in days],
            "action": ["sport"] * 220, "label": ["accepted" if day < 200 and day % 2 else "declined" for day in days], "age": [41] * 220}
    told = {}
    for half_life in ("10d", "forever"):
        engine = shop.engine(catalog=forgetful(model, half_life))
        engine.learn(past)
        decision = engine.decide("x", facts={"age": 41}, channel="call", limit=4, at=shop.NOON + 220 * shop.DAY)
        told[half_life] = next(offer.propensity for offer in decision.offers if offer.action == "sport")
    assert told["10d"] < told["forever"] - 0.04  # the probit follows soon by itself


def test_a_half_life_may_come_later_and_leave_again():
    engine = shop.engine(catalog=shop.catalog(contact_policies=[]))
    play(engine, 50 * shop.DAY)
    decision = engine.decide("x", facts=shop.ADULT, channel="call", limit=4, at=shop.NOON + 50 * shop.DAY)
    before = {offer.action: offer.propensity for offer in decision.offers}
    for catalog in (forgetful(), forgetful(half_life="30d"), shop.catalog(contact_policies=[])):
        engine.reload(catalog)
        again = engine.decide("x", facts=shop.ADULT, channel="call", limit=4, at=shop.NOON + 50 * shop.DAY)
        for offer in again.offers:
            assert offer.propensity == pytest.approx(before[offer.action], abs=0.05)
    engine.record(decision.id, "accepted", action=decision.offers[0].action)
    engine.record(decision.id, "skipped", action=decision.offers[0].action)


def test_an_action_may_have_a_half_life_of_its_own():
    written = shop.written()["actions"]
    written[0] = {**written[0], "model": {"kind": "probit", "half_life": "7d"}}
    engine = shop.engine(catalog=shop.catalog(actions=written, contact_policies=[]))
    play(engine, 30 * shop.DAY)
    assert sorted(engine._memory.state.beliefs.state()["models"]) == ["probit", 'probit {"half_life_us": 604800000000}']


@pytest.mark.parametrize("model, place, words", [
    ({"kind": "probit", "half_life": "0d"}, "model.half_life", "a duration above 0 such as 90d"),
    ({"half_life": 90}, "model.half_life", "a duration such as 30d"),
    ({"kind": "river", "half_life": "90d"}, "model.half_life", "beside kind river"),
])  # fmt: skip
def test_a_half_life_that_cannot_be_is_told_with_its_place(model, place, words):
    with pytest.raises(nba.CatalogError, match=words) as error:
        shop.catalog(model=model)
    assert error.value.faults[0].place.startswith(place)
