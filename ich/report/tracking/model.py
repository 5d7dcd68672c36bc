"""A run's best checkpoint as an MLflow model: DICOM bytes to six probabilities, ready for `mlflow models serve`."""

import logging
import re
import tempfile
from importlib.metadata import requires, version
from pathlib import Path

import pandas as pd
import torch

import ich
from ich.data.phantom.example import example_slice
from ich.findings import FINDINGS
from ich.report.tracking.run import Run
from ich.report.tracking.store import TrackingFailed, ask_server, failures_named, on_server, tracking_uri

log = logging.getLogger(__name__)

NAME = "model"
NEEDED = ("state_dict", "settings", "calibration")
"""Of a checkpoint, what a prediction needs (not all have a calibration); an optimizer's state is twice the weights."""


def log_model(run: Run, checkpoint: Path) -> None:
    """Put the model into the run: `runs:/ID/model`; a server that is away gets none. Raises TrackingFailed."""
    try:
        _log_model(run, checkpoint)
    except TrackingFailed as failure:
        if not on_server():
            raise
        log.warning("run %s has no model to serve (its checkpoints are kept): %s", run.id, failure)


def _log_model(run: Run, checkpoint: Path) -> None:
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    served = Path(__file__).with_name("served.py")
    example = pd.DataFrame({"dicom": [example_slice()]})
    signature = ModelSignature(
        inputs=Schema([ColSpec("binary", "dicom")]), outputs=Schema([ColSpec("double", name) for name in FINDINGS])
    )
    if on_server():
        ask_server()
    with tempfile.TemporaryDirectory() as folder, failures_named():
        weights = Path(folder) / "weights.ckpt"
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        torch.save({name: state[name] for name in NEEDED if name in state}, weights)
        mlflow.set_tracking_uri(tracking_uri())
        client = mlflow.MlflowClient()
        experiment = client.get_run(run.id).info.experiment_id
        created = client.create_logged_model(experiment, name=NAME, source_run_id=run.id)
        Model.log(
            artifact_path=None,
            name=NAME,
            model_id=created.model_id,
            flavor=mlflow.pyfunc,
            run_id=run.id,
            python_model=str(served),
            artifacts={"checkpoint": str(weights)},
            code_paths=[str(Path(ich.__file__).parent)],
            pip_requirements=_requirements(),
            signature=signature,
            input_example=example,
        )


def _requirements() -> list[str]:
    """The packages that ich itself asks for, as they are installed here."""
    asked = [one for one in requires("ich") or [] if "extra ==" not in one]
    names = [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in asked]
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]  # +cpu is on no index
