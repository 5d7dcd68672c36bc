"""python -m benchmarks json=FILE [work=prepare,feed,feed_flips,labels] [patients=30] [repeats=5] [seconds=1]"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks import feed, labels, prepare
from benchmarks.cohort import prepare_slices
from benchmarks.measure import Rival, measure, ratios
from ich.config.files import PROJECT

DEFAULTS = {"json": "", "work": "prepare,feed,feed_flips,labels", "patients": "30", "repeats": "5", "seconds": "1"}


def main(words: Sequence[str]) -> int:
    settings = DEFAULTS | dict(word.partition("=")[::2] for word in words)
    if unknown := settings.keys() - DEFAULTS.keys():
        print(f"unknown: {', '.join(sorted(unknown))}; {__doc__}", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    screen = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        rivals = _rivals(settings["work"].split(","), Path(folder), int(settings["patients"]))
        rounds = {"repeats": int(settings["repeats"]), "seconds": float(settings["seconds"])}
        for work in dict.fromkeys(rival.work for rival in rivals):
            one_work = [rival for rival in rivals if rival.work == work]
            measure(one_work, **rounds, report=lambda said: screen.print(said, highlight=False))  # type: ignore[arg-type]
    _show(rivals)
    if settings["json"]:
        rows = [
            {"work": one.work, "name": one.name, "rate": one.rate, "ratio": statistics.median(ratios(rivals, one))}
            for one in rivals
        ]
        Path(settings["json"]).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _rivals(works: Sequence[str], folder: Path, patients: int) -> list[Rival]:
    rivals: list[Rival] = []
    if {"prepare", "feed", "feed_flips"} & {*works}:
        slices = prepare_slices(PROJECT / "cache", folder, patients=patients)
        for work, make in (("prepare", prepare.rivals), ("feed", feed.rivals), ("feed_flips", feed.flips)):
            rivals += make(slices) if work in works else []
    return rivals + (labels.rivals(folder) if "labels" in works else [])


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
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
