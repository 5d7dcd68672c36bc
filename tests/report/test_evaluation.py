"""What an evaluation says: scikit-learn's numbers, by slices and by studies, with intervals over patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from ich import metric
from ich.findings import FINDINGS
from ich.report import evaluation
from ich.report.evaluation import BadPredictions, Cases, Settings
from ich.report.evaluation.bootstrap import count_patients, draw_weights, percentiles, sum_by_patient
from ich.report.evaluation.families import all_families
from ich.report.evaluation.points import fit_points
from ich.report.evaluation.ranking import Ranking

FEW = Settings(resamples=50)


def make_cases(positive: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, *, prefix: str = "") -> Cases:
    """A slice a row; the first two slices of a patient are a study, then the next two, …"""
    names, numbers = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    within = pd.Series(numbers).groupby(numbers).cumcount().to_numpy() // 2
    return Cases(
        ids=np.array([f"ID_{prefix}{row:06d}" for row in range(len(positive))]),
        studies=np.array([f"study_{names[one]}_{part}" for one, part in zip(numbers, within, strict=True)]),
        patients=numbers.astype(np.int64),
        names=names,
        positive=np.asarray(positive) == 1,
        probabilities=np.asarray(probabilities, dtype=np.float64),
    )


@st.composite
def some_cases(draw: st.DrawFn) -> Cases:
    """1 to 40 slices of up to 8 patients, with ties, and labels of one class."""
    rows = draw(st.integers(1, 40))
    some = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    positive = draw(arrays(np.uint8, (rows, 6), elements=st.integers(0, 1)))
    positive[:, 0] = draw(st.sampled_from([0, 1]))
    patients = draw(arrays(np.int64, rows, elements=st.integers(0, 7)))
    return make_cases(positive, draw(arrays(np.float64, (rows, 6), elements=some)), patients)


def random_cases(patients: int, *, seed: int = 0, slices: int = 12, prefix: str = "") -> Cases:
    """Patients with and without hemorrhage, whose slices are alike."""
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), slices)
    shift = random.normal(size=(patients, 6))[owner]
    positive = (random.random((len(owner), 6)) < 1 / (1 + np.exp(2 - 2 * shift))).astype(np.float64)
    logits = -2 + 2 * positive + shift + random.normal(size=positive.shape)
    names = np.array([f"{prefix}{number:03d}" for number in range(patients)])
    return make_cases(positive, np.round(1 / (1 + np.exp(-logits)), 3), names[owner], prefix=prefix)


def values_of(cases: Cases, **weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric at patients' weights, each patient once where none are given."""
    prevalence = metric.prevalence(cases.positive)
    rows = weights.get("weights", np.ones((1, len(cases.names))))
    found = [family(rows) for family in all_families(cases, prevalence=prevalence, points=fit_points(cases))]
    return {name: values for some in found for name, values in some.items()}


@given(some_cases())
@settings(max_examples=60)
def test_metrics_by_patients_are_those_of_a_run(cases: Cases) -> None:
    scores = metric.score(cases.positive, cases.probabilities, prevalence=metric.prevalence(cases.positive))
    found = {name: float(values[0]) for name, values in values_of(cases).items() if not np.isnan(values[0])}
    assert scores.keys() <= found.keys()
    assert {name: found[name] for name in scores} == pytest.approx(scores, rel=1e-9, abs=1e-12)
    assert {name.partition("/")[0] for name in found.keys() - scores.keys()} <= {
        "expected_calibration_error", "sensitivity_95", "youden"
    }  # fmt: skip


