"""A DICOM file to one slice of head CT in Hounsfield units, or BadSlice with the reason.

    one = read_slice("ID_000012eaf.dcm")        one.hu: int16 [H, W] in HU; one.header: ids, position, spacing
    header = read_header("ID_000012eaf.dcm")    the same checks as far as the header goes, of the file's first 32 KiB

`elements` parses a file, `codec` and `pixels` make HU of it; what makes it one slice of CT stands here.
"""

import hashlib
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from ich.ct.codec import PixelFormat
from ich.ct.elements import MAX_BYTES, UNNAMED, Elements, Tag, read_elements
from ich.ct.pixels import HU_MAX, HU_MIN, check_pixels, clip_hu, mend_wrapped, read_stored, to_hu
from ich.ct.refusal import REASONS, BadSlice, Reason

__all__ = ["HU_MAX", "HU_MIN", "REASONS", "BadSlice", "Header", "Reason", "Slice", "read_header", "read_slice"]

BLANK_HU = -900
"""A slice of one value is air up to here, and above nothing that a scanner makes."""
MIN_SIDE, MAX_SIDE = 32, 2048
"""Scanners reconstruct 256 to 2048 pixels a side; less is an icon."""
MIN_SPACING_MM, MAX_SPACING_MM = 0.01, 20.0
"""Scanners reconstruct 0.1 to 2 mm a pixel."""
MIN_BITS = 9
"""Eight bits are a grey picture, and no HU."""
CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""CT, Enhanced CT, and Legacy Converted Enhanced CT Image Storage."""
SCOUTS = ("SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM", "LOCALIZER")
"""How vendors call the series of a localizer."""
HU_TYPES = ("", "HU", "HU_MOD", "US")
"""RescaleType (PS3.3, C.11.1.1.2): HU, or unspecified. Others are densities, effective atomic numbers and the like."""

Orientation = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts of a slice.

    No id is ever empty, because equal ids are taken for the same thing. What a file lacks comes from the next finer
    level: patient from study, study from series, series from image; an image without one is called after its file, or
    its bytes. `position_mm` (of the first pixel's centre), `orientation` (of a row, then of a column) and `spacing_mm`
    (from row to row, then from column to column) are DICOM's, and None where the file does not say, or says it badly.
    HU = stored value * slope + intercept; of wrapped slices both are what the file says, before these are mended.
    """

    image_id: str
    series_id: str
    study_id: str
    patient_id: str
    position_mm: tuple[float, float, float] | None
    orientation: Orientation | None
    spacing_mm: tuple[float, float] | None
    rows: int
    columns: int
    bits_stored: int
    signed: bool
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice in HU, clipped to HU_MIN .. HU_MAX, and its facts.

    `lowest_hu` and `highest_hu` are what they were before clipping: padding lies below HU_MIN, metal above HU_MAX.
    `wrapped`: they were mended.
    """

    hu: Int16[np.ndarray, "height width"]
    header: Header
    lowest_hu: float
    highest_hu: float
    wrapped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    header: Header
    form: PixelFormat


def read_slice(source: Path | str | bytes, *, name: str | None = None, spacing_required: bool = True) -> Slice:
    """One slice from a file or its bytes, in HU; `name` is what a file is called whose bytes are given.

    Without `spacing_required` a missing or impossible PixelSpacing passes as None. Raises BadSlice and nothing else,
    also for a file that cannot be opened (`not_dicom`).
    """
    return make_slice(read_elements(source, name=name), source, spacing_required=spacing_required)


def make_slice(elements: Elements, source: Path | str | bytes, *, spacing_required: bool = True) -> Slice:
    """One slice of a file's elements. Raises BadSlice."""
    facts = _check(elements, source, spacing_required)
    stored = read_stored(elements, facts.form)
    mended, slope, intercept = mend_wrapped(stored, facts.form, facts.header.slope, facts.header.intercept)
    hu, lowest, highest = to_hu(mended, slope, intercept)
    if highest > BLANK_HU and clip_hu(lowest) == clip_hu(highest):
        detail = f"every pixel has {clip_hu(lowest)} HU: the slice is blank, or its rescale is wrong"
        raise elements.bad("implausible_hu", f"{detail}; leave it out")
    return Slice(hu=hu, header=facts.header, lowest_hu=lowest, highest_hu=highest, wrapped=mended is not stored)


def read_header(source: Path | str | bytes, *, name: str | None = None, spacing_required: bool = True) -> Header:
    """The facts of a slice without its pixels. Raises BadSlice as far as the header shows a reason."""
    elements = read_elements(source, name=name, header_only=True)
    return _check(elements, source, spacing_required).header


