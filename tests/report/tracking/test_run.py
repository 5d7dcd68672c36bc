"""What a run keeps, and how it ends."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ich.config.launch import Stopped
from ich.report.tracking import PARENT_VARIABLE, TrackingFailed, open_run
from ich.report.tracking.run import PARAMS_A_BATCH


def opened(**changes: object) -> "open_run":
    return open_run(**{"name": "test", "params": {}, "tags": {}, **changes})


def after_ctrl_c(error: BaseException) -> BaseException:
    error.__context__ = KeyboardInterrupt()
    return error


def test_a_run_that_ends_well_is_finished(client: MlflowClient) -> None:
    with opened(name="resnet50 brain3") as run:
        assert client.get_run(run.id).info.status == "RUNNING"
    info = client.get_run(run.id).info
    assert (info.status, info.run_name) == ("FINISHED", "resnet50 brain3")
    assert info.end_time >= info.start_time


def test_an_exception_is_failed_with_its_message_and_goes_on(client: MlflowClient) -> None:
    with pytest.raises(ValueError, match="no slices"), opened() as run:
        raise ValueError("no slices")
    failed = client.get_run(run.id)
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure"] == failed.data.tags["mlflow.note.content"] == "ValueError: no slices"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt(), "KILLED"),
        (Stopped(signal.SIGTERM), "KILLED"),
        (SystemExit(130), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(1), "FAILED"),
        (after_ctrl_c(SystemExit(1)), "KILLED"),  # what Lightning makes of a Ctrl-C
        (SystemExit(0), "FINISHED"),
        (SystemExit(), "FINISHED"),
        (MemoryError(), "FAILED"),
    ],
)
def test_what_ends_a_run_is_its_state(client: MlflowClient, error: BaseException, state: str) -> None:
    with pytest.raises(type(error)), opened() as run:
        raise error
    assert client.get_run(run.id).info.status == state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_lose_the_state(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def stop(received: int, frame: object) -> None:
        raise Stopped(received)

    slow = MlflowClient.set_terminated

    def interrupted(self: MlflowClient, *args: object) -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait(0.3)  # the main thread meets the signal while the state is not yet written
        slow(self, *args)

    monkeypatch.setattr(MlflowClient, "set_terminated", interrupted)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(Stopped) as stopped, opened() as run:
            raise Stopped(signal.SIGINT)
    finally:
        signal.signal(number, before)
    assert stopped.value.code == 128 + number
    assert client.get_run(run.id).info.status == "KILLED"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)  # SIGTERM stops a whole training in test_train.py
def test_a_process_that_is_stopped_leaves_a_killed_run(client: MlflowClient, number: int, code: int) -> None:
    door = (
        "import signal, sys, time\n"
        "from ich.config.launch import Stopped\n"
        "from ich.report.tracking import open_run\n"
        "def stop(number, frame): raise Stopped(number)\n"
        "for one in (signal.SIGINT, signal.SIGTERM): signal.signal(one, stop)\n"
        "try:\n"
        "    with open_run(name='door', params={}, tags={}) as run:\n"
        "        print(run.id, flush=True); time.sleep(60)\n"
        "except Stopped as stopped: sys.exit(stopped.code)\n"
    )
    with subprocess.Popen([sys.executable, "-c", door], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.send_signal(number)
        assert process.wait(timeout=30) == code
    assert client.get_run(run_id).info.status == "KILLED"


def test_metrics_stand_at_their_epoch(client: MlflowClient) -> None:
    with opened() as run:
        run.log_metrics({"val/recall/epidural": 0.25, "val/f1": 1}, epoch=0)
        run.log_metrics({"val/recall/epidural": 0.5}, epoch=1)
    history = client.get_metric_history(run.id, "val/recall/epidural")
    assert [(point.step, point.value) for point in history] == [(0, 0.25), (1, 0.5)]
    assert client.get_run(run.id).data.metrics["val/f1"] == 1


def test_metrics_that_are_no_finite_number_are_kept(client: MlflowClient) -> None:
    with opened() as run:
        run.log_metrics({"nan": math.nan, "inf": math.inf, "minus": -math.inf}, epoch=0)
    metrics = client.get_run(run.id).data.metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["inf"], metrics["minus"]) == (sys.float_info.max, -sys.float_info.max)


def test_more_metrics_than_mlflow_takes_at_once_arrive(client: MlflowClient) -> None:
    with opened() as run:
        run.log_metrics({f"m{i}": i for i in range(1001)}, epoch=0)
    assert client.get_run(run.id).data.metrics == {f"m{i}": i for i in range(1001)}


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fail_at_first(monkeypatch: pytest.MonkeyPatch, times: int) -> list[list[object]]:
    """Let MLflow refuse its first `times` batches of metrics; the list receives every batch that was tried."""
    log_batch, tried = MlflowClient.log_batch, []

    def unreliable(self: MlflowClient, run_id: str, metrics: list[object] = (), **others: object) -> None:
        if metrics:
            tried.append(list(metrics))
            if len(tried) <= times:
                raise MlflowException("connection refused")
        log_batch(self, run_id, metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", unreliable)
    return tried


def test_metrics_that_did_not_arrive_are_sent_again_as_the_same_row(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened() as run:
        tried = fail_at_first(monkeypatch, times=1)
        run.log_metrics({"loss": 0.7}, epoch=0)
        wait_until(lambda: len(tried) == 1)
        run.log_metrics({"loss": 0.6}, epoch=1)
    assert tried[1][0].timestamp == tried[0][0].timestamp
    assert [(point.step, point.value) for point in client.get_metric_history(run.id, "loss")] == [(0, 0.7), (1, 0.6)]
    assert caplog.messages == [
        f"metrics wait until they can be sent: {os.environ['MLFLOW_TRACKING_URI']}: connection refused"
    ]


def test_a_training_does_not_wait_for_a_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    log_batch, answered = MlflowClient.log_batch, threading.Event()

    def silent(self: MlflowClient, run_id: str, metrics: list[object] = (), **others: object) -> None:
        assert answered.wait(30)
        log_batch(self, run_id, metrics, **others)

    with opened() as run:
        monkeypatch.setattr(MlflowClient, "log_batch", silent)
        for epoch in range(100):
            run.log_metrics({"loss": 1.0}, epoch)  # would wait for ever in this thread
        answered.set()


def test_a_run_whose_metrics_never_arrive_did_not_finish(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrackingFailed, match="connection refused"), opened() as run:  # noqa: PT012
        fail_at_first(monkeypatch, times=9)
        run.log_metrics({"loss": 0.7}, epoch=0)
    failed = client.get_run(run.id)
    assert failed.info.status == "FAILED"
    assert "connection refused" in failed.data.tags["failure"]


def test_the_first_error_is_told_where_tracking_fails_too(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="first") as raised, opened() as run:  # noqa: PT012
        fail_at_first(monkeypatch, times=9)
        run.log_metrics({"loss": 0.7}, epoch=0)
        raise ValueError("first")
    assert "connection refused" in raised.value.__notes__[0]
    assert client.get_run(run.id).data.tags["failure"] == "ValueError: first"


def test_parameters_are_kept_over_every_limit(client: MlflowClient) -> None:
    many = {f"key.{i}": i for i in range(2 * PARAMS_A_BATCH + 1)}
    with opened(params={**many, "lr": 3e-3, "root": None, "fit": True, "note": "x" * 6001, "empty": ""}) as run:
        pass
    params = client.get_run(run.id).data.params
    assert {name: params[name] for name in many} == {name: str(i) for name, i in many.items()}
    assert (params["lr"], params["root"], params["fit"], params["empty"]) == ("0.003", "None", "True", "")
    assert params["note"] == "x" * 5999 + "…"


def test_files_texts_and_tags_are_kept(client: MlflowClient, record: Path, tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    with opened(tags={"data_digest": "abc"}) as run:
        run.log_file(tmp_path / "best.ckpt", "checkpoints")
        run.log_text("seed: 0\n", "config.yaml")
        run.set_tags({"store_digest": "def"})
    folder = record / "mlruns" / "ich" / run.id / "artifacts"
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == b"weights"
    assert (folder / "config.yaml").read_text() == "seed: 0\n"
    tags = client.get_run(run.id).data.tags
    assert (tags["data_digest"], tags["store_digest"]) == ("abc", "def")


def test_a_run_names_what_started_it(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "model=resnet50", "data.root=a b"])
    with opened() as run:
        pass
    assert client.get_run(run.id).data.tags["mlflow.source.name"] == "train.py model=resnet50 'data.root=a b'"


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_run_names_its_commit_and_whether_the_code_was_changed(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ich.report.tracking.origin.PROJECT", tmp_path)
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v1")
    for content, dirty in (("1", "false"), ("2", "true")):
        (tmp_path / "train.py").write_text(content)
        with opened() as run:
            pass
        tags = client.get_run(run.id).data.tags
        assert tags["mlflow.source.git.commit"] == git(tmp_path, "rev-parse", "HEAD")
        assert tags["mlflow.source.git.dirty"] == dirty


@pytest.mark.parametrize("path", ["", None], ids=["no git", "no repository"])
def test_without_git_a_run_is_quiet_about_it(
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    path: str | None,
) -> None:
    monkeypatch.setattr("ich.report.tracking.origin.PROJECT", tmp_path)
    if path is not None:
        monkeypatch.setenv("PATH", path)
    with opened() as run:
        pass
    assert not [name for name in client.get_run(run.id).data.tags if "git" in name]
    assert capfd.readouterr() == ("", "")


def test_a_run_belongs_to_the_parent_in_its_environment(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT_VARIABLE, "abc")
    for parent_id, expected in ((None, "abc"), ("def", "def")):
        with opened(parent_id=parent_id) as run:
            pass
        assert client.get_run(run.id).data.tags["mlflow.parentRunId"] == expected
