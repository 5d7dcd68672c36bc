"""Windows: HU to grey in [0, 1], as part of the network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn

MAX_LOG_RATIO = 10.0
"""A learned width stays within exp(10) = 22,026 times its first, where float32 still works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Level (the middle) and width, in HU."""

    level: float
    width: Annotated[float, Gt(0)]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"{self} is no window: its level is a number and its width a positive one, in HU")

    def __str__(self) -> str:
        return f"L{self.level:.5g} W{self.width:.5g}"


def apply_window(
    hu: Float[Tensor, "*batch height width"], *, level: float | Tensor, width: float | Tensor
) -> Float[Tensor, "*windows height width"]:
    """Map level - width/2 .. level + width/2 HU to 0 .. 1 and clip the rest (DICOM PS3.3 C.11.2.1.2, linear)."""
    return ((hu - level) / width + 0.5).clamp(0, 1)


class WindowStack(nn.Module):
    """HU [B, D, H, W] to grey [B, D·C, H, W] in [0, 1]: all C windows of the first slice, then all of the next.

    With `learned`, training moves levels and widths from these. Steps of 1e-3 HU would move nothing, so a level is kept
    as an offset in units of its first width, and a width as the logarithm of its ratio to the first. Both begin at 0:
    weight decay pulls to the given windows, and a width stays positive whatever a step does.
    """

    level: Tensor
    width: Tensor

    def __init__(self, *, windows: Sequence[Window], learned: bool = False) -> None:
        super().__init__()
        if not windows:
            raise ValueError("a stack has at least one window: {level: 40, width: 80}")
        self.learned = learned
        self.num_channels = len(windows)
        self.register_buffer("level", torch.tensor([float(window.level) for window in windows]))
        self.register_buffer("width", torch.tensor([float(window.width) for window in windows]))
        if learned:
            self.level_offset = nn.Parameter(torch.zeros(len(windows)))
            self.log_width_ratio = nn.Parameter(torch.zeros(len(windows)))

    def current(self) -> tuple[Float[Tensor, " windows"], Float[Tensor, " windows"]]:
        """Levels and widths in HU as they are now."""
        if not self.learned:
            return self.level, self.width
        ratio = self.log_width_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        return self.level + self.level_offset * self.width, self.width * ratio

    def forward(self, hu: Num[Tensor, "batch depth height width"]) -> Float32[Tensor, "batch channels height width"]:
        # Float32 also under autocast, which leaves these operations alone: bfloat16 misses whole HU from 257 on.
        level, width = (values.float()[:, None, None] for values in self.current())
        return apply_window(hu.float().unsqueeze(2), level=level, width=width).flatten(1, 2)

    def windows(self) -> list[Window]:
        """The windows as they are now."""
        levels, widths = (values.tolist() for values in self.current())
        return [Window(level=level, width=width) for level, width in zip(levels, widths, strict=True)]

    def describe(self) -> str:
        """Such as "L40 W80, L80 W200, L600 W2800"."""
        return ", ".join(map(str, self.windows())) + (" (learned)" if self.learned else "")
