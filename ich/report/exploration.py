"""What data are, before anything is trained on them: figures of their labels, their headers and their slices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ich.ct.geometry import FullGeometry, HeadGeometry
from ich.ct.windowing import Window
from ich.data.cohort import Cohort
from ich.data.layout import name_layouts
from ich.findings import FINDINGS
from ich.report import charts
from ich.report.charts import Chart
from ich.report.examples import draw_gallery, draw_one
from ich.report.layouts import HEADERS, describe_layouts, write_headers
from ich.report.page import BadOutput, Page, Section, render

PAGE, COUNTS = "index.html", "counts.csv"
DPI = 160
"""Of pictures: sharp also on a fine screen."""
PATIENTS = "The pictures show patients: keep this page and its files where the data themselves may lie."
SYNTHETIC = "The cohort is synthetic: no picture shows a patient, and no number says anything about one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """`counts`: label, positive, slices; `facts` and `lead` stand above the plates.

    `header_groups` names the header group of each image, where images are known.
    """

    name: str
    counts: pd.DataFrame
    plates: list[Chart]
    facts: dict[str, str] = field(default_factory=dict)
    lead: list[str] = field(default_factory=list)
    header_groups: pd.Series | None = None


def of_labels(labels: pd.DataFrame, *, name: str) -> Exploration:
    """The figures of a label table alone."""
    return Exploration(
        name=name,
        counts=count(labels),
        plates=_label_plates(labels),
        facts={"slices": f"{len(labels):,}", "with hemorrhage": _share(labels["any"])},
        lead=["From the label table alone, without its images."],
    )


def of_cohort(
    cohort: Cohort,
    labels: pd.DataFrame,
    *,
    windows: Sequence[Window],
    geometry: HeadGeometry | FullGeometry,
    image: str | None,
    gallery: int,
    synthetic: bool,
) -> Exploration:
    """The figures of a cohort: its labels, its studies, its headers, and slices of it."""
    table = cohort.table
    labels = labels.loc[table["image_id"], list(FINDINGS)]
    studies = labels.groupby(table["study_id"].to_numpy(), sort=False)["any"].agg(["size", "sum"])
    rejected = cohort.rejected["reason"].value_counts()
    facts = {
        "slices": f"{len(table):,}",
        "with hemorrhage": _share(labels["any"]),
        "studies": f"{len(studies):,}, {_share(studies['sum'] > 0)} with hemorrhage",
        "patients": f"{table['patient_id'].nunique():,}",
        "files left out": ", ".join(f"{reason} {number:,}" for reason, number in rejected.items()) or "none",
    }
    layouts = describe_layouts(cohort, labels)
    shown, chosen = draw_gallery(cohort, labels, count=gallery)
    plates = [
        *_label_plates(labels),
        Chart(
            file="slices_a_study.svg",
            title="Slices a study",
            caption="Left: how many slices a study has. Right: in how many of them hemorrhage is seen, of the studies "
            "where it is seen at all. Dashed: the median.",
            figure=charts.slices_chart(studies["size"], studies["sum"]),
        ),
        Chart(
            file="headers.svg",
            title="Header groups, and the rate of hemorrhage in each",
            caption=layouts.caption,
            figure=charts.layouts_chart(layouts.groups, float(labels["any"].mean())),
        ),
        Chart(
            file="gallery.png",
            title="A gallery of each kind",
            caption="Brain window, L40 W80: 0 HU is black, 80 HU and more is white. In each series the middle one of "
            f"the slices that show the kind, then others of it where there are too few; {chosen}.",
            figure=shown,
        ),
        *(Chart(**step) for step in draw_one(cohort, labels, image=image, geometry=geometry, windows=windows)),
    ]
    name = f"{len(table):,} slices of {facts['patients']} patients"
    return Exploration(
        name=name,
        counts=count(labels),
        plates=plates,
        facts=facts,
        lead=[SYNTHETIC if synthetic else PATIENTS],
        header_groups=name_layouts(table).set_axis(table["image_id"]),
    )


def count(labels: pd.DataFrame) -> pd.DataFrame:
    """label, positive, slices: a row a finding."""
    positive = labels[list(FINDINGS)].sum().astype(np.int64)
    return pd.DataFrame({"label": list(FINDINGS), "positive": positive.to_numpy(), "slices": len(labels)})


def write(found: Exploration, output: Path) -> Path:
    """The page, its figures one by one, the counts and the header groups; equal data give equal bytes."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        found.counts.to_csv(output / COUNTS, index=False)
        if found.header_groups is not None:
            write_headers(output / HEADERS, found.header_groups.index, found.header_groups)
        for plate in found.plates:
            charts.save(plate.figure, output / plate.file, dpi=DPI)
        page = output / PAGE
        page.write_text(render(_page(found, output)), encoding="utf-8")
    except OSError as error:
        raise BadOutput(f"{output}: cannot be written: {error.strerror}; output= takes a folder") from error
    return page


def _page(found: Exploration, output: Path) -> Page:
    counts = [
        (label, f"{positive:,}", f"{slices - positive:,}", f"{positive / slices:.2%}")
        for label, positive, slices in found.counts.to_numpy().tolist()
    ]
    return Page(
        title=f"What the data are: {found.name}",
        lead=[*found.lead, "Every figure is a file of its own beside this page; the table below is counts.csv."],
        facts=found.facts,
        counts=[("label", "1", "0", "rate"), *counts],
        sections=[
            Section(title=plate.title, picture=output / plate.file, caption=plate.caption) for plate in found.plates
        ],
    )


def _label_plates(labels: pd.DataFrame) -> list[Chart]:
    return [
        Chart(
            file="rows.svg",
            title="Rows of train.csv",
            caption="The label table has six rows an image, one a finding: the id of the image, then the finding. "
            "any is 1 where at least one of the kinds is.",
            figure=charts.rows_chart(labels),
        ),
        Chart(
            file="zeros_and_ones.svg",
            title="Counts of 0 and 1",
            caption="Over all rows of the table, every image once. Rare positives make accuracy a poor guide: "
            "0 as everybody's answer would be right as often as the upper bar says.",
            figure=charts.zeros_and_ones_chart(labels),
        ),
        Chart(
            file="zeros_and_ones_by_kind.svg",
            title="0 and 1 by kind",
            caption="Slices without (outline) and with (filled) each kind of hemorrhage, and any of them.",
            figure=charts.zeros_and_ones_by_finding_chart(labels),
        ),
        Chart(
            file="positives_by_kind.svg",
            title="Positives by kind",
            caption="Slices that show each kind, most first. A slice may show several, so the shares add up to more "
            "than that of any.",
            figure=charts.positives_chart(labels),
        ),
        Chart(
            file="kinds_together.svg",
            title="Kinds that come together",
            caption="Left, by row: how many of the slices with this kind also show another one; on the diagonal all "
            "slices with the kind. Right: how many kinds a slice with hemorrhage shows.",
            figure=charts.together_chart(labels),
        ),
    ]


def _share(values: pd.Series) -> str:
    return f"{int(values.sum()):,} ({values.mean():.1%})"
