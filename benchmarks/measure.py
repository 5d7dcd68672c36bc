"""Rates in interleaved repetitions, so that a noisy machine is noisy for everybody."""

import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import cv2
import torch

from ich.data.threads import keep_freed_memory

Work = Callable[[], int]
"""Does its work once and says how many slices (or rows) that were."""
PART = 16
"""Files that a process gets at a time."""


@dataclass(kw_only=True)
class Rival:
    """Who does a piece of work; of several `ways` the best counts. `note` says where it does less or more than ours.

    A way is a `Work`, or `Elsewhere` in another process. `once`: it takes long and is measured a single time.
    """

    work: str
    name: str
    ways: dict[str, Any]
    note: str = ""
    once: bool = False
    rates: dict[str, list[float]] = field(default_factory=dict)

    @property
    def best(self) -> str:
        return max(self.rates, key=lambda way: statistics.median(self.rates[way]))

    @property
    def rate(self) -> float:
        """Slices (rows) a second, the median of the repetitions of the best way."""
        return statistics.median(self.rates[self.best])


HOPELESS = 0.6
"""Of the best way's rate: a way that is slower after a round goes no further."""


def measure(rivals: Sequence[Rival], *, repeats: int, seconds: float, report: Callable[[str], None]) -> None:
    """All warm up, then every way of every rival works for `seconds`, in turn, `repeats` times."""
    for rival in rivals:
        for way, work in rival.ways.items():
            report(f"{rival.work}: {rival.name} {way}".rstrip())
            first = rate(work, 0)
            rival.rates[way] = [first] if rival.once else []
    for _ in range(repeats):
        for rival in [one for one in rivals if not one.once]:
            for way, work in rival.ways.items():
                rival.rates[way].append(rate(work, seconds))
            best = rival.rate
            for way in [way for way, rates in rival.rates.items() if statistics.median(rates) < HOPELESS * best]:
                dropped = rival.ways.pop(way)
                if not callable(dropped):
                    dropped.drop()
                del rival.rates[way], dropped  # and its worker processes end


def workers(files: Sequence[Path], one: Callable[[Path], object]) -> dict[str, Work]:
    """A file after the other: by one thread, by two, and by two processes, which give nothing back."""

    def work(number: int) -> int:
        with ThreadPoolExecutor(number) as pool:
            return len(list(pool.map(one, files)))

    return {"1 thread": lambda: work(1), "2 threads": lambda: work(2), "2 processes": Processes(files, one)}


class Processes:
    """Two processes, begun when they are first asked and kept: as `processes=` runs them, and data loaders."""

    def __init__(self, files: Sequence[Path], one: Callable[[Path], object]) -> None:
        self.parts = [(one, files[first : first + PART]) for first in range(0, len(files), PART)]
        self.pool: Pool | None = None

    def __call__(self) -> int:
        self.pool = self.pool or multiprocessing.get_context("spawn").Pool(2, settle)
        return sum(self.pool.imap_unordered(_each, self.parts))


def _each(part: tuple[Callable[[Path], object], Sequence[Path]]) -> int:
    one, files = part
    for file in files:
        one(file)
    return len(files)


def settle() -> None:
    """One thread a worker for everybody, as DataLoader's workers have it; freed memory kept, as reading ahead does."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="pydicom")  # of ids like the challenge's, ID_…; printing them takes time
    keep_freed_memory()


def rate(way: Any, seconds: float) -> float:
    """Slices (rows) a second, over whole works of at least `seconds` together."""
    if not callable(way):
        measured: float = way.rate(seconds)
        return measured
    start, done = time.perf_counter(), 0
    while not done or time.perf_counter() - start < seconds:
        done += way()
    return done / (time.perf_counter() - start)


def ratios(rivals: Sequence[Rival], rival: Rival) -> list[float]:
    """Ours over this rival, repetition by repetition; over its one rate where it was measured once."""
    ours = next(one for one in rivals if one.work == rival.work and one.name == "ours")
    mine, theirs = ours.rates[ours.best], rival.rates[rival.best]
    return [my / their for my, their in zip(mine, theirs * len(mine) if len(theirs) == 1 else theirs, strict=True)]
