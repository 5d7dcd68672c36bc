"""Batches: every row once, in an order of (seed, epoch), shared out over processes without a pad."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ich.data.module import BadBatchSize, TrainBatches, ValBatches


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
