"""The same slices at shifts of HU, side by side: a scanner whose calibration drifts."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ich.findings import FINDINGS
from ich.report.evaluation.level import Level, Settings, floor_prevalence, reported
from ich.report.evaluation.sets import ALL, CaseSet, change, measure_sets, set_table
from ich.report.evaluation.table import Cases

SHIFT = "shift_hu"
UNSHIFTED = "0"


def by_shift(levels: Sequence[Level], shifted: Mapping[int, Cases], settings: Settings) -> list[CaseSet]:
    """`shifted` are the slices that an evaluation is about with their answers at each shift, 0 among them."""
    prevalence = floor_prevalence(reported(levels)[0].cases, settings, study=False)
    sets = {f"{shift:+d}" if shift else UNSHIFTED: shifted[shift] for shift in sorted(shifted)}
    return measure_sets(sets, prevalence=prevalence, settings=settings)


def shift_table(sets: Sequence[CaseSet]) -> pd.DataFrame:
    """A row a shift and label, with the change of the log loss from a shift of 0 and its interval."""
    table = set_table(sets, column=SHIFT).drop(columns="own_floor")
    unshifted = next(one for one in sets if one.name == UNSHIFTED)
    names = {ALL: "weighted_log_loss", **{label: f"log_loss/{label}" for label in FINDINGS}}
    changes = [change(one, unshifted, name) for one in sets for name in names.values()]
    columns = [f"log_loss_change{end}" for end in ("", "_low", "_high")]
    return table.join(pd.DataFrame(changes, columns=columns))
