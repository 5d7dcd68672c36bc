"""Pictures of slices."""

from pathlib import Path

import numpy as np

from ich.findings import ANY
from ich.report import charts, figures


def picture(value: int = 40) -> figures.Picture:
    return figures.Picture(hu=np.full((32, 32), value, np.int16), caption="none")


def test_three_windows_are_three_rows() -> None:
    figure = figures.windows_figure([picture(), picture()])
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == list(figures.THREE_WINDOWS)


def test_a_window_shows_its_level_as_middle_grey() -> None:
    shown = figures.windows_figure([picture(40)]).axes[0].get_images()[0]
    assert float(np.asarray(shown.get_array())[0, 0]) == 0.5
    assert shown.get_clim() == (0, 1)


def test_the_sheet_ranks_finds_misses_and_false_alarms() -> None:
    labels = np.zeros((8, 6), np.uint8)
    labels[:4, ANY] = 1
    probabilities = np.zeros((8, 6))
    probabilities[:, ANY] = [0.9, 0.1, 0.5, 0.8, 0.8, 0.2, 0.3, 0.7]
    places = figures.hardest_and_easiest(labels, probabilities, ["a", "b", "c", "a", "d", "e", "f", "d"], count=2)
    assert {name: rows.tolist() for name, rows in places.items()} == {
        "found": [0, 2], "missed most": [1, 2], "false alarms": [4, 6]
    }  # fmt: skip


def test_a_caption_names_the_kinds_that_are_there() -> None:
    labels = np.array([0, 1, 0, 0, 1, 1], np.uint8)
    assert figures.caption(labels, np.full(6, 0.25)) == "intraparenchymal, subdural\np(any) 0.25"
    assert figures.caption(np.ones(6, np.uint8), np.full(6, 0.25)) == (
        "epidural,\nintraparenchymal,\nintraventricular,\nsubarachnoid, subdural\np(any) 0.25"
    )


def test_equal_figures_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        charts.save(figures.sheet_figure({"row": [picture()]}), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
