"""The challenge's metric against arithmetic, scikit-learn, and the numbers published with the real labels."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from ich import metric
from ich.findings import ANY, FINDINGS, KINDS

STAGE_2_POSITIVES = np.array([3_145, 36_118, 26_205, 35_675, 47_166, 107_933])
STAGE_2_SLICES = 752_803


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of 1 to 30 slices, with ties and with answers that are surely right or wrong."""
    shape = (draw(st.integers(1, 30)), 6)
    some = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    return draw(arrays(np.uint8, shape, elements=st.integers(0, 1))), draw(arrays(np.float64, shape, elements=some))


def always(prevalence: object, labels: pd.DataFrame) -> np.ndarray:
    return np.broadcast_to(np.asarray(prevalence, dtype=np.float64), labels.shape)


@pytest.fixture(scope="module")
def real_labels(rsna2019: Path) -> pd.DataFrame:
    return pd.read_parquet(rsna2019 / "tables" / "labels_wide.parquet", columns=list(FINDINGS))


def test_the_published_numbers_on_400_242_real_slices(real_labels: pd.DataFrame) -> None:
    published = [
        (always(0.5, real_labels), math.log(2)),
        (always(real_labels.mean(), real_labels), 0.3279621136853142),
        (always(STAGE_2_POSITIVES / STAGE_2_SLICES, real_labels), 0.3448886958618681),
        (real_labels.clip(0.01, 0.99), 0.010050335853501452),
    ]
    for probabilities, expected in published:
        assert metric.weighted_log_loss(real_labels, probabilities) == pytest.approx(expected, rel=0, abs=1e-12)


def test_the_mean_over_many_slices_is_exact() -> None:
    labels = np.zeros((400_000, 6))  # summed naively, the mean errs by 4.5e-12
    assert metric.weighted_log_loss(labels, np.full(labels.shape, 0.5)) == pytest.approx(math.log(2), rel=0, abs=1e-15)


@pytest.mark.parametrize("finding", FINDINGS)
def test_any_counts_twice_and_each_kind_once(finding: str) -> None:
    probabilities = np.zeros((1, 6))
    probabilities[0, FINDINGS.index(finding)] = 0.5
    weight = 2 if finding == "any" else 1
    assert metric.weighted_log_loss(np.zeros((1, 6)), probabilities) == pytest.approx(
        weight * math.log(2) / 7, rel=1e-12
    )


def test_a_sure_and_wrong_answer_costs_the_clip() -> None:
    assert metric.weighted_log_loss(np.ones((1, 6)), np.zeros((1, 6))) == pytest.approx(15 * math.log(10), rel=1e-12)
    # 1 - 1e-15 itself is rounded in float64: to 1 - 9 / 2**53
    assert metric.weighted_log_loss(np.zeros((1, 6)), np.ones((1, 6))) == pytest.approx(
        -math.log(9 * 2**-53), rel=1e-12
    )


def test_a_sure_and_right_answer_costs_nothing() -> None:
    assert 0 <= metric.weighted_log_loss(np.ones((3, 6)), np.ones((3, 6))) < 2e-15


def test_probabilities_are_the_sigmoid_in_float64() -> None:
    logits = np.array([-1000.0, -math.log(3), 0.0, math.log(3), 36.0, 1000.0])
    found = metric.probabilities(logits)
    assert found.dtype == np.float64
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1 - math.exp(-36), 1], rel=1e-15)
    assert found[4] < 1  # where float32 ends at 17


def test_float32_logits_lose_nothing_on_the_way() -> None:
    assert metric.probabilities(np.float32([20])) == 1 / (1 + math.exp(-20))


def test_prevalence_is_one_more_positive_in_two_more_slices() -> None:
    labels = np.zeros((8, 6))
    labels[:, ANY] = 1
    labels[:4, 0] = 1
    assert metric.prevalence(labels) == pytest.approx([0.5, 0.1, 0.1, 0.1, 0.1, 0.9], rel=1e-15)


def test_the_floor_is_the_score_of_the_training_prevalence() -> None:
    labels = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]])
    prevalence = [0.1, 0.1, 0.1, 0.1, 0.5, 0.5]
    expected = (4 * -math.log(0.9) + 3 * math.log(2)) / 7
    assert metric.floor_log_loss(prevalence, labels) == pytest.approx(expected, rel=1e-12)


