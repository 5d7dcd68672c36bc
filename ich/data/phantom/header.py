"""A slice as a DICOM file: the 21 elements that RSNA 2019 has, in the layouts that it has them in."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16
from pydicom import config, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ich.data.phantom.plan import StudyPlan
from ich.data.phantom.scanner import SIDE, in_circle

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PADDING = -2000
"""What several scanners store outside the circle that they reconstruct; no HU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How HU are stored. `corner` is the stored value outside the circle; None: air, as inside."""

    signed: bool
    intercept: int
    implicit: bool = False
    corner: int | None = None
    windows: tuple[tuple[str, str], ...] = (("30", "80"),)

    @property
    def bits(self) -> int:
        return 16 if self.signed else 12


_ZEROS = (("00036\\00036", "00080\\00080"), ("00040\\00040", "00080\\00080"))
_PLAIN = (("30", "80"), ("30", "80"), ("40", "150"), ("35", "135"), ("50", "100"))
LAYOUTS = {
    "unsigned_implicit": Layout(signed=False, intercept=-1024, implicit=True, windows=_ZEROS),
    "unsigned_explicit": Layout(signed=False, intercept=-1024, windows=_ZEROS),
    "signed_padded": Layout(signed=True, intercept=-1024, corner=PADDING),
    "signed_corner": Layout(signed=True, intercept=-1024, corner=-1024, windows=_PLAIN),
    "intercept_1000": Layout(signed=False, intercept=-1000, windows=_ZEROS),
    "intercept_0": Layout(signed=True, intercept=0, corner=PADDING, windows=_PLAIN),
    "wrapped": Layout(signed=False, intercept=0, windows=_ZEROS),
}


def encode(
    hu: Int16[np.ndarray, "512 512"],
    plan: StudyPlan,
    place: int,
    *,
    spacing_mm: float,
    tilt: float,
    height_mm: float,
    origin_mm: float,
) -> bytes:
    """The DICOM file of a slice. `height_mm` is along the head, `origin_mm` where the table stood."""
    layout = LAYOUTS[plan.layout]
    dataset = Dataset()
    with config.disable_value_validation():  # ID_… are no valid UIDs, and are what the challenge has
        _identify(dataset, plan, place)
        _locate(dataset, layout, spacing_mm, tilt, height_mm, origin_mm)
        _describe(dataset, layout, plan.number)
        dataset.PixelData = store(hu, layout).tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = _meta(plan.image_ids[place], implicit=layout.implicit)
        buffer = io.BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def store(hu: Int16[np.ndarray, "512 512"], layout: Layout) -> np.ndarray:
    """HU as stored values."""
    if layout.intercept == 0 and not layout.signed:
        return (np.maximum(hu, -1000) % 4096).astype("<u2")  # HU modulo 4096: 12 bits without an offset cannot hold air
    stored = np.clip(
        hu.astype(np.int32) - layout.intercept, -32768 if layout.signed else 0, 32767 if layout.signed else 4095
    )
    if layout.corner is not None:
        stored[~in_circle()] = layout.corner
    return stored.astype("<i2" if layout.signed else "<u2")


def _identify(dataset: Dataset, plan: StudyPlan, place: int) -> None:
    dataset.SOPInstanceUID = plan.image_ids[place]
    dataset.Modality = "CT"
    dataset.PatientID = plan.patient_id
    dataset.StudyInstanceUID = plan.study_id
    dataset.SeriesInstanceUID = plan.series_id
    dataset.StudyID = ""


def _locate(
    dataset: Dataset, layout: Layout, spacing_mm: float, tilt: float, height_mm: float, origin_mm: float
) -> None:
    """The first pixel's centre, and the directions of a row and of a column.

    A tilted gantry's slices follow each other along the table, so only z changes from one to the next.
    """
    half = spacing_mm * (SIDE - 1) / 2
    position = (-half, -half * np.cos(tilt), origin_mm + height_mm / np.cos(tilt) - half * np.sin(tilt))
    cosines = (1.0, 0.0, 0.0, 0.0, np.cos(tilt), np.sin(tilt))
    written = "{:.6f}".format if layout.signed else "{:.9g}".format
    dataset.ImagePositionPatient = [written(value) for value in position]
    dataset.ImageOrientationPatient = [written(value) for value in cosines]
    dataset.PixelSpacing = [written(spacing_mm)] * 2


def _describe(dataset: Dataset, layout: Layout, number: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated = 16
    dataset.BitsStored = layout.bits
    dataset.HighBit = layout.bits - 1
    dataset.PixelRepresentation = int(layout.signed)
    centre, width = layout.windows[number % len(layout.windows)]
    dataset.WindowCenter, dataset.WindowWidth = centre, width
    dataset.RescaleIntercept = str(layout.intercept)
    dataset.RescaleSlope = "1"


def _meta(image_id: str, *, implicit: bool) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    meta.MediaStorageSOPInstanceUID = f"2.25.{int(image_id.removeprefix('ID_'), 16)}"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return meta
