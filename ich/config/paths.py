"""What an annotation may ask of a path: that it is there, or that it can be written."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """`Annotated[Path, Existing(kind="file", way_out="give …")]`: what is not there is a mistake of the command.

    What begins with `besides` (one or several) names something else than a path, such as runs:/ID.
    """

    kind: Literal["file", "folder", "file or folder"]
    way_out: str
    besides: str | tuple[str, ...] = ()

    def objection(self, value: str) -> str:
        """What is wrong with a value, or nothing."""
        if value.startswith(self.besides):
            return ""
        path = Path(value)
        try:
            there = path.stat() and (
                (path.is_file() and self.kind != "folder") or (path.is_dir() and self.kind != "file")
            )
        except FileNotFoundError:
            there = False
        except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
            return f"{value} cannot be read: {_reason(error)}"
        return "" if there else f"there is no {self.kind} {value}; {self.way_out}"


CHECKPOINT = Existing(
    kind="file", way_out="give one that train.py wrote, or runs:/ID of a run that has one", besides="runs:/"
)

RESUMABLE = Existing(
    kind="file", way_out="give runs:/ID of a run, a last.ckpt that train.py wrote, or auto", besides=("runs:/", "auto")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writable:
    """`Annotated[Path, Writable()]`: a folder that is there or can be made. Nothing is left behind by asking."""

    def objection(self, value: str) -> str:
        """What is wrong with a value, or nothing."""
        path = Path(value).absolute()
        try:
            nearest = next(folder for folder in (path, *path.parents) if folder.exists())
            if not nearest.is_dir():
                return f"no folder can be made at {value}: {nearest} is a file"
            if nearest != path:  # a folder that is there may be read only, and whole
                tempfile.TemporaryFile(dir=nearest).close()
        except (OSError, ValueError) as error:
            return f"no folder can be made at {value}: {_reason(error)}"
        return ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