def test_skill_is_0_at_the_floor_and_1_at_the_truth() -> None:
    labels = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    prevalence = np.full(6, 0.3)
    at_floor = metric.score(labels, always(prevalence, labels), prevalence=prevalence)
    assert (at_floor["weighted_log_loss"], at_floor["skill"]) == (at_floor["floor"], 0)
    assert metric.score(labels, labels.astype(float), prevalence=prevalence)["skill"] == pytest.approx(1, abs=1e-12)
    assert not {"floor", "skill"} & metric.score(labels, labels.astype(float)).keys()


@given(answers())
def test_each_log_loss_is_scikit_learns(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = answer
    scores = metric.score(labels, probabilities)
    clipped = np.clip(probabilities, 1e-15, 1 - 1e-15)
    expected = [log_loss(labels[:, i], clipped[:, i], labels=[0, 1]) for i in range(6)]
    assert [scores[f"log_loss/{finding}"] for finding in FINDINGS] == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert scores["weighted_log_loss"] == pytest.approx((sum(expected) + expected[ANY]) / 7, rel=1e-12, abs=1e-14)
    assert scores["weighted_log_loss"] == metric.weighted_log_loss(labels, probabilities)


@given(answers())
def test_decisions_are_scikit_learns_over_the_labels_with_a_positive_slice(
    answer: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, probabilities = answer
    predicted = (probabilities >= 0.5).astype(int)
    scores = metric.score(labels, probabilities)
    columns = [i for i in range(6) if labels[:, i].any()]
    each = precision_recall_fscore_support(labels, predicted, average=None, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), each[:3], strict=True):
        for i, finding in enumerate(FINDINGS):
            if name != "recall" or 0 < labels[:, i].mean() < 1:
                assert scores[f"{name}/{finding}"] == pytest.approx(values[i], rel=1e-12)
        assert scores[name] == pytest.approx(values[columns].mean() if columns else 0, rel=1e-12)
    micro = precision_recall_fscore_support(labels, predicted, average="micro", zero_division=0)[:3]
    assert [scores[f"{name}_micro"] for name in ("precision", "recall", "f1")] == pytest.approx(micro, rel=1e-12)
    assert [scores[f"predicted_positives/{finding}"] for finding in FINDINGS] == list(predicted.sum(axis=0))
    if columns:
        accuracies = [accuracy_score(labels[:, i], predicted[:, i]) for i in columns]
        assert scores["accuracy"] == pytest.approx(np.mean(accuracies), rel=1e-12)


@given(answers())
def test_each_brier_score_is_scikit_learns(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = answer
    scores = metric.score(labels, probabilities)
    expected = [brier_score_loss(labels[:, i], probabilities[:, i], pos_label=1) for i in range(6)]
    assert [scores[f"brier/{finding}"] for finding in FINDINGS] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert scores["brier"] == pytest.approx(np.mean(expected), rel=1e-12, abs=1e-15)


@given(answers())
def test_specificity_is_scikit_learns_recall_of_the_negatives(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = answer
    scores = metric.score(labels, probabilities)
    both = [i for i in range(6) if 0 < labels[:, i].mean() < 1]
    expected = {FINDINGS[i]: recall_score(labels[:, i], probabilities[:, i] >= 0.5, pos_label=0) for i in both}
    found = {finding: scores[f"specificity/{finding}"] for finding in FINDINGS if f"specificity/{finding}" in scores}
    assert found == pytest.approx(expected, rel=1e-12)
    assert scores.get("specificity") == (pytest.approx(np.mean([*expected.values()]), rel=1e-12) if both else None)


@given(st.lists(answers(), min_size=1, max_size=4))
def test_decisions_of_many_tables_are_those_of_each(tables: list[tuple[np.ndarray, np.ndarray]]) -> None:
    counts = [metric.count_decisions(labels == 1, probabilities >= 0.5) for labels, probabilities in tables]
    together = metric.decisions(metric.Counts(*(np.stack(some) for some in zip(*counts, strict=True))))
    for place, (labels, probabilities) in enumerate(tables):
        scores = metric.score(labels, probabilities)
        for name, values in together.items():
            assert scores.get(name, np.nan) == pytest.approx(values[place], nan_ok=True), name


@given(answers())
def test_rankings_are_scikit_learns_where_a_label_has_both_classes(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = answer
    scores = metric.score(labels, probabilities)
    both = [i for i in range(6) if 0 < labels[:, i].mean() < 1]
    for name, function in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = {FINDINGS[i]: function(labels[:, i], probabilities[:, i]) for i in both}
        found = {finding: scores[f"{name}/{finding}"] for finding in FINDINGS if f"{name}/{finding}" in scores}
        assert found == pytest.approx(expected, rel=1e-12)
        assert scores.get(name) == (pytest.approx(np.mean(list(expected.values())), rel=1e-12) if both else None)


def test_auc_counts_a_tie_as_half() -> None:
    labels = np.repeat([[0], [0], [1], [1]], 6, axis=1)
    probabilities = np.repeat([[0.2], [0.6], [0.6], [0.9]], 6, axis=1)  # of 4 pairs: 3 in order, 1 tied
    assert metric.score(labels, probabilities)["auc"] == 3.5 / 4


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_of_one_class_has_no_recall_specificity_auc_or_average_precision(value: int) -> None:
    labels = np.repeat([[0], [1]], 6, axis=1)
    labels[:, 0] = value
    scores = metric.score(labels, np.full((2, 6), 0.7))
    absent = {"recall/epidural", "specificity/epidural", "auc/epidural", "average_precision/epidural"}
    assert not absent & scores.keys()
    assert {name.replace("epidural", "any") for name in absent} <= scores.keys()
    assert {"precision/epidural", "f1/epidural", "log_loss/epidural", "predicted_positives/epidural"} <= scores.keys()


def test_macro_means_leave_out_labels_without_a_positive_slice() -> None:
    labels = np.zeros((4, 6))
    labels[:2, [4, ANY]] = 1
    probabilities = np.where(labels == 1, 0.9, 0.1)
    probabilities[0, 4] = 0.1  # one subdural slice missed
    probabilities[3, 0] = 0.9  # one slice called epidural, where none is
    scores = metric.score(labels, probabilities)
    assert scores["recall"] == (0.5 + 1) / 2
    assert scores["precision"] == 1
    assert scores["accuracy"] == (3 / 4 + 1) / 2
    assert scores["f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["precision_micro"] == 3 / 4
    assert scores["recall_micro"] == 3 / 4
    assert scores["f1_micro"] == 3 / 4


def test_nothing_predicted_is_precision_0_with_the_count_beside_it() -> None:
    scores = metric.score(np.ones((2, 6)), np.full((2, 6), 0.1))
    assert (scores["precision"], scores["f1"], scores["precision/any"], scores["predicted_positives/any"]) == (
        0,
        0,
        0,
        0,
    )


def test_without_any_hemorrhage_precision_recall_and_f1_are_still_there() -> None:
    scores = metric.score(np.zeros((2, 6)), np.full((2, 6), 0.1))
    assert (scores["precision"], scores["recall"], scores["f1"], scores["recall_micro"]) == (0, 0, 0, 0)
    assert not {"accuracy", "specificity", "auc", "average_precision", "recall/any"} & scores.keys()


def test_a_finding_is_predicted_from_one_half_on() -> None:
    probabilities = np.array([[0.5] * 6, [np.nextafter(0.5, 0)] * 6])
    assert metric.score(np.ones((2, 6)), probabilities)["predicted_positives/any"] == 1


def test_every_value_is_a_plain_finite_float(real_labels: pd.DataFrame) -> None:
    random = np.random.default_rng(0)
    few = real_labels[:1000]
    scores = metric.score(few, random.random(few.shape), prevalence=metric.prevalence(real_labels))
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())
    assert len(KINDS) + 1 == sum(name.startswith("log_loss/") for name in scores)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.zeros((0, 6)), np.zeros((0, 6)), "there is no slice to score"),
        (np.zeros((2, 5)), np.zeros((2, 5)), r"labels are \(2, 5\); they need rows of six: epidural, .*, any"),
        (np.zeros(6), np.zeros(6), r"labels are \(6,\); they need rows of six"),
        (np.zeros((2, 6)), np.zeros((3, 6)), r"labels are \(2, 6\) and probabilities \(3, 6\); they must match"),
        (np.full((1, 6), 0.5), np.zeros((1, 6)), "labels must be 0 or 1; row 0, epidural is 0.5"),
        (np.full((1, 6), np.nan), np.zeros((1, 6)), "labels must be 0 or 1; row 0, epidural is nan"),
        (np.zeros((1, 6)), [[0, 0, 0, 0, 0, np.nan]], "1 of 6 probabilities.*row 0, any, is nan.*diverged"),
        (np.zeros((1, 6)), np.full((1, 6), -2.5), "6 of 6 probabilities.*epidural, is -2.5.*ich.metric.probabilities"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels: object, probabilities: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric.score(labels, probabilities)
    with pytest.raises(ValueError, match=message):
        metric.weighted_log_loss(labels, probabilities)
