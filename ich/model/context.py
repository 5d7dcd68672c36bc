"""How many slices a prediction looks at, and how they meet in the network."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ich.model.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One slice alone (D = 1): a probability depends on its file and on nothing else."""

    depth: ClassVar[int] = 1

    def create(self, backbone: Backbone, num_channels: int) -> nn.Module:
        """The network of one slice: [B, num_channels, S, S] to logits [B, 6]."""
        return backbone.create(num_channels)
