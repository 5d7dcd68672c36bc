"""Digests instead of ids and names: who can make them, what keeps its name, and that everything still joins."""

import hashlib
import hmac
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.config import files
from ich.ct.geometry import HeadGeometry
from ich.data.augment import Augment
from ich.data.cohort import BadCohort, read_cohort
from ich.data.module import HeadCT
from ich.data.pseudonym import AS_THEY_ARE, BadKey, BadNames, Pseudonyms, read_key, write_names
from ich.data.source import Rsna, Table
from ich.errors import InputError, keep_private, recorded
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice
from tests.data.test_files import pack
from tests.data.test_source import silent

OWN = ["ID_f15c0eee", "ID_000012eaf", "ID_30ea2b02d4"]
"""RSNA 2019's: a patient, an image, a study."""


@pytest.fixture
def given(tmp_path: Path) -> Pseudonyms:
    return Pseudonyms(tmp_path / "key")


@pytest.mark.parametrize("name", OWN)
def test_ids_of_rsna_2019_stay_and_need_no_key(given: Pseudonyms, tmp_path: Path, name: str) -> None:
    assert given.of(name) == name
    assert given.of_file(f"{name}.dcm") == f"{name}.dcm"
    assert given.of_file(f"{name}/{name}.dcm") == f"{name}/{name}.dcm"
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    "name", ["MUELLER^ANNA", "4711", "", "ID_MUELLER", "ID_f15c0ee", "ID_f15c0eeeaaa", "ID_F15C0EEE"]
)
def test_any_other_id_is_sixteen_hexadecimal_digits(given: Pseudonyms, name: str) -> None:
    digest = given.of(name)
    assert len(digest) == 16
    assert not name or name not in digest
    assert int(digest, 16) >= 0
    assert given.of(name) == digest


def test_a_digest_is_blake2b_with_the_key_and_cannot_be_made_without(given: Pseudonyms, tmp_path: Path) -> None:
    digest = given.of("4711")
    key = bytes.fromhex((tmp_path / "key").read_text())
    assert digest == hashlib.blake2b(b"4711", key=key, digest_size=8).hexdigest()
    guessed = [hashlib.new(name, b"4711").hexdigest() for name in ("md5", "sha1", "sha256", "blake2b")]
    guessed += [hashlib.blake2b(b"4711", digest_size=8).hexdigest(), hmac.digest(b"", b"4711", "sha256").hex()]
    assert not any(digest in one for one in guessed)


def test_the_same_key_file_gives_the_same_digests_and_another_one_others(given: Pseudonyms, tmp_path: Path) -> None:
    digest = given.of("4711")
    (tmp_path / "copy").write_bytes((tmp_path / "key").read_bytes())
    assert Pseudonyms(tmp_path / "copy").of("4711") == digest
    assert Pseudonyms(tmp_path / "other").of("4711") != digest
    assert Pseudonyms(tmp_path / "copy").identity == given.identity != Pseudonyms(tmp_path / "other").identity
    assert AS_THEY_ARE.identity == b""


def test_a_key_is_random_and_its_owners_and_the_same_for_all_who_ask_at_once(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with ThreadPoolExecutor(16) as pool:
            keys = set(pool.map(read_key, [tmp_path / "deep" / "key"] * 64))
    finally:
        os.umask(before)
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert stat.S_IMODE((tmp_path / "deep" / "key").stat().st_mode) == 0o600
    assert read_key(tmp_path / "other") != read_key(tmp_path / "deep" / "key")
    assert not list(tmp_path.rglob("*.unfinished"))


@pytest.mark.parametrize("content", ["", "no hexadecimal digits", "00" * 15, "00" * 65, "ü" * 64])
def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content, encoding="utf-8")
    with pytest.raises(BadKey, match="no key of pseudonyms: it holds 32 to 128 hexadecimal digits and nothing else; "):
        Pseudonyms(tmp_path / "key").of("4711")
    assert (tmp_path / "key").read_text(encoding="utf-8") == content


def test_where_no_key_can_be_made_rsna_2019_does_without_and_others_hear_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    given = Pseudonyms(tmp_path / "file" / "key")
    assert given.of(OWN[0]) == OWN[0]
    assert given.identity
    with pytest.raises(BadKey, match="can be made or read here: File exists; pseudonym_key names a place"):
        given.of("4711")


def test_a_files_name_has_the_digest_of_an_image_called_so_folder_by_folder(given: Pseudonyms) -> None:
    anna, one = given.of("Anna"), given.of("1.2.840.1")
    assert given.of_file("Anna/1.2.840.1.dcm") == f"{anna}/{one}.dcm"
    assert given.of_file("../Anna/1.2.840.1.DCM") == f"../{anna}/{one}.DCM"
    assert given.of_file("Anna/1.2.840.1") == f"{anna}/{one}"  # whose last number is no suffix
    assert given.of_file("scan.Anna") == given.of("scan.Anna")
    assert given.of_file("odd\udcff.dcm") == given.of("odd\udcff") + ".dcm"


