"""python -m ich.explore as a user runs it: one page that stands alone, its figures, and the counts of pandas."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from ich.data.labels import write_labels
from ich.data.phantom import write_cohort
from ich.findings import FINDINGS
from tests.data.test_files import pack
from tests.project import Project

LABEL_FIGURES = [
    "kinds_together.svg",
    "positives_by_kind.svg",
    "rows.svg",
    "zeros_and_ones.svg",
    "zeros_and_ones_by_kind.svg",
]
ALL_FIGURES = sorted(
    [
        *LABEL_FIGURES,
        "gallery.png",
        "headers.svg",
        "slices_a_study.svg",
        "slice_1_raw.png",
        "slice_2_hu.png",
        "slice_3_windows.png",
        "slice_4_prepared.png",
    ]
)


def explore(project: Project, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return project.run("-m", "ich.explore", *words, code=code)


class Links(HTMLParser):
    """Everything that a page would load, and every tag."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def assert_stands_alone(page: Path) -> None:
    found = Links(page)
    assert found.links
    assert all(link.startswith(("data:", "#")) for link in found.links)
    assert not found.tags & {"script", "iframe", "object", "embed", "form"}
    assert not re.search(r"https?:|@import|url\(", page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaggle's layout: six patients, with every label of the phantom's own."""
    root = tmp_path_factory.mktemp("cohort") / "data"
    write_cohort(root, patients=6, slices=10, difficulty="demo", noise=1.0, seed=3, workers=2)
    return root


@pytest.fixture(scope="module")
def explored(project: Project, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of exploring it."""
    output = tmp_path_factory.mktemp("explored") / "out"
    done = explore(project, "data=rsna", f"data.root={cohort}", f"output={output}", "gallery=3")
    assert f"12 figures of 60 slices of 6 patients: {output / 'index.html'}" in done.stdout
    return output


def test_a_cohort_becomes_a_page_with_all_figures_of_the_thesis(cohort: Path, explored: Path) -> None:
    output = explored
    assert sorted(file.name for file in output.iterdir()) == sorted(
        [*ALL_FIGURES, "counts.csv", "headers.csv", "index.html"]
    )
    assert_stands_alone(output / "index.html")
    page = (output / "index.html").read_text(encoding="utf-8")
    for words in ("The pictures show patients", "The rates of the groups alone", "Rows of train.csv"):
        assert words in page
    groups = pd.read_csv(output / "headers.csv").set_index("image_id")["header_group"]
    for file in cohort.rglob("*.dcm"):
        read = pydicom.dcmread(file, stop_before_pixels=True)
        sign = "signed" if read.PixelRepresentation else "unsigned"
        assert groups[file.stem] == f"{read.BitsStored} bits, {sign}, intercept {read.RescaleIntercept:g}"
    assert len(groups) == 60
    truth = pd.read_csv(next(cohort.rglob("stage_2_train.csv")))
    positives = truth.groupby(truth["ID"].str.rsplit("_", n=1).str[1])["Label"].sum()
    counts = pd.read_csv(output / "counts.csv")
    assert counts.columns.tolist() == ["label", "positive", "slices"]
    assert counts["label"].tolist() == list(FINDINGS)
    assert counts.set_index("label")["positive"].to_dict() == positives.to_dict()
    assert set(counts["slices"]) == {60}


def test_the_phantom_is_explored_by_default_and_equal_data_give_equal_bytes(project: Project, tmp_path: Path) -> None:
    words = ("data.patients=3", "data.slices=6", "data.difficulty=demo", "gallery=2", "window=brain3", "geometry=full")
    for name in ("a", "b"):
        explore(project, *words, f"output={tmp_path / name}")
    assert "synthetic: no picture shows a patient" in (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_a_zip_gives_the_same_page_and_files_as_its_folder(
    project: Project, cohort: Path, explored: Path, tmp_path: Path
) -> None:
    path = pack(cohort, tmp_path / "data.zip")
    explore(project, "data=rsna", f"data.root={path}", f"output={tmp_path / 'out'}", "gallery=3")
    files = {file.name: file.read_bytes() for file in explored.iterdir()}
    assert len(files) == len(ALL_FIGURES) + 3
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}


def test_a_label_csv_alone_is_enough(project: Project, tmp_path: Path) -> None:
    kinds = np.random.default_rng(0).random((500, 5)) < [0.01, 0.1, 0.1, 0.2, 0.2]
    table = pd.DataFrame(np.column_stack([kinds, kinds.any(axis=1)]).astype(np.uint8), columns=list(FINDINGS))
    table.index = pd.Index([f"ID_{number:09x}" for number in range(500)], name="image_id")
    write_labels(tmp_path / "labels.csv", table)
    output = tmp_path / "out"
    explore(project, f"labels={tmp_path / 'labels.csv'}", f"output={output}")
    assert sorted(file.name for file in output.iterdir()) == sorted([*LABEL_FIGURES, "counts.csv", "index.html"])
    assert_stands_alone(output / "index.html")
    counts = pd.read_csv(output / "counts.csv").set_index("label")
    assert counts["positive"].to_dict() == table.sum().to_dict()
    assert set(counts["slices"]) == {500}


def test_what_a_file_says_is_text_on_the_page_and_in_the_figures(project: Project, tmp_path: Path) -> None:
    """Ids of markup, of mathematics that is none, and of letters that no font has; a file's name of markup."""
    names = ["<script>alert(1)</script>", r"$\frac{$", "\U0001f9e0\u6f22"]
    table = pd.DataFrame(0, index=pd.Index(names, name="image_id"), columns=list(FINDINGS))
    table.loc[names[1], ["subdural", "any"]] = 1
    write_labels(tmp_path / "<img src=x>.csv", table)
    done = explore(project, f"labels='{tmp_path / '<img src=x>.csv'}'", f"output={tmp_path / 'out'}")
    assert "Warning" not in done.stderr
    assert_stands_alone(tmp_path / "out" / "index.html")
    assert "&lt;img src=x&gt;.csv" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [0, 1])
