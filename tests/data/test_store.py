"""Prepared slices: written once, whole or not at all, the same bytes each time."""

import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.ct.geometry import HeadGeometry, Prepared, SeriesGeometry
from ich.data.cohort import COLUMNS, Cohort, read_cohort
from ich.data.pseudonym import Pseudonyms
from ich.data.store import BadStore, begin_store, open_store, prepare_store
from tests.data.dicom_files import write_slice


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    for number in range(5):
        write_slice(tmp_path / "in" / f"{number}.dcm", image=f"ID_{number}", z=number, hu=30 + number)
    return read_cohort(tmp_path / "in")


SMALL = HeadGeometry(size=32)
TWO = 2 * 2 * 32 * 32
"""Bytes of a shard that holds two such slices."""


def blank(file: Path, *, image: str, z: float, series: str = "ID_s", patient: str = "ID_p") -> None:
    """A slice with a sound header and no picture, which only its pixels show."""
    write_slice(file, image=image, series=series, patient=patient, z=z, hu=50, air=50)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_rows_are_the_prepared_slices_in_the_cohorts_order(cohort: Cohort, tmp_path: Path) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    hu = store.read(np.arange(5))
    assert hu.shape == (5, 32, 32)
    assert hu.dtype == np.int16
    assert hu[:, 16, 16].tolist() == [30, 31, 32, 33, 34]
    assert store.index["image_id"].tolist() == [f"ID_{number}" for number in range(5)]
    assert store.columns(["warp_size"])["warp_size"].tolist() == [32] * 5


def test_rows_may_be_read_in_any_order_and_twice_but_not_beyond_the_end(cohort: Cohort, tmp_path: Path) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    assert store.read(np.array([4, 0, 4]))[:, 16, 16].tolist() == [34, 30, 34]
    for row in (-1, 5):
        with pytest.raises(IndexError):
            store.read(np.array([row]))


@pytest.mark.parametrize("geometry", [SMALL, SeriesGeometry(size=32)], ids=["alone", "by series"])
@pytest.mark.usefixtures("cohort")
def test_processes_give_the_bytes_of_threads(tmp_path: Path, geometry: HeadGeometry) -> None:
    blank(tmp_path / "in" / "2.dcm", image="ID_2", z=2)
    cohort = read_cohort(tmp_path / "in", pseudonyms=Pseudonyms(tmp_path / "key"))
    for processes in (1, 2):
        cache = tmp_path / f"by{processes}"
        store = prepare_store(cohort, geometry, cache=cache, shard_bytes=TWO, processes=processes)
        assert store.rejected["reason"].tolist() == ["implausible_hu"]
        assert store.read(np.arange(4))[:, 16, 16].tolist() == [30, 31, 33, 34]
    assert content(tmp_path / "by1") == content(tmp_path / "by2")


def test_a_file_that_was_cut_meanwhile_is_no_damaged_slice_for_ever(cohort: Cohort, tmp_path: Path) -> None:
    whole = (tmp_path / "in" / "3.dcm").read_bytes()
    (tmp_path / "in" / "3.dcm").write_bytes(whole[:-100])
    with pytest.raises(BadStore, match=r"3\.dcm: it vanished or changed while slices were prepared \(.*; start again"):
        prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    (tmp_path / "in" / "3.dcm").write_bytes(whole)
    assert len(prepare_store(cohort, SMALL, cache=tmp_path / "cache")) == 5


def test_a_store_that_is_whole_is_used_where_nothing_can_be_written(cohort: Cohort, tmp_path: Path) -> None:
    prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.lock"):
        file.unlink()
    before = content(tmp_path / "cache")
    assert len(prepare_store(cohort, SMALL, cache=tmp_path / "cache")) == 5
    assert content(tmp_path / "cache") == before  # not even a lock


def test_a_file_that_vanished_under_a_process_is_one_message(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "in" / "3.dcm").unlink()
    with pytest.raises(BadStore, match=r"3\.dcm: it vanished or changed while slices were prepared"):
        prepare_store(cohort, SMALL, cache=tmp_path / "cache", processes=2)


