"""What another way of choosing would have earned, from decisions that were logged with their probabilities."""

from __future__ import annotations

from nba_engine.replay.estimators import ESTIMATORS, Estimate, estimate
from nba_engine.replay.folding import Tail
from nba_engine.replay.intervals import Bounds, bernstein_interval, bootstrap_interval, confidence_sequence
from nba_engine.replay.judging import Finding
from nba_engine.replay.logs import Log
from nba_engine.replay.report import Report, run
from nba_engine.replay.slates import SLATE_ESTIMATORS, estimate_slates, rank_marginals
from nba_engine.replay.tuning import Tuned, tune
from nba_engine.replay.verdict import Thresholds

__all__ = [
    "Bounds",
    "ESTIMATORS",
    "Estimate",
    "Finding",
    "Log",
    "Report",
    "SLATE_ESTIMATORS",
    "Tail",
    "Thresholds",
    "Tuned",
    "bernstein_interval",
    "bootstrap_interval",
    "confidence_sequence",
    "estimate",
    "estimate_slates",
    "rank_marginals",
    "run",
    "tune",
]
