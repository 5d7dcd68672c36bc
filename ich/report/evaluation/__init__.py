"""From predictions to what they are worth. An import points only to an earlier line of this map:

columns      which columns hold what
table        predictions as cases: slices, studies
bootstrap    intervals by resampling patients
reliability  rates in bins of probability
ranking      AUC and average precision of many resamples, exact
families     every metric as a function of patients' weights
points       operating points
level        an evaluation: slices and studies, validation and test
sets         sets of cases side by side
headers      by header group
shifts       the same slices at shifts of HU
answers      predictions of a run or of files, with what belongs to them
tables       metrics, operating points, reliability, comparisons
wording      the same for people
report       all of it
drawing      its figures
output       files, a page, the screen
"""

from ich.report.evaluation.answers import Answers, read_answers, read_prevalence
from ich.report.evaluation.headers import ByHeader, by_header, read_headers
from ich.report.evaluation.level import Level, Settings, evaluate, reported
from ich.report.evaluation.output import show, write
from ich.report.evaluation.report import Framing, Report
from ich.report.evaluation.sets import CaseSet
from ich.report.evaluation.shifts import by_shift
from ich.report.evaluation.table import BadPredictions, Cases, read_predictions
from ich.report.evaluation.tables import (
    compare,
    comparison_table,
    metric_rows,
    reliability_table,
    threshold_table,
)

__all__ = [
    "Answers",
    "BadPredictions",
    "ByHeader",
    "CaseSet",
    "Cases",
    "Framing",
    "Level",
    "Report",
    "Settings",
    "by_header",
    "by_shift",
    "compare",
    "comparison_table",
    "evaluate",
    "metric_rows",
    "read_answers",
    "read_headers",
    "read_predictions",
    "read_prevalence",
    "reliability_table",
    "reported",
    "show",
    "threshold_table",
    "write",
]
