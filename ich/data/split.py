"""Folds by patient: every patient in exactly one, every label about as frequent in each."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ich.data.pseudonym import AS_THEY_ARE, Pseudonyms
from ich.data.rows import read_rows, refuse_rows
from ich.errors import InputError
from ich.findings import FINDINGS

TEST = -1
"""The fold of patients that no fold trains on or validates with."""
DEALS = 10
"""Tried, of which the most even one is taken."""
STUDIES = 0.3
"""The weight of a label's positive studies beside that of its positive slices, which metrics count."""


class BadFolds(InputError):
    """Folds that would leak, or that leave a part empty."""


def assign_folds(
    images: pd.DataFrame, *, folds: int, test_share: float, seed: int, groups: Int64[np.ndarray, " n"] | None = None
) -> pd.DataFrame:
    """image_id, patient_id and fold (0 .. folds - 1, or TEST) of each image.

    `images` has image_id, study_id, patient_id and the six labels. Patients are dealt out by their slices, and by their
    positive slices and studies of each label, so that the squares of what a part has above or below its share add up to
    as little as can be. Patients with images of one of `groups` (a number an image, -1: none) are dealt together: what
    is the same stays on one side.
    """
    counts = _count(images)
    party = _parties(counts.index, images["patient_id"], groups)
    counts, patients = counts.groupby(party).sum(), counts.index
    if len(counts) < folds + (test_share > 0):
        raise BadFolds(f"{len(counts)} patients cannot fill {folds} folds; lower data.folds")
    parts = list(range(folds))
    shares = np.full(folds, (1 - test_share) / folds)
    if test_share > 0:
        parts, shares = [*parts, TEST], np.append(shares, test_share)
    dealt = _deal(counts.to_numpy(), shares, np.random.default_rng(seed))
    fold = pd.Series(np.array(parts)[dealt][party], index=patients)
    assigned = images[["image_id", "patient_id"]].reset_index(drop=True)
    return assigned.assign(fold=fold.loc[assigned["patient_id"]].to_numpy())


def _count(images: pd.DataFrame) -> pd.DataFrame:
    """Of each patient, the share of all slices, of each label's positive slices, and less weightily of its studies."""
    slices = images.groupby("patient_id")[list(FINDINGS)].sum().assign(slices=images.groupby("patient_id").size())
    studies = images.groupby(["patient_id", "study_id"])[list(FINDINGS)].max().groupby("patient_id").sum()
    shares = slices / slices.sum().clip(lower=1), STUDIES * studies / studies.sum().clip(lower=1)
    return pd.concat(shares, axis=1, keys=["slices", "studies"]).astype(np.float64)


