"""Rivals in processes of their own: what one leaves behind in memory, threads and workers slows no other."""

import multiprocessing
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.cohort import prepare_slices
from benchmarks.measure import Rival, rate, settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A way of a rival that another process has."""

    connection: Connection
    place: int
    way: str

    def rate(self, seconds: float) -> float:
        """Slices a second there, while everybody here waits."""
        self.connection.send((self.place, self.way, seconds))
        measured: float = self.connection.recv()
        return measured

    def drop(self) -> None:
        """It goes no further, and its worker processes end."""
        self.connection.send((self.place, self.way, None))
        self.connection.recv()


@contextmanager
def rivals_apart(module: str, work: str, *, cache: Path, folder: Path, patients: int) -> Iterator[list[Rival]]:
    """The rivals that a function of a module makes, in a process that lives as long as the block."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(there, module, work, cache, folder, patients))
    process.start()
    there.close()
    try:
        yield [
            replace(rival, ways={way: Elsewhere(connection=here, place=place, way=way) for way in rival.ways})
            for place, rival in enumerate(here.recv())
        ]
    finally:
        here.close()
        process.join()


def _serve(connection: Connection, module: str, work: str, cache: Path, folder: Path, patients: int) -> None:
    try:
        settle()
        rivals: list[Rival] = getattr(import_module(module), work)(prepare_slices(cache, folder, patients=patients))
        connection.send([replace(rival, ways=dict.fromkeys(rival.ways)) for rival in rivals])
        while True:
            place, way, seconds = connection.recv()
            if seconds is None:
                del rivals[place].ways[way]
                connection.send(None)
            else:
                connection.send(rate(rivals[place].ways[way], seconds))
    except EOFError:  # no more is asked for
        return
    except Exception:
        traceback.print_exc()
    finally:
        connection.close()
