"""Charts of predictions: six labels side by side, slices as a line and studies dashed, so that none needs colour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from ich.findings import FINDINGS, KINDS
from ich.report.charts import DARK, GREY, INK, WIDTH, styled

Row = tuple[float, float | None, float | None]

POINTS = 400
"""Most points of a drawn curve."""
SCORE_BINS = [step / 20 for step in range(21)]
MARKERS = {"fixed": ("o", "0.5"), "sensitivity_95": ("s", "sensitivity 0.95"), "youden": ("^", "Youden")}
"""Of operating points, and what they are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What is drawn of slices or of studies: labels, probabilities, thresholds by point, a note for each label."""

    name: str
    positive: Bool[np.ndarray, "n 6"]
    probabilities: Float64[np.ndarray, "n 6"]
    thresholds: Mapping[str, Float64[np.ndarray, " 6"]]
    notes: Mapping[str, Sequence[str]]


LINES: Sequence[dict[str, Any]] = ({"color": DARK, "lw": 1.6}, {"color": INK, "lw": 1.2, "ls": (0, (4, 2))})
"""Of slices, and of studies."""


@styled
def roc_chart(shown: Sequence[Curves]) -> Figure:
    """Receiver operating characteristic of each label, with the operating points on the first curve."""

    def draw(axes: Axes, place: int) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        for curves, line in zip(shown, LINES, strict=False):
            positive, p = curves.positive[:, place], curves.probabilities[:, place]
            if _two_classes(positive):
                axes.plot(*_thinned(*roc_curve(positive, p)[:2]), **line)
        _mark(axes, shown[0], place, lambda found, positive: (found[~positive].mean(), found[positive].mean()))
        _note(axes, [f"{curves.name} {curves.notes['auc'][place]}" for curves in shown])

    return _six(draw, x="1 - specificity", y="sensitivity", legend=_legend(shown, points=True), notes=len(shown))


@styled
def precision_recall_chart(shown: Sequence[Curves]) -> Figure:
    """Precision over recall of each label; dotted: the share of positive slices, a guess's precision."""

    def draw(axes: Axes, place: int) -> None:
        for curves, line in zip(shown, LINES, strict=False):
            positive, p = curves.positive[:, place], curves.probabilities[:, place]
            if _two_classes(positive):
                precision, recall, _ = precision_recall_curve(positive, p)
                axes.plot(*_thinned(recall[-2::-1], precision[-2::-1]), **line)  # the last point is no threshold's
        if _two_classes(shown[0].positive[:, place]):
            axes.axhline(shown[0].positive[:, place].mean(), color=GREY, lw=0.8, ls=":")
        _mark(axes, shown[0], place, lambda found, positive: (found[positive].mean(), positive[found].mean()))
        _note(axes, [f"{curves.name} {curves.notes['average_precision'][place]}" for curves in shown])

    return _six(draw, x="recall", y="precision", legend=_legend(shown, points=True), notes=len(shown))


@styled
def reliability_chart(table: pd.DataFrame, notes: Sequence[str]) -> Figure:
    """The rate in each bin of probability over its mean probability, with its interval; hollow: without one."""

    def draw(axes: Axes, place: int) -> None:
        rows = table[(table["label"] == FINDINGS[place]) & (table["cases"] > 0)]
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        x, y = rows["mean_probability"], rows["rate"]
        known = rows["rate_low"].notna()
        axes.plot(x, y, color=DARK, lw=1.0)
        axes.vlines(x[known], rows["rate_low"][known], rows["rate_high"][known], color=DARK, lw=1.0)
        for some, fill in ((known, DARK), (~known, "white")):
            axes.plot(x[some], y[some], "o", color=DARK, mfc=fill, ms=4.5, clip_on=False, in_layout=False, zorder=3)
        _note(axes, [notes[place]])

    return _six(draw, x="probability", y="rate of positives", legend=[])


@styled
def scores_chart(curves: Curves) -> Figure:
    """How many slices with (filled) and without (outline) each finding got each probability, on a scale of tens."""

    def draw(axes: Axes, place: int) -> None:
        positive, p = curves.positive[:, place], curves.probabilities[:, place]
        axes.hist(p[positive], bins=SCORE_BINS, color=DARK)
        axes.hist(p[~positive], bins=SCORE_BINS, histtype="step", color=INK, lw=1.1)
        axes.axvline(0.5, color=GREY, lw=0.8, ls=":")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, 2 * len(positive))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _note(axes, [f"with {np.count_nonzero(positive):,}, without {np.count_nonzero(~positive):,}"])

    legend = [
        Line2D([], [], color=DARK, lw=6, label="with the finding"),
        Line2D([], [], color=INK, lw=1.1, label="without"),
    ]
    return _six(draw, x="probability", y=curves.name, legend=legend, square=False)


