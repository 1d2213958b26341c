"""What another way of choosing would have earned, from decisions that were logged with their probabilities."""

from __future__ import annotations

from nba_engine.replay.estimators import ESTIMATORS, Estimate, estimate
from nba_engine.replay.verdict import Thresholds

__all__ = ["ESTIMATORS", "Estimate", "Thresholds", "estimate"]