def test_a_table_of_one_answer_is_drawn_too(project: Project, tmp_path: Path, value: int) -> None:
    write_labels(tmp_path / "l.csv", pd.DataFrame(value, index=["ID_a", "ID_b"], columns=list(FINDINGS)))
    explore(project, f"labels={tmp_path / 'l.csv'}", f"output={tmp_path / 'out'}")
    counts = pd.read_csv(tmp_path / "out" / "counts.csv")
    assert counts["positive"].tolist() == [2 * value] * len(FINDINGS)


def test_one_image_can_be_followed(project: Project, cohort: Path, tmp_path: Path) -> None:
    image = sorted(cohort.rglob("*.dcm"))[7].stem
    explore(project, "data=rsna", f"data.root={cohort}", f"output={tmp_path / 'out'}", f"image={image}", "gallery=1")
    assert f"{image} (" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["labels=NONE.csv"], 2, "labels: there is no file NONE.csv; give a label CSV, as the challenge's"),
        (["data=rsna", "data.root=NONE"], 2, "data.root: there is no file or folder NONE; give"),
        (["data=rsna", "data.root={cohort}", "image=ID_x"], 1, "BadImage: image=ID_x: the cohort has no such"),
        (["data=rsna"], 2, "data.root is missing"),
        (["labels={labels}", "image=ID_x"], 2, "image= follows a slice of data="),
        (["gallery=0"], 2, "gallery: 0"),
        (["windw=five"], 2, "did you mean window?"),
    ],
)
def test_bad_input_gives_one_message(
    project: Project, cohort: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    words = [word.format(cohort=cohort, labels=next(cohort.rglob("stage_2_train.csv"))) for word in words]
    done = explore(project, *words, f"output={tmp_path / 'out'}", code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_no_folder_gives_one_message(project: Project, tmp_path: Path) -> None:
    write_labels(tmp_path / "l.csv", pd.DataFrame(0, index=["ID_a"], columns=list(FINDINGS)))
    (tmp_path / "out").write_text("mine")
    done = explore(project, f"labels={tmp_path / 'l.csv'}", f"output={tmp_path / 'out'}", code=1)
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_output_is_asked_for(project: Project) -> None:
    assert "output is missing; give output=VALUE" in explore(project, code=2).stderr


def test_the_real_labels_and_slices_are_drawn(project: Project, mini: Path, tmp_path: Path) -> None:
    explore(project, "data=rsna", f"data.root={mini}", f"output={tmp_path / 'out'}")
    counts = pd.read_csv(tmp_path / "out" / "counts.csv").set_index("label")
    assert counts["positive"].to_dict() == {
        "epidural": 1, "intraparenchymal": 48, "intraventricular": 5, "subarachnoid": 16, "subdural": 7, "any": 67
    }  # fmt: skip
    assert_stands_alone(tmp_path / "out" / "index.html")
