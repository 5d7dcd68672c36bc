"""Which rows make a batch, in which order, and that reading ahead changes nothing."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ich.data.augment import Augment
from ich.data.batches import BadBatchSize, BatchReader, Draw, ReadAhead, Room, TrainBatches, ValBatches

ROWS, SIDE = 40, 24


class Shelf:
    """A store in memory; its row 13 is damaged."""

    size = SIDE
    hu = np.random.default_rng(0).integers(-1024, 3072, (ROWS, SIDE, SIDE)).astype(np.int16)

    def read(self, rows: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        if 13 in rows:
            raise OSError("row 13 cannot be read")
        return np.take(self.hu, rows, axis=0, out=out, mode="clip")


LABELS = np.eye(6, dtype=np.uint8)[np.arange(ROWS) % 6]
GOOD = np.setdiff1d(np.arange(ROWS), [13])


def reader(augment: Augment | None = None) -> BatchReader:
    return BatchReader(Shelf(), LABELS, augment or Augment(), seed=5)


def test_a_batch_holds_the_rows_that_are_drawn() -> None:
    hu, labels, rows = reader()[Draw(np.array([7, 2, 7]), 0)]
    assert hu.shape == (3, 1, SIDE, SIDE)
    assert np.array_equal(hu[:, 0], Shelf.hu[[7, 2, 7]])
    assert np.array_equal(labels, LABELS[[7, 2, 7]])
    assert rows.tolist() == [7, 2, 7]


def test_a_flip_is_left_right_and_of_the_slices_that_the_draw_says() -> None:
    augment = Augment(flip=0.5)
    flipped = augment.flipped(GOOD, seed=5, epoch=3)
    assert 0 < flipped.sum() < len(GOOD)
    hu = reader(augment)[Draw(GOOD, 3)].hu[:, 0].numpy()
    assert np.array_equal(hu[~flipped], Shelf.hu[GOOD][~flipped])
    assert np.array_equal(hu[flipped], Shelf.hu[GOOD][flipped][:, :, ::-1])


def test_neighbours_come_with_their_slice_and_change_as_it_does() -> None:
    seen = np.clip(np.arange(ROWS)[:, None] + [-1, 0, 1], 0, ROWS - 1)
    rows = np.array([0, 20, 39, 3])
    augment = Augment(flip=0.5, shift_hu=50.0)
    read = BatchReader(Shelf(), LABELS, augment, seed=5, neighbours=seen)
    assert read[Draw(rows, None)].hu.shape == (4, 3, SIDE, SIDE)
    assert np.array_equal(read[Draw(rows, None)].hu, Shelf.hu[[[0, 0, 1], [19, 20, 21], [38, 39, 39], [2, 3, 4]]])
    epoch = next(n for n in range(20) if augment.flipped(rows, seed=5, epoch=n).sum() == 2)
    hu, flipped = read[Draw(rows, epoch)].hu.numpy(), augment.flipped(rows, seed=5, epoch=epoch)
    plain = np.where(flipped[:, None, None, None], Shelf.hu[seen[rows]][..., ::-1], Shelf.hu[seen[rows]])
    inside = (hu > -1024) & (hu < 3071)
    for moved, still, kept in zip(hu, plain, inside, strict=True):
        assert len(np.unique((moved - still)[kept])) == 1  # one shift for all three


def test_validation_is_never_changed() -> None:
    hu = reader(Augment(flip=1.0, noise_hu=9.0))[Draw(GOOD, None)].hu
    assert np.array_equal(hu[:, 0], Shelf.hu[GOOD])


def test_memory_is_given_again_when_its_batch_is_gone_and_not_before() -> None:
    read = reader()
    places, kept = set(), []
    for row in range(12):
        hu = read[Draw(np.array([row]), None)].hu
        places.add(hu.data_ptr())
        del hu
    assert len(places) == 1
    for row in range(12):  # more than there is room for; of some only a part is held
        batch = read[Draw(np.array([row, row + 20]), None)]
        kept.append(batch.hu if row % 2 else batch.hu[0].numpy())
    for row, held in enumerate(kept):
        assert np.array_equal(np.asarray(held).reshape(-1, SIDE, SIDE)[0], Shelf.hu[row])


def test_reading_ahead_gives_the_same_batches_in_the_same_order() -> None:
    draws = TrainBatches(GOOD, 4, seed=5, rank=0, processes=1)
    draws.set_epoch(2)
    read = reader(Augment(flip=0.5, noise_hu=3.0))
    ahead = list(ReadAhead(read, draws))
    assert len(ahead) == len(draws) == len(GOOD) // 4
    for batch, draw in zip(ahead, draws, strict=True):
        assert all(torch.equal(mine, yours) for mine, yours in zip(batch, read[draw], strict=True))


def test_a_slice_that_cannot_be_read_stops_the_training_and_not_its_thread_alone() -> None:
    with pytest.raises(OSError, match="row 13 cannot be read"):
        list(ReadAhead(reader(), ValBatches(np.arange(ROWS), 4, 0, 1)))


def test_threads_that_read_at_once_share_no_memory() -> None:
    room, interval = Room(), sys.getswitchinterval()

    def is_shared(number: int) -> bool:
        memory = room.take((1,))
        memory[0] = number
        time.sleep(0)
        return int(memory[0]) != number

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert not any(pool.map(is_shared, range(8_000)))
    finally:
        sys.setswitchinterval(interval)


def test_leaving_early_ends_the_threads() -> None:
    batches: Iterator[object] = iter(ReadAhead(reader(), ValBatches(GOOD, 1, 0, 1)))
    next(batches)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("feed")]
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


def drawn(batches: TrainBatches | ValBatches) -> list[list[int]]:
    return [draw.rows.tolist() for draw in batches]


@given(st.integers(1, 200), st.integers(1, 4), st.integers(1, 8))
def test_validation_rows_are_shared_out_each_once(rows: int, processes: int, share: int) -> None:
    if rows < processes:
        with pytest.raises(BadBatchSize, match="too few"):
            ValBatches(np.arange(rows), share * processes, 0, processes)
        return
    shares = [drawn(ValBatches(np.arange(rows), share * processes, rank, processes)) for rank in range(processes)]
    assert sorted(row for batches in shares for batch in batches for row in batch) == list(range(rows))
    assert len({len(batches) for batches in shares}) == 1  # processes meet at each batch
    assert all(0 < len(batch) <= share + 1 for batches in shares for batch in batches)


@given(st.integers(8, 200), st.integers(1, 4), st.integers(0, 5))
def test_training_rows_come_at_most_once_and_whole_batches_only(rows: int, processes: int, epoch: int) -> None:
    seen: list[int] = []
    for rank in range(processes):
        batches = TrainBatches(np.arange(rows), 4 * processes, 0, rank, processes)
        batches.set_epoch(epoch)
        assert all(len(batch) == 4 for batch in drawn(batches))
        seen += [row for batch in drawn(batches) for row in batch]
    assert len(seen) == len(set(seen)) == rows // (4 * processes) * 4 * processes


def test_two_processes_draw_the_global_batches_of_one() -> None:
    one = drawn(TrainBatches(np.arange(40), 8, seed=3, rank=0, processes=1))
    halves = [drawn(TrainBatches(np.arange(40), 8, seed=3, rank=rank, processes=2)) for rank in (0, 1)]
    assert one == [first + second for first, second in zip(*halves, strict=True)]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = TrainBatches(np.arange(64), 8, seed, 0, 1)
        batches.set_epoch(epoch)
        return drawn(batches)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_draws_name_their_epoch_so_that_workers_know_it() -> None:
    batches = TrainBatches(np.arange(8), 4, 0, 0, 1)
    batches.set_epoch(7)
    assert [draw.epoch for draw in batches] == [7, 7]
    assert [draw.epoch for draw in ValBatches(np.arange(8), 4, 0, 1)] == [None, None]
