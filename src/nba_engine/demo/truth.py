"""First act: what targets would earn on a real log, beside what was really earned. The estimates stand in `replay.open_bandit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from nba_engine.catalog.catalog import Catalog
from nba_engine.replay import open_bandit
from nba_engine.replay.open_bandit import N_ITEMS, OpenBanditLog, Row
from nba_engine.replay.progressive import LoggedOffer, progressive

WARMING_UP = (
    "The engine started from nothing and learned each row after it had been asked: its figure is of a learner warming up on few clicks, "
    "not of one that has learned."
)
_BELOW_ZERO = "The interval of '{}' reaches below zero, where no rate of clicks can be: there are too few clicks for a sharper one."


class Truth(NamedTuple):
    """The rows of the table and the sentences below it."""

    rows: list[Row]
    sentences: list[str]


def truth(track: Callable[[Iterable[LoggedOffer], int], Iterable[LoggedOffer]]) -> Truth:
    """Play the act; `track(offers, n)` hands every offer on and may show how far it is."""
    random, bts = open_bandit.load("random"), open_bandit.load("bts")
    p_engine = progressive(catalog(), track(offers(random), len(random.item)))
    rows = open_bandit.truth(random, bts, p_engine)
    refused = [f"{row.name} ({row.about}): refused, because {row.estimate.warnings[0]}." for row in rows if row.estimate.verdict == "refused"]
    below_zero = [_BELOW_ZERO.format(row.name) for row in rows if row.estimate.interval[0] < 0]
    return Truth(rows, [*refused, *open_bandit.reading(rows), WARMING_UP, *below_zero])


def catalog() -> Catalog:
    """The shop's 34 items as actions of one group, each worth one click; four hashed user features and the position are the facts."""
    return Catalog.from_dict({
        "name": "open-bandit-men",
        "facts": {**{f"user_feature_{i}": "string" for i in range(4)}, "position": "string"},
        "issues": {"fashion": {"groups": {"men": {}}}},
        "actions": [{"id": f"item-{i}", "issue": "fashion", "group": "men", "value": 1} for i in range(N_ITEMS)],
    })


def offers(log: OpenBanditLog) -> Iterator[LoggedOffer]:
    """The log's rows for `catalog`."""
    names = list(log.user_features)
    for at_us, position, item, click, *texts in zip(
        log.at_us.tolist(), log.position.tolist(), log.item.tolist(), log.click.tolist(), *log.user_features.values(), strict=True
    ):
        facts: dict[str, Any] = dict(zip(names, texts, strict=True))
        facts["position"] = str(position)
        yield LoggedOffer(at_us, facts, f"item-{item}", click)
