"""A mistake in a configuration: the key, what is wrong, where it stands, and the way out."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ich.errors import InputError

COMMAND_LINE = "command line"
NO_KEY = "there is no such key"
"""In the choice that a group has; another choice may have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """`where` is COMMAND_LINE, or file:line; empty until it is looked up."""

    key: str
    what: str
    where: str = ""

    def __str__(self) -> str:
        between = " " if self.what.startswith("is ") else ": "
        return f"{self.key}{between}{self.what}" + (f"  [{self.where}]" if self.where else "")


class BadConfig(InputError):
    """One or more mistakes, all that could be found."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: Sequence[Mistake] = list(dict.fromkeys(mistakes))
        count = len(self.mistakes)
        lines = "\n".join(f"  {mistake}" for mistake in self.mistakes)
        super().__init__(
            f"{count} mistake{'s' if count > 1 else ''} in the configuration; nothing was started\n{lines}"
        )


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean …?` where something is near, and then the choices."""
    known = sorted(choices)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f"did you mean {near[0]}? " if near else "") + f"choices: {', '.join(known) or 'none'}"
