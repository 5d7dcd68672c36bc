"""The pictures of the README, made anew: python -m docs.pictures

The phantom's slices in three windows, the validation sheet of a demo run, and MLflow's pages after a sweep (these by
headless Chromium, where it is installed). Phantom only: no picture shows a patient.
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ich.config.files import PROJECT
from ich.ct.geometry import HeadGeometry
from ich.data.phantom import Study, draw_study, render
from ich.findings import KINDS
from ich.report import figures

PICTURES = PROJECT / "docs" / "pictures"
STUDY: dict[str, Any] = {"seed": 4, "slices": 32, "difficulty": "base", "noise": 1.0}
SWEEP = ("-m", "experiment=demo", "optimizer.lr=1e-4,3e-4,1e-3", "trainer.max_epochs=3")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def draw_phantom(path: Path) -> None:
    """A slice without hemorrhage, and of a study with each kind alone the slice with most blood."""
    pictures = [_picture(draw_study(**STUDY, number=0, kinds=()), "no hemorrhage", place=20)]
    for number, kind in enumerate(KINDS, start=1):
        study = draw_study(**STUDY, number=number, kinds=(kind,))
        blood = [render(study, place).blood.sum() for place in range(STUDY["slices"])]
        pictures.append(_picture(study, kind, place=int(np.argmax(blood))))
    figures.save(figures.windows_figure(pictures), path)


def _picture(study: Study, caption: str, *, place: int) -> figures.Picture:
    spacing_mm = (study.scanner.spacing_mm, study.scanner.spacing_mm)
    return figures.Picture(hu=HeadGeometry(size=256).prepare(render(study, place).hu, spacing_mm).hu, caption=caption)


def photograph_runs(folder: Path) -> None:
    """MLflow's list of runs after a sweep, and one run's metrics, in a copy of the project."""
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        print("no Chromium here: the pictures of MLflow stay as they are", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = Path(shutil.copytree(PROJECT, Path(elsewhere, "ich"), ignore=shutil.ignore_patterns(*LEFT_OUT)))
        subprocess.run([sys.executable, "train.py", *SWEEP], cwd=copy, check=True)
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("ich")
        run = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")[0]
        with _ui(copy) as address:
            page = f"{address}/#/experiments/{experiment.experiment_id}"
            _photograph(chromium, f"{page}/runs", folder / "runs.png")
            _photograph(chromium, f"{page}/runs/{run.info.run_id}/model-metrics", folder / "metrics.png")


LEFT_OUT = (".git", ".venv", "cache", "mlruns", "mlflow.db*", "outputs", "multirun", "out", "__pycache__")


@contextmanager
def _ui(project: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [str(Path(sys.executable).with_name("mlflow")), "ui", "--workers", "1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=project, env=os.environ | quiet, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(1)
        yield address
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _photograph(chromium: str, address: str, path: Path) -> None:
    flags = ("--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,820", "--virtual-time-budget=25000")
    subprocess.run([chromium, *flags, f"--screenshot={path}", address], check=True, timeout=180, capture_output=True)


if __name__ == "__main__":
    draw_phantom(PICTURES / "phantom.png")
    photograph_runs(PICTURES)
