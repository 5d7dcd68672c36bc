"""timm backbones by name, behind an explicit signature. The only importer of timm."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated

import timm
import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from timm.models import load_state_dict
from torch import Tensor, nn

from ich.errors import InputError
from ich.findings import FINDINGS

PRIOR_WEIGHT = 0.1
"""Times the head's first weights where it starts at the prevalence, so that the first loss is near the floor."""


MOST = 0.9
"""Of a network's tensors must stand in a file of its weights; the head and the statistics of some norms need not."""


class BadWeights(InputError):
    """A file that holds no weights of this network."""


class UnknownHead(InputError):
    """A network whose last layer is of another kind than is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A timm network with six logits, not yet made: its input channels depend on window and context.

    `pretrained=True` downloads timm's weights; `weights` names a local file of them instead (.safetensors, or .pth read
    with `weights_only`). `prior_bias` lets the head start at the training fold's prevalence.
    """

    name: str
    pretrained: bool = False
    weights: Path | None = None
    drop_rate: Annotated[float, Ge(0), Lt(1)] = 0.0
    prior_bias: bool = True

    def __post_init__(self) -> None:
        if not timm.is_model(self.name.split(".")[0]):
            near = difflib.get_close_matches(self.name, timm.list_models(), n=3)
            raise ValueError(f"timm has no network {self.name!r}" + (f"; near: {', '.join(near)}" if near else ""))
        if self.weights is not None and not self.weights.is_file():
            raise ValueError(f"there is no weights file {self.weights}")

    def create(self, in_chans: int) -> nn.Module:
        """The network: [B, in_chans, S, S] to logits [B, 6]; pretrained stems are adapted to `in_chans` by timm."""
        return self._create(in_chans, num_classes=len(FINDINGS))

    def create_encoder(self, in_chans: int) -> tuple[nn.Module, int]:
        """The network without its head: [B, in_chans, S, S] to pooled features [B, F]; and F."""
        encoder = self._create(in_chans, num_classes=0)
        return encoder, int(encoder.head_hidden_size)  # type: ignore[arg-type]  # of every timm network

    def _create(self, in_chans: int, *, num_classes: int) -> nn.Module:
        held = _read_weights(self.weights) if self.weights else None
        network = timm.create_model(
            self.name,
            pretrained=self.pretrained or self.weights is not None,
            pretrained_cfg_overlay={"file": str(self.weights)} if self.weights else None,
            in_chans=in_chans,
            num_classes=num_classes,
            drop_rate=self.drop_rate,
        )
        if held is not None:
            _refuse_other_weights(self.weights, held, network)
        return network.to(memory_format=torch.channels_last)

    def normalization(self, in_chans: int) -> tuple[Float[Tensor, "in_chans 1 1"], Float[Tensor, "in_chans 1 1"]]:
        """Mean and standard deviation that the weights expect, repeated over the channels; 0 and 1 from scratch."""
        if not (self.pretrained or self.weights):
            return torch.zeros(in_chans, 1, 1), torch.ones(in_chans, 1, 1)
        config = timm.get_pretrained_cfg(self.name)
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in (config.mean, config.std))
        which = torch.arange(in_chans) % len(mean)
        return mean[which].view(-1, 1, 1), std[which].view(-1, 1, 1)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        held: dict[str, Tensor] = load_state_dict(path, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadWeights(f"{path}: no weights that can be read safely") from error
    return held


def _refuse_other_weights(path: Path | None, held: Collection[str], network: nn.Module) -> None:
    """timm passes over whatever does not fit: weights of another network would leave this one as it was born."""
    own = network.state_dict()
    fitting = sum(name in held for name in own)
    if fitting < MOST * len(own):
        named = type(network).__name__
        raise BadWeights(f"{path}: it holds {fitting} of the {len(own)} tensors of {named}; it is of another network")


def start_at(network: nn.Module, prevalence: Float[Tensor, " 6"]) -> None:
    """Let an untrained head answer the prevalence: its bias becomes the log odds, its weights a tenth."""
    head = network.get_classifier()  # type: ignore[operator]  # a method of every timm network
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise UnknownHead(
            f"the head of {type(network).__name__} is a {type(head).__name__} and no linear layer with a bias, so it "
            "cannot start at the prevalence; give model.prior_bias=false"
        )
    with torch.no_grad():
        head.weight.mul_(PRIOR_WEIGHT)
        head.bias.copy_(torch.logit(prevalence))
