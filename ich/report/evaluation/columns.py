"""Which columns of a table hold what: a run's own table, or that of a cohort from elsewhere, in one YAML file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ich.findings import FINDINGS


@dataclass(frozen=True, kw_only=True)
class Reads:
    """A table of what readers saw in whole scans, which holds the labels.

    `pattern` is a regular expression with one group: what it finds in an image's name and in the column `case` of this
    table is the name of the scan.
    """

    file: Path
    case: str
    pattern: str

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern={self.pattern!r} is no regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"pattern={self.pattern!r} has {groups} groups; it needs one, which finds a scan's name")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table of predictions.

    `study` may be null (every image is a study of its own), `patient`, too (every study is a patient's own). `labels`
    are by finding the columns of an odd number of readers, the majority of whom counts.
    """

    image: str
    study: str | None
    patient: str | None
    labels: Mapping[str, list[str]]
    probabilities: Mapping[str, str]
    reads: Reads | None = None

    def __post_init__(self) -> None:
        for name, said in (("labels", self.labels), ("probabilities", self.probabilities)):
            if set(said) != set(FINDINGS):
                raise ValueError(f"{name} names {', '.join(said) or 'nothing'}; it needs {', '.join(FINDINGS)}")
        for finding, readers in self.labels.items():
            if len(readers) % 2 == 0:
                raise ValueError(f"labels.{finding} has {len(readers)} columns; a majority needs an odd number")

    @property
    def of_labels(self) -> list[str]:
        return [column for finding in FINDINGS for column in self.labels[finding]]

    @property
    def of_predictions(self) -> list[str]:
        """All columns of the table of predictions itself."""
        ids = [column for column in (self.image, self.study, self.patient) if column is not None]
        labels = [] if self.reads else self.of_labels
        return [*dict.fromkeys([*ids, *labels, *(self.probabilities[finding] for finding in FINDINGS)])]


OWN = Columns(
    image="image_id",
    study="study_id",
    patient="patient_id",
    labels={finding: [finding] for finding in FINDINGS},
    probabilities={finding: f"p_{finding}" for finding in FINDINGS},
)
"""Of `predictions/val.csv` in a run."""
