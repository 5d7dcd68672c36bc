"""Evaluate: python -m ich.evaluate run=runs:/ID output=out/evaluation"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from omegaconf import DictConfig

from ich import config


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/evaluate.yaml."""

    output: Path
    run: str | None
    predictions: Path | None
    test: Path | None
    other: str | None
    resamples: Annotated[int, Ge(100)]
    seed: Annotated[int, Ge(0)]

    def __post_init__(self) -> None:
        if (self.run is None) == (self.predictions is None):
            raise ValueError("give run=runs:/ID, or predictions=FILE; one of the two")
        if self.run is not None and not self.run.startswith("runs:/"):
            raise ValueError("run= takes runs:/ID or runs:/latest; a table is given by predictions=FILE")
        if self.run is not None and self.test is not None:
            raise ValueError("test= goes with predictions=; a run brings its own test predictions")


def evaluate(cfg: DictConfig) -> None:
    """The metrics of a table of predictions with their intervals, on the screen and as files."""
    # Imported here, so that --help needs no numpy.
    from ich.config.signature import build
    from ich.report import evaluation

    columns = build(cfg.table)

    def levels_of(answers: evaluation.Answers) -> tuple[evaluation.Settings, list[evaluation.Level]]:
        settings = evaluation.Settings(prevalence=answers.prevalence, resamples=cfg.resamples, seed=cfg.seed)
        return settings, evaluation.evaluate(answers.val, settings, test=answers.test)

    answers = evaluation.read_answers(
        cfg.run or cfg.predictions, test=Path(cfg.test) if cfg.test else None, columns=columns
    )
    other = evaluation.read_answers(cfg.other, columns=columns) if cfg.other else None
    settings, levels = levels_of(answers)
    report = evaluation.Report(
        answers=answers,
        levels=levels,
        settings=settings,
        compared=evaluation.compare(levels, levels_of(other)[1]) if other else None,
        other=other.name if other else "",
    )
    page = evaluation.write(report, Path(cfg.output))
    evaluation.show(report)
    print(page)


if __name__ == "__main__":
    config.launch(evaluate, name="evaluate", keys=Keys)
