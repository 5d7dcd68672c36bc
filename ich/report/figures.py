"""Pictures: slices in windows, and what a network said of them."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int16, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ich.ct.windowing import Window, apply_window
from ich.findings import ANY, KINDS

BRAIN, SUBDURAL, BONE = Window(level=40, width=80), Window(level=80, width=200), Window(level=600, width=2800)
THREE_WINDOWS = {"brain  L40 W80": BRAIN, "subdural  L80 W200": SUBDURAL, "bone  L600 W2800": BONE}
INCH = 1.9
"""Width of one slice."""
CAPTION_WIDTH = 26
"""Characters that fit above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One slice with what stands above it."""

    hu: Int16[np.ndarray, "height width"]
    caption: str


def windows_figure(pictures: Sequence[Picture]) -> Figure:
    """A column a slice, a row a window: brain, subdural, bone."""
    figure = Figure(figsize=(INCH * len(pictures) + 0.3, INCH * len(THREE_WINDOWS) + 0.3), layout="compressed")
    for row, (axes, (name, window)) in enumerate(
        zip(figure.subplots(len(THREE_WINDOWS), len(pictures), squeeze=False), THREE_WINDOWS.items(), strict=True)
    ):
        for one, picture in zip(axes, pictures, strict=True):
            _show(one, picture.hu, window, picture.caption if row == 0 else "")
        axes[0].set_ylabel(name, fontsize=9)
    return figure


def sheet_figure(rows: Mapping[str, Sequence[Picture]]) -> Figure:
    """Rows of slices in the brain window, each row under its name."""
    width = max(len(pictures) for pictures in rows.values())
    figure = Figure(figsize=(INCH * width + 0.3, (INCH + 0.45) * len(rows)), layout="compressed")
    for axes, (name, pictures) in zip(figure.subplots(len(rows), width, squeeze=False), rows.items(), strict=True):
        for one in axes:
            one.set_axis_off()
        for one, picture in zip(axes, pictures, strict=False):
            one.set_axis_on()
            _show(one, picture.hu, BRAIN, picture.caption)
        axes[0].set_axis_on()
        axes[0].set_ylabel(name, fontsize=9)
    return figure


def hardest_and_easiest(
    labels: UInt8[np.ndarray, "n 6"],
    probabilities: Float64[np.ndarray, "n 6"],
    patients: Sequence[str],
    *,
    count: int = 6,
) -> dict[str, np.ndarray]:
    """Places in the tables for a sheet: the surest finds, the worst misses, the worst false alarms (label any).

    A patient stands in a row once: neighbouring slices look alike.
    """
    p_any = probabilities[:, ANY]
    positive, negative = (np.flatnonzero(labels[:, ANY] == value) for value in (1, 0))
    ranked = {
        "found": positive[np.argsort(-p_any[positive], kind="stable")],
        "missed most": positive[np.argsort(p_any[positive], kind="stable")],
        "false alarms": negative[np.argsort(-p_any[negative], kind="stable")],
    }
    of = np.asarray(patients)
    return {
        name: places[np.sort(np.unique(of[places], return_index=True)[1])][:count] for name, places in ranked.items()
    }


def caption(labels: UInt8[np.ndarray, " 6"], probabilities: Float64[np.ndarray, " 6"]) -> str:
    """The kinds that are there, and the probability of any."""
    kinds = [kind for kind, label in zip(KINDS, labels, strict=False) if label]
    return f"{textwrap.fill(', '.join(kinds) or 'none', CAPTION_WIDTH)}\np(any) {probabilities[ANY]:.2f}"


def _show(axes: Axes, hu: np.ndarray, window: Window, title: str) -> None:
    grey = apply_window(torch.from_numpy(hu).float(), level=window.level, width=window.width)
    axes.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=8.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
