"""Temperature and bias of each label: what they bring, what they must not do."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ich import metric
from ich.calibration import IDENTITY, Calibration, fit_calibration, raise_any
from ich.findings import ANY, FINDINGS
from tests.test_metric import answers


def logits_of(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def distorted(*, temperature: float, bias: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that would be right after this temperature and bias."""
    random = np.random.default_rng(0)
    right = random.normal(-1, 2, (rows, 6))
    labels = (random.random(right.shape) < metric.probabilities(right)).astype(np.uint8)
    return labels, metric.probabilities((right - bias) * temperature)


def fit(labels: np.ndarray, p: np.ndarray) -> Calibration:
    """Every row another patient's."""
    return fit_calibration(labels, p, patients=len(labels))


@given(temperature=st.floats(0.5, 4), bias=st.floats(-1.5, 1.5))
@settings(max_examples=10, deadline=None)
def test_a_known_distortion_is_found(temperature: float, bias: float) -> None:
    fitted = fit(*distorted(temperature=temperature, bias=bias))
    assert fitted.temperature == pytest.approx((temperature,) * 6, rel=0.06)
    assert fitted.bias == pytest.approx((bias,) * 6, abs=0.1)


def test_right_probabilities_stay() -> None:
    fitted = fit(*distorted(temperature=1, bias=0))
    assert fitted.temperature == pytest.approx((1,) * 6, rel=0.05)
    assert fitted.bias == pytest.approx((0,) * 6, abs=0.06)


def test_it_is_scikit_learns_logistic_regression_on_the_logits() -> None:
    labels, p = distorted(temperature=3, bias=0.5)
    fitted = fit(labels, p)
    for i in range(6):
        rival = LogisticRegression(C=np.inf, tol=1e-10).fit(logits_of(p[:, [i]]), labels[:, i])
        assert 1 / fitted.temperature[i] == pytest.approx(rival.coef_[0, 0], rel=5e-3)  # the prior's share
        assert fitted.bias[i] == pytest.approx(rival.intercept_[0], abs=5e-3)


def test_the_fewer_the_patients_the_less_is_changed() -> None:
    labels, p = distorted(temperature=4, bias=1, rows=400)
    found = [fit_calibration(labels, p, patients=patients) for patients in (1, 5, 40, 400)]
    away = [np.hypot((1 / np.array(one.temperature) - 1) / 0.5, one.bias) for one in found]
    assert (np.diff(away, axis=0) > 0).all()


def test_slices_of_a_few_patients_do_no_harm_to_others() -> None:
    """Right probabilities, but a patient's slices are told alike: five of them look as if all could be surer."""
    random, worst = np.random.default_rng(0), 0.0
    others, told = distorted(temperature=1, bias=0)
    for _ in range(20):
        right = np.repeat(random.normal(-1, 2, (5, 6)), 30, axis=0)
        labels = np.repeat(random.random((5, 6)) < metric.probabilities(right[::30]), 30, axis=0)
        found = fit_calibration(labels.astype(np.uint8), metric.probabilities(right), patients=5)
        after = metric.weighted_log_loss(others, found.apply(told))
        worst = max(worst, after - metric.weighted_log_loss(others, told))
    assert worst < 0.1


