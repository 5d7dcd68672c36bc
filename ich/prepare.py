"""Prepare: python -m ich.prepare data=rsna data.root=FOLDER data.cache=DIR"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from omegaconf import DictConfig

from ich import config
from ich.errors import InputError

if TYPE_CHECKING:
    from ich.data.store import Store

NAMED = 10
"""Damaged slices that a message names."""


class DamagedStore(InputError):
    """Slices of a store are no longer what was written."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/prepare.yaml that are no group."""

    shard: Annotated[int, Ge(0)] | None
    shard_bytes: Annotated[int, Ge(1)]
    verify: bool

    def __post_init__(self) -> None:
        if self.shard is not None and self.verify:
            raise ValueError("shard prepares one shard alone, and verify reads a whole store; leave one out")


def prepare(cfg: DictConfig) -> None:
    """Write what is missing of the store of these data and this geometry, and say where it is."""
    # Imported here, so that --help needs no pandas.
    from ich.config.signature import build
    from ich.data.store import begin_store, open_store
    from ich.progress import bar

    source, geometry = build(cfg.data), build(cfg.geometry)
    with bar("Reading headers") as report:
        cohort, _ = source.load(spacing_required=geometry.spacing_required, report=report)
    begun = begin_store(cohort, geometry, cache=source.cache, shard_bytes=cfg.shard_bytes)
    with bar("Preparing slices") as report:
        if cfg.shard is not None:
            begun.write_one(cfg.shard, report)
        elif not begun.is_whole:
            begun.write(report)
    shards = begun.shards
    if cfg.shard is not None:
        there = f"{sum(shard.is_there for shard in shards)} of {len(shards)} shards are there"
        what = f"shard {cfg.shard} is prepared" if cfg.shard < len(shards) else f"there is no shard {cfg.shard}"
        print(f"{what}; {there}: {begun.folder}")
    if begun.is_whole:
        store = open_store(begun.folder)
        left_out = len(cohort.rejected) + len(store.rejected)
        print(f"{len(store)} slices are prepared, {left_out} files left out: {begun.folder}")
        if cfg.verify:
            verify(store)


def verify(store: "Store") -> None:
    """Read every checksum. Raises DamagedStore."""
    from ich.progress import bar

    with bar("Reading checksums") as report:
        damaged = list(store.damaged(report))
    if damaged:
        named = ", ".join(damaged[:NAMED]) + (" …" if len(damaged) > NAMED else "")
        what = f"{len(damaged)} of {len(store)} slices are damaged: {named}"
        raise DamagedStore(f"{store.folder}: {what}; delete the folder, and it is written again")
    print(f"{len(store)} slices have their checksums")


if __name__ == "__main__":
    config.launch(prepare, name="prepare", keys=Keys)
