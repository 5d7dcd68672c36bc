"""A run's calibration: fitted to its validation predictions, kept in its best checkpoint, told beside raw scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from ich import metric
from ich.calibration import Calibration, fit_calibration, raise_any
from ich.data.store.shard import whole
from ich.findings import FINDINGS
from ich.predictor import load_checkpoint
from ich.report import charts, curves
from ich.report.evaluation import Cases, Settings, read_predictions, wording
from ich.report.evaluation.bootstrap import Row, measure, row_of
from ich.report.evaluation.families import calibration_errors, losses
from ich.report.evaluation.level import floor_prevalence
from ich.report.evaluation.reliability import describe_reliability
from ich.report.page import Section

CALIBRATED = "calibrated/"
"""Stands in the name of a metric of calibrated probabilities: val/calibrated/brier."""
TOLD = ("weighted_log_loss", "log_loss", "brier", "expected_calibration_error")
SUMMARY = ("weighted_log_loss", "floor", "brier", "expected_calibration_error")
NUMBERS, CHART = "calibration.json", "reliability_calibrated.svg"
PARTS = {"val": "validation", "test": "test"}


def calibrate(checkpoint: Path, predictions: Path) -> Calibration:
    """Fit to a table of predictions of held-out slices, and write the fit into the checkpoint that made them."""
    cases = read_predictions(predictions)
    calibration = fit_calibration(cases.positive, cases.probabilities, patients=len(cases.names))
    state = load_checkpoint(checkpoint) | {"calibration": calibration.plain()}
    with whole(checkpoint) as file:
        torch.save(state, file)
    return calibration


def calibrated(cases: Cases, calibration: Calibration) -> tuple[Cases, int]:
    """The cases with what `predict.py` says of them, and how often `any` had to be raised for it."""
    probabilities, raised = raise_any(calibration.apply(cases.probabilities))
    return replace(cases, probabilities=probabilities), raised


def calibrated_scores(predictions: Path, part: str, calibration: Calibration) -> dict[str, float]:
    """TOLD and `any_raised` of a table of a run's predictions, as `val/calibrated/brier/any`."""
    cases, raised = calibrated(read_predictions(predictions), calibration)
    told = {name: value for name, value in _scores(cases).items() if name.partition("/")[0] in TOLD}
    return {f"{part}/{CALIBRATED}{name}": value for name, value in (told | {"any_raised": raised}).items()}


def _scores(cases: Cases, prevalence: Float64[np.ndarray, " 6"] | None = None) -> dict[str, float]:
    errors = calibration_errors(cases)(np.ones((1, len(cases.names))))
    scores = metric.score(cases.positive, cases.probabilities, prevalence=prevalence)
    return scores | {name: float(value[0]) for name, value in errors.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Validation or test slices: what the network says of them, and what its calibration makes of that."""

    name: str
    raw: Cases
    calibrated: Cases
    below: int
    raised: int
    rows: Mapping[str, Mapping[str, Row]]

    @classmethod
    def of(cls, name: str, cases: Cases, calibration: Calibration, settings: Settings) -> "Part":
        """`below` and `raised`: slices whose `any` was below a kind before and after the calibration."""
        after, raised = calibrated(cases, calibration)
        _, below = raise_any(cases.probabilities)
        rows = {"raw": _rows(cases, settings), "calibrated": _rows(after, settings)}
        return cls(name=name, raw=cases, calibrated=after, below=below, raised=raised, rows=rows)


def _rows(cases: Cases, settings: Settings) -> dict[str, Row]:
    """The metrics of this page with their intervals."""
    prevalence = floor_prevalence(cases, settings, study=False)
    families = [losses(cases, prevalence), calibration_errors(cases)]
    measured = measure(families, cases, resamples=settings.resamples, seed=settings.seed)
    values = _scores(cases, prevalence)
    return {name: row_of(values[name], measured.interval(name)) for name in measured.values}


def calibration_sections(
    calibration: Calibration, parts: Mapping[str, Cases], settings: Settings, output: Path
) -> list[Section]:
    """What a calibration brings to each part (`val`, `test`): two tables and a figure; calibration.json in `output`."""
    known = [Part.of(name, cases, calibration, settings) for name, cases in parts.items()]
    shown = known[-1]
    _write_numbers(output / NUMBERS, calibration, known)
    _draw(output / CHART, shown, settings)
    on = PARTS[shown.name]
    return [
        Section(title="Calibration", rows=_summary_rows(known), caption=_caption(calibration, known)),
        Section(
            title=f"Calibration by label: {on} slices",
            picture=output / CHART,
            rows=_label_rows(shown, calibration),
            caption=f"Reliability of calibrated probabilities of {on} slices; further below that of the network's own. "
            "Probability = sigmoid(logit / temperature + bias): a temperature above 1 says that the network was too "
            "sure, a bias below 0 that it said the finding too often.",
        ),
    ]


def _summary_rows(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    header = ("metric", *(f"{PARTS[part.name]}: {said}" for part in parts for said in ("network", "calibrated")))
    rows = [
        (
            wording.SUMMARY[name],
            *(wording.say(each.get(name), apart="\n") for part in parts for each in part.rows.values()),
        )
        for name in SUMMARY
    ]
    counts = [f"{count:,} of {len(part.raw):,}" for part in parts for count in (part.below, part.raised)]
    return [header, *rows, ("any below its largest kind", *counts)]


def _label_rows(part: Part, calibration: Calibration) -> list[tuple[str, ...]]:
    names = {"log_loss": "log loss", "expected_calibration_error": "calibration error"}
    header = (
        "label",
        "temperature",
        "bias",
        *(f"{said}: {how}" for said in names.values() for how in ("network", "calibrated")),
    )
    rows = [
        (
            label,
            f"{temperature:.3f}",
            f"{bias:+.3f}",
            *(wording.say(each.get(f"{name}/{label}"), apart="\n") for name in names for each in part.rows.values()),
        )
        for label, temperature, bias in zip(FINDINGS, calibration.temperature, calibration.bias, strict=True)
    ]
    return [header, *rows]


def _caption(calibration: Calibration, parts: Sequence[Part]) -> str:
    left = f" Left as they are: {', '.join(calibration.left_alone)}." if calibration.left_alone else ""
    honest = " those of test slices are not." if len(parts) > 1 else " data.test_share sets patients aside for others."
    return (
        "predict.py and the served model answer calibrated probabilities, and raise any to its largest kind where it "
        "is below; all other figures of this page are the network's own. A temperature and a bias of each label were "
        f"fitted to the validation slices, so the calibrated figures of those are optimistic;{honest}{left}"
    )


def _draw(path: Path, part: Part, settings: Settings) -> None:
    rows = part.rows["calibrated"]
    notes = [f"error {wording.say(rows.get(f'expected_calibration_error/{label}'))}" for label in FINDINGS]
    table = describe_reliability(part.calibrated, resamples=settings.resamples, seed=settings.seed)
    charts.save(curves.reliability_chart(table, notes), path)


def _write_numbers(path: Path, calibration: Calibration, parts: Sequence[Part]) -> None:
    told = calibration.plain() | {
        "any_below": {part.name: part.below for part in parts},
        "any_raised": {part.name: part.raised for part in parts},
        "metrics": {
            f"{part.name}/{CALIBRATED}{name}": row for part in parts for name, row in part.rows["calibrated"].items()
        },
    }
    path.write_text(f"{json.dumps(told, indent=1)}\n", encoding="utf-8")
