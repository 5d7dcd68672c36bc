"""Lightning's metrics into a run, by epoch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger

from ich.report.tracking import Run


class RunLogger(Logger):
    """Forwards what Lightning logs to an open run, by epoch, and keeps it; parameters are the run's affair.

    Of a run that goes on, `held` counts the points of each metric and epoch that it holds already: what a training
    tells again, because it told more than it had saved, is not logged twice.
    """

    def __init__(self, run: Run, held: Mapping[tuple[str, int], int] | None = None) -> None:
        super().__init__()
        self._run = run
        self._held = Counter(held or {})
        self.told: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "ich"

    @property
    def version(self) -> str:
        return self._run.id

    @property
    def history(self) -> dict[str, dict[int, float]]:
        """The last value of each metric in each epoch."""
        history: dict[str, dict[int, float]] = {}
        for epoch, metrics in self.told:
            for name, value in metrics.items():
                history.setdefault(name, {})[epoch] = value
        return history

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: open_run has logged the whole configuration."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning adds the metric `epoch` to whatever it logs; its `step` counts optimizer steps and is dropped."""
        self._tell(int(metrics["epoch"]), {name: value for name, value in metrics.items() if name != "epoch"})

    def tell_again(self, told: Sequence[tuple[int, dict[str, float]]]) -> None:
        """What a training that goes on had told up to its save; a killed process may not have got it into the run."""
        for epoch, metrics in told:
            self._tell(epoch, metrics)

    def _tell(self, epoch: int, metrics: dict[str, float]) -> None:
        self.told.append((epoch, metrics))
        self.log_once(metrics, epoch)

    def log_once(self, metrics: Mapping[str, float], epoch: int) -> None:
        """What the run does not hold already; no part of the history."""
        held = {name for name in metrics if self._held[name, epoch] > 0}
        self._held.subtract((name, epoch) for name in held)
        self._run.log_metrics({name: value for name, value in metrics.items() if name not in held}, epoch)
