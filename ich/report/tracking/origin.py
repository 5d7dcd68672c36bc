"""What a run comes from: the command, the user, the commit of the code."""

import contextlib
import getpass
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ich.config.files import PROJECT

# MLflow's words (mlflow/utils/mlflow_tags.py).
SOURCE_TAG = "mlflow.source.name"
COMMIT_TAG = "mlflow.source.git.commit"
CHANGED_TAG = "mlflow.source.git.dirty"


def origin_tags(command: Sequence[str] | None) -> dict[str, str]:
    """Of a run that this command started, by default this process's own command line."""
    return {
        SOURCE_TAG: shlex.join(command or [Path(sys.argv[0]).name, *sys.argv[1:]]),
        "mlflow.source.type": "LOCAL",
        **_user(),
        **code_version(),
    }


def code_version() -> dict[str, str]:
    """The commit of the code, and whether it was changed since; nothing where there is no git or no repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        described = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    commit, dirty, _ = described.partition("-dirty")
    return {COMMIT_TAG: commit, CHANGED_TAG: str(bool(dirty)).lower()}


def _user() -> dict[str, str]:
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        return {"mlflow.user": getpass.getuser()}
    return {}
