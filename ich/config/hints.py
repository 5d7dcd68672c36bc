"""What a signature says of its arguments: names, types, and the types in words."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ForwardRef, Literal

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "null",
    Any: "a value",
}  # fmt: skip
"""The types of one value that YAML can say."""
LISTS = (list, tuple, set, frozenset, Sequence, Iterable, Collection)
MAPPINGS = (dict, Mapping)
UNSAID = bool | int | float | str | list[bool | int | float | str | None] | None
"""Where a library says nothing of an argument: anything but a mapping."""

_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def parameters(target: Callable[..., Any], *, partial: bool) -> dict[str, inspect.Parameter]:
    """The arguments that YAML may give. The first argument of a partial (parameters, an optimizer) comes later."""
    named = {name: one for name, one in inspect.signature(target).parameters.items() if one.kind not in _OPEN}
    if partial and named:
        del named[next(iter(named))]
    return named


def hint(target: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The type of an argument; where a library does not annotate it, that of its default."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = _evaluate(annotation, target)
    return _of_default(parameter.default) if annotation is inspect.Parameter.empty else annotation


def _evaluate(annotation: str, target: Callable[..., Any]) -> Any:
    """A written annotation, in the module of the class that wrote it."""
    owner = next((base for base in getattr(target, "__mro__", ()) if "__init__" in vars(base)), target)
    namespace = vars(sys.modules[owner.__module__])
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"it": ForwardRef(annotation)}),
            globalns=namespace,
            include_extras=True,
        )["it"]
    except (NameError, AttributeError, TypeError):  # a name for type checkers only
        return inspect.Parameter.empty


def _of_default(default: object) -> Any:
    if isinstance(default, bool | str):
        return type(default)
    if isinstance(default, int | float):
        return float
    return UNSAID


def members(hint: Any) -> list[Any]:
    """The types of a union that YAML can say; of any other type, the type itself, or nothing."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [one for part in typing.get_args(hint) for one in members(part)]
    if typing.get_origin(hint) is Annotated:
        return [one if one is NoneType else Annotated[one, *hint.__metadata__] for one in members(bare(hint))]
    return [hint] if sayable(hint) else []


def takes_path(hint: Any) -> bool:
    """Whether one of its types is a path."""
    return Path in map(bare, members(hint))


def bare(hint: Any) -> Any:
    """Without its ranges: `Annotated[int, Ge(1)]` is int."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def sayable(hint: Any) -> bool:
    """Whether YAML can say a value of this type: no tensor, no function."""
    kind = bare(hint)
    origin = typing.get_origin(kind)
    if origin is Literal or kind in WORDS or kind in LISTS or kind in MAPPINGS:
        return True
    if origin in LISTS or origin in MAPPINGS:
        return all(members(item) for item in typing.get_args(kind) if item is not Ellipsis)
    return inspect.isclass(kind) and origin is None and not _from_tensors(kind)


def _from_tensors(kind: type) -> bool:
    return f"{kind.__module__}.{kind.__qualname__}" == "torch.Tensor" or issubclass(kind, types.FunctionType)


def in_words(hint: Any) -> str:
    """Such as "a whole number or null"."""
    return " or ".join(dict.fromkeys(_word(one) for one in members(hint))) or "something that can be written in YAML"


def _word(hint: Any) -> str:
    kind = bare(hint)
    origin = typing.get_origin(kind) or kind
    if origin is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if origin is tuple and Ellipsis not in typing.get_args(kind):
        return f"a list of {len(typing.get_args(kind))}"
    if origin in LISTS:
        return "a list"
    if origin in MAPPINGS:
        return "a mapping"
    return WORDS.get(kind) or f"a mapping that makes a {kind.__name__}"