def _check(elements: Elements, source: Path | str | bytes, spacing_required: bool) -> _Facts:
    """Every check of the header, in the order of REASONS."""
    _check_ct(elements)
    _check_one_frame(elements)
    _check_grey(elements)
    _check_no_localizer(elements)
    orientation = _read_orientation(elements)
    _check_has_pixels(elements)
    rows, columns = _read_size(elements)
    form = _read_format(elements, rows, columns)
    spacing = _read_spacing(elements, required=spacing_required)
    rescale = _read_rescale(elements)
    check_pixels(elements, form)
    return _Facts(header=_make_header(elements, source, orientation, spacing, form, rescale), form=form)


def _make_header(
    elements: Elements,
    source: Path | str | bytes,
    orientation: Orientation | None,
    spacing: tuple[float, float] | None,
    form: PixelFormat,
    rescale: tuple[float, float],
) -> Header:
    image = elements.text(Tag.SOP_INSTANCE) or _name(elements, source)
    series = elements.text(Tag.SERIES_INSTANCE) or image
    study = elements.text(Tag.STUDY_INSTANCE) or series
    position = elements.numbers(Tag.POSITION)
    return Header(
        image_id=image,
        series_id=series,
        study_id=study,
        patient_id=elements.text(Tag.PATIENT_ID) or study,
        position_mm=(position[0], position[1], position[2]) if _are_finite(position, 3) else None,
        orientation=orientation,
        spacing_mm=spacing,
        rows=form.rows,
        columns=form.columns,
        bits_stored=form.bits_stored,
        signed=form.signed,
        slope=rescale[0],
        intercept=rescale[1],
    )


def _name(elements: Elements, source: Path | str | bytes) -> str:
    if isinstance(source, bytes) and elements.path == UNNAMED:
        return hashlib.blake2b(source, digest_size=8).hexdigest()
    return Path(elements.path).stem


def _are_finite(numbers: tuple[float, ...], count: int) -> bool:
    return len(numbers) == count and all(map(isfinite, numbers))


def _check_ct(elements: Elements) -> None:
    modality, sop_class = elements.text(Tag.MODALITY), elements.text(Tag.SOP_CLASS)
    if not modality and elements.cut:
        raise elements.bad("truncated", "the file ends inside its header, before Modality; copy or export it again")
    if modality.upper() != "CT":
        raise elements.bad("not_ct", f"Modality is {modality[:16] or 'missing'}; give the CT series alone")
    if sop_class and sop_class not in CT_CLASSES:
        detail = f"SOPClassUID is {sop_class} and not CT Image Storage: a screen save, a report or the like"
        raise elements.bad("not_ct", f"{detail}; leave it out")


def _check_one_frame(elements: Elements) -> None:
    frames = elements.numbers(Tag.NUMBER_OF_FRAMES)
    if any(frame > 1 for frame in frames):
        detail = f"there are {frames[0]:g} frames in the file"
        raise elements.bad("multi_frame", f"{detail}; export single slices (classic CT Image Storage)")


def _check_grey(elements: Elements) -> None:
    samples, photometric = elements.integer(Tag.SAMPLES_PER_PIXEL), elements.text(Tag.PHOTOMETRIC)
    if (samples or 1) > 1 or photometric not in ("", "MONOCHROME1", "MONOCHROME2"):
        detail = f"PhotometricInterpretation is {photometric}, SamplesPerPixel {samples}: a screen save or a report"
        raise elements.bad("colour", f"{detail}; leave it out")


def _check_no_localizer(elements: Elements) -> None:
    image_type, series = elements.text(Tag.IMAGE_TYPE), elements.text(Tag.SERIES_DESCRIPTION)
    if "LOCALIZER" in image_type.upper() or series.upper().startswith(SCOUTS):
        called = next((word for word in SCOUTS if series.upper().startswith(word)), "")  # what follows may be a name
        detail = f"SeriesDescription begins with {called}" if called else f"ImageType is {image_type!r}"
        raise elements.bad("localizer", f"{detail}: a scout; leave it out")


def _read_orientation(elements: Elements) -> Orientation | None:
    """The direction cosines; a slice counts as axial where its normal is nearer to the body's axis than to the others.

    A gantry tilts by 30 degrees at most.
    """
    numbers = elements.numbers(Tag.ORIENTATION)
    if not _are_finite(numbers, 6):
        return None
    a, b, c, d, e, f = numbers
    normal = [abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d)]
    if max(normal) < 0.5:  # two unit vectors at a right angle have one of 0.58 at least
        return None
    if normal[2] < max(normal):
        plane = "sagittal" if normal[0] > normal[1] else "coronal"
        raise elements.bad("not_axial", f"the slice is {plane}; give the axial series (gantry tilt is fine)")
    return a, b, c, d, e, f


