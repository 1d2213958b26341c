"""A catalog in which every action is open to every customer: what a bandit library, which knows no rules, can decide about too.

Half of the facts are texts of 16 categories, half are numbers. Each action carries one rule, which all customers fulfil, so that evaluating
rules is part of our time and spares our models nothing: they score every action, as the libraries do.
"""

from __future__ import annotations

import random
from typing import Any

N_CATEGORIES, N_GROUPS = 16, 20


def names(n_facts: int) -> tuple[list[str], list[str]]:
    """Names of the texts and of the numbers."""
    half = n_facts // 2
    return [f"category_{i}" for i in range(half)], [f"number_{i}" for i in range(n_facts - half)]


def catalog(n_actions: int, n_facts: int) -> dict[str, Any]:
    """A mapping for `Catalog.from_dict`."""
    texts, numbers = names(n_facts)
    return {
        "name": "open", "version": "1", "facts": dict.fromkeys(texts, "string") | dict.fromkeys(numbers, "double"), "channels": {"call": {}},
        "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}},
        "issues": {"sales": {"groups": {f"group-{g}": {} for g in range(N_GROUPS)}}},
        "actions": [
            {"id": f"action-{i}", "issue": "sales", "group": f"group-{i % N_GROUPS}", "value": 5.0 + i % 11,
             "eligibility": [f"{texts[i % len(texts)]} != 'none' && {numbers[i % len(numbers)]} < 2.0"]}
            for i in range(n_actions)
        ],
    }  # fmt: skip


def customers(n_facts: int, n: int, seed: int = 1) -> list[dict[str, Any]]:
    """Facts of `n` customers, every one known."""
    r = random.Random(seed)
    texts, numbers = names(n_facts)
    return [{t: f"{t}-{r.randrange(N_CATEGORIES)}" for t in texts} | {name: r.random() for name in numbers} for _ in range(n)]
