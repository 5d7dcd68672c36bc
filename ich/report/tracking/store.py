"""Where runs are kept: `mlflow.db` and `mlruns/` beside train.py, as MLflow itself would, or at MLFLOW_TRACKING_URI."""

import os
import re
import shlex
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock

from ich.config.files import PROJECT
from ich.errors import InputError

if TYPE_CHECKING:
    import mlflow

URI_VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
SERVER = ("http://", "https://")

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # a new database would tell of each of its tables
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute; MLflow's 7 block a call to a dead server for 246 s
}
"""What MLflow is told before its first import, where the user has not."""

ANSWER_SECONDS = 10
"""How long a server may take to answer at all before a run is opened there."""


class TrackingFailed(InputError):
    """The place where runs are kept cannot be used, or did not take all of a run."""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the sqlite database beside train.py."""
    return os.environ.get(URI_VARIABLE, "").strip() or _sqlite_uri(PROJECT / "mlflow.db")


def shown_uri() -> str:
    """The tracking URI as messages may show it: without a password."""
    return re.sub(r"//[^/@]*@", "//", tracking_uri())


def on_server() -> bool:
    """Whether runs are kept by a server, which may go away and come back."""
    return tracking_uri().startswith(SERVER)


def is_there() -> bool:
    """Whether the place where runs are kept exists: a server, or a database that has been made."""
    database = _sqlite_file(tracking_uri())
    return database is None or database.exists()


def connect() -> "mlflow.MlflowClient":
    """A client of the place where runs are kept; a new sqlite database is made first. Raises TrackingFailed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    database = _sqlite_file(uri)
    if database:
        _create_database(database)
    elif on_server():
        ask_server()
    from mlflow.tracking import MlflowClient  # imported late: it takes seconds

    with failures_named():
        client = _client(uri, MlflowClient)
        client.search_experiments(max_results=1)  # a database of another version is refused here
    return client


def _client(uri: str, make: "type[mlflow.MlflowClient]") -> "mlflow.MlflowClient":
    from mlflow.exceptions import MlflowException

    try:
        return make(tracking_uri=uri)
    except MlflowException as error:
        if "unsupported URI" not in str(error):
            raise
        takes = f"{SQLITE}FILE, http://SERVER or the address of a database"
        raise TrackingFailed(f"{shown_uri()}: MLflow keeps no runs there; {URI_VARIABLE} takes {takes}") from error


def experiment_id(client: "mlflow.MlflowClient", name: str) -> str:
    """The id of an experiment, made where it is not there yet; local artifacts lie beside the database."""
    database = _sqlite_file(tracking_uri())
    if database is None:
        return _create_experiment(client, name, artifacts=None)
    with FileLock(_lock(database)):
        return _create_experiment(client, name, artifacts=_artifacts(database) / name)


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn what MLflow raises into TrackingFailed, which says where."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        raise TrackingFailed(f"{shown_uri()}: {error}") from error


def local_path(uri: str) -> Path | None:
    """The path of an artifact location on this machine; None for one on a server."""
    from mlflow.utils.file_utils import get_local_path_or_none

    path = get_local_path_or_none(uri)
    return None if path is None else Path(path)


def ui_command() -> str:
    """What opens the runs: a command, or the address of a server."""
    if on_server():
        return shown_uri()
    if (
        tracking_uri() == _sqlite_uri(PROJECT / "mlflow.db")
        and (PROJECT / "Makefile").is_file()
        and shutil.which("make")
    ):
        return "make ui" if Path.cwd() == PROJECT else f"make -C {shlex.quote(str(PROJECT))} ui"
    return f"mlflow ui --backend-store-uri {shlex.quote(shown_uri())}"


def _create_experiment(client: "mlflow.MlflowClient", name: str, *, artifacts: Path | None) -> str:
    with failures_named():
        found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name, artifact_location=artifacts.as_uri() if artifacts else None))
    if found.lifecycle_stage != "active":
        raise TrackingFailed(
            f"{shown_uri()}: the experiment {name} was deleted; restore it with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    before = local_path(found.artifact_location)
    if artifacts and before and before.resolve() != artifacts.resolve():
        raise TrackingFailed(
            f"{shown_uri()}: the files of its runs are in {before}; the folder was moved or copied. Move it back, or "
            f"begin a new record: rename mlflow.db and mlruns, or let {URI_VARIABLE} name another place"
        )
    return str(found.experiment_id)


def _create_database(database: Path) -> None:
    """Make a new database aside and move it into place (seconds), so that nobody ever meets half of one."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(database)):
            _create_artifacts(_artifacts(database))
            if database.exists():
                return
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            aside = database.with_name(f"{database.name}.new")
            aside.unlink(missing_ok=True)
            store = SqlAlchemyStore(_sqlite_uri(aside), _artifacts(database).as_uri())
            store._dispose_engine()
            aside.replace(database)
    except OSError as error:
        raise TrackingFailed(
            f"{database}: runs cannot be kept here: {error}; {URI_VARIABLE} may name another place"
        ) from error


def _create_artifacts(artifacts: Path) -> None:
    if not artifacts.exists():
        artifacts.mkdir()
        shutil.copyfile(PROJECT / "mlruns.gitignore", artifacts / ".gitignore")


def ask_server() -> None:
    """Refuse a server that does not answer, before MLflow retries for long; any answer will do."""
    try:
        urllib.request.urlopen(tracking_uri(), timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        raise TrackingFailed(
            f"{shown_uri()}: the tracking server does not answer ({error}); start it, or unset "
            f"{URI_VARIABLE} to keep runs in {PROJECT / 'mlflow.db'}"
        ) from error


def _sqlite_uri(database: Path) -> str:
    return SQLITE + quote(database.as_posix(), safe="/:")


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith(SQLITE):
        return None
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])).absolute()


def _artifacts(database: Path) -> Path:
    return database.parent / "mlruns"


def _lock(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")
