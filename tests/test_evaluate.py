"""python -m ich.evaluate as a user runs it: the run's own numbers with intervals, one page that stands alone."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ich import metric
from ich.config.check import check_command
from ich.config.compose import compose
from ich.config.files import CONF
from ich.config.mistakes import BadConfig
from ich.evaluate import Keys
from ich.evaluate import evaluate as door
from ich.findings import FINDINGS
from ich.report.evaluation import BadPredictions
from ich.report.evaluation.answers import read_prevalence
from ich.report.page import BadOutput
from tests.project import Project, Trained
from tests.test_explore import assert_stands_alone

FILES = [
    "confusion.svg",
    "evaluation.json",
    "header_groups.csv",
    "index.html",
    "precision_recall.svg",
    "reliability.csv",
    "reliability.svg",
    "roc.svg",
    "scores.svg",
    "shifts.csv",
    "shifts.svg",
    "thresholds.csv",
]
PROBABILITIES = [f"p_{finding}" for finding in FINDINGS]


def evaluate(project: Project, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return project.run("-m", "ich.evaluate", *words, code=code)


def make_table(patients: int, *, seed: int = 0, prefix: str = "") -> pd.DataFrame:
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), 10)
    kinds = random.random((len(owner), 5)) < 0.2 * random.random((patients, 5))[owner]
    positive = np.column_stack([kinds, kinds.any(axis=1)])
    p = metric.probabilities(2.0 * positive - 2 + random.normal(size=positive.shape))
    return pd.DataFrame(
        {
            "image_id": [f"ID_{prefix}{row}" for row in range(len(owner))],
            "study_id": [f"ID_{prefix}study{one}" for one in owner],
            "patient_id": [f"ID_{prefix}patient{one}" for one in owner],
            **{finding: positive[:, i].astype(int) for i, finding in enumerate(FINDINGS)},
            **{name: p[:, i] for i, name in enumerate(PROBABILITIES)},
        }
    )


def write(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path, index=False, float_format="%.17g")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """val.csv and its headers, worse.csv of the same slices, test.csv of others, fewer.csv, and a damaged one."""
    folder = tmp_path_factory.mktemp("tables")
    val = make_table(30)
    write(folder / "val.csv", val)
    worse = val.copy()
    worse[PROBABILITIES] = 0.5 * worse[PROBABILITIES] + 0.25
    write(folder / "worse.csv", worse)
    write(folder / "test.csv", make_table(20, seed=1, prefix="t"))
    write(folder / "fewer.csv", val[:-1])
    headers = val[["image_id"]].assign(header_group=np.where(val["patient_id"].str.endswith("1"), "a", "b"))
    write(folder / "headers.csv", headers)
    write(folder / "fewer_headers.csv", headers[:-1])
    val.loc[3, "p_any"] = 1.5
    write(folder / "bad.csv", val)
    return folder


def test_a_run_is_evaluated_with_the_very_numbers_that_it_logged(
    project: Project, trained: Trained, tmp_path: Path
) -> None:
    words = (f"output={tmp_path / 'out'}", "resamples=200", "shifts=[-20,20]")
    done = evaluate(project, f"run={trained.checkpoint}", *words)
    rows = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    history = project.client.get_metric_history(trained.run.info.run_id, "val/weighted_log_loss")
    best = min(history, key=lambda one: np.float32(one.value)).step
    own = [name for name in trained.run.data.metrics if name.startswith("val/") and name != "val/loss"]
    names = [name for name in own if "/calibrated/" not in name]  # the network's own answers
    assert len(names) > 40
    for name in names:
        logged = project.client.get_metric_history(trained.run.info.run_id, name)
        values = [one.value for one in logged if one.step == best]
        assert rows[name][0] == pytest.approx(values[0], rel=1e-12), name
    assert "the training fold's prevalence as everybody's answer" in done.stdout
    assert "fitted and reported on the same patients" in done.stdout
    assert str(tmp_path / "out" / "index.html") in done.stdout
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == FILES
    shifts = pd.read_csv(tmp_path / "out" / "shifts.csv").set_index(["shift_hu", "label"])
    assert shifts.index.get_level_values(0).unique().tolist() == [-20, 0, 20]
    unshifted = shifts.loc[(0, "all")]
    assert unshifted["log_loss"] == pytest.approx(rows["val/weighted_log_loss"][0], abs=1e-5)
    assert unshifted["floor"] == pytest.approx(rows["val/floor"][0], rel=1e-12)
    assert (unshifted["log_loss_change"], shifts.loc[(20, "all"), "log_loss_change"] != 0) == (0, True)
    assert_stands_alone(tmp_path / "out" / "index.html")
    assert trained.run.info.run_id in (tmp_path / "out" / "index.html").read_text()


def here(*words: str) -> None:
    """The door in this process: its check, then its work."""
    jobs = check_command(words, name="evaluate", keys=Keys, conf=CONF, multirun=False)
    door(compose(jobs[0]))


def test_a_table_is_evaluated_by_slices_and_studies_and_equal_tables_give_equal_bytes(
    tables: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        here(f"predictions={tables / 'val.csv'}", f"output={tmp_path / name}", "resamples=200")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    rows = json.loads((tmp_path / "a" / "evaluation.json").read_text())
    table = pd.read_csv(tables / "val.csv")
    studies = table.groupby("study_id")[[*FINDINGS, *PROBABILITIES]].max()
    for prefix, some in (("val/", table), ("val/study/", studies)):
        labels, p = some[list(FINDINGS)], some[PROBABILITIES]
        for name, value in metric.score(labels, p, prevalence=metric.prevalence(labels)).items():
            assert rows[f"{prefix}{name}"][0] == pytest.approx(value, rel=1e-9), name
    value, low, high = rows["val/auc/any"]
    assert low < value < high
    thresholds = pd.read_csv(tmp_path / "a" / "thresholds.csv")
    assert set(thresholds["level"]) == {"val", "val/study"}
    assert thresholds["point"].unique().tolist() == ["fixed", "sensitivity_95", "youden"]
    reliability = pd.read_csv(tmp_path / "a" / "reliability.csv")
    assert reliability["cases"].sum() == 6 * (len(table) + len(studies))


def test_a_table_is_evaluated_by_header_group(tables: Path, tmp_path: Path) -> None:
    here(
        f"predictions={tables / 'val.csv'}",
        f"headers={tables / 'headers.csv'}",
        f"output={tmp_path / 'out'}",
        "resamples=100",
    )
    found = pd.read_csv(tmp_path / "out" / "header_groups.csv").set_index(["header_group", "label"])
    table = pd.read_csv(tables / "val.csv")
    first = table["patient_id"].str.endswith("1")
    for name, some in (("all slices", table), ("a", table[first]), ("b", table[~first])):
        labels, p = some[list(FINDINGS)], some[PROBABILITIES].to_numpy()
        row = found.loc[(name, "any")]
        assert (row["slices"], row["patients"]) == (len(some), some["patient_id"].nunique())
        assert row["positives"] == some["any"].sum()
        assert row["auc"] == pytest.approx(roc_auc_score(labels["any"], p[:, 5]), rel=1e-9)
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        assert found.loc[(name, "all"), "log_loss"] == pytest.approx(metric.weighted_log_loss(labels, p), rel=1e-9)
        floors = [metric.floor_log_loss(metric.prevalence(one[list(FINDINGS)]), labels) for one in (table, some)]
        assert found.loc[(name, "all"), ["floor", "own_floor"]].tolist() == pytest.approx(floors, rel=1e-9)
    assert_stands_alone(tmp_path / "out" / "index.html")
    assert "By header group" in (tmp_path / "out" / "index.html").read_text()


def test_a_cohort_without_patients_and_with_columns_of_its_own_is_one_file(tables: Path, tmp_path: Path) -> None:
    """As conf/table/NAME.yaml would say it: two of three readers, and every study a patient's own."""
    val = pd.read_csv(tables / "val.csv").drop(columns="patient_id")
    readers = {f"{reader}:{label}": val[label] for reader in "AB" for label in FINDINGS}
    others = {f"C:{label}": 1 - val[label] for label in FINDINGS}
    table = val.drop(columns=list(FINDINGS)).rename(columns={"image_id": "file"}).assign(**readers, **others)
    columns = {label: [f"{reader}:{label}" for reader in "ABC"] for label in FINDINGS}
    here(
        f"predictions={write(tmp_path / 'p.csv', table)}",
        "table.image=file",
        "table.patient=null",
        *(f"table.labels.{label}=[{','.join(repr(one) for one in some)}]" for label, some in columns.items()),
        f"output={tmp_path / 'out'}",
        "resamples=100",
    )
    rows = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    own = pd.read_csv(tables / "val.csv")
    expected = metric.weighted_log_loss(own[list(FINDINGS)], own[PROBABILITIES])
    assert rows["val/weighted_log_loss"][0] == pytest.approx(expected, rel=1e-9)
    assert rows["val/auc/any"][0] == pytest.approx(roc_auc_score(own["any"], own["p_any"]), rel=1e-9)


