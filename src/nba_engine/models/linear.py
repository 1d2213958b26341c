"""Ridge regression of the reward, one per action (treatment, where an action has several): the belief behind linear Thompson sampling and LinUCB.

    A = I / variance + sum x x^T,   theta = A^-1 (sum reward x + prior),   propensity = x . theta,   deviation = noise sqrt(x^T A^-1 x)

The noise is that of a yes or no at the relatives' rate p: sqrt(p (1 - p)). A straight line leaves [0, 1]: the propensity is held between `LEAST`
and 1 - `LEAST`, the deviation below what a probability of this mean can have. **Source** Agrawal, Goyal 2013, "Thompson sampling for contextual
bandits with linear payoffs", ICML, algorithm 1; Li, Chu, Langford, Schapire 2010, "A contextual-bandit approach to personalized news article
recommendation", WWW, algorithm 1 (disjoint). **Cost** and memory as gaussian.py says: K x D^2.
"""

from __future__ import annotations

import numpy as np

from nba_engine.models.contract import Floats
from nba_engine.models.gaussian import FullGaussian

LEAST = 1e-4


class Linear(FullGaussian):
    """Gaussian beliefs over all coefficients of an action under a linear likelihood, in units of the noise's variance."""

    variance = 0.05  # rows have a squared length of about 20; Li et al. take 1 for rows of length 1
    bias_variance = 1.0

    def _bias_means(self, rate: Floats) -> Floats:
        return rate

    def _lesson(self, mean: float, variance: float, reward: float) -> tuple[float, float]:
        return 1.0, reward

    def _read(self, eta: Floats, rate: Floats, mean_out: Floats, deviation_out: Floats) -> None:
        mean_out[:] = np.clip(eta[0], LEAST, 1.0 - LEAST)
        deviation_out[:] = np.sqrt(np.minimum(rate * (1.0 - rate) * eta[1], mean_out * (1.0 - mean_out)))
