"""timm backbones by name, behind an explicit signature. The only importer of timm."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import timm
import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from ich.errors import InputError
from ich.findings import FINDINGS

PRIOR_WEIGHT = 0.1
"""Times the head's first weights where it starts at the prevalence, so that the first loss is near the floor."""


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
        network = timm.create_model(
            self.name,
            pretrained=self.pretrained or self.weights is not None,
            pretrained_cfg_overlay={"file": str(self.weights)} if self.weights else None,
            in_chans=in_chans,
            num_classes=len(FINDINGS),
            drop_rate=self.drop_rate,
        )
        return network.to(memory_format=torch.channels_last)

    def normalization(self, in_chans: int) -> tuple[Float[Tensor, "in_chans 1 1"], Float[Tensor, "in_chans 1 1"]]:
        """Mean and standard deviation that the weights expect, repeated over the channels; 0 and 1 from scratch."""
        if not (self.pretrained or self.weights):
            return torch.zeros(in_chans, 1, 1), torch.ones(in_chans, 1, 1)
        config = timm.get_pretrained_cfg(self.name)
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in (config.mean, config.std))
        which = torch.arange(in_chans) % len(mean)
        return mean[which].view(-1, 1, 1), std[which].view(-1, 1, 1)


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
