"""A CPU build of torch beside the usual torchvision, made to agree.

torchvision's compiled operators do not load into another build of torch; `import torchvision` then fails with
`operator torchvision::nms does not exist`, and with it timm, torchmetrics, Lightning and mlflow. None of them needs
these operators here, so the schemas alone are declared when torchvision is first imported. Where the operators load,
nothing is done.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # torch.library undoes a declaration whose Library is collected


def install() -> None:
    """Watch for the first import of torchvision; importing nothing itself."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


class _Watcher(importlib.abc.MetaPathFinder):
    def find_spec(  # type: ignore[override]  # namespace packages give a path of their own kind
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec("torchvision")
            if spec is not None and spec.origin is not None and not _operators_load(Path(spec.origin).parent):
                _declare_operators()
        return None


def _operators_load(package: Path) -> bool:
    import torch

    for library in [*package.glob("_C*.so"), *package.glob("_C*.pyd")]:
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return True
    return False


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
