"""An evaluation as files, one page, and a table on the screen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ich import metric
from ich.findings import FINDINGS
from ich.report import charts, curves
from ich.report.evaluation import wording
from ich.report.evaluation.answers import Answers
from ich.report.evaluation.level import Level, Settings
from ich.report.evaluation.tables import (
    FIXED,
    Row,
    comparison_table,
    metric_rows,
    reliability_table,
    threshold_table,
)
from ich.report.page import BadOutput, Page, Section, render

PAGE, METRICS, COMPARISON = "index.html", "evaluation.json", "comparison.json"
Compared = Mapping[str, tuple[float, float, Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What stands round an evaluation on its page: of a run, its setting and its pictures."""

    title: str = ""
    lead: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    page: str = PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is written and shown: the levels with what they were made from, and a comparison where one was asked for."""

    answers: Answers
    levels: Sequence[Level]
    settings: Settings
    compared: Compared | None = None
    other: str = ""
    framing: Framing = field(default_factory=Framing)

    @property
    def metrics(self) -> dict[str, Row]:
        return metric_rows(self.levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure with its file's name, its title and what it says."""

    file: str
    title: str
    caption: str
    figure: Figure


def write(report: Report, output: Path) -> Path:
    """evaluation.json, thresholds.csv, reliability.csv, figures, the page; comparison.json and comparison.csv.

    Equal predictions give equal bytes. Raises BadOutput.
    """
    drawn = draw_charts(report)
    thresholds = threshold_table(report.levels)
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write_json(report.metrics, output / METRICS)
        thresholds.to_csv(output / "thresholds.csv", index=False)
        reliability_table(report.levels).to_csv(output / "reliability.csv", index=False)
        if report.compared is not None:
            _write_json({name: row for name, (_, _, row) in report.compared.items()}, output / COMPARISON)
            comparison_table(report.compared).to_csv(output / "comparison.csv", index=False)
        for chart in drawn:
            charts.save(chart.figure, output / chart.file)
        page = output / report.framing.page
        page.write_text(render(_page(report, thresholds, drawn, output)), encoding="utf-8")
    except OSError as error:
        raise BadOutput(f"{output}: cannot be written: {error.strerror}; output= takes a folder") from error
    return page


def show(report: Report) -> None:
    """The first metrics on the screen, and the comparison."""
    console = Console()
    told = wording.facts(report.answers, report.levels, resamples=report.settings.resamples, seed=report.settings.seed)
    console.print(f"\n{report.answers.name}", highlight=False, markup=False)
    for name, said in told.items():
        console.print(f"  {name}: {said}", highlight=False, markup=False, soft_wrap=True)
    console.print(_screen_table(wording.summary_rows(report.levels, report.metrics)))
    if report.compared is not None:
        console.print(f"compared with {report.other}", highlight=False, markup=False)
        console.print(_screen_table(wording.comparison_rows(report.levels, report.compared)))


