"""Every number of report.html, recomputed from the run's own predictions by other means; an unknown one fails.

Not read: the training curves, which are of the log and not of predictions, and pictures of slices, which are pixels.
"""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import log_loss, roc_auc_score

from ich.calibration import fit_calibration
from ich.findings import FINDINGS
from ich.report.run_report import Files, Told, write_report
from ich.saves import BEST
from tests.project import Project, Trained
from tests.recomputed import WEIGHTS, P, Recomputed, Value, below, by_study, calibrated, fit_points
from tests.test_evaluate import make_table, write

DEALS = 200
HALF_A_DIGIT = 5.001e-4
"""Of three: how far a number may lie from the one that it stands for."""
TICKS = {"0", "0.5", "1"}
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?%?")


class Parsed(HTMLParser):
    """A page as sections: of each its title, its rows, its prose, its pictures; the first has none and is the head."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: list[Section] = [Section()]
        self._open = ""
        self.feed(page[page.index("<body>") :])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        now = self.sections[-1]
        if tag == "section":
            self.sections.append(Section())
        elif tag == "table":
            now.tables.append([])
        elif tag == "tr":
            now.tables[-1].append([])
        elif tag in ("th", "td"):
            now.tables[-1][-1].append("")
        elif tag == "img":
            source = dict(attrs)["src"] or ""
            if source.startswith("data:image/svg"):
                svg = base64.b64decode(source.partition(",")[2]).decode()
                now.drawn += [text.strip() for text in re.findall(r"<!-- (.*?) -->", svg, re.DOTALL)]
        self._open = tag

    def handle_data(self, data: str) -> None:
        now = self.sections[-1]
        if self._open in ("th", "td"):
            now.tables[-1][-1][-1] += data
        elif self._open == "h2":
            now.title += data
        elif self._open in ("p", "figcaption"):
            now.prose += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


@dataclass
class Section:
    title: str = ""
    tables: list[list[list[str]]] = field(default_factory=list)
    prose: str = ""
    drawn: list[str] = field(default_factory=list)

    @property
    def numbered(self) -> list[str]:
        """What is drawn and has a digit in it."""
        return [text for text in self.drawn if re.search(r"\d", text)]


def shown(cell: str) -> list[float]:
    return [float(one.replace(",", "").removesuffix("%")) for one in NUMBER.findall(cell)]


def assert_value(cell: str, value: Value | None, where: str) -> None:
    if value is None:
        assert cell == "–", where
        return
    known = [one for one in value if one is not None]
    assert ("[" in cell) == (len(known) == 3), f"{where}: {cell} {value}"
    assert shown(cell) == pytest.approx(known, abs=HALF_A_DIGIT), where


SUMMARY = {
    "weighted log loss": "weighted_log_loss",
    "its floor": "floor",
    "skill: 1 - score / floor": "skill",
    "AUC, any": "auc/any",
    "AUC, mean": "auc",
    "average precision, any": "average_precision/any",
    "average precision, mean": "average_precision",
    "Brier score, mean": "brier",
    "calibration error, mean": "expected_calibration_error",
    "sensitivity at 0.5, any": "recall/any",
    "specificity at 0.5, any": "specificity/any",
    "precision at 0.5, any": "precision/any",
    "F1 at 0.5, any": "f1/any",
    "specificity at sensitivity 0.95, any": "sensitivity_95/specificity/any",
}
CALIBRATION = ("weighted log loss", "its floor", "Brier score, mean", "calibration error, mean")
"""Of SUMMARY, what is told of calibrated probabilities."""
BY_LABEL = {
    "log loss": "log_loss",
    "AUC": "auc",
    "average precision": "average_precision",
    "Brier score": "brier",
    "calibration error": "expected_calibration_error",
}
POINTS = {"0.5": "", "sensitivity 0.95": "sensitivity_95/", "Youden": "youden/"}
RATES = {"sensitivity": "recall", "specificity": "specificity", "precision": "precision", "F1": "f1"}
PROSE = {
    "By label: slices": ["95%"],
    "By label: studies": ["95%"],
    "ROC curves": ["1", "95%"],
    "Precision and recall": ["95%"],
    "Reliability": [],
    "Score distributions": ["0.5"],
    "Confusion by kind": ["0.5", "100%"],
    "Operating points: slices": [],
    "Operating points: studies": [],
    "Training": [],
    "Found, missed, and false alarms": [],
    "Calibration": [],
    "Calibration by label: validation slices": ["1", "0"],
    "Calibration by label: test slices": ["1", "0"],
}
"""Of each section the numbers in its words; those of header groups are recomputed."""


@dataclass
class Page:
    """A page beside what the run's files say; `calibration`: the temperature and the bias of each label."""

    folder: Path
    parsed: Parsed
    facts: dict[str, str]
    calibration: dict[str, list[float]]

    def __post_init__(self) -> None:
        predictions = self.folder / "predictions"
        val = pd.read_csv(predictions / "val.csv")
        test = predictions / "test.csv"
        self.table = pd.read_csv(test) if test.exists() else val
        prevalence = pd.read_csv(self.folder / "prevalence.csv").set_index("label")["prevalence"]
        self.prevalence = prevalence.loc[list(FINDINGS)].to_numpy()
        self.levels = {
            "slices": Recomputed(self.table, self.prevalence, fit_points(val)),
            "studies": Recomputed(by_study(self.table), None, fit_points(by_study(val))),
        }
        self.parts = {"validation": val} | ({"test": self.table} if test.exists() else {})
        headers = pd.read_csv(self.folder / "headers.csv").set_index("image_id")["header_group"]
        self.groups = headers.loc[self.table["image_id"]].to_numpy()

    def check(self) -> Iterator[str]:
        """The sections, each checked; whatever holds a number that nobody recomputes fails."""
        head, *others = self.parsed.sections
        assert not NUMBER.findall(head.prose)
        facts, summary = head.tables
        for name, said in facts:
            assert self.facts.get(name) == said or not NUMBER.findall(said), f"{name}: {said}"
        self.check_cells(summary, self.levels)
        for one in others:
            check = {
                "By label": self.check_labels,
                "Operating points": self.check_points,
                "By header group": self.check_headers,
                "Calibration": self.check_calibration,
                "Calibration by label": self.check_calibration_of_labels,
            }.get(one.title.partition(":")[0])
            if check:
                check(one)
            else:
                assert not one.tables
                self.check_figure(one)
            if one.title in PROSE:
                assert NUMBER.findall(one.prose) == PROSE[one.title]
            yield one.title

    def check_cells(self, rows: list[list[str]], columns: dict[str, Recomputed]) -> None:
        assert rows[0] == ["metric", *columns]
        for said, *cells in rows[1:]:
            for (column, recomputed), cell in zip(columns.items(), cells, strict=True):
                assert_value(cell, recomputed.one(SUMMARY[said]), f"{said}, {column}")

    @cached_property
    def before_and_after(self) -> dict[str, tuple[Recomputed, Recomputed]]:
        """Of each part what the network says, and what its calibration makes of that."""
        tables = {part: (table, calibrated(table, **self.calibration)[0]) for part, table in self.parts.items()}
        return {part: (self.recomputed(raw), self.recomputed(after)) for part, (raw, after) in tables.items()}

    def recomputed(self, table: pd.DataFrame) -> Recomputed:
        return Recomputed(table, self.prevalence, {})

    def check_calibration(self, section: Section) -> None:
        ((header, *rows, counts),) = section.tables
        assert [row[0] for row in rows] == [*CALIBRATION]
        columns = {
            f"{part}: {how}": one
            for part, both in self.before_and_after.items()
            for how, one in zip(("network", "calibrated"), both, strict=True)
        }
        self.check_cells([header, *rows], columns)
        assert counts[0] == "any below its largest kind"
        known = [
            [count, len(table)]
            for table in self.parts.values()
            for count in (below(table[P].to_numpy()), calibrated(table, **self.calibration)[1])
        ]
        assert [shown(cell) for cell in counts[1:]] == known
        left = [label for label, *how in zip(FINDINGS, *self.of_labels(), strict=True) if how == [1, 0]]
        assert section.prose.partition("Left as they are: ")[2] == (f"{', '.join(left)}." if left else "")

    def of_labels(self) -> tuple[list[float], list[float]]:
        return self.calibration["temperature"], self.calibration["bias"]

    def check_calibration_of_labels(self, section: Section) -> None:
        """Of the last part: the test slices where there are any."""
        part, (raw, after) = [*self.before_and_after.items()][-1]
        assert section.title == f"Calibration by label: {part} slices"
        ((header, *rows),) = section.tables
        metrics = ("log loss", "calibration error")
        assert header == [
            "label", "temperature", "bias", *(f"{name}: {how}" for name in metrics for how in ("network", "calibrated"))
        ]  # fmt: skip
        assert [row[0] for row in rows] == list(FINDINGS)
        for (label, *said, cells), temperature, bias in zip(
            [(*row[:3], row[3:]) for row in rows], *self.of_labels(), strict=True
        ):
            assert said == [f"{temperature:.3f}", f"{bias:+.3f}"], label
            known = [one.one(f"{BY_LABEL[name]}/{label}") for name in metrics for one in (raw, after)]
            for cell, value in zip(cells, known, strict=True):
                assert_value(cell, value, f"{section.title} {label}")
        self.check_errors(section, after)

    def check_labels(self, section: Section) -> None:
        level = self.levels[section.title.partition(": ")[2]]
        ((header, *rows),) = section.tables
        assert [row[0] for row in rows] == list(FINDINGS)
        for label, positive, *cells in rows:
            assert shown(positive) == [level.y[:, FINDINGS.index(label)].sum()]
            for name, cell in zip(header[2:], cells, strict=True):
                assert_value(cell, level.one(f"{BY_LABEL[name]}/{label}"), f"{section.title} {label} {name}")

    def check_points(self, section: Section) -> None:
        level = self.levels[section.title.partition(": ")[2]]
        ((header, *rows),) = section.tables
        assert header[:3] == ["operating point, label", "threshold", "called"]
        assert len(rows) == 3 * 6
        for said, threshold, called, *cells in rows:
            point, label = said.rsplit(", ", 1)
            i = FINDINGS.index(label)
            at = level.points[POINTS[point].rstrip("/")][i] if POINTS[point] else 0.5
            assert threshold == ("–" if np.isnan(at) else f"{at:.4f}")
            assert shown(called) == [(level.p[:, i] >= at).sum()]
            for name, cell in zip(header[3:], cells, strict=True):
                assert_value(cell, level.one(f"{POINTS[point]}{RATES[name]}/{label}"), f"{said} {name}")

    def check_headers(self, section: Section) -> None:
        ((header, *rows),) = section.tables
        assert header[4:] == ["weighted log loss", "floor", "its own rates", "AUC, any"]
        assert {row[0] for row in rows[1:]} == {*self.groups}
        for name, *cells in rows:
            some = self.table if name == "all slices" else self.table[self.groups == name]
            known, own = Recomputed(some, self.prevalence, {}), Recomputed(some, None, {})
            counts = [len(some), some["patient_id"].nunique(), some["any"].sum()]
            assert [shown(cell) for cell in cells[:3]] == [[count] for count in counts]
            assert_value(cells[3], known.one("weighted_log_loss"), name)
            assert shown(cells[4]) == pytest.approx([known.one("floor")[0]], abs=HALF_A_DIGIT)  # type: ignore[index]
            assert shown(cells[5]) == pytest.approx([own.one("floor")[0]], abs=HALF_A_DIGIT)  # type: ignore[index]
            assert_value(cells[6], known.one("auc/any"), name)
        loss, auc = self.alone(self.groups)
        floor, _ = self.alone(np.zeros(len(self.table), int))
        dealt = np.quantile(self.dealt, [0.025, 0.975], axis=0)
        words = shown(section.prose)
        assert words[:4] == pytest.approx([loss, floor, *dealt[:, 0]], abs=HALF_A_DIGIT)
        assert words[4:] == pytest.approx([] if np.isnan(auc) else [auc, *dealt[:, 1]], abs=10 * HALF_A_DIGIT)

    def alone(self, groups: np.ndarray) -> tuple[float, float]:
        """Weighted log loss, and AUC of any, of the groups' rates as answers."""
        table = self.table.assign(group=groups)
        of = table.groupby("group")[list(FINDINGS)]
        rates = ((of.transform("sum") + 1) / (of.transform("count") + 2)).to_numpy()
        y = table[list(FINDINGS)].to_numpy(bool)
        losses = [log_loss(y[:, i], rates[:, i], labels=[False, True]) for i in range(6)]
        auc = roc_auc_score(y[:, 5], rates[:, 5]) if 0 < y[:, 5].sum() < len(y) else np.nan
        return float(WEIGHTS @ losses), float(auc)

    @cached_property
    def dealt(self) -> list[tuple[float, float]]:
        block = self.table.assign(group=self.groups).groupby(["patient_id", "group"]).ngroup().to_numpy()
        own, random = pd.Series(self.groups).groupby(block).first().to_numpy(), np.random.default_rng(0)
        return [self.alone(random.permutation(own)[block]) for _ in range(DEALS)]

    def check_figure(self, section: Section) -> None:
        numbered = section.numbered
        if section.title in ("ROC curves", "Precision and recall"):
            metric = "auc" if section.title == "ROC curves" else "average_precision"
            self.check_notes(
                numbered,
                {name: lambda i, one=one: one.one(f"{metric}/{FINDINGS[i]}") for name, one in self.levels.items()},
                TICKS | {"sensitivity 0.95", "1 - specificity"},
            )
        elif section.title == "Reliability":
            self.check_errors(section, self.levels["slices"])
        elif section.title == "Score distributions":
            with_ = [self.table[label].sum() for label in FINDINGS]
            notes = [shown(text) for text in numbered if text.startswith("with")]
            assert notes == [[one, len(self.table) - one] for one in with_]
            assert {text for text in numbered if not text.startswith("with")} <= TICKS | {
                "10",
                "100",
                "1,000",
                "10,000",
            }
        elif section.title == "Confusion by kind":
            assert sorted(shown(" ".join(numbered))) == sorted(self.confusion())
        else:
            assert section.title in ("Training", "Found, missed, and false alarms"), f"{section.title}: {numbered}"

    def check_errors(self, section: Section, slices: Recomputed) -> None:
        """The notes of a reliability diagram."""
        self.check_notes(
            section.numbered, {"error": lambda i: slices.one(f"expected_calibration_error/{FINDINGS[i]}")}, TICKS
        )

    def check_notes(self, drawn: list[str], names: dict[str, Callable[[int], Value | None]], ticks: set[str]) -> None:
        left = [text for text in drawn if text not in ticks]
        for name, value in names.items():
            own = [text for text in left if text.startswith(f"{name} ")]
            left = [text for text in left if text not in own]
            known = [(label, value(i)) for i, label in enumerate(FINDINGS) if value(i) is not None]
            assert len(own) == len(known)
            for text, (label, one) in zip(own, known, strict=True):
                assert_value(text.removeprefix(f"{name} "), one, f"{name} {label}")
        assert not left

    def confusion(self) -> list[float]:
        """Of each row its number, and for each column the share in whole percent and the number."""
        y, called = self.table[list(FINDINGS)].to_numpy(bool), self.table[P].to_numpy() >= 0.5
        answers = np.column_stack([called, ~called.any(axis=1)])
        numbers = []
        for some in [*y.T[:5], ~y.any(axis=1)]:
            numbers.append(float(some.sum()))
            for count in answers[some].sum(axis=0):
                numbers += [float(f"{count / some.sum():.0%}"[:-1]), float(count)] if some.any() else []
        return numbers


