"""A long header pass is kept: stopped anywhere it goes on, and never with a row of a file that changed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ich.ct.dicom import Header
from ich.data import headers
from ich.data.cohort import Cohort, read_cohort, read_table
from ich.data.files import Archive, Folder, Sample, open_archive
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice
from tests.data.test_files import pack

FILES = 20
Pass = Callable[..., Cohort]


class StoppedError(Exception):
    """Whoever looks at the progress has enough."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(FILES):
        write_slice(tmp_path / "in" / f"{number:02}.dcm", image=f"ID_{number:02}", z=number, hu=number)
    (tmp_path / "in" / "notes.txt").write_text("no slice")
    return tmp_path / "in"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the headers that are read; every pass is a long one, and no file is too fresh."""
    monkeypatch.setattr("ich.data.headers.KEEP_SECONDS", 0.0)
    monkeypatch.setattr("ich.data.files.FRESH_SECONDS", 0.0)
    names: list[str] = []
    for kind in (Folder, Archive):

        def read_header(
            files: object, name: str, *, spacing_required: bool, real: Callable[..., tuple[Header, Sample]]
        ) -> tuple[Header, Sample]:
            names.append(name)
            return real(files, name, spacing_required=spacing_required)

        patched = lambda *args, real=kind.read_header, **asked: read_header(*args, real=real, **asked)  # noqa: E731
        monkeypatch.setattr(kind, "read_header", patched)
    return names


def assert_same(one: Cohort, other: Cohort) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.rejected, other.rejected)
    assert one.digest == other.digest


def test_a_stopped_pass_goes_on_where_it_was(
    root: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ich.data.headers.AHEAD", 1)
    real, seen = headers.Kept.add, []

    def add(kept: headers.Kept, rows: pd.DataFrame) -> None:
        real(kept, rows)
        seen.extend(rows["file"])
        if len(seen) == 12:
            raise StoppedError

    monkeypatch.setattr(headers.Kept, "add", add)
    with pytest.raises(StoppedError):
        read_cohort(root, cache=tmp_path / "cache")
    read.clear()
    again = read_cohort(root, cache=tmp_path / "cache")
    assert sorted(read) == sorted({file.name for file in root.iterdir()} - set(seen[:12]))
    assert_same(again, read_cohort(root))
    read.clear()
    assert_same(read_cohort(root, cache=tmp_path / "cache"), again)
    assert read == ["notes.txt"]  # what is no slice is tried each time


def test_a_file_that_changed_is_read_anew_even_if_its_length_and_its_time_are_as_before(
    root: Path, read: list[str], tmp_path: Path
) -> None:
    before = read_cohort(root, cache=tmp_path / "cache")
    file = root / "07.dcm"
    facts = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    read.clear()
    after = read_cohort(root, cache=tmp_path / "cache")
    assert sorted(read) == ["07.dcm", "notes.txt"]
    assert after.digest != before.digest
    assert_same(after, read_cohort(root))


def test_a_file_that_is_gone_or_new_is_gone_or_new(root: Path, read: list[str], tmp_path: Path) -> None:
    read_cohort(root, cache=tmp_path / "cache")
    (root / "03.dcm").unlink()
    write_slice(root / "new.dcm", image="ID_new")
    read.clear()
    after = read_cohort(root, cache=tmp_path / "cache")
    assert sorted(read) == ["new.dcm", "notes.txt"]
    assert_same(after, read_cohort(root))


def test_another_place_and_another_question_have_rows_of_their_own(root: Path, read: list[str], tmp_path: Path) -> None:
    write_slice(root / "bare.dcm", image="ID_bare", spacing=None)
    copy = shutil.copytree(root, tmp_path / "copy")
    assert len(read_cohort(root, cache=tmp_path / "cache", spacing_required=False).table) == FILES + 1
    read.clear()
    assert len(read_cohort(root, cache=tmp_path / "cache").table) == FILES
    assert len(read) == FILES + 2
    read_cohort(copy, cache=tmp_path / "cache")
    assert len(read) == 2 * (FILES + 2)
    assert len(list((tmp_path / "cache" / "headers").iterdir())) == 3


def test_a_table_gets_the_rows_of_its_own_files_alone(root: Path, read: list[str], tmp_path: Path) -> None:
    read_cohort(root, cache=tmp_path / "cache")
    read.clear()
    lines = [",".join(["file", "patient_id", *FINDINGS]), *(f"{name}.dcm,p,0,0,0,0,0,0" for name in ("07", "03"))]
    (root / "cases.csv").write_text("\n".join(lines))
    cohort, _ = read_table(root / "cases.csv", cache=tmp_path / "cache")
    assert cohort.table["file"].tolist() == ["03.dcm", "07.dcm"]
    assert read == []


def test_a_zip_is_inflated_once(root: Path, read: list[str], tmp_path: Path) -> None:
    path = pack(root, tmp_path / "data.zip")
    before = read_cohort(open_archive(path), cache=tmp_path / "cache")
    read.clear()
    assert_same(read_cohort(open_archive(path), cache=tmp_path / "cache"), before)
    assert read == ["notes.txt"]
    path.write_bytes(path.read_bytes())
    read_cohort(open_archive(path), cache=tmp_path / "cache")
    assert len(read) == FILES + 2


def test_what_was_kept_and_is_damaged_or_cannot_be_kept_is_done_without(
    root: Path, read: list[str], tmp_path: Path
) -> None:
    before = read_cohort(root, cache=tmp_path / "cache")
    for part in (tmp_path / "cache").rglob("*.parquet"):
        part.write_bytes(part.read_bytes()[:50])
    read.clear()
    assert_same(read_cohort(root, cache=tmp_path / "cache"), before)
    assert len(read) == FILES + 1
    (tmp_path / "file").write_text("in the way")
    assert_same(read_cohort(root, cache=tmp_path / "file"), before)


def test_a_short_pass_and_a_fresh_file_leave_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_cohort(root, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr("ich.data.headers.KEEP_SECONDS", 0.0)
    monkeypatch.setattr("ich.data.files.FRESH_SECONDS", 1e9)
    read_cohort(root, cache=tmp_path / "cache")
    assert not sum(len(pd.read_parquet(part)) for part in (tmp_path / "cache").rglob("*.parquet"))
