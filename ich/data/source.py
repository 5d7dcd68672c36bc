"""Where slices and labels come from: a phantom, RSNA 2019, or a table of one's own; and how they are fed."""

import hashlib
import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge, Lt
from filelock import FileLock, Timeout

from ich.config.paths import Existing, Writable
from ich.data.cohort import BadCohort, Cohort, kaggle_files, read_cohort, read_table
from ich.data.faults import Policies
from ich.data.files import Archive, Files, Folder
from ich.data.labels import BadLabels, read_labels
from ich.data.pseudonym import AS_THEY_ARE, Pseudonyms
from ich.findings import FINDINGS
from ich.progress import Report, bar

Times = Annotated[int, Ge(1)]
MAX_LABEL_BYTES = 2**29
"""stage_2_train.csv has 120 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """How often a training slice with this label is seen an epoch; the largest of its labels counts."""

    epidural: Times = 1
    intraparenchymal: Times = 1
    intraventricular: Times = 1
    subarachnoid: Times = 1
    subdural: Times = 1
    any: Times = 1

    @property
    def times(self) -> np.ndarray:
        return np.array([getattr(self, finding) for finding in FINDINGS])


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """What every source is asked for besides its slices: batches, folds, and a folder for what is written once."""

    cache: Annotated[Path, Writable()]
    batch_size: Annotated[int, Ge(1)] = 32
    folds: Annotated[int, Ge(2)] = 5
    fold: Annotated[int, Ge(0)] = 0
    fold_seed: Annotated[int, Ge(0)] = 0
    test_share: Annotated[float, Ge(0), Lt(1)] = 0.0
    folds_csv: Annotated[Path, Existing(kind="file", way_out="give a CSV of image_id,patient_id,fold")] | None = None
    repeat: Repeat = field(default_factory=Repeat)
    policies: Policies = field(default_factory=Policies)
    num_workers: Annotated[int, Ge(0)] = 0
    resident: bool = False
    pseudonymize: bool = True
    pseudonym_key: Path | None = None

    def __post_init__(self) -> None:
        if self.folds_csv is None and self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} is not one of {self.folds} folds, which count from 0")

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """What patients, studies, series, images and files are called; the key lies in `cache` where nobody says."""
        return Pseudonyms(self.pseudonym_key or self.cache / "pseudonym.key") if self.pseudonymize else AS_THEY_ARE

    @abstractmethod
    def load(self, *, spacing_required: bool, report: Report) -> tuple[Cohort, pd.DataFrame]:
        """The cohort in anatomical order, and the labels of each of its images (index image_id)."""


@dataclass(frozen=True, kw_only=True)
class Phantom(Source):
    """A synthetic cohort, written once under `cache` and then read like any other."""

    patients: Annotated[int, Ge(2)] = 15
    slices: Annotated[int, Ge(4)] = 24
    difficulty: Literal["demo", "easy", "base"] = "base"
    noise: Annotated[float, Ge(0)] = 1.0
    seed: Annotated[int, Ge(0)] = 0
    faults: Annotated[float, Ge(0)] = 0.0

    def load(self, *, spacing_required: bool, report: Report) -> tuple[Cohort, pd.DataFrame]:
        root = self.write()
        cohort, labels = _load_kaggle(root, spacing_required=spacing_required, cache=self.cache, report=report)
        return replace(cohort, recipe=root.name), labels

    def write(self) -> Path:
        """The folder of the cohort, written where it is not there yet; `phantom/latest` leads to its slices."""
        from ich.data import phantom
        from ich.data.phantom.cohort import KAGGLE, BadPhantom

        names = ("patients", "slices", "difficulty", "noise", "seed", "faults")
        recipe = {name: getattr(self, name) for name in names}
        root = self.cache / "phantom" / _digest(recipe | {"code": _code_digest(Path(phantom.__file__).parent)})
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{root}.lock"):
            if not root.exists():
                _remove_unfinished(root.parent, but=root.name)
                with bar("Writing the phantom") as report:
                    try:
                        phantom.write_cohort(root, **recipe, report=report)
                    except OSError as error:
                        way_out = "data.cache names another place"
                        raise BadPhantom(f"{root}: cannot be written: {error.strerror}; {way_out}") from error
        _link(root.parent / "latest", Path(root.name, KAGGLE, "stage_2_train"))
        return root


@dataclass(frozen=True, kw_only=True)
class Rsna(Source):
    """RSNA 2019: `root` is Kaggle's folder, the folder above it, or its .zip, which is read in place."""

    root: Annotated[Path, Existing(kind="file or folder", way_out="give Kaggle's folder, the one above, or its .zip")]

    def load(self, *, spacing_required: bool, report: Report) -> tuple[Cohort, pd.DataFrame]:
        return _load_kaggle(
            self.root,
            spacing_required=spacing_required,
            cache=self.cache,
            report=report,
            pseudonyms=self.pseudonyms,
        )


