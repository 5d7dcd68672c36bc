"""The losses against the metric and against arithmetic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from ich import metric
from ich.findings import FINDINGS
from ich.model.loss import BCE, Focal, WeightedBCE

LOSSES = [BCE(), WeightedBCE(), Focal(), Focal(gamma=0.5)]
NAMES = ["bce", "weighted_bce", "focal", "focal_0.5"]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = (draw(st.integers(1, 9)), 6)
    logits = draw(arrays(np.float32, shape, elements=st.floats(-10, 10, width=32)))
    return torch.from_numpy(logits), torch.from_numpy(draw(arrays(np.uint8, shape, elements=st.integers(0, 1))))


@given(batches())
def test_weighted_bce_is_the_metric(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    expected = metric.weighted_log_loss(labels, metric.probabilities(logits))
    assert WeightedBCE()(logits, labels).item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(batches())
def test_bce_is_the_mean_of_the_six_log_losses(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    scores = metric.score(labels, metric.probabilities(logits))
    expected = sum(scores[f"log_loss/{finding}"] for finding in FINDINGS) / 6
    assert BCE()(logits, labels).item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(batches())
def test_focal_at_gamma_0_is_bce(batch: tuple[Tensor, Tensor]) -> None:
    assert Focal(gamma=0)(*batch).item() == pytest.approx(BCE()(*batch).item(), rel=1e-6, abs=1e-6)


def test_focal_weighs_a_slice_by_what_is_missing_to_certainty() -> None:
    logits = torch.full((1, 6), math.log(3))  # p = 3/4 of being positive
    assert Focal(gamma=2)(logits, torch.ones(1, 6)).item() == pytest.approx(1 / 16 * math.log(4 / 3), rel=1e-6)
    assert Focal(gamma=2)(logits, torch.zeros(1, 6)).item() == pytest.approx(9 / 16 * math.log(4), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@pytest.mark.parametrize("size", [0.0, 30.0, 200.0, 1e30])
def test_sure_answers_have_finite_losses_and_gradients(loss: nn.Module, size: float) -> None:
    logits = torch.tensor([[size, -size, size, -size, size, -size]], requires_grad=True)
    labels = torch.tensor([[1, 0, 0, 1, 1, 0]])
    value = loss(logits, labels)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_losses_are_float32_also_under_autocast(loss: nn.Module) -> None:
    logits = torch.linspace(-8, 8, 60).view(10, 6).bfloat16()
    labels = (torch.arange(60).view(10, 6) % 3 == 0).to(torch.uint8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, labels)
    assert value.dtype == torch.float32
    assert value.item() == loss(logits.float(), labels.float()).item()


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_a_loss_keeps_nothing_in_a_checkpoint(loss: nn.Module) -> None:
    assert not loss.state_dict()
