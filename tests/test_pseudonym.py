"""A patient's data go through every door, and nothing of them stands in what was written."""

import base64
import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ich.calibration import Calibration, raise_any
from ich.data.pseudonym import Pseudonyms
from ich.findings import FINDINGS
from ich.predictor import load_checkpoint
from tests.planted import NAME, NUMBER, PLANTED, UID, plant, search
from tests.project import Project, copy_project
from tests.serving import served

PATIENTS = 5
DOORS = """
import ich
import importlib, json, sys
from pathlib import Path
from ich.config.launch import Door, _enter
from ich.data import files, headers
headers.KEEP_SECONDS = files.FRESH_SECONDS = 0.0  # so that this short pass is kept, too
asked = sys.argv[1:]
for module, code, *words in json.loads(asked[0]):
    name, door = module.split(".")[-1], importlib.import_module(module)
    sys.argv = [name, *words]
    got = _enter(Door(run=getattr(door, name), name=name, keys=door.Keys), words)
    assert got == code, f"{module} {words}: exit code {got}"
import mlflow, pandas as pd
answers, root, slices = [], Path(asked[1]), [Path(one).read_bytes() for one in asked[2:]]
mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
runs = mlflow.search_runs(search_all_experiments=True, filter_string="attributes.status = 'FINISHED'")
model = mlflow.pyfunc.load_model(f"runs:/{runs['run_id'][0]}/model")
answers.append(model.predict(pd.DataFrame({"dicom": slices[:1]})).to_dict("records"))
try:
    model.predict(pd.DataFrame({"dicom": slices[1:]}))
except Exception as error:
    answers.append(str(error))
(root / "served.json").write_text(json.dumps(answers))
"""
"""One process for all doors, and for the model that is served: each would load torch anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What went through the doors, what they wrote, and what they said."""

    cases: Path
    project: Project
    names: Path
    said: str

    @property
    def slices(self) -> list[Path]:
        return sorted(self.cases.parent.glob("*/*.dcm"))


