"""An experiment file without the lines of its defaults that are wrong, so that the rest of it can be checked, too."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ich.config import files
from ich.config.compose import Job
from ich.config.mistakes import COMMAND_LINE, Mistake


@dataclass(frozen=True, kw_only=True)
class Mended:
    """A job in a copy of conf/, whose lines stand where they stood."""

    job: Job
    conf: Path

    def in_place(self, mistakes: Sequence[Mistake]) -> list[Mistake]:
        """Mistakes found in the copy, where they are in truth."""
        copied, own = str(self.job.conf), files.place(self.conf, 0).removesuffix(":0")
        return [replace(one, where=one.where.replace(copied, own)) for one in mistakes]


@contextmanager
def mended(job: Job, mistakes: Sequence[Mistake]) -> Iterator[Mended | None]:
    """The job without the mistaken lines of its experiment's defaults; None where something else is wrong there."""
    file = job.experiment
    lines = _mistaken_lines(file, {one.where for one in mistakes if one.where != COMMAND_LINE}) if file else set()
    if file is None or not lines:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(shutil.copytree(job.conf, Path(folder).resolve() / "conf"))
        said = file.read_text(encoding="utf-8").splitlines()
        kept = ["" if number in lines else line for number, line in enumerate(said, 1)]
        (conf / file.relative_to(job.conf)).write_text("\n".join(kept), encoding="utf-8")
        yield Mended(job=Job(conf=conf, name=job.name, overrides=job.overrides), conf=job.conf)


def _mistaken_lines(file: Path, places: set[str]) -> set[int]:
    """The lines without which the file can be composed; none where that is not all that is wrong with it."""
    try:
        entries = {files.place(file, one.line): one.line for one in files.defaults(file)}
        lines = {entries[place] for place in places if place in entries}
        said = file.read_text(encoding="utf-8").splitlines()
        if len(lines) < len(places) or not all(_is_alone(said[line - 1]) for line in lines):
            return set()
        empty = len(lines) == len(entries) and not any(line.strip() == "- _self_" for line in said)
        return lines | ({files.keys(file)["defaults"]} if empty else set())
    except yaml.MarkedYAMLError:
        return set()


def _is_alone(line: str) -> bool:
    """Whether a default has a line of its own: `- override /window: brian`."""
    return line.lstrip().startswith("- ") and "{" not in line and "[" not in line
