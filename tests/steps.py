"""train.py, which also writes what each process trains on: python tests/steps.py FOLDER TRAIN.PY WORDS...

A line a batch in FOLDER/RANK.txt: the loss, then the rows of the store. BAD="RANK BATCH" makes that loss no number.
"""

import os
import runpy
import sys
from pathlib import Path

folder, door = Path(sys.argv[1]), Path(sys.argv[2])
sys.path[0] = str(door.parent)

import ich  # isort: skip  # noqa: E402, F401  (first: its torchvision hook)

from torch import Tensor  # noqa: E402

from ich.data.batches import Batch  # noqa: E402
from ich.model.learner import Learner  # noqa: E402

training_step = Learner.training_step


def told(self: Learner, batch: Batch, batch_idx: int) -> Tensor:
    loss = training_step(self, batch, batch_idx)
    if os.environ.get("BAD") == f"{os.environ.get('RANK', 0)} {batch_idx}":
        loss = loss * float("nan")
        self._unchecked[-1] = (loss.detach(), batch.rows)
    with (folder / f"{os.environ.get('RANK', 0)}.txt").open("a") as file:
        print(float(loss), *batch.rows.tolist(), file=file)
    return loss


Learner.training_step = told  # type: ignore[method-assign]
sys.argv[:] = [str(door), *sys.argv[3:]]
runpy.run_path(str(door), run_name="__main__")
