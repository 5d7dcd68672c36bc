"""Groups of headers, and how often each comes with hemorrhage: what a network must not learn."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ich.data.cohort import Cohort
from ich.data.layout import name_layouts

MOST = 12
"""Groups shown; rarer ones are one group together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutGroups:
    """`groups`: slices, patients and rate of hemorrhage of each, largest first; `caption`: what they tell."""

    groups: pd.DataFrame
    caption: str


def describe_layouts(cohort: Cohort, labels: pd.DataFrame) -> LayoutGroups:
    """The cohort's slices by bits stored, sign and intercept; `labels` in the cohort's order."""
    return group_layouts(name_layouts(cohort.table), cohort.table["patient_id"], labels["any"])


def group_layouts(names: pd.Series, patients: pd.Series, positive: pd.Series) -> LayoutGroups:
    """A row a slice in all three: the name of its header's group, its patient, and whether it shows hemorrhage."""
    common = names.value_counts().index[:MOST]
    kept = names.where(names.isin(common), "all others")
    table = pd.DataFrame(
        {"name": kept.to_numpy(), "patient": patients.to_numpy(), "any": positive.to_numpy().astype(np.int64)}
    )
    groups = table.groupby("name").agg(slices=("any", "size"), patients=("patient", "nunique"), rate=("any", "mean"))
    groups = groups.sort_values(["slices", "rate"], ascending=False, kind="stable")
    return LayoutGroups(groups=groups, caption=_say(table, groups))


def _say(table: pd.DataFrame, groups: pd.DataFrame) -> str:
    meaning = "How pixels are stored tells the scanner, and nothing of the patient."
    if len(groups) == 1 or table["any"].nunique() == 1:
        return f"{meaning} Here it tells nothing of hemorrhage either: there is one group, or one label."
    auc = roc_auc_score(table["any"], table["name"].map(groups["rate"]))
    low, high = groups["rate"].min(), groups["rate"].max()
    return (
        f"{meaning} Yet the rate of hemorrhage runs from {low:.1%} to {high:.1%} over the groups, so the header leaks "
        f"the label: the group's rate alone, of these same slices, has an AUC of {auc:.2f} for any (0.5 is chance). "
        "What lies outside of the round field, and the noise, show the group in the pixels, too: judge a model within "
        "the groups as well, and trust no score that such a rate would reach. Groups of few patients differ by chance "
        "alone."
    )
