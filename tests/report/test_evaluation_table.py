"""A predictions table: read to the last digit, and refused with its line, its column and the way out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.findings import FINDINGS
from ich.report.evaluation import BadPredictions, read_predictions
from ich.report.evaluation.columns import OWN, Columns, Reads

IDS = ["image_id", "study_id", "patient_id"]
COLUMNS = [*IDS, *FINDINGS, *(f"p_{finding}" for finding in FINDINGS)]


def table(rows: int = 4) -> pd.DataFrame:
    random = np.random.default_rng(0)
    ids = [[f"ID_{row}", f"study_{row // 2}", "NA" if row < 2 else f"patient_{row // 2}"] for row in range(rows)]
    labels = random.integers(0, 2, (rows, 6))
    probabilities = random.random((rows, 6))
    return pd.DataFrame(np.concatenate([ids, labels, probabilities], axis=1, dtype=object), columns=COLUMNS)


def write(path: Path, content: pd.DataFrame) -> Path:
    content.to_csv(path, index=False, float_format="%.17g")
    return path


def test_a_table_is_read_to_the_last_digit_in_the_order_of_its_images(tmp_path: Path) -> None:
    rows = table(60)
    cases = read_predictions(write(tmp_path / "val.csv", rows.sample(frac=1, random_state=1)))
    expected = rows.sort_values("image_id")
    assert cases.ids.tolist() == expected["image_id"].tolist()
    assert cases.studies.tolist() == expected["study_id"].tolist()
    assert cases.names[cases.patients].tolist() == expected["patient_id"].tolist()
    assert cases.positive.tolist() == expected[list(FINDINGS)].astype(bool).to_numpy().tolist()
    assert cases.probabilities.tolist() == expected[COLUMNS[-6:]].to_numpy().tolist()


def test_columns_may_come_in_any_order_with_others_between_them(tmp_path: Path) -> None:
    rows = table().assign(scanner="x")[[*COLUMNS[::-1], "scanner"]]
    assert len(read_predictions(write(tmp_path / "val.csv", rows))) == 4


def changed(row: int, column: str, value: object) -> pd.DataFrame:
    rows = table()
    rows.loc[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (table().drop(columns=["p_any"]), "no column p_any; a predictions table is a CSV with the columns image_id,"),
        (table().drop(columns=["any", "p_any"]), "there is no column any, nor p_any"),
        (table().rename(columns={"p_any": "prob_any"}), r"there is no column p_any \(is it 'prob_any'\?\)"),
        (table()[:0], "no row below the header"),
        (changed(2, "image_id", "ID_1"), r"line 4, column image_id: 'ID_1' stands a second time"),
        (changed(1, "image_id", ""), "line 3, column image_id: '' is empty"),
        (changed(3, "patient_id", "other"), "line 5, column study_id: 'study_1' is a study of two patients"),
        (changed(0, "subdural", 2), "line 2, column subdural: '2' is no label; a label is 0 or 1"),
        (changed(0, "subdural", "yes"), "line 2, column subdural: 'yes' is no number"),
        (changed(2, "p_any", 1.5), "line 4, column p_any: '1.5' is no probability; it must lie in 0 .. 1"),
        (changed(2, "p_any", "nan"), "line 4, column p_any: 'nan' is no number"),
        (changed(2, "p_any", ""), "line 4, column p_any: '' is no number"),
        (
            changed(2, "p_epidural", -1),
            r"line 4, column p_epidural: '-1' is no probability; it must lie in 0 .. 1 \(1 such row\)",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: pd.DataFrame, said: str) -> None:
    path = write(tmp_path / "val.csv", content)
    with pytest.raises(BadPredictions, match=said) as refused:
        read_predictions(path)
    assert str(refused.value).startswith(f"{path}")


@pytest.mark.parametrize("text", [None, "", "\x00\x01\x02", "a,b\n1,2,3\n", "\ufffd,,\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "val.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadPredictions, match=r"val\.csv: .*; a predictions table is a CSV with the columns"):
        read_predictions(path)


@pytest.mark.parametrize("fields", ["", "1", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"])
def test_a_row_of_another_length_is_refused(tmp_path: Path, fields: str) -> None:
    path = write(tmp_path / "val.csv", table())
    path.write_text(f"{path.read_text()}ID_9,study_9,p,{fields}\n")
    with pytest.raises(BadPredictions, match="line 6"):
        read_predictions(path)


def test_a_folder_and_bytes_of_an_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_bytes(bytes(range(256)) * 40)
    for path in (tmp_path, tmp_path / "val.csv"):
        with pytest.raises(BadPredictions, match="no table can be read"):
            read_predictions(path)


def test_without_studies_or_patients_every_image_or_study_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "val.csv", table().drop(columns=["patient_id"]))
    cases = read_predictions(path, replace(OWN, patient=None))
    assert cases.names.tolist() == ["study_0", "study_1"]
    cases = read_predictions(path, replace(OWN, patient=None, study=None))
    assert cases.studies.tolist() == cases.names.tolist() == ["ID_0", "ID_1", "ID_2", "ID_3"]


READERS = {finding: [f"{name}:{finding}" for name in "ABC"] for finding in FINDINGS}


def votes(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """A row a scan: its name, and what its three readers said of any, such as "110"; of kinds they said 0."""
    content = [
        {"name": name, **{column: 0 for readers in READERS.values() for column in readers}}
        | {column: int(vote) for column, vote in zip(READERS["any"], said, strict=True)}
        for name, said in rows
    ]
    return pd.DataFrame(content)


def of_scans(folder: Path, reads: pd.DataFrame) -> Columns:
    reads.to_csv(folder / "reads.csv", index=False)
    return Columns(
        image="file",
        study=None,
        patient=None,
        labels=READERS,
        probabilities={finding: finding for finding in FINDINGS},
        reads=Reads(file=folder / "reads.csv", case="name", pattern=r"SCAN-?(\d+)"),
    )


def predicted(folder: Path, rows: list[tuple[str, float]]) -> Path:
    content = pd.DataFrame([{"file": file, **dict.fromkeys(FINDINGS, 0.1), "any": p} for file, p in rows])
    return write(folder / "probabilities.csv", content)


def test_a_scan_has_the_label_of_most_readers_and_the_largest_probability_of_its_slices(tmp_path: Path) -> None:
    columns = of_scans(tmp_path, votes([("SCAN-1", "110"), ("SCAN-2", "100"), ("SCAN-3", "111")]))
    path = predicted(tmp_path, [("SCAN2/b.dcm", 0.3), ("SCAN1/a.dcm", 0.2), ("SCAN2/a.dcm", 0.7)])
    cases = read_predictions(path, columns)
    assert cases.ids.tolist() == cases.names.tolist() == ["1", "2"]
    assert cases.positive[:, 5].tolist() == [True, False]
    assert cases.probabilities[:, 5].tolist() == [0.2, 0.7]
    assert cases.whole


@pytest.mark.parametrize(
    ("reads", "files", "said"),
    [
        (
            ["SCAN-1"],
            ["SCAN1/a.dcm", "other.dcm"],
            r"probabilities.csv, line 3, column file: 'other.dcm' does not hold",
        ),
        (["SCAN-1", "x"], ["SCAN1/a.dcm"], r"reads.csv, line 3, column name: 'x' does not hold what pattern= looks"),
        (["SCAN-1", "SCAN1"], ["SCAN1/a.dcm"], r"reads.csv, line 3, column name: 'SCAN1' stands a second time"),
        (["SCAN-1"], ["SCAN2/a.dcm"], r"line 2, column file: 'SCAN2/a.dcm' is of a scan that reads.csv has no labels"),
    ],
)
def test_scans_that_do_not_match_are_refused(tmp_path: Path, reads: list[str], files: list[str], said: str) -> None:
    columns = of_scans(tmp_path, votes([(name, "000") for name in reads]))
    with pytest.raises(BadPredictions, match=said):
        read_predictions(predicted(tmp_path, [(file, 0.5) for file in files]), columns)


def test_a_missing_column_of_another_layout_points_to_table(tmp_path: Path) -> None:
    columns = of_scans(tmp_path, votes([("SCAN-1", "000")]).drop(columns=["B:any"]))
    with pytest.raises(BadPredictions, match=r"reads.csv: there is no column B:any.*; table= says which columns"):
        read_predictions(predicted(tmp_path, [("SCAN1", 0.5)]), columns)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"any": ["any"]}}, "labels names any; it needs epidural, .*, any"),
        ({"labels": {finding: ["a", "b"] for finding in FINDINGS}}, "labels.epidural has 2 columns; a majority"),
    ],
)
def test_columns_that_cannot_be_are_refused(change: dict[str, dict[str, list[str]]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(OWN, **change)


@pytest.mark.parametrize(("pattern", "said"), [("(", "is no regular expression"), ("a", "has 0 groups; it needs one")])
def test_a_pattern_finds_one_thing(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Reads(file=Path("r.csv"), case="name", pattern=pattern)
