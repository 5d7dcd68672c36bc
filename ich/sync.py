"""Sync: python -m ich.sync sends to the tracking server what it did not take while runs went on."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from ich import config
from ich.progress import counted


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/sync.yaml."""

    folder: Path


def sync(cfg: DictConfig) -> None:
    """Everything that is kept, run by run."""
    from ich.report.tracking import send_all

    sent = send_all(Path(cfg.folder))
    print(f"complete now: {counted(len(sent), 'run')} ({', '.join(sent)})" if sent else "there is nothing to send")


if __name__ == "__main__":
    config.launch(sync, name="sync", keys=Keys)
