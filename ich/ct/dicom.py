"""A DICOM file to one CT slice in HU, or one reason why not."""

import io
import math
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pydicom
from jaxtyping import Int16, Integer
from pydicom.dataset import Dataset
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble

from ich.ct import codec
from ich.errors import InputError

HU_MIN, HU_MAX = -1024, 3071
"""What 12 bits hold; padding (-2000 and below) becomes air, metal (to 30,000) the densest bone."""

Reason = Literal[
    "empty", "not_dicom", "bad_header", "not_ct", "multi_frame", "colour", "localizer", "not_axial", "no_pixels", "bad_size",
    "bad_pixel_format", "bad_spacing", "bad_rescale", "unsupported_codec", "truncated", "corrupt_pixels", "implausible_hu",
]  # fmt: skip
"""Why a file is not one readable CT slice, in order of precedence."""

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = (f"{CT_IMAGE_STORAGE}.1", f"{CT_IMAGE_STORAGE}.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED)

MAX_FILE_BYTES = 1 << 28
MAX_INFLATED_BYTES = 1 << 26
"""64 MiB: a 4096 x 4096 slice of 32 bits; a deflated bomb stops here."""
MIN_SIDE, MAX_SIDE = 32, 4096
MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 10.0
MIN_BITS = 10
"""Fewer bits would make steps of several HU."""
MAX_TILT_DEGREES = 45
"""A gantry tilts by 30 degrees at most; coronal and sagittal reformations stand at 90."""
AIR_HU = -200
"""Every slice of a head has some air round it."""


class _Tag:
    """The elements that are read; nothing else of a file is looked at."""

    TRANSFER_SYNTAX = 0x00020010
    IMAGE_TYPE = 0x00080008
    SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
    MODALITY, SERIES_DESCRIPTION = 0x00080060, 0x0008103E
    PATIENT, STUDY, SERIES = 0x00100020, 0x0020000D, 0x0020000E
    POSITION, ORIENTATION = 0x00200032, 0x00200037
    SAMPLES, PHOTOMETRIC, FRAMES = 0x00280002, 0x00280004, 0x00280008
    ROWS, COLUMNS, SPACING = 0x00280010, 0x00280011, 0x00280030
    ALLOCATED, STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
    INTERCEPT, SLOPE, MODALITY_LUT = 0x00281052, 0x00281053, 0x00283000
    PIXELS = 0x7FE00010


_TAGS = [tag for name, tag in vars(_Tag).items() if name.isupper()]


class BadSlice(InputError):
    """A file that is not one readable CT slice: `path`, one `reason`, and what was seen."""

    def __init__(self, path: str, reason: Reason, detail: str) -> None:
        super().__init__(f"{path}: {reason}: {detail}")
        self.path = path
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a slice says of itself. Millimetres; `spacing_mm` is (between rows, between columns), as in DICOM.

    `image_id` is the SOP instance, or the file's name without one. A missing patient, study or series id is taken from the next smaller
    thing, so that strangers are never merged. Position and orientation (six direction cosines) are None where absent or malformed.
    """

    image_id: str
    series_id: str
    study_id: str
    patient_id: str
    position_mm: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    spacing_mm: tuple[float, float] | None
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One CT slice: HU int16 [H, W] in [HU_MIN, HU_MAX], and its header."""

    hu: Int16[np.ndarray, "height width"]
    header: Header


def read_slice(source: Path | str | bytes, *, spacing_required: bool = True) -> Slice:
    """Read one slice from a path or from a file's bytes; raises BadSlice and nothing else."""
    name, data = _load(source)
    file = _parse(name, io.BytesIO(data), pixels=True)
    header = _check_header(file, spacing_required)
    hu = _to_hu(*_unwrap(file, _stored(file, header)))
    if hu.min() > AIR_HU:
        raise file.bad("implausible_hu", f"the lowest value is {hu.min()} HU: a slice of a head has air round it")
    return Slice(hu=hu, header=header)


def read_header(source: Path | str | bytes, *, spacing_required: bool = True) -> Header:
    """Read what stands before the pixels; raises BadSlice with the reasons that a header shows."""
    if isinstance(source, bytes):
        return _check_header(_parse("<bytes>", io.BytesIO(source), pixels=False), spacing_required)
    name = str(source)
    try:
        with Path(source).open("rb") as stream:
            file = _parse(name, stream, pixels=False)
    except OSError as error:
        raise BadSlice(name, "not_dicom", f"cannot be opened: {error.strerror}") from error
    return _check_header(file, spacing_required)


def _load(source: Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "<bytes>", source
    try:
        size = Path(source).stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadSlice(str(source), "bad_size", f"{size} bytes are more than one slice can have")
        return str(source), Path(source).read_bytes()
    except OSError as error:
        raise BadSlice(str(source), "not_dicom", f"cannot be opened: {error.strerror}") from error


def _parse(name: str, stream: BinaryIO, *, pixels: bool) -> "_File":
    """The elements of _TAGS, undecoded, and the transfer syntax."""
    start = stream.read(1 << 16)
    if not start:
        raise BadSlice(name, "empty", "the file has no bytes")
    # Without preamble a file may still begin with an element of group 0002 or 0008 (ACR-NEMA and old exports).
    if start[128:132] != b"DICM" and not re.match(rb"[\x02\x08]\x00[\x00-\x20]\x00", start):
        raise BadSlice(name, "not_dicom", "neither the DICM mark nor a first element")
    # pydicom warns of much that decides nothing here; catch_warnings would not be safe in threads.
    warnings.filterwarnings("ignore", module="pydicom")
    deflated = DEFLATED.encode() in start
    stream.seek(0)
    try:
        dataset = _inflate(name, stream) if deflated else None
        if dataset is None:
            dataset = _read(stream, stop_before_pixels=not pixels)
        if pixels and not len(dataset):
            dataset = _read(stream, stop_before_pixels=True)  # pydicom forgets everything where the pixels end early
        meta = getattr(dataset, "file_meta", Dataset())
        syntax = _text(meta, _Tag.TRANSFER_SYNTAX) or _guessed_syntax(dataset)
    except BadSlice:
        raise
    except Exception as error:
        # pydicom raises struct.error, zlib.error, RecursionError, TypeError, AttributeError, … for broken headers; all mean one thing here.
        raise BadSlice(name, "bad_header", f"its elements cannot be read: {type(error).__name__}: {error}") from error
    if start[128:132] != b"DICM" and _Tag.SOP_CLASS not in dataset:
        raise BadSlice(name, "bad_header", "neither the DICM mark nor a SOPClassUID: an ACR-NEMA file, older than DICOM")
    return _File(name=name, dataset=dataset, syntax=syntax, pixels=pixels)


def _read(stream: BinaryIO, *, stop_before_pixels: bool) -> Dataset:
    stream.seek(0)
    return pydicom.dcmread(stream, force=True, stop_before_pixels=stop_before_pixels, specific_tags=_TAGS)


def _inflate(name: str, stream: BinaryIO) -> Dataset | None:
    """The dataset of a deflated file, inflated up to a cap; None where the syntax is another after all."""
    read_preamble(stream, force=True)
    meta = _read_file_meta_info(stream)  # public readers of it want a path, or inflate without a cap
    if _text(meta, _Tag.TRANSFER_SYNTAX) != DEFLATED:
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(stream.read(MAX_FILE_BYTES), MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise BadSlice(name, "bad_size", f"it inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise BadSlice(name, "truncated", "the deflated stream ends early")
    dataset = read_dataset(io.BytesIO(content), is_implicit_VR=False, is_little_endian=True, specific_tags=_TAGS)
    dataset.file_meta = meta
    return dataset


def _guessed_syntax(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    return NATIVE[0] if implicit else NATIVE[1] if little else NATIVE[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A parsed file: where it came from, its elements, its transfer syntax, and whether it was read with its pixels."""

    name: str
    dataset: Dataset
    syntax: str
    pixels: bool

    def bad(self, reason: Reason, detail: str) -> BadSlice:
        return BadSlice(self.name, reason, detail)

    def text(self, tag: int) -> str:
        return _text(self.dataset, tag)

    def integer(self, tag: int) -> int | None:
        """A US element's value."""
        value = _raw(self.dataset, tag)
        order: Literal["little", "big"] = "big" if self.syntax == NATIVE[2] else "little"
        return int.from_bytes(value, order) if isinstance(value, bytes) and len(value) == 2 else None

    def numbers(self, tag: int) -> tuple[float, ...] | None:
        """A DS element's values; None where there are none or one is no finite number."""
        try:
            values = tuple(float(part) for part in self.text(tag).split("\\"))
        except ValueError:
            return None
        return values if all(math.isfinite(value) for value in values) else None


def _raw(dataset: Dataset, tag: int) -> object:
    """An element's undecoded value: pydicom's own decoding warns of every `ID_…` and may fail in names nobody needs."""
    return dataset.get_item(tag).value if tag in dataset else None


def _text(dataset: Dataset, tag: int) -> str:
    value = _raw(dataset, tag)
    return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else str(value or "")


def _check_header(file: _File, spacing_required: bool) -> Header:
    _check_kind(file)
    orientation = _direction(file)
    rows, columns = file.integer(_Tag.ROWS) or 0, file.integer(_Tag.COLUMNS) or 0
    if file.pixels and not _raw(file.dataset, _Tag.PIXELS):
        raise file.bad("no_pixels", "PixelData is empty" if _Tag.PIXELS in file.dataset else "PixelData is missing or ends early")
    if not (MIN_SIDE <= rows <= MAX_SIDE and MIN_SIDE <= columns <= MAX_SIDE):
        raise file.bad("bad_size", f"{rows} x {columns} pixels, not {MIN_SIDE} to {MAX_SIDE} a side")
    spacing = file.numbers(_Tag.SPACING)
    if spacing is None or len(spacing) != 2 or not all(MIN_SPACING_MM < value < MAX_SPACING_MM for value in spacing):
        spacing = None
        if spacing_required:
            raise file.bad(
                "bad_spacing",
                f"PixelSpacing is {file.text(_Tag.SPACING) or 'missing'}, so pixels cannot become millimetres; "
                "use geometry=full to do without",
            )
    position = file.numbers(_Tag.POSITION)
    image_id = file.text(_Tag.SOP_INSTANCE) or Path(file.name).stem
    series_id = file.text(_Tag.SERIES) or image_id
    study_id = file.text(_Tag.STUDY) or series_id
    return Header(
        image_id=image_id,
        series_id=series_id,
        study_id=study_id,
        patient_id=file.text(_Tag.PATIENT) or study_id,
        position_mm=(position[0], position[1], position[2]) if position and len(position) == 3 else None,
        orientation=orientation,
        spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        rows=rows,
        columns=columns,
    )


def _check_kind(file: _File) -> None:
    """One grey axial slice of CT."""
    sop_class, modality = file.text(_Tag.SOP_CLASS), file.text(_Tag.MODALITY).upper()
    if sop_class not in ("", CT_IMAGE_STORAGE, *ENHANCED_CT) or modality not in ("CT", "") or not (sop_class or modality):
        raise file.bad("not_ct", f"SOPClassUID {sop_class or 'missing'}, Modality {modality or 'missing'}")
    frames = file.text(_Tag.FRAMES)
    if sop_class in ENHANCED_CT or frames not in ("", "1"):
        raise file.bad("multi_frame", f"{frames or 'several'} frames; split it into single slices")
    photometric, samples = file.text(_Tag.PHOTOMETRIC), file.integer(_Tag.SAMPLES)
    if photometric not in ("", "MONOCHROME1", "MONOCHROME2") or samples not in (None, 1):
        raise file.bad("colour", f"PhotometricInterpretation {photometric or 'missing'}, SamplesPerPixel {samples}")
    described = f"{file.text(_Tag.IMAGE_TYPE)}\\{file.text(_Tag.SERIES_DESCRIPTION)}".upper()
    if any(word in described for word in ("LOCALIZER", "SCOUT", "TOPOGRAM")):
        raise file.bad("localizer", f"ImageType and SeriesDescription are {described}")


def _direction(file: _File) -> tuple[float, float, float, float, float, float] | None:
    values = file.numbers(_Tag.ORIENTATION)
    if values is None or len(values) != 6:
        return None
    normal = np.cross(values[:3], values[3:])
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        return None
    if abs(normal[2]) / length < math.cos(math.radians(MAX_TILT_DEGREES)):
        raise file.bad("not_axial", f"its normal is {np.round(normal, 2).tolist()}; reformat it axially")
    return values[0], values[1], values[2], values[3], values[4], values[5]


def _stored(file: _File, header: Header) -> Integer[np.ndarray, "height width"]:
    """The stored values, masked to BitsStored and sign-extended."""
    allocated, stored = file.integer(_Tag.ALLOCATED), file.integer(_Tag.STORED)
    signed, high = file.integer(_Tag.SIGNED), file.integer(_Tag.HIGH_BIT)
    if not file.text(_Tag.PHOTOMETRIC) or file.integer(_Tag.SAMPLES) is None:
        raise file.bad("bad_pixel_format", "PhotometricInterpretation or SamplesPerPixel is missing")
    if allocated not in (16, 32) or stored is None or not MIN_BITS <= stored <= allocated or signed not in (0, 1):
        raise file.bad(
            "bad_pixel_format", f"BitsAllocated {allocated}, BitsStored {stored}, PixelRepresentation {signed}"
        )
    if high not in (None, stored - 1):
        raise file.bad("bad_pixel_format", f"HighBit {high} with BitsStored {stored}")
    _rescale(file)  # before any decoding: bad_rescale comes first
    if file.syntax not in (*NATIVE, *codec.SYNTAXES):
        raise file.bad("unsupported_codec", f"transfer syntax {file.syntax} has no decoder here; convert to explicit little endian")
    layout = codec.Layout(rows=header.rows, columns=header.columns, bits_allocated=allocated, bits_stored=stored, signed=bool(signed))
    try:
        values = _decode(file, layout)
    except codec.BadPixels as error:
        raise file.bad(error.reason, error.detail) from error
    return codec.extend_sign(values, layout)


def _decode(file: _File, layout: codec.Layout) -> np.ndarray:
    pixels = _raw(file.dataset, _Tag.PIXELS)
    assert isinstance(pixels, bytes)
    if file.syntax in NATIVE:
        return codec.native(pixels, layout, big_endian=file.syntax == NATIVE[2])
    return codec.compressed(pixels, layout, file.syntax)


def _rescale(file: _File) -> tuple[float, float]:
    """Slope and intercept."""
    if _Tag.MODALITY_LUT in file.dataset:
        raise file.bad("bad_rescale", "a ModalityLUTSequence cannot give negative HU")
    slope, intercept = file.numbers(_Tag.SLOPE), file.numbers(_Tag.INTERCEPT)
    if slope is None or intercept is None or len(slope) != 1 or len(intercept) != 1 or slope[0] <= 0:
        raise file.bad(
            "bad_rescale",
            f"RescaleSlope {file.text(_Tag.SLOPE) or 'missing'}, RescaleIntercept {file.text(_Tag.INTERCEPT) or 'missing'}",
        )
    return slope[0], intercept[0]


def _unwrap(file: _File, stored: Integer[np.ndarray, "height width"]) -> tuple[np.ndarray, float, float]:
    """Stored values with the slope and intercept that make them HU.

    About 123 slices of RSNA 2019 hold HU modulo 4096 (-1000 as 3096): unsigned 12 bits without an offset cannot hold air.
    """
    slope, intercept = _rescale(file)
    if file.integer(_Tag.STORED) == 12 and not file.integer(_Tag.SIGNED) and intercept > -100:
        raised = stored + 1000
        return np.where(raised >= 4096, raised - 4096, raised), slope, -1000.0
    return stored, slope, intercept


def _to_hu(stored: Integer[np.ndarray, "height width"], slope: float, intercept: float) -> Int16[np.ndarray, "height width"]:
    """Rescale, round and clip; in the stored type where slope and intercept are whole, which is seven times faster."""
    offset = int(intercept)
    if slope == 1 and offset == intercept and abs(offset) < 1 << 14:
        clipped = np.clip(stored, HU_MIN - offset, HU_MAX - offset).astype(np.int16, copy=False)
        clipped += np.int16(offset)
        return clipped
    return np.rint(stored * slope + intercept).clip(HU_MIN, HU_MAX).astype(np.int16)
