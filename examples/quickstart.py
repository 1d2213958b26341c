"""The five lines to begin with. `catalog.yaml` lies beside this file: run it in its folder, or let the next two lines go there."""

import os
from pathlib import Path

os.chdir(Path(__file__).parent)

import nba_engine as nba  # noqa: E402

engine = nba.Engine(nba.Catalog.load("catalog.yaml"))
decision = engine.decide("customer-42", channel="call", facts={"age": 41, "intent": "cancel"}, limit=3)
offer = decision.offers[0]                       # offer.action, offer.treatment, offer.script, offer.propensity ...
engine.record(decision.id, "declined", action=offer.action, reason="too_expensive")
print(engine.explain(decision.id))