SECTIONS = [
    "Calibration", "Calibration by label: {} slices",
    "By label: slices", "By label: studies", "By header group", "ROC curves", "Precision and recall", "Reliability",
    "Score distributions", "Confusion by kind", "Operating points: slices", "Operating points: studies",
]  # fmt: skip


def sections(part: str) -> list[str]:
    return [title.format(part) for title in SECTIONS]


def patients_row(table: pd.DataFrame) -> str:
    studies = by_study(table)
    return (
        f"{table['patient_id'].nunique():,}: {len(table):,} slices ({table['any'].sum():,} with hemorrhage), "
        f"{len(studies):,} studies ({studies['any'].sum():,} with hemorrhage)"
    )


def test_every_number_of_a_runs_report_is_that_of_its_predictions(project: Project, trained: Trained) -> None:
    folder = Path(unquote(urlparse(trained.run.info.artifact_uri).path))
    cfg = yaml.safe_load((folder / "config.yaml").read_text())
    folds, val = pd.read_csv(folder / "folds.csv"), pd.read_csv(folder / "predictions" / "val.csv")
    history = project.client.get_metric_history(trained.run.info.run_id, "val/weighted_log_loss")
    best = min(history, key=lambda one: (np.float32(one.value), one.step)).step
    data = cfg["data"]
    facts = {
        "geometry": f"head, {cfg['geometry']['size']} pixels",
        "learning": f"adamw at {cfg['optimizer']['lr']:g}, onecycle, loss bce, batches of {data['batch_size']}, up to "
        f"{cfg['trainer']['max_epochs']} epochs",
        "data": f"phantom: {len(folds):,} slices of {folds['patient_id'].nunique():,} patients; validation fold "
        f"{data['fold']} of {data['folds']}; digest {trained.run.data.tags['data_digest']}",
        "best epoch": f"{best}, by val/weighted_log_loss",
        "predictions": f"runs:/{trained.run.info.run_id}",
        "patients": patients_row(val),
        "intervals": "95%, from 2,000 resamples of patients, seed 0",
    }
    calibration = torch.load(folder / "checkpoints" / BEST, weights_only=True)["calibration"]
    page = Page(folder, Parsed((folder / "report" / "report.html").read_text()), facts, calibration)
    assert [*page.check()] == ["Training", "Found, missed, and false alarms", *sections("validation")]


