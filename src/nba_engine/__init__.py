"""nba_engine: next best action, in process.

The public names; each is imported when it is first used, so that importing the package costs little and loads neither numba nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nba_engine import replay
    from nba_engine.catalog.catalog import Catalog
    from nba_engine.engine import Engine
    from nba_engine.errors import (
        CatalogError,
        CheckError,
        FactsError,
        NbaError,
        OutcomeError,
        ParseError,
        ReplayError,
        RequestError,
        RuleError,
        StoreError,
        UnknownDecisionError,
    )
    from nba_engine.health.report import Health
    from nba_engine.records import Decision, Explanation, Offer, Receipt
    from nba_engine.rules.evaluating import evaluate_expression as evaluate
    from nba_engine.rules.values import UInt

_HOMES = {
    "Catalog": "catalog.catalog",
    "CatalogError": "errors",
    "CheckError": "errors",
    "Decision": "records",
    "Engine": "engine",
    "Explanation": "records",
    "FactsError": "errors",
    "Health": "health.report",
    "NbaError": "errors",
    "Offer": "records",
    "OutcomeError": "errors",
    "ParseError": "errors",
    "Receipt": "records",
    "ReplayError": "errors",
    "RequestError": "errors",
    "RuleError": "errors",
    "StoreError": "errors",
    "UInt": "rules.values",
    "UnknownDecisionError": "errors",
    "evaluate": "rules.evaluating:evaluate_expression",
    "replay": "replay:",
}

__all__ = [
    "Catalog",
    "CatalogError",
    "CheckError",
    "Decision",
    "Engine",
    "Explanation",
    "FactsError",
    "Health",
    "NbaError",
    "Offer",
    "OutcomeError",
    "ParseError",
    "Receipt",
    "ReplayError",
    "RequestError",
    "RuleError",
    "StoreError",
    "UInt",
    "UnknownDecisionError",
    "evaluate",
    "replay",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, colon, attribute = home.partition(":")
    module = import_module(f"{__name__}.{module_name}")
    found = module if colon and not attribute else getattr(module, attribute or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