def _parties(
    patients: pd.Index, owners: pd.Series, groups: Int64[np.ndarray, " n"] | None
) -> Int64[np.ndarray, " patients"]:
    """The number of each patient's party, counted in the order of their first patients: linked by groups."""
    owner = patients.get_indexer(pd.Index(owners))
    shared = np.flatnonzero(groups >= 0) if groups is not None else np.array([], np.int64)
    _, group = np.unique(groups[shared] if groups is not None else shared, return_inverse=True)
    count = len(patients) + (int(group.max()) + 1 if len(group) else 0)
    links = coo_array((np.ones(len(shared)), (owner[shared], len(patients) + group)), shape=(count, count))
    party = connected_components(links, directed=False)[1][: len(patients)]
    _, first, number = np.unique(party, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _deal(
    counts: Float64[np.ndarray, "patients features"], shares: Float64[np.ndarray, " parts"], random: np.random.Generator
) -> Int64[np.ndarray, " patients"]:
    """The part of each patient: of several deals the one whose parts are nearest to their shares."""
    deals = [_deal_once(counts, shares, random) for _ in range(DEALS)]
    wanted = shares[:, None] * counts.sum(axis=0)

    def uneven(dealt: Int64[np.ndarray, " patients"]) -> float:
        got = np.zeros_like(wanted)
        np.add.at(got, dealt, counts)
        return float((((got - wanted) / shares[:, None]) ** 2).sum())

    return min(deals, key=uneven)


def _deal_once(
    counts: Float64[np.ndarray, "patients features"], shares: Float64[np.ndarray, " parts"], random: np.random.Generator
) -> Int64[np.ndarray, " patients"]:
    """Large patients first, shuffled among those that are about as large, each to the part that it makes most even."""
    shuffled = random.permutation(len(counts))
    octave = np.floor(np.log2(counts.sum(axis=1)))[shuffled]
    above = -shares[:, None] * counts.sum(axis=0)
    dealt = np.full(len(counts), -1)
    empty = np.ones(len(shares), dtype=bool)
    for place, patient in enumerate(shuffled[np.argsort(-octave, kind="stable")]):
        count = counts[patient]
        worse = ((2 * above + count) * count).sum(axis=1) / shares**2  # what the sum of squares grows by
        if len(counts) - place <= empty.sum():
            worse[~empty] = np.inf
        part = int(np.argmin(worse))
        dealt[patient], empty[part] = part, False
        above[part] += count
    return dealt


def read_folds(path: Path, images: pd.DataFrame, *, pseudonyms: Pseudonyms = AS_THEY_ARE) -> pd.DataFrame:
    """A folds.csv (`image_id,patient_id,fold`) for these images; its other images are passed over.

    It may be a run's own, or call images as their files do.
    """
    table = read_rows(path, columns=["image_id", "patient_id", "fold"], refuse=BadFolds)
    ours = {*images["image_id"]}
    table["image_id"] = [pseudonyms.among(name, ours) if name else "" for name in table["image_id"]]
    for name in ("image_id", "patient_id"):
        refuse_rows(path, table[name] == "", table[name], "every row names an image and a patient", refuse=BadFolds)
    refuse_rows(path, table["image_id"].duplicated(), table["image_id"], "a line above has it, too", refuse=BadFolds)
    fold = pd.to_numeric(table["fold"], errors="coerce")
    why = f"a fold is a whole number from 0, or {TEST} for test patients"
    refuse_rows(path, ~((fold >= TEST) & (fold < 2**31) & (fold % 1 == 0)), table["fold"], why, refuse=BadFolds)
    table["fold"] = fold.astype(np.int64)
    _refuse_shared_patients(table, str(path))
    known = table.set_index("image_id")["fold"].reindex(images["image_id"])
    if known.isna().any():
        raise BadFolds(
            f"{path}: {known.index[known.isna()][0]} has no fold ({known.isna().sum()} images of the cohort have none)"
        )
    return images[["image_id", "patient_id"]].reset_index(drop=True).assign(fold=known.to_numpy(np.int64))


def check_folds(folds: pd.DataFrame, *, fold: int, groups: Int64[np.ndarray, " n"] | None = None) -> None:
    """Refuse what would leak, and an empty training or validation part.

    A patient in two folds (by the cohort's own patient ids) leaks, and so do images of one of `groups`.
    """
    _refuse_shared_patients(folds, "folds")
    if groups is not None:
        _refuse_shared_pixels(folds, groups)
    if not (folds["fold"] == fold).any():
        raise BadFolds(
            f"fold {fold} has no slice to validate with; there are folds {sorted(folds['fold'].unique().tolist())}"
        )
    if not ((folds["fold"] != fold) & (folds["fold"] != TEST)).any():
        raise BadFolds(f"no slice is left to train on beside fold {fold}")


def _refuse_shared_patients(table: pd.DataFrame, where: str) -> None:
    shared = table.groupby("patient_id")["fold"].nunique()
    shared = shared[shared > 1]
    if len(shared):
        rows = table[table["patient_id"] == shared.index[0]].drop_duplicates("fold")
        named = " and ".join(f"{row.image_id} in fold {row.fold}" for row in rows.head(2).itertuples())
        detail = f"patient {shared.index[0]} is in two folds ({named}; {len(shared)} such patients)"
        raise BadFolds(f"{where}: {detail}; a patient belongs in one")


def _refuse_shared_pixels(folds: pd.DataFrame, groups: Int64[np.ndarray, " n"]) -> None:
    shared = folds[groups >= 0].assign(group=groups[groups >= 0])
    split = shared[shared.groupby("group")["fold"].transform("nunique") > 1]
    if len(split):
        rows = split[split["group"] == split["group"].iloc[0]].drop_duplicates("fold")
        named = " and ".join(
            f"{row.image_id} of patient {row.patient_id} in fold {row.fold}" for row in rows.head(2).itertuples()
        )
        detail = f"{named} are the same pixels ({split['group'].nunique()} such groups)"
        way_out = "put these patients into one fold, or data.policies.duplicate=leave_out"
        raise BadFolds(f"folds: {detail}; {way_out}")
