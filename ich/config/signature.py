"""A constructor's signature is the schema of its YAML; what the constructor itself refuses is a mistake, too."""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
from omegaconf import DictConfig, ListConfig, OmegaConf

from ich.config import hints, target
from ich.config.mistakes import NO_KEY, BadConfig, Mistake, nearest
from ich.config.values import MISSING, TARGET, KeyPath, convert, mistake

PARTIAL = "_partial_"
REFUSALS = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    UserWarning,
)
"""What a constructor may raise about its arguments; albumentations only warns of some."""


def build(node: Any) -> Any:
    """What a node describes: `_target_` called with the other keys, nested ones first; a `_partial_` waits for more.

    Raises BadConfig; nothing but the classes of `ich.config.target` is ever called.
    """
    mistakes: list[Mistake] = []
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig | ListConfig) else node
    built = construct((), plain, mistakes)
    if mistakes:
        raise BadConfig(mistakes)
    return built


def construct(path: KeyPath, node: Any, mistakes: list[Mistake], kind: type | None = None) -> Any:
    """The object of a plain node, by its `_target_` or as `kind`; None where something goes to `mistakes`."""
    before = len(mistakes)
    made, partial = kind or _target(path, node, mistakes), _partial(path, node, mistakes)
    if len(mistakes) > before:
        return None
    values = _arguments(path, made, node, mistakes, partial=partial)
    if len(mistakes) > before:
        return None
    if partial:
        return functools.partial(made, **values)
    return call(path, made, values, mistakes)


def call(path: KeyPath, make: Callable[..., Any], values: dict[str, Any], mistakes: list[Mistake]) -> Any:
    """`make(**values)`; its own refusal becomes a mistake of the key that it is about."""
    try:
        return _make(make, values)
    except REFUSALS as error:
        listed = error if isinstance(error, pydantic.ValidationError) else error.__cause__ or error.__context__
        if isinstance(listed, pydantic.ValidationError):  # albumentations hides its own in a ValueError
            mistakes += [mistake((*path, *map(str, one["loc"][:1])), one["msg"]) for one in listed.errors()]
        else:
            words = str(error) or type(error).__name__
            mistakes.append(mistake((*path, *_culprit(make, values, words)), words))
    return None


def _make(make: Callable[..., Any], values: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        if inspect.isclass(make) and make.__module__.startswith("albumentations"):
            warnings.simplefilter("error", UserWarning)
        return make(**values)


def _culprit(make: Callable[..., Any], values: dict[str, Any], words: str) -> Iterator[str]:
    """The key without which nothing would be refused; of several, the one that the words name."""
    guilty = [name for name in values if _accepts(make, {key: value for key, value in values.items() if key != name})]
    named = [
        name
        for name in guilty or values
        if name in words or name.replace("_", " ") in words or repr(values[name]) in words
    ]
    yield from [*named, *guilty][:1]


def _accepts(make: Callable[..., Any], values: dict[str, Any]) -> bool:
    try:
        _make(make, values)
    except REFUSALS:
        return False
    return True


def _target(path: KeyPath, node: Any, mistakes: list[Mistake]) -> Any:
    if not isinstance(node, dict):
        mistakes.append(mistake(path, f"{node!r} is not a mapping with {TARGET}"))
        return None
    named = node.get(TARGET)
    if not isinstance(named, str) or named == MISSING:
        mistakes.append(mistake((*path, TARGET), "is missing; it names the class to build"))
        return None
    try:
        return target.resolve(named)
    except target.BadTarget as error:
        mistakes.append(mistake((*path, TARGET), str(error)))
        return None


def _partial(path: KeyPath, node: Any, mistakes: list[Mistake]) -> bool:
    partial = node.get(PARTIAL, False) if isinstance(node, dict) else False
    if not isinstance(partial, bool):
        mistakes.append(mistake((*path, PARTIAL), f"{partial!r} is not true or false"))
    return partial is True


def _arguments(
    path: KeyPath, made: Any, node: dict[str, Any], mistakes: list[Mistake], *, partial: bool
) -> dict[str, Any]:
    """The arguments in the types of the signature."""
    known = hints.parameters(made, partial=partial)
    values = {}
    for name, value in node.items():
        if name in (TARGET, PARTIAL):
            continue
        if name not in known:
            mistakes.append(mistake((*path, str(name)), f"{NO_KEY}; {nearest(str(name), known)}"))
        else:
            values[name] = convert((*path, name), hints.hint(made, known[name]), value, mistakes, construct)
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in node and not partial:
            mistakes.append(mistake((*path, name), f"is missing; give {'.'.join((*path, name))}=VALUE"))
    return values
