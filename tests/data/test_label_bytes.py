"""The challenge's CSV as machine words: flawless tables are read, and nothing else."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ich.data import labels
from ich.data.label_bytes import BLOCK, read_flawless
from ich.data.labels import read_labels
from ich.findings import FINDINGS

NONE, SUBDURAL = [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]


def rows_of(image: int, said: list[int]) -> list[str]:
    return [f"ID_{image:09x}_{finding},{label}" for finding, label in zip(FINDINGS, said, strict=True)]


def written(path: Path, rows: list[str], *, header: str = "ID,Label", end: str = "\n", last: str = "\n") -> Path:
    path.write_bytes((end.join([header, *rows]) + last).encode())
    return path


GOOD = [*rows_of(0xFEDCBA987, NONE), *rows_of(0x012345678, SUBDURAL)]


def test_rows_in_any_order_and_twice_become_a_table_in_the_order_of_ids(tmp_path: Path) -> None:
    table = read_flawless(written(tmp_path / "l.csv", [*reversed(GOOD), *GOOD[:3]]))
    assert table is not None
    assert table.index.tolist() == ["ID_012345678", "ID_fedcba987"]
    assert table.index.name == "image_id"
    assert table.to_numpy().tolist() == [SUBDURAL, NONE]


@pytest.mark.parametrize(
    "shape", [{"end": "\r\n", "last": "\r\n"}, {"last": ""}, {"header": "\ufeffID,Label"}, {"end": "\r\n", "last": ""}]
)
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, shape: dict[str, str]) -> None:
    table = read_flawless(written(tmp_path / "l.csv", GOOD, **shape))
    assert table is not None
    assert table.to_numpy().tolist() == [SUBDURAL, NONE]


@given(
    st.dictionaries(
        st.integers(0, 16**9 - 1), st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=1, max_size=9
    ),
    st.randoms(use_true_random=False),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_it_agrees_with_the_careful_reader(tmp_path: Path, images: dict[int, list[int]], random: object) -> None:
    rows = [row for image, said in images.items() for row in rows_of(image, said)]
    random.shuffle(rows)  # type: ignore[attr-defined]
    path = written(tmp_path / "l.csv", rows)
    fast = read_flawless(path)
    assert fast is not None
    pd.testing.assert_frame_equal(fast, labels._read_carefully(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [*rows, "ID_012345678_any,0"],  # two answers
        lambda rows: rows[1:],  # a finding is missing
        lambda rows: [*rows[:6], *rows_of(0x12345678A, NONE)[:3], *rows[6:], *rows_of(0x12345678B, NONE)[3:]],
        lambda rows: [row.replace("_any", "_all") for row in rows],
        lambda rows: [row.replace("parenchy", "parrnchy") for row in rows],  # in the middle of the longest name
        lambda rows: [row.replace("parenchy", "renchypa") for row in rows],
        lambda rows: [row.replace("subdural", "epidural") for row in rows],
        lambda rows: [row.replace("_sub", "-sub") for row in rows],
        lambda rows: [row.replace(",1", ",2") for row in rows],
        lambda rows: [row.replace(",1", ",1.0") for row in rows],
        lambda rows: [row.replace("ID_", "Id_") for row in rows],
        lambda rows: [row.replace("ID_0", "ID_") for row in rows],  # eight digits
        lambda rows: [row.replace("ID_fe", "ID_FE") for row in rows],
        lambda rows: [row.replace("ID_fe", "ID_g0") for row in rows],
        lambda rows: [row.replace("2345", "23:5") for row in rows],
        lambda rows: [*rows, ""],
        lambda rows: [*rows, "a"],
        lambda rows: [f'"{row[:-2]}",{row[-1]}' for row in rows],
        lambda rows: [*rows[:3], rows[3] + "\r", *rows[4:]],
        lambda rows: [],
    ],
)
def test_anything_else_is_left_to_the_careful_reader(tmp_path: Path, change: object) -> None:
    assert read_flawless(written(tmp_path / "l.csv", GOOD)) is not None
    assert read_flawless(written(tmp_path / "l.csv", change(GOOD))) is None  # type: ignore[operator]


def test_a_line_that_ends_otherwise_than_the_header_is_left_to_it_too(tmp_path: Path) -> None:
    path = written(tmp_path / "l.csv", GOOD, end="\r\n", last="\r\n")
    path.write_bytes(path.read_bytes().replace(b"_any,0\r\n", b"_any,0x\n"))
    assert read_flawless(path) is None


@pytest.mark.parametrize("content", [b"", b"ID,Label", b"ID,Labels\n", b"\0" * 3 * BLOCK, b"ID,Label\n" + b"9" * BLOCK])
def test_a_file_of_another_kind_is_left_to_it_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    assert read_flawless(tmp_path / "l.csv") is None
    assert read_flawless(tmp_path / "none.csv") is None


def test_lines_across_blocks_are_read_whole(tmp_path: Path) -> None:
    images = np.random.default_rng(0).choice(16**9, 20_000, replace=False).tolist()
    path = written(tmp_path / "l.csv", [row for image in images for row in rows_of(image, SUBDURAL)])
    assert path.stat().st_size > 2 * BLOCK
    table = read_flawless(path)
    assert table is not None
    assert table.index.tolist() == [f"ID_{image:09x}" for image in sorted(images)]
    assert (table.to_numpy() == SUBDURAL).all()


def test_it_is_at_least_fifteen_times_faster_than_pandas_split_and_pivot(tmp_path: Path) -> None:
    """A ninth of stage_2_train.csv, shuffled, in seconds of the processor; at full size the ratio is higher."""
    random = np.random.default_rng(1)
    rows = [row for image in random.choice(16**9, 83_645, replace=False) for row in rows_of(image, SUBDURAL)]
    path = written(tmp_path / "l.csv", [rows[place] for place in random.permutation(len(rows))])
    ours, theirs = [], []
    for _ in range(3):
        started = time.process_time()
        table = read_labels(path)
        ours.append(time.process_time() - started)
    started = time.process_time()
    long = pd.read_csv(path).drop_duplicates()
    long[["image_id", "finding"]] = long["ID"].str.rsplit("_", n=1, expand=True)
    wide = long.pivot(index="image_id", columns="finding", values="Label")[list(FINDINGS)]
    theirs.append(time.process_time() - started)
    assert np.array_equal(table.to_numpy(), wide.loc[table.index].to_numpy())
    assert min(theirs) / min(ours) > 15
