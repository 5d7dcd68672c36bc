"""Two runs side by side: what differs is named, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from ich.findings import FINDINGS
from ich.report.comparison import Kept, compare_runs
from tests.project import SMALL, Project, Trained


def compare(project: Project, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    return project.run("-m", "ich.compare", *words, code=code)


def kept(**changed: object) -> Kept:
    table = pd.DataFrame({"image_id": [f"ID_{row}" for row in range(4)], "fold": [0, 0, 1, 1], "pixels": range(4)})
    table[list(FINDINGS)] = 0
    slices = table.set_index("image_id").astype({"fold": "Int64", "pixels": "UInt64"})
    same: dict[str, object] = {
        "name": "runs:/1",
        "config": {"seed": 0, "geometry.size": 64},
        "slices": slices,
        "environment": ["# Python 3.12", "torch==2.13.0"],
        "tags": {"mlflow.source.git.commit": "abc", "mlflow.user": "somebody"},
        "metrics": {"val/loss": 0.25},
    }
    return Kept(**(same | changed))  # type: ignore[arg-type]


def differences(**changed: object) -> dict[str, list[str]]:
    return {kind: found for kind, found in compare_runs(kept(), kept(**changed)).differences.items() if found}


def test_equal_runs_differ_in_nothing() -> None:
    assert differences(name="runs:/2", tags={"mlflow.source.git.commit": "abc", "mlflow.user": "another"}) == {}


def test_each_kind_of_difference_is_named_alone() -> None:
    assert differences(config={"seed": 1, "geometry.size": 64, "fit": True}) == {
        "config": ["fit: in b alone (True)", "seed: 0 in a, 1 in b"]
    }
    assert differences(environment=["# Python 3.13", "torch==2.13.1"]) == {
        "environment": ["# Python 3.12: in a alone", "# Python 3.13: in b alone", "torch: 2.13.0 in a, 2.13.1 in b"]
    }
    assert differences(tags={"mlflow.source.git.commit": "abd"}) == {"code": ["commit: abc in a, abd in b"]}
    assert differences(metrics={"val/loss": 0.5}) == {"metrics": ["val/loss: 0.25 in a, 0.5 in b (+0.25)"]}


def test_one_slice_is_named() -> None:
    slices = kept().slices
    assert slices is not None
    other = slices.copy()
    other.loc["ID_2", "pixels"] = 2**40
    assert differences(slices=other) == {"data": ["ID_2: other pixels"]}
    other = slices.copy()
    other.loc["ID_1", "any"] = 1
    assert differences(slices=other) == {"data": ["ID_1: any 0 in a, 1 in b"]}
    other = slices.copy()
    other.loc["ID_1", "fold"] = 1
    assert differences(slices=other) == {"folds": ["ID_1: fold 0 in a, 1 in b"]}
    assert differences(slices=slices.drop(index="ID_3")) == {"data": ["ID_3: in a alone"]}


def test_another_geometry_alone_makes_no_other_slice() -> None:
    slices = kept().slices
    assert slices is not None
    prepared_anew = slices.assign(pixels=(slices["pixels"].to_numpy(np.uint64) + np.uint64(100)))
    config = {"seed": 0, "geometry.size": 32}
    assert set(differences(slices=prepared_anew, config=config)) == {"config"}


def test_a_long_list_is_cut_and_counted() -> None:
    said = compare_runs(kept(), kept(metrics={f"val/a{number}": 1.0 for number in range(5)})).text(2)
    assert "metrics: 6 differences" in said
    assert "and 4 more (most=6 names them)" in said
    assert said.count("in b alone") == 2
    assert "data: the same" in said


def test_the_score_stands_first_and_the_machine_last() -> None:
    names = ("system/cpu", "train/loss", "test/loss", "val/auc", "val/weighted_log_loss")
    said = differences(metrics=dict.fromkeys(names, 1.0))["metrics"]
    found = [line.partition(":")[0] for line in said]
    assert found == ["val/weighted_log_loss", "val/auc", "val/loss", "test/loss", "train/loss", "system/cpu"]


def test_a_run_that_kept_no_slices_says_so() -> None:
    assert "data: not kept by both runs" in compare_runs(kept(), kept(slices=None)).text(5)


def test_a_run_beside_itself(project: Project, trained: Trained) -> None:
    table = pd.read_parquet(project.artifact(trained.run, "slices.parquet"))
    folds = pd.read_csv(project.artifact(trained.run, "folds.csv"))
    assert table["image_id"].tolist() == folds["image_id"].tolist()
    assert table["fold"].tolist() == folds["fold"].tolist()
    assert table["pixels"].nunique() == len(table)
    itself = compare(project, f"a={trained.checkpoint}", f"b={trained.checkpoint}").stdout.splitlines()
    assert [line.partition(": ")[2] for line in itself[2:]] == ["the same"] * 6


@pytest.mark.slow
def test_two_trainings_that_differ_in_a_key_and_a_slice(project: Project, trained: Trained, tmp_path: Path) -> None:
    (slices,) = (project.root / "cache" / "phantom").glob("*/*/stage_2_train")
    root = tmp_path / "kaggle"
    shutil.copytree(slices.parent, root)
    words = (*SMALL, "data=rsna", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "trainer.max_epochs=1")
    words = tuple(word for word in words if not word.startswith(("data.patients", "data.slices", "experiment")))
    small = ("model=timm", "model.name=test_byobnet", "geometry.size=64", "data.folds=3", "trainer=cpu")
    project.run("train.py", *words, *small)
    first = project.newest().info.run_id
    file = sorted((root / "stage_2_train").iterdir())[7]
    one = pydicom.dcmread(file)
    pixels = one.pixel_array.copy()
    pixels[200:260, 200:260] += 20
    one.PixelData = pixels.tobytes()
    one.save_as(file)
    project.run("train.py", *words, *small, "optimizer.lr=2.0e-4")
    second = project.newest().info.run_id
    done = compare(project, f"a=runs:/{first}", f"b=runs:/{second}")
    lines = done.stdout.splitlines()
    assert lines[2:4] == ["config: 1 difference", "  optimizer.lr: 0.0001 in a, 0.0002 in b"]
    assert lines[4:6] == ["data: 1 difference", f"  {file.stem}: other pixels"]
    assert lines[6:9] == ["folds: the same", "code: the same", "environment: the same"]
    assert lines[9].startswith("metrics: ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("a=runs:/x",), 2, "b is missing"),
        (("a=x", "b=runs:/y"), 2, "a=x: give runs:/ID, or runs:/latest"),
        (("a=runs:/nope", "b=runs:/nope"), 1, "no such run"),
        (("a=runs:/x", "b=runs:/y", "most=0"), 2, "most"),
    ],
)
def test_a_mistake_is_one_message(
    project: Project, trained: Trained, words: tuple[str, ...], code: int, said: str
) -> None:
    done = compare(project, *words, code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
