"""A whole cohort on disk, in the challenge's layout, written by several processes."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.header import encode
from ich.data.phantom.plan import StudyPlan, plan_cohort
from ich.data.phantom.study import draw_study, render
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import Report

KAGGLE = "rsna-intracranial-hemorrhage-detection"
TABLE_STREAM = 8

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
    report: Report | None = None,
    workers: int | None = None,
) -> None:
    """Write a synthetic cohort: stage_2_train/ID_….dcm and stage_2_train.csv in `root`/KAGGLE.

    Each patient has one study, of `slices` slices on average. `noise` multiplies the difficulty's own. The same
    arguments give the same bytes, whatever the number of `workers` (by default one a processor). The folder appears
    whole or not at all. Raises BadPhantom where `root` exists.
    """
    if root.exists():
        raise BadPhantom(f"{root}: it exists already; remove it or choose another folder")
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / KAGGLE / "stage_2_train").mkdir(parents=True)
    plans = plan_cohort(patients=patients, slices=slices, difficulty=DIFFICULTIES[difficulty], seed=seed)
    labels: Labels = {}
    total = sum(len(plan.image_ids) for plan in plans)
    for written in _write_studies(unfinished / KAGGLE / "stage_2_train", plans, difficulty, noise, seed, workers):
        labels |= written
        if report:
            report(len(labels), total)
    _write_labels(unfinished / KAGGLE / "stage_2_train.csv", labels)
    unfinished.rename(root)


def _write_studies(
    folder: Path, plans: list[StudyPlan], difficulty: str, noise: float, seed: int, workers: int | None
) -> Iterator[Labels]:
    # Spawned, not forked: the caller may run threads of torch, which a fork would leave locked.
    workers = min(workers or os.cpu_count() or 1, len(plans))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        tasks = [pool.submit(write_study, folder, plan, difficulty, noise, seed) for plan in plans]
        try:
            for task in tasks:
                yield task.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def write_study(folder: Path, plan: StudyPlan, difficulty: str, noise: float, seed: int) -> Labels:
    """Draw, render and write one study; the kinds that its slices hold."""
    study = draw_study(
        seed=seed, number=plan.number, kinds=plan.kinds, slices=len(plan.image_ids), difficulty=difficulty, noise=noise
    )
    origin_mm = round(float(np.random.default_rng([seed, plan.number, TABLE_STREAM]).uniform(-200, 300)), 1)
    labels = {}
    for place, image_id in enumerate(plan.image_ids):
        rendered = render(study, place)
        content = encode(
            rendered.hu,
            plan,
            place,
            spacing_mm=study.scanner.spacing_mm,
            tilt=study.scanner.tilt,
            height_mm=study.heights_mm[place],
            origin_mm=origin_mm,
        )
        (folder / f"{image_id}.dcm").write_bytes(content)
        labels[image_id] = rendered.kinds
    return labels


def _start_worker() -> None:
    """One thread a process; Ctrl-C is the parent's to answer; no worker outlives it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _write_labels(path: Path, labels: Labels) -> None:
    """The challenge's CSV: six rows an image."""
    lines = ["ID,Label"]
    for image_id in sorted(labels):
        kinds = labels[image_id]
        lines += [
            f"{image_id}_{finding},{int(finding in kinds or (finding == 'any' and bool(kinds)))}"
            for finding in FINDINGS
        ]
    path.write_text("\n".join(lines) + "\n")
