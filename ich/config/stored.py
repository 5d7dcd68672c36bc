"""The stored settings of a checkpoint beside those of a command."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ich.config import hints, target
from ich.config.values import TARGET


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], groups: Sequence[str]) -> dict[str, str]:
    """Keys of these groups with two values, such as {"geometry.size": "256, here 128"}; unsaid ones are the default."""
    found = {}
    for group in groups:
        there, here = _complete(stored.get(group)), _complete(asked.get(group))
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                found[f"{group}.{name}"] = f"{there.get(name)}, here {here.get(name)}"
    return found


def _complete(node: Any) -> dict[str, Any]:
    return {**dict(_defaults(node)), **node} if isinstance(node, dict) else {}


def _defaults(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the class of a node takes where nothing is said."""
    try:
        known = hints.parameters(target.resolve(str(node.get(TARGET))), partial=False)
    except target.BadTarget:  # of another version
        return
    for name, parameter in known.items():
        if isinstance(parameter.default, bool | int | float | str | None):
            yield name, parameter.default