def test_equal_inputs_give_equal_bytes_wherever_they_lie(cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "in", tmp_path / "elsewhere")
    stores = [
        prepare_store(read_cohort(tmp_path / folder), SMALL, cache=tmp_path / cache)
        for folder, cache in (("in", "c1"), ("elsewhere", "c2"))
    ]
    assert stores[0].digest == stores[1].digest
    assert content(tmp_path / "c1") == content(tmp_path / "c2")


def test_another_geometry_or_cohort_is_another_store(cohort: Cohort, tmp_path: Path) -> None:
    digests = {
        prepare_store(cohort, geometry, cache=tmp_path / "cache").digest for geometry in (SMALL, HeadGeometry(size=48))
    }
    write_slice(tmp_path / "in" / "9.dcm", image="ID_9", z=9)
    digests.add(prepare_store(read_cohort(tmp_path / "in"), SMALL, cache=tmp_path / "cache").digest)
    assert len(digests) == 3


def test_a_store_that_is_there_is_opened_without_reading_a_slice(cohort: Cohort, tmp_path: Path) -> None:
    prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    shutil.rmtree(tmp_path / "in")
    assert len(prepare_store(cohort, SMALL, cache=tmp_path / "cache").index) == 5


@pytest.mark.usefixtures("cohort")
def test_a_slice_whose_pixels_fail_is_left_out_and_named(tmp_path: Path) -> None:
    blank(tmp_path / "in" / "2.dcm", image="ID_2", z=2)
    store = prepare_store(read_cohort(tmp_path / "in"), SMALL, cache=tmp_path / "cache")
    assert store.index["image_id"].tolist() == ["ID_0", "ID_1", "ID_3", "ID_4"]
    assert store.read(np.arange(4))[:, 16, 16].tolist() == [30, 31, 33, 34]
    assert store.rejected[["file", "reason"]].to_numpy().tolist() == [["2.dcm", "implausible_hu"]]


class Interrupted(HeadGeometry):
    """Fails at the third slice, like a process that is killed."""

    def prepare(self, hu: np.ndarray, spacing_mm: tuple[float, float] | None) -> Prepared:
        if hu.max() == 32:
            raise KeyboardInterrupt
        return super().prepare(hu, spacing_mm)


def test_a_file_that_vanishes_meanwhile_is_no_damaged_slice(cohort: Cohort, tmp_path: Path) -> None:
    """It would be left out of this store for ever."""
    (tmp_path / "in" / "2.dcm").unlink()
    with pytest.raises(BadStore, match=r"2\.dcm: it vanished or changed .* No such file or directory\); start again"):
        prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    write_slice(tmp_path / "in" / "2.dcm", image="ID_2", z=2, hu=32)
    assert len(prepare_store(cohort, SMALL, cache=tmp_path / "cache").index) == 5


def test_a_store_goes_to_another_process_by_name(cohort: Cohort, tmp_path: Path) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    sent = pickle.dumps(store)
    assert len(sent) < 1000  # its slices take 10,240 bytes
    again = pickle.loads(sent)
    assert again.digest == store.digest
    assert np.array_equal(again.read(np.arange(5)), store.read(np.arange(5)))


def test_stopped_halfway_whole_shards_stay_and_the_next_try_reads_the_others_only(
    cohort: Cohort, tmp_path: Path
) -> None:
    begun = begin_store(cohort, SMALL, cache=tmp_path / "cache", shard_bytes=TWO)
    begun.write_one(0)
    with pytest.raises(BadStore, match=r"damaged: .*checksums\.json"):
        open_store(begun.folder)
    for name in ("0.dcm", "1.dcm"):
        (tmp_path / "in" / name).unlink()
    assert len(prepare_store(cohort, SMALL, cache=tmp_path / "cache").index) == 5


