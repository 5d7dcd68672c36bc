"""Where on a slice each probability comes from: a picture a slice, a map a label, and a table of them.

explanations/table.csv               file, image_id, label, probability, row and column of the strongest place,
                                     picture, map
explanations/FILE.png                the slice in the brain window, and again for each label with its map as lines
explanations/FILE.LABEL.map.png      the map itself on the original slice's [H, W], 8 bits: 255 is its strongest
                                     place, 0 none of it
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int16, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ich.ct.dicom import read_slice
from ich.ct.head import find_head
from ich.ct.windowing import apply_window
from ich.findings import FINDINGS
from ich.model.activation import ActivationMaps
from ich.predictor import Predictor, Read
from ich.progress import counted
from ich.report import charts, figures
from ich.report.charts import GREY, INK, styled
from ich.report.predictions import EXPLAINED, EXPLANATIONS, UNFINISHED, BadOutput

LINES = {0.5: "dashed", 0.75: "solid"}
"""Shares of a map's strongest place, and how the line round what is above them is drawn."""
SAID = (
    "+ the place that speaks most for the label; lines: 75 % of it (solid), 50 % (dashed).\n"
    "They show what the network looks at, and are no outline of a bleeding."
)
MARGIN = 0.04
"""Of a slice, left round what is shown of it."""
PANEL = 3.4
"""Inches of a slice."""
COLUMNS = 4
"""At most."""
COLUMNS_OF_TABLE = ("file", "image_id", "label", "probability", "row", "column", "picture", "map")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A label of one slice: its probability and its map on the original slice, 0 to 1."""

    label: str
    probability: float
    heat: Float32[np.ndarray, "height width"]

    @property
    def strongest(self) -> tuple[int, int] | None:
        """Row and column; None where nothing speaks for the label."""
        if not self.heat.any():
            return None
        row, column = np.unravel_index(int(np.argmax(self.heat)), self.heat.shape)
        return int(row), int(column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Writes the explanations of batch after batch; the folder has its name only once it is whole."""

    maps: ActivationMaps
    output: Path
    at_least: float
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, predictor: Predictor, output: Path, *, at_least: float) -> "Explainer":
        """Before anything is written. Raises NoMaps for a network that cannot be explained, and BadOutput."""
        maps = ActivationMaps.of(predictor.classifier, depth=predictor.depth, size=predictor.geometry.size)
        folder = output / EXPLANATIONS
        if folder.exists() and not (folder / EXPLAINED).is_file():
            raise BadOutput(f"{folder}: it is there already, and explain=true has not written it; take another output=")
        return cls(maps=maps, output=output, at_least=at_least)

    def add(self, named: Sequence[tuple[str, Read]], probabilities: Float64[np.ndarray, "n 6"]) -> None:
        """Explain the labels of a batch whose probability is high enough."""
        slices = [read for _, read in named]
        for place, explained in explain(self.maps, slices, probabilities, self.at_least).items():
            self._write(*named[place], explained)

    def finish(self) -> str:
        """Put the folder in its place; what is there to be said of it."""
        folder, unfinished = self.output / EXPLANATIONS, self.output / UNFINISHED
        unfinished.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(self.rows, columns=list(COLUMNS_OF_TABLE)).astype({"row": "Int64", "column": "Int64"})
        table.sort_values("file", kind="stable").to_csv(unfinished / EXPLAINED, index=False)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        shown = counted(table["file"].nunique(), "slice has", "slices have")
        return f"{shown} a label of probability {self.at_least:g} or more: {folder}"

    def _write(self, file: str, read: Read, explained: Sequence[Explained]) -> None:
        folder = self.output / UNFINISHED
        own = read_slice(read.source, spacing_required=False)
        picture = f"{file}.png"
        title = f"{file}   image {read.image_id}" if read.image_id not in file else file
        drawn = explanation_figure(own.hu, explained, title=title, spacing_mm=own.header.spacing_mm)
        charts.save(drawn, folder / picture)
        for one in explained:
            name = f"{file}.{one.label}.map.png"
            write_map(one.heat, folder / name)
            place = one.strongest or (None, None)
            self.rows.append((file, read.image_id, one.label, one.probability, *place, picture, name))


