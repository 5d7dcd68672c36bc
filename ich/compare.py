"""Compare: python -m ich.compare a=runs:/A b=runs:/B prints what makes two runs differ."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from omegaconf import DictConfig

from ich import config

SCHEME = "runs:/"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/compare.yaml."""

    a: str
    b: str
    most: Annotated[int, Ge(1)]

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            if not value.startswith(SCHEME):
                raise ValueError(f"{name}={value}: give {SCHEME}ID, or {SCHEME}latest")


def compare(cfg: DictConfig) -> None:
    """Configuration, data, folds, code, environment, metrics: of each what differs, or that nothing does."""
    # Imported here, so that --help needs no pandas.
    from ich.report.comparison import compare_runs, read_kept

    print(compare_runs(read_kept(cfg.a), read_kept(cfg.b)).text(cfg.most))


if __name__ == "__main__":
    config.launch(compare, name="compare", keys=Keys)
