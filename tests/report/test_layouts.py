"""What headers tell of hemorrhage without a network, and what groups by chance would."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss, roc_auc_score

from ich import metric
from ich.findings import FINDINGS
from ich.report.evaluation import Cases, Settings, by_header, evaluate
from ich.report.evaluation.headers import EVERYTHING
from ich.report.evaluation.sets import set_table
from ich.report.evaluation.wording import header_rows
from ich.report.layouts import group_layouts, judge_alone
from tests.report.test_evaluation import some_cases


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = draw(st.integers(1, 40))
    positive = draw(arrays(np.bool_, (rows, 6)))
    return (
        draw(arrays(np.int64, rows, elements=st.integers(0, 4))).astype(str),
        draw(arrays(np.int64, rows, elements=st.integers(0, 6))),
        positive,
    )


@given(grouped())
@settings(max_examples=40)
def test_the_score_is_that_of_each_slice_answered_with_its_groups_rates(
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    names, patients, positive = given
    alone = judge_alone(names, patients, positive)
    answers = np.empty(positive.shape)
    for name in np.unique(names):
        answers[names == name] = metric.prevalence(positive[names == name])
    assert alone.log_loss == pytest.approx(metric.weighted_log_loss(positive, answers), rel=1e-9)
    assert alone.floor == pytest.approx(metric.floor_log_loss(metric.prevalence(positive), positive), rel=1e-9)
    if positive[:, 5].all() or not positive[:, 5].any():
        assert np.isnan(alone.auc)
        assert "AUC" not in str(alone)
    else:
        assert alone.auc == pytest.approx(roc_auc_score(positive[:, 5], answers[:, 5]), rel=1e-9)


def cohort(patients: int, *, leak: float, seed: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Ten slices a patient, three groups; in the first, patients bleed more often by `leak`."""
    random = np.random.default_rng(seed)
    group = random.integers(3, size=patients)
    bleeds = random.random(patients) < 0.4 + leak * (group == 0)
    owner = np.repeat(np.arange(patients), 10)
    positive = bleeds[owner] & (random.random(len(owner)) < 0.6)
    labels = pd.DataFrame({label: positive & (label in ("subdural", "any")) for label in FINDINGS}).astype(int)
    return np.array(["a", "b", "c"])[group][owner], owner, labels


def test_groups_that_tell_nothing_lie_within_chance_as_often_as_they_should() -> None:
    told = [judge_alone(n, p, labels.to_numpy() == 1).tells for n, p, labels in
            (cohort(60, leak=0, seed=seed) for seed in range(60))]  # fmt: skip
    assert np.mean(told) < 0.15  # 2.5% on each of two sides that go together


def test_a_leak_is_told_with_what_it_would_score_and_chance_beside_it() -> None:
    names, patients, labels = cohort(200, leak=0.5, seed=0)
    alone = judge_alone(names, patients, labels.to_numpy() == 1)
    assert alone.log_loss < alone.log_loss_by_chance.low < alone.floor
    assert alone.auc > alone.auc_by_chance.high > 0.5
    caption = group_layouts(pd.Series(names), pd.Series(patients), labels).caption
    assert "so the header leaks the label" in caption
    assert f"a weighted log loss of {alone.log_loss:.3f} (one rate for all: {alone.floor:.3f}; " in caption
    assert f"an AUC of {alone.auc:.2f} for any (at random {alone.auc_by_chance.low:.2f} to " in caption


def test_groups_of_chance_are_said_to_be_chance() -> None:
    names, patients, labels = cohort(60, leak=0, seed=1)
    assert "that is no more than chance here" in group_layouts(pd.Series(names), pd.Series(patients), labels).caption


@given(some_cases(), st.data())
@settings(max_examples=12)
def test_each_group_has_scikit_learns_numbers_or_none(cases: Cases, data: st.DataObject) -> None:
    names = data.draw(arrays(np.int64, len(cases), elements=st.integers(0, 2))).astype(str)
    few = Settings(resamples=10)
    found = by_header(evaluate(cases, few), pd.Series(names, index=cases.ids), few)
    assert found is not None
    assert [one.name for one in found.sets[1:]] == sorted({*names}, key=lambda name: (-np.sum(names == name), name))
    table = set_table(found.sets, column="group").set_index(["group", "label"])
    for name in (EVERYTHING, *np.unique(names)):
        some = np.ones(len(names), bool) if name == EVERYTHING else names == name
        for i, label in enumerate(FINDINGS):
            row, y, p = table.loc[(name, label)], cases.positive[some, i], cases.probabilities[some, i]
            assert (row["slices"], row["positives"]) == (some.sum(), y.sum())
            assert row["patients"] == len({*cases.patients[some]})
            expected = log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), labels=[False, True])
            assert row["log_loss"] == pytest.approx(expected, rel=1e-9, abs=1e-12)
            if y.all() or not y.any():
                assert np.isnan(row["auc"])
            else:
                assert row["auc"] == pytest.approx(roc_auc_score(y, p), rel=1e-9)
    assert len(header_rows(found)) == 1 + len(found.sets)
