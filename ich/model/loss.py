"""What a training makes small: from logits [B, 6] and labels [B, 6] to one number, in float32 also under autocast."""

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from ich.findings import WEIGHTS


class BCE(nn.Module):
    """Binary cross entropy, every label once (the thesis)."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, logits: Float[Tensor, "batch 6"], labels: Num[Tensor, "batch 6"]) -> Float[Tensor, ""]:
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())


class WeightedBCE(nn.Module):
    """The challenge's metric as a loss: any twice, divided by 7 (`ich.metric.weighted_log_loss` of a batch)."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, logits: Float[Tensor, "batch 6"], labels: Num[Tensor, "batch 6"]) -> Float[Tensor, ""]:
        losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none").mean(dim=0)
        # Weights as numbers, not as a tensor: it would have to follow the logits from device to device.
        weighted = [weight * loss for weight, loss in zip(WEIGHTS, losses.unbind(), strict=True)]
        return sum(weighted[1:], weighted[0]) / sum(WEIGHTS)


class Focal(nn.Module):
    """Cross entropy times (1 - p)^gamma, p the probability of the truth: easy slices count less. gamma 0 is BCE.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017, equation 4 (without its alpha).
    """

    def __init__(self, *, gamma: Annotated[float, Ge(0)] = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Float[Tensor, "batch 6"], labels: Num[Tensor, "batch 6"]) -> Float[Tensor, ""]:
        toward_truth = logits.float() * (2 * labels.float() - 1)
        # In logarithms, because the gradient of (1 - p)^gamma is infinite at p = 1 for gamma < 1.
        hardness = (self.gamma * F.logsigmoid(-toward_truth)).exp()
        return -(hardness * F.logsigmoid(toward_truth)).mean()
