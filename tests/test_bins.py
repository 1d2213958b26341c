"""Predictor bins: by hand, by scipy, and against the columns that the trade's own product prints."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import mannwhitneyu

from nba_engine.models import bins

PRINTED = Path(__file__).resolve().parents[2] / "shared" / "data" / "pega_adm_bins.parquet"
NUMBERS = ("BinPositives", "BinNegatives", "Positives", "Negatives", "Lift", "ZRatio", "Performance", "BinLowerBound", "BinUpperBound")


def printed():
    """(model and snapshot, entry type, columns of one predictor's bins in order)."""
    if not PRINTED.exists():
        pytest.skip("the printed table of a real product may not be shipped: ../shared/data/pega_adm_bins.parquet is not beside this checkout")
    table = pq.read_table(PRINTED)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    keys = list(zip(columns["ModelID"], columns["SnapshotTime"], columns["EntryType"], columns["PredictorName"], columns["BinIndex"], strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for (model, time, entry, _), places in groupby(order, key=lambda i: keys[i][:4]):
        own = list(places)
        yield (model, time), entry, {name: np.array([columns[name][i] for i in own], float) for name in NUMBERS}


def test_lift_and_z_ratio_equal_the_printed_ones():
    n_bins = 0
    for _, _, c in printed():
        assert np.abs(bins.lift(c["BinPositives"], c["BinNegatives"]) - c["Lift"]).max() < 1e-5
        assert np.abs(bins.z_ratio(c["BinPositives"], c["BinNegatives"]) - c["ZRatio"]).max() < 1e-5
        n_bins += len(c["Lift"])
    assert n_bins == 32_526


def test_auc_equals_the_printed_one():
    """A predictor's over all its bins; a model's own over the bins of its score that the predictors' bins can reach."""
    n_predictors, n_models, unlike = 0, 0, set()
    for _, entries in groupby(printed(), key=lambda entry: entry[0]):
        by_type = {"Active": [], "Classifier": []}
        for key, entry, c in entries:
            by_type[entry].append((key, c))
        for _, c in by_type["Active"]:
            assert abs(bins.auc(c["BinPositives"], c["BinNegatives"]) - c["Performance"][0]) < 1e-5
        n_predictors += len(by_type["Active"])
        for key, c in by_type["Classifier"]:
            predictors = [(a["BinPositives"], a["BinNegatives"]) for _, a in by_type["Active"]]
            least, most = bins.score_range(predictors, c["Positives"][0], c["Negatives"][0])
            reached = (c["BinUpperBound"] > least) & (c["BinLowerBound"] <= most) | (len(c["Lift"]) == 1)
            if abs(bins.auc(c["BinPositives"][reached], c["BinNegatives"][reached]) - c["Performance"][0]) > 1e-5:
                unlike.add(key[0])
            n_models += 1
    assert (n_predictors, n_models) == (7_647, 360)
    # One model prints the area with one bin more at the lower end of the range than its counts say can be reached.
    assert len(unlike) == 1


def test_auc_is_that_of_the_outcomes_one_by_one():
    rng = np.random.default_rng(0)
    positives, negatives = rng.integers(0, 20, (2, 8)).astype(float)
    rate = positives / (positives + negatives)
    one_by_one = mannwhitneyu(np.repeat(rate, positives.astype(int)), np.repeat(rate, negatives.astype(int)))
    assert bins.auc(positives, negatives) == pytest.approx(one_by_one.statistic / (positives.sum() * negatives.sum()))


def test_log_odds_by_hand():
    found = bins.log_odds(np.array([3.0, 0.0]), np.array([1.0, 5.0]))
    assert found == pytest.approx([np.log(3.5 / 4.0) - np.log(1.5 / 7.0), np.log(0.5 / 4.0) - np.log(5.5 / 7.0)])
    least, most = bins.score_range([(np.array([3.0, 0.0]), np.array([1.0, 5.0]))], 3.0, 6.0)
    assert (least, most) == pytest.approx(((np.log(4 / 7) + found[1]) / 2, (np.log(4 / 7) + found[0]) / 2))


def test_nothing_to_divide_by():
    nothing, some = np.zeros(2), np.array([2.0, 0.0])
    assert bins.lift(nothing, some).tolist() == [1.0, 1.0]
    assert bins.lift(some, nothing).tolist() == [1.0, 0.0]
    assert bins.z_ratio(nothing, some).tolist() == [0.0, 0.0]
    assert bins.auc(nothing, some) == 0.5
