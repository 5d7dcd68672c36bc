"""One small slice that is nobody's: what a model shows as its example of an input."""

import io

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ich.data.phantom.header import CT_IMAGE_STORAGE

SIDE, SPACING_MM = 128, 2.0
AIR, BONE, BRAIN, BLOOD = -1000, 900, 35, 70
UID = "2.25.20190912"


def example_slice() -> bytes:
    """A DICOM file of 33 KB: an ellipse of brain in a skull, with a round bleeding."""
    rows, columns = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * SPACING_MM
    head = np.hypot(rows / 90, columns / 72)
    hu = np.select([head > 1, head > 0.92], [AIR, BONE], default=BRAIN)
    hu[np.hypot(rows + 15, columns - 25) < 12] = BLOOD
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_IMAGE_STORAGE, UID
    dataset.Modality, dataset.PatientID = "CT", "example"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [SPACING_MM, SPACING_MM]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.PixelData = hu.astype("<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = UID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
