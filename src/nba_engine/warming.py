"""Compiling every kernel of the decision path before the first customer waits for it: a small made-up catalog is played once."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timezone

from nba_engine.catalog.catalog import Catalog

_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
_PLAYED = (("probit", "thompson"), ("probit", "squarecb"), ("beta_bernoulli", "thompson"), ("beta_bernoulli", "squarecb"))


def warm(kinds: Collection[str] = ()) -> float:
    """Seconds it took: up to a minute the first time on a machine, under a second from the cache. `kinds`: models that are used besides the usual."""
    from nba_engine.engine import Engine

    started = time.perf_counter()
    usual = {kind for kind, _ in _PLAYED}
    for kind, exploration in (*_PLAYED, *((kind, "thompson") for kind in sorted(set(kinds) - usual))):
        engine = Engine(Catalog.from_dict(_catalog(kind, exploration)))
        for i in range(2):
            facts = {"age": 30 + i, "spend": 1.5, "plan": "gold", "tags": ["a", "b"], "since": _AT, "vip": True}
            decision = engine.decide("somebody", facts=facts, channel="call", limit=3, at=_AT)
            for offer in decision.offers[:1]:
                engine.record(decision.id, "declined", action=offer.action, at=_AT)
                engine.record(decision.id, "accepted", action=offer.action, at=_AT)
            engine.explain(decision.id)
        engine.learn(_past())
        engine.decide("somebody", channel="call", at=_AT)
    return time.perf_counter() - started


def warm_ahead() -> None:
    """What `warm` comes to late: what draws slates, then what learns. For a second process, which compiles into the same folder meanwhile."""
    import numpy as np

    from nba_engine.arbitration.exploration import Exploration
    from nba_engine.arbitration.slates import pmf
    from nba_engine.engine import Engine

    pmf(Exploration(), np.ones(2), np.ones(2), np.ones(2, np.uint8), -1)
    Engine(Catalog.from_dict(_catalog(*_PLAYED[0]))).learn(_past())


def _past() -> dict[str, list[object]]:
    """So many answers to two siblings that models take stock and the others of their group inherit."""
    from nba_engine.beliefs import INHERITED_FROM
    from nba_engine.facts.watching import STOCK_EVERY

    n = 2 * STOCK_EVERY * INHERITED_FROM  # every family has its turn while that number doubles
    return {"subject": ["somebody"] * n, "channel": ["call"] * n, "at": [_AT] * n, "action": [f"a{i % 2 * 2}" for i in range(n)],
            "label": [("accepted", "declined")[i % 3 % 2] for i in range(n)], "age": [30 + i % 7 for i in range(n)]}


def _catalog(model: str, exploration: str) -> dict[str, object]:
    return {
        "facts": {"age": "int", "spend": "double", "plan": "string", "tags": "list<string>", "since": "timestamp", "vip": "bool"},
        "channels": {"call": {}},
        "issues": {"sales": {"groups": {"one": {}, "two": {}}}},
        "actions": [
            {"id": f"a{i}", "issue": "sales", "group": "one" if i % 2 else "two", "value": "spend * 2.0 + double(age)",
             "eligibility": ["age >= 18 && (vip || spend > 1.0)", "'a' in tags", "now - since < duration('720h')", "plan != 'none'"]}
            for i in range(8)
        ] + [{"id": "nothing", "null_action": True}],
        "context_weights": [{"when": "vip", "issue": "sales", "multiplier": 2.0}],
        "contact_policies": [{"name": "rest", "scope": "similar", "label": "declined", "count": 9, "within": "7d"}],
        "exploration": {"kind": exploration},
        "model": {"kind": model},
    }


if __name__ == "__main__":
    warm_ahead()
