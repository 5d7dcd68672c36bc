"""Numbers as people read them."""

import pytest

from ich.progress import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("file",), "0 files"),
        (1, ("file",), "1 file"),
        (2, ("file",), "2 files"),
        (1, ("image has", "images have"), "1 image has"),
        (3, ("image has", "images have"), "3 images have"),
    ],
)
def test_one_is_told_from_many(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said
