"""One slice, or a slice between its neighbours."""

from pathlib import Path

import pytest
import timm
import torch

from ich.ct.geometry import FullGeometry, HeadGeometry, SeriesGeometry
from ich.ct.windowing import Window, WindowStack
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import LateFusion, Neighbours, Single

TWO_WINDOWS = [Window(level=40, width=80), Window(level=600, width=2800)]


def classifier(context: Single | Neighbours, name: str = "test_byobnet") -> HemorrhageClassifier:
    torch.manual_seed(0)
    window = WindowStack(windows=TWO_WINDOWS)
    return HemorrhageClassifier(backbone=Backbone(name=name), window=window, context=context).eval()


def hu(depth: int) -> torch.Tensor:
    return torch.randint(-100, 200, (2, depth, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int16)


@pytest.mark.parametrize("fusion", ["late", "stack"])
@pytest.mark.parametrize("slices", [3, 5])
@pytest.mark.parametrize("name", ["test_byobnet", "mobilenetv2_100"])
def test_slices_in_order_become_six_logits_and_each_of_them_counts(name: str, slices: int, fusion: str) -> None:
    model = classifier(Neighbours(slices=slices, fusion=fusion), name)  # type: ignore[arg-type]
    seen = hu(slices)
    logits = model(seen)
    assert logits.shape == (2, 6)
    for place in range(slices):
        other = seen.clone()
        other[:, place] = 0
        assert not torch.allclose(model(other), logits)
    assert not torch.allclose(model(seen.flip(1)), logits)  # below is not above


def test_late_fusion_gives_every_slice_to_one_encoder() -> None:
    model = classifier(Neighbours(slices=3))
    assert isinstance(model.network, LateFusion)
    seen = hu(3)
    features = [model.network.encoder(model.window(seen[:, place : place + 1])) for place in range(3)]
    by_hand = model.network.head(torch.cat(features, dim=1))
    assert torch.allclose(model(seen), by_hand, atol=1e-5)
    weights = [parameter.shape for parameter in model.network.encoder.parameters() if parameter.ndim == 4]
    assert weights[0][1] == len(TWO_WINDOWS)


def test_a_stack_has_a_channel_for_every_window_of_every_slice() -> None:
    model = classifier(Neighbours(slices=3, fusion="stack"))
    first = next(parameter for parameter in model.network.parameters() if parameter.ndim == 4)
    assert first.shape[1] == 3 * len(TWO_WINDOWS)


def test_a_pretrained_stem_sees_three_equal_slices_of_a_stack_as_it_saw_one(tmp_path: Path) -> None:
    donor = timm.create_model("test_byobnet", in_chans=3)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    backbone = Backbone(name="test_byobnet", weights=tmp_path / "weights.pth")
    stem = Neighbours(slices=3, fusion="stack").create(backbone, 3).state_dict()["stem.conv.weight"]
    assert torch.allclose(stem.unflatten(1, (3, 3)).sum(1), donor.state_dict()["stem.conv.weight"], atol=1e-6)


def test_a_late_encoder_takes_local_weights(tmp_path: Path) -> None:
    donor = timm.create_model("test_byobnet", in_chans=3)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    network = Neighbours().create(Backbone(name="test_byobnet", weights=tmp_path / "weights.pth"), 3)
    assert torch.equal(network.state_dict()["encoder.stem.conv.weight"], donor.state_dict()["stem.conv.weight"])


@pytest.mark.parametrize("fusion", ["late", "stack"])
def test_the_head_can_start_at_the_prevalence(fusion: str) -> None:
    model = classifier(Neighbours(fusion=fusion))  # type: ignore[arg-type]
    prevalence = torch.tensor([0.01, 0.05, 0.04, 0.05, 0.06, 0.14])
    model.start_at(prevalence)
    model.network.get_classifier().weight.data.zero_()  # type: ignore[operator]
    assert torch.allclose(torch.sigmoid(model(hu(3)))[0], prevalence, atol=1e-6)


@pytest.mark.parametrize("slices", [2, 4])
def test_an_even_number_of_slices_has_no_middle(slices: int) -> None:
    with pytest.raises(ValueError, match=f"slices={slices}: .* odd"):
        Neighbours(slices=slices)


def test_neighbours_are_aligned_by_one_head_a_series() -> None:
    chosen = HeadGeometry(size=96, field_mm=230.0)
    assert Neighbours().geometry(chosen) == SeriesGeometry(size=96, field_mm=230.0)
    assert Single().geometry(chosen) == chosen
    assert Neighbours().geometry(FullGeometry(size=96)) == FullGeometry(size=96)
