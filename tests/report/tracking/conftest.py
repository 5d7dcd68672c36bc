"""One database a session: a new one takes seconds."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow.tracking import MlflowClient

from ich.report.tracking import PARENT_VARIABLE
from ich.report.tracking.store import connect


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which runs were kept before."""
    folder = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        connect()
    shutil.copy(folder / "mlflow.db", folder / "new.db")
    return folder


@pytest.fixture(autouse=True)
def client(record: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own client at the place where the runs of these tests are kept."""
    uri = f"sqlite:///{record / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    return MlflowClient(tracking_uri=uri)
