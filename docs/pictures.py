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

import cv2
import numpy as np

from ich.config.files import PROJECT
from ich.ct.dicom import read_slice
from ich.ct.geometry import HeadGeometry
from ich.data.labels import read_labels
from ich.data.source import Phantom
from ich.findings import KINDS
from ich.report import figures

PICTURES = PROJECT / "docs" / "pictures"
SWEEP = ("-m", "experiment=demo", "optimizer.lr=1e-4,3e-4,1e-3", "trainer.max_epochs=3")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def draw_phantom(path: Path) -> None:
    """A slice without hemorrhage, and one of each kind: of those that have this kind alone, the one with most blood."""
    root = Phantom(cache=PROJECT / "cache", patients=40, slices=32, difficulty="base", seed=4).write()
    labels = read_labels(next(root.rglob("stage_2_train.csv")))
    files = {file.stem: file for file in root.rglob("*.dcm")}

    def prepare(image_id: str) -> np.ndarray:
        one = read_slice(files[image_id])
        return HeadGeometry(size=256).prepare(one.hu, one.header.spacing_mm).hu

    single = labels[labels[list(KINDS)].sum(axis=1) == 1]
    without = prepare(labels.index[labels["any"] == 0][len(labels) // 3])
    pictures = [figures.Picture(hu=without, caption="no hemorrhage")]
    for kind in KINDS:
        slices = [prepare(image_id) for image_id in single.index[single[kind] == 1]]
        pictures.append(figures.Picture(hu=max(slices, key=_blood), caption=kind))
    figures.save(figures.windows_figure(pictures), path)


def _blood(hu: np.ndarray) -> int:
    """Pixels as dense as fresh blood, without the thin edges of bone."""
    smooth = cv2.medianBlur(hu, 5)
    return int(((smooth > 50) & (smooth < 90)).sum())


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
