"""What a command line means: compose an experiment from YAML, check it whole, build its parts.

    mistakes     what is wrong, where, and the nearest right thing
    files        conf/: groups, choices, lines
    compose      YAML files and overrides to one configuration
    signature    a constructor's signature as the schema of its YAML
    check        every mistake at once, before data are touched
    help         what --help prints
    launch       a door: help, check, Hydra, exit codes

Imported on use: `--help` needs neither Hydra nor torch.
"""

from ich.config.launch import choice, is_sweep_job, job_command, launch

__all__ = ["choice", "is_sweep_job", "job_command", "launch"]