@given(some_cases(), st.integers(0, 100))
@settings(max_examples=40)
def test_a_resample_is_scikit_learns_with_sample_weights(cases: Cases, seed: int) -> None:
    weights = next(draw_weights(len(cases.names), resamples=3, seed=seed))
    found = values_of(cases, weights=weights)
    for resample, of_patients in enumerate(weights):
        weight = of_patients[cases.patients]
        for i, finding in enumerate(FINDINGS):
            label, p = cases.positive[:, i], cases.probabilities[:, i]
            clipped = np.clip(p, 1e-15, 1 - 1e-15)
            expected = {
                "log_loss": log_loss(label, clipped, sample_weight=weight, labels=[0, 1]),
                "brier": brier_score_loss(label, p, sample_weight=weight, pos_label=1),
            }
            if len(np.unique(label[weight > 0])) == 2:
                expected["auc"] = roc_auc_score(label, p, sample_weight=weight)
                expected["average_precision"] = average_precision_score(label, p, sample_weight=weight)
            else:
                assert np.isnan(found[f"auc/{finding}"][resample])
                assert np.isnan(found[f"average_precision/{finding}"][resample])
            for name, value in expected.items():
                assert found[f"{name}/{finding}"][resample] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_decisions_of_a_resample_are_scikit_learns_with_sample_weights() -> None:
    cases = random_cases(20)
    weights = next(draw_weights(20, resamples=5, seed=1))
    found = values_of(cases, weights=weights)
    for resample, of_patients in enumerate(weights):
        for i, finding in enumerate(FINDINGS):
            expected = precision_recall_fscore_support(
                cases.positive[:, i],
                cases.probabilities[:, i] >= 0.5,
                average="binary",
                zero_division=0,
                sample_weight=of_patients[cases.patients],
            )[:3]
            names = [f"{name}/{finding}" for name in ("precision", "recall", "f1")]
            assert [found[name][resample] for name in names] == pytest.approx(expected, rel=1e-12)


def test_a_ranking_without_any_case_of_a_class_is_not_defined() -> None:
    nobody = np.zeros(0, np.int64)
    empty = Ranking(np.zeros(0, bool), np.zeros(0), nobody, 2)
    assert np.isnan(empty.resample(np.ones((3, 2)))).all()


def test_many_resamples_at_once_are_the_same_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = random_cases(15)
    together = evaluation.evaluate(cases, FEW)[0].measured
    monkeypatch.setattr("ich.report.evaluation.bootstrap.CELLS", 15 * 7)
    monkeypatch.setattr("ich.report.evaluation.ranking.CELLS", 100)
    apart = evaluation.evaluate(cases, FEW)[0].measured
    assert apart.values == together.values
    for name, values in together.resamples.items():
        assert apart.resamples[name] == pytest.approx(values, rel=1e-12, nan_ok=True), name


def test_a_resample_has_as_many_patients_as_there_are_and_each_is_as_likely() -> None:
    weights = np.concatenate([*draw_weights(40, resamples=4000, seed=0)])
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.08)
    assert weights.var() == pytest.approx(39 / 40, rel=0.02)  # of a multinomial


def test_sums_by_patient() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert sum_by_patient(values, np.array([1, 0, 1]), 2).tolist() == [[2, 20], [5, 50]]


