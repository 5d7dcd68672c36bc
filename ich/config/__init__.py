"""What a command line means: compose an experiment from YAML, check it whole, build its parts.

    mistakes     what is wrong, where, and the nearest right thing
    files        conf/: groups, choices, lines
    words        the words of a command line as overrides
    compose      YAML files and overrides to one configuration
    names        groups, choices and keys that there are not
    target       which classes may be built
    paths        what an annotation may ask of a path
    hints        what a signature says of its arguments
    values       a value of YAML as the type that a signature asks for
    signature    a constructor's signature as the schema of its YAML; build
    trial        what parts refuse only when they are used
    mended       an experiment without the defaults that are wrong
    check        every mistake at once, before data are touched
    stored       a checkpoint's settings beside those of a command
    current      the job that runs now
    stop         Ctrl-C and SIGTERM as one exception
    launched     jobs that a launcher runs as processes
    job          what Hydra calls, and how its failures are said
    page         what --help prints
    launch       a door: help, check, Hydra, exit codes

Hydra, pydantic and torch are imported on use: `--help` needs none of them.
"""

from ich.config.current import choice, choices, is_sweep_job, job_command, job_words, typed_words
from ich.config.launch import launch
from ich.config.stop import already_ending, sigterm_waits

__all__ = [
    "already_ending",
    "choice",
    "choices",
    "is_sweep_job",
    "job_command",
    "job_words",
    "launch",
    "sigterm_waits",
    "typed_words",
]
