"""The standard normal distribution inside kernels, and a table of its log-cdf for the inner loop of the win probabilities."""

from __future__ import annotations

import math

from nba_engine.numerics.kernel import scalar

_SQRT_HALF = math.sqrt(0.5)
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


@scalar
def normal_pdf(x):
    """Density of N(0, 1) at x."""
    return _INV_SQRT_2PI * math.exp(-0.5 * x * x)


@scalar
def normal_cdf(x):
    """P(N(0, 1) <= x), to double precision (erfc)."""
    return 0.5 * math.erfc(-x * _SQRT_HALF)
