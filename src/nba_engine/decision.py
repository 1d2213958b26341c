"""The pure function: plan, beliefs, contact histories, encoded rows and noise keys in, a judgement of every candidate out.

The stages stand in the order of the funnel, each for any number of rows: one decision is a batch of one. No clock, no input or output, no
random state: the same arguments give the same judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.exploration import CONTROL
from nba_engine.arbitration.priority import CONTEXT_WEIGHT_TERM, N_TERMS
from nba_engine.arbitration.slates import Slates, SlateScratch, draw_slates
from nba_engine.beliefs import Rows, Scorer
from nba_engine.catalog.plan import ControlGroup, Plan
from nba_engine.contact.history import History
from nba_engine.contact.suppression import clear_suppressed
from nba_engine.facts.encoding import Row
from nba_engine.numerics.bitset import clear_bit, has_bit, n_set, position_of, set_bit
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.records import Offer
from nba_engine.rules.truth import Evaluation
from nba_engine.schema import VALUE_MAX

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class Judgement(msgspec.Struct, gc=False):
    """What a decision keeps of its candidates, about 20 bytes each; what follows from the row alone is computed again when it is asked for.

    `history`: the contact events that were seen, as `History.to_bytes` gives them; `candidates` and `judged`: the arrays below as bytes, which take
    half the time to make and to let go; `offered`: the candidates drawn, by rank, and as `offers`; `funnel`: actions left after each stage.
    """

    row: Row
    at_us: int
    channel_index: int
    history: bytes
    candidates: bytes
    judged: bytes
    offered: tuple[int, ...]
    offers: tuple[Offer, ...]
    funnel: Mapping[str, int]

    @property
    def survivors(self) -> Ints:
        """int32[m]: the candidates that reached arbitration."""
        return np.frombuffer(self.candidates, np.int32)

    @property
    def propensity(self) -> Floats:
        """float64[m], of the survivors at rank 1."""
        return np.frombuffer(self.judged, np.float64).reshape(2, -1)[0]

    @property
    def first_pmf(self) -> Floats:
        """float64[m]: the law of the first slot; NaN where the decision was rebuilt from the store."""
        return np.frombuffer(self.judged, np.float64).reshape(2, -1)[1]


class Workspace:
    """Arrays for deciding up to `n_rows` rows at once under one plan: one thread at a time. 60 bytes a row and candidate, 120 a candidate besides.

    What is asked stands in at_us int64[n_rows], channel_index int64[n_rows] (-1: the treatments of all channels compete), noise_keys uint64[n_rows]
    from (seed, subject, sticky window), kinds int64[n_rows] (the law, as `Exploration` numbers it) and limits int64[n_rows]. What is found:
    row r's survivors, terms and `judged` (propensity, law of the first slot) stand between its `offsets` int64[n_rows + 1].
    """

    __slots__ = ("at_us", "bits", "channel_index", "counts", "deviation", "judged", "kinds", "limits", "n_offered", "noise_keys", "offsets",
                 "rules", "slate", "survivors", "terms")

    def __init__(self, plan: Plan, n_rows: int = 1) -> None:
        n = plan.n_candidates
        self.at_us, self.channel_index = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        self.noise_keys = np.zeros(n_rows, np.uint64)
        self.kinds, self.limits = np.full(n_rows, plan.exploration.kind), np.zeros(n_rows, np.int64)
        self.rules = Evaluation(plan.index, n_rows)
        self.bits = np.zeros((n_rows, plan.channel_masks.shape[1]), np.uint64)
        self.counts = np.zeros((n_rows, len(plan.stages) + 3), np.int64)
        self.offsets = np.zeros(n_rows + 1, np.int64)
        self.survivors = np.empty(n_rows * n, np.int32)
        self.terms = np.empty((n_rows * n, N_TERMS))
        self.judged, self.deviation = np.empty((2, n_rows * n)), np.empty(n_rows * n)
        self.slate = SlateScratch(n)
        self.n_offered = np.zeros(2, np.int64)

    def serve(self, row: int, control_group: ControlGroup) -> None:
        """Put the control group's own law in place of the plan's for one row."""
        self.kinds[row] = CONTROL
        if control_group.kind == "nothing":
            self.limits[row] = 0


def decide(plan: Plan, scorer: Scorer, history: History, row: Row, at_us: int, channel_index: int, noise_key: int, limit: int, work: Workspace,
           control_group: ControlGroup | None = None) -> Judgement:
    """Judge every candidate of `plan` for one interaction and draw a slate of at most `limit` offers.

    Parameters: `row` as `plan.encoder` made it at `at_us`; the others as `Workspace` says; `work` is overwritten.
    """
    limit = min(limit, len(plan.action_ids))
    work.at_us[0], work.channel_index[0], work.noise_keys[0] = at_us, channel_index, noise_key
    work.kinds[0], work.limits[0] = plan.exploration.kind, limit
    if control_group is not None:
        work.serve(0, control_group)
    drawn = judge(plan, scorer, (history,), row, limit, work, lambda _: plan.encoder.variables(row))
    m, k = work.offsets.item(1), drawn.n_offers(0)
    offered, offers = _offers_of(plan, scorer, channel_index, drawn, k, work) if k else ((), ())
    funnel = dict(zip(plan.funnel_names, [len(plan.action_ids), *work.counts[0].tolist(), k]))
    return Judgement(row, at_us, channel_index, history.to_bytes(), work.survivors[:m].tobytes(),
                     work.judged[:, :m].tobytes(), offered, offers, funnel)


def _offers_of(plan: Plan, scorer: Scorer, channel_index: int, drawn: Slates, k: int, work: Workspace) -> tuple[tuple[int, ...], tuple[Offer, ...]]:
    """The k candidates of the only row's slate, and as records. An offer's propensity and priority are those at its own rank."""
    candidates, propensities, work.n_offered[1] = drawn.candidates[0, :k], drawn.propensity[0, :k], k
    scorer.put_at_ranks(work.n_offered, candidates, k, propensities)
    asked = plan.channel_ids[channel_index] if channel_index >= 0 else None
    names, channels, treatments, scripts = plan.candidate_actions, plan.candidate_channels, plan.treatments, plan.scripts
    offered, offers = tuple(candidates.tolist()), []
    for c, propensity, (value, context_weight, lever, cost, probability) in zip(offered, propensities.tolist(), drawn.terms[0].tolist()):
        own = channels[c]
        offers.append(Offer(names[c], treatments[c], asked if own is None else own, len(offers) + 1, propensity, value, context_weight, lever, cost,
                            propensity * value * context_weight * lever - cost, probability, scripts[c]))
    return offered, tuple(offers)


def judge(plan: Plan, scorer: Scorer, histories: Sequence[History], rows: Rows, longest: int, work: Workspace,
          variables: Callable[[int], Mapping[str, Any]]) -> Slates:
    """Draw a slate for each of n rows, of at most `longest` offers; everything about their candidates stands in `work`.

    `variables` gives the declared facts of a row as the plain evaluator reads them, for the few rules that need it.
    Cost: O(actions / 64 x facts) a row for rules, O(survivors x active features) for beliefs.
    """
    n = len(rows.values)
    work.rules.run(rows, lambda r: plan.variables(variables(r), work.at_us.item(r), work.channel_index.item(r)))
    _fill_eligible(n, work.rules.bits, plan.stage_words, plan.channel_masks, plan.n_available, plan.windows, work.at_us, work.channel_index,
                   plan.action, work.bits, work.counts)
    _close(plan, histories, rows, work)
    _value_candidates(plan, n, work)
    offsets = work.offsets[: n + 1]
    scorer.score(rows, offsets, work.survivors, work.judged[0], work.deviation)
    return draw_slates(plan.exploration, n, work.kinds, work.limits, longest, work.slate, offsets, work.survivors, plan.explores, plan.action,
                       plan.keys, work.judged, work.deviation, work.terms, plan.null_candidate, work.noise_keys)


def terms_of(plan: Plan, judgement: Judgement) -> Floats:
    """float64[m, 4]: value, context weight, lever and cost of every survivor, computed again as they were."""
    work, row = Workspace(plan), judgement.row
    work.rules.run(row, lambda _: plan.variables(plan.encoder.variables(row), judgement.at_us, judgement.channel_index))
    for candidate in judgement.survivors:
        set_bit(work.bits[0], candidate)
    _value_candidates(plan, 1, work)
    return work.terms[: work.offsets[1]]


def _close(plan: Plan, histories: Sequence[History], rows: Rows, work: Workspace) -> None:
    """Clear what consent or the subject's own history closes, in `work.bits`."""
    for r, history in enumerate(histories):
        if not plan.consents and not history.n_events:
            continue
        bits, channel_index = work.bits[r], int(work.channel_index[r])
        offers_nothing = plan.null_candidate >= 0 and bool(has_bit(bits, plan.null_candidate))
        for consent in plan.consents:
            if channel_index in (-1, consent.channel_index) and not (rows.states[r, consent.column] == 0 and rows.values[r, consent.column] == 1):
                bits &= ~consent.candidates if channel_index == -1 else np.uint64(0)
        clear_suppressed(plan.contact_rules, history, int(work.at_us[r]), channel_index, bits)
        if offers_nothing:  # there is no contact in offering nothing
            set_bit(bits, plan.null_candidate)