def make_report(folder: Path) -> Page:
    """Of 30 validation and 25 test patients, epidural in one class, intraventricular with two patients, ties."""
    (folder / "predictions").mkdir()
    tables = {"val": make_table(30), "test": make_table(25, seed=1, prefix="t")}
    for name, table in tables.items():
        table["epidural"] = 0
        table["intraventricular"] *= table["patient_id"].isin(table["patient_id"].unique()[:2])
        table[P[2:]] = table[P[2:]].round(2)
        write(folder / "predictions" / f"{name}.csv", table)
    pd.DataFrame({"label": FINDINGS, "prevalence": [0.01, 0.1, 0.1, 0.15, 0.15, 0.3]}).to_csv(
        folder / "prevalence.csv", index=False
    )
    images = pd.concat(tables.values())
    group = images["study_id"].str[-1].isin([*"012"]).map({True: "12 bits, unsigned, intercept -1024", False: "b"})
    pd.DataFrame({"image_id": images["image_id"], "header_group": group}).to_csv(folder / "headers.csv", index=False)
    files = Files(
        predictions=folder / "predictions", prevalence=folder / "prevalence.csv", headers=folder / "headers.csv"
    )
    val = tables["val"]
    calibration = fit_calibration(val[list(FINDINGS)], val[P], patients=val["patient_id"].nunique())
    told = Told(name="x", where="runs:/x", setting={}, history={}, sheet=None, calibration=calibration)
    written = write_report(told, files, folder / "report")
    facts = {
        "validation patients": patients_row(tables["val"]),
        "test patients": patients_row(tables["test"]),
        "intervals": "95%, from 2,000 resamples of patients, seed 0",
    }
    return Page(folder, Parsed(written.read_text()), facts, calibration.plain())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return make_report(tmp_path_factory.mktemp("made"))


