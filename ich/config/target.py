"""Which `_target_` may be built: decided by what the name resolves to, never by how it is spelled."""

import dataclasses
import difflib
import importlib
import inspect
from types import ModuleType
from typing import Any

BASES = {
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.nn.modules.module.Module",
    "albumentations.core.transforms_interface.BasicTransform",
}
PACKAGES = ("ich", "torch", "albumentations", "timm")
IMPORTED = ("ich", "torch.nn", "torch.optim", "albumentations", "timm")
"""Only these, and PACKAGES themselves, are imported to look a target up: an import runs code, and so does
`torch.distributed.run`'s, which loads a library of C."""


class BadTarget(Exception):
    """A `_target_` that is not there, or may not be built."""


def resolve(name: str) -> type:
    """The class that `name` says; raises BadTarget. Nothing is called."""
    parts = name.split(".")
    if parts[0] not in PACKAGES or not all(part.isidentifier() and not part.startswith("_") for part in parts):
        raise BadTarget(f"{name} may not be built here: take a public class of {', '.join(PACKAGES)}")
    found, rest = _import(parts)
    for part in rest:
        if not hasattr(found, part):
            raise BadTarget(f"there is no {name}{_near(part, found)}")
        found = getattr(found, part)
    if not is_allowed(found):
        raise BadTarget(
            f"{name} may not be built here: it is no optimizer, learning-rate scheduler, torch module, "
            f"albumentations transform or class of ich"
        )
    assert inspect.isclass(found)
    return found


def is_allowed(target: Any) -> bool:
    """`torch.optim.adam.torch.load` resolves, too, and is refused: it is no class of a kind that YAML describes."""
    if not inspect.isclass(target):
        return False
    if is_a(target, *BASES):
        return True
    return target.__module__.split(".")[0] == "ich" and dataclasses.is_dataclass(target)


def is_a(target: type, *bases: str) -> bool:
    """Whether a class has one of these among its bases, by their full names: nothing is imported to ask."""
    return not {f"{base.__module__}.{base.__qualname__}" for base in target.__mro__}.isdisjoint(bases)


def _import(parts: list[str]) -> tuple[Any, list[str]]:
    """The longest importable module of a dotted name, and the parts after it."""
    module: ModuleType = importlib.import_module(parts[0])
    known = any(parts[: len(one)] == one for one in (name.split(".") for name in IMPORTED))
    for count in range(2, len(parts) if known else 0):
        try:
            module = importlib.import_module(".".join(parts[:count]))
        except Exception:  # no such module, or one that cannot be imported here: either way there is no class in it
            return module, parts[count - 1 :]
    return module, parts[max(1, len(parts) - 1) :] if known else parts[1:]


def _near(part: str, owner: Any) -> str:
    near = difflib.get_close_matches(part, [name for name in dir(owner) if not name.startswith("_")], n=1)
    return f"; did you mean {near[0]}?" if near else ""