@given(answers())
@settings(max_examples=60, deadline=None)
def test_it_is_never_worse_than_nothing_on_what_it_is_fitted_on(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = answer
    calibrated = fit(labels, p).apply(p)
    before, after = metric.score(labels, p), metric.score(labels, calibrated)
    for name in before:
        if name.startswith(("log_loss", "weighted_log_loss")):
            assert after[name] <= before[name] + 1e-12, name
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


@given(answers())
@settings(max_examples=60, deadline=None)
def test_the_order_of_cases_stays(answer: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = answer
    calibrated = fit(labels, p).apply(p)
    for i in range(6):
        assert (np.diff(calibrated[np.argsort(p[:, i], kind="stable"), i]) >= 0).all()


def test_a_fit_that_went_astray_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ich.calibration.minimize", lambda *_, **__: SimpleNamespace(x=np.array([3.0, 5.0])))
    assert fit(*distorted(temperature=1, bias=0, rows=100)) == IDENTITY


def test_the_mean_probability_becomes_the_rate() -> None:
    labels, p = distorted(temperature=0.4, bias=1)
    assert fit(labels, p).apply(p).mean(axis=0) == pytest.approx(labels.mean(axis=0), rel=2e-3)


def test_a_label_of_one_class_is_left_as_it_is() -> None:
    labels, p = distorted(temperature=2, bias=0, rows=100)
    labels[:, 0], labels[:, 1] = 0, 1
    fitted = fit(labels, p)
    assert (fitted.temperature[:2], fitted.bias[:2]) == ((1, 1), (0, 0))
    assert fitted.temperature[2] != 1
    assert fitted.left_alone == FINDINGS[:2]
    assert (fitted.apply(p)[:, :2] == p[:, :2]).all()


def test_labels_that_scores_part_without_fault_give_finite_numbers() -> None:
    labels = np.repeat([[0], [0], [1]], 6, axis=1)
    fitted = fit(labels, np.repeat([[0.1], [0.2], [0.9]], 6, axis=1))
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
        fit(np.zeros((0, 6)), np.zeros((0, 6)))


@given(answers())
@settings(max_examples=60, deadline=None)
def test_any_is_never_below_a_kind_and_nothing_else_is_touched(answer: tuple[np.ndarray, np.ndarray]) -> None:
    _, p = answer
    raised, count = raise_any(p)
    kinds = np.delete(raised, ANY, axis=1)
    assert (raised[:, ANY, None] >= kinds).all()
    assert np.array_equal(kinds, np.delete(p, ANY, axis=1))
    changed = raised[:, ANY] != p[:, ANY]
    assert count == changed.sum()
    assert (raised[changed, ANY] == kinds[changed].max(axis=1)).all()


def test_what_is_raised_is_counted_and_the_input_stays() -> None:
    p = np.array([[0.1, 0.7, 0.2, 0.0, 0.3, 0.6], [0.1, 0.7, 0.2, 0.0, 0.3, 0.7], [0.0, 0.0, 0.0, 0.0, 0.0, 0.1]])
    raised, count = raise_any(p)
    assert (count, raised[:, ANY].tolist()) == (1, [0.7, 0.7, 0.1])
    assert p[0, ANY] == 0.6
    assert raise_any(np.zeros((0, 6)))[1] == 0


def test_a_calibration_in_plain_types_is_the_same_again() -> None:
    fitted = fit(*distorted(temperature=2, bias=1, rows=50))
    assert Calibration.from_plain(fitted.plain()) == fitted
    assert {type(value) for values in fitted.plain().values() for value in values} == {float}


SIX = [1.0] * 6


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (None, "holds temperature and bias"),
        ({"temperature": SIX}, "holds temperature and bias"),
        ({"temperature": SIX, "bias": SIX, "more": SIX}, "and nothing else"),
        ({"temperature": 1.0, "bias": SIX}, "temperature is no list of floats"),
        ({"temperature": SIX, "bias": ["0"] * 6}, "bias is no list of floats"),
        ({"temperature": SIX, "bias": [10**400] * 6}, "bias is no list of floats"),
        ({"temperature": SIX, "bias": [np.inf] * 6}, "needs a finite number"),
        ({"temperature": [-1.0] * 6, "bias": SIX}, "must be positive"),
    ],
)
def test_what_is_stored_and_no_calibration_is_refused(stored: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Calibration.from_plain(stored)


def test_a_stored_calibration_of_any_size_gives_probabilities() -> None:
    odd = Calibration(temperature=(1e-320,) * 6, bias=(1e308, -1e308) * 3)
    p = odd.apply(np.random.default_rng(0).random((20, 6)))
    assert ((p >= 0) & (p <= 1)).all()
