"""The project as tests use it: a copy of its own, its doors as commands, its runs."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

REPOSITORY = Path(__file__).resolve().parents[1]
SMALL = ("experiment=demo", "data.patients=6", "data.slices=20", "trainer.max_epochs=2", "report=false")
"""A training of seconds: plumbing, no claim about its scores, no page and no model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A copy of the project in a folder of its own, so that runs and caches of tests touch nothing else."""

    root: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(self.root / words[0]), *words[1:]]

    def run(
        self, *words: str, code: int = 0, timeout: float = 240, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a door, such as run("train.py", "seed=1"), from another folder, and expect an exit code."""
        elsewhere = self.root.parent
        done = subprocess.run(
            self.command(*words),
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=os.environ | {"COLUMNS": "200"} | environment,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self, filter_string: str = "") -> list[Run]:
        """All runs of all experiments, newest first."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, filter_string=filter_string))

    def newest(self) -> Run:
        return self.runs()[0]

    def artifact(self, run: Run, name: str) -> Path:
        return Path(
            mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=name, tracking_uri=f"sqlite:///{self.root / 'mlflow.db'}"
            )
        )


def copy_project(root: Path) -> Project:
    """The project as a user has it, with an empty cache and no run."""
    for folder in ("ich", "conf"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("train.py", "predict.py", "mlruns.gitignore"):
        shutil.copy(REPOSITORY / file, root / file)
    return Project(root=root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished training: its run and what it printed."""

    run: Run
    printed: str

    @property
    def checkpoint(self) -> str:
        return f"runs:/{self.run.info.run_id}"
