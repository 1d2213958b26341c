"""The pure function: plan, beliefs, contact history, one encoded row and a noise key in, a judgement of every candidate out.

The stages stand in the order of the funnel. No clock, no input or output, no random state: the same arguments give the same judgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.exploration import CONTROL, Exploration
from nba_engine.arbitration.priority import priorities
from nba_engine.arbitration.slates import Slate, fill_slate
from nba_engine.beliefs import Beliefs
from nba_engine.catalog.plan import ControlGroup, Plan
from nba_engine.contact.history import History
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.facts.encoding import Row
from nba_engine.numerics.bitset import clear_bit, has_bit, position_of, set_bit
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.records import Offer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

VALUE_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, COST_TERM = 0, 1, 2, 3
N_TERMS = 4
_CONTROL = Exploration(CONTROL)


@dataclass(slots=True)
class Judgement:
    """What a decision knows of its candidates; all that explain needs stays here.

    survivors int32[m]: candidates that reached arbitration; terms float64[4, m]: value, context weight, lever, cost; propensity, deviation,
    pmf float64[m]; `counts`: actions left after each stage.
    """

    row: Row
    at_us: int
    channel_index: int
    history: npt.NDArray[Any]
    survivors: Ints
    terms: Floats
    propensity: Floats
    deviation: Floats
    slate: Slate
    counts: dict[str, int]


def decide(plan: Plan, beliefs: Beliefs, history: History, row: Row, at_us: int, channel_index: int, noise_key: int, limit: int,
           control_group: ControlGroup | None = None) -> Judgement:
    """Judge every candidate of `plan` for one interaction and draw a slate of at most `limit` offers.

    Parameters: `row` as `plan.encoder` made it at `at_us`; `channel_index` -1 lets the treatments of all channels compete; `noise_key` uint64
    from (seed, subject, sticky window). Cost: O(actions / 64 x facts) for rules, O(survivors x active features) for beliefs.
    """
    n = plan.n_candidates
    rules = plan.evaluation
    rules.run(row.values, row.states, row.item_codes, row.item_offsets, lambda: plan.encoder.variables(row))
    bits = np.empty(plan.channel_masks.shape[1], np.uint64)
    counts = np.zeros(len(plan.stages) + 3, np.int64)
    _fill_eligible(rules.bits, plan.stage_words, plan.channel_masks[channel_index], plan.windows, at_us, plan.action, bits, counts)
    offers_nothing = plan.null_candidate >= 0 and has_bit(bits, plan.null_candidate)
    for consent in plan.consents:
        if channel_index in (-1, consent.channel_index) and not (row.states[consent.column] == 0 and row.values[consent.column] == 1):
            bits &= ~consent.candidates if channel_index == -1 else np.uint64(0)
    clear_suppressed(plan.contact_rules, history, at_us, channel_index, bits)
    if offers_nothing:  # there is no contact in offering nothing
        set_bit(bits, plan.null_candidate)
    survivors, terms = np.empty(n, np.int32), np.empty((N_TERMS, n))
    m = _fill_terms(bits, rules.values, rules.states, plan.numbers, plan.value_slots, plan.action, survivors, terms, counts)
    survivors, terms = survivors[:m], terms[:, :m]
    for weighing in plan.context_weights:
        if int(rules.bits[weighing.target >> 6]) >> (weighing.target & 63) & 1:
            terms[CONTEXT_WEIGHT_TERM, weighing.affected[survivors]] *= weighing.multiplier
    propensity, deviation = np.empty(m), np.empty(m)
    beliefs.score(row, survivors, propensity, deviation)
    slate = _draw(plan, survivors, terms, propensity, deviation, noise_key, limit, control_group)
    return Judgement(row, at_us, channel_index, history.rows().copy() if history.n_events else history.rows(), survivors, terms, propensity,
                     deviation, slate, _funnel(plan, counts, slate))


def _draw(plan: Plan, survivors: Ints, terms: Floats, propensity: Floats, deviation: Floats, noise_key: int, limit: int,
          control_group: ControlGroup | None) -> Slate:
    null_position = -1
    if plan.null_candidate >= 0 and len(at := np.flatnonzero(survivors == plan.null_candidate)):
        null_position = int(at[0])
    exploration = plan.exploration
    if control_group is not None:
        exploration = _CONTROL
        limit = limit if control_group.kind == "uniform" else 0
    explores = plan.explores[survivors]
    value, context_weight, lever, cost = terms
    priority, spread = priorities(propensity, deviation, value, context_weight, lever, cost, explores, exploration.posterior_scale)
    return fill_slate(exploration, priority, spread, plan.action[survivors], explores, null_position, noise_key, plan.action_keys[survivors],
                      plan.candidate_keys[survivors], limit)


def _funnel(plan: Plan, counts: npt.NDArray[np.int64], slate: Slate) -> dict[str, int]:
    numbers: list[int] = counts.tolist()
    names = ("available", *(name for name, _ in plan.stages), "contact", "value")
    return {"actions": len(plan.action_ids), **dict(zip(names, numbers, strict=True)), "offered": len(slate.chosen)}


def offers_of(plan: Plan, beliefs: Beliefs, judgement: Judgement) -> tuple[Offer, ...]:
    """The slate as records. An offer's propensity and priority are those at its own rank."""
    offers: list[Offer] = []
    channel = plan.channel_ids[judgement.channel_index] if judgement.channel_index >= 0 else None
    for k, position in enumerate(judgement.slate.chosen.tolist()):
        candidate = int(judgement.survivors[position])
        value, context_weight, lever, cost = judgement.terms[:, position].tolist()
        propensity = float(judgement.propensity[position]) if k == 0 else beliefs.propensity_at(judgement.row, candidate, k + 1)
        own = int(plan.channel[candidate])
        offers.append(Offer(
            plan.action_ids[plan.action[candidate]], plan.treatments[candidate], plan.channel_ids[own] if own >= 0 else channel, k + 1,
            propensity, value, context_weight, lever, cost, propensity * value * context_weight * lever - cost,
            float(judgement.slate.probability[k]), plan.scripts[candidate]))
    return tuple(offers)


