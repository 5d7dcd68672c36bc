"""What is wrong with slices and labels: found, counted, and dealt with as the configuration says."""

from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from ich.ct.dicom import BLANK_HU, HU_MAX, HU_MIN
from ich.data.cohort import Cohort
from ich.data.store import Store
from ich.errors import InputError
from ich.findings import FINDINGS

SQUARE = 1e-3
"""Relative difference of the two spacings from which pixels are no squares."""
REFUSED = {"truncated": "cut", "bad_spacing": "no_spacing", "no_label": "no_label"}
"""Reasons for which a file has no slice, and the fault that they are; any other reason is a fault of its own."""
COLUMNS = ["fault", "image_id", "patient_id", "file", "detail"]


class BadFaults(InputError):
    """Faults that the configuration does not tolerate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What is done about each fault: mended, kept, left out of training, or a reason to stop (fail).

    Of tied and of duplicate slices the first stays when the others are left out, of conflicting ones none.
    """

    wrapped: Literal["mend", "leave_out", "fail"] = "mend"  # signed HU in 12 bits without a sign
    padded: Literal["mend", "leave_out", "fail"] = "mend"  # below -1024 HU, outside of the round field
    metal: Literal["keep", "leave_out", "fail"] = "keep"  # above 3071 HU, clipped there
    not_square: Literal["mend", "leave_out", "fail"] = "mend"  # each axis has a scale of its own
    tied: Literal["keep", "leave_out", "fail"] = "keep"  # a slice of the same series at the same position
    duplicate: Literal["keep", "leave_out", "fail"] = "keep"  # the same pixels under several patients, in one fold
    conflict: Literal["keep", "leave_out", "fail"] = "keep"  # duplicates with different labels
    cut: Literal["leave_out", "fail"] = "leave_out"  # fewer pixels than rows times columns
    no_spacing: Literal["leave_out", "fail"] = "leave_out"  # kept where the geometry does without
    no_label: Literal["leave_out", "fail"] = "leave_out"  # an image of which the table says nothing
    no_image: Literal["keep", "fail"] = "keep"  # a label without an image

    def apply(self, found: pd.DataFrame, store: Store) -> tuple[Store, pd.DataFrame]:
        """The slices that stay, and file, reason, detail of those left out. Raises BadFaults."""
        failed = found[found["fault"].map(self.of) == "fail"]
        if len(failed):
            lines = [
                f"{fault}: {len(some)}, such as {some['file'].iloc[0] or some['image_id'].iloc[0]}"
                for fault, some in failed.groupby("fault", sort=False)
            ]
            raise BadFaults(f"{'; '.join(lines)}; data.policies says fail: mend the data, or choose another policy")
        out = found[(found["row"] >= 0) & (found["fault"].map(self.of) == "leave_out")]
        out = out[~(out["fault"].isin(["tied", "duplicate"]) & out["first"])].drop_duplicates("row")
        if not len(out):
            return store, pd.DataFrame(columns=["file", "reason", "detail"])
        stays = np.setdiff1d(np.arange(len(store)), out["row"].to_numpy(np.int64))
        return store.choose(stays), out.rename(columns={"fault": "reason"})[["file", "reason", "detail"]]

    def of(self, fault: str) -> str:
        """The policy of a fault; a file without a slice can only be left out."""
        return str(getattr(self, fault)) if fault in NAMES else "leave_out"


NAMES = tuple(one.name for one in fields(Policies))


def find_faults(cohort: Cohort, store: Store, labels: pd.DataFrame) -> pd.DataFrame:
    """A row a fault of a slice: COLUMNS, `row` of the store (-1: it has none) and `first` (of its ties or duplicates).

    `store` is the whole store of the cohort.
    """
    known = store.columns([
        "image_id", "series_id", "study_id", "patient_id", "file", "position_mm", "spacing_row_mm", "spacing_column_mm",
        "rows", "columns", "lowest_hu", "highest_hu", "wrapped", "pixels",
    ])  # fmt: skip
    found = [
        _of_slices("wrapped", known, known["wrapped"].to_numpy(bool), "12 bits without a sign; mended"),
        _of_slices("padded", known, known["lowest_hu"].to_numpy() < HU_MIN, known["lowest_hu"]),
        _of_slices("metal", known, known["highest_hu"].to_numpy() > HU_MAX, known["highest_hu"]),
        _of_slices("no_spacing", known, known["spacing_row_mm"].isna().to_numpy(), "PixelSpacing is missing"),
        _of_slices("not_square", known, _not_square(known), "rows and columns differ"),
        _tied(known),
        *_duplicates(known, labels),
        _refused(pd.concat([cohort.rejected, store.rejected], ignore_index=True)),
        _without_image(cohort, labels),
    ]
    return pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)


