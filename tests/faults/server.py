"""What it costs a training that its tracking server falls: python -m tests.faults.server [PAIRS]

Pairs of the same training, turn about. Of each pair one loses its server after the second epoch, and has it back some
epochs later; meanwhile the other sees a server start that it does not use, so that both share the machine with the
same load. Both must end FINISHED, with the same metrics, each once. Three pairs take some minutes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from tests.project import Project, copy_project
from tests.tracking_server import Server

WORDS = ("experiment=demo", "data.patients=24", "trainer.max_epochs=30", "report=false")
AWAY_SECONDS = 8.0
MONITOR = "val/weighted_log_loss"
ALLOWED = 1.05
"""The time of a training with the fault, as a multiple of that without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a server holds of a training: a metric's (step, value), and the machine's own samples apart."""

    state: str
    history: dict[str, list[tuple[int, float]]]
    samples: list[int]
    seconds: float
    whole: float


def fall(server: Server) -> None:
    """The server is killed, and comes back."""
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()


def load(server: Server) -> None:
    """Another server starts."""
    time.sleep(AWAY_SECONDS)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)):
        pass


def train(project: Project, server: Server, meanwhile: Callable[[Server], None], *words: str) -> Told:
    """Train, and do something after the second epoch; `seconds` are from the second epoch's end to the last's."""
    client, begun = server.client, time.monotonic()
    before = {run.info.run_id for run in _runs(server)}
    command = project.command("train.py", *WORDS, *words)
    with subprocess.Popen(
        command, env=os.environ | {"MLFLOW_TRACKING_URI": server.uri}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        run_id = ""
        while not run_id and process.poll() is None:
            time.sleep(0.2)
            new = [run.info.run_id for run in _runs(server) if run.info.run_id not in before]
            run_id = next((one for one in new if len(client.get_metric_history(one, MONITOR)) > 1), "")
        if run_id:
            meanwhile(server)
        printed = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 0, printed
    run = client.get_run(run_id)
    points = {name: client.get_metric_history(run_id, name) for name in run.data.metrics}
    ends = [point.timestamp for point in points[MONITOR]]
    history = {name: [(one.step, one.value) for one in said] for name, said in points.items()}
    return Told(
        state=run.info.status,
        samples=[step for step, _ in history["system/cpu_utilization_percentage"]],
        history={name: said for name, said in history.items() if not name.startswith("system/")},
        seconds=(ends[-1] - ends[1]) / 1000,
        whole=time.monotonic() - begun,
    )


def check(project: Project, told: Told) -> None:
    """Nothing is lost, nothing is there twice, nothing waits."""
    assert told.state == "FINISHED"
    for name, said in told.history.items():
        assert len({step for step, _ in said}) == len(said), name
    assert told.samples == [*range(len(told.samples))]
    assert not [*(project.root / "cache").glob("unsent/*")]


def main(pairs: int) -> int:
    """The exit code: whether the fault cost too much."""
    seconds: dict[str, list[float]] = {"load": [], "fall": []}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        project = copy_project(Path(folder) / "project")
        train(project, server, lambda _: None, "trainer.max_epochs=3")  # cohort and store
        for pair in range(pairs):
            order = (load, fall) if pair % 2 else (fall, load)
            told = {meanwhile.__name__: train(project, server, meanwhile) for meanwhile in order}
            assert told["fall"].history == told["load"].history
            for name, one in told.items():
                check(project, one)
                seconds[name].append(one.seconds)
                print(f"{name}: {one.seconds:.2f} s from the second epoch to the last, {one.whole:.1f} s the command")
        points = sum(map(len, told["fall"].history.values()))
    ratio = statistics.median(seconds["fall"]) / statistics.median(seconds["load"])
    print(f"{points} points in each run, each once and the same with and without the fault")
    print(f"with the fault the training took {ratio:.3f} of the time without, in the median of {pairs} pairs")
    return int(ratio > ALLOWED)


def _runs(server: Server) -> list[Run]:
    experiments = [one.experiment_id for one in server.client.search_experiments()]
    return list(server.client.search_runs(experiments))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
