"""Charts: the numbers that they draw, and that all of them are written out."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ich.findings import FINDINGS, KINDS
from ich.report import charts
from ich.report.layouts import group_layouts

LABELS = pd.DataFrame(
    [[0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 1], [0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]],
    index=pd.Index(["ID_a", "ID_b", "ID_c", "ID_d"], name="image_id"),
    columns=list(FINDINGS),
).astype(np.uint8)


def only_any(positive: list[int]) -> pd.DataFrame:
    return pd.DataFrame({label: positive if label == "any" else 0 for label in FINDINGS})


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def widths(figure: Figure) -> list[float]:
    return [patch.get_width() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]


def test_rows_are_those_of_an_image_without_and_of_one_with_hemorrhage() -> None:
    said = texts(charts.rows_chart(LABELS))
    assert [word for word in said if word.startswith("ID_a")] == [f"ID_a_{finding}" for finding in FINDINGS]
    assert [word for word in said if word in "01"] == list("000000" + "011001")
    assert "one image, six rows:\nintraparenchymal, intraventricular" in said


def test_zeros_and_ones_are_counted_over_all_rows() -> None:
    figure = charts.zeros_and_ones_chart(LABELS)
    assert widths(figure) == [24 - 7, 7]
    assert texts(figure) == ["17 rows (70.8%)", "7 rows (29.2%)"]


def test_zeros_and_ones_of_each_finding_add_up_to_the_slices() -> None:
    figure = charts.zeros_and_ones_by_finding_chart(LABELS)
    assert widths(figure) == [3, 2, 3, 4, 4, 1, 1, 2, 1, 0, 0, 3]
    assert texts(figure)[-1] == "1: 3"


def test_positives_stand_most_first() -> None:
    figure = charts.positives_chart(LABELS)
    assert widths(figure) == [2, 1, 1, 0, 0]
    assert texts(figure)[0] == "2 (50.0% of slices)"


def test_kinds_that_come_together() -> None:
    figure = charts.together_chart(LABELS)
    cells = np.array(texts(figure)[:25]).reshape(5, 5)
    iph, ivh = KINDS.index("intraparenchymal"), KINDS.index("intraventricular")
    assert cells[iph, iph] == "2"
    assert cells[iph, ivh] == "50%\n1"
    assert cells[ivh, iph] == "100%\n1"
    assert texts(figure)[25] == "2 (66.7%)"


def test_a_small_share_keeps_its_digits() -> None:
    assert charts._percent(0.0037) == "0.37%"
    assert charts._percent(0.0) == "0.0%"


def test_header_groups_have_their_rate_and_what_they_tell() -> None:
    names = pd.Series(["a"] * 4 + ["b"] * 2)
    patients, positive = pd.Series(["p", "p", "q", "q", "r", "r"]), [0, 0, 0, 0, 1, 1]
    found = group_layouts(names, patients, only_any(positive))
    assert found.groups.loc["a"].tolist() == [4, 2, 0.0]
    assert found.groups.loc["b"].tolist() == [2, 1, 1.0]
    assert "runs from 0.0% to 100.0% over the groups, that is no more than chance here" in found.caption
    assert "AUC of 1.00" in found.caption
    assert "0.0% of 4 slices, 2 patients" in texts(charts.layouts_chart(found.groups, 1 / 3))


def test_one_header_group_leaks_nothing_and_many_are_shown_as_twelve_and_the_rest() -> None:
    one = group_layouts(pd.Series(["a", "a"]), pd.Series(["p", "q"]), only_any([0, 1]))
    assert "tells nothing of hemorrhage" in one.caption
    many = group_layouts(
        pd.Series(list("abcdefghijklmnop") * 2), pd.Series(list("pq") * 16), only_any([0] * 16 + [1] * 16)
    )
    assert len(many.groups) == 13
    assert many.groups.loc["all others", "slices"] == 8


def test_header_groups_without_any_hemorrhage_are_drawn_too() -> None:
    found = group_layouts(pd.Series(["a", "b"]), pd.Series(["p", "q"]), only_any([0, 0]))
    assert "0.0% of 1 slices, 1 patient" in texts(charts.layouts_chart(found.groups, 0.0))
