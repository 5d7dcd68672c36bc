"""How slices are stored: bits, sign and rescale of each file, which say which scanner it came from."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ich.ct.codec import PixelFormat
from ich.ct.elements import Elements, Tag, read_elements
from ich.ct.pixels import read_stored
from ich.progress import Report

AHEAD = 1024
"""Files that threads may be ahead of what is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one header says of its stored values; HU = stored * slope + intercept."""

    bits_stored: int
    signed: bool
    intercept: float
    slope: float

    def __str__(self) -> str:
        return f"{self.bits_stored} bits, {'signed' if self.signed else 'unsigned'}, intercept {self.intercept:g}"


def read_layouts(files: Sequence[Path], *, report: Report | None = None) -> list[Layout]:
    """The layout of each file, in their order. Raises BadSlice."""
    layouts: list[Layout] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), AHEAD):
            layouts += pool.map(_read_layout, files[start : start + AHEAD])
            if report:
                report(len(layouts), len(files))
    return layouts


def read_raw(file: Path) -> tuple[Integer[np.ndarray, "height width"], Layout]:
    """The stored values of a slice, before they are HU, of a file that `ct.dicom` has read. Raises BadSlice."""
    elements = read_elements(file)
    layout = _describe(elements)
    form = PixelFormat(
        rows=elements.integer(Tag.ROWS) or 0,
        columns=elements.integer(Tag.COLUMNS) or 0,
        bits_allocated=elements.integer(Tag.BITS_ALLOCATED) or 0,
        bits_stored=layout.bits_stored,
        signed=layout.signed,
    )
    return read_stored(elements, form), layout


def _read_layout(file: Path) -> Layout:
    return _describe(read_elements(file, header_only=True))


def _describe(elements: Elements) -> Layout:
    return Layout(
        bits_stored=elements.integer(Tag.BITS_STORED) or 0,
        signed=elements.integer(Tag.PIXEL_REPRESENTATION) == 1,
        intercept=elements.numbers(Tag.RESCALE_INTERCEPT)[0],
        slope=elements.numbers(Tag.RESCALE_SLOPE)[0],
    )