def commands(cases: Path, root: Path, names: Path) -> list[list[object]]:
    """Every door, with the exit code that it has."""
    data = ["data=table", f"data.root={cases}"]
    one = sorted(cases.parent.glob("*/*.dcm"))[0]
    small = [
        "model=timm",
        "model.name=test_byobnet",
        "geometry.size=64",
        "data.folds=3",
        "trainer.max_epochs=1",
        "data.batch_size=8",
    ]
    return [
        ["ich.prepare", 0, *data, "geometry.size=64", "report=true", "verify=true", f"names={names}"],
        ["train", 0, *data, *small, "data.test_share=0.2"],
        ["train", 1, "data=table", f"data.root={cases.parent.with_name('twice.csv')}", *small],
        ["ich.evaluate", 0, "run=runs:/latest", f"output={root / 'out' / 'evaluate'}", "resamples=100"],
        ["ich.explore", 0, *data, f"image={UID}.1.3", "gallery=1", f"output={root / 'out' / 'explore'}"],
        ["predict", 0, "checkpoint=runs:/latest", f"input={cases.parent}", f"output={root / 'out' / 'predict'}"],
        [
            "predict", 0, "checkpoint=runs:/latest", f"input={one}", f"output={root / 'out' / 'explain'}",
            "explain=true", "explain_at_least=0", f"names={names.with_name('one.csv')}",
        ],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Gone:
    folder = tmp_path_factory.mktemp("planted")
    cases = plant(folder / "hospital", patients=PATIENTS, slices=6)
    head, *rows = cases.read_text().splitlines()
    shutil.copy(cases.parent / rows[0].split(",")[0], folder / "OOSTERHUIS twice.dcm")
    rows = [*(f"hospital/{row}" for row in rows), "OOSTERHUIS twice.dcm,ELFRIEDE,0,0,0,0,0,0"]
    (folder / "twice.csv").write_text("\n".join([head, *rows]))
    project = copy_project(folder / "project")
    names = folder / "secret" / "names.csv"
    served = [sorted(cases.parent.glob("*/*.dcm"))[0], cases.parent / "OOSTERHUIS scout.dcm"]
    words = [json.dumps(commands(cases, project.root, names)), project.root, *served]
    done = subprocess.run(
        [sys.executable, "-c", DOORS, *map(str, words)],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Gone(cases=cases, project=project, names=names, said=done.stdout + done.stderr)


def test_the_search_finds_everything_that_was_planted_in_the_files(gone: Gone) -> None:
    assert search(gone.cases.parent).keys() == {*PLANTED.values()}


def test_nothing_that_was_planted_stands_in_anything_that_was_written(gone: Gone) -> None:
    written = {path.relative_to(gone.project.root).parts[0] for path in gone.project.root.rglob("*")}
    assert {"cache", "mlruns", "mlflow.db", "out", "outputs", "served.json", "pseudonym.key"} <= written
    assert search(gone.project.root) == {}


def test_nor_does_the_key(gone: Gone) -> None:
    key = (gone.project.root / "pseudonym.key").read_text().strip()
    assert search(gone.project.root, {"key": key}) == {key: ["pseudonym.key"]}


def test_results_join_by_digests_and_the_table_of_names_tells_whose_they_are(gone: Gone) -> None:
    of = Pseudonyms(gone.project.root / "pseudonym.key").of
    names = pd.read_csv(gone.names).set_index("file")["name"]
    predicted = pd.read_csv(gone.project.root / "out" / "predict" / "probabilities.csv").set_index("image_id")
    images = {of(f"{UID}.1.{place}") for place in range(len(gone.slices))}
    assert {*predicted.index} == images
    assert {names[file] for file in predicted["file"]} == {
        path.relative_to(gone.cases.parent).as_posix() for path in gone.slices
    }
    (run,) = gone.project.runs("attributes.status = 'FINISHED'")
    folds = pd.read_csv(gone.project.artifact(run, "folds.csv"))
    assert {*folds["image_id"]} == images
    assert {*folds["patient_id"]} == {of("ELFRIEDE"), *(of(f"{NUMBER}-{number}") for number in range(1, PATIENTS))}
    val = pd.read_csv(gone.project.artifact(run, "predictions/val.csv")).set_index("image_id")
    checkpoint = load_checkpoint(gone.project.artifact(run, "checkpoints/best.ckpt"))
    own = val[[f"p_{finding}" for finding in FINDINGS]].to_numpy()
    calibrated, _ = raise_any(Calibration.from_plain(checkpoint["calibration"]).apply(own))
    assert np.abs(predicted.loc[val.index, list(FINDINGS)].to_numpy() - calibrated).max() < 1e-5


def test_one_slices_explanation_is_found_by_the_table_of_names_alone(gone: Gone) -> None:
    output = gone.project.root / "out" / "explain"
    named = pd.read_csv(gone.names.with_name("one.csv"))
    assert named["name"].tolist() == [gone.slices[0].name]
    assert pd.read_csv(output / "probabilities.csv")["file"].tolist() == named["file"].tolist()
    assert (output / "explanations" / f"{named['file'][0]}.png").is_file()


def test_what_was_refused_is_named_on_the_screen_and_its_run_keeps_no_word_of_it(gone: Gone) -> None:
    assert f"and OOSTERHUIS twice.dcm are both image {UID}.1." in gone.said
    (run,) = gone.project.runs("attributes.status = 'FAILED'")
    assert run.data.tags["failure"].startswith("BadCohort: its words may name a patient or a file")


def test_files_without_a_slice_have_digests_and_reasons(gone: Gone) -> None:
    rejected = pd.read_csv(gone.project.root / "out" / "predict" / "rejected.csv")
    names = pd.read_csv(gone.names).set_index("file")["name"]
    reasons = {names.get(file): reason for file, reason in zip(rejected["file"], rejected["reason"], strict=True)}
    assert reasons["OOSTERHUIS scout.dcm"] == "localizer"
    assert reasons["OOSTERHUIS cut.dcm"] == "truncated"
    assert reasons["OOSTERHUIS.txt"] == "not_dicom"


def test_without_pseudonyms_the_search_finds_the_ids_and_the_files(gone: Gone, tmp_path: Path) -> None:
    plain = ["data=table", f"data.root={gone.cases}", "data.pseudonymize=false", f"data.cache={tmp_path / 'cache'}"]
    plain += ["report=true", f"output={tmp_path}", f"hydra.run.dir={tmp_path / 'outputs'}"]
    done = subprocess.run(
        [sys.executable, "-m", "ich.prepare", *plain, "geometry.size=64"],
        cwd=gone.project.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {NUMBER, UID, "ACHTERBERG", "OOSTERHUIS", "XANTHOPOULOS", "ELFRIEDE"} <= search(tmp_path).keys()
    assert NAME not in done.stdout


@pytest.mark.slow
def test_nor_after_real_commands_a_sweep_with_a_failing_job_and_a_real_server(gone: Gone, tmp_path: Path) -> None:
    """Each door a process, a cohort in Kaggle's .zip, neighbours, and what two processes and a server write."""
    root = as_kaggle(gone.cases, tmp_path / "hospital")
    project = copy_project(tmp_path / "project")
    data = ["data=rsna", f"data.root={root}", "geometry.size=64"]
    small = [
        *data,
        "model=timm",
        "model.name=test_byobnet",
        "data.folds=3",
        "trainer.max_epochs=1",
        "data.batch_size=8",
    ]
    run_module(project, "ich.prepare", *data, "series=true", "report=true")
    project.run("train.py", *small, "context=neighbours")
    project.run("train.py", *small, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "report=false")
    swept = project.run("train.py", "-m", *small, "data.policies.cut=leave_out,fail", "report=false", code=1)
    assert "OOSTERHUIS cut.dcm" in swept.stderr
    states = sorted(run.info.status for run in project.runs())
    assert states == ["FAILED", "FAILED", "FINISHED", "FINISHED", "FINISHED"]
    (run,) = project.runs("params.`context._target_` = 'ich.model.context.Neighbours'")
    word = f"runs:/{run.info.run_id}"
    run_module(project, "ich.evaluate", f"run={word}", f"output={project.root / 'out' / 'e'}", "resamples=100")
    run_module(project, "ich.explore", *data, f"output={project.root / 'out' / 'x'}", "gallery=1", f"image={UID}.1.3")
    folder = gone.slices[0].parent
    words = [f"checkpoint={word}", f"input={folder}", f"output={project.root / 'out' / 'p'}", "explain=true"]
    project.run("predict.py", *words, "explain_at_least=0.01")
    with served(project, run.info.run_id, project.root / "out" / "server.log") as ask:
        assert ask(*(file.read_bytes() for file in gone.slices[:3]))[0] == 200
        status, body = ask((gone.cases.parent / "OOSTERHUIS scout.dcm").read_bytes())
        assert status == 400
    (project.root / "out" / "answer.json").write_text(body)
    assert search(root.parent).keys() == {*PLANTED.values()} - {"ELFRIEDE"}
    assert search(project.root) == {}


def run_module(project: Project, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=project.root, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def as_kaggle(cases: Path, folder: Path) -> Path:
    """The files of a table as Kaggle's .zip; its labels by the ids of the images."""
    table = pd.read_csv(cases)
    lines = ["ID,Label"]
    folder.mkdir()
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for row in table.to_dict("records"):
            archive.write(cases.parent / row["file"], f"stage_2_train/{row['file']}")
            image = f"{UID}.1.{Path(row['file']).stem.removeprefix('ACHTERBERG ')}"
            lines += [f"{image}_{finding},{row[finding]}" for finding in FINDINGS]
        archive.writestr("stage_2_train.csv", "\n".join(lines))
    return folder / "data.zip"


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_the_search_sees_through_what_packs_and_encodes(tmp_path: Path, before: str) -> None:
    """Each form that a file of a run may have, with the word in it alone."""
    word = f"{before}{NUMBER}yz"
    packed = tmp_path / "packed"
    packed.mkdir()
    np.savez_compressed(packed / "array.npz", words=np.array([word]))
    pd.DataFrame({"patient": [word] * 1000}).to_parquet(packed / "table.parquet")
    (packed / "log.gz").write_bytes(gzip.compress(word.encode()))
    (packed / "page.html").write_bytes(b'<img src="data:x;base64,' + base64.b64encode(gzip.compress(word.encode())))
    (packed / "example.json").write_text(json.dumps({"dicom": base64.b64encode(word.encode()).decode()}))
    (packed / "wide.txt").write_bytes(word.encode("utf-16"))
    text = PngInfo()
    text.add_itxt("Patient", word, zip=True)
    Image.new("L", (2, 2)).save(packed / "picture.png", pnginfo=text)
    torch.save({"patient": word}, packed / "weights.ckpt")
    database = sqlite3.connect(packed / "runs.db")
    database.execute("create table runs (name text)")
    database.execute("insert into runs values (?)", (word,))
    database.commit()
    database.close()
    (packed / f"{word.lower()}.png").touch()
    found = {place.split(":")[0] for place in search(packed, {"word": NUMBER})[NUMBER]}
    assert found == {file.name for file in packed.iterdir()}
