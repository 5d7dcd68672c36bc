"""stage_2_train.csv at full size (4,516,842 rows) to a table with a row an image."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import Rival
from ich.data.labels import read_labels
from ich.findings import FINDINGS

IMAGES = 752_803
RATES = (0.0042, 0.048, 0.035, 0.047, 0.063)
"""Of the five kinds, about as in RSNA 2019."""


def rivals(folder: Path, *, images: int = IMAGES) -> list[Rival]:
    path = folder / "stage_2_train.csv"
    rows = write_csv(path, images)
    return [
        Rival(work="labels", name="ours", ways={"": lambda: len(read_labels(path)) and rows}),
        Rival(work="labels", name="pandas", ways={"": lambda: len(split_and_pivot(path)) and rows}, once=True),
    ]


def write_csv(path: Path, images: int) -> int:
    """Made-up ids and labels in the challenge's layout, four images twice; the number of rows."""
    random = np.random.default_rng(0)
    kinds = random.random((images, len(RATES))) < RATES
    labels = np.column_stack([kinds, kinds.any(axis=1)]).astype(int)
    ids = [f"ID_{number:09x}" for number in random.permutation(images)]
    order = [*range(images), *range(4)]
    lines = [f"_{name},{label}\n" for label in (0, 1) for name in FINDINGS]
    with path.open("w") as file:
        file.write("ID,Label\n")
        for image in order:
            said = zip(range(len(FINDINGS)), labels[image].tolist(), strict=True)
            file.write("".join([ids[image] + lines[number + label * len(FINDINGS)] for number, label in said]))
    return len(order) * len(FINDINGS)


def split_and_pivot(path: Path) -> pd.DataFrame:
    """As challenge notebooks do it."""
    table = pd.read_csv(path).drop_duplicates()
    table[["image", "finding"]] = table["ID"].str.rsplit("_", n=1, expand=True)
    return table.pivot(index="image", columns="finding", values="Label")
