"""What a server did not take of a run, kept on disk, so that nothing is lost: sent when it is back.

A folder a run under `cache/unsent`: `entries.jsonl`, a line for each thing to be told, and copies of files. Telling a
thing twice changes nothing: a metric's row has its own time, tags and files are written over.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ich.config.files import PROJECT
from ich.report.tracking.sender import METRICS_A_BATCH
from ich.report.tracking.store import connect, failures_named

if TYPE_CHECKING:
    import mlflow

UNSENT = PROJECT / "cache" / "unsent"
ENTRIES, FILES = "entries.jsonl", "files"
COMMAND = "python -m ich.sync"
"""Sends everything that is kept."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """What one run still has to tell."""

    run_id: str
    root: Path = UNSENT

    @property
    def folder(self) -> Path:
        return self.root / self.run_id

    def keep_metrics(self, metrics: Sequence["mlflow.entities.Metric"]) -> None:
        rows = [[one.key, repr(one.value), one.timestamp, one.step] for one in metrics]
        self._keep({"metrics": rows})

    def keep_tags(self, tags: Mapping[str, str]) -> None:
        self._keep({"tags": dict(tags)})

    def keep_file(self, path: Path, folder: str) -> None:
        """A copy of the file, to be put into a folder of the run."""
        kept = Path(FILES, folder, path.name)
        (self.folder / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.folder / kept)
        self._keep({"file": kept.as_posix(), "folder": folder})

    def keep_end(self, state: str) -> None:
        self._keep({"state": state})

    def send(self, client: "mlflow.MlflowClient") -> None:
        """Tell the server all of it, in order, and forget it. Raises TrackingFailed; then nothing is forgotten."""
        if not (self.folder / ENTRIES).exists():
            return
        for line in (self.folder / ENTRIES).read_text(encoding="utf-8").splitlines():
            with failures_named():
                self._send(client, json.loads(line))
        shutil.rmtree(self.folder)

    def _keep(self, entry: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ENTRIES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _send(self, client: "mlflow.MlflowClient", entry: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, RunTag

        if "metrics" in entry:
            rows = [Metric(name, float(value), time, step) for name, value, time, step in entry["metrics"]]
            for start in range(0, len(rows), METRICS_A_BATCH):
                client.log_batch(self.run_id, metrics=rows[start : start + METRICS_A_BATCH])
        elif "tags" in entry:
            client.log_batch(self.run_id, tags=[RunTag(name, text) for name, text in entry["tags"].items()])
        elif "file" in entry:
            client.log_artifact(self.run_id, str(self.folder / entry["file"]), entry["folder"] or None)
        else:
            client.set_terminated(self.run_id, entry["state"])


def outboxes(root: Path = UNSENT) -> Iterator[Outbox]:
    """Of every run that has something to tell."""
    for entries in sorted(root.glob(f"*/{ENTRIES}")):
        yield Outbox(entries.parent.name, root)


def send_all(root: Path = UNSENT) -> list[str]:
    """Send what is kept of every run; their ids. Raises TrackingFailed at the first that the server does not take."""
    waiting = [*outboxes(root)]
    client = connect() if waiting else None
    for one in waiting:
        assert client is not None
        one.send(client)
    return [one.run_id for one in waiting]
