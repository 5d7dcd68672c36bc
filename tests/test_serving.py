"""A run's model, served by MLflow as a user would: DICOM to probabilities, and a reason for what is none."""

import base64
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from ich.data.phantom.example import example_slice
from ich.findings import FINDINGS
from tests.project import Project, Trained
from tests.serving import Ask, served


@pytest.fixture(scope="module")
def ask(project: Project, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Post DICOM files to `mlflow models serve`: the status and the body of its answer."""
    with served(project, trained.run.info.run_id, tmp_path_factory.mktemp("served") / "server.log") as post:
        yield post


def test_a_slice_gets_the_probabilities_of_predict(
    ask: Ask, project: Project, trained: Trained, tmp_path: Path
) -> None:
    files = sorted((project.root / "cache" / "phantom").rglob("*.dcm"))[:2]
    status, body = ask(*(file.read_bytes() for file in files))
    assert status == 200, body
    served = pd.DataFrame(json.loads(body)["predictions"])
    assert list(served.columns) == list(FINDINGS)
    for number, file in enumerate(files):
        output = tmp_path / str(number)
        project.run("predict.py", f"checkpoint={trained.checkpoint}", f"input={file}", f"output={output}")
        predicted = pd.read_csv(output / "probabilities.csv")
        assert served.iloc[number].to_numpy() == pytest.approx(predicted[list(FINDINGS)].to_numpy()[0], abs=1e-5)


def test_what_is_no_ct_slice_is_the_callers_mistake_and_named(ask: Ask) -> None:
    good = example_slice()
    for content, reason in (
        (b"a text file", "not_dicom"),
        (b"", "empty"),
        (good[: len(good) // 2], "truncated"),
        (good.replace(b"CS\x02\x00CT", b"CS\x02\x00MR", 1), "not_ct"),
    ):
        status, body = ask(good, content)
        assert 400 <= status < 500
        assert f"row 1: {reason}: " in json.loads(body)["message"]


def test_real_files_of_other_kinds_are_refused_with_the_reason(ask: Ask, dicom_odd: Path) -> None:
    outcomes = {"real_MR_small.dcm": "not_ct", "trunc_at_pixel_tag.dcm": "", "trunc_700_in_header.dcm": ""}
    for name, reason in outcomes.items():
        status, body = ask((dicom_odd / name).read_bytes())
        assert 400 <= status < 500
        assert f"row 0: {reason}" in json.loads(body)["message"]


def test_the_example_of_an_input_is_nobodys_and_can_be_sent(ask: Ask, project: Project, trained: Trained) -> None:
    (model,) = project.client.search_logged_models(
        [trained.run.info.experiment_id], filter_string=f"source_run_id = '{trained.run.info.run_id}'"
    )
    folder = Path(urllib.parse.unquote(urllib.parse.urlparse(model.artifact_location).path))
    body = json.loads((folder / "serving_input_example.json").read_text())
    content = base64.b64decode(body["dataframe_split"]["data"][0][0])
    assert content == example_slice()
    assert ask(content)[0] == 200
