"""Reliability: in each bin of probability, how often the finding is there (DeGroot and Fienberg, 1983)."""

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from ich.findings import FINDINGS
from ich.report.evaluation.bootstrap import draw_weights, find_interval
from ich.report.evaluation.table import Cases

BINS = 10
"""Of equal width over 0 .. 1; a probability on an edge is of the bin above."""
EDGES = np.arange(BINS + 1) / BINS
COLUMNS = ("label", "from", "to", "cases", "positives", "mean_probability", "rate", "rate_low", "rate_high")


def bin_of(probabilities: Float64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """The number of each probability's bin."""
    return np.digitize(probabilities, EDGES[1:-1])


def sum_by_bin(cases: Cases, values: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, "patients columns"]:
    """Sums of each patient (row) by label and bin: BINS columns of the first label, then of the second, …"""
    patients, bins = len(cases.names), bin_of(cases.probabilities)
    sums = [
        np.bincount(cases.patients * BINS + bins[:, i], weights=values[:, i], minlength=patients * BINS)
        for i in range(len(FINDINGS))
    ]
    return np.concatenate([some.reshape(patients, BINS) for some in sums], axis=1)


def describe_reliability(cases: Cases, *, resamples: int, seed: int) -> pd.DataFrame:
    """COLUMNS, a row a label and bin; an empty bin has neither rate nor mean probability."""
    ones = np.ones(cases.probabilities.shape)
    counts, positives, expected = (
        sum_by_bin(cases, values) for values in (ones, cases.positive.astype(np.float64), cases.probabilities)
    )
    rates = [
        _ratio(weights @ positives, weights @ counts)
        for weights in draw_weights(len(cases.names), resamples=resamples, seed=seed)
    ]
    drawn = np.concatenate(rates)
    intervals = [find_interval(drawn[:, column], patients=len(cases.names)) for column in range(drawn.shape[1])]
    total = counts.sum(axis=0)
    return pd.DataFrame(
        {
            "label": np.repeat(FINDINGS, BINS),
            "from": np.tile(EDGES[:-1], len(FINDINGS)),
            "to": np.tile(EDGES[1:], len(FINDINGS)),
            "cases": total.astype(np.int64),
            "positives": positives.sum(axis=0).astype(np.int64),
            "mean_probability": _ratio(expected.sum(axis=0), total),
            "rate": _ratio(positives.sum(axis=0), total),
            "rate_low": [one.low if one else np.nan for one in intervals],
            "rate_high": [one.high if one else np.nan for one in intervals],
        }
    )


def _ratio(part: Float64[np.ndarray, "*shape"], whole: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
