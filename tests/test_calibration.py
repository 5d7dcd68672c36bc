"""Temperature and bias of each label: what they bring, what they must not do."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.linear_model import LogisticRegression

from ich import metric
from ich.calibration import IDENTITY, Calibration, fit_calibration
from tests.test_metric import answers


def logits_of(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def distorted(*, temperature: float, bias: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that would be right after this temperature and bias."""
    random = np.random.default_rng(0)
    right = random.normal(-1, 2, (rows, 6))
    labels = (random.random(right.shape) < metric.probabilities(right)).astype(np.uint8)
    return labels, metric.probabilities((right - bias) * temperature)


def test_a_known_distortion_is_found() -> None:
    fitted = fit_calibration(*distorted(temperature=2.5, bias=-0.7))
    assert fitted.temperature == pytest.approx((2.5,) * 6, rel=0.05)
    assert fitted.bias == pytest.approx((-0.7,) * 6, abs=0.1)


def test_right_probabilities_stay() -> None:
    fitted = fit_calibration(*distorted(temperature=1, bias=0))
    assert fitted.temperature == pytest.approx((1,) * 6, rel=0.05)
    assert fitted.bias == pytest.approx((0,) * 6, abs=0.06)


def test_it_is_scikit_learns_logistic_regression_on_the_logits() -> None:
    labels, p = distorted(temperature=3, bias=0.5, rows=500)
    fitted = fit_calibration(labels, p)
    for i in range(6):
        rival = LogisticRegression(C=np.inf, tol=1e-10).fit(logits_of(p[:, [i]]), labels[:, i])
        assert 1 / fitted.temperature[i] == pytest.approx(rival.coef_[0, 0], rel=1e-3)
        assert fitted.bias[i] == pytest.approx(rival.intercept_[0], abs=1e-3)


@given(answers())
@settings(max_examples=60, deadline=None)
def test_it_is_never_worse_than_nothing_on_what_it_is_fitted_on(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = answer
    calibrated = fit_calibration(labels, p).apply(p)
    before, after = metric.score(labels, p), metric.score(labels, calibrated)
    for name in before:
        if name.startswith(("log_loss", "weighted_log_loss")):
            assert after[name] <= before[name] + 1e-12, name
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


@given(answers())
@settings(max_examples=60, deadline=None)
def test_the_order_of_cases_stays(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = answer
    calibrated = fit_calibration(labels, p).apply(p)
    for i in range(6):
        assert (np.diff(calibrated[np.argsort(p[:, i], kind="stable"), i]) >= 0).all()


def test_a_fit_that_went_astray_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ich.calibration.minimize", lambda *_, **__: SimpleNamespace(x=np.array([3.0, 5.0])))
    assert fit_calibration(*distorted(temperature=1, bias=0, rows=100)) == IDENTITY


def test_the_mean_probability_becomes_the_rate() -> None:
    labels, p = distorted(temperature=0.4, bias=1)
    assert fit_calibration(labels, p).apply(p).mean(axis=0) == pytest.approx(labels.mean(axis=0), rel=1e-4)


def test_a_label_of_one_class_is_left_as_it_is() -> None:
    labels, p = distorted(temperature=2, bias=0, rows=100)
    labels[:, 0], labels[:, 1] = 0, 1
    fitted = fit_calibration(labels, p)
    assert (fitted.temperature[:2], fitted.bias[:2]) == ((1, 1), (0, 0))
    assert fitted.temperature[2] != 1
    assert (fitted.apply(p)[:, :2] == p[:, :2]).all()


def test_labels_that_scores_part_without_fault_give_finite_numbers() -> None:
    labels = np.repeat([[0], [0], [1]], 6, axis=1)
    fitted = fit_calibration(labels, np.repeat([[0.1], [0.2], [0.9]], 6, axis=1))
    assert min(fitted.temperature) >= 0.05 - 1e-9
    assert np.isfinite(fitted.bias).all()


def test_sure_answers_stay_probabilities() -> None:
    calibrated = Calibration(temperature=(2.0,) * 6, bias=(0.1,) * 6).apply([[0, 1e-300, 0.5, 1 - 1e-16, 1, 1]])
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert calibrated[0, 2] == pytest.approx(1 / (1 + np.exp(-0.1)))


def test_identity_changes_no_bit() -> None:
    p = np.random.default_rng(0).random((50, 6))
    assert (IDENTITY.apply(p) == p).all()
    assert (IDENTITY.apply(np.array([[0.0, 1.0, 1e-300, 0.1, 0.3, 0.7]])) == [[0.0, 1.0, 1e-300, 0.1, 0.3, 0.7]]).all()


@pytest.mark.parametrize(
    ("temperature", "bias", "said"),
    [
        ((1.0,) * 5, (0.0,) * 6, "temperature is .*; it needs a finite number for each of epidural"),
        ((1.0,) * 6, (0.0,) * 5 + (np.nan,), "bias is .*; it needs a finite number"),
        ((1.0,) * 5 + (0.0,), (0.0,) * 6, "must be positive"),
    ],
)
def test_what_is_no_calibration_is_refused(temperature: tuple[float, ...], bias: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Calibration(temperature=temperature, bias=bias)


def test_what_the_metric_refuses_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no slice"):
        fit_calibration(np.zeros((0, 6)), np.zeros((0, 6)))
