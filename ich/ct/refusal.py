"""Why a file is not one readable CT slice."""

from pathlib import Path
from typing import Literal, get_args

from ich.errors import InputError

Reason = Literal[
    "empty", "not_dicom", "bad_header", "not_ct", "multi_frame", "colour", "localizer", "not_axial", "no_pixels",
    "bad_size", "bad_pixel_format", "bad_spacing", "bad_rescale", "unsupported_codec", "truncated", "corrupt_pixels",
    "implausible_hu",
]  # fmt: skip
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In order of precedence: a file with several faults gets the first."""


def printable(text: str) -> str:
    """The text with what is not printable escaped: a carriage return would part a row of a table in two."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


class BadSlice(InputError):
    """A file is not one readable CT slice: `path`, `reason` (one of REASONS) and `detail` (what, and the way out)."""

    def __init__(self, path: str | Path, reason: Reason, detail: str) -> None:
        detail = printable(detail)
        super().__init__(path, reason, detail)
        self.path = str(path)
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}: {self.detail}"
