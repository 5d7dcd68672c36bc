"""Where a logit comes from: maps whose numbers follow from the network's weights."""

import pytest
import torch
from torch import nn

from ich.ct.windowing import Window, WindowStack
from ich.findings import FINDINGS
from ich.model.activation import ActivationMaps, NoMaps
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import LateFusion, Neighbours, Single

CONVOLUTIONAL = ("test_byobnet", "test_resnet", "test_convnext", "test_efficientnet", "test_nfnet", "test_mambaout")
"""Tiny ones of timm's families; the last has its channels at the end."""


def classifier(name: str = "test_byobnet", context: Single | Neighbours = Single()) -> HemorrhageClassifier:  # noqa: B008
    torch.manual_seed(0)
    window = WindowStack(windows=[Window(level=40, width=80)])
    return HemorrhageClassifier(backbone=Backbone(name=name), window=window, context=context).eval()


class Blocks(nn.Module):
    """Two stages that are means of 4 x 4 and 8 x 8 pixels; epidural's logit is their mean, any's its negative."""

    feature_info = ({"module": "fine", "num_chs": 1}, {"module": "coarse", "num_chs": 1})

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.AvgPool2d(4), nn.AvgPool2d(2)
        self.head = nn.Linear(1, len(FINDINGS), bias=False)
        self.head.weight.data = torch.tensor([[1.0], [0], [0], [0], [0], [-1.0]])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.coarse(self.fine(images)).mean((2, 3)))
        return logits


def blocks() -> HemorrhageClassifier:
    one = classifier()
    one.network = Blocks()
    return one


def hu(depth: int = 1, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 80, (2, depth, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.int16)


def test_what_raises_a_logit_is_bright_on_its_map_and_nothing_else() -> None:
    seen = torch.zeros(1, 1, 32, 32, dtype=torch.int16)
    seen[0, 0, 8:16, 16:24] = 80
    maps = ActivationMaps.of(blocks(), depth=1, size=32)
    assert len(maps.stages) == 2
    (epidural,) = maps.maps(seen, FINDINGS.index("epidural"))
    assert epidural.max() == 1
    assert epidural[12, 20] == 1  # the middle
    assert (epidural[8:16, 16:24] > 0.3).all()  # interpolation rounds the corners off
    assert epidural[24:].max() == 0  # farther away than interpolation reaches
    assert epidural[:, :8].max() == 0
    assert maps.maps(seen, FINDINGS.index("any")).max() == 0  # it only lowers this one


def test_the_map_is_the_geometric_mean_of_the_stages() -> None:
    seen = torch.zeros(1, 1, 32, 32, dtype=torch.int16)
    seen[0, 0, 8:12, 16:20] = 80  # all of one fine pixel, a quarter of one coarse pixel
    seen[0, 0, 24:32, 0:8] = 40  # half of four fine pixels, half of one coarse pixel
    (epidural,) = ActivationMaps.of(blocks(), depth=1, size=32).maps(seen, FINDINGS.index("epidural"))
    # The corner: 0.5 / 0.875² of the fine map, which interpolation lowers at a lone pixel, and all of the coarse one;
    # the lone pixel: all of the fine map and less than half of the coarse one. 0.57 < 0.81.
    assert float(epidural[31, 0]) > 0.99
    assert 0.5 < float(epidural[8:12, 16:20].max()) < 0.9


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_any_convolutional_network_has_maps_of_its_stages_from_four_pixels_on(name: str) -> None:
    maps = ActivationMaps.of(classifier(name), depth=1, size=64)
    assert len(maps.stages) == 4
    shown = maps.maps(hu(), FINDINGS.index("any"))
    assert shown.shape == (2, 64, 64)
    assert shown.min() >= 0
    assert shown.amax((1, 2)).tolist() == [1, 1]
    alone = maps.maps(hu()[1:], FINDINGS.index("any"))
    assert torch.allclose(alone[0], shown[1], atol=1e-3)


def test_a_network_of_tokens_is_refused_with_the_way_out() -> None:
    with pytest.raises(NoMaps, match=r"VisionTransformer has no stage with an image .* predict without explain=true"):
        ActivationMaps.of(classifier("test_vit"), depth=1, size=160)


def test_of_slices_fused_late_the_map_is_the_middle_ones() -> None:
    model = classifier(context=Neighbours(slices=3))
    maps = ActivationMaps.of(model, depth=3, size=64)
    assert isinstance(model.network, LateFusion)
    of_each = model.network.head.weight.data.unflatten(1, (3, -1))
    middle = of_each[:, 1].clone()
    of_each[:, 1] = 0
    assert maps.maps(hu(3), 0).max() == 0  # the neighbours' evidence lies on other slices
    of_each[:] = 0
    of_each[:, 1] = middle
    first = maps.maps(hu(3), 0)
    other = hu(3)
    other[:, [0, 2]] = 0
    assert first.amax((1, 2)).tolist() == [1, 1]
    assert torch.allclose(maps.maps(other, 0), first, atol=1e-5)


def test_of_stacked_slices_there_is_one_map() -> None:
    model = classifier(context=Neighbours(slices=3, fusion="stack"))
    assert ActivationMaps.of(model, depth=3, size=64).maps(hu(3), 0).shape == (2, 64, 64)


def test_maps_leave_the_classifier_as_it_was() -> None:
    model = classifier()
    before = model(hu())
    ActivationMaps.of(model, depth=1, size=64).maps(hu(), 0)
    assert torch.equal(model(hu()), before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