def test_stopped_inside_a_shard_nothing_of_it_is_left(cohort: Cohort, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        prepare_store(cohort, Interrupted(size=32), cache=cache, shard_bytes=TWO)
    left = {file.name for file in (cache / "store").glob("*/*")}
    assert left == {"store.json", "00000.bin", "00000.parquet"}


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 1, 2, 0], [0, 1, 2, 3]])
def test_shards_prepared_alone_in_any_order_make_the_same_store(
    cohort: Cohort, tmp_path: Path, order: list[int]
) -> None:
    whole = prepare_store(cohort, SMALL, cache=tmp_path / "whole", shard_bytes=TWO)
    for number in order:
        begun = begin_store(cohort, SMALL, cache=tmp_path / "parts", shard_bytes=TWO)
        begun.write_one(number)
    assert begun.is_whole
    assert content(begun.folder) == content(whole.folder)


def test_shards_are_no_part_of_what_is_read(cohort: Cohort, tmp_path: Path) -> None:
    rows = np.array([4, 0, 3, 3])
    one = prepare_store(cohort, SMALL, cache=tmp_path / "one")
    several = prepare_store(cohort, SMALL, cache=tmp_path / "several", shard_bytes=TWO)
    assert one.digest == several.digest
    assert len(list(several.folder.glob("*.bin"))) == 3
    assert np.array_equal(one.read(rows), several.read(rows))
    given = np.zeros((4, 32, 32), np.int16)
    for store in (one, several):
        assert store.read(rows, out=given) is given
        assert given[:, 16, 16].tolist() == [34, 30, 33, 33]


def test_the_cohort_lies_beside_the_store_as_a_table(cohort: Cohort, tmp_path: Path) -> None:
    prepare_store(cohort, SMALL, cache=tmp_path)
    table = pd.read_parquet(tmp_path / "cohort" / f"{cohort.digest}.parquet")
    pd.testing.assert_frame_equal(table, cohort.table[list(COLUMNS)], check_dtype=False)


def test_a_store_that_was_begun_keeps_its_shards(cohort: Cohort, tmp_path: Path) -> None:
    begin_store(cohort, SMALL, cache=tmp_path, shard_bytes=TWO).write_one(0)
    assert len(begin_store(cohort, SMALL, cache=tmp_path).shards) == 3


def test_chosen_rows_are_a_store_of_their_own_also_in_another_process(cohort: Cohort, tmp_path: Path) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache", shard_bytes=TWO).choose(np.array([1, 3, 4]))
    for some in (store, pickle.loads(pickle.dumps(store)), store.choose(np.arange(3))):
        assert len(some) == 3
        assert some.index["image_id"].tolist() == ["ID_1", "ID_3", "ID_4"]
        assert some.read(np.array([2, 0]))[:, 16, 16].tolist() == [34, 31]
        with pytest.raises(IndexError):
            some.read(np.array([3]))


def test_the_index_knows_what_hu_were_before_clipping(tmp_path: Path) -> None:
    for image, hu in (("ID_a", 40), ("ID_metal", 9000), ("ID_b", 40)):
        write_slice(tmp_path / "in" / f"{image}.dcm", image=image, hu=hu)
    store = prepare_store(read_cohort(tmp_path / "in"), SMALL, cache=tmp_path)
    index = store.columns(["image_id", "pixels", "lowest_hu", "highest_hu", "wrapped"]).set_index("image_id")
    assert index["highest_hu"].to_dict() == {"ID_a": 40, "ID_b": 40, "ID_metal": 9000}
    assert (index["lowest_hu"] == -1000).all()
    assert not index["wrapped"].any()
    assert index.loc["ID_a", "pixels"] == index.loc["ID_b", "pixels"] != index.loc["ID_metal", "pixels"]


def test_a_changed_byte_is_found_by_its_checksum(cohort: Cohort, tmp_path: Path) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache", shard_bytes=TWO)
    assert not list(store.damaged())
    file = store.folder / "00001.bin"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    assert list(open_store(store.folder).damaged()) == ["ID_3 (3.dcm)"]


