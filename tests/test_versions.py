"""Floors of versions that are there for safety, and stay: in pyproject.toml, and in what is installed."""

import ast
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.project import REPOSITORY

FLOORS = {
    "pytorch-lightning": "2.6.6",  # 2.6.2 and 2.6.3 were malicious; below 2.6.6 a checkpoint can run code
    "torch": "2.13.0",  # below 2.6 weights_only=True could be led to run code (CVE-2025-32434)
    "torchvision": "0.28.0",
    "mlflow": "3.17.2",
    "pydicom": "3.0.2",
    "hydra-core": "1.3.8",  # refuses the plainest targets by itself
    "omegaconf": "2.3",
    "pyarrow": "18",  # below 14.0.1 reading a file could run code (CVE-2023-47248)
}
REFUSED = {
    "pytorch-lightning": ["2.6.2", "2.6.3", "2.6.5"],
    "mlflow": ["3.18.0", "3.12.0", "4.0"],
    "omegaconf": ["2.4.0"],
    "torch": ["2.12.1"],
}
NEVER = {"pylibjpeg-libjpeg"}
"""GPL, and it hides damage."""


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(one for some in project["optional-dependencies"].values() for one in some)]
    return {one.name: one for one in map(Requirement, lines)}


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_pyproject_asks_for_the_floor_or_more(name: str, floor: str) -> None:
    asked = requirements()[name].specifier
    lowest = [Version(one.version) for one in asked if one.operator in (">=", "~=", "==")]
    assert lowest, f"{name} has no floor"
    assert max(lowest) >= Version(floor)


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, some in REFUSED.items() for bad in some])
def test_pyproject_refuses_what_is_known_to_be_bad(name: str, bad: str) -> None:
    assert not requirements()[name].specifier.contains(bad, prereleases=True)


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_the_floor_is_installed_and_constrained(name: str, floor: str) -> None:
    assert Version(version(name)) >= Version(floor)
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line.partition("==")[0].strip() == name]
    assert pinned
    assert all(requirements()[name].specifier.contains(next(iter(one.specifier)).version) for one in pinned)


def test_what_is_left_out_is_asked_for_by_nobody() -> None:
    assert not NEVER & requirements().keys()
    pinned = {line.partition("==")[0] for line in (REPOSITORY / "constraints.txt").read_text().splitlines()}
    assert not NEVER & pinned


FORBIDDEN = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "yaml.load", "yaml.unsafe_load", "eval", "exec",
    "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle", "joblib.load", "shelve.open", "__import__",
}  # fmt: skip
CODE = [*sorted((REPOSITORY / "ich").rglob("*.py")), REPOSITORY / "train.py", REPOSITORY / "predict.py"]


@pytest.mark.parametrize("file", CODE, ids=lambda file: file.relative_to(REPOSITORY).as_posix())
def test_no_pickle_of_strangers_no_shell_no_archive_unpacked(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        said = {one.arg: ast.unparse(one.value) for one in node.keywords}
        assert called not in FORBIDDEN, f"line {node.lineno}: {called}"
        assert not called.endswith(".extractall"), f"line {node.lineno}: {called}"
        assert said.get("shell") != "True", f"line {node.lineno}: a shell"
        if called == "torch.load":
            assert said.get("weights_only") == "True", f"line {node.lineno}: torch.load without weights_only=True"
        assert said.get("weights_only", "True") == "True", f"line {node.lineno}"
        assert said.get("allow_pickle") != "True", f"line {node.lineno}"


def test_the_pages_are_served_to_this_machine_alone() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "mlflow ui" in makefile
    assert "--host" not in makefile  # MLflow's own default is 127.0.0.1