def test_so_are_intervals_and_what_is_not_defined_and_test_patients(made: Page) -> None:
    assert [*made.check()] == sections("test")
    cells = [cell for one in made.parsed.sections for rows in one.tables for row in rows for cell in row]
    assert sum("[" in cell for cell in cells) > 100
    assert sum(cell == "–" for cell in cells) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "word"),
    [
        ("By label: slices", "0.123"),
        ("Operating points: studies", "0.123"),
        ("Calibration", "0.123"),
        ("Calibration by label: test slices", "1.234"),
        ("facts", "12 things"),
        ("summary", "0.123"),
    ],
)
def test_a_number_that_nobody_recomputes_fails(made: Page, title: str, word: str) -> None:
    head, *others = made.parsed.sections
    facts, summary = head.tables
    rows = ({one.title: one.tables[0] for one in others if one.tables} | {"facts": facts, "summary": summary})[title]
    kept = rows[1][1]
    rows[1][1] = word
    try:
        with pytest.raises(AssertionError):
            [*made.check()]
    finally:
        rows[1][1] = kept


@pytest.mark.slow
@pytest.mark.parametrize("title", ["Calibration", "Calibration by label: test slices"])
def test_so_does_one_in_the_words_of_a_calibration(made: Page, title: str) -> None:
    section = next(one for one in made.parsed.sections if one.title == title)
    kept = section.prose
    section.prose = f"0.123 {kept}"
    try:
        with pytest.raises(AssertionError):
            [*made.check()]
    finally:
        section.prose = kept


@pytest.mark.slow
def test_so_does_one_in_the_figure_of_a_calibration(made: Page) -> None:
    section = next(one for one in made.parsed.sections if one.title.startswith("Calibration by label"))
    section.drawn.append("error 0.123")
    try:
        with pytest.raises(AssertionError):
            [*made.check()]
    finally:
        section.drawn.pop()
