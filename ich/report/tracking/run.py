"""One run: parameters, metrics by epoch, files, tags, and a state that is true however it ends."""

import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ich.errors import recorded
from ich.report.tracking.origin import CHANGED_TAG, COMMIT_TAG, SOURCE_TAG, origin_tags
from ich.report.tracking.outbox import COMMAND, Outbox
from ich.report.tracking.process import PROCESS_TAG, this_process
from ich.report.tracking.sender import Sender, signals_held, within
from ich.report.tracking.store import (
    TrackingFailed,
    ask_server,
    connect,
    experiment_id,
    failures_named,
    local_path,
    on_server,
)

if TYPE_CHECKING:
    import mlflow

State = Literal["FINISHED", "FAILED", "KILLED"]

EXPERIMENT = "ich"
"""MLflow's folder of runs."""
PARENT_VARIABLE = "ICH_PARENT_RUN"
"""The id of the multirun that a run belongs to; set by open_sweep, inherited by processes."""

# MLflow's limits (mlflow/utils/validation.py), and its words for tags (mlflow/utils/mlflow_tags.py).
PARAMS_A_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
OF_THE_FIRST = (SOURCE_TAG, COMMIT_TAG, CHANGED_TAG)
"""Say what made a run, and stay when it goes on."""
FAILURE_TAG = "failure"
CLOSING_SECONDS = 60
"""How long the end of a run may take where the server does not answer."""

STOPPED = (128 + 2, 128 + 15)
"""Exit codes after Ctrl-C and SIGTERM."""

log = logging.getLogger(__name__)


class Run:
    """A run that is open.

    Metrics are sent from a thread of their own: a server that stopped answering blocks a call for half a minute, and a
    training must not wait for it. Files, texts and tags are sent at once. What a server does not take is kept on disk
    (`outbox`) and sent when it is back; in a database on this machine the same raises TrackingFailed.
    """

    def __init__(self, client: "mlflow.MlflowClient", run_id: str) -> None:
        self.id = run_id
        self._client = client
        self._sender = Sender(self._send)
        self._outbox = Outbox(run_id)
        self._lost = False
        self._note = ""

    def held_metrics(self) -> Counter[tuple[str, int]]:
        """How many points of each metric and epoch the run holds. Raises TrackingFailed."""
        with failures_named():
            names = self._client.get_run(self.id).data.metrics
            return Counter((name, one.step) for name in names for one in self._client.get_metric_history(self.id, name))

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Metrics of one epoch; nan and infinity are kept as MLflow keeps them (infinity as the largest float)."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self._sender.add([Metric(name, float(value), now, epoch) for name, value in metrics.items()])

    def log_file(self, path: Path, folder: str = "") -> None:
        """A copy of a file, under a folder of the run."""
        self._tell(
            lambda: self._client.log_artifact(self.id, str(path), folder or None),
            lambda: self._outbox.keep_file(path, folder),
        )

    def log_text(self, text: str, name: str) -> None:
        """A text as the file `name` of the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            path.write_text(text, encoding="utf-8")
            above = Path(name).parent.as_posix()
            self.log_file(path, "" if above == "." else above)

    def local_file(self, name: str) -> Path | None:
        """Where a file of the run lies on this machine; None where a server keeps it."""
        if on_server():
            return None
        with failures_named():
            folder = local_path(self._client.get_run(self.id).info.artifact_uri)
        return folder / name if folder else None

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags, cut at MLflow's limit."""
        from mlflow.entities import RunTag

        cut = {name: text[:TAG_LENGTH] for name, text in tags.items()}
        self._note = cut.get(NOTE_TAG, self._note)
        self._tell(
            lambda: self._client.log_batch(self.id, tags=[RunTag(name, text) for name, text in cut.items()]),
            lambda: self._outbox.keep_tags(cut),
        )

    def log_dataset(self, name: str, digest: str, profile: Mapping[str, int]) -> None:
        """What the run was made from, as MLflow shows it: a name, a digest, some counts; no path."""
        from mlflow.entities import Dataset, DatasetInput

        described = Dataset(
            name=name, digest=digest, source_type="local", source=name, profile=json.dumps(dict(profile))
        )
        self._tell(
            lambda: self._client.log_inputs(self.id, datasets=[DatasetInput(described)]),
            lambda: self._outbox.keep_tags({"dataset": f"{name} {digest}"}),
        )

    def close(self, state: State, message: str = "") -> None:
        """Send what is left and write the state, whatever signal comes meanwhile. Raises TrackingFailed."""
        with signals_held():
            try:
                within(CLOSING_SECONDS, lambda: self._close(state, message))
            except TrackingFailed as failure:
                if not on_server():
                    raise
                self._keep_end(state, message, failure)

    def _tell(self, send: Callable[[], object], keep: Callable[[], None]) -> None:
        """Send; after a server's first silence keep what follows, so that nobody waits for it again and again."""
        if not self._lost:
            try:
                if on_server():
                    ask_server()
                with failures_named():
                    send()
            except TrackingFailed as failure:
                if not on_server():
                    raise
                self._lost = True
                log.warning("the record is kept on disk until the server is back: %s", failure)
            else:
                return
        keep()

    def _close(self, state: State, message: str) -> None:
        if on_server():
            ask_server()  # before a silent one is waited for
        if self._lost:
            self._outbox.send(self._client)
            self._lost = False
        try:
            self._sender.end()
        except TrackingFailed as failure:
            if not on_server():
                self._end("FAILED" if state == "FINISHED" else state, message or str(failure))
            raise
        self._end(state, message)

    def _end(self, state: State, message: str) -> None:
        with failures_named():
            self._client.set_terminated(self.id, state)
        if message:
            self.set_tags(self._why(message))

    def _why(self, message: str) -> dict[str, str]:
        """The message, and in the description before what is there already."""
        return {FAILURE_TAG: message, NOTE_TAG: "\n\n".join(filter(None, [message, self._note]))}

    def _keep_end(self, state: State, message: str, failure: TrackingFailed) -> None:
        self._outbox.keep_metrics(self._sender.unsent)
        if message:
            self._outbox.keep_tags({name: text[:TAG_LENGTH] for name, text in self._why(message).items()})
        self._outbox.keep_end(state)
        said = "the server did not take all of run %s (%s); it is kept in %s, and sent by: %s"
        log.warning(said, self.id, failure, self._outbox.folder, COMMAND)

    def _send(self, metrics: Sequence["mlflow.entities.Metric"]) -> None:
        if on_server():
            ask_server()  # MLflow would try a server that is away for half a minute
        with failures_named():
            self._client.log_batch(self.id, metrics=metrics)


