"""A .zip of strangers: no member leaves its folder, none blows up memory; each is refused, and named."""

import resource
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from ich.data.cohort import kaggle_files, read_cohort
from ich.data.files import Archive, BadFiles, open_archive
from ich.data.source import Rsna
from tests.data.dicom_files import write_slice
from tests.data.test_source import silent

INSIDE = "stage_2_train"
TEN_GB = 10 * 2**30
"""And a little more: whole blocks."""


def write_zeros(path: Path, name: str, *, said: int | None = None) -> int:
    """An archive of one packed member, 10 GB of zeros, that says of itself what it is asked to; how many they are."""
    block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    repeated = block.compress(bytes(2**26)) + block.flush(zlib.Z_FULL_FLUSH)
    last = block.flush(zlib.Z_FINISH)
    times = -(-TEN_GB // 2**26)
    packed, size = repeated * times + last, times * 2**26
    claim = size if said is None else said
    wide = struct.pack("<HHQQ", 1, 16, claim, len(packed))
    raw, fields = name.encode(), (0, zipfile.ZIP_DEFLATED, 0, 0, 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, *fields[:4], 0, 2**32 - 1, 2**32 - 1, len(raw), len(wide))
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, *fields[:4], 0, 2**32 - 1, 2**32 - 1, len(raw), len(wide), 0, 0, 0, 0, 0
    )
    directory = entry + raw + wide
    start = len(local) + len(raw) + len(wide) + len(packed)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), start, 0)
    path.write_bytes(local + raw + wide + packed + directory + end)
    return size


@pytest.mark.parametrize(
    "name",
    ["../evil.dcm", "stage_2_train/../../evil.dcm", "/etc/evil", "C:\\evil.dcm", "a\\..\\..\\evil", "C:evil.dcm"],
)
def test_a_member_that_leaves_its_folder_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "evil")
    with pytest.raises(BadFiles, match="leads outside") as refused:
        open_archive(tmp_path / "evil.zip")
    assert str(tmp_path / "evil.zip") in str(refused.value)
    assert ascii(name) in str(refused.value)


@pytest.mark.parametrize("said", [None, 1000])
def test_ten_gigabytes_of_zeros_for_labels_are_refused_by_name(said: int | None, tmp_path: Path) -> None:
    size = write_zeros(tmp_path / "bomb.zip", "stage_2_train.csv", said=said)
    assert size >= TEN_GB
    assert (tmp_path / "bomb.zip").stat().st_size < 2**24
    with zipfile.ZipFile(tmp_path / "bomb.zip", "a") as archive:
        archive.writestr(f"{INSIDE}/a.dcm", b"x")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadFiles, match=r"bomb\.zip/stage_2_train\.csv"):
        Rsna(root=tmp_path / "bomb.zip", cache=tmp_path / "cache").load(spacing_required=True, report=silent)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kB


@pytest.mark.parametrize("said", [None, 1000])
def test_ten_gigabytes_of_zeros_for_a_slice_are_left_out_by_name(said: int | None, tmp_path: Path) -> None:
    write_zeros(tmp_path / "bomb.zip", f"{INSIDE}/bomb.dcm", said=said)
    write_slice(tmp_path / "good.dcm", image="good")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "a") as archive:
        archive.writestr("stage_2_train.csv", "ID,Label\n")
        archive.write(tmp_path / "good.dcm", f"{INSIDE}/good.dcm")
    files = kaggle_files(tmp_path / "bomb.zip")
    assert isinstance(files, Archive)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cohort = read_cohort(files.under(f"{INSIDE}/"))
    assert cohort.table["image_id"].tolist() == ["good"]
    assert cohort.rejected["file"].tolist() == ["bomb.dcm"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000  # kB
