"""Groups of headers, and how often each comes with hemorrhage: what a network must not learn."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from ich.data.cohort import Cohort
from ich.data.layout import name_layouts
from ich.findings import ANY, FINDINGS, WEIGHTS

MOST = 12
"""Groups told apart; rarer ones are one group together."""
OTHERS = "all others"
DEALS = 200
"""Of patients to groups at random."""
HEADERS = "headers.csv"
"""image_id,header_group: a row a slice."""
IMAGE, GROUP = "image_id", "header_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutGroups:
    """`groups`: slices, patients and rate of hemorrhage of each, largest first; `caption`: what they tell."""

    groups: pd.DataFrame
    caption: str


class Range(NamedTuple):
    """The middle 95% of what chance gives."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadersAlone:
    """What the rates of the groups score as the answer of each slice of theirs, and what groups by chance would.

    Of the same slices that the rates are of, and so a little too good; `by_chance` is so, too. `floor` is the score of
    one rate for all. AUC is of any, nan where all slices or none show hemorrhage.
    """

    log_loss: float
    auc: float
    floor: float
    log_loss_by_chance: Range
    auc_by_chance: Range

    @property
    def tells(self) -> bool:
        """Whether the groups tell more of the labels than groups by chance."""
        return self.log_loss < self.log_loss_by_chance.low or self.auc > self.auc_by_chance.high

    def __str__(self) -> str:
        chance, auc_chance = self.log_loss_by_chance, self.auc_by_chance
        said = (
            f"The rates of the groups alone, as the answer of each of their slices, score a weighted log loss of "
            f"{self.log_loss:.3f} (one rate for all: {self.floor:.3f}; patients dealt to the groups at random: "
            f"{chance.low:.3f} to {chance.high:.3f})"
        )
        if np.isnan(self.auc):
            return said
        return f"{said} and an AUC of {self.auc:.2f} for any (at random {auc_chance.low:.2f} to {auc_chance.high:.2f})"


def describe_layouts(cohort: Cohort, labels: pd.DataFrame) -> LayoutGroups:
    """The cohort's slices by bits stored, sign and intercept; `labels` in the cohort's order."""
    return group_layouts(name_layouts(cohort.table), cohort.table["patient_id"], labels)


def group_layouts(names: pd.Series, patients: pd.Series, labels: pd.DataFrame) -> LayoutGroups:
    """A row a slice in all three: the name of its header's group, its patient, its six labels."""
    table = pd.DataFrame(
        {
            "name": common_groups(names).to_numpy(),
            "patient": patients.to_numpy(),
            "any": labels["any"].to_numpy().astype(np.int64),
        }
    )
    groups = table.groupby("name").agg(slices=("any", "size"), patients=("patient", "nunique"), rate=("any", "mean"))
    groups = groups.sort_values(["slices", "rate"], ascending=False, kind="stable")
    positive = labels[list(FINDINGS)].to_numpy() == 1
    return LayoutGroups(groups=groups, caption=_say(groups, judge_alone(table["name"], table["patient"], positive)))


def common_groups(names: pd.Series) -> pd.Series:
    """The names of the most frequent groups; OTHERS for the rest."""
    common = names.value_counts().index[:MOST]
    return names.where(names.isin(common), OTHERS)


def judge_alone(
    names: pd.Series | np.ndarray, patients: pd.Series | Int64[np.ndarray, " n"], positive: Bool[np.ndarray, "n 6"]
) -> HeadersAlone:
    """A row a slice in all three. By chance: the slices that a patient has in a group go to another's group."""
    groups, patient = (np.unique(np.asarray(one), return_inverse=True)[1] for one in (names, patients))
    number = int(groups.max()) + 1
    _, first, block = np.unique(patient * number + groups, return_index=True, return_inverse=True)
    ones = np.column_stack([np.ones(len(positive)), positive])
    sums = np.column_stack([np.bincount(block, weights=column) for column in ones.T])
    own, random = groups[first], np.random.default_rng(0)
    dealt = [_score(random.permutation(own), sums, number) for _ in range(DEALS)]
    (log_loss, auc), (floor, _) = _score(own, sums, number), _score(np.zeros_like(own), sums, 1)
    ranges = [Range(*np.quantile(column, [0.025, 0.975]).tolist()) for column in np.transpose(dealt)]
    return HeadersAlone(log_loss=log_loss, auc=auc, floor=floor, log_loss_by_chance=ranges[0], auc_by_chance=ranges[1])


def write_headers(path: Path, images: pd.Series | pd.Index, groups: pd.Series) -> None:
    """HEADERS, which `python -m ich.evaluate` joins with predictions."""
    pd.DataFrame({IMAGE: images.to_numpy(), GROUP: groups.to_numpy()}).to_csv(path, index=False)


def _score(
    groups: Int64[np.ndarray, " blocks"], sums: Float64[np.ndarray, "blocks 7"], number: int
) -> tuple[float, float]:
    """Weighted log loss and AUC of any of answering blocks (slices, positives of six) with their groups' rates."""
    total = np.column_stack([np.bincount(groups, weights=column, minlength=number) for column in sums.T])
    slices, there = total[:, :1], total[:, 1:]
    rates = (there + 1) / (slices + 2)  # as ich.metric.prevalence
    losses = -(there * np.log(rates) + (slices - there) * np.log1p(-rates)).sum(axis=0) / slices.sum()
    levels, place = np.unique(rates[:, ANY], return_inverse=True)
    parts = (there[:, ANY], slices[:, 0] - there[:, ANY])
    hits, alarms = (np.bincount(place, weights=part, minlength=len(levels)) for part in parts)
    pairs = (hits * (np.cumsum(alarms) - 0.5 * alarms)).sum()  # a tie counts as half
    auc = pairs / (hits.sum() * alarms.sum()) if hits.sum() * alarms.sum() else np.nan
    return float(np.average(losses, weights=WEIGHTS)), float(auc)


def _say(groups: pd.DataFrame, alone: HeadersAlone) -> str:
    meaning = "How pixels are stored tells the scanner, and nothing of the patient."
    if len(groups) == 1 or np.isnan(alone.auc):
        return f"{meaning} Here it tells nothing of hemorrhage either: there is one group, or one label."
    low, high = groups["rate"].min(), groups["rate"].max()
    rates = f"the rate of hemorrhage runs from {low:.1%} to {high:.1%} over the groups"
    if not alone.tells:
        return f"{meaning} Though {rates}, that is no more than chance here. {alone}."
    return (
        f"{meaning} Yet {rates}, so the header leaks the label. {alone}. What lies outside of the round field, and the "
        "noise, show the group in the pixels, too: judge a model within the groups as well, and trust no score that "
        "such a rate would reach. Groups of few patients differ by chance alone."
    )
