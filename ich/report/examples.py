"""Slices to look at: a gallery of each kind, and one slice on its way from file to network."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int16
from matplotlib.figure import Figure

from ich.ct.dicom import BadSlice, Slice
from ich.ct.geometry import FullGeometry, HeadGeometry
from ich.ct.windowing import Window
from ich.data.cohort import Cohort
from ich.errors import InputError
from ich.findings import KINDS
from ich.report import slice_figures
from ich.report.slice_figures import Shown, gallery_figure

GALLERY_GEOMETRY = HeadGeometry(size=224, field_mm=224.0)


class BadImage(InputError):
    """There is no such slice to follow."""


def draw_gallery(cohort: Cohort, labels: pd.DataFrame, *, count: int) -> tuple[Figure, str]:
    """A row of slices of each kind, then one without hemorrhage; and how they were chosen, in words."""
    rows: dict[str, list[Shown]] = {}
    for name, wanted in [*((kind, labels[kind]) for kind in KINDS), ("no hemorrhage", 1 - labels["any"])]:
        found = _readable(cohort, pick(cohort.table, labels, wanted.to_numpy() == 1))
        row = []
        for place, one in itertools.islice(found, count):
            others = [kind for kind in KINDS if labels[kind].iloc[place] and kind != name]
            hu = _square(one)
            row.append(Shown(hu=hu, caption="".join(f"and {kind}\n" for kind in others).rstrip()))
        if row:
            rows[name] = row
    missing = [kind for kind in KINDS if kind not in rows]
    said = "slices that show one kind alone come first"
    return gallery_figure(rows), said + (f"; there is none of {', '.join(missing)}" if missing else "")


def _square(one: Slice) -> Int16[np.ndarray, "side side"]:
    geometry = GALLERY_GEOMETRY if one.header.spacing_mm else FullGeometry(size=GALLERY_GEOMETRY.size)
    return geometry.prepare(one.hu, one.header.spacing_mm).hu


def pick(table: pd.DataFrame, labels: pd.DataFrame, wanted: np.ndarray) -> list[int]:
    """All wanted rows of the cohort in the order in which to show them.

    First the middle wanted slice of each series, then those halfway to its ends, then the others; among these, slices
    of one kind alone first. Series come in a shuffled order, always the same: neighbours may be of one scanner.
    """
    rows = np.flatnonzero(wanted)
    series = table["series_id"].to_numpy()[rows]
    place = pd.Series(rows).groupby(series).cumcount().to_numpy()
    number = pd.Series(rows).groupby(series).transform("size").to_numpy()
    middle, quarters = place == number // 2, (place == number // 4) | (place == 3 * number // 4)
    several = labels[list(KINDS)].to_numpy()[rows].sum(axis=1) > 1
    codes, names = pd.factorize(series)
    shuffled = np.random.default_rng(0).permutation(len(names))[codes]
    order = np.lexsort((place, shuffled, several, np.where(middle, 0, np.where(quarters, 1, 2))))
    return rows[order].tolist()


def largest_bleed(table: pd.DataFrame, labels: pd.DataFrame) -> list[int]:
    """Rows with hemorrhage, the middle one of the series that has most of them first."""
    rows = pick(table, labels, labels["any"].to_numpy() == 1)
    series = table["series_id"].to_numpy()[rows]
    number = pd.Series(rows).groupby(series).transform("size").to_numpy()
    return [rows[place] for place in np.argsort(-number, kind="stable")]


def draw_one(
    cohort: Cohort,
    labels: pd.DataFrame,
    *,
    image: str | None,
    geometry: HeadGeometry | FullGeometry,
    windows: Sequence[Window],
) -> Iterator[dict[str, Any]]:
    """One slice raw, in HU, in each window, and resampled, cropped, padded, rescaled: file, title, caption, figure."""
    row, one = _choose(cohort, labels, image)
    image_id = cohort.table["image_id"].iloc[row]
    kinds = ", ".join(kind for kind in KINDS if labels[kind].iloc[row]) or "no hemorrhage"
    stored, layout = cohort.files.read_raw(cohort.table["file"].iloc[row])
    followed = slice_figures.follow(stored, one.hu, one.header.spacing_mm, geometry)
    windows = list(dict.fromkeys(windows))
    yield {
        "file": "slice_1_raw.png",
        "title": "One slice, raw",
        "caption": f"{image_id} ({kinds}) as its file stores it: {layout}. Values mean nothing before they are "
        "rescaled, and scanners disagree about what they store outside of the round field.",
        "figure": slice_figures.raw_figure(followed, f"stored value ({layout.bits_stored} bits)"),
    }
    yield {
        "file": "slice_2_hu.png",
        "title": "The slice in Hounsfield units",
        "caption": f"HU = stored value * {layout.slope:g} {'-' if layout.intercept < 0 else '+'} "
        f"{abs(layout.intercept):g}, clipped to -1,024 .. 3,071. Air lies at -1,000, water at 0, brain at 20 to 45, "
        "fresh blood at 50 to 90, bone above 300. Above the histogram: what each window spans.",
        "figure": slice_figures.hu_figure(followed, windows),
    }
    yield {
        "file": "slice_3_windows.png",
        "title": "The slice in each window",
        "caption": "A window maps its span of HU to black .. white and clips the rest. Of some 4,000 values a screen "
        "and an eye tell less than 256 apart; a network, too, learns faster from the few that matter.",
        "figure": slice_figures.windows_figure(followed, windows),
    }
    yield {
        "file": "slice_4_prepared.png",
        "title": "Resampled, cropped, padded, rescaled",
        "caption": "All four at one scale. The first three are done at once, on HU, so that each pixel is averaged "
        "once; the window comes last, because a clipped edge must not be interpolated. Yellow: the square that is "
        "kept.",
        "figure": slice_figures.steps_figure(followed, windows[0]),
    }


def _choose(cohort: Cohort, labels: pd.DataFrame, image: str | None) -> tuple[int, Slice]:
    if image is None:
        rows = largest_bleed(cohort.table, labels) or [len(labels) // 2]
    else:
        rows = np.flatnonzero((cohort.table["image_id"] == image).to_numpy()).tolist()
        if not rows:
            raise BadImage(
                f"image={image}: the cohort has no such image; its first is {cohort.table['image_id'].iloc[0]}"
            )
    for found in _readable(cohort, rows):
        return found
    raise BadImage(
        f"{cohort.root / cohort.table['file'].iloc[rows[0]]}: its pixels cannot be read; name another image="
    )


def _readable(cohort: Cohort, rows: Sequence[int]) -> Iterator[tuple[int, Slice]]:
    """Those of the rows whose pixels can be read; the others are counted when slices are prepared."""
    for row in rows:
        try:
            yield row, cohort.files.read_slice(cohort.table["file"].iloc[row], spacing_required=False)
        except BadSlice:
            continue