@styled
def shifts_chart(
    shifts: Sequence[int], log_losses: Sequence[Row | None], aucs: Sequence[Row | None], *, floor: float
) -> Figure:
    """Weighted log loss and AUC of any over the shift in HU, with intervals where there are any."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    panels = (("weighted log loss", log_losses, floor, "floor"), ("AUC, any", aucs, 0.5, "chance"))
    for axes, (title, rows, line, said) in zip(figure.subplots(1, 2), panels, strict=True):
        known = [(shift, row) for shift, row in zip(shifts, rows, strict=True) if row is not None]
        axes.axhline(line, color=GREY, lw=0.8, ls=":")
        axes.annotate(said, (1, line), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
        axes.plot([shift for shift, _ in known], [row[0] for _, row in known], "o-", color=DARK, lw=1.2, ms=4.5)
        for shift, (_, low, high) in known:
            if low is not None and high is not None:
                axes.vlines(shift, low, high, color=DARK, lw=1.0)
        axes.set_title(title, weight="bold")
        axes.set_xlabel("shift, HU")
        axes.set_xticks(list(shifts), [f"{shift:+d}" if shift else "0" for shift in shifts])
        axes.margins(y=0.12)
    figure.axes[0].set_ylim(bottom=0)
    return figure


@styled
def confusion_chart(curves: Curves, threshold: float) -> Figure:
    """Of the slices that show one kind (row), how many were called each kind, any, or nothing (column)."""
    called = curves.probabilities >= threshold
    columns = [*FINDINGS, "nothing"]
    answers = np.column_stack([called, ~called.any(axis=1)])
    rows: dict[str, np.ndarray] = {kind: curves.positive[:, i] for i, kind in enumerate(KINDS)}
    rows["no hemorrhage"] = np.asarray(~curves.positive.any(axis=1))
    counts = np.array([answers[some].sum(axis=0) for some in rows.values()])
    totals = np.array([some.sum() for some in rows.values()])
    shares = counts / np.maximum(totals, 1)[:, None]
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.8, aspect="auto")  # letters stay dark on light
    for (row, column), share in np.ndenumerate(shares):
        said = f"{share:.0%}\n{counts[row, column]:,}" if totals[row] else "–"
        own = column == (row if row < len(KINDS) else len(FINDINGS))
        axes.text(column, row, said, ha="center", va="center", fontsize=9, weight="bold" if own else None)
    axes.axvline(len(KINDS) - 0.5, color="white", lw=3)
    axes.axhline(len(KINDS) - 0.5, color="white", lw=3)
    axes.set_xticks(range(len(columns)), [_broken(name) for name in columns], fontsize=9)
    axes.set_yticks(range(len(rows)), [f"{name}\n{total:,}" for name, total in zip(rows, totals, strict=True)])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _six(
    draw: Callable[[Axes, int], None],
    *,
    x: str,
    y: str,
    legend: Sequence[Line2D],
    notes: int = 1,
    square: bool = True,
) -> Figure:
    """A panel a label, with room for lines of notes over it."""
    figure = Figure(figsize=(WIDTH, 6.0 if square else 4.8), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for place, axes in enumerate(panels.flat):
        draw(axes, place)
        axes.set_title(FINDINGS[place], weight="bold", pad=8 + 10 * notes)
        axes.set_xlim(-0.02, 1.02)
        if square:
            axes.set_ylim(-0.02, 1.02)
            axes.set_aspect("equal")
            axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    for axes in panels[1]:
        axes.set_xlabel(x)
    for axes in panels[:, 0]:
        axes.set_ylabel(y)
    if legend:
        figure.legend(handles=list(legend), loc="outside lower center", ncols=len(legend), frameon=False, fontsize=9)
    return figure


def _mark(
    axes: Axes,
    curves: Curves,
    place: int,
    where: Callable[[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]], tuple[float, float]],
) -> None:
    """The operating points on a curve; not those that call nothing, which lie on no curve of precision."""
    positive = curves.positive[:, place]
    for point, (marker, _) in MARKERS.items():
        if point not in curves.thresholds or not _two_classes(positive):
            continue
        found = curves.probabilities[:, place] >= curves.thresholds[point][place]
        if found.any():
            axes.plot(*where(found, positive), marker, color=INK, mfc="white", ms=5.5, mew=1.2, zorder=3)


def _legend(shown: Sequence[Curves], *, points: bool) -> list[Line2D]:
    lines = [Line2D([], [], label=curves.name, **line) for curves, line in zip(shown, LINES, strict=False)]
    marks = [
        Line2D([], [], ls="", marker=marker, color=INK, mfc="white", mew=1.2, label=said)
        for point, (marker, said) in MARKERS.items()
        if point in shown[0].thresholds
    ]
    return lines + (marks if points else [])


def _note(axes: Axes, lines: Sequence[str]) -> None:
    """Between title and panel."""
    axes.text(0, 1.03, "\n".join(lines), transform=axes.transAxes, va="bottom", fontsize=8)


def _two_classes(positive: Bool[np.ndarray, " n"]) -> bool:
    return bool(positive.any() and not positive.all())


def _thinned(
    x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """At most POINTS of a curve, evenly along it."""
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)))
    return x[kept], y[kept]


def _broken(name: str) -> str:
    return name.replace("intra", "intra-\n").replace("sub", "sub-\n").replace("epi", "epi-\n")
