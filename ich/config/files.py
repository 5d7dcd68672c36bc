"""conf/: which groups and choices there are, and on which line a key stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

import ich

PROJECT = Path(ich.__file__).parents[1]
"""Where train.py lies: runs, caches and conf/ lie beside it, whatever the working directory."""
CONF = PROJECT / "conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One file of a group and its first comment."""

    name: str
    file: Path

    @property
    def description(self) -> str:
        comments = [line[1:].strip() for line in self.file.read_text().splitlines() if line.startswith("#")]
        return next((comment for comment in comments if not comment.startswith("@package")), "")


def groups(conf: Path) -> dict[str, dict[str, Choice]]:
    """Every group with its choices."""
    return {
        folder.name: {file.stem: Choice(name=file.stem, file=file) for file in sorted(folder.glob("*.yaml"))}
        for folder in sorted(conf.iterdir())
        if folder.is_dir()
    }


def defaults(file: Path) -> list[tuple[str, str | None, int]]:
    """The defaults list of a file as (group, choice, line); `override /model: timm` is ("model", "timm", 4)."""
    node = _child(_root(file), "defaults")
    found = []
    for entry in node[1].value if node else []:
        if isinstance(entry, yaml.MappingNode):
            key, value = entry.value[0]
            group = key.value.removeprefix("override").strip().lstrip("/")
            found.append((group, None if value.tag.endswith(":null") else value.value, key.start_mark.line + 1))
    return found


def keys(file: Path) -> list[tuple[str, int]]:
    """The top keys of a file with their lines."""
    root = _root(file)
    return [(key.value, key.start_mark.line + 1) for key, _ in root.value] if root else []


def line_of(file: Path, path: Sequence[str]) -> int | None:
    """The line of a nested key in a file, or of the deepest part of it that stands there (at least the first part)."""
    node: yaml.Node | None = _root(file)
    line = None
    for part in path:
        found = _child(node, part)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


@lru_cache
def _root(file: Path) -> yaml.MappingNode | None:
    node = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
    return node if isinstance(node, yaml.MappingNode) else None


def _child(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        return node.value[int(name)], node.value[int(name)]
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == name), None)
    return None
