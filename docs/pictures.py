"""The pictures of the README, made anew: python -m docs.pictures

The phantom's slices in three windows, where a demo run's network looks, and MLflow's pages after a sweep (these by
headless Chromium and its driver, which must be installed). Phantom only: no picture shows a patient.
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import json
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
from mlflow.tracking import MlflowClient
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from ich.config.files import PROJECT
from ich.ct.geometry import HeadGeometry
from ich.data.phantom import Study, draw_study, render
from ich.findings import KINDS
from ich.model.activation import ActivationMaps
from ich.predictor import Predictor, Read
from ich.report import charts, figures
from ich.report.explain import explain, explanation_figure

PICTURES = PROJECT / "docs" / "pictures"
STUDY: dict[str, Any] = {"seed": 4, "slices": 32, "difficulty": "base", "noise": 1.0}
SWEEP = ("-m", "experiment=demo", "data.patients=24", "optimizer.lr=1e-3,3e-3,6e-3", "trainer.max_epochs=8")
COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#555555")
"""Of the jobs, the last first, and of the sweep."""
COLUMNS = ("val/weighted_log_loss", "val/precision", "val/recall", "val/auc/any")
SEEN: dict[str, Any] = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.panelOpen_v1": False,
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    'MLflowLocalStorage-1.1-ExperimentPage-["1"]-ReactComponentState': {
        "selectedColumns": ["params.`optimizer.lr`", *(f"metrics.`{name}`" for name in COLUMNS)]
    },
}
"""What MLflow's pages keep in a browser."""
FONT = (
    "*:not(.ag-checkbox-input-wrapper) { font-family: 'Liberation Sans', 'DejaVu Sans Condensed' !important }"
    ".ag-cell a { font-size: 11px; letter-spacing: -0.2px }"
)
"""Narrow enough for the names of runs; check boxes are letters of a font of their own."""


def draw_phantom(path: Path) -> None:
    """A slice without hemorrhage, and of a study with each kind alone the slice with most blood."""
    pictures = [_picture(draw_study(**STUDY, number=0, kinds=()), "no hemorrhage", place=20)]
    for number, kind in enumerate(KINDS, start=1):
        study = draw_study(**STUDY, number=number, kinds=(kind,))
        blood = [render(study, place).blood.sum() for place in range(STUDY["slices"])]
        pictures.append(_picture(study, kind, place=int(np.argmax(blood))))
    charts.save(figures.windows_figure(pictures), path)


def _picture(study: Study, caption: str, *, place: int) -> figures.Picture:
    spacing_mm = (study.scanner.spacing_mm, study.scanner.spacing_mm)
    return figures.Picture(hu=HeadGeometry(size=256).prepare(render(study, place).hu, spacing_mm).hu, caption=caption)


def explain_unseen(path: Path) -> None:
    """A slice of a study that is in no cohort, as the network of a demo run sees it."""
    with _trained("experiment=demo") as copy:
        (checkpoint,) = copy.glob("mlruns/*/*/artifacts/checkpoints/best.ckpt")
        draw_explanation(Predictor.load(checkpoint, "cpu"), path)


def draw_explanation(predictor: Predictor, path: Path) -> None:
    """The labels that the network thinks probable, and where it looks for them."""
    study = draw_study(**STUDY | {"slices": 24, "difficulty": "demo"}, number=2, kinds=("subarachnoid", "subdural"))
    shown, spacing_mm = render(study, 12), (study.scanner.spacing_mm, study.scanner.spacing_mm)
    prepared = predictor.geometry.prepare(shown.hu, spacing_mm)
    read = Read(image_id="", hu=prepared.hu[None], source=b"", warp=prepared.warp)
    maps = ActivationMaps.of(predictor.classifier, depth=1, size=predictor.geometry.size)
    explained = explain(maps, [read], predictor.predict([read.hu]).probabilities, 0.5)[0]
    title = f"a slice of the synthetic cohort; in truth {', '.join(shown.kinds)}"
    charts.save(explanation_figure(shown.hu, explained, title=title, spacing_mm=spacing_mm), path)