def _screen_table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*rows[0], box=SIMPLE_HEAD)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _write_json(rows: Mapping[str, Row], path: Path) -> None:
    lines = [f" {json.dumps(name)}: {json.dumps(row, allow_nan=False)}" for name, row in rows.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _curves(report: Report, level: Level) -> curves.Curves:
    metrics = report.metrics
    notes = {
        name: [_said(metrics.get(f"{level.prefix}{name}/{label}")) for label in FINDINGS]
        for name in ("auc", "average_precision")
    }
    return curves.Curves(
        name=wording.case_name(level),
        positive=level.cases.positive,
        probabilities=level.cases.probabilities,
        thresholds={FIXED: np.full(len(FINDINGS), metric.THRESHOLD), **level.points},
        notes=notes,
    )


def _said(row: Row | None) -> str:
    return wording.say(row) if row else "not defined: one class"


def draw_charts(report: Report) -> list[Chart]:
    """The figures of the page, in its order."""
    levels = wording.reported(report.levels)
    shown, first = [_curves(report, level) for level in levels], levels[0]
    cases = wording.case_name(first)
    errors = [
        f"error {wording.say(report.metrics.get(f'{first.prefix}expected_calibration_error/{label}'))}"
        for label in FINDINGS
    ]
    return [
        Chart(
            file="roc.svg",
            title="ROC curves",
            caption=f"Sensitivity over 1 - specificity, of {' and of '.join(one.name for one in shown)}, with the area "
            f"under each curve and its 95% interval. Dotted: chance. The marks are operating points of {cases}.",
            figure=curves.roc_chart(shown),
        ),
        Chart(
            file="precision_recall.svg",
            title="Precision and recall",
            caption=f"The number is average precision with its 95% interval. Dotted: the share of {cases} with the "
            "finding, which is the precision of a guess; it differs by label, so these curves compare models, not "
            "labels.",
            figure=curves.precision_recall_chart(shown),
        ),
        Chart(
            file="reliability.svg",
            title="Reliability",
            caption=f"Of the {cases} with a probability in each tenth: how many show the finding, with its interval "
            "(hollow: too few patients for one). On the dotted line, probabilities are rates. The error is the mean "
            f"distance from it, weighted by {cases}; most lie in the first tenth.",
            figure=curves.reliability_chart(first.reliability, errors),
        ),
        Chart(
            file="scores.svg",
            title="Score distributions",
            caption="By probability, on a scale of tens: filled with the finding, outlined without. Dotted: 0.5.",
            figure=curves.scores_chart(shown[0]),
        ),
        Chart(
            file="confusion.svg",
            title="Confusion by kind",
            caption=f"Of the {cases} that show a kind (row, with their number), how many are called each kind, any, or "
            "nothing from 0.5 on (column). One may show several kinds and be called several, so a row adds up to more "
            "than 100%.",
            figure=curves.confusion_chart(shown[0], metric.THRESHOLD),
        ),
    ]


def _page(report: Report, thresholds: pd.DataFrame, drawn: Sequence[Chart], output: Path) -> Page:
    metrics, levels = report.metrics, wording.reported(report.levels)
    shown = [(level, name, NOTES[name]) for level in levels for name in [wording.case_name(level)]]
    sections = [
        *report.framing.sections,
        *([_comparison_section(report)] if report.compared is not None else []),
        *(
            Section(
                title=f"By label: {name}",
                rows=wording.label_rows(level, metrics),
                caption=f"Under each value its 95% interval. {note}",
            )
            for level, name, note in shown
        ),
        *(Section(title=one.title, picture=output / one.file, caption=one.caption) for one in drawn),
        *(
            Section(
                title=f"Operating points: {name}",
                rows=wording.point_rows(level, thresholds),
                caption=f"A finding is called from its threshold on. Fitted on {level.fitted_on}. {note}",
            )
            for level, name, note in shown
        ),
    ]
    return Page(
        title=report.framing.title or f"What predictions are worth: {report.answers.name}",
        lead=report.framing.lead or LEAD,
        facts={
            **report.framing.facts,
            **wording.facts(
                report.answers, report.levels, resamples=report.settings.resamples, seed=report.settings.seed
            ),
        },
        counts=wording.summary_rows(report.levels, metrics),
        sections=sections,
    )


LEAD = (
    "Lower is better for log loss, Brier score and calibration error, higher for all else. Every metric of slices and "
    "studies with its interval is in evaluation.json, named as in the run. A dash: not defined, such as the AUC of a "
    "label that no slice shows. Without brackets: no interval, because patients are too few, or because all are "
    "answered alike.",
)
NOTES = {
    "slices": "A dash: one class only.",
    "studies": "A study shows what one of its slices shows; its probability is the largest of its slices'.",
}


def _comparison_section(report: Report) -> Section:
    assert report.compared is not None
    return Section(
        title="Compared",
        rows=wording.comparison_rows(report.levels, report.compared),
        caption=f"With {report.other}. Both are resampled with the same patients, so an interval that does not hold 0 "
        "is a difference that patients alone do not explain. All metrics are in comparison.csv.",
    )
