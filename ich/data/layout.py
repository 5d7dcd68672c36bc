"""How slices are stored: bits, sign and rescale of each file, which say which scanner it came from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Integer

from ich.ct.codec import PixelFormat
from ich.ct.elements import Tag, read_elements
from ich.ct.pixels import read_stored

LAYOUT = ("bits_stored", "signed", "intercept", "slope")
"""Columns of a cohort's table. No store holds them, but with others it is another store: its HU differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one header says of its stored values; HU = stored * slope + intercept."""

    bits_stored: int
    signed: bool
    intercept: float
    slope: float

    def __str__(self) -> str:
        return f"{self.bits_stored} bits, {'signed' if self.signed else 'unsigned'}, intercept {self.intercept:g}"


def name_layouts(table: pd.DataFrame) -> pd.Series:
    """The layout of each row of a cohort's table, in words."""
    number = table.groupby(list(LAYOUT), sort=False).ngroup()
    several = table[list(LAYOUT)].drop_duplicates().itertuples(index=False)
    return number.map([str(Layout(**dict(zip(LAYOUT, one, strict=True)))) for one in several].__getitem__)


def read_raw(source: Path | bytes, *, name: str | None = None) -> tuple[Integer[np.ndarray, "height width"], Layout]:
    """The stored values of a slice, before they are HU, of a file that `ct.dicom` has read. Raises BadSlice."""
    elements = read_elements(source, name=name)
    layout = Layout(
        bits_stored=elements.integer(Tag.BITS_STORED) or 0,
        signed=elements.integer(Tag.PIXEL_REPRESENTATION) == 1,
        intercept=elements.numbers(Tag.RESCALE_INTERCEPT)[0],
        slope=elements.numbers(Tag.RESCALE_SLOPE)[0],
    )
    form = PixelFormat(
        rows=elements.integer(Tag.ROWS) or 0,
        columns=elements.integer(Tag.COLUMNS) or 0,
        bits_allocated=elements.integer(Tag.BITS_ALLOCATED) or 0,
        bits_stored=layout.bits_stored,
        signed=layout.signed,
    )
    return read_stored(elements, form), layout
