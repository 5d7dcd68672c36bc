"""A folder of files to one table in anatomical order."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.data.cohort import BadCohort, kaggle_files, kaggle_folder, neighbour_rows, read_cohort, read_table
from ich.data.labels import BadLabels
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice


def test_flat_or_nested_every_file_is_tried(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.dcm", image="ID_a", z=1)
    write_slice(tmp_path / "deep" / "er" / "no_ending", image="ID_b", z=2)
    (tmp_path / "notes.txt").write_text("no slice")
    (tmp_path / ".DS_Store").write_text("hidden")
    cohort = read_cohort(tmp_path)
    assert cohort.table["image_id"].tolist() == ["ID_a", "ID_b"]
    assert cohort.table["file"].tolist() == ["a.dcm", "deep/er/no_ending"]
    assert cohort.rejected[["file", "reason"]].to_numpy().tolist() == [["notes.txt", "not_dicom"]]


def test_slices_stand_from_feet_to_head_and_ties_by_image(tmp_path: Path) -> None:
    for image, z in (("ID_top", 30), ("ID_b", 10), ("ID_a", 10), ("ID_low", -5)):
        write_slice(tmp_path / f"{image}.dcm", image=image, z=z)
    assert read_cohort(tmp_path).table["image_id"].tolist() == ["ID_low", "ID_a", "ID_b", "ID_top"]


def test_a_tilted_gantry_is_measured_along_the_normal(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.dcm", image="ID_a", z=100, tilt=0.3)
    assert read_cohort(tmp_path).table["position_mm"].iloc[0] == pytest.approx(100 * 0.955336, abs=1e-3)  # z cos 0.3


def test_a_slice_seen_from_above_stands_where_it_is(tmp_path: Path) -> None:
    for z in (10, 20):
        write_slice(tmp_path / f"{z}.dcm", image=f"ID_{z}", z=z, tilt=math.pi)  # columns run to the front, not the back
    table = read_cohort(tmp_path).table
    assert table["position_mm"].tolist() == pytest.approx([10, 20])
    assert table["image_id"].tolist() == ["ID_10", "ID_20"]


def test_series_are_not_mixed(tmp_path: Path) -> None:
    for series in ("ID_s2", "ID_s1"):
        for z in (2, 1):
            write_slice(tmp_path / f"{series}{z}.dcm", image=f"ID_{series}{z}", series=series, z=z)
    table = read_cohort(tmp_path).table
    assert table["series_id"].tolist() == ["ID_s1", "ID_s1", "ID_s2", "ID_s2"]
    assert table["position_mm"].tolist() == [1, 2, 1, 2]


def test_slices_without_a_position_stand_by_image(tmp_path: Path) -> None:
    for image in ("ID_b", "ID_a"):
        write_slice(tmp_path / f"{image}.dcm", image=image, z=None)
    table = read_cohort(tmp_path).table
    assert table["image_id"].tolist() == ["ID_a", "ID_b"]
    assert table["position_mm"].isna().all()


def test_one_image_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_slice(tmp_path / name, image="ID_a")
    with pytest.raises(BadCohort, match=r"a\.dcm and b\.dcm are both image ID_a"):
        read_cohort(tmp_path)


def test_a_folder_without_a_slice_says_what_most_files_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(BadCohort, match=r"none of its 1 files is a CT slice \(mostly: not_dicom\)"):
        read_cohort(tmp_path)
    with pytest.raises(BadCohort, match="there is no such folder"):
        read_cohort(tmp_path / "none")


def test_kaggles_folder_or_the_one_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "rsna-intracranial-hemorrhage-detection"
    (folder / "stage_2_train").mkdir(parents=True)
    (folder / "stage_2_train.csv").write_text("ID,Label\n")
    assert kaggle_folder(tmp_path) == kaggle_folder(folder) == folder


def test_another_folder_and_a_missing_one_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadCohort, match=r"holds stage_2_train/ and stage_2_train\.csv, as Kaggle's does"):
        kaggle_folder(tmp_path)
    with pytest.raises(BadCohort, match="there is no such folder"):
        kaggle_folder(tmp_path / "none")
    with pytest.raises(BadCohort, match=r"data\.zip: there is no such file; data\.root is Kaggle's folder"):
        kaggle_files(tmp_path / "data.zip")


def table_csv(folder: Path, rows: list[list[object]]) -> Path:
    path = folder / "cases.csv"
    pd.DataFrame(rows, columns=["file", "patient_id", *FINDINGS]).to_csv(path, index=False)
    return path


def test_a_table_of_ones_own_names_files_patients_and_labels(tmp_path: Path) -> None:
    write_slice(tmp_path / "in" / "b.dcm", image="ID_b", patient="other")
    write_slice(tmp_path / "in" / "a.dcm", image="ID_a", patient="other")
    path = table_csv(tmp_path, [["in/a.dcm", "p1", 0, 0, 0, 0, 0, 0], ["in/b.dcm", "p2", 0, 0, 0, 0, 1, 1]])
    cohort, labels = read_table(path)
    assert cohort.table.set_index("image_id")["patient_id"].to_dict() == {"ID_a": "p1", "ID_b": "p2"}
    assert labels.loc["ID_b", ["subdural", "any"]].tolist() == [1, 1]


def test_a_table_that_lacks_a_column_or_contradicts_itself_is_refused(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.dcm", image="ID_a")
    (tmp_path / "short.csv").write_text("file,any\na.dcm,0\n")
    with pytest.raises(BadCohort, match="it lacks patient_id, epidural"):
        read_table(tmp_path / "short.csv")
    with pytest.raises(BadLabels, match="any is not the largest of its kinds"):
        read_table(table_csv(tmp_path, [["a.dcm", "p", 0, 0, 0, 0, 1, 0]]))
    with pytest.raises(BadLabels, match="a label is 0 or 1"):
        read_table(table_csv(tmp_path, [["a.dcm", "p", 0, 0, 0, 0, 2, 1]]))


def test_a_table_may_name_its_files_in_any_way_and_a_patient_na(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_slice(tmp_path / "in" / f"{name}.dcm", image=f"ID_{name}")
    files = [str(tmp_path / "in" / "a.dcm"), "./in/b.dcm", "in/../in/c.dcm"]
    rows = [[file, patient, *[0] * 6] for file, patient in zip(files, ("NA", "null", "007"), strict=True)]
    cohort, labels = read_table(table_csv(tmp_path, rows))
    assert cohort.table["file"].tolist() == ["in/a.dcm", "in/b.dcm", "in/c.dcm"]
    assert cohort.table["patient_id"].tolist() == ["NA", "null", "007"]
    assert len(labels) == 3
    for wrong in (["in/a.dcm", ""], ["", "p"], ["./in/b.dcm", "p"]):
        with pytest.raises(BadCohort, match="every row names a file of its own and a patient_id"):
            read_table(table_csv(tmp_path, [["in/b.dcm", "p", *[0] * 6], [*wrong, *[0] * 6]]))


def test_a_file_of_a_table_that_is_not_there_is_rejected_by_name(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.dcm", image="ID_a")
    cohort, labels = read_table(table_csv(tmp_path, [["a.dcm", "p", *[0] * 6], ["gone.dcm", "p", *[0] * 6]]))
    assert labels.index.tolist() == ["ID_a"]
    assert cohort.rejected.to_numpy().tolist() == [
        ["gone.dcm", "not_dicom", "the file cannot be read: No such file or directory"]
    ]


def test_a_name_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.dcm", image="ID_a")
    try:
        (tmp_path / "a.dcm").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.dcm"))
    except OSError:
        pytest.skip("this file system holds no such name")
    with pytest.raises(BadCohort, match=r"'\\udcff\.dcm' is no name for a table; rename the file"):
        read_cohort(tmp_path)


def test_more_files_than_threads_may_be_ahead_of_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ich.data.cohort.AHEAD", 3)
    for number in range(10):
        write_slice(tmp_path / f"{number}.dcm", image=f"ID_{number}", z=number)
    seen: list[tuple[int, int]] = []
    table = read_cohort(tmp_path, report=lambda done, total: seen.append((done, total))).table
    assert table["file"].tolist() == [f"{number}.dcm" for number in range(10)]
    assert seen == [(10, 10)]


def test_the_digest_knows_content_and_no_path(tmp_path: Path) -> None:
    digests = []
    for folder, patient, hu in (("one", "ID_p", 40), ("two", "ID_p", 40), ("three", "ID_q", 40), ("four", "ID_p", 41)):
        write_slice(tmp_path / folder / "a.dcm", image="ID_a", patient=patient, hu=hu)
        digests.append(read_cohort(tmp_path / folder).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3  # another patient, and pixels that no header tells
    file = tmp_path / "one" / "a.dcm"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert read_cohort(tmp_path / "one").digest not in digests


def test_real_series_stand_in_the_order_of_the_independent_table(mini: Path, rsna2019: Path) -> None:
    table = read_cohort(kaggle_folder(mini) / "stage_2_train").table
    with (rsna2019 / "mini_headers.csv").open(newline="") as file:
        known = pd.DataFrame([row for row in csv.DictReader(file) if row["set"] == "stage_2_train"])
    assert len(table) == len(known) == 346
    known = known.astype({"z": float}).sort_values(["patient_id", "study_id", "series_id", "z"], kind="stable")
    distinct = ~known.duplicated(["series_id", "z"], keep=False).to_numpy()
    assert table["image_id"][distinct].tolist() == known["image_id"][distinct].tolist()
    assert table["patient_id"].tolist() == known["patient_id"].tolist()


def test_neighbours_stay_in_their_series_and_repeat_at_its_ends() -> None:
    table = pd.DataFrame({"patient_id": "p", "study_id": "s", "series_id": ["a", "a", "a", "b", "c", "c"]})
    table["position_mm"] = np.arange(6.0)
    assert neighbour_rows(table, 3).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 3], [4, 4, 5], [4, 5, 5]]
    assert neighbour_rows(table, 1).tolist() == [[row] for row in range(6)]
    assert neighbour_rows(table, 5)[1].tolist() == [0, 0, 1, 2, 2]
    assert neighbour_rows(table, 5).dtype == np.int64


def test_neighbours_are_of_the_same_patient() -> None:
    """A table of one's own may give one series to two patients."""
    table = pd.DataFrame({"patient_id": ["p", "q", "q"], "study_id": "s", "series_id": "a", "position_mm": 0.0})
    assert neighbour_rows(table, 3).tolist() == [[0, 0, 0], [1, 1, 2], [1, 2, 2]]


def test_a_slice_whose_place_is_not_known_is_nobodys_neighbour() -> None:
    positions = [0.0, 5.0, np.nan, np.nan]  # in a cohort's order
    table = pd.DataFrame({"patient_id": "p", "study_id": "s", "series_id": "a", "position_mm": positions})
    assert neighbour_rows(table, 3).tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 2], [3, 3, 3]]


@pytest.mark.parametrize("slices", [0, 2, -1])
def test_neighbours_are_as_many_above_as_below(slices: int) -> None:
    with pytest.raises(ValueError, match="give an odd number"):
        neighbour_rows(pd.DataFrame({"patient_id": ["p"], "study_id": "s", "series_id": "a"}), slices)
