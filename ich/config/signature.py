"""A constructor's signature is the schema of its YAML: which targets are allowed, which keys they take, of which types."""

import dataclasses
import functools
import importlib
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pydantic
from omegaconf import DictConfig, ListConfig, OmegaConf

from ich.config.mistakes import BadConfig, Mistake, nearest

MISSING = "???"
TARGET, PARTIAL = "_target_", "_partial_"
_SCALARS = (bool, int, float, str)
_GIVEN_LATER = ("params", "optimizer", "args", "kwargs")
"""What partials get when a training starts; no YAML says it."""


def build(node: Any) -> Any:
    """What a checked node describes: `_target_` called with the other keys, nested ones first; `_partial_: true` waits for more."""
    mistakes: list[Mistake] = []
    built = construct((), _plain(node), mistakes)
    if mistakes:
        raise BadConfig(mistakes)
    return built


def construct(path: tuple[str, ...], node: Any, mistakes: list[Mistake]) -> Any:
    """The object of a plain node with a `_target_`; what is wrong goes to `mistakes`, and the object is then None."""
    target = _resolve(path, node, mistakes)
    before = len(mistakes)
    if target is None:
        return None
    arguments = {name: value for name, value in node.items() if name not in (TARGET, PARTIAL)}
    partial = node.get(PARTIAL, False)
    if not isinstance(partial, bool):
        mistakes.append(_mistake((*path, PARTIAL), f"true or false, not {partial!r}"))
        return None
    values = _arguments(path, target, arguments, mistakes, partial=partial)
    if len(mistakes) > before:
        return None
    if partial:
        return functools.partial(target, **values)
    return _call(path, target, values, mistakes)


def is_allowed(target: Any) -> bool:
    """By what it is, never by how it is spelled: `torch.optim.adam.torch.load` resolves, too."""
    if getattr(target, "__module__", "").split(".")[0] == "ich" and inspect.isclass(target):
        return True
    if not inspect.isclass(target):
        return False
    bases = {f"{base.__module__}.{base.__qualname__}" for base in target.__mro__}
    return bool(bases & _BASES)


_BASES = {
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.nn.modules.module.Module",
    "albumentations.core.transforms_interface.BasicTransform",
}
_ROOTS = ("ich", "torch", "albumentations", "timm")
"""Only these packages are imported to look a target up: an import runs code."""


def _resolve(path: tuple[str, ...], node: Any, mistakes: list[Mistake]) -> Any:
    name = node.get(TARGET) if isinstance(node, dict) else None
    if not isinstance(name, str):
        mistakes.append(_mistake((*path, TARGET) if isinstance(node, dict) else path, f"a mapping with {TARGET}, not {node!r}"))
        return None
    target = _look_up(name)
    if target is None or not is_allowed(target):
        mistakes.append(_mistake(
            (*path, TARGET),
            f"{name} is nothing that can be built here: an optimizer, a scheduler, a module, a transform, or a class of ich",
        ))  # fmt: skip
        return None
    return target


def _look_up(name: str) -> Any:
    parts = name.split(".")
    if parts[0] not in _ROOTS:
        return None
    for count in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found
    return None


def _arguments(
    path: tuple[str, ...], target: Callable[..., Any], given: dict[str, Any], mistakes: list[Mistake], *, partial: bool
) -> dict[str, Any]:
    """The arguments in the types of the signature."""
    parameters, hints = inspect.signature(target).parameters, _hints(target)
    values = {}
    for name, value in given.items():
        if name not in parameters or name in _GIVEN_LATER:
            choices = [one for one in parameters if one not in _GIVEN_LATER]
            mistakes.append(_mistake((*path, name), f"there is no such key; {nearest(name, choices)}"))
        elif value == MISSING:
            mistakes.append(_mistake((*path, name), "it is missing: it has no default, so give it a value"))
        else:
            values[name] = coerce((*path, name), hints[name], value, mistakes)
    if not partial:
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in given and parameter.kind is not parameter.VAR_KEYWORD:
                mistakes.append(_mistake((*path, name), "it is missing: it has no default, so give it a value"))
    return values


_ANYTHING = bool | int | float | str | list[Any] | None


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """What each argument is annotated with; where a library does not annotate, the type of its default."""
    function = target.__init__ if inspect.isclass(target) else target
    hints = {}
    for name, parameter in inspect.signature(target).parameters.items():
        annotated = parameter.annotation
        if annotated is inspect.Parameter.empty:
            kind = type(parameter.default)
            hints[name] = kind if kind in _SCALARS else _ANYTHING
        elif isinstance(annotated, str):
            hints[name] = _evaluated(annotated, inspect.unwrap(function))
        else:
            hints[name] = annotated
    return hints


def _evaluated(annotated: str, function: Callable[..., Any]) -> Any:
    """An annotation that stands as text in its library's source; some name what only type checkers import."""
    try:
        return typing.get_type_hints(_Holder(annotated), vars(sys.modules[function.__module__]), include_extras=True)["it"]
    except (NameError, TypeError):
        return _ANYTHING


class _Holder:
    def __init__(self, annotated: str) -> None:
        self.__annotations__ = {"it": annotated}


def coerce(path: tuple[str, ...], hint: Any, value: Any, mistakes: list[Mistake]) -> Any:
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        count = len(mistakes)
        values = _arguments(path, hint, value, mistakes, partial=False)
        return _call(path, hint, values, mistakes) if len(mistakes) == count else None
    if isinstance(value, dict) and TARGET in value:
        return construct(path, value, mistakes)
    if typing.get_origin(hint) in (Sequence, list):
        if not isinstance(value, list):
            mistakes.append(_mistake(path, f"{value!r} is not a list"))
            return None
        (item,) = typing.get_args(hint)
        return [coerce((*path, str(place)), item, one, mistakes) for place, one in enumerate(value)]
    try:
        return _adapter(hint).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        problems = list(dict.fromkeys(problem["msg"].removeprefix("Input should be ") for problem in error.errors()))
        mistakes.append(_mistake(path, f"{value!r} is not {' or '.join(problems[:4])}"))
        return None


def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    """Of the types that YAML can say: a tensor or a callable in a library's union is left out."""
    choices = [one for one in typing.get_args(hint) if _sayable(one)] if _is_union(hint) else [hint]
    said = typing.Union[tuple(choices)] if choices and all(map(_sayable, choices)) else bool | int | float | str | None  # noqa: UP007
    return pydantic.TypeAdapter(said)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, type(int | str))


def _sayable(hint: Any) -> bool:
    try:
        pydantic.TypeAdapter(hint).json_schema()
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticSchemaGenerationError):
        return False
    return True


def _call(path: tuple[str, ...], target: Callable[..., Any], values: dict[str, Any], mistakes: list[Mistake]) -> Any:
    """Construct, and take the constructor's own refusal as a mistake."""
    try:
        return target(**values)
    except (TypeError, ValueError, UserWarning) as error:
        mistakes.append(_mistake(path, "; ".join(_refusals(error))))
        return None


def _refusals(error: BaseException) -> Iterator[str]:
    if isinstance(error, pydantic.ValidationError):
        yield from (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    else:
        yield str(error)


def _mistake(path: tuple[str, ...], what: str) -> Mistake:
    return Mistake(key=".".join(path), what=what)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig | ListConfig) else node
