"""timm networks behind an explicit signature."""

from pathlib import Path

import pytest
import timm
import torch

from ich.model.backbone import Backbone, BadWeights, NoPretrained, UnknownHead, start_at


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2_100", "efficientnet_b2", "test_byobnet"])
@pytest.mark.parametrize("in_chans", [1, 3, 5])
def test_any_number_of_channels_becomes_six_logits(name: str, in_chans: int) -> None:
    network = Backbone(name=name).create(in_chans).eval()
    assert network(torch.zeros(2, in_chans, 64, 64)).shape == (2, 6)


def test_an_unknown_network_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"timm has no network 'resnet5O'; near: .*resnet50"):
        Backbone(name="resnet5O")


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no weights file"):
        Backbone(name="resnet18", weights=tmp_path / "none.safetensors")


def test_local_weights_are_loaded_without_their_head(tmp_path: Path) -> None:
    donor = timm.create_model("test_byobnet", num_classes=1000)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    network = Backbone(name="test_byobnet", weights=tmp_path / "weights.pth").create(3)
    stem = "stem.conv.weight"
    assert torch.equal(network.state_dict()[stem], donor.state_dict()[stem])
    assert network.get_classifier().weight.shape[0] == 6


def test_pretrained_weights_get_their_own_mean_repeated_over_windows(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_byobnet").state_dict(), tmp_path / "weights.pth")
    mean, std = Backbone(name="test_byobnet", weights=tmp_path / "weights.pth").normalization(5)
    assert mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406, 0.485, 0.456])
    assert std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225, 0.229, 0.224])


def test_from_scratch_nothing_is_normalized() -> None:
    mean, std = Backbone(name="resnet18").normalization(3)
    assert mean.unique().tolist() == [0.0]
    assert std.unique().tolist() == [1.0]


def test_a_head_started_at_the_prevalence_answers_it() -> None:
    network = Backbone(name="test_byobnet").create(3)
    prevalence = torch.tensor([0.01, 0.05, 0.04, 0.05, 0.06, 0.14])
    start_at(network, prevalence)
    network.get_classifier().weight.data.zero_()
    assert torch.allclose(torch.sigmoid(network.eval()(torch.rand(1, 3, 64, 64)))[0], prevalence, atol=1e-6)


def test_a_head_of_another_kind_cannot_start_there_and_says_so() -> None:
    network = Backbone(name="test_byobnet").create(3)
    network.head.fc = torch.nn.Sequential(torch.nn.Linear(4, 6))
    with pytest.raises(
        UnknownHead, match=r"a Sequential and no linear layer with a bias.*give model\.prior_bias=false"
    ):
        start_at(network, torch.full((6,), 0.1))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_byobnet").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(BadWeights, match=r"it holds \d+ of the .* tensors of ResNet; it is of another network"):
        Backbone(name="resnet18", weights=tmp_path / "weights.pth").create(3)


def test_a_text_is_no_weights_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("no weights")
    with pytest.raises(BadWeights, match="no weights that can be read safely"):
        Backbone(name="test_byobnet", weights=tmp_path / "weights.pth").create(3)


@pytest.mark.parametrize(
    ("name", "size", "own"),
    [("vit_tiny_patch16_224", 64, 224), ("swin_tiny_patch4_window7_224", 256, 224), ("beit_base_patch16_224", 96, 224)],
)
def test_a_network_of_one_image_size_refuses_another_and_says_its_own(name: str, size: int, own: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} takes images of {own} x {own} pixels .*; give geometry\.size={own}"):
        Backbone(name=name).check_size(size)
    Backbone(name=name).check_size(own)


@pytest.mark.parametrize("size", [64, 96, 511])
def test_a_convolutional_network_takes_any_size(size: int) -> None:
    Backbone(name="resnet18").check_size(size)


def test_weights_that_cannot_be_fetched_are_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(address: str, timeout: float) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        NoPretrained, match=r"timm/resnet18\.a1_in1k could not be fetched \(no route.*model\.weights=FILE"
    ):
        Backbone(name="resnet18", pretrained=True).create(3)


def test_a_tag_or_weights_that_there_are_not_are_refused_at_once() -> None:
    with pytest.raises(RuntimeError, match=r"Invalid pretrained tag \(nope\) for resnet50"):
        Backbone(name="resnet50.nope")
    with pytest.raises(ValueError, match="timm has no weights of coatnet_0_224; give weights=FILE"):
        Backbone(name="coatnet_0_224", pretrained=True)
