"""Explore: python -m ich.explore output=out/explore"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le
from omegaconf import DictConfig

from ich import config


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/explore.yaml that are no group."""

    output: Path
    labels: Path | None
    image: str | None
    gallery: Annotated[int, Ge(1), Le(12)]

    def __post_init__(self) -> None:
        if self.labels is not None and self.image is not None:
            raise ValueError("image= follows a slice of data=; leave it out where labels= names a label CSV alone")


def explore(cfg: DictConfig) -> None:
    """The figures of a label CSV, or of a cohort with its slices, on one page."""
    # Imported here, so that --help needs no torch.
    from ich.config.signature import build
    from ich.data.labels import read_labels
    from ich.progress import bar
    from ich.report import exploration

    source, geometry = build(cfg.data), build(cfg.geometry)
    pseudonyms = source.pseudonyms
    with pseudonyms.guarding():
        if cfg.labels is not None:
            labels = read_labels(cfg.labels)
            labels.index = pseudonyms.rename(labels.index)
            found = exploration.of_labels(labels, name=Path(cfg.labels).name)
        else:
            with bar("Reading headers") as report:
                cohort, labels = source.load(spacing_required=geometry.spacing_required, report=report)
            found = exploration.of_cohort(
                cohort,
                labels,
                windows=build(cfg.window).windows(),
                geometry=geometry,
                image=cfg.image and pseudonyms.among(cfg.image, labels.index),
                gallery=cfg.gallery,
                synthetic=config.choice("data") == "phantom",
            )
    page = exploration.write(found, Path(cfg.output))
    print(f"{len(found.plates)} figures of {found.name}: {page}")


if __name__ == "__main__":
    config.launch(explore, name="explore", keys=Keys)
