"""How many slices a prediction looks at, and how they meet in the network."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from ich.ct.geometry import Geometry
from ich.findings import FINDINGS
from ich.model.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One slice alone (D = 1): a probability depends on its file and on nothing else."""

    depth: ClassVar[int] = 1

    def create(self, backbone: Backbone, num_channels: int) -> nn.Module:
        """The network of one slice: [B, num_channels, S, S] to logits [B, 6]."""
        return backbone.create(num_channels)

    def geometry(self, chosen: Geometry) -> Geometry:
        """The head is found on each slice alone."""
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """A slice and those next to it in its series, `slices` of them (D), itself in the middle.

    `late` gives each slice to one encoder and their features to one linear layer; `stack` makes every window of every
    slice a channel of one network.
    """

    slices: Annotated[int, Ge(3)] = 3
    fusion: Literal["late", "stack"] = "late"

    def __post_init__(self) -> None:
        if self.slices % 2 == 0:
            raise ValueError(f"slices={self.slices}: as many neighbours below as above and the slice itself are odd")

    @property
    def depth(self) -> int:
        return self.slices

    def create(self, backbone: Backbone, num_channels: int) -> nn.Module:
        """The network of D slices: [B, D * num_channels, S, S] to logits [B, 6]."""
        if self.fusion == "stack":
            return backbone.create(self.slices * num_channels)
        return LateFusion(backbone, num_channels, depth=self.slices)

    def geometry(self, chosen: Geometry) -> Geometry:
        """One head for all slices of a series: neighbours stay aligned."""
        return chosen.for_series()


class LateFusion(nn.Module):
    """One encoder for D slices, whose features stand side by side before one linear layer."""

    def __init__(self, backbone: Backbone, num_channels: int, *, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.encoder, num_features = backbone.create_encoder(num_channels)
        self.head = nn.Linear(depth * num_features, len(FINDINGS))

    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Float[Tensor, "batch 6"]:
        """Channels are all windows of the first slice, then all of the next."""
        each = images.unflatten(1, (self.depth, -1)).flatten(0, 1)
        features: Tensor = self.encoder(each.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.head(features.unflatten(0, (-1, self.depth)).flatten(1))
        return logits

    def get_classifier(self) -> nn.Module:
        """timm's word for the last layer."""
        return self.head
