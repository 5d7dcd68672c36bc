"""Twenty checkpoints of a stranger: files that a pickle would run, and files that would never end or fit."""

import io
import os
import pickle
import subprocess
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

Calls = tuple[Callable[..., Any], tuple[Any, ...]]


class Trap:
    """Pickled, it asks whoever reads it to call something."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.calls: Calls = (call, arguments)

    def __reduce__(self) -> Calls:
        return self.calls


def evil_checkpoints(good: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each; `good` is a sound checkpoint's content, `sprung` what a sprung trap leaves in `folder`."""
    sprung = folder / "sprung"
    traps = {
        "os.system": Trap(os.system, f"touch {sprung}"),
        "subprocess.Popen": Trap(subprocess.Popen, ["touch", str(sprung)]),
        "subprocess.check_output": Trap(subprocess.check_output, ["touch", str(sprung)]),
        "builtins.eval": Trap(eval, f"open({str(sprung)!r}, 'w')"),
        "builtins.exec": Trap(exec, f"open({str(sprung)!r}, 'w')"),
        "builtins.open": Trap(open, str(sprung), "w"),
        "pathlib.Path.touch": Trap(Path.touch, sprung),
        "pathlib.Path.unlink": Trap(Path.unlink, folder / "precious"),
        "os.remove": Trap(os.remove, str(folder / "precious")),
        "torch.load": Trap(torch.load, str(folder / "precious")),
        "torch.hub.load": Trap(torch.hub.load, str(folder), "evil"),
        "builtins.__import__": Trap(__import__, "antigravity"),
    }
    (folder / "precious").write_text("precious")
    for name, trap in traps.items():
        places: dict[str, Any] = {
            "beside": good | {"optimizer_states": [trap]},
            "settings": good | {"settings": good["settings"] | {"model": trap}},
        }
        for place, state in places.items():
            path = folder / f"{name}-{place}.ckpt"
            torch.save(state, path)
            yield path.stem, path
    bare = folder / "bare-pickle.ckpt"
    bare.write_bytes(pickle.dumps(traps["os.system"]))
    yield bare.stem, bare
    legacy = folder / "legacy.ckpt"
    torch.save(good | {"trap": traps["os.system"]}, legacy, _use_new_zipfile_serialization=False)
    yield legacy.stem, legacy
    yield "packed-zeros", _packed(good, folder / "packed-zeros.ckpt")
    script = folder / "torchscript.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(script))
    yield script.stem, script
    yield "huge-network", _of(good, folder / "huge-network.ckpt", "model", name="eva02_enormous_patch14_clip_224")
    yield (
        "many-neighbours",
        _with(
            good,
            folder / "many-neighbours.ckpt",
            {"context": {"_target_": "ich.model.context.Neighbours", "slices": 10**9 + 1, "fusion": "stack"}},
        ),
    )
    huge = {"_target_": "torch.nn.Linear", "in_features": 10**6, "out_features": 10**6}
    yield "huge-window", _with(good, folder / "huge-window.ckpt", {"window": huge})
    yield "huge-size", _of(good, folder / "huge-size.ckpt", "geometry", size=10**6)
    endless = folder / "endless-tensor.ckpt"
    weights = {name: torch.zeros(1).expand(2**20, 2**20) for name in good["state_dict"]}
    torch.save(good | {"state_dict": weights}, endless)
    yield endless.stem, endless


def _packed(good: dict[str, Any], path: Path) -> Path:
    """The same checkpoint whose first storage is packed, and half a gigabyte of zeros."""
    buffer = io.BytesIO()
    torch.save(good, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if not name.endswith("/data/0"):
                new.writestr(name, old.read(name))
                continue
            with new.open(name, "w") as member:
                for _ in range(2**9):
                    member.write(bytes(2**20))
    return path


def _of(good: dict[str, Any], path: Path, group: str, **keys: Any) -> Path:
    return _with(good, path, {group: good["settings"][group] | keys})


def _with(good: dict[str, Any], path: Path, groups: dict[str, Any]) -> Path:
    torch.save(good | {"settings": good["settings"] | groups}, path)
    return path
