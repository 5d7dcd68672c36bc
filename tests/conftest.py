"""What every test may use: a copy of the project, one trained run in it, and the real data where they are."""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before anything imports torchvision)

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.typecheck  # noqa: F401  (pytest's --jaxtyping-packages names it)
from tests.project import REPOSITORY, SMALL, Project, Trained, copy_project

SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as a user has it, with an empty cache and no run."""
    return copy_project(tmp_path_factory.mktemp("elsewhere") / "project")


@pytest.fixture(scope="session")
def trained(project: Project) -> Trained:
    """The one trained run of the session."""
    done = project.run("train.py", *SMALL, "report=true")
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
