"""The models that a catalog can name: one line each. What stands here is what the generic tests and benchmarks run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from nba_engine.models.contract import Index, Model
from nba_engine.models.half_life import HalfLife

Names = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a model is made over: (fact, bin) of each feature, the candidates' paths int32[n, 5], (level, id) of each entity."""

    features: Names
    paths: Index
    entities: Names


def _made(module: str, name: str) -> Callable[[Ground, Mapping[str, Any]], Model]:
    """A model that needs to know how many features there are; it is imported when the first one is made."""
    return lambda ground, options: getattr(import_module(f"nba_engine.models.{module}"), name)(
        len(ground.features), ground.paths, len(ground.entities), half_life=_half_life(options))


def _naive_bayes(ground: Ground, options: Mapping[str, Any]) -> Model:
    from nba_engine.models.naive_bayes import NaiveBayes

    return NaiveBayes(ground.features, ground.paths, len(ground.entities), _half_life(options))


def _half_life(options: Mapping[str, Any]) -> HalfLife | None:
    return HalfLife(options["half_life_us"]) if options else None


def _river(ground: Ground, options: Mapping[str, Any]) -> Model:
    from nba_engine.models.river_model import River

    return River(ground.features, ground.paths, ground.entities, **options)


KINDS: Mapping[str, Callable[[Ground, Mapping[str, Any]], Model]] = {
    "probit": _made("probit", "Probit"),
    "probit_full": _made("probit_full", "FullProbit"),
    "linear": _made("linear", "Linear"),
    "naive_bayes": _naive_bayes,
    "beta_bernoulli": _made("beta_bernoulli", "BetaBernoulli"),
    "river": _river,
}
"""kind -> maker of (what it stands on, options): `written` and `one_for_all` for river, `half_life_us` or none for the others."""