def photograph_runs(folder: Path) -> None:
    """MLflow's list of runs after a sweep, and their curves."""
    with _trained(*SWEEP) as copy, ui(copy) as address, open_browser() as browser:
        _colour(MlflowClient(tracking_uri=address))
        _photograph(browser, address, folder)


def _colour(client: MlflowClient) -> None:
    """MLflow draws colours by chance, for two runs the same ones."""
    for run, colour in zip(client.search_runs(["1"]), COLOURS, strict=True):
        client.set_tag(run.info.run_id, "mlflow.runColor", colour)


@contextmanager
def _trained(*words: str) -> Iterator[Path]:
    """A copy of the project in which this was trained."""
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = Path(shutil.copytree(PROJECT, Path(elsewhere, "ich"), ignore=shutil.ignore_patterns(*LEFT_OUT)))
        subprocess.run([sys.executable, "train.py", *words], cwd=copy, check=True)
        yield copy


LEFT_OUT = (".git", ".venv", "cache", "mlruns", "mlflow.db*", "outputs", "multirun", "out", "__pycache__")


@contextmanager
def ui(project: Path) -> Iterator[str]:
    """`make ui` for the runs in `project`, on a port that is free; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = ("-C", str(project), "-f", str(PROJECT / "Makefile"), "-o", "env", f"BIN={Path(sys.executable).parent}")
    server = subprocess.Popen(
        ["make", "--silent", *here, "ui"], env=os.environ | {"MLFLOW_PORT": str(port)}, start_new_session=True
    )
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


@contextmanager
def open_browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium by the machine's own driver, as somebody who has chosen "Model training" and these columns."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,860"):
        options.add_argument(flag)
    driver = shutil.which("chromedriver")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver) if driver else None)
    try:
        yield browser
    finally:
        browser.quit()


def open_runs(browser: webdriver.Chrome, address: str) -> None:
    """The list of runs, the newest sweep's children in view."""
    browser.get(address)
    for name, value in SEEN.items():
        browser.execute_script("localStorage[arguments[0]] = arguments[1]", name, json.dumps(value))
    browser.get(f"{address}/#/experiments/1/runs")
    browser.refresh()
    row = "//a[contains(., 'sweep')]/ancestor::*[contains(@class, 'ag-row')]"
    WebDriverWait(browser, 60).until(lambda page: page.find_element(By.XPATH, f"{row}//button")).click()
    WebDriverWait(browser, 60).until(lambda page: page.find_elements(By.XPATH, "//a[contains(., 'optimizer.lr=')]"))


def open_charts(browser: webdriver.Chrome, metrics: str) -> None:
    """The curves of these metrics (a regular expression)."""
    browser.find_element(By.XPATH, "//label[.//input[@value='CHART']]").click()
    find = (By.CSS_SELECTOR, "[placeholder='Search metric charts']")
    WebDriverWait(browser, 60).until(lambda page: page.find_element(*find)).send_keys(metrics)
    _style(browser, ".modebar { display: none }")


def _style(browser: webdriver.Chrome, rule: str) -> None:
    browser.execute_script(
        "document.head.append(Object.assign(document.createElement('style'), {textContent: arguments[0]}))", rule
    )


def _photograph(browser: webdriver.Chrome, address: str, folder: Path) -> None:
    browser.set_window_size(1500, 640)  # no more than has something in it
    open_runs(browser, address)
    _style(browser, FONT)
    time.sleep(5)
    browser.save_screenshot(str(folder / "runs.png"))
    browser.set_window_size(1500, 830)
    open_charts(browser, "^val/(weighted_log_loss|precision|recall)$")
    time.sleep(15)
    browser.save_screenshot(str(folder / "metrics.png"))


if __name__ == "__main__":
    draw_phantom(PICTURES / "phantom.png")
    explain_unseen(PICTURES / "explanation.png")
    photograph_runs(PICTURES)
