"""Where runs are kept, and that MLflow's own tools find them there."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ich.report.tracking import TrackingFailed, open_run, resolve_checkpoint, store, ui_command
from ich.report.tracking.outbox import Outbox
from tests.project import REPOSITORY

RUN = """
from ich.report.tracking import open_run
with open_run(name="resnet50", params={"optimizer.lr": 0.001}, tags={}) as run:
    run.log_metrics({"val/weighted_log_loss": 0.25}, epoch=0)
    run.log_text("seed: 0", "config.yaml")
"""


def folder_uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def other(tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database that has no experiment of ours."""
    shutil.copy(record / "new.db", tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder_uri(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own, in which two processes opened the first runs at once, from another folder."""
    root = tmp_path_factory.mktemp("with a space") / "project"
    shutil.copytree(REPOSITORY / "ich", root / "ich", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "mlruns.gitignore", root)
    (root / "mlflow.db.new").write_text("left by a process that was killed while it made the database")
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", RUN]
    two = [subprocess.Popen(command, cwd=root.parent, env=environment, stderr=subprocess.PIPE, text=True) for _ in "12"]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in two] == [("", 0), ("", 0)]
    return root


def test_runs_are_kept_beside_train_py_whatever_the_working_directory(fresh: Path) -> None:
    assert {path.name for path in fresh.iterdir()} - {"mlflow.db.lock"} == {
        "ich",
        "mlruns.gitignore",
        "mlruns",
        "mlflow.db",
    }
    assert [path.name for path in fresh.parent.iterdir()] == ["project"]


def test_two_processes_may_open_the_first_runs_at_once(fresh: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{str(fresh / 'mlflow.db').replace(' ', '%20')}")
    experiment = client.get_experiment_by_name("ich")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 2


def test_git_never_sees_what_is_in_mlruns(fresh: Path) -> None:
    assert (fresh / "mlruns" / ".gitignore").read_text() == (REPOSITORY / "mlruns.gitignore").read_text()
    subprocess.run(["git", "init", "-q"], cwd=fresh / "mlruns", check=True)
    seen = subprocess.run(
        ["git", "status", "--porcelain"], cwd=fresh / "mlruns", check=True, capture_output=True, text=True
    )
    shutil.rmtree(fresh / "mlruns" / ".git")
    assert seen.stdout == ""


def test_mlruns_that_is_there_is_left_as_it_is(other: Path) -> None:
    (other / "mlruns").mkdir()
    store.connect()
    assert not list((other / "mlruns").iterdir())


@pytest.mark.parametrize("name", ["project", "a b", "50%", "a#b", "ü"])
def test_any_folder_name_stands_in_the_uri_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(store, "PROJECT", tmp_path / name)
    assert store._sqlite_file(store.tracking_uri()) == tmp_path / name / "mlflow.db"


def refusal() -> str:
    with pytest.raises(TrackingFailed) as refused, open_run(name="test", params={}, tags={}):
        pass
    return str(refused.value)


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder_uri(tmp_path / "file"))
    assert refusal().startswith(f"{tmp_path / 'file' / 'mlflow.db'}: runs cannot be kept here: ")
    assert "MLFLOW_TRACKING_URI" in refusal()


def test_a_server_that_does_not_answer_is_refused_at_once_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    start = time.monotonic()
    text = refusal()
    assert time.monotonic() - start < store.ANSWER_SECONDS + 1
    assert text.startswith("http://127.0.0.1:9: the tracking server does not answer (")
    assert "start it, or unset MLFLOW_TRACKING_URI to keep runs in" in text
    assert "secret" not in text


def test_the_file_store_that_mlflow_gave_up_is_refused_in_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    assert "sqlite" in refusal()


def test_an_address_of_no_kind_that_mlflow_knows_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://")
    takes = "MLFLOW_TRACKING_URI takes sqlite:///FILE, http://SERVER or the address of a database"
    assert refusal() == f"foo://: MLflow keeps no runs there; {takes}"


def test_a_database_of_another_mlflow_is_refused_in_its_words(other: Path) -> None:
    with sqlite3.connect(other / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    database.close()
    assert "mlflow db upgrade" in refusal()


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(other: Path) -> None:
    client = store.connect()
    number = store.experiment_id(client, "ich")
    client.delete_experiment(number)
    assert refusal() == (
        f"{folder_uri(other)}: the experiment ich was deleted; restore it with "
        f"`mlflow experiments restore --experiment-id {number}`"
    )


def test_a_record_that_was_copied_away_from_its_files_is_refused(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.experiment_id(store.connect(), "ich")
    (other / "copy").mkdir()
    shutil.copy(other / "mlflow.db", other / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder_uri(other / "copy"))
    assert f"the files of its runs are in {other / 'mlruns' / 'ich'}; the folder was moved or copied" in refusal()


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:////runs/mlflow.db", "mlflow ui --backend-store-uri sqlite:////runs/mlflow.db"),
        ("sqlite:////my runs/mlflow.db", "mlflow ui --backend-store-uri 'sqlite:////my runs/mlflow.db'"),
        ("https://me:secret@mlflow.org:5000", "https://mlflow.org:5000"),
    ],
)
def test_the_command_that_opens_the_runs_names_their_place(
    monkeypatch: pytest.MonkeyPatch, uri: str, command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ui_command() == command


def test_beside_train_py_the_command_is_make_ui_where_there_is_make(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(store, "PROJECT", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert ui_command() == f"mlflow ui --backend-store-uri {folder_uri(tmp_path)}"
    (tmp_path / "Makefile").touch()
    assert ui_command() == f"make -C {tmp_path} ui"
    monkeypatch.chdir(tmp_path)
    assert ui_command() == "make ui"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert ui_command() == f"mlflow ui --backend-store-uri {folder_uri(tmp_path)}"


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`mlflow ui` in a folder, as a user types it, with one worker instead of four; its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port), *words]
    server = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}", server
    finally:
        stop(server)


def stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    raise AssertionError("mlflow ui did not start within two minutes")


def ask(address: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data, {"Content-Type": "application/json"})) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_bare_mlflow_ui_in_the_projects_folder_shows_runs_and_their_files(fresh: Path) -> None:
    with served(fresh) as (address, _):
        experiment = json.loads(ask(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=ich"))[
            "experiment"
        ]
        found = json.loads(
            ask(f"{address}/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment["experiment_id"]]})
        )["runs"]
        assert [run["info"]["run_name"] for run in found] == ["resnet50"] * 2
        assert found[0]["data"]["params"] == [{"key": "optimizer.lr", "value": "0.001"}]
        assert found[0]["data"]["metrics"][0]["value"] == 0.25
        text = ask(f"{address}/get-artifact?path=config.yaml&run_uuid={found[0]['info']['run_id']}")
        assert text == b"seed: 0"


@pytest.mark.slow
def test_a_run_on_a_server_is_kept_found_again_and_survives_its_death(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(record / "new.db", tmp_path / "mlflow.db")
    with served(tmp_path) as (address, server):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        with open_run(name="test", params={"lr": 1}, tags={}) as run:
            run.log_metrics({"loss": 0.5}, epoch=0)
            run.log_text("weights", "checkpoints/best.ckpt")
        assert MlflowClient(tracking_uri=address).get_run(run.id).info.status == "FINISHED"
        assert resolve_checkpoint(f"runs:/{run.id}", cache=tmp_path / "cache").read_text() == "weights"
        assert resolve_checkpoint("runs:/latest", cache=tmp_path / "cache").is_relative_to(tmp_path / "cache" / run.id)
        with open_run(name="test", params={}, tags={}) as run:
            run._outbox = Outbox(run.id, tmp_path / "unsent")
            stop(server)
            start = time.monotonic()
            run.log_metrics({"loss": 0.5}, epoch=0)
            assert time.monotonic() - start < 0.1
    assert f"the server did not take all of run {run.id} ({address}: the tracking server does not answer" in caplog.text
    assert '"loss", "0.5"' in (tmp_path / "unsent" / run.id / "entries.jsonl").read_text()