def test_on_the_screen_a_message_says_the_names_and_no_record_keeps_them(given: Pseudonyms) -> None:
    file = given.of_file("Anna/1.dcm")
    with pytest.raises(InputError, match=r"/data/Anna/1\.dcm of patient 4711 is bad") as refused, given.guarding():
        raise InputError(f"/data/{file} of patient {given.of('4711')} is bad")
    assert recorded(refused.value) == (
        "InputError: its words may name a patient or a file: they stood on the screen alone (pseudonymize)"
    )


def test_where_nothing_had_to_be_renamed_a_record_keeps_the_words(given: Pseudonyms) -> None:
    with pytest.raises(InputError) as early, given.guarding():
        raise InputError("a table that was not read yet says Anna")
    given.of(OWN[0])
    with pytest.raises(InputError) as own, given.guarding():
        raise InputError(f"{OWN[0]} is bad")
    with pytest.raises(InputError) as off, AS_THEY_ARE.guarding():
        raise InputError("Anna")
    assert "Anna" not in recorded(early.value)
    assert recorded(own.value) == f"InputError: {OWN[0]} is bad"
    assert recorded(off.value) == "InputError: Anna"
    error = ValueError("Anna")
    keep_private(error)
    assert "Anna" not in recorded(error)


def test_a_table_of_names_is_its_owners_and_appears_whole(tmp_path: Path) -> None:
    write_names(tmp_path / "deep" / "names.csv", {"0f": 'Anna, "M"/1.dcm', "0e": "b.dcm"})
    table = pd.read_csv(tmp_path / "deep" / "names.csv", dtype=str)
    assert table.to_numpy().tolist() == [["0f", 'Anna, "M"/1.dcm'], ["0e", "b.dcm"]]
    assert stat.S_IMODE((tmp_path / "deep" / "names.csv").stat().st_mode) == 0o600
    with pytest.raises(BadNames, match="deep: cannot be written: Is a directory; names= takes a file"):
        write_names(tmp_path / "deep", {})
    assert [file.name for file in tmp_path.iterdir()] == ["deep"]


def patients(root: Path, count: int = 9) -> Path:
    """A table's folder: two slices of each patient, whose names are ids, and pixels that two of them share."""
    rows = [",".join(["file", "patient_id", *FINDINGS])]
    for number in range(2 * count):
        patient = number // 2
        hu = 60 if number in (0, 3) else 20 + number
        name = f"MUELLER^{patient}/1.2.{number}.dcm"
        write_slice(
            root / name, image=f"1.9.{number}", series=f"1.3.{patient}", patient=f"4711{patient}", z=number, hu=hu
        )
        rows.append(f"{name},no {patient},{','.join(map(str, [0] * 4 + [patient % 2] * 2))}")
    (root / "cases.csv").write_text("\n".join(rows))
    return root / "cases.csv"


def opened(source: Table | Rsna) -> HeadCT:
    data = HeadCT(source=source, geometry=HeadGeometry(size=32), augment=Augment(), seed=0)
    data.setup()
    return data


def test_a_table_is_the_same_cohort_under_other_names(tmp_path: Path) -> None:
    path = patients(tmp_path / "in")
    named, named_labels = Table(root=path, cache=tmp_path, pseudonymize=False).load(
        spacing_required=True, report=silent
    )
    source = Table(root=path, cache=tmp_path)
    hidden, labels = source.load(spacing_required=True, report=silent)
    of = source.pseudonyms
    expected = named.table.assign(
        **{name: of.of_all(named.table[name]) for name in ("image_id", "series_id", "study_id", "patient_id")},
        file=[of.of_file(name) for name in named.table["file"]],
    )
    order = expected["image_id"].argsort().to_numpy()
    pd.testing.assert_frame_equal(
        hidden.table.sort_values("image_id", ignore_index=True), expected.iloc[order].reset_index(drop=True)
    )
    assert (labels.loc[expected["image_id"]].to_numpy() == named_labels.loc[named.table["image_id"]].to_numpy()).all()
    assert {hidden.originals[file] for file in hidden.table["file"]} == {*named.table["file"]}
    one = hidden.table.iloc[5]
    read = hidden.files.read_slice(one["file"], spacing_required=True)
    assert read.header.image_id == one["image_id"]
    assert np.array_equal(read.hu, named.files.read_slice(hidden.originals[one["file"]], spacing_required=True).hu)


