"""Evaluate: python -m ich.evaluate run=runs:/ID output=out/evaluation"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le
from omegaconf import DictConfig

from ich import config
from ich.config.paths import Existing

if TYPE_CHECKING:
    from ich.report.evaluation import Answers, CaseSet, Level, Settings


TABLE = Existing(kind="file", way_out="give a table of predictions, such as predictions/val.csv of a run")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/evaluate.yaml."""

    output: Path
    run: str | None
    predictions: Annotated[Path, TABLE] | None
    test: Annotated[Path, TABLE] | None
    headers: Annotated[Path, Existing(kind="file", way_out="give headers.csv of ich.explore, or leave it out")] | None
    other: Annotated[str, replace(TABLE, besides="runs:/")] | None
    shifts: list[Annotated[int, Ge(-1000), Le(1000)]]
    device: Literal["auto", "cpu", "cuda", "mps"]
    resamples: Annotated[int, Ge(100)]
    seed: Annotated[int, Ge(0)]

    def __post_init__(self) -> None:
        if (self.run is None) == (self.predictions is None):
            raise ValueError("give run=runs:/ID, or predictions=FILE; one of the two")
        if self.run is not None and not self.run.startswith("runs:/"):
            raise ValueError("run= takes runs:/ID or runs:/latest; a table is given by predictions=FILE")
        if self.run is not None and self.test is not None:
            raise ValueError("test= goes with predictions=; a run brings its own test predictions")
        if self.run is not None and self.headers is not None:
            raise ValueError("headers= goes with predictions=; a run brings its own header groups")
        if self.run is None and self.shifts:
            raise ValueError("shifts= asks the network of a run: it goes with run=runs:/ID")


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
        cfg.run or cfg.predictions,
        test=Path(cfg.test) if cfg.test else None,
        headers=Path(cfg.headers) if cfg.headers else None,
        columns=columns,
    )
    other = evaluation.read_answers(cfg.other, columns=columns) if cfg.other else None
    settings, levels = levels_of(answers)
    report = evaluation.Report(
        answers=answers,
        levels=levels,
        settings=settings,
        by_header=evaluation.by_header(levels, answers.headers, settings),
        by_shift=shifted(answers, levels, settings, cfg) if cfg.shifts else (),
        compared=evaluation.compare(levels, levels_of(other)[1]) if other else None,
        other=other.name if other else "",
    )
    page = evaluation.write(report, Path(cfg.output))
    evaluation.show(report)
    print(page)


def shifted(answers: "Answers", levels: "list[Level]", settings: "Settings", cfg: DictConfig) -> "Sequence[CaseSet]":
    """What the run's network says at each shift of HU, and at none."""
    from ich.report import evaluation
    from ich.report.shifts import predict_shifted
    from ich.report.tracking import resolve_checkpoint

    cases = evaluation.reported(levels)[0].cases
    shifts = sorted({0, *cfg.shifts})
    found = predict_shifted(
        resolve_checkpoint(answers.where), cases, shifts, test=answers.test is not None, device=cfg.device
    )
    return evaluation.by_shift(levels, found, settings)


if __name__ == "__main__":
    config.launch(evaluate, name="evaluate", keys=Keys)
