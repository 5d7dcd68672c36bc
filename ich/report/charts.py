"""Charts of labels and headers: what they say is written in them, so that none needs colour."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ich.findings import FINDINGS, KINDS

INK, DARK, LIGHT, GREY = "#1f2328", "#2f5d8a", "#e4e9ef", "#6b7280"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
}
WIDTH = 8.0
"""Inches of every chart, so that letters have one size over a page."""
LONGEST_ID = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure with its file's name, its title and what it says."""

    file: str
    title: str
    caption: str
    figure: Figure


P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that draws in this project's style."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


@styled
def rows_chart(labels: pd.DataFrame) -> Figure:
    """The label table as it stands in a file: all six rows of an image without hemorrhage, and of one with."""
    chosen = [labels.index[labels["any"] == value][:1] for value in (0, 1)]
    images = [image for some in chosen for image in some]
    figure = Figure(figsize=(WIDTH, 0.6 + 1.75 * len(images)), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(6.4 * len(images), -1.4)
    for x, name in ((0.02, "ID"), (0.56, "Label")):
        axes.text(x, -0.8, name, weight="bold", va="center")
    axes.plot([0, 0.64], [-0.2, -0.2], color=INK, lw=1)
    for block, image in enumerate(images):
        top = 6.4 * block + 0.4
        values = labels.loc[image, list(FINDINGS)].tolist()
        for row, (finding, value) in enumerate(zip(FINDINGS, values, strict=True)):
            weight = "bold" if value else "normal"
            kept: dict[str, Any] = {"family": "monospace", "va": "center", "weight": weight, "parse_math": False}
            axes.text(0.02, top + row, f"{_short(image)}_{finding}", **kept)
            axes.text(0.59, top + row, str(value), **kept)
        axes.plot([0, 0.64], [top + 5.7, top + 5.7], color=GREY, lw=0.6)
        kinds = [kind for kind, value in zip(KINDS, values, strict=False) if value]
        axes.plot([0.68, 0.68], [top - 0.3, top + 5.3], color=INK, lw=1)
        axes.text(0.70, top + 2.5, f"one image, six rows:\n{', '.join(kinds) or 'no hemorrhage'}", va="center")
    return figure


@styled
def zeros_and_ones_chart(labels: pd.DataFrame) -> Figure:
    """How many rows of the table say 0, and how many 1."""
    table = labels[list(FINDINGS)].to_numpy()
    ones = int(table.sum())
    figure = Figure(figsize=(WIDTH, 1.5), layout="constrained")
    counts = [table.size - ones, ones]
    notes = [f"{count:,} rows ({_percent(count / table.size)})" for count in counts]
    _bars(figure.subplots(), ["label 0", "label 1"], counts, notes)
    return figure


@styled
def zeros_and_ones_by_finding_chart(labels: pd.DataFrame) -> Figure:
    """0 and 1 of each finding, as two bars: the zeros are an outline."""
    ones = labels[list(FINDINGS)].sum().to_numpy()
    zeros = len(labels) - ones
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(FINDINGS))
    for offset, counts, fill, said in ((-0.2, zeros, "white", "0"), (0.2, ones, DARK, "1")):
        axes.barh(places + offset, counts, height=0.38, color=fill, edgecolor=DARK, lw=1)
        for place, count in zip(places, counts, strict=True):
            axes.annotate(
                f"{said}: {count:,}",
                (count, place + offset),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    _name_bars(axes, FINDINGS, len(labels))
    return figure


@styled
def positives_chart(labels: pd.DataFrame) -> Figure:
    """The slices of each kind, most first."""
    counts = labels[list(KINDS)].sum().sort_values(ascending=False, kind="stable")
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    notes = [f"{count:,} ({_percent(count / len(labels))} of slices)" for count in counts]
    _bars(figure.subplots(), counts.index.tolist(), counts.tolist(), notes)
    return figure


@styled
def together_chart(labels: pd.DataFrame) -> Figure:
    """Which kinds share slices, and how many kinds a slice with hemorrhage has."""
    kinds = labels[list(KINDS)].to_numpy(np.int64)
    both = kinds.T @ kinds
    share = both / np.maximum(np.diag(both)[:, None], 1)
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    left.imshow(np.where(np.eye(len(KINDS), dtype=bool), 0, share), cmap="Greys", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), count in np.ndenumerate(both):
        said = f"{count:,}" if row == column else f"{share[row, column]:.0%}\n{count:,}"
        weight, dark = ("bold", False) if row == column else ("normal", bool(share[row, column] > 0.75))
        left.text(
            column, row, said, ha="center", va="center", fontsize=9, weight=weight, color="white" if dark else INK
        )
    short = [kind.replace("intra", "intra-\n").replace("sub", "sub-\n").replace("epi", "epi-\n") for kind in KINDS]
    left.set_xticks(range(len(KINDS)), short, fontsize=9)
    left.set_yticks(range(len(KINDS)), KINDS)
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    left.set_title("of the slices with one kind (row),\nso many have another, too (column)")
    numbers = np.bincount(kinds.sum(axis=1), minlength=len(KINDS) + 1)[1:]
    total = max(1, int(numbers.sum()))
    _bars(right, range(1, len(KINDS) + 1), numbers.tolist(), [f"{n:,} ({_percent(n / total)})" for n in numbers], 1.9)
    right.set_title("kinds a slice,\nof slices with any")
    return figure


@styled
def slices_chart(slices: pd.Series, positive: pd.Series) -> Figure:
    """Slices a study, and how many of them show hemorrhage in the studies that have it."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    shown = (
        ("slices a study", slices),
        ("slices with hemorrhage, of studies that have any", positive[positive > 0]),
    )
    for axes, (title, counts) in zip(figure.subplots(1, 2), shown, strict=True):
        axes.set_title(title)
        axes.set_ylabel("studies")
        if len(counts):
            low, high = int(counts.min()), int(counts.max())
            step = max(1, -(-(high - low + 1) // 40))
            axes.hist(counts, bins=np.arange(low, high + step + 1, step) - 0.5, color=DARK, edgecolor="white", lw=0.6)
            middle = float(counts.median())
            axes.axvline(middle, color=INK, lw=1, ls="--")
            said = f"median {middle:g}"
            axes.text(middle, 1.0, f" {said}", transform=axes.get_xaxis_transform(), va="top", fontsize=9)
            axes.margins(y=0.14)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


@styled
def layouts_chart(groups: pd.DataFrame, overall: float) -> Figure:
    """The rate of hemorrhage in each group of headers: index the group's name; columns slices, patients, rate."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(groups)), layout="constrained")
    axes = figure.subplots()
    notes = [
        f"{rate:.1%} of {slices:,} slices, {patients:,} patient{'s' * (patients != 1)}"
        for rate, slices, patients in zip(groups["rate"], groups["slices"], groups["patients"], strict=True)
    ]
    _bars(axes, groups.index.tolist(), groups["rate"].tolist(), [""] * len(groups), 1.9)
    right = 1.06 * max(float(groups["rate"].max()), overall, 1e-9)
    for place, note in enumerate(notes):  # in a column of their own, so that the dashed line crosses none
        axes.text(right, place, note, va="center", fontsize=9)
    axes.axvline(overall, color=INK, lw=1, ls="--")
    axes.text(overall, -0.62, f"all slices: {overall:.1%}", ha="center", va="bottom", fontsize=9)
    axes.set_xlim(0, 1.75 * right)
    return figure


def save(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a PNG or an SVG; equal figures give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nameless = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "ich"}):
        figure.savefig(path, dpi=dpi, metadata=nameless)


def _bars(
    axes: Axes, names: Sequence[object], values: Sequence[float], notes: Sequence[str], room: float = 1.45
) -> None:
    """Bars from the left with their numbers behind them; `room` is the axis's length in longest bars."""
    axes.barh(range(len(values)), values, height=0.62, color=DARK)
    for place, (value, note) in enumerate(zip(values, notes, strict=True)):
        axes.annotate(note, (value, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    _name_bars(axes, names, room / 1.18 * max([*values, 1e-9]))


def _name_bars(axes: Axes, names: Sequence[object], longest: float) -> None:
    axes.set_yticks(range(len(names)), [str(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * longest)


def _percent(share: float) -> str:
    return f"{share:.2%}" if 0 < share < 0.01 else f"{share:.1%}"


def _short(image: str) -> str:
    """An id of any file as a font can show it."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in str(image))
    return plain if len(plain) <= LONGEST_ID else plain[: LONGEST_ID - 3] + "..."