def _value_candidates(plan: Plan, n: int, work: Workspace) -> None:
    """List the candidates in `work.bits` that have a value, with their terms."""
    rules = work.rules
    _fill_terms(n, work.bits, rules.values, rules.states, plan.numbers, plan.value_slots, plan.action, work.offsets, work.survivors, work.terms,
                work.counts)
    for weighing in plan.context_weights:
        holds = rules.bits[:n, weighing.target >> 6] & np.uint64(1 << (weighing.target & 63))
        for r in np.flatnonzero(holds).tolist():
            a, b = work.offsets[r : r + 2].tolist()
            work.terms[a:b, CONTEXT_WEIGHT_TERM][weighing.affected[work.survivors[a:b]]] *= weighing.multiplier


@kernel
def _fill_eligible(n_rows, truth, stage_words, channel_masks, n_available, windows, at, channels, action, bits, counts):
    """Candidates available on a row's channel and at its time, then ANDed with each stage's tier of rules; counts the actions left each time.

    `n_available`: the actions in each of `channel_masks`, which only windows can change.
    """
    for r in range(n_rows):
        bits[r] = channel_masks[channels[r]]
        for k in range(windows.shape[0]):
            if at[r] < windows[k, 1] or at[r] > windows[k, 2]:
                clear_bit(bits[r], windows[k, 0])
        counts[r, 0] = _n_actions(bits[r], action) if windows.shape[0] > 0 else n_available[channels[r]]
        for s in range(stage_words.shape[0]):
            cleared = np.uint64(0)
            for w in range(bits.shape[1]):
                cleared |= bits[r, w] & ~truth[r, stage_words[s] + w]
                bits[r, w] &= truth[r, stage_words[s] + w]
            counts[r, s + 1] = counts[r, s] if cleared == 0 else _n_actions(bits[r], action)


