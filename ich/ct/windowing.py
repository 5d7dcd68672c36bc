"""Windows: HU to grey in [0, 1], as part of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float, Num
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Level (the middle) and width in HU."""

    level: float
    width: Annotated[float, Gt(0)]

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"a window's width is positive, not {self.width}")

    def __str__(self) -> str:
        return f"L{self.level:g} W{self.width:g}"


def apply_window(
    hu: Float[Tensor, "*batch height width"], *, level: float | Tensor, width: float | Tensor
) -> Float[Tensor, "*out height width"]:
    """Map level - width/2 .. level + width/2 HU to 0 .. 1 and clip what lies outside (DICOM PS3.3 C.11.2.1.2, linear)."""
    return ((hu - level) / width + 0.5).clamp(0, 1)


class WindowStack(nn.Module):
    """HU [B, D, H, W] to grey [B, D·C, H, W] in [0, 1]: all C windows of the first slice, then all of the next.

    With `learned`, levels and widths are trained from where they start. An optimizer that moves weights by 1e-3 a step would never move
    HU by a visible amount, so a level is kept as an offset in units of its first width, and a width as the logarithm of its ratio to the
    first: both start at 0, and a width stays positive whatever a step does.
    """

    level: Tensor
    width: Tensor

    def __init__(self, *, windows: Sequence[Window], learned: bool = False) -> None:
        super().__init__()
        if not windows:
            raise ValueError("a stack has at least one window")
        self.learned = learned
        self.num_channels = len(windows)
        self.register_buffer("level", torch.tensor([float(window.level) for window in windows]))
        self.register_buffer("width", torch.tensor([float(window.width) for window in windows]))
        if learned:
            self.level_offset = nn.Parameter(torch.zeros(len(windows)))
            self.log_width_ratio = nn.Parameter(torch.zeros(len(windows)))

    def current(self) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        """Levels and widths in HU as they are now."""
        if not self.learned:
            return self.level, self.width
        # exp(±10) is 22,026 times: beyond it a width would leave float32's useful range.
        return self.level + self.level_offset * self.width, self.width * self.log_width_ratio.clamp(-10, 10).exp()

    def forward(self, hu: Num[Tensor, "batch depth height width"]) -> Float[Tensor, "batch channels height width"]:
        # bfloat16 cannot hold whole HU above 256, so autocast stays out of here.
        with torch.autocast(hu.device.type, enabled=False):
            level, width = (values.view(1, 1, -1, 1, 1) for values in self.current())
            return apply_window(hu.float()[:, :, None], level=level, width=width).flatten(1, 2)

    def describe(self) -> str:
        """Such as "L40 W80, L80 W200, L600 W2800"."""
        level, width = (values.tolist() for values in self.current())
        names = ", ".join(str(Window(level=round(one, 1), width=round(other, 1))) for one, other in zip(level, width, strict=True))
        return names + (" (learned)" if self.learned else "")
