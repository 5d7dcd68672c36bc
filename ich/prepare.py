"""Prepare: python -m ich.prepare data=rsna data.root=FOLDER data.cache=DIR"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from omegaconf import DictConfig

from ich import config
from ich.errors import InputError
from ich.progress import counted

if TYPE_CHECKING:
    import pandas as pd

    from ich.ct.geometry import Geometry
    from ich.data.faults import Policies
    from ich.data.source import Source
    from ich.data.store import Store

NAMED = 10
"""Damaged slices that a message names."""


class BadOutput(InputError):
    """A folder that cannot be written to."""


class DamagedStore(InputError):
    """Slices of a store are no longer what was written."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/prepare.yaml that are no group."""

    shard: Annotated[int, Ge(0)] | None
    shard_bytes: Annotated[int, Ge(1)]
    processes: Annotated[int, Ge(1)] | None
    verify: bool
    report: bool
    series: bool
    output: Path
    names: Path | None

    def __post_init__(self) -> None:
        if self.shard is not None and (self.verify or self.report):
            raise ValueError("shard prepares one shard alone; verify and report are about a whole store: leave one out")


def prepare(cfg: DictConfig) -> None:
    """Write what is missing of the store of these data and this geometry, and say where it is."""
    # Imported here, so that --help needs no pandas.
    from ich.config.signature import build

    if cfg.report:  # before hours of work
        make_output(Path(cfg.output))
    source, geometry = build(cfg.data), build(cfg.geometry)
    if cfg.series:
        geometry = geometry.for_series()
    with source.pseudonyms.guarding():
        prepare_source(source, geometry, cfg)


def prepare_source(source: "Source", geometry: "Geometry", cfg: DictConfig) -> None:
    """The same, of what the configuration describes."""
    from ich.data.faults import find_faults
    from ich.data.pseudonym import write_names
    from ich.data.store import begin_store, open_store
    from ich.progress import bar

    with bar("Reading headers") as report:
        cohort, labels = source.load(spacing_required=geometry.spacing_required, report=report)
    if cfg.names is not None:
        write_names(Path(cfg.names), cohort.originals)
    begun = begin_store(cohort, geometry, cache=source.cache, shard_bytes=cfg.shard_bytes)
    with bar("Preparing slices") as report:
        if cfg.shard is not None:
            begun.write_one(cfg.shard, report, cfg.processes)
        elif not begun.is_whole:
            begun.write(report, cfg.processes)
    shards = begun.shards
    if cfg.shard is not None:
        there = f"{sum(shard.is_there for shard in shards)} of {counted(len(shards), 'shard')} there"
        what = f"shard {cfg.shard} is prepared" if cfg.shard < len(shards) else f"there is no shard {cfg.shard}"
        print(f"{what}; {there}: {begun.folder}")
    if begun.is_whole:
        store = open_store(begun.folder)
        left_out = len(cohort.rejected) + len(store.rejected)
        prepared = counted(len(store), "slice is", "slices are")
        named = " (report=true names them)" if left_out and not cfg.report else ""
        print(f"{prepared} prepared, {counted(left_out, 'file')} left out{named}: {begun.folder}")
        if cfg.report:
            report_faults(find_faults(cohort, store, labels), source.policies, Path(cfg.output))
        if cfg.verify:
            verify(store)


def make_output(output: Path) -> None:
    """Raises BadOutput."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(output, error) from error


def unwritable(output: Path, error: OSError) -> BadOutput:
    return BadOutput(f"{output}: cannot be written: {error.strerror}; output= takes a folder")


def report_faults(found: "pd.DataFrame", policies: "Policies", output: Path) -> None:
    """What is wrong with the data, as one table on the screen, and in `output` slice by slice."""
    from rich.console import Console
    from rich.table import Table

    from ich.data.faults import COLUMNS, count_faults

    counts = count_faults(found, policies)
    table = Table("fault", "count", "policy", "example", title="Faults")
    for row in counts.to_dict("records"):
        table.add_row(*(f"{value:,}" if name == "count" else str(value) for name, value in row.items()))
    Console().print(table)
    by_fault = counts.set_index("fault")[["count", "policy"]].to_dict("index")
    try:
        found[COLUMNS].to_csv(output / "faults.csv", index=False)
        (output / "faults.json").write_text(json.dumps(by_fault, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(output, error) from error
    print(f"slice by slice: {output / 'faults.csv'}; data.policies.FAULT=… says what is done about one")


def verify(store: "Store") -> None:
    """Read every checksum. Raises DamagedStore."""
    from ich.progress import bar

    with bar("Reading checksums") as report:
        damaged = list(store.damaged(report))
    if damaged:
        named = ", ".join(damaged[:NAMED]) + (" …" if len(damaged) > NAMED else "")
        what = f"{counted(len(damaged), 'slice')} of {len(store)} damaged: {named}"
        raise DamagedStore(f"{store.folder}: {what}; delete the folder, and it is written again")
    print(f"{counted(len(store), 'slice has its checksum', 'slices have their checksums')}")


if __name__ == "__main__":
    config.launch(prepare, name="prepare", keys=Keys)
