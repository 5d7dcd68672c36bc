"""One slice followed: the steps are at one scale, and what is padded is hatched."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from ich.ct.geometry import FullGeometry, HeadGeometry
from ich.ct.windowing import Window
from ich.report import slice_figures
from ich.report.slice_figures import Followed, follow

BRAIN = Window(level=40, width=80)


def head(shape: tuple[int, int] = (200, 200), centre: tuple[int, int] = (80, 100)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    hu = np.full(shape, -1000, np.int16)
    hu[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 70**2] = 40
    return hu


def followed(spacing: tuple[float, float] | None = (1.0, 1.0), geometry: object = None) -> Followed:
    hu = head()
    return follow(hu + 1024, hu, spacing, geometry or HeadGeometry(size=100, field_mm=200.0))  # type: ignore[arg-type]


def test_the_whole_slice_has_the_squares_scale() -> None:
    one = followed()
    assert one.whole.shape == (100, 100)  # 200 mm at 2 mm a pixel
    assert one.prepared.warp.head_found


def test_what_lies_outside_of_the_slice_is_hatched() -> None:
    """The head's middle stands 20 mm above the slice's, so 20 mm of air fill the top of the square."""
    figure = slice_figures.steps_figure(followed(), BRAIN)
    padded = figure.axes[2]
    boxes = [patch.get_bbox() for patch in padded.patches if patch.get_hatch()]  # type: ignore[attr-defined]
    assert [round(abs(box.height)) for box in boxes if box.width > 100] == [20]
    assert "round the head" in figure.axes[1].get_title(loc="left")


@pytest.mark.parametrize(("spacing", "unit"), [((1.0, 1.0), "mm"), (None, "px")])
def test_a_slice_without_a_spacing_is_measured_in_pixels(spacing: tuple[float, float] | None, unit: str) -> None:
    figure = slice_figures.steps_figure(followed(spacing, FullGeometry(size=100)), BRAIN)
    assert f"pixels of 1 {unit}" in figure.axes[0].get_title(loc="left")
    assert "round the middle" in figure.axes[1].get_title(loc="left")


def test_every_window_is_shown_by_name() -> None:
    figure: Figure = slice_figures.windows_figure(followed(), [BRAIN, Window(level=30, width=60)])
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "brain, L40 W80\n0 to 80 HU", "L30 W60\n0 to 60 HU"
    ]  # fmt: skip
    spans = slice_figures.hu_figure(followed(), [BRAIN]).axes
    assert any(axes.lines and axes.lines[0].get_xdata()[0] == 0 for axes in spans)


def test_a_gallery_has_its_names_and_captions_and_six_columns() -> None:
    one = slice_figures.Shown(hu=np.zeros((8, 8), np.int16), caption="and subdural")
    figure = slice_figures.gallery_figure({"epidural": [one] * 8, "subdural": [one]})
    assert [axes.get_title(loc="left") for axes in figure.axes[::6]] == ["epidural", "", "subdural"]
    assert [axes.axison for axes in figure.axes] == [True] * 8 + [False] * 4 + [True] + [False] * 5
    assert figure.axes[0].get_xlabel() == "and subdural"


def test_pixels_that_are_not_square_are_said_with_both_sides() -> None:
    figure = slice_figures.steps_figure(followed((1.0, 1.25)), BRAIN)
    assert "200 x 200 pixels of 1 x 1.25 mm" in figure.axes[0].get_title(loc="left")
