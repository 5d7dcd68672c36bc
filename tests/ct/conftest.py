"""The real slices that the tests of heads and squares share."""

import zipfile
from pathlib import Path

import pytest

from ich.ct.dicom import Slice, read_slice


@pytest.fixture(scope="package")
def real(rsna2019: Path) -> list[Slice]:
    """All slices, in anatomical order."""
    with zipfile.ZipFile(rsna2019 / "mini.zip") as archive:
        found = [read_slice(archive.read(name)) for name in archive.namelist() if name.endswith(".dcm")]
    return sorted(found, key=lambda one: (one.header.series_id, one.header.position_mm))
