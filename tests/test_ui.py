"""A sweep as somebody sees it who opens `make ui` in a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from docs.pictures import open_browser, open_charts, open_runs, ui
from tests.project import SMALL, Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="no Chromium with its driver (chromedriver) is here"),
    pytest.mark.skipif(not shutil.which("make"), reason="no make is here"),
]
METRICS = ("weighted_log_loss", "precision", "recall")
LOOK = Path(os.environ.get("ICH_SCREENSHOTS", "")) if os.environ.get("ICH_SCREENSHOTS") else None
"""A folder that gets what the browser saw."""


@pytest.fixture(scope="module")
def sweep(project: Project) -> str:
    """The id of the parent."""
    words = ("trainer.max_epochs=3", "report=true", "system_metrics=true")
    project.run("train.py", "-m", *SMALL, *words, "optimizer.lr=1e-3,3e-3")
    return next(run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags).info.run_id


@pytest.fixture(scope="module")
def address(project: Project, sweep: str) -> Iterator[str]:
    with ui(project.root) as served:
        yield served


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Chrome]:
    with open_browser() as opened:
        yield opened


def seen(browser: Chrome, xpath: str) -> str:
    """The text of the first element of this kind, once there is one."""
    return str(WebDriverWait(browser, 60).until(lambda page: page.find_elements(By.XPATH, xpath))[0].text)


def look(browser: Chrome, name: str) -> None:
    if LOOK:
        browser.save_screenshot(str(LOOK / f"{name}.png"))


def artifact(browser: Chrome, address: str, run_id: str, path: str) -> None:
    browser.get(f"{address}/#/experiments/1/runs/{run_id}/artifacts/{path}")
    browser.refresh()  # of the same run it would go on showing what it showed


def test_the_list_shows_the_parent_and_its_children(browser: Chrome, address: str) -> None:
    open_runs(browser, address)
    for name in ("sweep optimizer.lr=1e-3,3e-3", "optimizer.lr=0.001", "optimizer.lr=0.003"):
        assert seen(browser, f"//a[contains(., '{name}')]")
    look(browser, "runs")


def test_the_three_metrics_have_curves(browser: Chrome, address: str) -> None:
    open_runs(browser, address)
    open_charts(browser, f"^val/({'|'.join(METRICS)})$")
    line = (
        "//*[contains(@class, 'js-plotly-plot')]//*[contains(@class, 'scatterlayer')]//*[contains(@class, 'js-line')]"
    )
    for metric in METRICS:
        assert seen(browser, f"//*[text()='val/{metric}']")
    wait = WebDriverWait(browser, 60)
    wait.until(lambda page: len(page.find_elements(By.XPATH, line)) >= 2 * len(METRICS))  # two children each
    look(browser, "curves")


def test_the_parent_shows_its_command_and_a_table_of_its_jobs(browser: Chrome, address: str, sweep: str) -> None:
    browser.get(f"{address}/#/experiments/1/runs/{sweep}")
    assert seen(browser, "//th[contains(., 'weighted_log_loss')]")
    assert "train.py -m experiment=demo" in seen(browser, "//*[contains(text(), 'train.py -m')]")
    look(browser, "parent")


def test_the_report_is_rendered_with_its_figures(browser: Chrome, project: Project, address: str, sweep: str) -> None:
    child = project.runs(f"tags.mlflow.parentRunId = '{sweep}'")[0]
    artifact(browser, address, child.info.run_id, "report/report.html")
    frame = WebDriverWait(browser, 60).until(lambda page: page.find_element(By.TAG_NAME, "iframe"))
    browser.switch_to.frame(frame)
    try:
        assert f"Run {child.info.run_name}" in seen(browser, "//h1")
        pictures = browser.find_elements(By.TAG_NAME, "img")
        widths = [browser.execute_script("return arguments[0].naturalWidth", one) for one in pictures]
        assert len(widths) > 2
        assert all(widths)
    finally:
        browser.switch_to.default_content()
    look(browser, "report")


def test_a_figure_is_drawn(browser: Chrome, project: Project, address: str, sweep: str) -> None:
    child = project.runs(f"tags.mlflow.parentRunId = '{sweep}'")[0]
    for name, run_id, path in (("sheet", child.info.run_id, "figures/validation.png"), ("chart", sweep, "sweep.svg")):
        artifact(browser, address, run_id, path)
        drawn = "return [...document.images].some(one => one.naturalWidth > 300 && one.src.startsWith('blob:'))"
        WebDriverWait(browser, 60).until(lambda page, drawn=drawn: page.execute_script(drawn))
        look(browser, name)


def test_the_machine_has_a_page(browser: Chrome, project: Project, address: str, sweep: str) -> None:
    child = project.runs(f"tags.mlflow.parentRunId = '{sweep}'")[0]
    browser.get(f"{address}/#/experiments/1/runs/{child.info.run_id}/system-metrics")
    assert seen(browser, "//*[contains(text(), 'cpu_utilization_percentage')]")
    look(browser, "system")
