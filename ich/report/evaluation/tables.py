"""An evaluation as tables: metrics with intervals, operating points, and two tables of predictions compared."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ich import metric
from ich.findings import FINDINGS
from ich.report.evaluation.bootstrap import Interval, percentiles
from ich.report.evaluation.families import AT_A_POINT
from ich.report.evaluation.level import Level
from ich.report.evaluation.table import BadPredictions

Row = tuple[float, float | None, float | None]
"""A value with its interval; without one where patients are too few."""
FIXED = "fixed"
"""The operating point that nothing was fitted for: THRESHOLD for every label."""


def metric_rows(levels: Sequence[Level]) -> dict[str, Row]:
    """Every metric of every level by its full name (`val/auc/any`, `val/study/auc/any`); the undefined have none."""
    return {
        f"{level.prefix}{name}": row_of(value, level.measured.interval(name))
        for level in levels
        for name, value in level.measured.values.items()
    }


def threshold_table(levels: Sequence[Level]) -> pd.DataFrame:
    """A row a level, operating point and label: its threshold, what it finds, and the intervals of that."""
    rows = [
        _threshold_row(level, point, thresholds, place)
        for level in levels
        for point, thresholds in ({FIXED: np.full(len(FINDINGS), metric.THRESHOLD)} | dict(level.points)).items()
        for place in range(len(FINDINGS))
    ]
    return pd.DataFrame(rows)


def reliability_table(levels: Sequence[Level]) -> pd.DataFrame:
    """A row a level, label and bin of probability."""
    tables = [level.reliability.assign(level=level.prefix.rstrip("/")) for level in levels]
    table = pd.concat(tables, ignore_index=True)
    return table[["level", *table.columns.drop("level")]]


def compare(ours: Sequence[Level], others: Sequence[Level]) -> dict[str, tuple[float, float, Row]]:
    """Of each metric that both define: the first table's value, the other's, and their difference with its interval.

    Both are resampled with the same patients, so what is hard for both cancels. Raises BadPredictions where the two
    are not of the same cases. Of test patients that only one of them has, nothing is said.
    """
    rows: dict[str, tuple[float, float, Row]] = {}
    parts = {level.prefix: level for level in others}
    for one in ours:
        if one.prefix not in parts:
            continue
        other = parts[one.prefix]
        _refuse_others(one, other)
        for name, value in one.measured.values.items():
            if name in other.measured.values:
                theirs = other.measured.values[name]
                apart = one.measured.resamples[name] - other.measured.resamples[name]
                interval = percentiles(apart, patients=one.measured.count(name))
                rows[f"{one.prefix}{name}"] = value, theirs, row_of(value - theirs, interval)
    return rows


def comparison_table(rows: Mapping[str, tuple[float, float, Row]]) -> pd.DataFrame:
    """metric, this, other, difference, low, high."""
    return pd.DataFrame(
        [(name, this, other, *row) for name, (this, other, row) in rows.items()],
        columns=["metric", "this", "other", "difference", "low", "high"],
    )


def _refuse_others(one: Level, other: Level) -> None:
    ours, theirs = one.cases, other.cases
    alone = np.setxor1d(ours.ids, theirs.ids)
    if len(alone):
        where = "first" if alone[0] in ours.ids else "other"
        raise BadPredictions(
            f"{alone[0]} is in the {where} table only ({len(alone):,} images stand in one of the two); only "
            "predictions of the same images can be compared, such as two runs of one data.fold"
        )
    same = {
        "label": (ours.positive == theirs.positive).all(axis=1),
        "patient": ours.names[ours.patients] == theirs.names[theirs.patients],
        "study": ours.studies == theirs.studies,
    }
    for what, equal in same.items():
        if not equal.all():
            first = ours.ids[np.flatnonzero(~equal)[0]]
            raise BadPredictions(
                f"{first} has another {what} in the other table ({np.count_nonzero(~equal):,} such images); both "
                "tables must say the same of everything but the probabilities"
            )


def _threshold_row(level: Level, point: str, thresholds: np.ndarray, place: int) -> dict[str, object]:
    label, threshold = FINDINGS[place], float(thresholds[place])
    measured, cases = level.measured, level.cases
    row: dict[str, object] = {
        "level": level.prefix.rstrip("/"),
        "point": point,
        "label": label,
        "threshold": threshold,
        "fitted_on": level.fitted_on if point != FIXED else "nothing",
        "cases": len(cases),
        "positives": int(cases.positive[:, place].sum()),
        "predicted_positives": int((cases.probabilities[:, place] >= threshold).sum()),
    }
    for name in AT_A_POINT:
        full = f"{name}/{label}" if point == FIXED else f"{point}/{name}/{label}"
        interval = measured.interval(full) if full in measured.values else None
        row |= {
            name: measured.values.get(full, np.nan),
            f"{name}_low": interval.low if interval else np.nan,
            f"{name}_high": interval.high if interval else np.nan,
        }
    return row


def row_of(value: float, interval: Interval | None) -> Row:
    """A value with what its interval is, if there is one."""
    return (value, interval.low, interval.high) if interval else (value, None, None)
