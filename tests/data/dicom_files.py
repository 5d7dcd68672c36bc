"""Tiny DICOM slices to order, in the manner of RSNA 2019."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset


def write_slice(
    path: Path,
    *,
    image: str,
    series: str = "ID_s",
    patient: str = "ID_p",
    z: float | None = 0.0,
    tilt: float = 0.0,
    hu: int = 40,
    air: int = -1000,
    spacing: tuple[float, float] | None = (4.0, 4.0),
    wrapped: bool = False,
    middle: tuple[int, int] = (32, 32),
) -> Path:
    """A disc of `hu` in `air`, 64 x 64 pixels of 4 mm; `wrapped`: signed in 12 bits that have no sign."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID, data.PatientID = (
        image,
        series,
        f"{series}-study",
        patient,
    )
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "CT", "MONOCHROME2", 1
    data.Rows = data.Columns = 64
    if spacing is not None:
        data.PixelSpacing = list(spacing)
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    if z is not None:
        data.ImagePositionPatient = [0.0, 0.0, z]
        data.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(tilt)), 6), round(float(np.sin(tilt)), 6)]
    rows, columns = np.mgrid[:64, :64]
    pixels = np.where((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 400, hu, air).astype("<i2")
    if wrapped:
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
        pixels = pixels % 4096
    data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=False)
    return path