@contextmanager
def open_run(
    *,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    parent_id: str | None = None,
    experiment: str = EXPERIMENT,
    command: Sequence[str] | None = None,
    again: str | None = None,
    refusals: tuple[type[Exception], ...] = (),
) -> Iterator[Run]:
    """A new run, open for the block: FINISHED after it, FAILED (with the message) by an exception, KILLED by a signal.

    `parent_id` is the multirun it belongs to (by default the one in ICH_PARENT_RUN), `command` what started it (by
    default this process's command line), `again` the id of a run to go on with instead of a new one: one that has
    finished stays so where it is refused (`refusals`). Raises TrackingFailed where runs cannot be kept.
    """
    client = connect()
    parent_id = parent_id or os.environ.get(PARENT_VARIABLE)
    tags = {
        PROCESS_TAG: this_process(),
        **{name: text[:TAG_LENGTH] for name, text in origin_tags(command).items()},
        **({PARENT_TAG: parent_id} if parent_id else {}),
        **tags,
    }
    had_finished = False
    with failures_named():
        if again:
            had_finished = _reopen(client, again, tags)
        else:
            again = client.create_run(experiment_id(client, experiment), tags=tags, run_name=name).info.run_id
    run = Run(client, again)
    try:
        _log_params(client, run.id, params)
        yield run
    except BaseException as error:
        try:
            run.close(*(("FINISHED", "") if had_finished and isinstance(error, refusals) else outcome(error)))
        except TrackingFailed as failure:  # the first error is the one to tell
            error.add_note(str(failure))
            log.warning("the state of run %s could not be written: %s", run.id, failure)
        raise
    else:
        run.close("FINISHED")


def outcome(error: BaseException) -> tuple[State, str]:
    """State and message of a run that an exception ended: whatever is no Exception stops a process from outside."""
    if isinstance(error, SystemExit):
        if not error.code:
            return "FINISHED", ""
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning answers Ctrl-C with exit code 1
            return "KILLED", ""
        return ("KILLED", "") if error.code in STOPPED else ("FAILED", f"exit code {error.code}")
    if isinstance(error, Exception):
        return "FAILED", recorded(error)
    return "KILLED", ""


def _reopen(client: "mlflow.MlflowClient", run_id: str, tags: Mapping[str, str]) -> bool:
    """Its new process first, then RUNNING, so that nobody takes it for vanished; why it ended before is forgotten.

    What a server had not taken is told before. Answers whether it had finished.
    """
    from mlflow.entities import RunTag

    Outbox(run_id).send(client)
    own = {name: text for name, text in tags.items() if name not in OF_THE_FIRST}
    client.log_batch(run_id, tags=[RunTag(name, text) for name, text in own.items()])
    before = client.get_run(run_id)
    for name in {FAILURE_TAG, NOTE_TAG} & before.data.tags.keys():
        client.delete_tag(run_id, name)
    client.update_run(run_id, status="RUNNING")
    return bool(before.info.status == "FINISHED")


def _log_params(client: "mlflow.MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    rows = [Param(name, _cut(str(value))) for name, value in params.items()]
    with failures_named():
        for start in range(0, len(rows), PARAMS_A_BATCH):
            client.log_batch(run_id, params=rows[start : start + PARAMS_A_BATCH])


def _cut(text: str) -> str:
    return text if len(text) <= PARAM_LENGTH else text[: PARAM_LENGTH - 1] + "…"
