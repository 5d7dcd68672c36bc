"""The challenge's label CSV and the wide table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from ich.data.labels import BadLabels, read_labels, write_labels, write_submission
from ich.findings import FINDINGS


def rows_of(image_id: str, labels: list[int]) -> list[str]:
    return [f"{image_id}_{finding},{label}" for finding, label in zip(FINDINGS, labels, strict=True)]


def written(path: Path, rows: list[str], header: str = "ID,Label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def good() -> list[str]:
    return rows_of("ID_a", [0, 1, 0, 0, 0, 1]) + rows_of("ID_b", [0, 0, 0, 0, 0, 0])


def test_six_rows_become_one(tmp_path: Path, good: list[str]) -> None:
    table = read_labels(written(tmp_path / "l.csv", good))
    assert table.columns.tolist() == list(FINDINGS)
    assert table.index.name == "image_id"
    assert table.loc["ID_a"].tolist() == [0, 1, 0, 0, 0, 1]
    assert set(table.dtypes) == {np.dtype(np.uint8)}


def test_any_order_and_equal_rows_twice_change_nothing(tmp_path: Path, good: list[str]) -> None:
    shuffled = [*reversed(good), *good[:6]]
    once, twice = read_labels(written(tmp_path / "a.csv", good)), read_labels(written(tmp_path / "b.csv", shuffled))
    pd.testing.assert_frame_equal(once.sort_index(), twice.sort_index())


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path, good: list[str]) -> None:
    (tmp_path / "l.csv").write_bytes("\r\n".join(["\ufeffID,Label", *good, ""]).encode())
    assert len(read_labels(tmp_path / "l.csv")) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows, "ID_b_any,1"], "ID_b has two different labels for any"),
        (lambda rows: rows[1:], "ID_a has no label for epidural"),
        (lambda rows: rows[:-1], r"ID_b has no label for any \(1 image has one for epidural only\)"),
        (lambda rows: [*rows, "ID_a_any ,1"], "'ID_a_any ' does not end with one of"),
        (lambda rows: [*rows, ",1"], "does not end with one of"),
        (lambda rows: [*rows, "ID_c_any,1.5"], "line 14: a label is 0 or 1, not 1.5"),
        (
            lambda rows: [*rows, "ID_c_epidermal,0"],
            "'ID_c_epidermal' does not end with one of epidural, intraparenchymal",
        ),
        (lambda rows: [*rows[:3], "ID_a_subarachnoid,2", *rows[4:]], "line 5: a label is 0 or 1, not 2"),
        (lambda rows: [*rows[:3], "ID_a_subarachnoid,yes", *rows[4:]], "line 5: a label is 0 or 1, not yes"),
        (lambda rows: [*rows[:3], "ID_a_subarachnoid,", *rows[4:]], "line 5: a label is 0 or 1"),
        (
            lambda rows: [row.replace("ID_b_any,0", "ID_b_any,1") for row in rows],
            "ID_b contradicts itself: any is not the largest",
        ),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused(tmp_path: Path, good: list[str], change: object, said: str) -> None:
    path = written(tmp_path / "l.csv", change(good))  # type: ignore[operator]
    with pytest.raises(BadLabels, match=said) as refused:
        read_labels(path)
    assert str(path) in str(refused.value)


def test_another_header_is_refused_with_the_right_one(tmp_path: Path, good: list[str]) -> None:
    with pytest.raises(BadLabels, match="the header is image,label, not ID,Label"):
        read_labels(written(tmp_path / "l.csv", good, header="image,label"))


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLabels, match="there is no row under its header"):
        read_labels(written(tmp_path / "l.csv", []))


def test_no_file_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    for name in ("none.csv", "empty.csv"):
        with pytest.raises(BadLabels, match="no label table can be read"):
            read_labels(tmp_path / name)


@given(st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=1, max_size=8), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_writing_and_reading_is_the_identity(tmp_path: Path, kinds: list[list[int]], random: object) -> None:
    images = pd.Index([f"ID_{number:03}" for number in range(len(kinds))], name="image_id")
    table = pd.DataFrame([[*row, max(row)] for row in kinds], index=images, columns=list(FINDINGS)).astype(np.uint8)
    write_labels(tmp_path / "l.csv", table)
    pd.testing.assert_frame_equal(read_labels(tmp_path / "l.csv"), table, check_index_type=False)


def test_a_submission_has_six_rows_an_image_and_loses_no_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((2, 6))
    write_submission(tmp_path / "s.csv", ["ID_a", "ID_b"], values)
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.columns.tolist() == ["ID", "Label"]
    assert table["ID"].tolist()[5:7] == ["ID_a_any", "ID_b_epidural"]
    assert np.array_equal(table["Label"].to_numpy().reshape(2, 6), values)


def test_the_real_tables_are_read(rsna2019: Path, mini: Path) -> None:
    labels = read_labels(next(mini.rglob("stage_2_train.csv")))
    assert len(labels) == 346
    assert labels.sum().to_dict() == {
        "epidural": 1, "intraparenchymal": 48, "intraventricular": 5, "subarachnoid": 16, "subdural": 7, "any": 67
    }  # fmt: skip


def test_the_real_labels_at_length_are_those_of_the_table(rsna2019: Path, tmp_path: Path) -> None:
    """400,242 images in shuffled rows, four of them twice as in stage_2_train.csv; positives are the README's."""
    wide = pd.read_parquet(rsna2019 / "tables" / "labels_wide.parquet").set_index("image_id")
    ids = np.add.outer(wide.index.to_numpy(object), np.array([f"_{finding}" for finding in FINDINGS], object)).ravel()
    order = np.random.default_rng(0).permutation(np.append(np.arange(len(ids)), np.arange(24)))
    rows = {"ID": ids[order], "Label": wide[list(FINDINGS)].to_numpy().ravel()[order]}
    csv.write_csv(pa.table(rows), tmp_path / "l.csv", csv.WriteOptions(quoting_style="none", quoting_header="none"))
    table = read_labels(tmp_path / "l.csv")
    assert len(table) == 400_242
    assert np.array_equal(table.loc[wide.index].to_numpy(), wide[list(FINDINGS)].to_numpy())
    assert table[(wide["stage1_split"] == "stage_1_train").loc[table.index]].sum().to_dict() == {
        "epidural": 2761, "intraparenchymal": 32564, "intraventricular": 23766, "subarachnoid": 32122,
        "subdural": 42496, "any": 97103,
    }  # fmt: skip
