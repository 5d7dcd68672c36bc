"""A server that goes away: what it did not take is kept, and told once it is back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from ich.report.tracking import open_run, outbox, run, send_all
from ich.report.tracking.outbox import Outbox
from tests.tracking_server import Server


class Away:
    """A client whose server is away until it is told otherwise; it remembers what it was told."""

    def __init__(self) -> None:
        self.back = False
        self.told: list[tuple[str, Any]] = []

    def _take(self, what: str, value: Any) -> None:
        if not self.back:
            raise MlflowException("connection refused")
        self.told.append((what, value))

    def log_batch(self, run_id: str, metrics: Any = (), tags: Any = ()) -> None:
        self._take("batch", ([(one.key, one.value, one.timestamp, one.step) for one in metrics], [*tags]))

    def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
        self._take("file", (folder, Path(path).name, Path(path).read_text()))

    def set_terminated(self, run_id: str, state: str) -> None:
        self._take("state", state)


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "entries.jsonl").read_text().splitlines()]


def test_everything_is_told_in_order_and_then_forgotten(tmp_path: Path) -> None:
    box, client = Outbox("r1", tmp_path), Away()
    (tmp_path / "folds.csv").write_text("image_id\n")
    box.keep_metrics([Metric("val/loss", 0.1 + 0.2, 17, 3), Metric("train/loss", float("nan"), 18, 3)])
    box.keep_file(tmp_path / "folds.csv", "tables")
    box.keep_tags({"digest": "é"})
    box.keep_end("FINISHED")
    with pytest.raises(run.TrackingFailed):
        box.send(client)  # type: ignore[arg-type]
    assert len(kept(box.folder)) == 4
    client.back = True
    box.send(client)  # type: ignore[arg-type]
    (first, _), *rest = (value for _, value in client.told)
    assert first[0] == ("val/loss", 0.1 + 0.2, 17, 3)
    assert first[1][1] != first[1][1]  # nan
    assert rest[0] == ("tables", "folds.csv", "image_id\n")
    assert rest[2] == "FINISHED"
    assert not box.folder.exists()


def test_a_run_goes_on_without_its_server_and_says_how_to_complete_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "on_server", lambda: True)
    monkeypatch.setattr(run, "ask_server", lambda: (_ for _ in ()).throw(run.TrackingFailed("no answer")))
    client = Away()
    one = run.Run(client, "r2")  # type: ignore[arg-type]
    one._outbox = Outbox("r2", tmp_path)
    one.log_metrics({"val/loss": 0.5}, 0)
    one.log_text("a: 1\n", "config.yaml")
    one.set_tags({"digest": "d"})
    one.close("FINISHED")
    assert [sorted(entry) for entry in kept(tmp_path / "r2")] == [["file", "folder"], ["tags"], ["metrics"], ["state"]]
    assert "sent by: python -m ich.sync" in caplog.text


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(tmp_path) as one:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", one.uri)
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", ["before the end", "later"])
def test_a_server_that_is_killed_and_comes_back_has_everything_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: str
) -> None:
    monkeypatch.setattr(outbox, "UNSENT", tmp_path / "unsent")
    monkeypatch.setattr(run, "CLOSING_SECONDS", 20)
    with open_run(name="r", params={"a": 1}, tags={}) as one:
        one._outbox = Outbox(one.id, tmp_path / "unsent")
        one.log_metrics({"val/loss": 0.5}, 0)
        one.log_text("a: 1\n", "before.yaml")
        server.kill()
        one.log_metrics({"val/loss": 0.4}, 1)
        one.log_text("b: 2\n", "tables/meanwhile.yaml")
        one.set_tags({"digest": "d"})
        if comes_back == "before the end":
            server.start()
        one.log_metrics({"val/loss": 0.3}, 2)
    if comes_back == "later":
        assert (tmp_path / "unsent" / one.id).is_dir()
        server.start()
        assert send_all(tmp_path / "unsent") == [one.id]
    assert not (tmp_path / "unsent" / one.id).exists()
    read = server.client.get_run(one.id)
    assert read.info.status == "FINISHED"
    assert read.data.tags["digest"] == "d"
    history = server.client.get_metric_history(one.id, "val/loss")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.4), (2, 0.3)]
    paths = {file.path for folder in ("", "tables") for file in server.client.list_artifacts(one.id, folder or None)}
    assert {"before.yaml", "tables", "tables/meanwhile.yaml"} <= paths
