"""The pure function: plan, beliefs, contact history, one encoded row and a noise key in, a judgement of every candidate out.

The stages stand in the order of the funnel. No clock, no input or output, no random state: the same arguments give the same judgement.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.exploration import CONTROL, Exploration
from nba_engine.arbitration.priority import priorities
from nba_engine.arbitration.slates import Slate, SlateScratch, draw_slate
from nba_engine.beliefs import Beliefs
from nba_engine.catalog.plan import ControlGroup, Plan
from nba_engine.contact.history import EVENT, History
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.facts.encoding import Row
from nba_engine.numerics.bitset import clear_bit, has_bit, position_of, set_bit
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.records import Offer
from nba_engine.rules.truth import Evaluation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

VALUE_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, COST_TERM = 0, 1, 2, 3
N_TERMS = 4
_CONTROL = Exploration(CONTROL)
_NO_EVENTS = np.zeros(0, EVENT)


class Judgement(msgspec.Struct, gc=False):
    """What a decision keeps of its candidates, about 20 bytes each; what follows from the row alone is computed again when it is asked for.

    survivors int32[m]: candidates that reached arbitration; propensity float64[m]: theirs at rank 1; offered_terms float64[4, k]: value, context
    weight, lever and cost of those drawn; `counts`: actions left after each stage; `history`: the contact events that were seen.
    """

    row: Row
    at_us: int
    channel_index: int
    history: npt.NDArray[Any]
    survivors: Ints
    propensity: Floats
    offered_terms: Floats
    slate: Slate
    counts: dict[str, int]


class Workspace:
    """Arrays for deciding under one plan: one thread at a time. 300 bytes a candidate."""

    __slots__ = ("bits", "counts", "deviation", "propensity", "slate", "survivors", "terms")

    def __init__(self, plan: Plan) -> None:
        n = plan.n_candidates
        self.bits = np.zeros(plan.channel_masks.shape[1], np.uint64)
        self.counts = np.zeros(len(plan.stages) + 3, np.int64)
        self.survivors = np.zeros(n, np.int32)
        self.terms = np.zeros((N_TERMS, n))
        self.propensity, self.deviation = np.zeros(n), np.zeros(n)
        self.slate = SlateScratch(n)


def decide(plan: Plan, beliefs: Beliefs, history: History, row: Row, at_us: int, channel_index: int, noise_key: int, limit: int,
           work: Workspace, control_group: ControlGroup | None = None) -> Judgement:
    """Judge every candidate of `plan` for one interaction and draw a slate of at most `limit` offers.

    Parameters: `row` as `plan.encoder` made it at `at_us`; `channel_index` -1 lets the treatments of all channels compete; `noise_key` uint64
    from (seed, subject, sticky window); `work` is overwritten. Cost: O(actions / 64 x facts) for rules, O(survivors x active features) for beliefs.
    """
    _settle_candidates(plan, history, row, at_us, channel_index, work)
    m = _value_candidates(plan, work)
    survivors = work.survivors[:m].copy()
    propensity, deviation = work.propensity[:m], work.deviation[:m]
    beliefs.score(row, survivors, propensity, deviation)
    exploration = plan.exploration
    if control_group is not None:
        exploration, limit = _CONTROL, limit if control_group.kind == "uniform" else 0
    null_position = _position_of(survivors, plan.null_candidate)
    priorities(survivors, plan.explores, propensity, deviation, work.terms, exploration.posterior_scale, null_position, work.slate.priority,
               work.slate.flags)
    slate = draw_slate(exploration, work.slate, survivors, plan.action, plan.keys, null_position, noise_key, limit)
    counts = dict(zip(plan.funnel_names, (len(plan.action_ids), *work.counts.tolist(), len(slate.chosen)), strict=True))
    return Judgement(row, at_us, channel_index, history.rows().copy() if history.n_events else _NO_EVENTS, survivors, propensity.copy(),
                     work.terms.take(slate.chosen, 1), slate, counts)


def terms_of(plan: Plan, judgement: Judgement) -> Floats:
    """float64[4, m]: value, context weight, lever and cost of every survivor, computed again as they were."""
    work, evaluation, row = Workspace(plan), Evaluation(plan.index), judgement.row
    evaluation.run(row.values, row.states, row.item_codes, row.item_offsets, lambda: plan.encoder.variables(row))
    for candidate in judgement.survivors:
        work.bits[candidate >> 6] |= np.uint64(1 << (int(candidate) & 63))
    return work.terms[:, : _value_candidates(plan, work, evaluation)]


def _settle_candidates(plan: Plan, history: History, row: Row, at_us: int, channel_index: int, work: Workspace) -> None:
    """The stages from availability to contact, into `work.bits` and `work.counts`."""
    rules, bits = plan.evaluation, work.bits
    rules.run(row.values, row.states, row.item_codes, row.item_offsets, lambda: plan.encoder.variables(row))
    _fill_eligible(rules.bits, plan.stage_words, plan.channel_masks[channel_index], plan.n_available[channel_index], plan.windows, at_us,
                   plan.action, bits, work.counts)
    if not plan.consents and not history.n_events:
        return
    offers_nothing = plan.null_candidate >= 0 and bool(has_bit(bits, plan.null_candidate))
    for consent in plan.consents:
        if channel_index in (-1, consent.channel_index) and not (row.states[consent.column] == 0 and row.values[consent.column] == 1):
            bits &= ~consent.candidates if channel_index == -1 else np.uint64(0)
    clear_suppressed(plan.contact_rules, history, at_us, channel_index, bits)
    if offers_nothing:  # there is no contact in offering nothing
        set_bit(bits, plan.null_candidate)


def _value_candidates(plan: Plan, work: Workspace, evaluation: Evaluation | None = None) -> int:
    """List the candidates in `work.bits` that have a value, with their terms; returns how many."""
    rules = evaluation or plan.evaluation
    m = _fill_terms(work.bits, rules.values, rules.states, plan.numbers, plan.value_slots, plan.action, work.survivors, work.terms, work.counts)
    for weighing in plan.context_weights:
        if int(rules.bits[weighing.target >> 6]) >> (weighing.target & 63) & 1:
            work.terms[CONTEXT_WEIGHT_TERM, :m][weighing.affected[work.survivors[:m]]] *= weighing.multiplier
    return m


def _position_of(survivors: Ints, candidate: int) -> int:
    """Where a candidate stands among the survivors (sorted), or -1."""
    if candidate < 0:
        return -1
    at = int(np.searchsorted(survivors, candidate))
    return at if at < len(survivors) and survivors[at] == candidate else -1


def offers_of(plan: Plan, beliefs: Beliefs, judgement: Judgement) -> tuple[Offer, ...]:
    """The slate of the judgement just made, as records. An offer's propensity and priority are those at its own rank."""
    chosen = judgement.survivors[judgement.slate.chosen]
    channel = plan.channel_ids[judgement.channel_index] if judgement.channel_index >= 0 else None
    propensities = beliefs.at_ranks(chosen).tolist() if len(chosen) else []
    offers: list[Offer] = []
    for candidate, propensity, (value, context_weight, lever, cost), probability in zip(
            chosen.tolist(), propensities, judgement.offered_terms.T.tolist(), judgement.slate.probability.tolist(), strict=True):
        own = plan.candidate_channels[candidate]
        offers.append(Offer(
            plan.candidate_actions[candidate], plan.treatments[candidate], channel if own is None else own, len(offers) + 1, propensity, value,
            context_weight, lever, cost, propensity * value * context_weight * lever - cost, probability, plan.scripts[candidate]))
    return tuple(offers)


