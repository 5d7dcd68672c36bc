"""An evaluation as files, one page, and a table on the screen."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ich.report import charts
from ich.report.charts import Chart
from ich.report.evaluation import wording
from ich.report.evaluation.bootstrap import Row
from ich.report.evaluation.drawing import draw_charts, draw_shifts
from ich.report.evaluation.headers import ByHeader
from ich.report.evaluation.level import reported
from ich.report.evaluation.report import Report
from ich.report.evaluation.sets import CaseSet, set_table
from ich.report.evaluation.shifts import shift_table
from ich.report.evaluation.tables import comparison_table, reliability_table, threshold_table
from ich.report.layouts import GROUP
from ich.report.page import BadOutput, Page, Section, render

METRICS, COMPARISON, THRESHOLDS = "evaluation.json", "comparison.json", "thresholds.csv"


def write(report: Report, output: Path) -> Path:
    """evaluation.json, thresholds.csv, reliability.csv, figures, the page; tables of what else the report has.

    Equal predictions give equal bytes. Raises BadOutput.
    """
    drawn, tables = draw_charts(report), _tables(report)
    shifts = draw_shifts(report.by_shift) if report.by_shift else None
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write_json(report.metrics, output / METRICS)
        if report.compared is not None:
            _write_json({name: row for name, (_, _, row) in report.compared.items()}, output / COMPARISON)
        for name, table in tables.items():
            table.to_csv(output / name, index=False)
        for chart in [*drawn, *([shifts] if shifts else [])]:
            charts.save(chart.figure, output / chart.file)
        page = output / report.framing.page
        sections = _sections(report, tables[THRESHOLDS], drawn, shifts, output)
        page.write_text(render(_page(report, sections)), encoding="utf-8")
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
    if report.by_shift:
        console.print("under a shift of HU")
        console.print(_screen_table(wording.shift_rows(report.by_shift)))


def _screen_table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*rows[0], box=SIMPLE_HEAD)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _write_json(rows: Mapping[str, Row], path: Path) -> None:
    lines = [f" {json.dumps(name)}: {json.dumps(row, allow_nan=False)}" for name, row in rows.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _tables(report: Report) -> dict[str, pd.DataFrame]:
    """By the name of its file."""
    tables = {THRESHOLDS: threshold_table(report.levels), "reliability.csv": reliability_table(report.levels)}
    if report.compared is not None:
        tables["comparison.csv"] = comparison_table(report.compared)
    if report.by_header is not None:
        tables["header_groups.csv"] = set_table(report.by_header.sets, column=GROUP)
    if report.by_shift:
        tables["shifts.csv"] = shift_table(report.by_shift)
    return tables


def _page(report: Report, sections: Sequence[Section]) -> Page:
    settings = report.settings
    return Page(
        title=report.framing.title or f"What predictions are worth: {report.answers.name}",
        lead=report.framing.lead or LEAD,
        facts={
            **report.framing.facts,
            **wording.facts(report.answers, report.levels, resamples=settings.resamples, seed=settings.seed),
        },
        counts=wording.summary_rows(report.levels, report.metrics),
        sections=sections,
    )


def _sections(
    report: Report, thresholds: pd.DataFrame, drawn: Sequence[Chart], shifts: Chart | None, output: Path
) -> list[Section]:
    metrics = report.metrics
    shown = [(level, name, NOTES[name]) for level in reported(report.levels) for name in [wording.case_name(level)]]
    return [
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
        *([_header_section(report.by_header)] if report.by_header is not None else []),
        *([_shift_section(report.by_shift, shifts, output)] if shifts else []),
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


def _header_section(by_header: ByHeader) -> Section:
    return Section(
        title="By header group",
        rows=wording.header_rows(by_header),
        caption="How pixels are stored tells the scanner. The last but one column is what a group's own rates score as "
        "the answer of each of its slices: a model that has learned more than the scanner is better in groups of both. "
        f"{by_header.alone}. Every label is in header_groups.csv.",
    )


def _shift_section(sets: Sequence[CaseSet], chart: Chart, output: Path) -> Section:
    return Section(title=chart.title, picture=output / chart.file, rows=wording.shift_rows(sets), caption=chart.caption)
