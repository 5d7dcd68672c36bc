"""The page of one run: what was run, on whom, how good it is with how much doubt, its mistakes. It opens offline."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ich.calibration import Calibration
from ich.report import charts, evaluation
from ich.report.calibrated import calibration_sections
from ich.report.charts import DARK, GREY, INK, WIDTH, styled
from ich.report.page import Section

PAGE = "report.html"
History = Mapping[str, Mapping[int, float]]
"""Each metric's value by epoch."""
CURVES = {
    "weighted_log_loss": "weighted log loss",
    "auc/any": "AUC, any",
    "precision": "precision",
    "recall": "recall",
}
THESIS = {
    "thesis_resnet50": "weighted log loss 0.21 in training, 0.18 in validation; challenge score 0.138",
    "thesis_mobilenetv2": "challenge score 0.069",
    "thesis_efficientnet_b2": "precision 0.893, recall 0.8323; challenge score 0.064",
}
"""What the thesis reports of its own runs (docs/thesis.md); none of it was measured with this code."""
CARD = (
    "Research software, not a medical device: no number here says anything about a patient. The model answers single "
    "slices of non-contrast head CT; it was not tried on other scanners, other protocols or children unless the data "
    "below hold them.",
    "Lower is better for log loss, Brier score and calibration error, higher for all else. Patients are never shared "
    "between training and validation. Every metric with its interval is in evaluation.json beside this page.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run knows of itself: name and address, setting in words, metrics by epoch, sheet, calibration."""

    name: str
    where: str
    setting: Mapping[str, str]
    history: History
    sheet: Path | None
    calibration: Calibration | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a run wrote: the folder of val.csv, and of test.csv where patients were set aside; and two tables."""

    predictions: Path
    prevalence: Path
    headers: Path


def write_report(told: Told, files: Files, output: Path) -> Path:
    """report.html, with evaluation.json, the other tables and the figures beside it, in `output`."""
    test = files.predictions / "test.csv"
    answers = evaluation.Answers(
        name=told.name,
        where=told.where,
        val=evaluation.read_predictions(files.predictions / "val.csv"),
        test=evaluation.read_predictions(test) if test.exists() else None,
        prevalence=evaluation.read_prevalence(files.prevalence),
        headers=evaluation.read_headers(files.headers),
    )
    settings = evaluation.Settings(prevalence=answers.prevalence)
    levels = evaluation.evaluate(answers.val, settings, test=answers.test)
    output.mkdir(parents=True, exist_ok=True)
    sections = _sections(told, output)
    if told.calibration:
        parts = {"val": answers.val} | ({"test": answers.test} if answers.test else {})
        sections += calibration_sections(told.calibration, parts, settings, output)
    report = evaluation.Report(
        answers=answers,
        levels=levels,
        settings=settings,
        by_header=evaluation.by_header(levels, answers.headers, settings),
        framing=evaluation.Framing(
            title=f"Run {told.name}", lead=CARD, facts=told.setting, sections=sections, page=PAGE
        ),
    )
    return evaluation.write(report, output)


def _sections(told: Told, output: Path) -> list[Section]:
    sections = []
    if any(len(values) > 1 for values in told.history.values()):
        charts.save(training_chart(told.history), output / "training.svg")
        sections.append(
            Section(
                title="Training",
                picture=output / "training.svg",
                caption="By epoch, the line: validation; dashed: training, on augmented slices, while the network "
                "still changes. Dotted: the floor, which is what the training fold's prevalence scores.",
            )
        )
    if told.sheet:
        sections.append(
            Section(
                title="Found, missed, and false alarms",
                picture=told.sheet,
                caption="Validation slices in the brain window, of different patients: those with hemorrhage that the "
                "network is surest of, those it misses most, and those without that it takes for hemorrhage.",
            )
        )
    return sections


@styled
def training_chart(history: History) -> Figure:
    """Validation and training by epoch, a panel a metric."""
    shown = {name: said for name, said in CURVES.items() if f"val/{name}" in history}
    figure = Figure(figsize=(WIDTH, 2.3 * ((len(shown) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).ravel()
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, (name, said) in zip(panels, shown.items(), strict=False):
        for stage, line in (("train", {"color": INK, "lw": 1, "ls": "--"}), ("val", {"color": DARK, "lw": 1.6})):
            values = history.get(f"{stage}/{name}", {})
            axes.plot(list(values), list(values.values()), label=stage, **line)
        if name == "weighted_log_loss" and (floors := history.get("val/floor")):
            axes.plot(list(floors), list(floors.values()), color=GREY, lw=1, ls=":")
        axes.set_title(said)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in panels[max(0, len(shown) - 2) : len(shown)]:
        axes.set_xlabel("epoch")
    return figure
