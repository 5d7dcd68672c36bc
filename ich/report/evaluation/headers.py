"""By header group: whether a model tells hemorrhage, or the scanner on which it is frequent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ich.report.evaluation.level import STUDY, Level, Settings, floor_prevalence, reported
from ich.report.evaluation.sets import CaseSet, choose, measure_sets
from ich.report.evaluation.table import BadPredictions, read_columns, refuse
from ich.report.layouts import GROUP, HEADERS, IMAGE, HeadersAlone, common_groups, judge_alone

EVERYTHING = "all slices"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHeader:
    """`sets` are EVERYTHING, then the header groups, largest first; `alone` is what they tell without a model."""

    sets: list[CaseSet]
    alone: HeadersAlone


def read_headers(path: Path) -> pd.Series:
    """The header group of each image. Raises BadPredictions."""
    way_out = f"a table of header groups has the columns {IMAGE}, {GROUP}, as {HEADERS} of a run or of ich.explore"
    table = read_columns(path, [IMAGE, GROUP], way_out)
    for name in (IMAGE, GROUP):
        refuse(path, table[name], table[name] == "", "is empty; every row names an image and its header group")
    refuse(path, table[IMAGE], table[IMAGE].duplicated(), "stands a second time; a table has a row an image")
    groups: pd.Series = table.set_index(IMAGE)[GROUP]
    return groups


def by_header(levels: Sequence[Level], groups: pd.Series | None, settings: Settings) -> ByHeader | None:
    """The slices that an evaluation is about by the header group of each image; None where groups are not known.

    Raises BadPredictions where an image has none.
    """
    if groups is None:
        return None
    level = reported(levels)[0]
    if level.prefix.endswith(STUDY):
        raise BadPredictions("headers= tells of images, and these labels are of whole scans; leave it out")
    cases = level.cases
    missing = np.setdiff1d(cases.ids, groups.index.to_numpy(dtype=str))
    if len(missing):
        raise BadPredictions(
            f"{missing[0]} has no header group ({len(missing):,} of {len(cases):,} images); headers= takes the table "
            "of the same cohort, under the same pseudonyms"
        )
    of_cases = common_groups(groups.loc[cases.ids]).to_numpy(dtype=str)
    names = pd.Series(of_cases).value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    sets = {EVERYTHING: cases, **{name: choose(cases, of_cases == name) for name in names}}
    return ByHeader(
        sets=measure_sets(sets, prevalence=floor_prevalence(cases, settings, study=False), settings=settings),
        alone=judge_alone(of_cases, cases.patients, cases.positive),
    )