def count_faults(found: pd.DataFrame, policies: Policies) -> pd.DataFrame:
    """A row a fault: how many slices (or labels) have it, its policy, and one of them."""
    names = [*NAMES, *sorted(set(found["fault"]) - set(NAMES))]
    some = found.drop_duplicates("fault").set_index("fault")
    examples = some["image_id"].reindex(names).fillna("")
    counts = found["fault"].value_counts().reindex(names, fill_value=0)
    return pd.DataFrame({
        "fault": names,
        "count": counts.to_numpy(np.int64),
        "policy": [policies.of(name) for name in names],
        "example": examples.to_numpy(),
    })  # fmt: skip


def shared_pixels(store: Store) -> Int64[np.ndarray, " n"]:
    """The number of the group of pixel-identical slices that a slice belongs to, under several patients; or -1."""
    return _groups(store.columns(["patient_id", "pixels", "highest_hu"]))


def _groups(known: pd.DataFrame) -> Int64[np.ndarray, " n"]:
    """Slices of air alone are left aside: they are nobody's."""
    _, number, counts = np.unique(known["pixels"].to_numpy(), return_inverse=True, return_counts=True)
    several = (counts[number] > 1) & (known["highest_hu"].to_numpy() > BLANK_HU)
    patients = known["patient_id"][several].groupby(number[several]).transform("nunique")
    groups = np.full(len(known), -1)
    groups[np.flatnonzero(several)[patients.to_numpy() > 1]] = number[several][patients.to_numpy() > 1]
    return groups


def _of_slices(
    fault: str,
    known: pd.DataFrame,
    wrong: Bool[np.ndarray, " n"],
    detail: str | pd.Series,
    first: np.ndarray | bool = False,
) -> pd.DataFrame:
    some = known.loc[wrong, ["image_id", "patient_id", "file"]]
    if isinstance(detail, pd.Series):
        detail = detail[wrong].map("{:g} HU".format)
    return some.assign(fault=fault, detail=detail, row=np.flatnonzero(wrong), first=first)


def _not_square(known: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    row, column = known["spacing_row_mm"].to_numpy(), known["spacing_column_mm"].to_numpy()
    wrong: np.ndarray = (np.abs(row - column) > SQUARE * row) | (known["rows"] != known["columns"]).to_numpy()
    return wrong


def _tied(known: pd.DataFrame) -> pd.DataFrame:
    place = known[["patient_id", "study_id", "series_id", "position_mm"]]
    tied = place.duplicated(keep=False).to_numpy() & place["position_mm"].notna().to_numpy()
    first = ~place.duplicated().to_numpy()[tied]
    detail = known["position_mm"][tied].map("{:g} mm".format)
    return _of_slices("tied", known, tied, "", first).assign(detail=detail)


def _duplicates(known: pd.DataFrame, labels: pd.DataFrame) -> list[pd.DataFrame]:
    """Slices with the same pixels under several patients, and those of them whose labels differ."""
    groups = _groups(known)
    shared = groups >= 0
    rows = np.flatnonzero(shared)
    group = pd.Series(groups[rows])
    first = ~group.duplicated().to_numpy()
    detail = "with " + pd.Series(known["image_id"].to_numpy()[rows]).groupby(group).transform("first").astype(object)
    found = _of_slices("duplicate", known, shared, "", first).assign(detail=detail.to_numpy())
    said = labels.reindex(known["image_id"].to_numpy()[rows])[list(FINDINGS)].reset_index(drop=True)
    differ = (said.groupby(group).transform("nunique") > 1).any(axis=1).to_numpy()
    return [found, found[differ].assign(fault="conflict")]


def _refused(rejected: pd.DataFrame) -> pd.DataFrame:
    stems = [PurePosixPath(file).stem for file in rejected["file"]]
    faults = rejected["reason"].replace(REFUSED)
    return rejected[["file", "detail"]].assign(fault=faults, image_id=stems, patient_id="", row=-1, first=False)


def _without_image(cohort: Cohort, labels: pd.DataFrame) -> pd.DataFrame:
    """Labels of which there is no file, not even a bad one."""
    images = {*cohort.table["image_id"], *(PurePosixPath(file).stem for file in cohort.rejected["file"])}
    lost = [image for image in labels.index if image not in images]
    lacking = {"fault": "no_image", "patient_id": "", "file": "", "detail": "the table names it, and no file does"}
    return pd.DataFrame({"image_id": lost}).assign(**lacking, row=-1, first=False)
