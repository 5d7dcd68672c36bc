"""A .zip read in place gives what the unpacked folder gives, and nothing that it says of itself is believed."""

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.ct.dicom import BadSlice
from ich.ct.geometry import HeadGeometry
from ich.data.cohort import BadCohort, kaggle_files, read_cohort
from ich.data.files import Archive, BadFiles, Folder, open_archive
from ich.data.labels import BadLabels, write_labels
from ich.data.source import Rsna
from ich.data.store import prepare_store
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice
from tests.data.test_source import silent

INSIDE = "rsna-intracranial-hemorrhage-detection"


def kaggle(root: Path, images: int = 4) -> Path:
    """Kaggle's folder, with a nested slice, one without an image id and a text."""
    folder = root / INSIDE
    for number in range(images):
        image, deep = ("", "deep/er/") if number == 0 else (f"ID_{number}", "")
        write_slice(folder / "stage_2_train" / f"{deep}ID_{number}.dcm", image=image, z=number, hu=30 + number)
    (folder / "stage_2_train" / "notes.txt").write_text("no slice")
    index = pd.Index([f"ID_{number}" for number in range(images)], name="image_id")
    write_labels(folder / "stage_2_train.csv", pd.DataFrame(0, index=index, columns=list(FINDINGS)))
    return root


def pack(folder: Path, path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("above", ["", INSIDE])
def test_a_zip_gives_the_same_store_as_its_folder(tmp_path: Path, method: int, above: str) -> None:
    root = kaggle(tmp_path / "in")
    path = pack(root / above, tmp_path / "data.zip", method)
    stores = []
    for number, source in enumerate((root, path)):
        cache = tmp_path / f"cache{number}"
        cohort, labels = Rsna(root=source, cache=cache, pseudonymize=False).load(spacing_required=True, report=silent)
        assert len(labels) == len(cohort.table) == 4
        assert cohort.table["image_id"].tolist() == [f"ID_{number}" for number in range(4)]
        assert cohort.rejected[["file", "reason"]].to_numpy().tolist() == [["notes.txt", "not_dicom"]]
        stores.append(prepare_store(cohort, HeadGeometry(size=32), cache=cache, processes=1 + number))
    contents = [{file.name: file.read_bytes() for file in store.folder.iterdir()} for store in stores]
    assert contents[0] == contents[1]


def test_nothing_of_a_zip_is_written_anywhere(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    path = pack(kaggle(tmp_path / "in"), tmp_path / "only" / "data.zip")
    Rsna(root=path, cache=tmp_path / "cache").load(spacing_required=True, report=silent)
    assert [file.name for file in (tmp_path / "only").rglob("*")] == ["data.zip"]


@pytest.mark.parametrize("name", ["../ID_a.dcm", "a/../../ID_a.dcm", "/ID_a.dcm", "C:/ID_a.dcm", "a\\..\\ID_a.dcm"])
def test_a_member_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        entry = zipfile.ZipInfo("x")
        entry.filename = name
        archive.writestr(entry, b"x")
    with pytest.raises(BadFiles, match="leads outside of it"):
        open_archive(tmp_path / "data.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_a_lock_and_no_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(BadFiles, match="'a' stands twice"):
        open_archive(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"1")
    with pytest.raises(BadFiles, match="packed by method 12; unpack the archive"):
        open_archive(path)
    path.write_bytes(b"PK no zip")
    with pytest.raises(BadFiles, match=r"no \.zip can be read: File is not a zip file; download it again"):
        open_archive(path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("stage_2_train.csv", b"ID,Label")
    with pytest.raises(BadCohort, match=r"it holds no stage_2_train/ beside a stage_2_train\.csv"):
        kaggle_files(tmp_path / "data.zip")


def test_a_label_table_in_a_zip_is_named_by_its_place_in_it(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "in")
    (root / INSIDE / "stage_2_train.csv").write_text("ID,Label\nID_1_any,7\n")
    path = pack(root, tmp_path / "data.zip")
    with pytest.raises(BadLabels, match=rf"data\.zip/{INSIDE}/stage_2_train\.csv, line 2: a label is 0 or 1, not 7"):
        Rsna(root=path, cache=tmp_path).load(spacing_required=True, report=silent)


def sized(archive: Archive, name: str, **says: int) -> Archive:
    """The same archive, saying something else of a member."""
    return Archive(path=archive.path, members=archive.members | {name: archive.members[name]._replace(**says)})


def test_a_lying_size_costs_no_memory_and_is_a_bad_slice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2**28))
    found = open_archive(tmp_path / "data.zip")
    for size, most in ((1000, 2**21), (2**28, 2**27 + 2**22)):
        tracemalloc.start()
        with pytest.raises(BadSlice) as bad:
            sized(found, "bomb", size=size).read_slice("bomb", spacing_required=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert bad.value.reason in ("truncated", "not_dicom", "bad_size")
        assert peak < most


def test_a_damaged_member_is_a_bad_slice_and_a_cut_archive_too(tmp_path: Path) -> None:
    path = pack(kaggle(tmp_path / "in"), tmp_path / "data.zip")
    archive = open_archive(path)
    name = f"{INSIDE}/stage_2_train/ID_1.dcm"
    good = archive.read_slice(name, spacing_required=True)
    assert np.array_equal(good.hu, Folder(tmp_path / "in").read_slice(name, spacing_required=True).hu)
    for says in ({"crc": 0}, {"size": 10}, {"packed": 10}, {"offset": 3}):
        with pytest.raises(BadSlice, match=r"data\.zip.*ID_1\.dcm: truncated: .*download it again"):
            sized(archive, name, **says).read_slice(name, spacing_required=True)
    path.unlink()
    with pytest.raises(BadSlice, match="the archive cannot be read: No such file"):
        archive.read_slice(name, spacing_required=True)


def test_an_archive_cut_off_at_its_end_is_refused(tmp_path: Path) -> None:
    path = pack(kaggle(tmp_path / "in"), tmp_path / "data.zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFiles):
        open_archive(path)


def test_the_real_zip_gives_the_real_folders_store(rsna2019: Path, mini: Path, tmp_path: Path) -> None:
    contents = []
    for number, root in enumerate((rsna2019 / "mini.zip", mini)):
        source = Rsna(root=root, cache=tmp_path / str(number))
        cohort, _ = source.load(spacing_required=True, report=silent)
        store = prepare_store(cohort, HeadGeometry(size=64), cache=source.cache, processes=1 + number)
        contents.append({file.name: file.read_bytes() for file in store.folder.iterdir()})
    assert len(read_cohort(Folder(cohort.root)).table) == 346
    assert contents[0] == contents[1]
