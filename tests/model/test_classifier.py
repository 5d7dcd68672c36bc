"""From HU to logits in one module."""

import pytest
import torch

from ich.ct.windowing import Window, WindowStack
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single


def classifier(*windows: tuple[float, float], learned: bool = False) -> HemorrhageClassifier:
    torch.manual_seed(0)
    stack = WindowStack(windows=[Window(level=level, width=width) for level, width in windows], learned=learned)
    return HemorrhageClassifier(backbone=Backbone(name="test_byobnet"), window=stack, context=Single()).eval()


@pytest.mark.parametrize(
    "windows", [[(40, 80)], [(40, 80)] * 3, [(40, 80), (80, 200), (600, 2800), (40, 375), (32, 8)]]
)
def test_int16_hu_become_six_logits(windows: list[tuple[float, float]]) -> None:
    hu = torch.randint(-1024, 3071, (2, 1, 64, 64), dtype=torch.int16)
    logits = classifier(*windows)(hu)
    assert logits.shape == (2, 6)
    assert logits.dtype == torch.float32


def test_what_lies_outside_every_window_cannot_be_told_apart() -> None:
    model = classifier((40, 80))
    dark, darker = (
        torch.full((1, 1, 64, 64), -10, dtype=torch.int16),
        torch.full((1, 1, 64, 64), -900, dtype=torch.int16),
    )
    assert torch.equal(model(dark), model(darker))


def test_windows_travel_with_the_weights() -> None:
    state = classifier((40, 80)).state_dict()
    other = classifier((80, 200))
    hu = torch.randint(0, 100, (1, 1, 64, 64), dtype=torch.int16)
    before = other(hu)
    other.load_state_dict(state)
    assert torch.equal(other(hu), classifier((40, 80))(hu))
    assert not torch.equal(other(hu), before)


def test_learned_windows_get_a_gradient() -> None:
    model = classifier((40, 80), (80, 200), learned=True)
    model(torch.randint(0, 100, (2, 1, 64, 64), dtype=torch.int16)).sum().backward()
    gradients = [parameter.grad for parameter in model.window.parameters()]
    assert gradients
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