def test_operating_points_are_reported_on_test_patients_and_two_tables_are_compared(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here(
        f"predictions={tables / 'val.csv'}",
        f"test={tables / 'test.csv'}",
        f"other={tables / 'worse.csv'}",
        f"output={tmp_path / 'out'}",
        "resamples=200",
    )
    assert "fitted on validation patients, reported on test patients" in capsys.readouterr().out.replace("\n", " ")
    rows = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {name.partition("/")[0] for name in rows} == {"val", "test"}
    assert "test/youden/recall/any" in rows
    compared = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert {name.partition("/")[0] for name in compared} == {"val"}
    difference, low, high = compared["val/weighted_log_loss"]
    assert low < difference < high < 0  # the other is worse
    assert compared["val/auc/any"] == pytest.approx([0, 0, 0], abs=1e-12)
    table = pd.read_csv(tmp_path / "out" / "comparison.csv").set_index("metric")
    assert table.loc["val/weighted_log_loss", "difference"] == pytest.approx(difference)
    assert "worse.csv" in (tmp_path / "out" / "index.html").read_text()


def test_scans_of_cq500_are_judged_by_the_majority_of_their_readers(rsna2019: Path, tmp_path: Path) -> None:
    reads = rsna2019 / "tables" / "cq500_reads.csv"
    truth = pd.read_csv(reads)
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {"file": [f"{name.replace('-', '')}/CT/{part}.dcm" for name in truth["name"] for part in (1, 2)]}
    )
    p = random.random((len(table), 6))
    write(tmp_path / "probabilities.csv", table.assign(**{finding: p[:, i] for i, finding in enumerate(FINDINGS)}))
    here(
        f"predictions={tmp_path / 'probabilities.csv'}",
        "table=cq500",
        f"table.reads.file={reads}",
        f"output={tmp_path / 'out'}",
        "resamples=100",
    )
    rows = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {name.rpartition("/")[0].split("/")[1] for name in rows if "/" in name} == {"study"}
    any_ = truth[[f"R{reader}:ICH" for reader in (1, 2, 3)]].sum(axis=1) >= 2
    assert any_.sum() == 205
    score = p[:, 5].reshape(-1, 2).max(axis=1)
    assert rows["val/study/auc/any"][0] == pytest.approx(roc_auc_score(any_, score), rel=1e-9)
    assert "491 studies (205 with hemorrhage)" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predictions={tables}/val.csv", "table=cq500"], "table.reads.file is missing"),
        ([], "give run=runs:/ID, or predictions=FILE"),
        (["run=runs:/x", "predictions={tables}/val.csv"], "one of the two"),
        (["predictions=NONE.csv"], "predictions: there is no file NONE.csv; give a table of predictions"),
        (["predictions={tables}/val.csv", "other=NONE.csv"], "other: there is no file NONE.csv"),
        (["predictions={tables}/val.csv", "headers=NONE.csv"], "headers: there is no file NONE.csv; give headers.csv"),
        (["predictions={tables}/val.csv", "shifts=[10]"], "it goes with run=runs:/ID"),
        (["run=runs:/x", "headers={tables}/headers.csv"], "headers= goes with predictions="),
        (["run=runs:/x", "shifts=[1e4]"], "shifts.0"),
        (["run=x.csv"], "run= takes runs:/ID"),
        (["run=runs:/x", "test={tables}/val.csv"], "test= goes with predictions="),
        (["predictions={tables}/val.csv", "resamples=1"], "resamples: 1"),
        (["prediction={tables}/val.csv"], "did you mean predictions?"),
    ],
)
def test_a_mistake_in_the_command_is_named(tables: Path, words: list[str], said: str) -> None:
    with pytest.raises(BadConfig) as refused:
        here(*(word.format(tables=tables) for word in words), "output=out")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["predictions={tables}/val.csv", "headers={tables}/fewer_headers.csv"],
            "ID_299 has no header group (1 of 300",
        ),
        (["predictions={tables}/val.csv", "headers={tables}/val.csv"], "there is no column header_group; a table of"),
        (["predictions={tables}/val.csv", "test={tables}/val.csv"], "is in both tables (30 such patients)"),
        (["predictions={tables}/val.csv", "other={tables}/fewer.csv"], "ID_299 is in the first table only"),
    ],
)
def test_a_table_that_cannot_be_evaluated_is_refused(tables: Path, tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(BadPredictions) as refused:
        here(*(word.format(tables=tables) for word in words), f"output={tmp_path / 'out'}")
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_no_folder_is_refused(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadOutput, match=r"out: cannot be written: .*; output= takes a folder"):
        here(f"predictions={tables / 'val.csv'}", f"output={tmp_path / 'out'}")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_wrong_command_exits_with_2_and_a_bad_table_with_1(project: Project, tables: Path) -> None:
    for word, code, said in (
        ("run=x.csv", 2, "run= takes runs:/ID"),
        (
            f"predictions={tables / 'bad.csv'}",
            1,
            "line 5, column p_any: '1.5' is no probability; it must lie in 0 .. 1",
        ),
    ):
        done = evaluate(project, word, "output=out", code=code)
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_the_prevalence_of_a_run_is_refused_where_it_is_none(tmp_path: Path) -> None:
    for text, said in (("label,x\n", "no prevalence"), ("label,prevalence\nany,0.5\n", "no prevalence")):
        (tmp_path / "prevalence.csv").write_text(text)
        with pytest.raises(BadPredictions, match=said):
            read_prevalence(tmp_path / "prevalence.csv")
    rows = "".join(f"{finding},0\n" for finding in FINDINGS)
    (tmp_path / "prevalence.csv").write_text(f"label,prevalence\n{rows}")
    with pytest.raises(BadPredictions, match="between 0 and 1"):
        read_prevalence(tmp_path / "prevalence.csv")
