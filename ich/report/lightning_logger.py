"""Lightning's metrics into a run, by epoch."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger

from ich.report.tracking import Run


class RunLogger(Logger):
    """Forwards what Lightning logs to an open run, by epoch, and keeps it; parameters are the run's affair."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self.history: dict[str, dict[int, float]] = {}

    @property
    def name(self) -> str:
        return "ich"

    @property
    def version(self) -> str:
        return self._run.id

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: open_run has logged the whole configuration."""

    def retell(self, history: Mapping[str, Mapping[int, float]]) -> None:
        """What a run that goes on had told up to its save; the run keeps each once."""
        self.history = {name: dict(values) for name, values in history.items()}
        for name, values in history.items():
            for epoch, value in values.items():
                self._run.log_metrics({name: value}, epoch)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning adds the metric `epoch` to whatever it logs; its `step` counts optimizer steps and is dropped."""
        told, epoch = {name: value for name, value in metrics.items() if name != "epoch"}, int(metrics["epoch"])
        for name, value in told.items():
            self.history.setdefault(name, {})[epoch] = value
        self._run.log_metrics(told, epoch)