@scalar
def _n_actions(bits, action):
    """How many actions have a candidate in `bits`; candidates of one action stand side by side."""
    n, last = 0, -1
    if action.shape[0] > 0 and action[action.shape[0] - 1] == action.shape[0] - 1:  # every action has one candidate
        for w in range(bits.shape[0]):
            n += n_set(bits[w])
        return n
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
def _fill_terms(n_rows, bits, slot_values, slot_states, numbers, value_slots, action, offsets, survivors, terms, counts):
    """List the candidates in `bits` whose value is known and from 0 to VALUE_MAX, with their terms, row behind row."""
    doubles = slot_values.view(np.float64)
    m, offsets[0] = 0, 0
    for r in range(n_rows):
        n_reached, n_valued, last_reached, last_valued = 0, 0, -1, -1
        for w in range(bits.shape[1]):
            rest = bits[r, w]
            while rest != 0:
                lowest = rest & (~rest + np.uint64(1))
                rest ^= lowest
                i = w * 64 + position_of(lowest)
                n_reached += action[i] != last_reached
                last_reached = action[i]
                value, slot = numbers[i, 0], value_slots[i, 0]
                if slot >= 0:
                    value = doubles[r, slot] if value_slots[i, 1] != 0 else np.float64(slot_values[r, slot])
                if (slot < 0 or slot_states[r, slot] == 0) and 0.0 <= value <= VALUE_MAX:
                    survivors[m] = i
                    terms[m, 0], terms[m, 1], terms[m, 2], terms[m, 3] = value, 1.0, numbers[i, 1], numbers[i, 2]
                    m += 1
                    n_valued += action[i] != last_valued
                    last_valued = action[i]
        counts[r, counts.shape[1] - 2] = n_reached
        counts[r, counts.shape[1] - 1] = n_valued
        offsets[r + 1] = m