@kernel
def _fill_eligible(truth, stage_words, available, n_available, windows, at, action, bits, counts):
    """Candidates available on the channel and at the time, then ANDed with each stage's tier of rules; counts the actions left each time.

    `n_available`: the actions in `available`, which only windows can change.
    """
    bits[:] = available
    for k in range(windows.shape[0]):
        if at < windows[k, 1] or at > windows[k, 2]:
            clear_bit(bits, windows[k, 0])
    counts[0] = _n_actions(bits, action) if windows.shape[0] > 0 else n_available
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
    m, n_reached, n_valued, last_reached, last_valued = 0, 0, 0, -1, -1
    for w in range(bits.shape[0]):
        rest = bits[w]
        while rest != 0:
            lowest = rest & (~rest + np.uint64(1))
            rest ^= lowest
            i = w * 64 + position_of(lowest)
            n_reached += action[i] != last_reached
            last_reached = action[i]
            value, slot = numbers[i, 0], value_slots[i, 0]
            if slot >= 0:
                value = doubles[slot] if value_slots[i, 1] != 0 else np.float64(slot_values[slot])
            if (slot < 0 or slot_states[slot] == 0) and 0.0 <= value < np.inf:
                survivors[m] = i
                terms[0, m], terms[1, m], terms[2, m], terms[3, m] = value, 1.0, numbers[i, 1], numbers[i, 2]
                m += 1
                n_valued += action[i] != last_valued
                last_valued = action[i]
    counts[counts.shape[0] - 2] = n_reached
    counts[counts.shape[0] - 1] = n_valued
    return m
