"""Twin of the contact room: what was said, offer by offer, and one candidate at a time judged by the words of docs/catalog.md.

`log` is a list of dicts in the order of recording, each with `verb` (present, answer, skip), `subject`-local `offer` and, for the
first two, `interaction, action, treatment, channel, direction, at` and for an answer `label, reason`.
"""

from __future__ import annotations

from types import SimpleNamespace


def standing(log):
    """The presentations and answers that still stand, in the order of recording: each a namespace with `what` = presented or the label."""
    presented, answered = {}, {}
    for number, said in enumerate(log):
        offer = said["offer"]
        if said["verb"] in ("present", "answer"):
            known = presented.get(offer)
            if known is None:
                presented[offer] = SimpleNamespace(number=(number, 0), what="presented", reason=None, **_place(said))
            else:
                known.at = min(known.at, said["at"])
        if said["verb"] == "answer":
            answered[offer] = SimpleNamespace(
                number=(number, 1), what=said["label"], reason=said["reason"], **{**_place(presented[offer].__dict__), "at": said["at"]}
            )
        if said["verb"] == "skip":
            answered.pop(offer, None)
            presented.pop(offer, None)
    return sorted([*presented.values(), *answered.values()], key=lambda e: e.number)


def _place(said):
    return {name: said[name] for name in ("offer", "interaction", "action", "treatment", "channel", "direction", "at")}


def similar(one, other, similarity):
    """Whether two different actions resemble each other."""
    if one.id == other.id:
        return False
    if "group" in similarity.by and one.group is not None and (one.issue, one.group) == (other.issue, other.group):
        return True
    both = one.tags | other.tags
    return "tags" in similarity.by and bool(both) and len(one.tags & other.tags) / len(both) >= similarity.at_least


def stoppers(catalog, log, at, candidate, channel):
    """{(kind, name)} of everything that stops one candidate; `channel` is the asked channel's name or None.

    `catalog` has `actions`, `channels`, `contact_policies`, `reasons`, `similarity`; `candidate` has `action` (one of them), `treatment`, `channel`.
    """
    judged = channel if channel is not None else candidate.channel
    direction = {c.name: c.direction for c in catalog.channels}.get(judged)
    actions = {a.id: a for a in catalog.actions}
    rules = {r.name: r for r in catalog.reasons}
    events = standing(log)
    stopped = set()
    for e in events:
        rule = rules.get(e.reason)
        if rule is None or rule.direction not in (None, direction):
            continue
        if rule.scope == "channel" and e.channel not in (None, judged):
            continue
        mine = e.action == candidate.action.id or rule.scope == "subject"
        if mine and rule.suppress_us and at - e.at < rule.suppress_us:
            stopped.add(("reason", rule.name))
        alike = e.action in actions and similar(actions[e.action], candidate.action, catalog.similarity)
        if alike and rule.similar_us and at - e.at < rule.similar_us:
            stopped.add(("reason", rule.name))
    for p in catalog.contact_policies:
        if p.direction not in (None, direction):
            continue
        counted = [e for e in events if e.what == p.label and e.reason not in rules and p.direction in (None, e.direction)]
        counted = [e for e in counted if _concerns(catalog, actions, p.scope, e, candidate, judged)]
        if _closed(p, counted, at):
            stopped.add(("contact_policy", p.name))
    return stopped


def _concerns(catalog, actions, scope, e, candidate, judged):
    mine, theirs = candidate.action, actions.get(e.action)
    if scope == "subject":
        return True
    if scope == "channel":
        return judged is not None and e.channel == judged
    if theirs is None:
        return False
    if scope == "action":
        return theirs.id == mine.id
    if scope == "treatment":
        return (theirs.id, e.treatment) == (mine.id, candidate.treatment)
    if scope == "group":
        return mine.group is not None and (theirs.issue, theirs.group) == (mine.issue, mine.group)
    if scope == "issue":
        return mine.issue is not None and theirs.issue == mine.issue
    return theirs.id == mine.id or similar(theirs, mine, catalog.similarity)


def _closed(p, events, at):
    if p.suppress_us is None:
        return _holds(p, events, at)
    return any(_holds(p, events[: i + 1], e.at) and at - e.at < p.suppress_us for i, e in enumerate(events))


def _holds(p, events, since):
    inside = [e for e in events if since - e.at < p.within_us]
    return len({e.interaction if p.per == "interaction" else e.offer for e in inside}) >= p.count