def _check_has_pixels(elements: Elements) -> None:
    if elements.pixels is None and elements.cut:
        raise elements.bad("truncated", "the file ends inside its header, before the pixels; copy or export it again")
    if Tag.FLOAT_PIXELS in elements.values or Tag.DOUBLE_PIXELS in elements.values:
        raise elements.bad("bad_pixel_format", "pixels are floating point: a map, and no CT slice; leave it out")
    if elements.pixels is None or elements.pixels.length == 0:
        raise elements.bad("no_pixels", "there is no PixelData; export the file again with its pixels")


def _read_size(elements: Elements) -> tuple[int, int]:
    rows, columns = elements.integer(Tag.ROWS), elements.integer(Tag.COLUMNS)
    if rows is None or columns is None:
        raise elements.bad("bad_size", "Rows or Columns is missing; export the file again")
    if not (MIN_SIDE <= rows <= MAX_SIDE and MIN_SIDE <= columns <= MAX_SIDE):
        detail = f"{rows} x {columns} pixels; a slice has {MIN_SIDE} to {MAX_SIDE} a side"
        raise elements.bad("bad_size", f"{detail}; leave it out")
    if elements.size > MAX_BYTES:
        raise elements.bad("bad_size", f"{elements.size:,} bytes; one slice needs {MAX_BYTES:,} at most; leave it out")
    allocated = elements.integer(Tag.BITS_ALLOCATED)
    row_bytes = columns * allocated // 8 if allocated in (16, 32) else MAX_BYTES
    length = elements.pixels.length if elements.pixels else None
    if length is not None and length // row_bytes > rows:
        raise elements.bad(
            "bad_size", f"Rows is {rows}, but there are pixels for {length // row_bytes}; export it again"
        )
    return rows, columns


def _read_format(elements: Elements, rows: int, columns: int) -> PixelFormat:
    allocated, stored = elements.integer(Tag.BITS_ALLOCATED), elements.integer(Tag.BITS_STORED)
    high, sign = elements.integer(Tag.HIGH_BIT), elements.integer(Tag.PIXEL_REPRESENTATION)
    if elements.integer(Tag.SAMPLES_PER_PIXEL) != 1 or not elements.text(Tag.PHOTOMETRIC):
        detail = "SamplesPerPixel or PhotometricInterpretation is missing"
        raise elements.bad("bad_pixel_format", f"{detail}; export the file again")
    found = f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}, PixelRepresentation {sign}"
    if allocated not in (16, 32) or stored is None or not MIN_BITS <= stored <= allocated or sign not in (0, 1):
        detail = f"{found}: HU need 16 or 32 bits, {MIN_BITS} or more of them stored, signed (1) or not (0)"
        raise elements.bad("bad_pixel_format", f"{detail}; export the file again")
    if high not in (None, stored - 1):
        raise elements.bad("bad_pixel_format", f"{found}: values do not begin at bit 0; export the file again")
    return PixelFormat(rows=rows, columns=columns, bits_allocated=allocated, bits_stored=stored, signed=sign == 1)


def _read_spacing(elements: Elements, *, required: bool) -> tuple[float, float] | None:
    numbers = elements.numbers(Tag.PIXEL_SPACING)
    if len(numbers) == 2 and all(MIN_SPACING_MM <= number <= MAX_SPACING_MM for number in numbers):
        return numbers[0], numbers[1]
    if not required:
        return None
    detail = f"PixelSpacing is {elements.text(Tag.PIXEL_SPACING)!r}" if numbers else "PixelSpacing is missing"
    raise elements.bad("bad_spacing", f"{detail}, so pixels cannot become millimetres; use geometry=full to do without")


def _read_rescale(elements: Elements) -> tuple[float, float]:
    slope, intercept = elements.numbers(Tag.RESCALE_SLOPE), elements.numbers(Tag.RESCALE_INTERCEPT)
    kind = elements.text(Tag.RESCALE_TYPE)
    if Tag.MODALITY_LUT in elements.values:
        raise elements.bad(
            "bad_rescale", "ModalityLUTSequence gives no negative values, so no HU; export the file again"
        )
    if not _are_finite(slope, 1) or not _are_finite(intercept, 1) or slope[0] == 0:
        slopes, intercepts = elements.text(Tag.RESCALE_SLOPE), elements.text(Tag.RESCALE_INTERCEPT)
        detail = f"RescaleSlope is {slopes!r}, RescaleIntercept {intercepts!r}, where HU need one number each"
        raise elements.bad("bad_rescale", f"{detail}, the slope not 0; export the file again")
    if kind.upper() not in HU_TYPES:
        raise elements.bad("bad_rescale", f"RescaleType is {kind}, and not HU; give the series in HU")
    return slope[0], intercept[0]
