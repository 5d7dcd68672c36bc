"""A CPU build of torch and the usual torchvision work together once ich is imported."""

import subprocess
import sys

import pytest


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_imports_after_ich() -> None:
    done = _python("import ich, torchvision, timm; print(torchvision.__version__)")
    assert done.returncode == 0, done.stderr


def test_importing_ich_imports_neither_torch_nor_torchvision() -> None:
    done = _python("import ich, sys; print([*{'torch', 'torchvision', 'mlflow', 'pydicom'} & sys.modules.keys()])")
    assert done.stdout.strip() == "[]"


def test_the_hook_steps_aside_after_the_first_import() -> None:
    done = _python(
        "import sys, ich, torchvision\nprint([finder for finder in sys.meta_path if 'ich' in type(finder).__module__])"
    )
    assert done.stdout.strip() == "[]"


def test_where_the_operators_load_nothing_is_declared() -> None:
    import torch

    if torch.version.cuda is None:
        pytest.skip("this torch is a CPU build: torchvision's compiled operators do not load here")
    assert (
        _python("import ich, torchvision\nfrom ich import torchvision_hook as h\nassert not h._libraries").returncode
        == 0
    )
