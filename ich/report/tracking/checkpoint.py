"""`runs:/ID` to the files it names: a checkpoint, predictions."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ich.config.files import PROJECT
from ich.errors import InputError
from ich.report.tracking.store import connect, failures_named, is_there, local_path, shown_uri

if TYPE_CHECKING:
    import mlflow

SCHEME = "runs:/"
LATEST = "latest"
TRAIN_FIRST = "train first: python train.py"
FOLDER = "checkpoints"
FILES = {"": "best.ckpt", "last": "last.ckpt"}

SEARCHED = 50
"""Newest runs among which a checkpoint or a near name is looked for."""

OFFERED = 3
"""Run ids named where one cannot be used."""


class UnknownRun(InputError):
    """A run that is not there, or that kept no such file."""


class UnknownCheckpoint(UnknownRun):
    """A checkpoint that is not there: no such file, no such run, or a run that kept none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun:
    """A run as it was kept: its id, its name, its files."""

    client: "mlflow.MlflowClient"
    run: "mlflow.entities.Run"
    cache: Path

    @property
    def id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def name(self) -> str:
        return str(self.run.info.run_name)

    @property
    def finished(self) -> bool:
        return bool(self.run.info.status == "FINISHED")

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.run.data.tags)

    def file(self, artifact: str) -> Path | None:
        """A file of the run on this machine, downloaded where a server keeps it; None where the run has none such."""
        with failures_named():
            if not _has(self.client, self.run, artifact):
                return None
            return _fetch(self.client, self.run, artifact, self.cache)


def find_run(
    uri: str, artifact: str, *, cache: Path = PROJECT / "cache" / "downloads", refusal: type[UnknownRun] = UnknownRun
) -> KeptRun:
    """The run of `runs:/ID`, or of `runs:/latest` the newest, with this file. Raises UnknownRun, TrackingFailed."""
    run_id = uri.removeprefix(SCHEME).partition("/")[0]
    if not is_there():  # asking makes no database
        raise refusal(f"{uri}: {_problem(run_id, [], artifact)}; {TRAIN_FIRST}")
    client = connect()
    with failures_named():
        run = _newest(client, artifact)[:1] if run_id == LATEST else _find(client, run_id)
        if not run or not _has(client, run[0], artifact):
            raise refusal(f"{uri}: {_problem(run_id, run, artifact)}; {_way_out(client, run_id, artifact)}")
    return KeptRun(client=client, run=run[0], cache=cache)


def unfinished_run(tag: str, value: str) -> str | None:
    """The newest run with this tag, unless it has finished. Raises TrackingFailed."""
    if not is_there():
        return None
    client = connect()
    with failures_named():
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        order = ["attributes.start_time DESC"]
        runs = client.search_runs(experiments, f"tags.{tag} = '{value}'", max_results=1, order_by=order)
    return None if not runs or runs[0].info.status == "FINISHED" else str(runs[0].info.run_id)


def resolve_checkpoint(uri: str, *, cache: Path = PROJECT / "cache" / "checkpoints") -> Path:
    """The file of `runs:/ID` (its best), `runs:/ID/last`, `runs:/latest` (the newest run that has one) or a path.

    A file on this machine is not copied, one on a server is downloaded to `cache`. Raises UnknownCheckpoint and
    TrackingFailed.
    """
    if not uri.startswith(SCHEME):
        if not Path(uri).is_file():
            raise UnknownCheckpoint(f"{uri}: no such file; give one that train.py wrote, or {SCHEME}ID of a run")
        return Path(uri)
    run_id, _, which = uri.removeprefix(SCHEME).strip("/").partition("/")
    if which not in FILES:
        raise UnknownCheckpoint(f"{uri}: a run has {SCHEME}{run_id} (its best checkpoint) and {SCHEME}{run_id}/last")
    artifact = f"{FOLDER}/{FILES[which]}"
    found = find_run(uri, artifact, cache=cache, refusal=UnknownCheckpoint).file(artifact)
    assert found is not None
    return found


def _find(client: "mlflow.MlflowClient", run_id: str) -> "list[mlflow.entities.Run]":
    """The run of this id, or none."""
    from mlflow.exceptions import MlflowException

    try:
        return [client.get_run(run_id)]
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return []
        raise


def _newest(client: "mlflow.MlflowClient", artifact: str) -> "list[mlflow.entities.Run]":
    """The newest runs that hold this file."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=SEARCHED, order_by=["attributes.start_time DESC"])
    return [run for run in runs if _has(client, run, artifact)]


def _has(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", artifact: str) -> bool:
    local = local_path(run.info.artifact_uri)
    if local:
        return (local / artifact).is_file()
    folder = artifact.rpartition("/")[0] or None
    return artifact in [file.path for file in client.list_artifacts(run.info.run_id, folder)]


def _fetch(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", artifact: str, cache: Path) -> Path:
    local = local_path(run.info.artifact_uri)
    if local:
        return local / artifact
    target = cache / run.info.run_id
    target.mkdir(parents=True, exist_ok=True)
    return Path(client.download_artifacts(run.info.run_id, artifact, str(target)))


def _problem(run_id: str, run: "Sequence[mlflow.entities.Run]", artifact: str) -> str:
    if run:
        return f"this run ({run[0].info.status}) holds no {local_path(run[0].info.artifact_uri) or ''}/{artifact}"
    return f"no run in {shown_uri()} holds {artifact}" if run_id == LATEST else f"no such run in {shown_uri()}"


def _way_out(client: "mlflow.MlflowClient", run_id: str, artifact: str) -> str:
    usable = [run.info.run_id for run in _newest(client, artifact)]
    if not usable:
        return TRAIN_FIRST
    near = difflib.get_close_matches(run_id, [LATEST, *usable], n=1)
    if near:
        return f"did you mean {SCHEME}{near[0]}?"
    return f"the newest that can be used: {', '.join(SCHEME + one for one in usable[:OFFERED])}"
