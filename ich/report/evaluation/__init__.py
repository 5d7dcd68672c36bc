"""From predictions to what they are worth. An import points only to an earlier line of this map:

columns      which columns hold what
table        predictions as cases: slices, studies
answers      predictions of a run or of files, with what belongs to them
bootstrap    intervals by resampling patients
reliability  rates in bins of probability
ranking      AUC and average precision of many resamples, exact
families     every metric as a function of patients' weights
points       operating points
level        an evaluation: slices and studies, validation and test
tables       metrics, operating points, reliability, comparisons
wording      the same for people
output       files, a page, the screen
"""

from ich.report.evaluation.answers import Answers, read_answers, read_prevalence
from ich.report.evaluation.level import Level, Settings, evaluate
from ich.report.evaluation.output import Framing, Report, show, write
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
    "Cases",
    "Framing",
    "Level",
    "Report",
    "Settings",
    "compare",
    "comparison_table",
    "evaluate",
    "metric_rows",
    "read_answers",
    "read_predictions",
    "read_prevalence",
    "reliability_table",
    "show",
    "threshold_table",
    "write",
]
