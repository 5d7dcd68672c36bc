"""What a reader may rely on: short files, short functions, a table of the rooms that is true."""

import ast
from pathlib import Path

import pytest

import ich
from tests.project import REPOSITORY

FILES = sorted((REPOSITORY / "ich").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(REPOSITORY).as_posix())
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name}, line {node.lineno}"


def test_the_map_names_every_room() -> None:
    rooms = {
        path.stem for path in (REPOSITORY / "ich").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert ich.__doc__ is not None
    named = {line.split()[0] for line in ich.__doc__.splitlines() if line.startswith("    ")}
    assert named == rooms - {"__init__"}
