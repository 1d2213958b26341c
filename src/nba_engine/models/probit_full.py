"""Bayesian probit with one full covariance per action (treatment, where an action has several): what correlated features need.

    P(positive) = Phi(eta),   eta = x . c,   c ~ N(mean, covariance)

The update is assumed-density filtering, exact in mean and variance of eta. **Source** Graepel, Quinonero Candela, Borchert, Herbrich 2010, ICML,
section 3, before it takes the covariance for diagonal; Minka 2001, "A family of algorithms for approximate Bayesian inference", section 3.2.
**Cost** and memory as gaussian.py says: K x D^2. Relatives share their rate, not their coefficients.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri, owens_t

from nba_engine.models.contract import Floats
from nba_engine.models.filtering import _step
from nba_engine.models.gaussian import FullGaussian

LEAST = 1e-12
"""What a propensity is at least away from 0 and 1, and a deviation from 0."""


class FullProbit(FullGaussian):
    """Gaussian beliefs over all coefficients of an action under a probit likelihood."""

    variance = 0.1
    bias_variance = 0.3

    def _bias_means(self, rate: Floats) -> Floats:
        return ndtri(rate) * np.sqrt(1.0 + self.bias_variance)

    def _lesson(self, mean: float, variance: float, reward: float) -> tuple[float, float]:
        gradient, information = _step(mean, variance, reward)
        return information, information * (mean + variance * gradient) + gradient

    def _read(self, eta: Floats, rate: Floats, mean_out: Floats, deviation_out: Floats) -> None:
        spread = np.sqrt(1.0 + eta[1])
        t = eta[0] / spread
        mean_out[:] = np.clip(ndtr(t), LEAST, 1.0 - LEAST)
        deviation_out[:] = np.maximum(np.sqrt(np.maximum(ndtr(t) * ndtr(-t) - 2.0 * owens_t(t, 1.0 / np.sqrt(1.0 + 2.0 * eta[1])), 0.0)), LEAST)
