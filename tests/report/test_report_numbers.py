"""Every number of report.html, recomputed from the run's own predictions by other means; an unknown one fails.

Not read: the training curves, which are of the log and not of predictions, and pictures of slices, which are pixels.
"""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from ich.findings import FINDINGS
from ich.report.run_report import Files, Told, write_report
from tests.project import Project, Trained
from tests.test_evaluate import make_table, write

RESAMPLES, DEALS = 2000, 200
HALF_A_DIGIT = 5.001e-4
"""Of three: how far a number may lie from the one that it stands for."""
WEIGHTS = np.array([1, 1, 1, 1, 1, 2]) / 7
P = [f"p_{label}" for label in FINDINGS]
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


Value = tuple[float, float | None, float | None]


class Recomputed:
    """Slices or studies: a metric's value by scikit-learn, its interval from plain sums over weighted cases."""

    def __init__(self, table: pd.DataFrame, prevalence: np.ndarray | None, points: "dict[str, np.ndarray]") -> None:
        self.y, self.p = table[list(FINDINGS)].to_numpy(bool), table[P].to_numpy()
        names, self.owner = np.unique(table["patient_id"].to_numpy(str), return_inverse=True)
        self.patients, self.points = len(names), points
        self.prevalence = (self.y.sum(axis=0) + 1) / (len(self.y) + 2) if prevalence is None else prevalence
        drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
        self.weights = np.stack([(drawn == patient).sum(axis=1) for patient in range(len(names))], axis=1)[
            :, self.owner
        ]

    def both(self, i: int) -> bool:
        return 0 < self.y[:, i].sum() < len(self.y)

    def one(self, name: str) -> Value | None:
        """A label's metric such as "auc/any", or a total such as "auc"."""
        name, _, label = name.rpartition("/") if "/" in name else (name, "", "")
        if not label:
            return self._total(name)
        i = FINDINGS.index(label)
        if name.rpartition("/")[2] in ("auc", "average_precision", "recall", "specificity") and not self.both(i):
            return None
        if "/" in name and not self.both(i):
            return None
        value, resampled = self._of_label(name, i)
        positive = [len({*self.owner[self.y[:, i] == side]}) for side in (True, False)]
        return self._with_interval(value, resampled, min(positive) or self.patients, name)

    def _of_label(self, name: str, i: int) -> tuple[float, np.ndarray]:
        y, p, w = self.y[:, i], self.p[:, i], self.weights
        clipped = np.clip(p, 1e-15, 1 - 1e-15)
        if name == "log_loss":
            losses = -np.where(y, np.log(clipped), np.log1p(-clipped))
            return log_loss(y, clipped, labels=[False, True]), w @ losses / w.sum(axis=1)
        if name == "brier":
            return brier_score_loss(y, p, pos_label=True), w @ (p - y) ** 2 / w.sum(axis=1)
        if name == "expected_calibration_error":
            tenth = np.digitize(p, np.arange(1, 10) / 10)
            gaps = np.stack([w @ np.where(tenth == bin_, y - p, 0) for bin_ in range(10)])
            ones = sum(abs((y - p)[tenth == bin_].sum()) for bin_ in range(10)) / len(y)
            return ones, np.abs(gaps).sum(axis=0) / w.sum(axis=1)
        if name in ("auc", "average_precision"):
            function = roc_auc_score if name == "auc" else average_precision_score
            return function(y, p), (resampled_auc if name == "auc" else resampled_ap)(y, p, w)
        point, _, rate = name.rpartition("/")
        found = p >= (self.points[point][i] if point else 0.5)
        return rate_of(rate, y, found), resampled_rate(rate, y, found, w)

    def _total(self, name: str) -> Value | None:
        labels = range(6) if name not in ("auc", "average_precision") else [i for i in range(6) if self.both(i)]
        if name in ("weighted_log_loss", "floor", "skill"):
            own, resampled = self._weighted(self.p)
            floor, floors = self._weighted(np.broadcast_to(self.prevalence, self.p.shape))
            value, some = {
                "weighted_log_loss": (own, resampled),
                "floor": (floor, floors),
                "skill": (1 - own / floor, 1 - resampled / floors),
            }[name]
            return self._with_interval(value, some, self.patients, name)
        if not labels:
            return None
        values, resamples = zip(*(self._of_label(name, i) for i in labels), strict=True)
        together = np.stack(resamples)
        known = ~np.isnan(together)
        mean = np.where(known, together, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
        return self._with_interval(float(np.mean(values)), mean, self.patients, name)

    def _weighted(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        losses = -np.where(self.y, np.log(np.clip(p, 1e-15, 1)), np.log1p(-np.clip(p, 0, 1 - 1e-15))) @ WEIGHTS
        return float(losses.mean()), self.weights @ losses / self.weights.sum(axis=1)

    def _with_interval(self, value: float, resampled: np.ndarray, patients: int, name: str) -> Value:
        """The expanded percentile interval; of a calibration error reflected at the value."""
        there = resampled[~np.isnan(resampled)]
        if patients < 2 or len(there) < 0.9 * RESAMPLES:
            return value, None, None
        tail = norm.cdf(-np.sqrt(patients / (patients - 1)) * student.ppf(0.975, patients - 1))
        low, high = np.quantile(there, [tail, 1 - tail])
        if low == high:
            return value, None, None
        if name == "expected_calibration_error":
            low, high = max(0, 2 * value - high), max(0, 2 * value - low)
        return value, float(low), float(high)


def resampled_auc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    pairs = (p[y][:, None] > p[~y]) + 0.5 * (p[y][:, None] == p[~y])
    wins, of = ((w[:, y] @ pairs) * w[:, ~y]).sum(axis=1), w[:, y].sum(axis=1) * w[:, ~y].sum(axis=1)
    return np.where(of > 0, wins / np.maximum(of, 1), np.nan)


def resampled_ap(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    above = p[:, None] >= p[y]  # of each case, at the threshold of each positive one
    precision = (w[:, y] @ above[y]) / np.maximum(w @ above, 1)
    there, others = w[:, y].sum(axis=1), w[:, ~y].sum(axis=1)
    return np.where(there * others > 0, (w[:, y] * precision).sum(axis=1) / np.maximum(there, 1), np.nan)


def rate_of(rate: str, y: np.ndarray, found: np.ndarray) -> float:
    if rate == "specificity":
        return float(recall_score(y, found, pos_label=False))
    precision, recall, f1, _ = precision_recall_fscore_support(y, found, average="binary", zero_division=0)
    return float({"precision": precision, "recall": recall, "f1": f1}[rate])


def resampled_rate(rate: str, y: np.ndarray, found: np.ndarray, w: np.ndarray) -> np.ndarray:
    there, called, hits, alarms = w @ y, w @ found, w @ (y & found), w @ (~y & found)
    absent = w @ ~y
    if rate in ("recall", "specificity"):
        part, whole = (hits, there) if rate == "recall" else (absent - alarms, absent)
        return np.where((there > 0) & (absent > 0), part / np.maximum(whole, 1), np.nan)
    return hits / np.maximum(called, 1) if rate == "precision" else 2 * hits / np.maximum(called + there, 1)


def by_study(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("study_id").agg(dict.fromkeys([*FINDINGS, *P], "max") | {"patient_id": "first"}).reset_index()


def fit_points(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The highest threshold that finds 95%, and the one with the largest sensitivity - false positive rate."""
    points = {"sensitivity_95": np.full(6, np.nan), "youden": np.full(6, np.nan)}
    for i, label in enumerate(FINDINGS):
        y, p = table[label].to_numpy(bool), table[P[i]].to_numpy()
        if 0 < y.sum() < len(y):
            points["sensitivity_95"][i] = max(t for t in p[y] if (p[y] >= t).mean() >= 0.95)
            alarms, found, thresholds = roc_curve(y, p, drop_intermediate=False)
            gain = np.round(found - alarms, 12)
            points["youden"][i] = thresholds[gain == gain.max()].max()
    return points


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
}
"""Of each section the numbers in its words; those of header groups are recomputed."""


@dataclass
class Page:
    """A page beside what the run's files say."""

    folder: Path
    parsed: Parsed
    facts: dict[str, str]

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
        headers = pd.read_csv(self.folder / "headers.csv").set_index("image_id")["header_group"]
        self.groups = headers.loc[self.table["image_id"]].to_numpy()

    def check(self) -> Iterator[str]:
        """The sections, each checked; whatever holds a number that nobody recomputes fails."""
        head, *others = self.parsed.sections
        assert not NUMBER.findall(head.prose)
        facts, summary = head.tables
        for name, said in facts:
            assert self.facts.get(name) == said or not NUMBER.findall(said), f"{name}: {said}"
        self.check_cells(summary, SUMMARY, [*self.levels.values()])
        for one in others:
            check = {
                "By label": self.check_labels,
                "Operating points": self.check_points,
                "By header group": self.check_headers,
            }.get(one.title.partition(":")[0])
            if check:
                check(one)
            else:
                assert not one.tables
                self.check_figure(one)
            if one.title in PROSE:
                assert NUMBER.findall(one.prose) == PROSE[one.title]
            yield one.title

    def check_cells(self, rows: list[list[str]], names: dict[str, str], levels: Sequence[Recomputed]) -> None:
        assert rows[0] == ["metric", "slices", "studies"]
        for said, *cells in rows[1:]:
            for level, cell in zip(levels, cells, strict=True):
                assert_value(cell, level.one(names[said]), said)

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
        numbered = [text for text in section.drawn if re.search(r"\d", text)]
        ticks = {"0", "0.5", "1"}
        if section.title in ("ROC curves", "Precision and recall"):
            metric = "auc" if section.title == "ROC curves" else "average_precision"
            self.check_notes(
                numbered,
                {name: lambda i, one=one: one.one(f"{metric}/{FINDINGS[i]}") for name, one in self.levels.items()},
                ticks | {"sensitivity 0.95", "1 - specificity"},
            )
        elif section.title == "Reliability":
            slices = self.levels["slices"]
            self.check_notes(
                numbered, {"error": lambda i: slices.one(f"expected_calibration_error/{FINDINGS[i]}")}, ticks
            )
        elif section.title == "Score distributions":
            with_ = [self.table[label].sum() for label in FINDINGS]
            notes = [shown(text) for text in numbered if text.startswith("with")]
            assert notes == [[one, len(self.table) - one] for one in with_]
            assert {text for text in numbered if not text.startswith("with")} <= ticks | {
                "10",
                "100",
                "1,000",
                "10,000",
            }
        elif section.title == "Confusion by kind":
            assert sorted(shown(" ".join(numbered))) == sorted(self.confusion())
        else:
            assert section.title in ("Training", "Found, missed, and false alarms"), f"{section.title}: {numbered}"

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
    "By label: slices", "By label: studies", "By header group", "ROC curves", "Precision and recall", "Reliability",
    "Score distributions", "Confusion by kind", "Operating points: slices", "Operating points: studies",
]  # fmt: skip


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
    page = Page(folder, Parsed((folder / "report" / "report.html").read_text()), facts)
    assert [*page.check()] == ["Training", "Found, missed, and false alarms", *SECTIONS]


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
    told = Told(name="x", where="runs:/x", setting={}, history={}, sheet=None)
    written = write_report(told, files, folder / "report")
    facts = {
        "validation patients": patients_row(tables["val"]),
        "test patients": patients_row(tables["test"]),
        "intervals": "95%, from 2,000 resamples of patients, seed 0",
    }
    return Page(folder, Parsed(written.read_text()), facts)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return make_report(tmp_path_factory.mktemp("made"))


def test_so_are_intervals_and_what_is_not_defined_and_test_patients(made: Page) -> None:
    assert [*made.check()] == SECTIONS
    cells = [cell for one in made.parsed.sections for rows in one.tables for row in rows for cell in row]
    assert sum("[" in cell for cell in cells) > 100
    assert sum(cell == "–" for cell in cells) > 10


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (lambda page: page.sections[0].tables[0], "12 things"),
        (lambda page: page.sections[0].tables[1], "0.123"),
        (lambda page: page.sections[1].tables[0], "0.123"),
        (lambda page: page.sections[-1].tables[0], "0.123"),
    ],
)
def test_a_number_that_nobody_recomputes_fails(
    made: Page, place: Callable[[Parsed], list[list[str]]], word: str
) -> None:
    rows = place(made.parsed)
    kept = rows[1][1]
    rows[1][1] = word
    try:
        with pytest.raises(AssertionError):
            [*made.check()]
    finally:
        rows[1][1] = kept
