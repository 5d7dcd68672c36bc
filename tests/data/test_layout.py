"""How slices are stored, as their headers say it."""

from pathlib import Path

import numpy as np

from ich.data.cohort import read_cohort
from ich.data.files import Folder, open_archive
from ich.data.layout import name_layouts
from tests.data.dicom_files import write_slice
from tests.data.test_files import pack


def test_a_cohorts_table_tells_the_layout_of_each_slice(tmp_path: Path) -> None:
    for number in range(4):
        write_slice(tmp_path / f"{number}.dcm", image=f"ID_{number}", z=number, wrapped=number % 3 == 1)
    signed, unsigned = "16 bits, signed, intercept 0", "12 bits, unsigned, intercept 0"
    assert name_layouts(read_cohort(tmp_path).table).tolist() == [signed, unsigned, signed, signed]


def test_stored_values_are_those_before_hu_in_a_folder_and_in_a_zip(tmp_path: Path) -> None:
    write_slice(tmp_path / "in" / "a.dcm", image="ID_a", wrapped=True)
    archive = open_archive(pack(tmp_path / "in", tmp_path / "data.zip"))
    for files in (Folder(tmp_path / "in"), archive):
        stored, layout = files.read_raw("a.dcm")
        assert np.unique(stored).tolist() == [40, 3096]  # -1000 modulo 4096
        assert str(layout) == "12 bits, unsigned, intercept 0"
