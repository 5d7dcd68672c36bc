"""Random changes of training slices, in HU. The only importer of albumentations."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Bool, Int16, Int64

from ich.ct.dicom import HU_MAX, HU_MIN

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version when imported
import albumentations

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Left-right flips, geometric transforms by albumentations, then a shift and white noise of our own.

    albumentations' own brightness and noise clip float images to 0 .. 1 and refuse int16, so `transforms` holds
    geometry alone, with `fill=-1024` where it pads. `flip` is the share of slices flipped, `shift_hu` the standard
    deviation of one offset a slice, `noise_hu` that of every pixel.
    """

    flip: Annotated[float, Ge(0), Le(1)] = 0.0
    transforms: Sequence[albumentations.BasicTransform] = ()
    shift_hu: Annotated[float, Ge(0)] = 0.0
    noise_hu: Annotated[float, Ge(0)] = 0.0
    _pipeline: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an unknown argument is only warned of
            object.__setattr__(self, "_pipeline", albumentations.Compose(list(self.transforms)))

    @property
    def changes_pixels(self) -> bool:
        """Whether there is more to do than flips."""
        return bool(self.transforms or self.shift_hu or self.noise_hu)

    def flipped(self, rows: Int64[np.ndarray, " batch"], *, seed: int, epoch: int) -> Bool[np.ndarray, " batch"]:
        """Which of these slices are flipped in this epoch: one random number each, of (seed, epoch, row) alone."""
        if not self.flip:
            return np.zeros(len(rows), dtype=bool)
        start = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
        return np.asarray(_mixed(start + rows.astype(np.uint64) * GOLDEN) / 2.0**64 < self.flip)

    def apply(self, hu: Int16[np.ndarray, "depth height width"], draw: tuple[int, int, int]) -> np.ndarray:
        """One changed copy [D, S, S]; the random numbers depend on `draw` = (seed, epoch, row) alone.

        With `transforms` by one thread at a time: albumentations keeps its random numbers in the pipeline.
        """
        if self.transforms:
            self._pipeline.set_random_seed(_seed(draw))
            hu = np.moveaxis(self._pipeline(image=np.ascontiguousarray(np.moveaxis(hu, 0, -1)))["image"], -1, 0)
        if self.shift_hu or self.noise_hu:
            hu = self._change_values(hu, np.random.default_rng(draw))
        return hu

    def _change_values(self, hu: np.ndarray, random: np.random.Generator) -> np.ndarray:
        changed = hu + np.float32(self.shift_hu * random.standard_normal())
        changed += np.float32(self.noise_hu) * random.standard_normal(hu.shape, dtype=np.float32)
        return np.rint(changed).clip(HU_MIN, HU_MAX).astype(np.int16)


def _mixed(x: np.ndarray) -> np.ndarray:
    """Equally spread 64-bit numbers from counters (SplitMix64, Steele et al., 2014); a generator a slice is slower."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _seed(draw: tuple[int, int, int]) -> int:
    """One seed of 63 bits; albumentations takes a single integer."""
    return int(np.random.SeedSequence(draw).generate_state(1, np.uint64)[0] >> np.uint64(1))
