"""A training whose tracking server falls and comes back (what it costs: python -m tests.faults.server)."""

from pathlib import Path

import pytest

from tests.faults.server import check, fall, train
from tests.project import Project
from tests.tracking_server import Server


@pytest.mark.slow
def test_a_training_whose_server_falls_and_comes_back_has_everything_once(project: Project, tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        told = train(project, server, fall)
    check(project, told)
    assert [step for step, _ in told.history["val/weighted_log_loss"]] == [*range(30)]
