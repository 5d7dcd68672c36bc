"""Rates in interleaved repetitions, so that a noisy machine is noisy for everybody."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Work = Callable[[], int]
"""Does its work once and says how many slices (or rows) that were."""


@dataclass(kw_only=True)
class Rival:
    """Who does a piece of work; of several `ways` the best counts. `note` says where it does less or more than ours."""

    work: str
    name: str
    ways: dict[str, Work]
    note: str = ""
    rates: dict[str, list[float]] = field(default_factory=dict)

    @property
    def best(self) -> str:
        return max(self.rates, key=lambda way: statistics.median(self.rates[way]))

    @property
    def rate(self) -> float:
        """Slices (rows) a second, the median of the repetitions of the best way."""
        return statistics.median(self.rates[self.best])


def measure(rivals: Sequence[Rival], *, repeats: int, seconds: float, report: Callable[[str], None]) -> None:
    """A round warms up, then every way of every rival works for `seconds`, in turn, `repeats` times."""
    for rival in rivals:
        for way, work in rival.ways.items():
            report(f"{rival.work}: {rival.name} {way}".rstrip())
            work()
            rival.rates[way] = []
    for _ in range(repeats):
        for rival in rivals:
            for way, work in rival.ways.items():
                rival.rates[way].append(_rate(work, seconds))


def _rate(work: Work, seconds: float) -> float:
    start, done = time.perf_counter(), 0
    while not done or time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def ratios(rivals: Sequence[Rival], rival: Rival) -> list[float]:
    """Ours over this rival, repetition by repetition."""
    ours = next(one for one in rivals if one.work == rival.work and one.name == "ours")
    return [mine / theirs for mine, theirs in zip(ours.rates[ours.best], rival.rates[rival.best], strict=True)]
