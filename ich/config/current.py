"""The job that runs now, as Hydra knows it."""

import sys
from pathlib import Path

# Hydra is imported where it is used, so that --help does without.


def is_sweep_job() -> bool:
    """Whether this is one job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN)


def job_words() -> list[str]:
    """What would run this job of a multirun alone: its door and its words."""
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    return [f"{job.job.name}.py", *(word.lstrip("+") for word in job.overrides.task)]


def job_command() -> list[str]:
    """The command line of this job of a multirun alone, in its own folder of the multirun."""
    from hydra.core.hydra_config import HydraConfig

    from ich.config.words import quoted

    hydra = HydraConfig.get()
    folder = f"hydra.run.dir={quoted(hydra.runtime.output_dir)}"
    return [sys.executable, str(Path(sys.argv[0]).resolve()), *hydra.overrides.task, folder]


def typed_words() -> list[str]:
    """The overrides of the command line."""
    from hydra.core.hydra_config import HydraConfig

    return [str(word) for word in HydraConfig.get().overrides.task]


def choices() -> dict[str, str]:
    """The file that was chosen for each group."""
    from hydra.core.hydra_config import HydraConfig

    chosen = HydraConfig.get().runtime.choices
    return {str(group): str(name) for group, name in chosen.items() if not str(group).startswith("hydra/")}


def choice(group: str) -> str:
    """The file that was chosen for a group."""
    from hydra.core.hydra_config import HydraConfig

    return str(HydraConfig.get().runtime.choices[group])
