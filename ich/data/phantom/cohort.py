"""A whole cohort on disk, in the challenge's layout, written by several processes."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.fault import METAL_STREAM, Faults, add_metal, damage, plan_faults
from ich.data.phantom.header import encode
from ich.data.phantom.plan import StudyPlan, plan_cohort
from ich.data.phantom.study import Rendered, Study, draw_study, render
from ich.data.pool import start_processes
from ich.data.threads import processors
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import Report

KAGGLE = "rsna-intracranial-hemorrhage-detection"
TABLE_STREAM = 8
WORTH_PROCESSES = 64
"""Slices: fewer are drawn here before another process has begun."""
IN_HEADER = ("cut", "no_spacing", "not_square")
"""The faults of a file that is sound otherwise."""

Labels = dict[str, tuple[str, ...]]
"""The kinds of each image."""


class BadPhantom(InputError):
    """A cohort that cannot be written."""


def write_cohort(
    root: Path,
    *,
    patients: int,
    slices: int,
    difficulty: Literal["demo", "easy", "base"],
    noise: float,
    seed: int,
    faults: float = 0.0,
    report: Report | None = None,
    workers: int | None = None,
) -> None:
    """Write a synthetic cohort: stage_2_train/ID_….dcm and stage_2_train.csv in `root`/KAGGLE.

    Each patient has one study, of `slices` slices on average. `noise` multiplies the difficulty's own, `faults` the
    rates of what is wrong with real data (see `fault`); `root`/faults.csv then says which image has which. The same
    arguments give the same bytes, whatever the number of `workers` (by default one a processor, and for few slices this
    process). The folder appears whole or not at all. Raises BadPhantom where `root` exists.
    """
    if root.exists():
        raise BadPhantom(f"{root}: it exists already; remove it or choose another folder")
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / KAGGLE / "stage_2_train").mkdir(parents=True)
    plans = plan_cohort(patients=patients, slices=slices, difficulty=DIFFICULTIES[difficulty], seed=seed)
    planned = plan_faults(plans, faults=faults, seed=seed)
    recipe = Recipe(difficulty=difficulty, noise=noise, seed=seed)
    labels: Labels = {}
    done, total = 0, sum(len(plan.image_ids) for plan in plans)
    studies = _write_studies(unfinished / KAGGLE / "stage_2_train", plans, recipe, planned, workers)
    for plan, written in zip(plans, studies, strict=True):
        labels |= written
        done += len(plan.image_ids)
        if report:
            report(done, total)
    _write_labels(unfinished / KAGGLE / "stage_2_train.csv", labels, planned)
    if faults:
        _write_faults(unfinished / "faults.csv", planned)
    unfinished.rename(root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all studies of a cohort share."""

    difficulty: str
    noise: float
    seed: int

    def draw(self, plan: StudyPlan) -> Study:
        return draw_study(
            seed=self.seed,
            number=plan.number,
            kinds=plan.kinds,
            slices=len(plan.image_ids),
            difficulty=self.difficulty,
            noise=self.noise,
        )


def _write_studies(
    folder: Path, plans: list[StudyPlan], recipe: Recipe, faults: Faults, workers: int | None
) -> Iterator[Labels]:
    few = sum(len(plan.image_ids) for plan in plans) < WORTH_PROCESSES
    count = min(workers or (1 if few else processors()), len(plans))
    tasks = [(folder, plan, recipe, faults.of(plan)) for plan in plans]
    if count == 1:
        yield from map(_write_one, tasks)
        return
    with start_processes(count) as processes:
        yield from processes.in_order(_write_one, tasks)


def _write_one(study: tuple[Path, StudyPlan, Recipe, Faults]) -> Labels:
    return write_study(*study)


def write_study(folder: Path, plan: StudyPlan, recipe: Recipe, faults: Faults) -> Labels:
    """Draw, render and write one study; the kinds that its slices hold, or are said to hold."""
    study = recipe.draw(plan)
    origin_mm = round(float(np.random.default_rng([recipe.seed, plan.number, TABLE_STREAM]).uniform(-200, 300)), 1)
    labels = {}
    for place, image_id in enumerate(plan.image_ids):
        fault = faults.by_image.get(image_id)
        name, source = (fault.name, fault.source) if fault else ("", None)
        shown = _show(plan, study, place) if source is None else _show(source[0], recipe.draw(source[0]), source[1])
        if name != "no_image":
            content = encode(
                _with_metal(shown, recipe, plan, place) if name == "metal" else shown.rendered.hu,
                replace(plan, layout="wrapped" if name == "wrapped" else shown.layout),
                place,
                spacing_mm=shown.spacing_mm,
                tilt=study.scanner.tilt,
                height_mm=study.heights_mm[faults.tied.get(image_id, place)],
                origin_mm=origin_mm,
            )
            (folder / f"{image_id}.dcm").write_bytes(damage(content, name) if name in IN_HEADER else content)
        kinds = shown.rendered.kinds
        if name != "no_label":
            labels[image_id] = (() if kinds else ("subdural",)) if name == "conflicting_twin" else kinds
    return labels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A slice's pixels, and what of their study's header belongs to them."""

    rendered: Rendered
    layout: str
    spacing_mm: float


def _show(plan: StudyPlan, study: Study, place: int) -> _Shown:
    return _Shown(rendered=render(study, place), layout=plan.layout, spacing_mm=study.scanner.spacing_mm)


def _with_metal(shown: _Shown, recipe: Recipe, plan: StudyPlan, place: int) -> np.ndarray:
    random = np.random.default_rng([recipe.seed, plan.number, METAL_STREAM, place])
    return add_metal(shown.rendered.hu, random, spacing_mm=shown.spacing_mm)


def _write_labels(path: Path, labels: Labels, faults: Faults) -> None:
    """The challenge's CSV: six rows an image; what stands twice stands at the end, too."""
    twice = [image for image in labels if image in faults.by_image and faults.by_image[image].name == "label_twice"]
    lines = ["ID,Label"]
    for image_id in [*sorted(labels), *sorted(twice)]:
        kinds = labels[image_id]
        lines += [
            f"{image_id}_{finding},{int(finding in kinds or (finding == 'any' and bool(kinds)))}"
            for finding in FINDINGS
        ]
    path.write_text("\n".join(lines) + "\n")


def _write_faults(path: Path, faults: Faults) -> None:
    """image_id,fault,source: the image that a twin's pixels are from."""
    rows = [
        (image, fault.name, fault.source[0].image_ids[fault.source[1]] if fault.source else "")
        for image, fault in faults.by_image.items()
    ]
    rows += [(image, "tied", "") for image in faults.tied]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("image_id", "fault", "source"), *sorted(rows)])
