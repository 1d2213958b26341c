"""Slow twin of models/gaussian.py with models/linear.py and models/probit_full.py: whole matrices in double precision, nothing remembered."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()


class NaiveGaussian:
    """The belief about one action: prior variances float64[d], prior mean of the bias; rows are dense vectors."""

    def __init__(self, variances: np.ndarray, bias_mean: float) -> None:
        self.precision = np.diag(1.0 / variances)
        self.shift = np.zeros(len(variances))
        self.shift[0] = bias_mean / variances[0]

    def eta(self, x: np.ndarray) -> tuple[float, float]:
        """Mean and variance of x . c."""
        covariance = np.linalg.inv(self.precision)
        return float(x @ covariance @ self.shift), float(x @ covariance @ x)

    def learn_line(self, x: np.ndarray, reward: float) -> None:
        """Ridge regression: a reward observed with noise of variance 1."""
        self.precision += np.outer(x, x)
        self.shift += reward * x

    def learn_probit(self, x: np.ndarray, positive: bool) -> None:
        """Mean and covariance moved to the moments of the exact posterior (Graepel et al. 2010, equations 3.5 to 3.7, without the diagonal)."""
        covariance = np.linalg.inv(self.precision)
        mean, sign = covariance @ self.shift, 1.0 if positive else -1.0
        spread = (1.0 + x @ covariance @ x) ** 0.5
        t = sign * (x @ mean) / spread
        v = _NORMAL.pdf(t) / _NORMAL.cdf(t)
        toward = covariance @ x
        mean = mean + sign * toward * v / spread
        covariance = covariance - np.outer(toward, toward) * v * (v + t) / spread**2
        self.precision = np.linalg.inv(covariance)
        self.shift = self.precision @ mean
