"""Which candidates a subject's own history closes now: one pass over its events, one bit cleared per candidate that must not be offered.

Here are the wrapper and the kernel. What the rules say is compiled in `rules.py`; the same answer in words, for explain, is `listing.py`.

Law. A contact policy matches the events with its label (answers that carry a reason of this catalog left out), in its direction,
and groups them by its scope. At a matching event e the count is the number of matching events of the same group recorded up to e with
`e.at - t < within`; where it reaches `count`, the group is closed while `at < e.at + suppress`. Without `suppress` the reference is
`at` in place of `e.at`: closed while the count holds. Recording orders the events, not their clocks: an event later than `at` counts.
Looking back from e stops at the first row before which nothing was late enough to count (`latest`), so clocks out of order stay right.

In plain words: docs/catalog.md, "contact_policies" and "reasons". Cost: O(events x policies + cleared words); a policy over
`similar` with a count above 1 costs O(events in its window squared x words).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel, scalar

if TYPE_CHECKING:
    from nba_engine.contact.history import History
    from nba_engine.contact.rules import ContactRules

SCOPES = ("action", "treatment", "group", "issue", "similar", "channel", "subject")
ACTION, TREATMENT, GROUP, ISSUE, SIMILAR, CHANNEL, SUBJECT = range(len(SCOPES))
"""Scope codes, as the kernel knows them."""

(P_LABEL, P_SCOPE, P_COUNT, P_WITHIN, P_SUPPRESS, P_PER_INTERACTION, P_DIRECTION, P_LIMIT, POLICY_COLUMNS) = range(9)
"""Columns of `policies int64[n_policies, 8]`: `P_SUPPRESS` is -1 without suppress, `P_DIRECTION` -1 for both, `P_LIMIT` the mask row of where
it holds."""

(M_ACTION, M_GROUP, M_ISSUE, M_START, M_STOP, M_TREATMENT, M_CHANNEL, M_SUPPRESS, M_SIMILAR, M_SCOPE, M_LIMIT, MEANING_COLUMNS) = range(12)
"""Columns of `meanings int64[n_numbers + 1, 11]`: what an interned number stands for in this catalog, as an action (mask row of its relatives,
of its group, of its issue, its candidates from start to stop), a treatment (its candidate), a channel (mask row), a reason (its rule).
-1 where this catalog does not know it; the last row is all -1 and serves every number that is not in the table."""

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_GOLDEN = 0x9E3779B1
_N_PLANES = 64


def clear_suppressed(rules: ContactRules, history: History, at_us: int, channel: int, candidates: npt.NDArray[np.uint64]) -> int:
    """Clear the bits of the candidates that this history suppresses at a moment.

    Parameters
    ----------
    rules : the catalog's contact policies and reasons, compiled.
    history : of the subject who is asked for.
    at_us : microseconds UTC.
    channel : index of the asked channel, whatever channel a candidate names; -1 if all channels compete: a candidate is then judged on
        the channel it names, and one that names none only meets suppressions that hold on every channel and in both directions.
    candidates : uint64[n_words], bits of the candidates still in play; changed in place.

    Returns
    -------
    How many events were looked at: 0 costs a comparison and nothing else.

    Notes
    -----
    **Cost**: O(events x policies + words cleared), independent of the number of subjects.
    """
    n = history.n_events
    if n == 0:
        return 0
    events = history.events
    scratch = np.empty(7 * len(events) + _N_PLANES, np.int64)
    asked, asked_direction = rules.asked_rows[channel]
    return _fill_suppressed(events, n, rules.contact_policy_table, rules.meanings, rules.masks, at_us, asked, asked_direction, scratch, candidates)


@kernel
def _fill_suppressed(events, n, policies, meanings, masks, at, asked, asked_direction, scratch, words):
    """Clear the suppressed bits of `words`; returns n.

    `events` EVENT[capacity >= n]; `policies`, `meanings` as above; `masks` uint64[n_rows, n_words], the last row all candidates;
    `asked`, `asked_direction` mask rows or -1; `scratch` int64[7 * capacity + 64], capacity a power of two.
    """
    capacity = events.shape[0]
    _clear_for_reasons(events, n, meanings, masks, at, asked, asked_direction, words)
    _order(events, n, scratch, capacity)
    for p in range(policies.shape[0]):
        limit = _where(policies[p, P_LIMIT], asked, asked_direction, masks.shape[0] - 1)
        if limit < 0:
            continue
        n_matching = _match(events, n, policies[p], meanings, masks.shape[0] - 1, scratch)
        if n_matching < policies[p, P_COUNT]:
            continue
        if policies[p, P_COUNT] == 1:
            _keep_active(events, n, policies[p], at, scratch)
        elif policies[p, P_SCOPE] != SIMILAR:
            _keep_filled(events, n, policies[p], p, at, scratch, capacity)
        else:
            _clear_similar(events, n, policies[p], meanings, masks, at, limit, scratch, words)
            continue
        _clear_keys(n, policies[p, P_SCOPE], limit, asked, asked_direction, meanings, masks, scratch, words)
    return n


@scalar
def _order(events, n, scratch, capacity):
    """Fill `latest` (largest time up to each row), `slot` (first row of each row's interaction), and empty `stamp`."""
    keys, latest, previous = scratch[:capacity], scratch[capacity : 2 * capacity], scratch[2 * capacity : 3 * capacity]
    slot, stamp = scratch[3 * capacity : 4 * capacity], scratch[4 * capacity : 5 * capacity]
    for i in range(n):
        keys[i] = events[i]["interaction"]
        latest[i] = events[i]["at"] if i == 0 else max(latest[i - 1], events[i]["at"])
        stamp[i] = -1
    _chain(keys, n, previous, scratch[5 * capacity : 7 * capacity])
    for i in range(n):
        slot[i] = i if previous[i] < 0 else slot[previous[i]]


@scalar
def _chain(keys, n, previous, table):
    """`previous[i]` = the last row before i with the same key, or -1; rows with a negative key are left out."""
    table[:] = -1
    last = table.shape[0] - 1
    for i in range(n):
        previous[i] = -1
        if keys[i] >= 0:
            h = (((keys[i] ^ (keys[i] >> 32)) & 0x7FFFFFFF) * _GOLDEN >> 16) & last
            while table[h] >= 0 and keys[table[h]] != keys[i]:
                h = (h + 1) & last
            previous[i] = table[h]
            table[h] = i


@scalar
def _known(number, unknown):
    """The row of an interned number in `meanings`; the last, empty one for a number that this catalog does not have."""
    return np.int64(number) if 0 <= number < unknown else np.int64(unknown)


@scalar
def _where(row, asked, asked_direction, everything):
    """The mask row of where a limit to `row` (a channel, a direction, everything) holds for what is asked; -1: nowhere."""
    if row < 0 or row == everything or asked < 0:
        return row
    return everything if row == asked or row == asked_direction else np.int64(-1)


@scalar
def _span(start, stop, w):
    """The bits of word `w` that stand for the candidates from `start` up to, not including, `stop`."""
    low = min(max(start - 64 * w, 0), 64)
    high = min(max(stop - 64 * w, 0), 64)
    if low >= high:
        return np.uint64(0)
    return (_ONES << np.uint64(low)) & (_ONES >> np.uint64(64 - high))


@scalar
def _clear_span(start, stop, where, limit, masks, words):
    """Clear the candidates [start, stop) that are in both mask rows."""
    for w in range(start >> 6, (stop + 63) >> 6):
        words[w] &= ~(_span(start, stop, w) & masks[where, w] & masks[limit, w])


@scalar
def _clear_row(row, where, limit, masks, words):
    """Clear the candidates that are in all three mask rows."""
    for w in range(words.shape[0]):
        words[w] &= ~(masks[row, w] & masks[where, w] & masks[limit, w])


@scalar
def _clear_for_reasons(events, n, meanings, masks, at, asked, asked_direction, words):
    """Clear what the reason of each row closes: its action, that action on its channel, or every action; and its relatives."""
    everything, unknown = masks.shape[0] - 1, meanings.shape[0] - 1
    for i in range(n):
        e = events[i]
        if e["reason"] < 0:
            continue
        r, a = _known(e["reason"], unknown), _known(e["action"], unknown)
        scope = meanings[r, M_SCOPE]
        limit = _where(meanings[r, M_LIMIT], asked, asked_direction, everything)
        where = np.int64(everything)
        if scope == CHANNEL and e["channel"] >= 0:
            where = _where(meanings[_known(e["channel"], unknown), M_CHANNEL], asked, asked_direction, everything)
        if scope < 0 or where < 0 or limit < 0:
            continue
        if at < e["at"] + meanings[r, M_SUPPRESS]:
            if scope == SUBJECT:
                _clear_row(everything, where, limit, masks, words)
            elif meanings[a, M_ACTION] >= 0:
                _clear_span(meanings[a, M_START], meanings[a, M_STOP], where, limit, masks, words)
        if at < e["at"] + meanings[r, M_SIMILAR] and meanings[a, M_ACTION] >= 0:
            _clear_row(meanings[a, M_ACTION], where, limit, masks, words)


@scalar
def _match(events, n, policy, meanings, everything, keys):
    """What each row counts for under a contact policy, by its scope: -1 if it does not match or stands for nothing here; how many match."""
    label, scope, direction = policy[P_LABEL], policy[P_SCOPE], policy[P_DIRECTION]
    unknown = meanings.shape[0] - 1
    n_matching = 0
    for i in range(n):
        keys[i] = -1
        e = events[i]
        if e["label"] != label or (direction >= 0 and e["direction"] != direction):
            continue
        if e["reason"] >= 0 and meanings[_known(e["reason"], unknown), M_SCOPE] >= 0:
            continue
        a = _known(e["action"], unknown)
        if scope == SUBJECT:
            keys[i] = everything
        elif scope == CHANNEL:
            keys[i] = meanings[_known(e["channel"], unknown), M_CHANNEL]
        elif scope == TREATMENT:
            keys[i] = meanings[_known(e["treatment"], unknown), M_TREATMENT]
        elif scope == GROUP:
            keys[i] = meanings[a, M_GROUP]
        elif scope == ISSUE:
            keys[i] = meanings[a, M_ISSUE]
        elif meanings[a, M_ACTION] >= 0:
            keys[i] = a
        n_matching += keys[i] >= 0
    return n_matching


@scalar
def _lasts(at, event_at, within, suppress):
    """Whether the policy would still hold at `at` if the event at `event_at` filled its count."""
    return at < event_at + suppress if suppress >= 0 else at - event_at < within


@scalar
def _keep_active(events, n, policy, at, keys):
    """Where the count is 1, every matching row fills it: leave the keys of those that still hold."""
    for i in range(n):
        if keys[i] >= 0 and not _lasts(at, events[i]["at"], policy[P_WITHIN], policy[P_SUPPRESS]):
            keys[i] = -1


@scalar
def _keep_filled(events, n, policy, p, at, scratch, capacity):
    """Leave the keys of the rows that fill the count and still hold.

    From each such row its group is walked back along `previous`; an offer, or an interaction, counts once per walk (`stamp`).
    """
    keys, latest, previous = scratch[:capacity], scratch[capacity : 2 * capacity], scratch[2 * capacity : 3 * capacity]
    slot, stamp = scratch[3 * capacity : 4 * capacity], scratch[4 * capacity : 5 * capacity]
    count, within, suppress, per_interaction = policy[P_COUNT], policy[P_WITHIN], policy[P_SUPPRESS], policy[P_PER_INTERACTION]
    _chain(keys, n, previous, scratch[5 * capacity : 7 * capacity])
    for i in range(n - 1, -1, -1):
        if keys[i] < 0:
            continue
        n_counted = np.int64(0)
        if _lasts(at, events[i]["at"], within, suppress):
            since = events[i]["at"] if suppress >= 0 else at
            j = np.int64(i)
            while j >= 0 and n_counted < count and since - latest[j] < within:
                unit = slot[j] if per_interaction else j
                if stamp[unit] != p * capacity + i and since - events[j]["at"] < within:
                    stamp[unit] = p * capacity + i
                    n_counted += 1
                j = previous[j]
        if n_counted < count:
            keys[i] = -1


@scalar
def _clear_keys(n, scope, limit, asked, asked_direction, meanings, masks, keys, words):
    """Clear what a contact policy closes for each key that is left."""
    everything = masks.shape[0] - 1
    last = np.int64(-1)
    for i in range(n):
        key = keys[i]
        if key < 0 or key == last:
            continue
        last = key
        if scope == CHANNEL:
            where = _where(key, asked, asked_direction, everything)
            if where >= 0:
                _clear_row(where, limit, everything, masks, words)
        elif scope == TREATMENT:
            _clear_span(key, key + 1, everything, limit, masks, words)
        elif scope == ACTION or scope == SIMILAR:
            _clear_span(meanings[key, M_START], meanings[key, M_STOP], everything, limit, masks, words)
            if scope == SIMILAR:
                _clear_row(meanings[key, M_ACTION], limit, everything, masks, words)
        else:
            _clear_row(key, limit, everything, masks, words)


@scalar
def _near(key, w, meanings, masks):
    """Word `w` of the candidates of an action and of those similar to it."""
    return masks[meanings[key, M_ACTION], w] | _span(meanings[key, M_START], meanings[key, M_STOP], w)


@scalar
def _clear_similar(events, n, policy, meanings, masks, at, limit, scratch, words):
    """Clear under a policy over `similar` that counts above 1: every candidate has a count of its own, 64 of them taken at a time."""
    for i in range(n):
        if scratch[i] >= 0 and _lasts(at, events[i]["at"], policy[P_WITHIN], policy[P_SUPPRESS]):
            for w in range(words.shape[0]):
                still_open = words[w] & masks[limit, w] & _near(scratch[i], w, meanings, masks)
                if still_open != np.uint64(0):
                    words[w] &= ~_reached(events, i, w, policy, meanings, masks, at, scratch, still_open)


@scalar
def _reached(events, i, w, policy, meanings, masks, at, scratch, still_open):
    """The bits of `still_open` whose count row `i` fills.

    64 binary counters run bitwise: plane k holds bit k of each. They start at 2^planes - count, so the carry out of the last plane
    marks a counter that has reached `count`.
    """
    capacity = events.shape[0]
    latest, slot = scratch[capacity : 2 * capacity], scratch[3 * capacity : 4 * capacity]
    seen, planes = scratch[2 * capacity : 3 * capacity].view(np.uint64), scratch[7 * capacity :].view(np.uint64)
    count, within = policy[P_COUNT], policy[P_WITHIN]
    n_planes = 0
    while (1 << n_planes) < count:
        n_planes += 1
    for k in range(n_planes):
        planes[k] = _ONES if (((1 << n_planes) - count) >> k) & 1 else np.uint64(0)
    seen[: i + 1] = np.uint64(0)
    since = events[i]["at"] if policy[P_SUPPRESS] >= 0 else at
    reached = np.uint64(0)
    j = i
    while j >= 0 and since - latest[j] < within and reached != still_open:
        if scratch[j] >= 0 and since - events[j]["at"] < within:
            unit = slot[j] if policy[P_PER_INTERACTION] else j
            carry = _near(scratch[j], w, meanings, masks) & still_open & ~seen[unit]
            seen[unit] |= carry
            for k in range(n_planes):
                overflow = planes[k] & carry
                planes[k] ^= carry
                carry = overflow
            reached |= carry
        j -= 1
    return reached
