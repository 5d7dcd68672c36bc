"""One slice on its way from file to network, a figure a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int16, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ich.ct.geometry import MAX_SIZE, MIN_SIZE, FullGeometry, HeadGeometry, Prepared
from ich.ct.windowing import Window, apply_window
from ich.report.charts import DARK, GREY, INK, WIDTH, styled
from ich.report.figures import BRAIN

NAMES: dict[tuple[float, float], str] = {
    (40, 80): "brain",
    (80, 200): "subdural",
    (600, 2800): "bone",
    (40, 375): "soft tissue",
    (32, 8): "grey-white",
}
"""The thesis's windows."""
COLUMNS = 6
"""Of the gallery: the longest name of a kind fits under a picture."""
MARK = "#f2b705"
"""On grey pictures: also far brighter than what it lies on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One slice and what is made of it; `spacing_mm` is (1, 1) where `unit` is px."""

    stored: Integer[np.ndarray, "height width"]
    hu: Int16[np.ndarray, "height width"]
    spacing_mm: tuple[float, float]
    unit: str
    prepared: Prepared
    whole: Int16[np.ndarray, "side side"]


def follow(
    stored: Integer[np.ndarray, "height width"],
    hu: Int16[np.ndarray, "height width"],
    spacing_mm: tuple[float, float] | None,
    geometry: HeadGeometry | FullGeometry,
) -> Followed:
    """A slice prepared by a geometry, and the whole of it at the same scale."""
    prepared = geometry.prepare(hu, spacing_mm)
    spacing = spacing_mm or (1.0, 1.0)
    side = max(hu.shape[0] * spacing[0], hu.shape[1] * spacing[1])
    size = round(side / (prepared.warp.step_row * spacing[0]))
    whole = FullGeometry(size=min(max(size, MIN_SIZE), MAX_SIZE)).prepare(hu, spacing)
    return Followed(
        stored=stored,
        hu=hu,
        spacing_mm=spacing,
        unit="mm" if spacing_mm else "px",
        prepared=prepared,
        whole=whole.hu,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A square in the gallery with what stands under it."""

    hu: Int16[np.ndarray, "side side"]
    caption: str


@styled
def gallery_figure(rows: Mapping[str, Sequence[Shown]]) -> Figure:
    """Slices in the brain window, each kind from a line of its own on, under its name."""
    lines = [
        (name if start == 0 else "", row[start : start + COLUMNS])
        for name, row in rows.items()
        for start in range(0, len(row), COLUMNS)
    ]
    figure = Figure(figsize=(WIDTH, (WIDTH / COLUMNS + 0.5) * len(lines)), layout="constrained")
    for every, (name, line) in zip(figure.subplots(len(lines), COLUMNS, squeeze=False), lines, strict=True):
        for axes in every:
            axes.set_axis_off()
        for axes, one in zip(every, line, strict=False):
            axes.set_axis_on()
            axes.imshow(_grey(one.hu, BRAIN), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            _bare(axes, "")
            axes.set_xlabel(one.caption, fontsize=7)
        every[0].set_title(name, fontsize=10, weight="bold")
    return figure


@styled
def raw_figure(one: Followed, said: str) -> Figure:
    """The stored values as they are, and how often each stands in the slice."""
    low, high = int(one.stored.min()), int(one.stored.max())
    figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    left.imshow(one.stored, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="nearest")
    _bare(left, f"stored values {low:,} (black) to {high:,} (white)")
    _histogram(right, one.stored, said)
    return figure


@styled
def hu_figure(one: Followed, windows: Sequence[Window]) -> Figure:
    """The slice in HU, and its histogram with what each window spans."""
    figure = Figure(figsize=(WIDTH, 3.4 + 0.2 * len(windows)), layout="constrained")
    axes = figure.subplot_mosaic(
        [["slice", "spans"], ["slice", "histogram"]],
        width_ratios=(1, 1.15),
        height_ratios=(0.2 * len(windows), 2.6),
    )
    axes["slice"].imshow(one.hu, cmap="gray", vmin=-1024, vmax=2000, interpolation="nearest")
    _bare(axes["slice"], "-1,024 HU (black) to 2,000 HU (white)")
    _histogram(axes["histogram"], one.hu, "HU")
    ends = (-1124, max(2100, int(one.hu.max()) + 100))
    spans = axes["spans"]
    for place, window in enumerate(windows):
        low, high = np.clip([window.level - window.width / 2, window.level + window.width / 2], *ends).tolist()
        spans.plot([low, high], [place, place], color=INK, lw=3, solid_capstyle="butt", marker="|", ms=7)
    spans.set_yticks(range(len(windows)), [_name(window) for window in windows], fontsize=8)
    spans.set_ylim(len(windows) - 0.4, -0.6)
    spans.set_xticks([])
    spans.tick_params(length=0)
    spans.spines[:].set_visible(False)
    for one_axes in (spans, axes["histogram"]):
        one_axes.set_xlim(*ends)
    return figure


@styled
def windows_figure(one: Followed, windows: Sequence[Window]) -> Figure:
    """The slice in every window."""
    columns = min(3, len(windows))
    rows = -(-len(windows) // columns)
    side = WIDTH / 3
    figure = Figure(figsize=(side * columns, (side + 0.2) * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every:
        axes.set_axis_off()
    for axes, window in zip(every, windows, strict=False):
        axes.imshow(_grey(one.hu, window), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        half = window.width / 2
        _bare(axes, f"{_name(window)}\n{window.level - half:,.5g} to {window.level + half:,.5g} HU")
    return figure


@styled
def steps_figure(one: Followed, window: Window) -> Figure:
    """Resampled, cropped, padded, rescaled: at one scale, so that sizes can be compared."""
    figure = Figure(figsize=(WIDTH, 8.4), layout="constrained")
    resampled, cropped, padded, rescaled = figure.subplots(2, 2).ravel()
    warp, unit = one.prepared.warp, one.unit
    step = warp.step_row * one.spacing_mm[0]
    source, square = _source_box(one), _square_box(one)
    inside = (
        max(source[0], square[0]),
        min(source[1], square[1]),
        min(source[2], square[2]),
        max(source[3], square[3]),
    )
    _lay(resampled, one.whole, window, _whole_box(one))
    _outline(resampled, square, "-")
    height, width = one.hu.shape
    spacing = " x ".join(dict.fromkeys(f"{side:.3g}" for side in one.spacing_mm))
    pixels = f"{height} x {width} pixels of {spacing} {unit}"
    _bare(resampled, f"resampled: {pixels} become\n{len(one.whole)} x {len(one.whole)} of {step:.3g} {unit}")
    _lay(cropped, one.prepared.hu, window, square, clip=inside)
    _bare(cropped, "cropped: what of the slice lies in the square" + _round_what(one))
    _lay(padded, one.prepared.hu, window, square)
    _hatch(padded, square, inside)
    side = f"{warp.size} x {warp.size} pixels" + (f", {warp.field_mm:.4g} mm" if warp.field_mm else "")
    _bare(padded, f"padded: air (hatched) fills it up,\n{side}")
    shown = _lay(rescaled, one.prepared.hu, window, square)
    _bare(rescaled, f"rescaled: {_name(window)} becomes 0 to 1,\nas the network sees it")
    figure.colorbar(shown, ax=rescaled, shrink=0.6, ticks=[0, 0.5, 1], aspect=30, pad=0.02)
    boxes = np.array([source, square, _whole_box(one)])
    for axes in (resampled, cropped, padded, rescaled):
        axes.set_xlim(boxes[:, 0].min() - 3, boxes[:, 1].max() + 3)
        axes.set_ylim(boxes[:, 2].max() + 3, boxes[:, 3].min() - 3)
    return figure


Box = tuple[float, float, float, float]
"""Left, right, bottom, top in millimetres of the source slice, as matplotlib's `extent`."""


def _round_what(one: Followed) -> str:
    if not one.prepared.warp.head_found:
        return "\nround the middle of the slice"
    return "\nround the head" + (", which is larger than the field" if one.prepared.warp.widened else "")


def _source_box(one: Followed) -> Box:
    height, width = one.hu.shape
    row, column = one.spacing_mm
    return -0.5 * column, (width - 0.5) * column, (height - 0.5) * row, -0.5 * row


def _square_box(one: Followed) -> Box:
    warp, (row, column) = one.prepared.warp, one.spacing_mm
    top, left = (warp.origin_row - warp.step_row / 2) * row, (warp.origin_column - warp.step_column / 2) * column
    return left, left + warp.size * warp.step_column * column, top + warp.size * warp.step_row * row, top


def _whole_box(one: Followed) -> Box:
    left, right, bottom, top = _source_box(one)
    half = max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, x + half, y + half, y - half


def _lay(axes: Axes, hu: Int16[np.ndarray, "_ _"], window: Window, box: Box, clip: Box | None = None) -> AxesImage:
    shown = axes.imshow(_grey(hu, window), cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=box)
    if clip:
        shown.set_clip_path(_rectangle(axes, clip, fill=False, lw=0))
    return shown


def _outline(axes: Axes, box: Box, style: str) -> None:
    _rectangle(axes, box, fill=False, edgecolor=MARK, lw=1.6, ls=style)


def _hatch(axes: Axes, outer: Box, inner: Box) -> None:
    """What of the outer box lies outside of the inner one."""
    left, right, bottom, top = outer
    strips = [
        (left, inner[0], bottom, top),
        (inner[1], right, bottom, top),
        (inner[0], inner[1], inner[3], top),
        (inner[0], inner[1], bottom, inner[2]),
    ]
    for strip in strips:
        if abs(strip[1] - strip[0]) > 1e-6 and abs(strip[2] - strip[3]) > 1e-6:
            _rectangle(axes, strip, facecolor="#9aa3ad", edgecolor="white", hatch="////", lw=0)


def _rectangle(axes: Axes, box: Box, **style: Any) -> Rectangle:
    left, right, bottom, top = box
    patch = Rectangle((left, top), right - left, bottom - top, **style)
    axes.add_patch(patch)
    return patch


def _histogram(axes: Axes, values: np.ndarray, name: str) -> None:
    low, high = int(values.min()), int(values.max())
    step = max(1, (high - low) // 200)
    axes.hist(values.ravel(), bins=list(range(low, high + step + 1, step)), color=DARK, histtype="stepfilled")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(name)
    axes.set_ylabel("pixels" if step == 1 else f"pixels, {step} values a bar")


def _name(window: Window) -> str:
    name = NAMES.get((window.level, window.width))
    return f"{name}, {window}" if name else str(window)


def _grey(hu: np.ndarray, window: Window) -> np.ndarray:
    grey = apply_window(torch.from_numpy(hu).float(), level=window.level, width=window.width)
    return np.asarray(grey.numpy())


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GREY)
        spine.set_visible(False)
