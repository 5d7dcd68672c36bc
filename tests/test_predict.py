"""predict.py as a user runs it: every file in one of two tables, and a submission."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from ich.config import check, signature
from ich.findings import FINDINGS, KINDS
from ich.model.classifier import HemorrhageClassifier
from tests.project import Project, Trained

MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command and says how much memory it took at most, in kB."""


@pytest.fixture(scope="module")
def odd(project: Project, trained: Trained, dicom_odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What predict.py writes of the two hundred odd files."""
    output = tmp_path_factory.mktemp("odd")
    started = time.monotonic()
    words = (f"checkpoint={trained.checkpoint}", f"input={dicom_odd}", f"output={output}", "pseudonymize=false")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *project.command("predict.py", *words)],
        cwd=project.root.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - started < 120  # no file hangs
    (output.parent / "peak.txt").write_text(done.stdout.splitlines()[-1])
    return output


def manifest(dicom_odd: Path) -> list[dict[str, str]]:
    with (dicom_odd / "MANIFEST.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_odd_file_has_an_outcome_that_the_manifest_allows(odd: Path, dicom_odd: Path) -> None:
    good = pd.read_csv(odd / "probabilities.csv")["file"].tolist()
    bad = pd.read_csv(odd / "rejected.csv").set_index("file")["reason"].to_dict()
    for row in manifest(dicom_odd):
        assert (row["file"] in good) + (row["file"] in bad) == 1, row["file"]
        outcome = "readable" if row["file"] in good else bad[row["file"]]
        allowed = {row["expected"].removeprefix("refuse:"), *row["also_ok"].split("|")}
        if row["transfer_syntax"] in ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"):
            allowed.add("unsupported_codec")  # without the extra jpeg-lossless
        assert outcome in allowed, f"{row['file']}: {outcome}, allowed {allowed}"


def test_every_other_file_of_the_folder_is_named_too(odd: Path, dicom_odd: Path) -> None:
    named = {*pd.read_csv(odd / "probabilities.csv")["file"], *pd.read_csv(odd / "rejected.csv")["file"]}
    assert named == {file.relative_to(dicom_odd).as_posix() for file in dicom_odd.rglob("*") if file.is_file()}


def test_one_slice_in_many_syntaxes_has_one_probability(odd: Path) -> None:
    table = pd.read_csv(odd / "probabilities.csv").set_index("file")
    same = table[table.index.str.startswith("same_slice__")][list(FINDINGS)].to_numpy()
    assert len(same) >= 8
    assert "same_slice__deflated_le.dcm" in table.index
    assert np.ptp(same, axis=0).max() < 1e-5


def test_memory_stays_under_two_gigabytes(odd: Path) -> None:
    assert 1e5 < int((odd.parent / "peak.txt").read_text()) < 2e6  # kB


def test_a_real_test_folder_becomes_a_submission(
    project: Project, trained: Trained, mini: Path, tmp_path: Path
) -> None:
    folder = mini / "rsna-intracranial-hemorrhage-detection" / "stage_2_test"
    project.run("predict.py", f"checkpoint={trained.checkpoint}", f"input={folder}", f"output={tmp_path}")
    submission = pd.read_csv(tmp_path / "submission.csv")
    sample = pd.read_csv(folder.parent / "stage_2_sample_submission.csv")
    assert list(submission.columns) == ["ID", "Label"]
    assert set(submission["ID"]) == set(sample["ID"])
    assert len(submission) == 6 * len(list(folder.iterdir()))
    assert submission["Label"].between(0, 1).all()


def test_validation_and_prediction_share_one_path(project: Project, trained: Trained, tmp_path: Path) -> None:
    val = pd.read_csv(project.artifact(trained.run, "predictions/val.csv")).set_index("image_id").sort_index()
    files = {file.stem: file for file in (project.root / "cache" / "phantom").rglob("*.dcm")}
    folder = tmp_path / "in"
    folder.mkdir()
    for image_id in val.index:
        shutil.copy(files[image_id], folder)
    words = (f"checkpoint={trained.checkpoint}", f"input={folder}", f"output={tmp_path / 'out'}", "calibrated=false")
    done = project.run("predict.py", *words)
    predicted = pd.read_csv(tmp_path / "out" / "probabilities.csv").set_index("image_id").sort_index()
    assert predicted.index.equals(val.index)
    for kind in KINDS:
        assert np.abs(predicted[kind] - val[f"p_{kind}"]).max() < 1e-5
    largest = val[[f"p_{finding}" for finding in FINDINGS]].max(axis=1)  # any is never below a kind
    assert np.abs(predicted["any"] - largest).max() < 1e-5
    raised = int((val["p_any"] < largest).sum())
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told == {"slices": len(val), "any_raised": raised, "rejected": {}, "calibration": None}
    assert f"{len(val)} slices predicted" in done.stdout
    assert "no calibration" not in done.stdout


def calibrated_by_hand(p: pd.DataFrame, stored: dict[str, list[float]]) -> pd.DataFrame:
    """What the checkpoint's temperatures and biases make of the network's own probabilities."""
    logits = np.log(p) - np.log1p(-p)
    after = 1 / (1 + np.exp(-(logits / stored["temperature"] + stored["bias"])))
    after["any"] = after.max(axis=1)
    return after


def test_predictions_go_through_the_calibration_of_the_checkpoint(
    project: Project, trained: Trained, tmp_path: Path
) -> None:
    state = torch.load(project.artifact(trained.run, "checkpoints/best.ckpt"), weights_only=True)
    assert state["calibration"] != {"temperature": [1.0] * 6, "bias": [0.0] * 6}
    other = {"temperature": [0.5, 2.0, 0.8, 1.0, 1.5, 1.2], "bias": [0.5, -0.5, 1.0, 0.2, 0.0, -9.0]}
    torch.save(state | {"calibration": other}, tmp_path / "other.ckpt")
    files = sorted((project.root / "cache" / "phantom").rglob("*.dcm"))[:3]
    (tmp_path / "in").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "in")
    for name, words in {"raw": ["calibrated=false"], "calibrated": []}.items():
        known = (f"checkpoint={tmp_path / 'other.ckpt'}", f"input={tmp_path / 'in'}", f"output={tmp_path / name}")
        done = project.run("predict.py", *known, *words)
        assert "no calibration" not in done.stdout
    raw, after = (pd.read_csv(tmp_path / name / "probabilities.csv")[list(FINDINGS)] for name in ("raw", "calibrated"))
    assert np.abs(after - calibrated_by_hand(raw, other)).to_numpy().max() < 1e-12
    assert "3 slices predicted (any raised to its largest kind in 3)" in done.stdout
    told = json.loads((tmp_path / "calibrated" / "summary.json").read_text())
    assert told == {"slices": 3, "any_raised": 3, "rejected": {}, "calibration": other}


def test_the_last_checkpoint_has_no_calibration_and_that_is_said_once(
    project: Project, trained: Trained, tmp_path: Path
) -> None:
    file = next((project.root / "cache" / "phantom").rglob("*.dcm"))
    last = f"{trained.checkpoint}/last"
    done = project.run("predict.py", f"checkpoint={last}", f"input={file}", f"output={tmp_path}")
    assert (done.stdout + done.stderr).count("no calibration") == 1
    assert f"{last} holds no calibration: probabilities are the network's own" in done.stdout
    assert json.loads((tmp_path / "summary.json").read_text())["calibration"] is None


def test_a_single_file_is_enough(project: Project, trained: Trained, tmp_path: Path) -> None:
    file = next((project.root / "cache" / "phantom").rglob("*.dcm"))
    project.run("predict.py", f"checkpoint={trained.checkpoint}", f"input={file}", f"output={tmp_path / 'out'}")
    table = pd.read_csv(tmp_path / "out" / "probabilities.csv")
    assert table["file"].tolist() == [file.name]
    assert list(table.columns) == ["file", "image_id", *FINDINGS]


def test_explanations_lie_beside_the_tables(project: Project, trained: Trained, tmp_path: Path) -> None:
    file = next((project.root / "cache" / "phantom").rglob("*.dcm"))
    words = (f"checkpoint={trained.checkpoint}", f"input={file}", f"output={tmp_path}", "explain=true")
    done = project.run("predict.py", *words, "explain_at_least=0")
    assert f"1 slice has a label of probability 0 or more: {tmp_path / 'explanations'}" in done.stdout
    table = pd.read_csv(tmp_path / "explanations" / "table.csv")
    predicted = pd.read_csv(tmp_path / "probabilities.csv")
    assert sorted(table["label"]) == sorted(FINDINGS)
    assert table["probability"].tolist() == sorted(predicted[list(FINDINGS)].iloc[0], reverse=True)
    assert cv2.imread(str(tmp_path / "explanations" / table["map"][0]), cv2.IMREAD_UNCHANGED).shape == (512, 512)  # type: ignore[union-attr]
    assert (tmp_path / "explanations" / f"{file.name}.png").is_file()


def test_a_network_that_cannot_be_explained_is_refused_before_anything_is_predicted(
    project: Project, trained: Trained, tmp_path: Path
) -> None:
    state = torch.load(project.artifact(trained.run, "checkpoints/best.ckpt"), weights_only=True)
    state["settings"]["model"] |= {"name": "test_vit"}
    state["settings"]["geometry"] |= {"size": 160}
    built = {key: signature.build(check.from_plain(state["settings"])[key]) for key in ("model", "window", "context")}
    vit = HemorrhageClassifier(backbone=built["model"], window=built["window"], context=built["context"])
    state["state_dict"] = {f"classifier.{name}": value for name, value in vit.state_dict().items()}
    torch.save(state, tmp_path / "vit.ckpt")
    words = (f"checkpoint={tmp_path / 'vit.ckpt'}", f"input={tmp_path}", f"output={tmp_path / 'out'}", "explain=true")
    done = project.run("predict.py", *words, code=1)
    assert "VisionTransformer has no stage with an image of what it sees" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_slice_is_no_failure(project: Project, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "note.txt").write_text("no slice")
    done = project.run(
        "predict.py", f"checkpoint={trained.checkpoint}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"
    )
    assert "0 slices predicted, 1 file is no readable CT slice (not_dicom 1)" in done.stdout
    assert pd.read_csv(tmp_path / "out" / "probabilities.csv").empty
    assert pd.read_csv(tmp_path / "out" / "rejected.csv")["reason"].tolist() == ["not_dicom"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["input=none", "output=out"], 2, "checkpoint"),
        (["checkpoint=runs:/0123", "input=.", "output=out"], 1, "0123"),
        (["checkpoint=none.ckpt", "input=none", "output=out"], 2, "none.ckpt"),
        (["checkpoint=none.ckpt", "input=.", "output=out", "explain_at_least=2"], 2, "explain_at_least"),
        (["checkpoint=runs:/0", "input=.", "output=out", "names=n.csv", "pseudonymize=false"], 2, "leave one out"),
    ],
)
def test_a_mistake_is_one_message(project: Project, trained: Trained, words: list[str], code: int, said: str) -> None:
    done = project.run("predict.py", *words, code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_no_text_or_would_part_a_row_and_an_output_that_is_the_input(
    project: Project, trained: Trained, tmp_path: Path
) -> None:
    file = next((project.root / "cache" / "phantom").rglob("*.dcm"))
    shutil.copy(file, os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.dcm"))
    (tmp_path / "re\rturn.dcm").write_text("no slice")
    for _ in range(2):  # what the first wrote there is no input of the second
        words = (f"checkpoint={trained.checkpoint}", f"input={tmp_path}", f"output={tmp_path}")
        project.run("predict.py", *words, "pseudonymize=false")
        assert pd.read_csv(tmp_path / "probabilities.csv")["file"].tolist() == ["odd\\xff.dcm"]
        assert pd.read_csv(tmp_path / "rejected.csv")["file"].tolist() == ["re\\x0dturn.dcm"]


def test_an_empty_folder_is_refused(project: Project, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = project.run(
        "predict.py", f"checkpoint={trained.checkpoint}", f"input={tmp_path / 'in'}", f"output={tmp_path}", code=1
    )
    assert "the folder holds no file" in done.stderr


def test_a_file_that_is_no_checkpoint_is_refused_and_never_run(project: Project, tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    (tmp_path / "trap.ckpt").write_bytes(pickle.dumps(Trap()))
    done = project.run(
        "predict.py", f"checkpoint={tmp_path / 'trap.ckpt'}", f"input={tmp_path}", f"output={tmp_path / 'out'}", code=1
    )
    assert "trap.ckpt" in done.stderr
    assert not (tmp_path / "sprung").exists()
