"""conf/: which groups and choices there are, and on which line a key stands."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

import ich

PROJECT = Path(ich.__file__).parents[1]
"""Where train.py lies: runs, caches and conf/ lie beside it, whatever the working directory."""
CONF = PROJECT / "conf"
MAX_VALUES = 10_000
"""In one file, each alias counted as what it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One file of a group."""

    name: str
    file: Path

    @property
    def description(self) -> str:
        """Its first comment."""
        comments = opening_comments(self.file)
        return comments[0] if comments else ""


class Default(NamedTuple):
    """One entry of a defaults list; `override /model: timm` is ("model", "timm", 4)."""

    group: str
    choice: str | None
    line: int


def groups(conf: Path) -> dict[str, dict[str, Choice]]:
    """Every group with its choices."""
    return {
        folder.name: {file.stem: Choice(name=file.stem, file=file) for file in sorted(folder.glob("*.yaml"))}
        for folder in sorted(conf.iterdir())
        if folder.is_dir()
    }


def opening_comments(file: Path) -> list[str]:
    """The comment lines above a file's first key, without Hydra's own `@package`."""
    comments = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comments.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return [comment for comment in comments if not comment.startswith("@package")]


def defaults(file: Path) -> list[Default]:
    """The entries of a file's defaults list that choose for a group. Raises yaml.MarkedYAMLError."""
    entries = _child(_root(file), "defaults")
    found = []
    for entry in entries[1].value if entries else []:
        if isinstance(entry, yaml.MappingNode) and entry.value:
            key, value = entry.value[0]
            group = str(key.value).removeprefix("override").strip().lstrip("/")
            found.append(
                Default(group, None if value.tag.endswith(":null") else str(value.value), key.start_mark.line + 1)
            )
    return found


def keys(file: Path) -> dict[str, int]:
    """The top keys of a file with their lines. Raises yaml.MarkedYAMLError."""
    root = _root(file)
    return {str(key.value): key.start_mark.line + 1 for key, _ in root.value} if root else {}


def leaves(file: Path) -> list[str]:
    """The names of all keys of a file, at any depth. Raises yaml.MarkedYAMLError."""
    return _names(_root(file))


def locate(file: Path, path: Sequence[str]) -> tuple[int, int]:
    """How many parts of a nested key stand in a file, and the line of the last of them (1 where none does)."""
    node: yaml.Node | None = _root(file)
    line = 1
    for depth, part in enumerate(path):
        found = _child(node, part)
        if found is None:
            return depth, line
        line, node = found[0].start_mark.line + 1, found[1]
    return len(path), line


def place(file: Path, line: int) -> str:
    """file:line, from the project's folder where it lies there."""
    return f"{file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file}:{line}"


def _root(file: Path) -> yaml.MappingNode | None:
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache
def _read(file: Path, _changed: int, _size: int) -> yaml.MappingNode | None:
    """The nodes of a file, read once as long as it does not change: every job of a sweep asks for the same ones."""
    with file.open(encoding="utf-8") as stream:  # a stream, so that errors know its name
        try:
            node = yaml.compose(stream, Loader=yaml.SafeLoader)
            values = _count(node, {})
        except RecursionError:
            values = MAX_VALUES + 1
        except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
            raise _refused(file, "it is no text in UTF-8, or holds letters that YAML does not allow") from error
    if values > MAX_VALUES:
        raise _refused(file, f"it holds more than {MAX_VALUES:,} values, or itself; an experiment has dozens")
    return node if isinstance(node, yaml.MappingNode) else None


def _refused(file: Path, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=yaml.Mark(str(file), 0, 0, 0, "", 0))


def _count(node: yaml.Node | None, known: dict[int, int]) -> int:
    """The values that a node stands for: an alias stands for all of what it names, and ten of ten of ten are many."""
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # until it is counted: one that holds itself has no end
        inner = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []
        parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = min(1 + sum(_count(part, known) for part in parts), MAX_VALUES + 1)
    return known[id(node)]


def _names(node: yaml.Node | None) -> list[str]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [name for key, value in node.value for name in (str(key.value), *_names(value))]


def _child(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        return node.value[int(name)], node.value[int(name)]
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == name), None)
    return None