def explain(
    maps: ActivationMaps,
    slices: Sequence[Read],
    probabilities: Float64[np.ndarray, "n 6"],
    at_least: float,
) -> dict[int, list[Explained]]:
    """Of each slice of a batch (by its place) the labels that are probable enough, the most probable first."""
    found: dict[int, list[Explained]] = {}
    for finding, label in enumerate(FINDINGS):
        places = np.flatnonzero(probabilities[:, finding] >= at_least).tolist()
        if not places:
            continue
        hu = torch.from_numpy(np.stack([slices[place].hu for place in places]))
        for place, square in zip(places, maps.maps(hu, finding).cpu().numpy(), strict=True):
            heat = slices[place].warp.to_source(square)
            heat /= max(float(heat.max()), np.finfo(np.float32).tiny)
            one = Explained(label=label, probability=float(probabilities[place, finding]), heat=heat)
            found.setdefault(place, []).append(one)
    return {place: sorted(found[place], key=lambda one: -one.probability) for place in sorted(found)}


def write_map(heat: Float32[np.ndarray, "height width"], path: Path) -> None:
    """A map as 8 bits. It says where, not how much: its strongest place is 255 whatever the probability."""
    encoded: tuple[bool, UInt8[np.ndarray, " n"]] = cv2.imencode(".png", np.rint(heat * 255).astype(np.uint8))
    path.write_bytes(encoded[1].tobytes())


@styled
def explanation_figure(
    hu: Int16[np.ndarray, "height width"],
    explained: Sequence[Explained],
    *,
    title: str,
    spacing_mm: tuple[float, float] | None,
) -> Figure:
    """The slice alone, and again for each label under its map; air round the head is left out."""
    row_mm, column_mm = spacing_mm or (1.0, 1.0)
    top, bottom, left, right = shown_box(hu, explained, (row_mm, column_mm))
    count = 1 + len(explained)
    rows = -(-count // COLUMNS)
    columns = -(-count // rows)
    height = PANEL * (bottom - top) * row_mm / ((right - left) * column_mm)
    figure = Figure(figsize=(PANEL * columns, (height + 0.3) * rows + 0.75), layout="constrained")
    figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    figure.supxlabel(SAID, fontsize=8.5, color=GREY)
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every:
        axes.set_axis_off()
    _show(every[0], hu, row_mm / column_mm, f"brain window, {figures.BRAIN}")
    for axes, one in zip(every[1:], explained, strict=False):
        _show(axes, hu, row_mm / column_mm, f"{one.label}, probability {one.probability:.2f}")
        _draw_lines(axes, one)
    for axes in every[:count]:
        axes.set_xlim(left - 0.5, right - 0.5)
        axes.set_ylim(bottom - 0.5, top - 0.5)
    return figure


def shown_box(
    hu: Int16[np.ndarray, "height width"], explained: Sequence[Explained], spacing_mm: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the head and of every line and place that is drawn, wherever it lies."""
    head = find_head(hu, spacing_mm)
    if head is None:
        return 0, hu.shape[0], 0, hu.shape[1]
    points = [head.top_left, head.bottom_right]
    for one in explained:
        drawn = np.argwhere(one.heat >= min(LINES))
        points += [tuple(drawn.min(0)), tuple(drawn.max(0))] if len(drawn) else []
    first, last = np.min(points, axis=0), np.max(points, axis=0) + 1
    margin = MARGIN * np.array(hu.shape)
    top, left = np.maximum(np.floor(first - margin), 0).astype(int).tolist()
    bottom, right = np.minimum(np.ceil(last + margin), hu.shape).astype(int).tolist()
    return top, bottom, left, right


def _show(axes: Axes, hu: np.ndarray, aspect: float, title: str) -> None:
    window = figures.BRAIN
    grey = apply_window(torch.from_numpy(hu).float(), level=window.level, width=window.width)
    axes.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="antialiased", aspect=aspect)
    axes.set_title(title, fontsize=10, color=INK)


def _draw_lines(axes: Axes, one: Explained) -> None:
    """White on a dark rim, so that they stand out from bone, brain and air."""
    if one.strongest is None:
        axes.text(0.5, 0.04, "no place speaks for it", color="white", ha="center", transform=axes.transAxes)
        return
    lines = axes.contour(one.heat, levels=[*LINES], colors="white", linewidths=1.1, linestyles=[*LINES.values()])
    lines.set_path_effects([withStroke(linewidth=2.6, foreground="black")])
    row, column = one.strongest
    axes.plot(
        column, row, "+", color="white", ms=9, mew=1.4, path_effects=[withStroke(linewidth=3, foreground="black")]
    )
