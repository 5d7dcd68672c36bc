"""What the damage of `tests.faults` has found, once each."""

import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from ich.config import files
from ich.config.check import check_command
from ich.config.mistakes import BadConfig
from ich.ct.dicom import BadSlice, read_slice
from ich.ct.geometry import HeadGeometry
from ich.data.cohort import BadCohort, read_cohort, read_table
from ich.data.split import BadFolds, read_folds
from ich.data.store import BadStore, open_store, prepare_store
from ich.findings import FINDINGS
from ich.predictor import BadCheckpoint, Predictor
from tests.data.dicom_files import write_slice
from tests.faults.small import small_checkpoint
from train import Keys


def test_an_id_of_a_hundred_thousand_letters_is_refused_in_a_few(tmp_path: Path) -> None:
    file = write_slice(tmp_path / "a.dcm", image="1" * 60_000)
    with pytest.raises(BadSlice, match="60,000 letters, where 64 are usual") as refused:
        read_slice(file)
    assert refused.value.reason == "bad_header"
    assert len(str(refused.value)) < 500


def test_a_flipped_bit_of_a_weight_is_refused(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="damaged"):
        Predictor.load(path, "cpu")


def test_a_member_that_says_it_is_a_folder_is_refused(tmp_path: Path) -> None:
    """zipfile reads it as a file, torch leaves whatever was in memory."""
    path = small_checkpoint(tmp_path / "small.ckpt")
    with zipfile.ZipFile(path) as archive:
        name = archive.infolist()[-3].filename.encode()
    content = bytearray(path.read_bytes())
    entry = content.rindex(name) - 46
    assert content[entry : entry + 4] == b"PK\1\2"
    content[entry + 38] |= 0x10  # of the external attributes
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="damaged"):
        Predictor.load(path, "cpu")


def test_a_fold_beyond_any_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("image_id,patient_id,fold\na,p,1e30\n")
    with pytest.raises(BadFolds, match=r"line 2: fold is '1e30'"):
        read_folds(tmp_path / "folds.csv", pd.DataFrame({"image_id": ["a"], "patient_id": ["p"]}))


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path: Path) -> None:
    names = ",".join(("file", "patient_id", *FINDINGS))
    (tmp_path / "cases.csv").write_text(f"{names}\nx,a.dcm,p,0,0,0,0,0,0\n")
    with pytest.raises(BadCohort, match="line 2: it has more cells than the header names"):
        read_table(tmp_path / "cases.csv")


def test_a_damaged_store_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    for number in range(3):
        write_slice(tmp_path / "in" / f"{number}.dcm", image=str(number), z=number)
    store = prepare_store(read_cohort(tmp_path / "in"), HeadGeometry(size=16), cache=tmp_path / "cache")
    index = store.folder / "index.parquet"
    sound = index.read_bytes()
    index.write_bytes(sound.replace(b"ID_p", b"ID_q"))  # another patient, in a table that can be read
    with pytest.raises(BadStore, match=r"index\.parquet has another checksum"):
        open_store(store.folder)
    index.write_bytes(sound)
    described = json.loads((store.folder / "store.json").read_text())
    (store.folder / "store.json").write_text(json.dumps({name: described[name] for name in ("geometry", "shards")}))
    with pytest.raises(BadStore, match="damaged: 'format'"):
        open_store(store.folder)


@pytest.mark.parametrize("content", [b"# @package _global_\nseed: \xff\n", b"# @package _global_\nseed: \0\n"])
def test_an_experiment_that_is_no_text_is_a_mistake(content: bytes, tmp_path: Path) -> None:
    conf = Path(shutil.copytree(files.CONF, tmp_path / "conf"))
    (conf / "experiment" / "mine.yaml").write_bytes(content)
    with pytest.raises(BadConfig, match="it is no text in UTF-8, or holds letters"):
        check_command(["experiment=mine"], name="train", keys=Keys, conf=conf, multirun=False)


def test_a_carriage_return_in_a_header_parts_no_row_of_a_table(tmp_path: Path) -> None:
    content = write_slice(tmp_path / "one.dcm", image="1.2").read_bytes()
    where = content.index(b"CS\x02\0CT")
    with pytest.raises(BadSlice) as bad:
        read_slice(content[:where] + b"CS\x04\0CT\r!" + content[where + 6 :])
    assert bad.value.reason == "not_ct"
    assert bad.value.detail.startswith("Modality is CT\\x0d!;")
    read = read_cohort(Path(write_slice(tmp_path / "in" / "two.dcm", image="1.3", patient="A\rB")).parent)
    assert read.table["patient_id"].tolist() == ["A\\x0dB"]


def test_a_transfer_syntax_without_an_end_fits_a_table(tmp_path: Path) -> None:
    content = write_slice(tmp_path / "one.dcm", image="1.2").read_bytes()
    length = content.index(b"\x02\0\x10\0UI") + 6
    behind = length + 2 + int.from_bytes(content[length : length + 2], "little")
    with pytest.raises(BadSlice) as bad:
        read_slice(content[:length] + (60_000).to_bytes(2, "little") + b"\x01" * 60_000 + content[behind:])
    assert bad.value.reason == "unsupported_codec"
    assert len(bad.value.detail) < 5_000
