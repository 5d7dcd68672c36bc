"""What every test may use: a copy of the project, one trained run in it, and the real data where they are."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker a core: torch's threads would wait for each other. Set before torch is imported, here and in commands.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before anything imports torchvision)

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tests.typecheck  # noqa: F401  (pytest's --jaxtyping-packages names it)
from tests.project import REPOSITORY, SMALL, Project, Trained, copy_project

settings.register_profile("ich", deadline=None)  # a busy machine is no failure
settings.load_profile("ich")

SHARED = REPOSITORY.parent / "shared"
LONGEST = (
    "test_train.py",
    "test_prepare.py",
    "test_check.py",
    "test_explore.py",
    "test_pseudonym.py",
)
"""Files that begin first where several processes share the tests: what begins last is waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as a user has it, with an empty cache and no run."""
    return copy_project(tmp_path_factory.mktemp("elsewhere") / "project")


@pytest.fixture(scope="session")
def trained(project: Project) -> Trained:
    """The one trained run of the session."""
    done = project.run("train.py", *SMALL, "report=true", "system_metrics=true")
    return Trained(run=project.newest(), printed=done.stdout + done.stderr)


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the real data are not here: {name} is not in a folder `shared` beside the checkout")
    return folder


@pytest.fixture(scope="session")
def rsna2019() -> Path:
    """Real slices, label tables and facts of RSNA 2019."""
    return _shared("rsna2019")


@pytest.fixture(scope="session")
def dicom_odd() -> Path:
    """Two hundred odd DICOM files with their expected outcomes."""
    return _shared("dicom_odd")


@pytest.fixture(scope="session")
def mini(rsna2019: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real slices, unpacked for this session; the folder above Kaggle's."""
    root = tmp_path_factory.mktemp("mini")
    with zipfile.ZipFile(rsna2019 / "mini.zip") as archive:
        archive.extractall(root)
    yield root
    shutil.rmtree(root)
