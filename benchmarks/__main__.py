"""python -m benchmarks json=FILE [work=prepare,feed,feed_flips,labels,scale] [who=limit] [patients=30] [repeats=5]
[seconds=0.5]"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks import labels, scale
from benchmarks.apart import rivals_apart
from benchmarks.cohort import prepare_slices
from benchmarks.measure import Rival, measure, ratios, settle
from ich.config.files import PROJECT

WORKS = ("prepare", "feed", "feed_flips", "labels", "scale")
DEFAULTS = {"json": "", "work": ",".join(WORKS), "patients": "30", "repeats": "5", "seconds": "0.5", "who": ""}
WIDTH = 150
"""Of the table: its notes are sentences."""
MODULES = {
    "prepare": ("ours", "with_pydicom", "with_png", "with_monai", "with_litdata", "with_webdataset"),
    "feed": (
        "ours",
        "limit",
        "with_torch",
        "with_pydicom",
        "with_png",
        "with_monai",
        "with_litdata",
        "with_webdataset",
    ),
    "feed_flips": ("ours", "limit"),
}
"""Who does a piece of work; each in a process of its own."""
OPTIONAL = ("monai", "litdata", "webdataset")
"""Packages of the extra `bench`: rivals that can be absent."""


def main(words: Sequence[str]) -> int:
    settings = DEFAULTS | dict(word.partition("=")[::2] for word in words)
    works = settings["work"].split(",")
    who = {*filter(None, settings["who"].split(","))}
    unknown = [*(settings.keys() - DEFAULTS.keys()), *({*works} - {*WORKS}), *(who - {*chain(*MODULES.values())})]
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; {__doc__}", file=sys.stderr)
        return 2
    settle()
    screen = Console(stderr=True)
    rivals: list[Rival] = []
    rounds = {"repeats": int(settings["repeats"]), "seconds": float(settings["seconds"])}
    for work in works:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
            of_work = _rivals(work, Path(folder), int(settings["patients"]), who, processes)
            measure(of_work, **rounds, report=lambda said: screen.print(said, highlight=False))  # type: ignore[arg-type]
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


def _rivals(work: str, folder: Path, patients: int, who: set[str], processes: ExitStack) -> list[Rival]:
    """Ours and all others, or of those apart only `who`."""
    if work == "labels":
        return labels.rivals(folder)
    if work == "scale":
        return scale.rivals(folder)
    cache = PROJECT / "cache"
    prepare_slices(cache, folder, patients=patients)  # once, before all need it
    there = [name for name in MODULES[work] if name.removeprefix("with_") not in _missing()]
    modules = [f"benchmarks.{name}" for name in there if not who or name in {"ours", *who}]
    apart = [rivals_apart(one, work, cache=cache, folder=folder, patients=patients) for one in modules]
    return [rival for each in apart for rival in processes.enter_context(each)]


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
