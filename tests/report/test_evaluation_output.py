"""The page and the figures of an evaluation, and what they say where something is not defined."""

import json
from pathlib import Path

import numpy as np
import pytest

from ich.findings import FINDINGS
from ich.report import curves
from ich.report.evaluation import (
    Answers,
    Cases,
    Report,
    Settings,
    compare,
    drawing,
    evaluate,
    output,
    show,
    threshold_table,
    wording,
)
from tests.report.test_evaluation import make_cases, random_cases

FEW = Settings(resamples=50)


def make_report(cases: Cases, *, name: str = "val.csv", test: Cases | None = None) -> Report:
    levels = evaluate(cases, FEW, test=test)
    answers = Answers(name=name, where=name, val=cases, test=test)
    return Report(answers=answers, levels=levels, settings=FEW, compared=compare(levels, levels), other="other.csv")


@pytest.mark.parametrize("cases", [
    make_cases(np.zeros((1, 6)), np.zeros((1, 6)), np.zeros(1)),
    make_cases(np.eye(6)[:4], np.eye(6)[:4], np.arange(4)),
    make_cases(np.eye(6), np.full((6, 6), 0.2), np.zeros(6)),
])  # fmt: skip
def test_the_barest_tables_are_drawn_and_written(cases: Cases, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    report = make_report(cases)
    output.write(report, tmp_path)
    show(report)
    rows = json.loads((tmp_path / "evaluation.json").read_text())
    assert all(len(row) == 3 and row[0] is not None for row in rows.values())
    assert "nan" not in (tmp_path / "index.html").read_text().split("<section")[0]
    assert "nan" not in capsys.readouterr().out


def test_names_and_paths_are_text_on_the_page_and_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_report(random_cases(5), name="<script>alert(1)</script>[bold]")
    output.write(report, tmp_path)
    show(report)
    page = (tmp_path / "index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<script>alert(1)</script>[bold]" in capsys.readouterr().out


def test_every_number_of_the_summary_is_that_of_the_json(tmp_path: Path) -> None:
    report = make_report(random_cases(20), test=random_cases(15, seed=1, prefix="t"))
    rows = wording.summary_rows(report.levels, report.metrics)
    assert rows[0] == ("metric", "slices", "studies")
    names = {said: name for name, said in wording.SUMMARY.items()}
    for said, *cells in rows[1:]:
        for prefix, cell in zip(("test/", "test/study/"), cells, strict=True):
            value, low, high = report.metrics[f"{prefix}{names[said]}"]
            interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
            assert cell == f"{value:.3f}{interval}"


def test_every_row_is_on_the_page_and_the_summary_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_report(random_cases(12))
    output.write(report, tmp_path)
    show(report)
    page, screen = (tmp_path / "index.html").read_text(), capsys.readouterr().out
    summary, compared = (
        wording.summary_rows(report.levels, report.metrics),
        wording.comparison_rows(report.levels, report.compared or {}),
    )
    tables = [summary, compared]
    for level in report.levels:
        tables.append(wording.label_rows(level, report.metrics))
        tables.append(wording.point_rows(level, threshold_table(report.levels)))
    for row in (row for table in tables for row in table[1:]):
        cells = "".join(f'<td class="number">{cell}</td>' for cell in row[1:])
        assert f"<tr><th>{row[0]}</th>{cells}</tr>" in page
    for row in [*summary[1:], *compared[1:]]:
        assert all(cell in screen for cell in row[1:])


def test_a_comparison_is_said_of_the_test_patients_where_both_have_them() -> None:
    val, test = random_cases(10), random_cases(8, seed=1, prefix="t")
    with_test, without = evaluate(val, FEW, test=test), evaluate(val, FEW)
    for others, prefix in ((with_test, "test/"), (without, "val/")):
        compared = compare(with_test, others)
        rows = wording.comparison_rows(with_test, compared)
        value = compared[f"{prefix}weighted_log_loss"][0]
        assert rows[1] == ("slices: weighted log loss", f"{value:.3f}", f"{value:.3f}", "0.0000 [0.0000, 0.0000]")
        assert [row[0].partition(":")[0] for row in rows[1:]].count("studies") >= 11


@pytest.mark.parametrize(
    ("row", "said"), [(None, "–"), ((0.12345, None, None), "0.123"), ((0.5, 0.25, 1.0), "0.500 [0.250, 1.000]")]
)
def test_a_value_is_said_with_its_interval(row: tuple[float, float | None, float | None] | None, said: str) -> None:
    assert wording.say(row) == said


def test_a_drawn_curve_is_short_and_keeps_its_ends_and_its_shape() -> None:
    x = np.linspace(0, 1, 100_000)
    thin_x, thin_y = curves._thinned(x, x**0.1)
    assert len(thin_x) <= curves.POINTS
    assert (thin_x[0], thin_x[-1], thin_y[-1]) == (0, 1, 1)
    assert np.abs(np.interp(x, thin_x, thin_y) - x**0.1).max() < 0.01


def test_confusion_counts_kinds_called_and_nothing() -> None:
    """Two subdural slices: one called subdural and any, one nothing. One without hemorrhage, called any."""
    positive = np.zeros((3, 6))
    positive[:2, [4, 5]] = 1
    probabilities = np.full((3, 6), 0.1)
    probabilities[0, [4, 5]] = probabilities[2, 5] = 0.5
    cases = make_cases(positive, probabilities, np.arange(3))
    report = make_report(cases)
    figure = curves.confusion_chart(drawing._curves(report, report.levels[0]), 0.5)
    cells = [text.get_text() for text in figure.axes[0].texts]
    rows = np.array(cells).reshape(6, 7)
    assert rows[4].tolist() == ["0%\n0"] * 4 + ["50%\n1", "50%\n1", "50%\n1"]
    assert rows[5].tolist() == ["0%\n0"] * 5 + ["100%\n1", "0%\n0"]
    assert set(rows[:4].ravel()) == {"–"}
    bold = [(place // 7, place % 7) for place, text in enumerate(figure.axes[0].texts) if text.get_weight() == "bold"]
    assert bold == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 6)]


def test_every_panel_names_its_label_and_its_number() -> None:
    report = make_report(random_cases(20))
    charts = drawing.draw_charts(report)
    for chart in charts:
        if chart.file == "confusion.svg":
            continue
        assert [axes.get_title(loc="left") for axes in chart.figure.axes] == list(FINDINGS)
    value = report.metrics["val/auc/any"][0]
    assert f"slices {value:.3f} [" in charts[0].figure.axes[5].texts[0].get_text()
