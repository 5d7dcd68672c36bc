"""A value of YAML as the type that a signature asks for: strict, so that no typo is taken for a value."""

import dataclasses
import difflib
import functools
import inspect
import json
import math
import typing
from pathlib import Path
from typing import Any, Literal, Protocol

import pydantic

from ich.config import hints
from ich.config.mistakes import Mistake
from ich.config.paths import Existing, Writable

MISSING = "???"
TARGET = "_target_"
ANOTHER_TYPE = "is of another type"
KeyPath = tuple[str, ...]


class Construct(Protocol):
    """Builds a mapping by its `_target_`, or as `kind`: handed in, so that this file knows nothing of building."""

    def __call__(self, path: KeyPath, node: Any, mistakes: list[Mistake], kind: type | None = None) -> Any: ...


def mistake(path: KeyPath, what: str) -> Mistake:
    return Mistake(key=".".join(path), what=what)


def convert(path: KeyPath, hint: Any, value: Any, mistakes: list[Mistake], construct: Construct) -> Any:
    """`value` as `hint` says; where it cannot be, the reason goes to `mistakes` and the answer is None.

    Lists become lists or tuples, mappings become dataclasses or what their `_target_` says. Text never becomes a
    number, nor true or false; a whole number may stand for a number.
    """
    if value == MISSING:
        mistakes.append(mistake(path, f"is missing; give {'.'.join(path)}=VALUE"))
        return None
    tried = []
    for member in hints.members(hint):
        found: list[Mistake] = []
        converted = _convert_one(path, member, value, found, construct)
        if not found:
            return converted
        tried.append(found)
    # What is wrong inside the value, or with its range, says more than its type.
    informed = [found for found in tried if ANOTHER_TYPE not in (one.what for one in found)]
    mistakes += informed[0] if informed else [mistake(path, _not_a(value, hint))]
    return None


def _not_a(value: Any, hint: Any) -> str:
    words = [
        str(word) for one in hints.members(hint) if typing.get_origin(one) is Literal for word in typing.get_args(one)
    ]
    near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    said = json.dumps(value) if isinstance(value, bool | None) else repr(value)
    return f"{said} is not {hints.in_words(hint)}" + (f"; did you mean {near[0]}?" if near else "")


def _convert_one(path: KeyPath, hint: Any, value: Any, mistakes: list[Mistake], construct: Construct) -> Any:
    kind = hints.bare(hint)
    origin = typing.get_origin(kind) or kind
    if kind is Any:
        return value
    if origin in hints.LISTS and isinstance(value, list):
        return _convert_list(path, kind, value, mistakes, construct)
    if origin in hints.MAPPINGS and isinstance(value, dict):
        item = (typing.get_args(kind) or (str, Any))[1]
        return {name: convert((*path, str(name)), item, one, mistakes, construct) for name, one in value.items()}
    if (origin is Literal or kind in hints.WORDS) and isinstance(value, bool | int | float | str | None):
        return _convert_scalar(path, hint, value, mistakes)
    if inspect.isclass(kind) and isinstance(value, dict) and (TARGET in value or dataclasses.is_dataclass(kind)):
        built = construct(path, value, mistakes, None if TARGET in value else kind)
        if built is not None and not isinstance(built, kind):
            mistakes.append(mistake(path, f"a {type(built).__name__} is no {kind.__name__}"))
        return built
    mistakes.append(mistake(path, ANOTHER_TYPE))
    return None


def _convert_list(path: KeyPath, kind: Any, value: list[Any], mistakes: list[Mistake], construct: Construct) -> Any:
    origin, items = typing.get_origin(kind) or kind, typing.get_args(kind) or (Any, ...)
    if origin is tuple and Ellipsis not in items:
        if len(value) != len(items):
            mistakes.append(mistake(path, f"{value} has {len(value)} values, not {len(items)}"))
            return None
    else:
        items = (items[0],) * len(value)
    converted = [
        convert((*path, str(place)), item, one, mistakes, construct)
        for place, (item, one) in enumerate(zip(items, value, strict=True))
    ]
    return tuple(converted) if origin is tuple else converted


def _convert_scalar(path: KeyPath, hint: Any, value: Any, mistakes: list[Mistake]) -> Any:
    if isinstance(value, float) and math.isnan(value):
        mistakes.append(mistake(path, "nan is no number"))
        return None
    if value == "" and hints.bare(hint) is Path:
        mistakes.append(mistake(path, "it is empty, which would be the working directory; give a path"))
        return None
    for asked in getattr(hint, "__metadata__", ()):
        objection = asked.objection(value) if isinstance(asked, Existing | Writable) and isinstance(value, str) else ""
        if objection:
            mistakes.append(mistake(path, objection))
            return None
    try:
        return _adapter(hint).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        of_range = "ctx" in problem and problem["type"] != "literal_error"
        mistakes.append(
            mistake(path, f"{value!r}: {problem['msg'].removeprefix('Input ')}" if of_range else ANOTHER_TYPE)
        )
        return None


@functools.lru_cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(hint)