def test_equal_seeds_give_equal_intervals_and_others_give_others() -> None:
    cases = random_cases(15)
    first, again, other = (
        evaluation.metric_rows(evaluation.evaluate(cases, Settings(resamples=50, seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["val/auc/any"] != other["val/auc/any"]


def test_intervals_hold_their_value_and_shrink_with_patients() -> None:
    widths = []
    for patients in (20, 320):
        rows = evaluation.metric_rows(evaluation.evaluate(random_cases(patients), Settings(resamples=400)))
        for name in ("val/auc/any", "val/weighted_log_loss", "val/brier/any", "val/study/recall/any", "val/skill"):
            value, low, high = rows[name]
            assert low is not None
            assert high is not None
            assert low < value < high
        widths.append(rows["val/auc/any"][2] - rows["val/auc/any"][1])  # type: ignore[operator]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.5)  # as the root of 16


def test_slices_of_one_patient_repeated_bring_no_certainty() -> None:
    cases = random_cases(30)
    again = np.tile(np.arange(len(cases)), 10)
    names = cases.names[cases.patients][again]
    repeated = make_cases(cases.positive[again], cases.probabilities[again], names)
    once, often = (
        evaluation.metric_rows(evaluation.evaluate(some, Settings(resamples=200)))["val/auc/any"]
        for some in (cases, repeated)
    )
    assert often == pytest.approx(once, rel=1e-9)


def test_a_study_shows_what_one_of_its_slices_shows_with_the_largest_probability() -> None:
    positive = np.zeros((4, 6))
    positive[1, [2, 5]] = 1
    probabilities = np.full((4, 6), 0.1)
    probabilities[0, 5], probabilities[1, 2], probabilities[3, 5] = 0.7, 0.6, 0.2
    studies = make_cases(positive, probabilities, np.array([0, 0, 0, 1])).by_study()
    assert studies.ids.tolist() == ["study_0_0", "study_0_1", "study_1_0"]
    assert studies.positive.tolist() == [[0, 0, 1, 0, 0, 1], [0] * 6, [0] * 6]
    assert studies.probabilities.tolist() == [[0.1, 0.1, 0.6, 0.1, 0.1, 0.7], [0.1] * 6, [0.1] * 5 + [0.2]]
    assert studies.patients.tolist() == [0, 0, 1]


def test_studies_are_measured_as_slices_are() -> None:
    cases = random_cases(25)
    rows = evaluation.metric_rows(evaluation.evaluate(cases, FEW))
    studies = cases.by_study()
    scores = metric.score(studies.positive, studies.probabilities, prevalence=metric.prevalence(studies.positive))
    assert {name: rows[f"val/study/{name}"][0] for name in scores} == scores


@pytest.mark.parametrize("value", [0, 1])
def test_what_is_not_defined_has_no_name(value: int) -> None:
    cases = random_cases(10)
    cases.positive[:, 0] = value
    rows = evaluation.metric_rows(evaluation.evaluate(cases, FEW))
    for name in ("auc", "average_precision", "recall", "specificity", "youden/recall", "sensitivity_95/f1"):
        assert f"val/{name}/epidural" not in rows
        assert f"val/{name}/any" in rows
    assert rows["val/brier/epidural"][1] is not None
    assert all(np.isfinite([one for one in row if one is not None]).all() for row in rows.values())


def test_too_few_patients_of_a_class_have_no_interval() -> None:
    for count in (1, 2, 3, 8):
        cases = random_cases(40)
        cases.positive[:, 0] = cases.patients < count
        _, low, high = evaluation.metric_rows(evaluation.evaluate(cases, Settings(resamples=500)))["val/auc/epidural"]
        assert (low is None) == (high is None) == (count < 3), count


def test_one_patient_and_a_faultless_answer_have_no_interval() -> None:
    one = evaluation.metric_rows(evaluation.evaluate(random_cases(1), FEW))
    assert all(row[1:] == (None, None) for row in one.values())
    cases = random_cases(10)
    cases.probabilities[:] = np.where(cases.positive, 0.9, 0.2)
    assert evaluation.metric_rows(evaluation.evaluate(cases, FEW))["val/auc/any"] == (1.0, None, None)


@given(some_cases())
@settings(max_examples=10)
def test_no_table_is_a_crash(cases: Cases) -> None:
    levels = evaluation.evaluate(cases, Settings(resamples=20))
    rows = evaluation.metric_rows(levels)
    assert rows["val/weighted_log_loss"][0] == metric.weighted_log_loss(cases.positive, cases.probabilities)
    assert len(evaluation.threshold_table(levels)) == 2 * 3 * 6
    assert len(evaluation.reliability_table(levels)) == 2 * 6 * 10


def test_the_floor_is_the_training_folds_where_it_is_known() -> None:
    cases, prevalence = random_cases(10), np.array([0.02, 0.1, 0.1, 0.1, 0.1, 0.3])
    known = evaluation.metric_rows(evaluation.evaluate(cases, Settings(prevalence=prevalence, resamples=50)))
    own = evaluation.metric_rows(evaluation.evaluate(cases, FEW))
    assert known["val/floor"][0] == metric.floor_log_loss(prevalence, cases.positive)
    assert own["val/floor"][0] == metric.floor_log_loss(metric.prevalence(cases.positive), cases.positive)
    assert known["val/study/floor"] == own["val/study/floor"]


@given(some_cases())
@settings(max_examples=60)
def test_the_threshold_of_sensitivity_is_the_highest_that_finds_95_percent(cases: Cases) -> None:
    for i, threshold in enumerate(fit_points(cases)["sensitivity_95"]):
        positive, p = cases.positive[:, i], cases.probabilities[:, i]
        if positive.all() or not positive.any():
            assert np.isnan(threshold)
            continue
        assert (p[positive] >= threshold).mean() >= 0.95
        assert (p[positive] > threshold).mean() < 0.95


@given(some_cases())
@settings(max_examples=60)
def test_the_threshold_of_youden_is_the_best_of_all(cases: Cases) -> None:
    for i, threshold in enumerate(fit_points(cases)["youden"]):
        positive, p = cases.positive[:, i], cases.probabilities[:, i]
        if positive.all() or not positive.any():
            assert np.isnan(threshold)
            continue
        gains = {t: (p[positive] >= t).mean() - (p[~positive] >= t).mean() for t in np.unique(p)}
        assert gains[threshold] == pytest.approx(max(gains.values()), rel=1e-12)
        assert all(gain < gains[threshold] + 1e-12 for t, gain in gains.items() if t > threshold)


def test_points_are_fitted_on_validation_and_reported_on_test_patients() -> None:
    val, test = random_cases(30), random_cases(20, seed=1, prefix="t")
    levels = evaluation.evaluate(val, FEW, test=test)
    assert [level.prefix for level in levels] == ["val/", "val/study/", "test/", "test/study/"]
    rows, table = evaluation.metric_rows(levels), evaluation.threshold_table(levels)
    assert not [name for name in rows if name.startswith("val/") and "youden" in name]
    threshold = fit_points(val)["youden"][5]
    predicted = test.probabilities[:, 5] >= threshold
    assert rows["test/youden/recall/any"][0] == pytest.approx(predicted[test.positive[:, 5]].mean())
    row = table[(table["level"] == "test") & (table["point"] == "youden") & (table["label"] == "any")].iloc[0]
    assert (row["threshold"], row["fitted_on"], row["predicted_positives"]) == (threshold, "val", predicted.sum())


def test_without_test_patients_points_are_said_to_be_fitted_on_the_same_data() -> None:
    table = evaluation.threshold_table(evaluation.evaluate(random_cases(10), FEW))
    assert set(table.loc[table["point"] != "fixed", "fitted_on"]) == {"the same data"}


def test_a_patient_in_validation_and_test_is_refused() -> None:
    with pytest.raises(BadPredictions, match=r"patient 000 is in both tables \(10 such patients\); test patients are"):
        evaluation.evaluate(random_cases(10), FEW, test=random_cases(12, seed=1))


def test_reliability_is_scikit_learns_curve_with_intervals() -> None:
    cases = random_cases(60)
    table = evaluation.reliability_table(evaluation.evaluate(cases, Settings(resamples=200)))
    assert table["cases"].sum() == 6 * (len(cases) + len(cases.by_study()))
    for i, finding in enumerate(FINDINGS):
        rows = table[(table["level"] == "val") & (table["label"] == finding)]
        rates, means = calibration_curve(cases.positive[:, i], cases.probabilities[:, i] + 1e-9, n_bins=10)
        filled = rows[rows["cases"] > 0]
        assert filled["rate"].to_numpy() == pytest.approx(rates)
        assert filled["mean_probability"].to_numpy() == pytest.approx(means, abs=1e-8)
        inside = (filled["rate_low"] <= filled["rate"]) & (filled["rate"] <= filled["rate_high"])
        assert (inside | filled["rate_low"].isna()).all()
        assert inside.any()


def test_the_calibration_error_is_the_mean_distance_of_rate_and_probability_over_bins() -> None:
    positive = np.repeat([[1], [0], [0], [1]], 6, axis=1)
    probabilities = np.repeat([[0.31], [0.39], [0.32], [0.8]], 6, axis=1)
    rows = evaluation.metric_rows(evaluation.evaluate(make_cases(positive, probabilities, np.arange(4)), FEW))
    expected = 3 / 4 * abs(1 / 3 - 0.34) + 1 / 4 * 0.2
    assert rows["val/expected_calibration_error/any"][0] == pytest.approx(expected)
    assert rows["val/expected_calibration_error"][0] == pytest.approx(expected)


def test_a_probability_on_an_edge_is_of_the_bin_above() -> None:
    probabilities = np.repeat([[0.0], [0.3], [np.nextafter(0.3, 0)], [1.0]], 6, axis=1)
    levels = evaluation.evaluate(make_cases(np.zeros((4, 6)), probabilities, np.arange(4)), FEW)
    table = levels[0].reliability
    assert table.loc[table["label"] == "any", "cases"].tolist() == [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]


def test_a_comparison_is_the_difference_with_an_interval_of_the_same_resamples() -> None:
    one, other = random_cases(60), random_cases(60)
    other.probabilities[:] = np.clip(other.probabilities * 0.9 + 0.02, 0, 1)  # the same ranking
    levels = [evaluation.evaluate(some, Settings(resamples=300)) for some in (one, other)]
    rows = evaluation.compare(*levels)
    first, second = (evaluation.metric_rows(some)["val/weighted_log_loss"] for some in levels)
    this, that, (difference, low, high) = rows["val/weighted_log_loss"]
    assert (this, that, difference) == (first[0], second[0], first[0] - second[0])
    assert low < difference < high
    assert high - low < 0.5 * (first[2] - first[1])  # what is hard is hard for both
    assert rows["val/auc/any"][2] == pytest.approx((0, 0, 0), abs=1e-12)
    table = evaluation.comparison_table(rows)
    assert table.columns.tolist() == ["metric", "this", "other", "difference", "low", "high"]
    assert len(table) == len(rows)


def test_a_comparison_of_other_cases_is_refused() -> None:
    one, fewer, moved, others = (random_cases(12) for _ in range(4))
    fewer = make_cases(fewer.positive[:-3], fewer.probabilities[:-3], fewer.names[fewer.patients[:-3]])
    moved.positive[7, 3] ^= True
    names = others.names[others.patients]
    names[-1] = "somebody"
    others = make_cases(others.positive, others.probabilities, names)
    for other, said in (
        (fewer, r"ID_000141 is in the first table only \(3 images stand in one of the two\)"),
        (moved, r"ID_000007 has another label in the other table \(1 such images\)"),
        (others, r"ID_000143 has another patient in the other table"),
    ):
        with pytest.raises(BadPredictions, match=said):
            evaluation.compare(*(evaluation.evaluate(some, Settings(resamples=5)) for some in (one, other)))


def test_one_patient_cannot_be_compared_with_an_interval() -> None:
    levels = [evaluation.evaluate(random_cases(1), FEW) for _ in range(2)]
    assert evaluation.compare(*levels)["val/brier"][2] == (0.0, None, None)
    assert levels[0][0].reliability["rate_low"].isna().all()


def test_the_interval_of_a_calibration_error_is_where_the_error_is() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random((600, 6))
    cases = make_cases(random.random((600, 6)) < probabilities, probabilities, np.arange(600))
    measured = evaluation.evaluate(cases, Settings(resamples=300))[0].measured
    name = "expected_calibration_error/any"
    interval = measured.interval(name)
    assert (measured.resamples[name] > measured.values[name]).mean() > 0.8  # noise raises it
    assert interval is not None
    assert interval.low < measured.values[name] < np.quantile(measured.resamples[name], 0.5)
    assert interval.high < measured.values[name] + 0.02


def test_the_fewer_patients_the_wider_an_interval() -> None:
    resamples = np.random.default_rng(0).normal(size=100_000)
    # Student's t of 4 degrees of freedom is 2.776 at 97.5%; times the root of 5 / 4
    for patients, reach in ((5, 3.104), (100_000, 1.960)):
        interval = percentiles(resamples, patients=patients)
        assert interval is not None
        assert (-interval.low, interval.high) == pytest.approx((reach, reach), rel=0.04)


def test_a_label_rests_on_the_patients_of_its_rarer_class() -> None:
    cases = make_cases(np.zeros((10, 6)), np.zeros((10, 6)), np.arange(10) // 2)
    cases.positive[:3, 0] = True  # the first patient's two slices, and one of the second
    cases.positive[:9, 1] = True
    assert count_patients(cases) == {
        "epidural": 2, "intraparenchymal": 1, **dict.fromkeys(FINDINGS[2:], 5)
    }  # fmt: skip
    measured = evaluation.evaluate(cases, FEW)[0].measured
    assert [measured.count(name) for name in ("auc/epidural", "youden/recall/epidural", "auc")] == [2, 2, 5]