def test_patients_stay_whole_and_twins_together_in_the_folds(tmp_path: Path) -> None:
    data = opened(Table(root=patients(tmp_path / "in"), cache=tmp_path, folds=3))
    of = data.source.pseudonyms.of
    fold = data.folds.groupby("patient_id")["fold"].unique()
    assert sorted(fold.index) == sorted(of(f"no {patient}") for patient in range(9))
    assert fold.map(len).eq(1).all()
    assert fold[of("no 0")] == fold[of("no 1")]  # who share pixels
    truth = {of(f"1.9.{number}"): number // 2 % 2 for number in range(18)}
    assert dict(zip(data.index["image_id"], data.labels[:, -1], strict=True)) == truth


def test_the_same_key_gives_the_same_cohort_store_and_folds(tmp_path: Path) -> None:
    path = patients(tmp_path / "in")
    one, same = (
        opened(Table(root=path, cache=tmp_path / name, pseudonym_key=tmp_path / "key", folds=3)) for name in ("a", "b")
    )
    assert (one.cohort_digest, one.store.digest) == (same.cohort_digest, same.store.digest)
    pd.testing.assert_frame_equal(one.folds, same.folds)
    assert opened(Table(root=path, cache=tmp_path / "a", folds=3)).cohort_digest != one.cohort_digest


def test_folds_of_ones_own_may_say_either(tmp_path: Path) -> None:
    path = patients(tmp_path / "in")
    data = opened(Table(root=path, cache=tmp_path, folds=3))
    data.folds.to_csv(tmp_path / "run.csv", index=False)
    known = {data.source.pseudonyms.of(f"1.9.{number}"): f"1.9.{number}" for number in range(18)}
    data.folds.assign(image_id=data.folds["image_id"].map(known)).to_csv(tmp_path / "mine.csv", index=False)
    for name in ("run.csv", "mine.csv"):
        again = opened(Table(root=path, cache=tmp_path, folds_csv=tmp_path / name))
        assert again.folds["fold"].tolist() == data.folds["fold"].tolist()


def test_headers_are_kept_under_pseudonyms_alone_and_of_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ich.data.headers.KEEP_SECONDS", 0.0)
    monkeypatch.setattr("ich.data.files.FRESH_SECONDS", 0.0)
    patients(tmp_path / "in")
    write_slice(tmp_path / "in" / "ID_000012eaf.dcm", image="1.9.18", patient="47119")  # whose name no key changes
    first, other = Pseudonyms(tmp_path / "key"), Pseudonyms(tmp_path / "other")
    before = read_cohort(tmp_path / "in", cache=tmp_path / "cache", pseudonyms=first)
    kept = pd.concat([pd.read_parquet(part) for part in (tmp_path / "cache").rglob("*.parquet")])
    assert len(kept) == 19
    assert not kept.astype(str).apply(lambda column: column.str.contains(r"MUELLER|4711|1\.9\.|1\.3\.")).any(axis=None)
    pd.testing.assert_frame_equal(
        read_cohort(tmp_path / "in", cache=tmp_path / "cache", pseudonyms=Pseudonyms(tmp_path / "key")).table,
        before.table,
    )
    assert (
        read_cohort(tmp_path / "in", cache=tmp_path / "cache", pseudonyms=other)
        .table["image_id"]
        .isin(other.of_all(f"1.9.{number}" for number in range(19)))
        .all()
    )


def test_a_kaggle_folder_and_zip_of_other_ids_join_their_labels(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "stage_2_train"
    for number in range(3):
        image = f"1.9.{number}" if number else ""  # the first is called after its file
        write_slice(folder / f"1.9.{number}.dcm", image=image, patient="4711", z=number)
    lines = [
        f"1.9.{number}_{finding},{int(number == 0 and finding in ('any', 'subdural'))}"
        for number in range(3)
        for finding in FINDINGS
    ]
    (tmp_path / "in" / "stage_2_train.csv").write_text("\n".join(["ID,Label", *lines]))
    (folder / "1.9.7.dcm").write_text("no slice")
    for root in (tmp_path / "in", pack(tmp_path / "in", tmp_path / "data.zip")):
        source = Rsna(root=root, cache=tmp_path)
        of = source.pseudonyms.of
        cohort, labels = source.load(spacing_required=True, report=silent)
        assert {*cohort.table["image_id"]} == {of("1.9.0"), of("1.9.1"), of("1.9.2")} == {*labels.index}
        assert labels.index[labels["subdural"] == 1].tolist() == [of("1.9.0")]
        assert cohort.table["patient_id"].unique().tolist() == [of("4711")]
        assert cohort.rejected["file"].tolist() == [f"{of('1.9.7')}.dcm"]


def test_what_is_refused_names_the_files_themselves(tmp_path: Path) -> None:
    write_slice(tmp_path / "in" / "MUELLER" / "a.dcm", image="1.9.1")
    write_slice(tmp_path / "in" / "MUELLER" / "b.dcm", image="1.9.1")
    rows = [",".join(["file", "patient_id", *FINDINGS]), *(f"MUELLER/{name}.dcm,p,0,0,0,0,0,0" for name in "ab")]
    (tmp_path / "in" / "cases.csv").write_text("\n".join(rows))
    with pytest.raises(BadCohort, match=r"MUELLER/a\.dcm and MUELLER/b\.dcm are both image 1\.9\.1 ") as refused:
        opened(Table(root=tmp_path / "in" / "cases.csv", cache=tmp_path))
    assert "MUELLER" not in recorded(refused.value)


def test_every_data_source_hides_by_default_with_one_key_that_git_passes_over() -> None:
    for name in ("phantom", "rsna", "table"):
        text = (files.CONF / "data" / f"{name}.yaml").read_text(encoding="utf-8")
        assert "\npseudonymize: true  #" in text
        assert "\npseudonym_key: ${project:}/pseudonym.key  #" in text
    assert Rsna(root=Path(), cache=Path()).pseudonymize
    assert "pseudonym.key*" in (files.PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
