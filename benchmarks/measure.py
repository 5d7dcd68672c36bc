"""Rates in interleaved repetitions, so that a noisy machine is noisy for everybody."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

Work = Callable[[], int]
"""Does its work once and says how many slices (or rows) that were."""


@dataclass(kw_only=True)
class Rival:
    """Who does a piece of work; of several `ways` the best counts. `note` says where it does less or more than ours.

    `once`: it takes long, so that it is measured a single time.
    """

    work: str
    name: str
    ways: dict[str, Work]
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
            first = _rate(work, 0)
            rival.rates[way] = [first] if rival.once else []
    for _ in range(repeats):
        for rival in [one for one in rivals if not one.once]:
            for way, work in rival.ways.items():
                rival.rates[way].append(_rate(work, seconds))
            best = rival.rate
            for way in [way for way, rates in rival.rates.items() if statistics.median(rates) < HOPELESS * best]:
                del rival.rates[way], rival.ways[way]  # and its worker processes end


def threads(files: Sequence[Path], one: Callable[[Path], object]) -> dict[str, Work]:
    """A file after the other, by one thread and by two."""

    def work(number: int) -> int:
        with ThreadPoolExecutor(number) as pool:
            return len(list(pool.map(one, files)))

    return {f"{number} threads": lambda number=number: work(number) for number in (1, 2)}  # type: ignore[misc]


def _rate(work: Work, seconds: float) -> float:
    start, done = time.perf_counter(), 0
    while not done or time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def ratios(rivals: Sequence[Rival], rival: Rival) -> list[float]:
    """Ours over this rival, repetition by repetition; over its one rate where it was measured once."""
    ours = next(one for one in rivals if one.work == rival.work and one.name == "ours")
    mine, theirs = ours.rates[ours.best], rival.rates[rival.best]
    return [my / their for my, their in zip(mine, theirs * len(mine) if len(theirs) == 1 else theirs, strict=True)]