@kernel
def _fill_eligible(truth, stage_words, available, windows, at, action, bits, counts):
    """Candidates available on the channel and at the time, then ANDed with each stage's tier of rules; counts the actions left each time."""
    for w in range(bits.shape[0]):
        bits[w] = available[w]
    for k in range(windows.shape[0]):
        if at < windows[k, 1] or at > windows[k, 2]:
            clear_bit(bits, windows[k, 0])
    counts[0] = _n_actions(bits, action)
    for s in range(stage_words.shape[0]):
        for w in range(bits.shape[0]):
            bits[w] &= truth[stage_words[s] + w]
        counts[s + 1] = _n_actions(bits, action)


@scalar
def _n_actions(bits, action):
    """How many actions have a candidate in `bits`; candidates of one action stand side by side."""
    n, last = 0, -1
    for w in range(bits.shape[0]):
        rest = bits[w]
        while rest != 0:
            lowest = rest & (~rest + np.uint64(1))
            rest ^= lowest
            own = action[w * 64 + position_of(lowest)]
            n += own != last
            last = own
    return n


@kernel
def _fill_terms(bits, slot_values, slot_states, numbers, value_slots, action, survivors, terms, counts):
    """List the candidates in `bits` whose value is known and not negative, with their terms; returns how many."""
    doubles = slot_values.view(np.float64)
    m, n_valued, last = 0, 0, -1
    for i in range(action.shape[0]):
        if not has_bit(bits, i):
            continue
        value, slot = numbers[i, 0], value_slots[i, 0]
        if slot >= 0:
            if slot_states[slot] != 0:
                continue
            value = doubles[slot] if value_slots[i, 1] != 0 else np.float64(slot_values[slot])
        if not 0.0 <= value < np.inf:
            continue
        survivors[m] = i
        terms[0, m], terms[1, m], terms[2, m], terms[3, m] = value, 1.0, numbers[i, 1], numbers[i, 2]
        m += 1
        n_valued += action[i] != last
        last = action[i]
    counts[counts.shape[0] - 2] = _n_actions(bits, action)
    counts[counts.shape[0] - 1] = n_valued
    return m
