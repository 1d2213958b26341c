"""What an analyst of this trade reads off a predictor's bins: lift, Z-ratio, log odds, AUC, and the range of scores that can be reached.

Everything is computed from the positives and negatives of each bin, float64[n_bins] each. **Source** the definitions are those of the adaptive
models reports of the trade (Pega Adaptive Decision Manager), found again from its published counts; the Z-ratio is the two-sample statistic of
proportions without pooling, the AUC that of Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve", Radiology 143, with the
bins in the order of their rates. No learning here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def lift(positives: Floats, negatives: Floats) -> Floats:
    """Each bin's rate over the rate of all; 1 where there is no positive at all, 0 for an empty bin.

    Examples
    --------
    >>> lift(np.array([3.0, 1.0]), np.array([7.0, 9.0])).tolist()
    [1.5, 0.5]
    """
    n, total = positives + negatives, positives.sum()
    return _divided(positives * n.sum(), n * total) if total > 0 else np.ones(len(n))


def z_ratio(positives: Floats, negatives: Floats) -> Floats:
    """Share of the positives in a bin minus that of the negatives, in standard errors; 0 where there is no error to divide by.

    Examples
    --------
    >>> z_ratio(np.array([30.0, 10.0]), np.array([70.0, 90.0])).round(6).tolist()
    [3.96059, -3.96059]
    """
    of_positives, of_negatives = _divided(positives, positives.sum()), _divided(negatives, negatives.sum())
    variance = _divided(of_positives * (1 - of_positives), positives.sum()) + _divided(of_negatives * (1 - of_negatives), negatives.sum())
    return _divided(of_positives - of_negatives, np.sqrt(variance))


def auc(positives: Floats, negatives: Floats) -> float:
    """Share of (positive, negative) pairs in the right order if bins are ranked by their rate, ties half; 0.5 where a side is empty.

    Examples
    --------
    >>> auc(np.array([30.0, 10.0]), np.array([70.0, 90.0]))
    0.65625
    """
    n_pairs = positives.sum() * negatives.sum()
    if n_pairs == 0.0:
        return 0.5
    order = np.argsort(_divided(positives, positives + negatives), kind="stable")
    p, n = positives[order], negatives[order]
    return float((p * (np.cumsum(n) - n / 2)).sum() / n_pairs)


def log_odds(positives: Floats, negatives: Floats) -> Floats:
    """Log of each bin's share of the positives over its share of the negatives; all bins together get one outcome of either kind beforehand."""
    more = 1.0 / len(positives)
    return np.log((positives + more) / (positives.sum() + 1.0)) - np.log((negatives + more) / (negatives.sum() + 1.0))


def score_range(predictors: list[tuple[Floats, Floats]], positives: float, negatives: float) -> tuple[float, float]:
    """The least and the largest score that some customer can have: the mean of base and predictors' log odds, each at its worst and best bin."""
    base = np.log((1.0 + positives) / (1.0 + negatives))
    each = [log_odds(p, n) for p, n in predictors]
    return tuple(float((base + sum(pick(bins) for bins in each)) / (len(each) + 1)) for pick in (np.min, np.max))  # type: ignore[return-value]


def _divided(over: Floats, under: Floats | float) -> Floats:
    return np.divide(over, under, out=np.zeros(np.shape(over)), where=np.asarray(under) > 0)
