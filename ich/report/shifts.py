"""What a run's network says of its own slices at shifts of HU: a scanner whose calibration drifts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int16
from torch import Tensor

from ich import metric
from ich.config import check, signature
from ich.config.mistakes import BadConfig
from ich.ct.pixels import HU_MAX, HU_MIN
from ich.data.augment import Augment
from ich.data.module import HeadCT
from ich.data.source import Source
from ich.errors import InputError
from ich.predictor import Predictor, load_checkpoint
from ich.progress import bar
from ich.report.evaluation import Cases

STAY = "shifts= needs the slices that the run was trained with, where they lay and unchanged"


class OtherSlices(InputError):
    """A run's data that are no longer those it was trained with."""


def shift_hu(hu: Int16[Tensor, "*shape"], shift: int) -> Int16[Tensor, "*shape"]:
    """HU that a drifted scanner would give, within what is kept of any; HU_MIN, which is padding or clipped air, stays.

    `shift` in HU.
    """
    return torch.where(hu == HU_MIN, hu, (hu + shift).clamp(HU_MIN, HU_MAX))


def predict_shifted(
    checkpoint: Path,
    cases: Cases,
    shifts: Sequence[int],
    *,
    test: bool,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Mapping[int, Cases]:
    """The run's validation slices, or those of its test patients, with the network's answers at each shift.

    The data are read as the checkpoint's settings say. Raises OtherSlices where they are not the images of `cases`.
    """
    predictor = Predictor.load(checkpoint, device)
    data = _open_data(checkpoint, predictor)
    rows = data.test_rows if test else data.val_rows
    images = data.index["image_id"].to_numpy(dtype=str)[rows]
    order = np.argsort(images, kind="stable")
    if not np.array_equal(images[order], cases.ids):
        alone = np.setxor1d(images, cases.ids)
        raise OtherSlices(
            f"{checkpoint}: its data and the run's predictions differ in {len(alone):,} images, such as {alone[0]}; "
            f"{STAY}"
        )
    logits = {shift: np.empty((len(cases), 6)) for shift in shifts}
    place = np.empty(len(data.index), np.int64)
    place[rows[order]] = np.arange(len(rows))
    with bar("Predicting") as report:
        done = 0
        for batch in data.test_dataloader() if test else data.val_dataloader():
            for shift in shifts:
                logits[shift][place[batch.rows]] = _ask(predictor, batch.hu, shift)
            done += len(batch.rows)
            report(done, len(rows))
    return {shift: replace(cases, probabilities=metric.probabilities(some)) for shift, some in logits.items()}


def _open_data(checkpoint: Path, predictor: Predictor) -> HeadCT:
    try:
        settings = check.from_plain(load_checkpoint(checkpoint)["settings"], groups=("data",))
    except BadConfig as error:
        raise OtherSlices(f"{checkpoint}: its data cannot be read: {error}; {STAY}") from error
    source: Source = signature.build(settings["data"])
    data = HeadCT(
        source=replace(source, resident=False, num_workers=0),
        geometry=predictor.geometry,
        augment=Augment(),
        seed=0,
        depth=predictor.depth,
    )
    data.setup("validate")
    return data


def _ask(predictor: Predictor, hu: Int16[Tensor, "batch depth size size"], shift: int) -> np.ndarray:
    with torch.inference_mode():
        logits = predictor.classifier(shift_hu(hu.to(predictor.device), shift))
    answers: np.ndarray = logits.double().cpu().numpy()
    return answers