@dataclass(frozen=True, kw_only=True)
class Table(Source):
    """A CSV of one's own: `file` (relative to it), `patient_id` and the six labels."""

    root: Annotated[Path, Existing(kind="file", way_out="give a CSV of file, patient_id and the six labels")]

    def load(self, *, spacing_required: bool, report: Report) -> tuple[Cohort, pd.DataFrame]:
        return read_table(
            self.root,
            spacing_required=spacing_required,
            cache=self.cache,
            report=report,
            pseudonyms=self.pseudonyms,
        )


def _remove_unfinished(folder: Path, *, but: str) -> None:
    """What stopped runs have left of phantoms: whoever writes one holds its lock."""
    for unfinished in folder.glob("*.unfinished"):
        if unfinished.stem != but:
            with suppress(Timeout), FileLock(folder / f"{unfinished.stem}.lock", timeout=0):
                shutil.rmtree(unfinished, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    """Lead to the slices alone, beside which tables and locks lie, where this disk can hold links."""
    if link.is_symlink() and link.readlink() == target:
        return
    aside = link.with_name(f"{link.name}.{os.getpid()}")
    with suppress(OSError):
        aside.symlink_to(target, target_is_directory=True)
        aside.replace(link)


def _load_kaggle(
    root: Path, *, spacing_required: bool, cache: Path, report: Report, pseudonyms: Pseudonyms = AS_THEY_ARE
) -> tuple[Cohort, pd.DataFrame]:
    files = kaggle_files(root)
    folder = files.root
    labels = _read_kaggle_labels(files)
    labels.index = pseudonyms.rename(labels.index)
    images = files.under("stage_2_train/") if isinstance(files, Archive) else Folder(folder / "stage_2_train")
    cohort = read_cohort(images, spacing_required=spacing_required, cache=cache, report=report, pseudonyms=pseudonyms)
    labelled = cohort.table["image_id"].isin(labels.index)
    if not labelled.any():
        detail = f"none of the {len(labelled)} images has a label in stage_2_train.csv"
        raise BadCohort(f"{folder}: {detail}; do they belong together?")
    left_out = cohort.table.loc[~labelled, ["file"]].assign(
        reason="no_label", detail="stage_2_train.csv says nothing of this image"
    )
    rejected = pd.concat([cohort.rejected, left_out], ignore_index=True)
    return replace(cohort, table=cohort.table[labelled].reset_index(drop=True), rejected=rejected), labels


def _read_kaggle_labels(files: Files) -> pd.DataFrame:
    """Of an archive, through a copy of this one table: the readers of tables want a file."""
    name = "stage_2_train.csv"
    if not isinstance(files, Archive):
        return read_labels(files.root / name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name
        files.copy(name, copy, limit=MAX_LABEL_BYTES)
        try:
            return read_labels(copy)
        except BadLabels as error:
            raise BadLabels(str(error).replace(str(copy), str(files.root / name))) from error


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _code_digest(folder: Path) -> str:
    """A changed phantom is another phantom: its own source is part of its name."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py")))).hexdigest()