@pytest.mark.parametrize("damage", ["00000.bin", "index.parquet", "store.json"])
def test_a_damaged_store_is_refused_with_the_way_out(cohort: Cohort, tmp_path: Path, damage: str) -> None:
    store = prepare_store(cohort, SMALL, cache=tmp_path / "cache")
    file = tmp_path / "cache" / "store" / store.digest / damage
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BadStore, match="delete the folder, and it is written again"):
        prepare_store(cohort, SMALL, cache=tmp_path / "cache")


def _prepare(root: Path, cache: Path) -> None:
    prepare_store(read_cohort(root), SMALL, cache=cache)


def test_two_processes_at_once_leave_one_whole_store(cohort: Cohort, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_prepare, args=(tmp_path / "in", tmp_path / "cache")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    alone = prepare_store(cohort, SMALL, cache=tmp_path / "alone")
    assert content(tmp_path / "cache" / "store" / alone.digest) == content(tmp_path / "alone" / "store" / alone.digest)


def test_a_full_disk_is_named_and_what_is_written_stays(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    begun = begin_store(cohort, SMALL, cache=tmp_path, shard_bytes=TWO)
    begun.write_one(0)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadStore, match=r"No space left on device; data\.cache names another place; what is written"):
        prepare_store(cohort, SMALL, cache=tmp_path)
    assert {file.name for file in begun.folder.glob("0*")} == {"00000.bin", "00000.parquet"}


@pytest.fixture
def two_series(tmp_path: Path) -> Cohort:
    """3 slices of one patient, 4 of another; each series has its disc in another place, and moves in it."""
    for number in range(7):
        series, z = divmod(number, 3) if number < 6 else (1, 3)
        middle = (26 + 6 * series + z, 32)
        names = {"image": f"ID_{number}", "series": f"ID_s{series}", "patient": f"ID_p{series}"}
        write_slice(tmp_path / "in" / f"{number}.dcm", **names, z=z, hu=30 + number, middle=middle)
    return read_cohort(tmp_path / "in")


ALIGNED = SeriesGeometry(size=32)


def test_a_series_is_laid_on_one_square_and_never_divided(two_series: Cohort, tmp_path: Path) -> None:
    """Two of them do not fit in a shard of 5 slices, and one has more than a shard of 3."""
    stores = {
        in_shard: prepare_store(two_series, ALIGNED, cache=tmp_path / str(in_shard), shard_bytes=in_shard * TWO // 2)
        for in_shard in (3, 5, 7)
    }
    assert {in_shard: len(store._starts) - 1 for in_shard, store in stores.items()} == {3: 2, 5: 2, 7: 1}
    for store in stores.values():
        assert np.array_equal(store.read(np.arange(7)), stores[7].read(np.arange(7)))
        warps = store.columns(["series_id", "warp_origin_row", "warp_step_row"])
        assert warps.groupby("series_id").nunique().to_numpy().tolist() == [[1, 1], [1, 1]]
        assert store.columns(["warp_origin_row"])["warp_origin_row"].nunique() == 2
    assert stores[7].digest != prepare_store(two_series, SMALL, cache=tmp_path / "single").digest


@pytest.mark.usefixtures("two_series")
def test_a_damaged_slice_of_a_series_leaves_the_others_where_they_are(tmp_path: Path) -> None:
    blank(tmp_path / "in" / "1.dcm", image="ID_1", series="ID_s0", patient="ID_p0", z=1)
    store = prepare_store(read_cohort(tmp_path / "in"), ALIGNED, cache=tmp_path / "cache")
    assert store.index["image_id"].tolist() == [f"ID_{number}" for number in (0, 2, 3, 4, 5, 6)]
    assert store.rejected["file"].tolist() == ["1.dcm"]
    assert [int(one.max()) for one in store.read(np.arange(6))] == [30, 32, 33, 34, 35, 36]
