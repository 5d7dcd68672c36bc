"""The figures of an evaluation, each with its title and what it says."""

from collections.abc import Sequence

import numpy as np

from ich import metric
from ich.findings import FINDINGS
from ich.report import curves
from ich.report.charts import Chart
from ich.report.evaluation import wording
from ich.report.evaluation.bootstrap import Row
from ich.report.evaluation.level import Level, reported
from ich.report.evaluation.report import Report
from ich.report.evaluation.sets import ALL, CaseSet, set_row
from ich.report.evaluation.tables import FIXED


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


def draw_shifts(sets: Sequence[CaseSet]) -> Chart:
    """Log loss and AUC at each shift."""
    return Chart(
        file="shifts.svg",
        title="Under a shift of HU",
        caption="All HU of a slice moved by so much before the windows, as on a scanner that drifts: weighted log loss "
        "and AUC of any, with their 95% intervals. Dotted: the floor, and 0.5, which is chance. Below it in numbers; "
        "the change is that from a shift of 0 on the same resamples of patients. shifts.csv has every label.",
        figure=curves.shifts_chart(
            [int(one.name) for one in sets],
            [set_row(one, "weighted_log_loss") for one in sets],
            [set_row(one, "auc/any") for one in sets],
            floor=sets[0].floors[ALL],
        ),
    )


def draw_charts(report: Report) -> list[Chart]:
    """The figures of the page, in its order."""
    levels = reported(report.levels)
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
