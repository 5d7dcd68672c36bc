"""What is wrong with real data, at its real rate: which slices of a cohort have which fault, and how each is made.

Padding outside of the round field is no fault here: a third of all slices have it, as a layout (see `header`).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Int16
from pydicom import config, dcmread, dcmwrite
from pydicom.dataset import Dataset

from ich.data.phantom.header import LAYOUTS
from ich.data.phantom.plan import StudyPlan

SLICES, HEADERS_SEEN = 752_803, 2_178
"""Of RSNA 2019's training data; of those, whose headers the rates of metal and of tied positions come from."""
UNSEEN = 1e-4
"""Of what public notes warn of, and none of 2,178 headers has: a guess, as good as anything below 1.4e-3."""
RATES = {
    "wrapped": 123 / SLICES,  # HU modulo 4096 in 12 bits
    "metal": 17 / HEADERS_SEEN,  # stored values above 4095, so only where 16 bits are stored
    "cut": 1 / SLICES,  # PixelData shorter than Rows x Columns
    "no_spacing": UNSEEN,
    "not_square": UNSEEN,  # pixels wider than high
    "twin": (4_073 - 838) / SLICES,  # another patient's pixels, with their labels
    "conflicting_twin": 838 / SLICES,  # another patient's pixels, with other labels
    "no_image": UNSEEN,  # labels only
    "no_label": UNSEEN,  # an image only
    "label_twice": 4 / SLICES,
}
"""Of slices, each with one fault at most (facts of RSNA 2019)."""
TIED_STUDIES, TIED_PAIRS = 1 / 73, 8
"""Of 73 series one has pairs of slices at one position."""
MOST, MOST_TIED = 0.05, 0.25
"""However much rates are raised: of slices a fault, and of studies."""
FAULT_STREAM, METAL_STREAM = (1 << 32) + 1, 9
"""Apart from what a plan, a study and a slice draw from, so that a cohort without faults stays as it is."""
METAL_HU, METAL_MM = (6_000, 26_000), (1.5, 4.0)
FEWER_COLUMNS = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`name` is one of RATES; `source` is the study and place whose pixels a twin has."""

    name: str
    source: tuple[StudyPlan, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """By image id: its fault; and the place in its own study whose position it is given."""

    by_image: dict[str, Fault] = field(default_factory=dict)
    tied: dict[str, int] = field(default_factory=dict)

    def of(self, plan: StudyPlan) -> "Faults":
        """Those of one study."""
        return Faults(
            by_image={image: self.by_image[image] for image in plan.image_ids if image in self.by_image},
            tied={image: self.tied[image] for image in plan.image_ids if image in self.tied},
        )


def plan_faults(plans: Sequence[StudyPlan], *, faults: float, seed: int) -> Faults:
    """Each fault as often as `faults` times its rate asks for, to within one; none at 0."""
    if faults == 0:
        return Faults()
    random = np.random.default_rng([seed, FAULT_STREAM])
    slices = [(plan, place) for plan in plans for place in range(len(plan.image_ids))]
    signed = np.array([LAYOUTS[plan.layout].signed for plan, _ in slices])
    free = np.ones(len(slices), dtype=bool)
    chosen: list[tuple[str, int]] = []
    for name, rate in RATES.items():
        count = _count(random, min(faults * rate, MOST) * len(slices))
        places = np.flatnonzero(free & signed if name == "metal" else free)
        taken = random.choice(places, min(count, len(places)), replace=False)
        free[taken] = False
        chosen += [(name, int(one)) for one in taken]
    by_image = {}
    for name, one in chosen:
        plan, place = slices[one]
        source = _draw_source(random, slices, free, plan) if name.endswith("twin") else None
        if source or not name.endswith("twin"):
            by_image[plan.image_ids[place]] = Fault(name=name, source=source)
    return Faults(by_image=by_image, tied=_tie(random, plans, min(faults * TIED_STUDIES, MOST_TIED)))


def _count(random: np.random.Generator, expected: float) -> int:
    return math.floor(expected + random.random())


def _draw_source(
    random: np.random.Generator, slices: Sequence[tuple[StudyPlan, int]], free: np.ndarray, plan: StudyPlan
) -> tuple[StudyPlan, int] | None:
    """A sound slice of another patient, which then is the source of no other twin; None where there is none."""
    for one in random.permutation(np.flatnonzero(free)):
        if slices[one][0].number != plan.number:
            free[one] = False
            return slices[one]
    return None


def _tie(random: np.random.Generator, plans: Sequence[StudyPlan], share: float) -> dict[str, int]:
    tied: dict[str, int] = {}
    for number in random.choice(len(plans), _count(random, share * len(plans)), replace=False):
        images = plans[number].image_ids
        pairs = min(TIED_PAIRS, len(images) // 2)
        start = (len(images) - 2 * pairs) // 2
        tied |= {images[place + 1]: place for place in range(start, start + 2 * pairs, 2)}
    return tied


def add_metal(
    hu: Int16[np.ndarray, "512 512"], random: np.random.Generator, *, spacing_mm: float
) -> Int16[np.ndarray, "512 512"]:
    """A filling, a clip or a screw: a disc of metal on the densest that there is."""
    rows, columns = np.nonzero(hu >= np.percentile(hu, 99.5))
    place = int(random.integers(len(rows)))
    radius = round(random.uniform(*METAL_MM) / spacing_mm)
    metal = cv2.circle(np.zeros(hu.shape, np.uint8), (int(columns[place]), int(rows[place])), radius, 1, cv2.FILLED)
    return np.where(metal == 1, np.int16(random.integers(*METAL_HU)), hu)


def damage(content: bytes, name: str) -> bytes:
    """A sound DICOM file with one of the faults that a header has."""
    with config.disable_value_validation():
        dataset = dcmread(io.BytesIO(content))
        if name == "cut":
            dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) * 2 // 3]
        elif name == "no_spacing":
            del dataset.PixelSpacing
        else:
            _widen_pixels(dataset)
        buffer = io.BytesIO()
        dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _widen_pixels(dataset: Dataset) -> None:
    """Fewer columns for the same millimetres."""
    shape = (dataset.Rows, dataset.Columns)
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(shape)
    columns = (np.arange(FEWER_COLUMNS) + 0.5) * shape[1] / FEWER_COLUMNS
    dataset.PixelData = stored[:, columns.astype(int)].tobytes()
    row, column = map(float, dataset.PixelSpacing)
    wider = column * shape[1] / FEWER_COLUMNS
    dataset.Columns = FEWER_COLUMNS
    dataset.PixelSpacing = [f"{row:.6f}", f"{wider:.6f}"]
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [f"{float(x) + (wider - column) / 2:.6f}", str(y), str(z)]
