"""A slice as a DICOM file: RSNA 2019's elements, in each layout that it has them in."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import FileDataset

from ich.ct.dicom import read_slice
from ich.data.phantom.header import LAYOUTS, encode
from ich.data.phantom.plan import LAYOUT_SHARES, StudyPlan
from ich.data.phantom.scanner import in_circle

KEYWORDS = {
    "SOPInstanceUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyID",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope",
}  # fmt: skip
HEAD = np.random.default_rng(0).integers(-1024, 3072, (512, 512)).astype(np.int16)
"""Every HU there is."""


def plan(layout: str, number: int = 0) -> StudyPlan:
    return StudyPlan(
        number=number,
        kinds=(),
        layout=layout,
        patient_id="ID_0000000a",
        study_id="ID_000000000b",
        series_id="ID_000000000c",
        image_ids=("ID_000000001", "ID_000000002"),
    )


def content(layout: str, place: int = 0, *, number: int = 0, tilt: float = 0.0, height_mm: float = 0.0) -> bytes:
    return encode(
        HEAD, plan(layout, number), place, spacing_mm=0.488281, tilt=tilt, height_mm=height_mm, origin_mm=100.0
    )


def read(file: bytes) -> FileDataset:
    """By pydicom, which warns of ids that are no UIDs."""
    with config.disable_value_validation():
        dataset = dcmread(io.BytesIO(file))
        list(dataset)
    return dataset


def test_there_is_a_layout_for_every_share() -> None:
    assert set(LAYOUTS) == set(LAYOUT_SHARES)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_holds_the_21_elements_of_the_challenge_and_the_pixels(layout: str) -> None:
    dataset = read(content(layout))
    assert len(KEYWORDS) == 21
    assert {element.keyword for element in dataset} == KEYWORDS | {"PixelData"}
    assert dataset.StudyID == ""
    assert dataset.is_implicit_VR == (layout == "unsigned_implicit")


def test_a_real_file_holds_the_same_elements(rsna2019: Path) -> None:
    with zipfile.ZipFile(rsna2019 / "mini.zip") as archive:
        real = next(name for name in archive.namelist() if name.endswith(".dcm"))
        assert set(read(archive.read(real)).keys()) == set(read(content("signed_padded")).keys())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_back_to_the_same_hu(layout: str) -> None:
    lowest = -1000 if layout in ("intercept_1000", "wrapped") else -1024  # what 12 bits can say with that intercept
    expected = HEAD.clip(min=lowest)
    if layout in ("signed_padded", "signed_corner", "intercept_0"):
        expected[~in_circle()] = -1024  # padding is no HU, and becomes air
    found = read_slice(content(layout))
    assert found.hu.dtype == np.int16
    assert (found.hu == expected).all()


@pytest.mark.parametrize(
    ("layout", "bits", "signed", "intercept", "lowest", "highest"),
    [
        ("unsigned_implicit", 12, 0, -1024, 0, 4095),
        ("unsigned_explicit", 12, 0, -1024, 0, 4095),
        ("signed_padded", 16, 1, -1024, -2000, 4095),
        ("signed_corner", 16, 1, -1024, -1024, 4095),
        ("intercept_1000", 12, 0, -1000, 0, 4071),
        ("intercept_0", 16, 1, 0, -2000, 3071),
        ("wrapped", 12, 0, 0, 0, 4095),  # air, -1000 HU, is stored as 3096
    ],
)
def test_stored_values_are_those_of_the_real_layout(
    layout: str, bits: int, signed: int, intercept: int, lowest: int, highest: int
) -> None:
    dataset = read(content(layout))
    assert (dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation) == (bits, bits - 1, signed)
    assert (dataset.RescaleIntercept, dataset.RescaleSlope) == (intercept, 1)
    stored = np.frombuffer(dataset.PixelData, "<i2" if signed else "<u2")
    assert (stored.min(), stored.max()) == (lowest, highest)


def test_a_wrapped_slice_stores_air_above_its_bone() -> None:
    stored = np.frombuffer(read(content("wrapped")).PixelData, "<u2").reshape(512, 512)
    assert (stored[HEAD <= -1000] == 3096).all()
    assert (stored[HEAD == 40] == 40).all()


def test_windows_vary_and_some_are_padded_and_doubled() -> None:
    centres = {str(read(content(layout, number=number)).WindowCenter) for layout in LAYOUTS for number in range(5)}
    assert {"30", "40", "35", "50", "[00036, 00036]", "[00040, 00040]"} <= centres


def test_ids_and_places_come_from_the_plan() -> None:
    header = read_slice(content("unsigned_implicit", 1, height_mm=20.0)).header
    assert header.image_id == "ID_000000002"
    assert (header.patient_id, header.study_id, header.series_id) == ("ID_0000000a", "ID_000000000b", "ID_000000000c")
    assert header.spacing_mm == (0.488281, 0.488281)
    half_mm = 0.488281 * 511 / 2  # from the centre of the first pixel to the centre of the slice
    assert header.position_mm == pytest.approx((-half_mm, -half_mm, 120.0), abs=1e-5)


def test_tilted_slices_follow_each_other_along_the_table() -> None:
    tilt = np.deg2rad(-18)
    first, second = (
        read_slice(content("signed_padded", place, tilt=float(tilt), height_mm=5.0 * place)).header for place in (0, 1)
    )
    assert first.orientation == pytest.approx((1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), abs=1e-6)
    assert first.position_mm
    assert second.position_mm
    assert second.position_mm[:2] == first.position_mm[:2]
    along_table_mm = second.position_mm[2] - first.position_mm[2]
    assert along_table_mm * np.cos(tilt) == pytest.approx(5.0, abs=1e-5)  # between two planes
