"""python -m benchmarks json=FILE [work=prepare,feed,feed_flips,labels,scale] [patients=30] [repeats=5] [seconds=0.5]"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks import labels, ours, scale, with_png, with_pydicom, with_torch
from benchmarks.cohort import prepare_slices
from benchmarks.measure import Rival, measure, ratios
from ich.config.files import PROJECT
from ich.data.threads import keep_freed_memory

WORKS = ("prepare", "feed", "feed_flips", "labels", "scale")
DEFAULTS = {"json": "", "work": ",".join(WORKS), "patients": "30", "repeats": "5", "seconds": "0.5"}
WIDTH = 150
"""Of the table: its notes are sentences."""
OPTIONAL = ("monai", "litdata", "webdataset")
"""Packages of the extra `bench`: rivals that can be absent."""


def main(words: Sequence[str]) -> int:
    settings = DEFAULTS | dict(word.partition("=")[::2] for word in words)
    works = settings["work"].split(",")
    if unknown := [*(settings.keys() - DEFAULTS.keys()), *({*works} - {*WORKS})]:
        print(f"unknown: {', '.join(sorted(unknown))}; {__doc__}", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)  # everybody works with one thread a worker, as DataLoader's workers do
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="pydicom")  # of ids like the challenge's, ID_…; printing them takes time
    keep_freed_memory()  # what reading ahead does for the whole process, and so for everybody from the start
    screen = Console(stderr=True)
    rivals: list[Rival] = []
    rounds = {"repeats": int(settings["repeats"]), "seconds": float(settings["seconds"])}
    for work in works:
        with tempfile.TemporaryDirectory() as folder:
            of_work = _rivals(work, Path(folder), int(settings["patients"]))
            measure(of_work, **rounds, report=lambda said: screen.print(said, highlight=False))  # type: ignore[arg-type]
            for rival in of_work:
                rival.ways.clear()  # worker processes end, memory is free
            rivals += of_work
    _show(rivals)
    if missing := _missing():
        print(f'Left out: {", ".join(missing)}; pip install -c constraints.txt -e ".[bench]" brings them.')
    if settings["json"]:
        rows = [
            {"work": one.work, "name": one.name, "rate": one.rate, "ratio": statistics.median(ratios(rivals, one))}
            for one in rivals
        ]
        Path(settings["json"]).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _rivals(work: str, folder: Path, patients: int) -> list[Rival]:
    if work == "labels":
        return labels.rivals(folder)
    if work == "scale":
        return scale.rivals(folder)
    slices = prepare_slices(PROJECT / "cache", folder, patients=patients)
    if work == "feed_flips":
        return ours.flips(slices) + with_torch.flips(slices)
    optional = [import_module(f"benchmarks.with_{name}") for name in OPTIONAL if name not in _missing()]
    modules = [ours, *([] if work == "prepare" else [with_torch]), with_pydicom, with_png, *optional]
    return [rival for module in modules for rival in getattr(module, work)(slices)]


def _missing() -> list[str]:
    return [name for name in OPTIONAL if find_spec(name) is None]


def _show(rivals: Sequence[Rival]) -> None:
    table = Table("work", "", "a second", "ours over it", "spread", "", box=SIMPLE_HEAD)
    for column in table.columns[:5]:
        column.no_wrap = True
    for rival in rivals:
        over = ratios(rivals, rival)
        spread = f"{min(over):.2f} - {max(over):.2f}" if rival.name != "ours" else ""
        middle = f"{statistics.median(over):.2f}" if rival.name != "ours" else ""
        note = ", ".join(filter(None, (rival.best, rival.note)))
        table.add_row(rival.work, rival.name, f"{rival.rate:,.0f}", middle, spread, note)
    screen = Console()
    screen.width = max(screen.width, WIDTH)
    screen.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
