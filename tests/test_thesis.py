"""The thesis's three experiments, with their networks and settings, for one epoch: on real slices, on the phantom."""

import html
import re
from pathlib import Path

import pytest

from ich.report.run_report import THESIS
from tests.project import Project

NETWORKS = {
    "thesis_resnet50": "resnet50",
    "thesis_mobilenetv2": "mobilenetv2_100",
    "thesis_efficientnet_b2": "efficientnet_b2",
}
FEW = ("data.patients=8", "data.slices=24")
"""Slices of the phantom that a network at 256 pixels sees in two minutes on one core."""

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("experiment", [*NETWORKS])]


def test_it_runs_on_real_slices(project: Project, mini: Path, experiment: str) -> None:
    check_report(project, experiment, "data=rsna", f"data.root={mini}", slices=346)


def test_it_runs_on_the_phantom(project: Project, experiment: str) -> None:
    check_report(project, experiment, *FEW, slices=8 * 24)


def check_report(project: Project, experiment: str, *data: str, slices: int) -> None:
    """One epoch leaves a page with our score and, beside it, what the thesis reports."""
    project.run("train.py", f"experiment={experiment}", *data, "trainer.max_epochs=1", timeout=1500)
    run = project.newest()
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert (params["model.name"], params["geometry.size"], params["data.batch_size"]) == (
        NETWORKS[experiment],
        "256",
        "32",
    )
    page = html.unescape(project.artifact(run, "report/report.html").read_text(encoding="utf-8"))
    assert THESIS[experiment] in page
    assert f"{slices} slices" in page
    assert f"{run.data.metrics['val/weighted_log_loss']:.3f}" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
