"""The whole way from HU to logits: windows, normalization, network."""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from ich.ct.windowing import WindowStack
from ich.model.backbone import Backbone, start_at
from ich.model.context import Neighbours, Single


class HemorrhageClassifier(nn.Module):
    """HU [B, D, S, S], int16 or float, to six logits [B, 6] in the order of `ich.findings.FINDINGS`.

    Windows are part of the model: they travel in the checkpoint, and training, validation and prediction share them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, backbone: Backbone, window: WindowStack, context: Single | Neighbours) -> None:
        super().__init__()
        self.window = window
        self.network = context.create(backbone, window.num_channels)
        mean, std = backbone.normalization(context.depth * window.num_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, hu: Num[Tensor, "batch depth height width"]) -> Float[Tensor, "batch 6"]:
        images = (self.window(hu) - self.mean) / self.std
        logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def start_at(self, prevalence: Float[Tensor, " 6"]) -> None:
        """Let the untrained head answer the prevalence of the training fold."""
        start_at(self.network, prevalence)
